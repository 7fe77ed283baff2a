# %% [markdown]
# # 03 · Push a Gaussian through a network
#
# **Asked:** what is the law of $Z = f(X)$ when $X$ is Gaussian and $f$ a small leaky-ReLU network, and what is $h(Z)$?
#
# It matters because this is ground truth: a network whose output entropy is known is what estimators, and derivations
# that say "let $Z$ be Gaussian", can be tested on.

# %%
import numpy as np

import itssl
from itssl.distributions.gaussian import LawError
from itssl.networks import pushforward
from itssl.networks.encoders import embed, mlp
from itssl.reports import gap_figure

SEED = 1
law = itssl.Gaussian(np.zeros(2), np.array([[1.0, 0.8], [0.8, 1.0]]))
network = mlp((2, 8, 2), seed=SEED, slope=0.1)  # any torch.nn.Sequential of linear layers and rectifiers will do

# %% [markdown]
# ## Regions
#
# Such an $f$ is affine on each of finitely many polygons, $f(x) = A_\omega x + b_\omega$. On two inputs they can all be
# listed, each with its probability; so the law of $Z$ is known exactly, density included.

# %%
z = pushforward.output_law(law, network)
likely = np.argsort(z.probabilities)[::-1][:3]
print(f"{len(z.regions)} regions of total probability {z.probabilities.sum():.12f}; the three most likely:")
for i in likely:
    print(f"P = {z.probabilities[i]:.3f}, log|det A| = {z.log_volumes[i]:+.3f}")
z

# %% [markdown]
# ## Entropy, and the step that is easily forgotten
#
# For an injective map $h(Z) = h(X) + E \log|\det A_\omega(X)|$. This one is not injective. The certificate is a pair of
# inputs with one output:

# %%
certificate = pushforward.injectivity(network)
print(certificate.injective, "-", certificate.reason)
print("two inputs:", *certificate.pair.round(3), " their outputs:", *embed(network, certificate.pair).round(3))

# %% [markdown]
# Then $Z$ does not tell from which region it came, and what it does not tell, $H(\text{branch} \mid Z)$, is lost.

# %%
exact = z.entropy
naive = law.entropy.value + z.mean_log_volume
branch = exact.diagnostics["branch_entropy_nats"]
print(f"h(X) + E log|det A| = {naive:.3f} nats, less H(branch | Z) = {branch:.3f}, is h(Z) = {exact.value:.3f} nats")
exact

# %% [markdown]
# An estimator that sees only draws of $Z$ agrees with the second number, not with the first:

# %%
itssl.entropy(z.sample(1000, itssl.stream(SEED, "notebook 03")))

# %% [markdown]
# ## "The output is Gaussian around each data point": how nearly?
#
# That holds while the noise around a point stays in its region. `pushforward.image` pushes narrow Gaussians through the
# local maps and certifies how far the result is from the true law, in total variation. The certificate is the
# probability of leaving the region; no sampling is involved.

# %%
points = law.sample(100, itssl.stream(SEED, "data points"))
for var in (1e-6, 1e-4, 1e-2, 1.0):
    print(f"noise variance {var:.0e}: {pushforward.image(itssl.GaussianMixture.isotropic(points, var), network)}")

# %% [markdown]
# A test of normality would say something else. `itssl.assess` puts both side by side: at which width noise leaves its
# region, and at which width 512 draws are seen not to be Gaussian.

# %%
found = itssl.assess(network, points, cov=1.0, scales=[1e-3, 1e-2, 1e-1, 1.0], points=8, seed=SEED)
for row in found.rows:
    print(
        f"scale {row.scale:g}: leaves its region {row.exit:.3f}, coordinates rejected as Gaussian {row.coordinates:.2f}"
    )
found.figure()

# %% [markdown]
# ## More dimensions
#
# Regions are listed up to three inputs. Beyond that the entropy is known where the network is certified injective, as a
# square leaky-ReLU network is, and refused elsewhere, with the reason.

# %%
wide = itssl.Gaussian(np.zeros(16), np.eye(16))
print(pushforward.entropy(wide, mlp((16, 16, 16), seed=SEED, slope=0.1)))
try:
    pushforward.entropy(wide, mlp((16, 32, 16), seed=SEED, slope=0.1))
except LawError as error:
    print(error)

# %% [markdown]
# ## What this notebook requires
#
# That $h(Z)$ is the value with the branch term, judged by the density that the regions give, $h(Z) = -E \log p(Z)$, and
# by nearest neighbors, which know nothing of the network; and that the value without it is refuted. Half of the branch
# term is the margin, so that only one of the two can hold.

# %%


def surprise(rng):
    return -z.log_density(z.sample(200, rng))


def neighbors(rng):
    return itssl.entropy(z.sample(200, rng)).value


half = branch / 2
by_density = itssl.check_equality(surprise, exact.value, margin=half, statement="h(Z), by its density")
by_neighbors = itssl.check_equality(neighbors, exact.value, margin=half, statement="h(Z), by nearest neighbors")
forgotten = itssl.check_equality(surprise, naive, margin=half, statement="branch term forgotten, by the density")
by_density.require()
by_neighbors.require()
forgotten.require("VIOLATED")
gap_figure([by_density, by_neighbors, forgotten])
