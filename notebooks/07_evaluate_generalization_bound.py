# %% [markdown]
# # 07 · Evaluate the generalization bound
#
# **Asked:** the bound of Shwartz-Ziv et al. (NeurIPS 2023) says that a linear probe on self-supervised representations
# errs little where invariance is good and two residuals are small. What does it say on a trained encoder, in numbers?
#
# With probability $1 - \delta$,
# $E \lVert W_S f(x) - y \rVert \le c\, I_{\bar S}(f) + \frac{2}{\sqrt m} \lVert P_{\bar S} Y_{\bar S} \rVert_F +
# \frac{1}{\sqrt n} \lVert P_S Y_S \rVert_F + Q$: $n$ labeled rows $S$, $m$ pairs $\bar S$ of one class each, and $Q$
# for the sampling. Every symbol is explained by `help(itssl.evaluation.generalization_bound)`.

# %%
import numpy as np

import itssl
from itssl.evaluation import generalization_bound
from itssl.networks.encoders import embed
from itssl.networks.recipes import recipe
from itssl.networks.training import train
from itssl.objectives import minimize, vicreg_terms
from itssl.reports import gap_figure

SEED, DELTA = 0, 0.05

# %% [markdown]
# ## A law and two representations
#
# VICReg trains on 1297 digits, without labels and with a third of the recipe's epochs. The law is uniform on the other
# 500, so that the error of a probe is a sum and no estimate, and $f$ does not depend on what the bound is drawn from.

# %%
digits = recipe("digits")
data = digits.data()
objective = minimize(vicreg_terms, normalization="reference")
options = {**digits.schedule, "epochs": digits.epochs // 3}
run = train(digits.network(SEED), objective, data.train_x, digits.views, seed=SEED, **options)
networks = {"untrained": digits.network(SEED), "trained": run.encoder}
representations = {name: embed(network.get_submodule("encoder"), data.test_x) for name, network in networks.items()}
run

# %% [markdown]
# ## One draw, term by term
#
# The pairs are two digits *of one class*, not two augmentations of one digit: the proof needs that.


# %%
def bound(z, n, m, rng):
    y = data.test_y
    rows, first = rng.integers(len(y), size=n), rng.integers(len(y), size=m)
    second = np.array([rng.choice(np.flatnonzero(y == label)) for label in y[first]])
    return generalization_bound(
        z[rows], y[rows], z[first], z[second], y[first], test_z=z, test_y=y, classes=np.unique(y), delta=DELTA
    )


found = bound(representations["trained"], 400, 1600, itssl.stream(SEED, "one draw"))
found

# %% [markdown]
# `direction` says what each number is worth: "exact" follows from the samples, "lower" is a supremum over the rows
# seen. The terms of $Q$ are the price of sampling, and most of the bound.
#
# ## More rows, and no training
#
# Terms fall as $1/\sqrt n$ and $1/\sqrt m$. From 1 on the bound says nothing: 1 is the error of the probe $W = 0$.

# %%
for name, z in representations.items():
    for n, m in ((128, 400), (400, 1600), (2000, 10000)):
        b = bound(z, n, m, itssl.stream(SEED, "growing", n, m))
        print(
            f"{name:9} n = {n:4}, m = {m:5}: error {b.error.value:7.3f}, core {b.core.value:8.2f}, "
            f"Q {b.slack.value:8.2f}, bound {b.total.value:8.2f} = {b.ratio_to_error:.0f} errors"
        )

# %% [markdown]
# The bound is loose, and yet it orders the two encoders as their errors do. Of the three sizes the error of least
# squares is largest at $n = d = 128$, and so is the bound.
#
# ## A form that is often written: without $c$
#
# $c = \lVert W_S - W_{\bar S} \rVert$ looks like a nuisance. Without it the first term is the invariance alone, and
# that depends on the scale of $f$, while the error does not: $f/100$ has the same probe error and a hundredth of it.

# %%
z = representations["trained"]


def without_c(b):
    return b.core.value + b["I"].value - b["invariance"].value


for scale in (1.0, 0.01):
    b = bound(scale * z, 128, 400, itssl.stream(SEED, "scale"))
    print(f"scale {scale}: error {b.error.value:.4f}, core {b.core.value:.4f}, core without c {without_c(b):.4f}")

# %% [markdown]
# ## What this notebook requires
#
# On the trained encoder: the bound fails in at most a share $\delta$ of draws, as promised (its exact binomial interval
# is judged); it is vacuous all the same; training lowers both the error and the bound; and on average the core alone
# covers the error, which without $c$, at $f/100$, it does not.


# %%
def failures(rng, draws=8):
    found = [bound(z, 128, 400, rng) for _ in range(draws)]
    return itssl.Share(sum(b.error.value > b.total.value for b in found), draws)


def of(name, quantity):
    return lambda rng: getattr(bound(representations[name], 128, 400, rng), quantity).value


def core_without_c(rng):
    return without_c(bound(z / 100, 128, 400, rng))


error = of("trained", "error")
statements = {
    "fails in a share of at most δ": (failures, "<=", DELTA),
    "vacuous: the bound is at least 1": (of("trained", "total"), ">=", 1.0),
    "training lowers the error": (error, "<=", of("untrained", "error")),
    "training lowers the bound": (of("trained", "total"), "<=", of("untrained", "total")),
    "the core covers the error": (error, "<=", of("trained", "core")),
    "the core without c does not": (core_without_c, "<=", error),
}
verdicts = [
    itssl.check_inequality(left, right, relation=relation, seed=SEED, statement=name)
    for name, (left, relation, right) in statements.items()
]
for verdict in verdicts:
    print(verdict)
    verdict.require()
gap_figure(verdicts)
