# %% [markdown]
# # 05 · Check your own derivation
#
# **Asked:** a derivation on paper ends in a lower bound of mutual information that can be computed. Is each line true?
#
# The derivation, for embeddings $Z, Z'$ of two views:
#
# 1. $I(Z; Z') = h(Z) - h(Z \mid Z')$
# 2. $-h(Z \mid Z') \ge E \log q(Z \mid Z')$ for every density $q$
# 3. so $I(Z; Z') \ge h(Z) + E \log q(Z \mid Z')$
# 4. $h(Z)$ is not known; take the Gaussian value, $h_G = \frac12 \log\det(2 \pi e \Sigma)$, "as $Z$ is roughly
#    Gaussian": $I(Z; Z') \ge h_G + E \log q(Z \mid Z')$
#
# A line is checked by writing down both sides as functions of a random generator. No proof, but a wrong line is found.

# %%
import numpy as np

import itssl
from itssl.distributions import prototype_pairs
from itssl.reports import gap_figure

SEED, N = 0, 200

# %% [markdown]
# ## A world in which all is known
#
# Ten prototypes in the plane, each view a noisy copy of the same one. The joint density is known, so every term is.

# %%
std = 0.1
prototypes = itssl.stream(SEED, "prototypes").normal(size=(10, 2))
law = itssl.GaussianMixture.isotropic(prototypes, std**2)  # of one view
task = prototype_pairs(prototypes, std)  # of both
q = itssl.Gaussian(np.zeros(2), 2 * std**2 * np.eye(2))  # of Z - Z' for two copies of one prototype
h = law.entropy.value
h_gaussian = itssl.Gaussian(law.mean, law.cov).entropy.value
print(f"h(Z) = {h:.3f}, of a Gaussian with the same covariance {h_gaussian:.3f} nats")
task.mutual_information

# %% [markdown]
# ## Line by line
#
# Both sides get equal generators and so see the same draws; what is judged is the mean of the *paired* gap. Each
# replicate averages 200 pairs. The margin of the equality is half the gap of line 2: a smaller error in line 1 cannot
# turn line 3 around.


# %%
def information(rng):
    return task.pointwise_information(*task.sample(N, rng))


def log_conditional(rng):
    z, other = task.sample(N, rng)
    return task.joint.log_density(np.hstack([z, other])) - task.y.log_density(other)


def difference(rng):
    return h + log_conditional(rng)


def log_q(rng):
    z, other = task.sample(N, rng)
    return q.log_density(z - other)


line_2 = itssl.check_inequality(log_q, log_conditional, seed=SEED, statement="line 2")
small = abs(line_2.gap.value) / 2
line_1 = itssl.check_equality(information, difference, margin=small, seed=SEED, statement="line 1")
line_3 = itssl.check_inequality(lambda rng: h + log_q(rng), information, seed=SEED, statement="line 3")
line_4 = itssl.check_inequality(lambda rng: h_gaussian + log_q(rng), information, seed=SEED, statement="line 4")
lines = [line_1, line_2, line_3, line_4]
print(*lines, sep="\n")

# %% [markdown]
# Line 4 is refuted: $h_G$ is the *largest* entropy with that covariance, so it makes a lower bound larger. Here the
# "bound" even exceeds $\log 10$, which no information about ten prototypes can. Each line as its gap, in units of the
# margin where there is one and else of the error of the gap, with what is allowed shaded:

# %%
impossible = itssl.check_inequality(
    np.log(10), lambda rng: h_gaussian + log_q(rng), seed=SEED, statement="log 10 <= the bound of line 4"
)
print(impossible)
gap_figure(lines)

# %% [markdown]
# ## What the rule refuses to say
#
# A verdict is HOLDS, VIOLATED or UNDECIDED, and has no truth value: `if verdict:` raises. Two ways to be undecided are
# worth knowing: a margin below what the draws can resolve, and an estimate that is known to be too low, which cannot
# certify that the truth is below something.

# %%
known, few = task.mutual_information, {"max_replicates": 64, "seed": SEED}
print(itssl.check_equality(information, known.value, margin=known.standard_error, statement="I is known", **few))


def lower_bound(rng):
    return itssl.information_bound(*task.sample(N, rng), entropy="kde").value  # an Estimate that knows its direction


print(itssl.check_inequality(lower_bound, np.log(10), statement="I <= log 10, by a lower bound of I", **few))

# %% [markdown]
# ## Keep it: a claim with worlds and a control
#
# A line worth keeping becomes a claim: its worlds, and a control, a wrong variant that must come out VIOLATED. A check
# that cannot fail shows nothing.


# %%
@itssl.claim(
    "MINE",
    relation=itssl.Relation.AT_MOST,
    margin=0.0,
    reference=itssl.Reference(authors="me", title="Notes", year=2026),
    worlds=(itssl.World(name="ten prototypes", make=lambda: task),),
)
def bound_with_own_entropy(world, rng):
    r"""$h(Z) + E \log q(Z \mid Z') \le I(Z; Z')$ for every density q."""
    z, other = world.sample(N, rng)
    left = world.x.entropy.value + q.log_density(z - other)
    return itssl.Sides(left=left.mean(), right=world.pointwise_information(z, other).mean())


@bound_with_own_entropy.control("Gaussian entropy")
def _(world, rng):
    z, other = world.sample(N, rng)
    left = itssl.Gaussian(world.x.mean, world.x.cov).entropy.value + q.log_density(z - other)
    return itssl.Sides(left=left.mean(), right=world.pointwise_information(z, other).mean())


# %% [markdown]
# ## What this notebook requires
#
# Lines 1 to 3, that line 4 is refuted and exceeds $\log 10$, the claim, and that its control is refuted: `require`
# raises unless a verdict HOLDS, or is what it was told to expect; for a control, unless it is VIOLATED. (In pytest the
# same statements are `itssl.testing.assert_at_most` and `assert_equality`.)

# %%
for verdict in (line_1, line_2, line_3, impossible):
    verdict.require()
line_4.require("VIOLATED")
itssl.check(bound_with_own_entropy, seed=SEED).require()
itssl.check(bound_with_own_entropy, control="Gaussian entropy", seed=SEED).require()
