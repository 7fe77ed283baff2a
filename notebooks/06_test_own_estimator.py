# %% [markdown]
# # 06 · Test your own estimator
#
# **Asked:** an estimator has been written from a paper. Is it right?
#
# Entropy has laws that every estimator must obey, whatever it computes: units, symmetries, chain rule, known truths,
# and conduct towards arrays it does not own. `itssl.testing` holds a plain function to them; there is no base class.

# %%
import numpy as np
from scipy.spatial import KDTree
from scipy.special import digamma, gammaln

import itssl
from itssl.testing import ConformanceError, check_entropy_estimator

SEED, K = 0, 3

# %% [markdown]
# Nearest neighbors after Kozachenko and Leonenko: $\psi(n) - \psi(k) + \log c_d + \frac{d}{n} \sum_i \log r_i$, with
# the distance $r_i$ to the $k$-th neighbor and the volume $c_d$ of the unit ball. This first version has a bug.


# %%
def log_ball(d):
    return d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)


def first_try(x):
    n, d = x.shape
    radius = KDTree(x).query(x, K)[0][:, -1]
    return digamma(n) - digamma(K) + log_ball(d) + d * np.log(radius).mean()


x = itssl.Gaussian(np.zeros(2), np.eye(2)).sample(400, itssl.stream(SEED, "notebook 06"))
print(f"{first_try(x):.3f} nats; itssl says {itssl.entropy(x, k=K)}")

# %% [markdown]
# One number beside another does not say which is right. The suite does. `profile="dev"` takes seconds; the error lists
# every law that is broken and two lines that repeat each failure.

# %%
try:
    check_entropy_estimator(first_try, profile="dev", seed=SEED)
except ConformanceError as error:
    broken = error.report
print(broken.summary)
for finding in broken.failures:
    print(f"{finding.check.name}: {finding.check.law}\n  {finding.worst[0]}")

# %% [markdown]
# `truth` is the mistake: the answers are too low by the same amount everywhere. The tree counts each row as its own
# first neighbor, so the third of three is the second. `consistency` and `chain_rule` follow from it. `constant_column`
# is about conduct: too few rows or repeated values should be refused or answered with −∞, not with a plausible number.
# The border of itssl can be borrowed for that; what the estimator does not promise could also be declared, by
# `guards_input=False`.


# %%
def repaired(x, k=K):
    x = itssl.arrays.as_samples(x, minimum=k + 2)
    n, d = x.shape
    radius = KDTree(x).query(x, k + 1)[0][:, -1]
    if not (np.ptp(x, axis=0).all() and radius.all()):
        return -np.inf
    return digamma(n) - digamma(k) + log_ball(d) + d * np.log(radius).mean()


print(f"{repaired(x):.3f} nats")

# %% [markdown]
# More promises, more laws: Euclidean distances do not mind rotations, `k` must matter, and where another implementation
# of the same formula exists it must agree to rounding.

# %%
promises = {
    "rotation_invariant": True,
    "with_k": lambda k: lambda x: repaired(x, k),
    "reference": itssl.KozachenkoLeonenko(k=K),
}
report = check_entropy_estimator(repaired, profile="dev", seed=SEED, **promises)
report

# %% [markdown]
# "Inconclusive" is neither a pass nor a failure: the few draws of the quick profile do not suffice to decide. "Not
# applicable" is what the function does not promise or return, with the reason.
#
# In a test file the same is one test per law, `pytest.mark.parametrize("check", entropy_estimator_checks([...]))`, and
# `check_mutual_information_estimator` does it for $I(X; Y)$. Density models of scikit-learn go through
# `from_density_model`, its feature scores through `from_feature_scores`.
#
# ## What this notebook requires
#
# That the suite finds the bug and lets the repair pass, with nothing left open: an inconclusive check is no pass. A
# correct estimator fails with probability at most 0.001.

# %%
assert "truth" in [finding.check.name for finding in broken.failures]
report = check_entropy_estimator(repaired, profile="ci", seed=SEED, **promises)
report.require()
assert not report.inconclusive, report
report.summary
