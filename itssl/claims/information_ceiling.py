"""How much two views of a prototype can share: the ceiling log N, and which encoders reach it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.claims.claim import Assumption, World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import digits_data, digits_encoder
from itssl.distributions.mixture import GaussianMixture

DRAWS = 256


@dataclass(frozen=True, kw_only=True)
class EncodedViews:
    """A view Z of K dimensions through an encoder and a raw view X': their joint law given each of N prototypes."""

    joint: GaussianMixture
    k: int

    def part(self, start: int, stop: int) -> GaussianMixture:
        """The law of the coordinates from start to stop."""
        block = slice(start, stop)
        return GaussianMixture(self.joint.weights, self.joint.means[:, block], self.joint.covs[:, block, block])

    def dependence(self) -> float:
        """Largest canonical correlation of Z and X' given a prototype."""
        k = self.k
        largest = 0.0
        for cov in self.joint.covs:
            white = np.linalg.solve(np.linalg.cholesky(cov[:k, :k]), cov[:k, k:])
            white = np.linalg.solve(np.linalg.cholesky(cov[k:, k:]), white.T)
            largest = max(largest, float(np.linalg.norm(white, ord=2)))
        return largest


CONDITIONALLY_INDEPENDENT = Assumption(
    name="A4 views independent given the prototype",
    statement="no coordinate of one view correlates with the other given the prototype (largest canonical correlation)",
    measure=EncodedViews.dependence,
    at_most=0.0,
)


def _encoded(
    prototypes: Float[np.ndarray, "N D"],
    means: Float[np.ndarray, "N K"],
    matrices: Float[np.ndarray, "N K D"],
    *,
    input_std: float,
    output_std: float = 0.0,
    shared: float = 0.0,
) -> EncodedViews:
    """X' = x*_n + noise, Z = f(x*_n) + A_n · noise + output noise; the two noises of X have correlation ``shared``."""
    (n, d), k = prototypes.shape, means.shape[1]
    covs = np.zeros((n, k + d, k + d))
    covs[:, :k, :k] = input_std**2 * matrices @ matrices.transpose(0, 2, 1) + output_std**2 * np.eye(k)
    covs[:, k:, k:] = input_std**2 * np.eye(d)
    covs[:, :k, k:] = shared * input_std**2 * matrices
    covs[:, k:, :k] = covs[:, :k, k:].transpose(0, 2, 1)
    covs = (covs + covs.transpose(0, 2, 1)) / 2
    return EncodedViews(joint=GaussianMixture(np.full(n, 1 / n), np.hstack([means, prototypes]), covs), k=k)


def _scattered(n: int = 200, d: int = 8) -> Float[np.ndarray, "n d"]:
    return stream(0, "scattered prototypes", n, d).standard_normal((n, d))


def _linear(diagonal: Float[np.ndarray, " 8"], *, output_std: float = 1e-3, shared: float = 0.0) -> EncodedViews:
    """z = diag(diagonal) x + output noise, 200 prototypes in R^8."""
    x, matrix = _scattered(), np.diag(diagonal)
    matrices = np.broadcast_to(matrix, (len(x), 8, 8))
    return _encoded(x, x @ matrix, matrices, input_std=1e-4, output_std=output_std, shared=shared)


def _through_network(n: int, *widths: int) -> EncodedViews:
    """A random ReLU network without output noise: its affine map at each prototype."""
    from itssl.networks.encoders import mlp
    from itssl.networks.regions import local_affine

    x = _scattered(n, widths[0])
    local = local_affine(mlp(widths, seed=0), x)
    return _encoded(x, local(x), local.matrix, input_std=1e-5)


def _overlapping() -> EncodedViews:
    """z = x plus noise as wide as that of x, 50 prototypes in R^4 so near one another that both views confuse them."""
    x = _scattered(50, 4)
    return _encoded(x, x, np.broadcast_to(np.eye(4), (50, 4, 4)), input_std=0.4, output_std=0.4)


def _folded() -> EncodedViews:
    """z = |x| coordinate by coordinate, at 100 prototypes and their negatives: each value twice."""
    half = _scattered(100, 4)
    x = np.vstack([half, -half])
    signs = np.sign(x)[:, :, None] * np.eye(4)
    return _encoded(x, np.abs(x), signs, input_std=1e-3)


def _trained() -> EncodedViews:
    from itssl.networks.regions import local_affine

    x = digits_data().test_x[:20]
    local = local_affine(digits_encoder(), x)
    return _encoded(x, local(x), local.matrix, input_std=1e-3, output_std=0.1)


ALL_DIRECTIONS = World(name="200 prototypes, all 8 directions kept", make=lambda: _linear(np.ones(8)))
ON_A_LINE = World(name="200 prototypes, means collapsed to a line", make=lambda: _linear(np.eye(8)[0]))
FOLDED = World(name="200 prototypes, merged in pairs by |x|", make=_folded)
SHARED_NOISE = World(
    name="200 prototypes, views that share their noise", make=lambda: _linear(np.ones(8), output_std=1e-5, shared=0.9)
)


@claim(
    "C14",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=SHWARTZ_ZIV_2023,
    formula=r"\log N - H(T \mid Z) - H(T \mid X') \le I(Z; X') \le \log N - H(T \mid Z) \le \log N",
    uses=("C08",),
    assumes=(CONDITIONALLY_INDEPENDENT,),
    worlds=(
        ALL_DIRECTIONS,
        ON_A_LINE,
        World(
            name="200 prototypes, a line, narrower noise",
            make=lambda: _linear(np.eye(8)[0], output_std=1e-6),
            level="default",
        ),
        World(name="100 prototypes, ReLU MLP 8-32-1", make=lambda: _through_network(100, 8, 32, 1)),
        World(name="50 prototypes that overlap", make=_overlapping),
        FOLDED,
        World(name="20 digits, encoder trained with VICReg, output noise 0.1", make=_trained),
    ),
    tight_at=ALL_DIRECTIONS,
)
def information_of_views_is_at_most_log_n(world: EncodedViews, rng: np.random.Generator) -> Sides:
    r"""log N − H(T|Z) − H(T|X') ≤ I(Z;X') ≤ log N − H(T|Z) ≤ log N, if the views are independent given T (A4).

    By the chain rule I(Z;T) = I(Z;X') + I(Z;T|X') for Z – T – X', and I(Z;T|X') ≤ H(T|X'). So with prototypes that X'
    tells apart, every encoder that merges none of them has I = log N, whatever its rank: information does not press
    on Σ_Z. Means of posteriors and densities over the same draws; ½ log|Σ_Z| (total covariance) is measured beside.
    """
    information, left_by_z, left_by_x, log_n = _entropies(world, rng)
    return Sides(
        left=(information, log_n - left_by_z - left_by_x, information),
        right=(log_n - left_by_z, information, log_n),
        parts=("I ≤ log N − H(T|Z)", "log N − H(T|Z) − H(T|X') ≤ I", "I ≤ log N"),
        measured={
            "I(Z;X')": information, "log N": log_n, "H(T|Z)": left_by_z, "H(T|X')": left_by_x,
            "½ log|Σ_Z|": _half_log_det(world),
        },
    )  # fmt: skip


@information_of_views_is_at_most_log_n.control("views that share their noise", world=SHARED_NOISE)
def _(world: EncodedViews, rng: np.random.Generator) -> Sides:
    information, *_, log_n = _entropies(world, rng)
    return Sides(left=information, right=log_n, parts=("I ≤ log N",))


@information_of_views_is_at_most_log_n.control("an encoder that merges prototypes reaches log N", world=FOLDED)
def _(world: EncodedViews, rng: np.random.Generator) -> Sides:
    information, *_, log_n = _entropies(world, rng)
    return Sides(left=log_n, right=information, parts=("log N ≤ I",))


@information_of_views_is_at_most_log_n.control("½ log|Σ_Z| lost is information lost", world=ON_A_LINE)
def _(world: EncodedViews, rng: np.random.Generator) -> Sides:
    information, *_, log_n = _entropies(world, rng)
    lost = _half_log_det(_linear(np.ones(8))) - _half_log_det(world)
    return Sides(left=information, right=log_n - lost, parts=("I ≤ log N − what ½ log|Σ_Z| lost",))


def _half_log_det(world: EncodedViews) -> float:
    return 0.5 * float(np.linalg.slogdet(world.part(0, world.k).cov)[1])


def _entropies(world: EncodedViews, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """I(Z;X'), H(T|Z), H(T|X') and log N: means over the same draws."""
    from scipy.special import logsumexp

    both, labels = world.joint.sample_with_labels(DRAWS, rng)
    laws = world.joint, world.part(0, world.k), world.part(world.k, world.joint.dim)
    points = both, both[:, : world.k], both[:, world.k :]
    given = [law.component_log_densities(x) + np.log(law.weights) for law, x in zip(laws, points, strict=True)]
    log_p = [np.asarray(logsumexp(g, axis=1)) for g in given]
    information = float((log_p[0] - log_p[1] - log_p[2]).mean())
    own = np.arange(DRAWS), labels
    left = [float((log_p[i] - given[i][own]).mean()) for i in (1, 2)]
    return information, left[0], left[1], float(np.log(len(world.joint.weights)))
