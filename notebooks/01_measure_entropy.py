# %% [markdown]
# # 01 · Measure an entropy
#
# **Asked:** how many nats does the law of a pair of correlated numbers have, judged from 400 draws of it alone?
#
# Differential entropy $h(X) = -E \log p(X)$ is the smallest case of everything itssl does. The law here is one whose
# entropy is known, so that each number below stands beside the truth.

# %%
import numpy as np

import itssl

SEED, N = 0, 400
law = itssl.Gaussian(np.zeros(2), np.array([[1.0, 0.8], [0.8, 1.0]]))
x = law.sample(N, itssl.stream(SEED, "notebook 01"))  # shape (n, d), one row a draw, from a stream with a name
law.entropy

# %% [markdown]
# ## An estimate carries its passport
#
# `itssl.entropy` returns no bare number: it comes with a standard error, the side of the truth on which its expectation
# lies, the method, and warnings. The default is the nearest-neighbor estimator of Kozachenko and Leonenko, which
# assumes little about the shape of the law.

# %%
found = itssl.entropy(x)
found

# %%
low, high = found.interval(0.95)
print(f"{found.value:.3f} nats are {found.in_bits().value:.3f} bits; the truth is {law.entropy.value:.3f} nats")
print(f"95 % interval {low:.3f} to {high:.3f}; bias {found.bias.value}; warnings {[w.code for w in found.warnings]}")

# %% [markdown]
# `bias` is "unknown" because nearest neighbors have one that no formula gives: small here, large in ten dimensions. The
# standard error does not include it; the interval allows for it, as the hull of three: around the value, and around two
# extrapolations of it to infinitely many rows, which are among the numbers of the table above. What a sample shows of
# its own bias becomes a warning (notebook 02).
#
# ## Another estimator, by name
#
# All have the same call. `itssl.choose` looks at the rows and says which one suits them, and why.

# %%
choice = itssl.choose(x)
print(choice)
gaussian = choice.estimator.entropy(x)  # the same as itssl.entropy(x, method="gaussian_plugin")
gaussian

# %%
print("all methods:", *itssl.estimators.methods.methods("entropy"))

# %% [markdown]
# Entropies have no natural zero. In other units, $aX$ with $a = 1/100$, the same data have $h(aX) = h(X) + d \log a$.
# A negative entropy is not a mistake.

# %%
scaled = itssl.entropy(x / 100)
print(f"{scaled.value:.6f} = {found.value + 2 * np.log(1 / 100):.6f}")

# %% [markdown]
# ## Does it converge, and are its errors honest?
#
# One estimate cannot tell. `itssl.convergence` repeats it on fresh draws at several sample sizes and compares what it
# says of itself (*stated*) with what happens (*spread*, *bias*, and the *coverage* of its 95 % intervals).

# %%
runs = itssl.convergence(itssl.KozachenkoLeonenko(), law, sizes=[50, 100, 200, 400], replicates=20, seed=SEED)
print(runs)
runs.figure()

# %% [markdown]
# The bias of the default, in the table, is no larger than the error of a single estimate. Where it matters,
# extrapolation to infinitely many rows removes its leading part, at the price of some spread.

# %%
extrapolated = itssl.entropy(x, method="extrapolated_kozachenko_leonenko")
extrapolated

# %% [markdown]
# ## Your own data: no truth, but a question
#
# Given rows in place of a law, the same function takes subsamples of them. `still_moves` answers whether the value
# still changes with the number of rows; where it does, it is not yet a number of the law.

# %%
own = itssl.convergence(itssl.KozachenkoLeonenko(), x, replicates=10, seed=SEED)
print(own)
print(f"still moves: {own.still_moves}")

# %% [markdown]
# ## What this notebook requires
#
# The last two estimators find the truth: their expectation is off by less than the error bar that a single estimate
# shows. That error bar is the margin. The decision rule draws fresh samples until it can say HOLDS or VIOLATED, wrongly
# at most once in a thousand times; `require` raises unless it said HOLDS.

# %%
for method, estimate in (("extrapolated_kozachenko_leonenko", extrapolated), ("gaussian_plugin", gaussian)):
    verdict = itssl.check_equality(
        lambda rng, method=method: itssl.entropy(law.sample(N, rng), method=method).value,
        law.entropy.value,
        margin=estimate.standard_error,
        seed=SEED,
        statement=f"{method} finds the truth",
    )
    print(verdict)
    verdict.require()
