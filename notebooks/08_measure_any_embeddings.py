# %% [markdown]
# # 08 · Measure any embeddings
#
# **Asked:** there are embeddings from a model that itssl has never seen. What can be said about their information?
#
# All that itssl needs is an array with one row a sample: from a file, from hooks in a torch model, from a scikit-learn
# pipeline. What it needs *to be right* is another matter, and asked first.

# %%
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from torch import nn

import itssl
from itssl.reports import gap_figure

SEED = 0

# %% [markdown]
# ## A file from elsewhere
#
# A stand-in for somebody else's export: 1200 embeddings in $R^{256}$, float32, ten classes, in truth 20 directions
# and a little noise. On the command line: `itssl diagnose embeddings.npy`.

# %%
rng = itssl.stream(SEED, "somebody else")
classes = rng.integers(10, size=1200)
centers, directions = rng.normal(size=(10, 256)), 0.7 * rng.normal(size=(20, 256))
export = centers[classes] + rng.normal(size=(1200, 20)) @ directions + 0.05 * rng.normal(size=(1200, 256))
with tempfile.TemporaryDirectory() as folder:
    np.save(Path(folder) / "embeddings.npy", export.astype(np.float32))
    embeddings = np.load(Path(folder) / "embeddings.npy", allow_pickle=False)

report = itssl.diagnose(embeddings)
report

# %% [markdown]
# No estimator of $h(Z)$ survives that, and `itssl.choose(embeddings)` names none. The intrinsic dimension is a number
# that does.

# %%
print(itssl.choose(embeddings))
print(report.measurements["intrinsic_dimension"])

# %% [markdown]
# About labels one can ask more. `choose` takes them as the second argument, and warns: in 256 dimensions neighbors see
# little of what is there. These classes do not overlap, so that the truth is the entropy of the labels, $\log 10$. A
# projection that was fitted on other rows can only lose information; in its nine dimensions neighbors find it all.

# %%
print(itssl.choose(embeddings, classes))
fit, rest = slice(0, 600), slice(600, None)
projection = LinearDiscriminantAnalysis().fit(embeddings[fit], classes[fit])
for z in (embeddings[rest], projection.transform(embeddings[rest])):
    print(f"{z.shape[1]:3} dimensions: {itssl.mutual_information(z, classes[rest], method='ross')}")

# %% [markdown]
# ## Inside a torch model: forward hooks
#
# A small classifier of digits, trained in plain torch. A hook on each layer keeps its output; itssl takes tensors.

# %%
pictures, labels = load_digits(return_X_y=True)
pictures = pictures[:, pictures.std(axis=0) > 0] / 16.0  # constant columns have no density: itssl refuses them by name
seen, held_out = slice(0, 900), slice(900, None)

torch.manual_seed(SEED)
model = nn.Sequential(nn.Linear(pictures.shape[1], 64), nn.ReLU(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
x, y = torch.tensor(pictures, dtype=torch.float32), torch.tensor(labels)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(100):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x[seen]), y[seen]).backward()
    optimizer.step()

kept = {}
for name, layer in model.named_children():
    layer.register_forward_hook(lambda module, inputs, output, name=name: kept.update({name: output.detach()}))
with torch.no_grad():
    model(x[held_out])


# %%
def about_label(z, rows=slice(None)):
    """I(Z; label) of the held-out digits, without units that are dead on them."""
    z = np.asarray(z)[rows]
    return itssl.mutual_information(z[:, z.std(axis=0) > 0], labels[held_out][rows], method="ross")


print(f"at most log 10 = {np.log(10):.3f} nats")
for name, z in {"pixels": pictures[held_out], **kept}.items():
    found = about_label(z)
    kind = "" if name == "pixels" else type(model[int(name)]).__name__
    print(f"{name:6} {kind:7} {found.value:.3f} ± {found.standard_error:.3f}  says {[w.code for w in found.warnings]}")

# %% [markdown]
# (`atoms`: pixels and outputs of a ReLU repeat values; `singular_support`: 64 linear units of 61 pixels fill 61
# directions. Entropies do not survive that; information about labels does.)
#
# Each layer is a function of the pixels, so by data processing none can have *more* information about the label. The
# estimates say the opposite, by many standard errors. Nothing is broken: neighbors in 61 dimensions of pixels miss
# information that is there, and training makes it easy to find. Estimates order layers by how readable they are, not by
# what they contain. Compare numbers of one kind: the same dimension, or a known truth.
#
# ## A scikit-learn pipeline
#
# Principal components are nested: two are a function of eight. In few dimensions the estimates agree with that.

# %%
components = {
    k: make_pipeline(PCA(k, random_state=SEED)).fit(pictures[seen]).transform(pictures[held_out]) for k in (2, 4, 8)
}
for k, z in components.items():
    print(f"{k} components: {about_label(z)}")

# %% [markdown]
# ## What this notebook requires
#
# Judged on random halves of the held-out digits: nested components are ordered as data processing says; the first layer
# is *not* (it must be refuted that it shows at most what the pixels show); and no layer exceeds $\log 10$.


# %%
def of(z):
    return lambda rng: about_label(z, rng.permutation(len(labels[held_out]))[: len(labels[held_out]) // 2]).value


options = {"max_replicates": 32, "seed": SEED}
nested = itssl.check_inequality(
    of(components[2]), of(components[8]), statement="two components show at most what eight show", **options
)
layer = itssl.check_inequality(
    of(kept["0"]), of(pictures[held_out]), statement="the first layer shows at most what pixels show", **options
)
ceiling = itssl.check_inequality(of(kept["4"]), np.log(10), statement="the last layer shows at most log 10", **options)
nested.require()
layer.require("VIOLATED")
ceiling.require()
gap_figure([nested, layer, ceiling])
