"""The output law of a deterministic network: what narrow input noise becomes."""

import numpy as np

from itssl.arrays import stream
from itssl.claims.claim import Assumption, World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import (
    NoisyInput,
    digits_data,
    digits_encoder,
    grainy_digits,
    inside_its_region,
    random_covariance,
)
from itssl.distributions.gaussian import Gaussian

EXIT_AT_MOST = 1e-3
DRAWS = 4096

WITHIN_REGION = Assumption(
    name="A1 within-region mass",
    statement="the input leaves the activation region of its prototype with small probability (upper bound)",
    measure=NoisyInput.exit_probability,
    at_most=EXIT_AT_MOST,
)


def _affine_error(world: NoisyInput) -> float:
    """E‖f(X) − (A X + b)‖² / tr A Σ Aᵀ over 2¹⁴ fixed draws; infinite where A Σ Aᵀ is zero (every unit dead)."""
    from itssl.networks.encoders import embed
    from itssl.networks.regions import local_affine

    x = world.law.sample(2**14, stream(0, "affine error"))
    local = local_affine(world.network, world.law.mean[None])
    error = embed(world.network, x) - (x @ local.matrix[0].T + local.offset[0])
    total = float(np.trace(_prediction(world)[1]))
    return float((error**2).sum(axis=1).mean()) / total if total > 0 else np.inf


NEARLY_AFFINE = Assumption(
    name="A1 in mean square",
    statement="beyond its faces the network stays near the affine map in mean square, relative to the total variance",
    measure=_affine_error,
    at_most=EXIT_AT_MOST,
)


def _random_network(widths: tuple[int, ...], seed: int) -> NoisyInput:
    from itssl.networks.encoders import mlp

    rng = stream(seed, "output law", *widths)
    shape = random_covariance(widths[0], rng)
    return inside_its_region(mlp(widths, seed=seed), rng.standard_normal(widths[0]), shape, exit_at_most=EXIT_AT_MOST)


def _small_cnn() -> NoisyInput:
    from itssl.networks.encoders import cnn

    rng = stream(0, "output law", "cnn")
    grainy = grainy_digits(1, rng)[0]
    return inside_its_region(cnn(seed=0), grainy, random_covariance(64, rng), exit_at_most=EXIT_AT_MOST)


def _trained_on_digits() -> NoisyInput:
    shape = random_covariance(64, stream(0, "output law", "digits"))
    return inside_its_region(digits_encoder(), digits_data().test_x[0], shape, exit_at_most=EXIT_AT_MOST)


SQUARE = World(name="ReLU MLP 4-32-4, anisotropic noise", make=lambda: _random_network((4, 32, 4), 0))


@claim(
    "C02",
    relation=Relation.EQUAL,
    margin=0.005,
    reference=SHWARTZ_ZIV_2023,
    formula=r"\mathbb{E} f(X) = A x^* + b, \quad \mathrm{Cov} f(X) = A \Sigma A^\top",
    uses=("C01",),
    assumes=(WITHIN_REGION, NEARLY_AFFINE),
    worlds=(
        SQUARE,
        World(name="ReLU MLP 16-64-64-8, anisotropic noise", make=lambda: _random_network((16, 64, 64, 8), 1)),
        World(name="CNN on a grainy digit", make=_small_cnn, level="default"),
        World(name="digits encoder trained with VICReg", make=_trained_on_digits),
    ),
)
def image_of_narrow_noise_has_moments_of_affine_map(world: NoisyInput, rng: np.random.Generator) -> Sides:
    r"""Narrow Gaussian noise around x* leaves a piecewise-affine network with mean A x* + b and covariance A Σ Aᵀ.

    Hypotheses: X ~ N(x*, Σ) stays in the activation region ω(x*), where f(x) = A x + b, up to a small probability (A1).
    That alone bounds total variation, not moments: a unit beyond a face may be steep. So the squared deviation from
    the affine map must be small in the mean, too.

    Each part compares relative to the prediction P = A Σ Aᵀ, without bias: with the mean error m̂ − (A x* + b) and
    the covariance error Ĉ − P of two independent halves of the draws, ⟨·, ·⟩ estimates the squared error itself.
    """
    return _moments(world, rng, _prediction(world))


@image_of_narrow_noise_has_moments_of_affine_map.control("AᵀΣA for AΣAᵀ")
def _(world: NoisyInput, rng: np.random.Generator) -> Sides:
    matrix, prediction = _local_matrix(world), _prediction(world)
    return _moments(world, rng, (prediction[0], matrix.T @ world.law.cov @ matrix))


@image_of_narrow_noise_has_moments_of_affine_map.control("noise far beyond the faces")
def _(world: NoisyInput, rng: np.random.Generator) -> Sides:
    wide = NoisyInput(network=world.network, law=Gaussian(world.law.mean, world.law.cov * 1e6))
    return _moments(wide, rng, _prediction(wide))


@image_of_narrow_noise_has_moments_of_affine_map.control("offset b forgotten")
def _(world: NoisyInput, rng: np.random.Generator) -> Sides:
    return _moments(world, rng, (_local_matrix(world) @ world.law.mean, _prediction(world)[1]))


def _local_matrix(world: NoisyInput) -> np.ndarray:
    from itssl.networks.regions import local_affine

    return local_affine(world.network, world.law.mean[None]).matrix[0]


def _prediction(world: NoisyInput) -> tuple[np.ndarray, np.ndarray]:
    """Mean A x* + b and covariance A Σ Aᵀ."""
    from itssl.networks.regions import local_affine

    local = local_affine(world.network, world.law.mean[None])
    matrix = local.matrix[0]
    return local(world.law.mean[None])[0], matrix @ world.law.cov @ matrix.T


def _moments(world: NoisyInput, rng: np.random.Generator, prediction: tuple[np.ndarray, np.ndarray]) -> Sides:
    from itssl.networks.encoders import embed

    mean, cov = prediction
    halves = [embed(world.network, world.law.sample(DRAWS, rng)) for _ in range(2)]
    off_mean = [z.mean(axis=0) - mean for z in halves]
    off_cov = [np.cov(z, rowvar=False) - cov for z in halves]
    return Sides(
        left=(
            off_mean[0] @ off_mean[1] / np.trace(cov),
            (off_cov[0] * off_cov[1]).sum() / (cov**2).sum(),
            np.mean([np.trace(c) for c in off_cov]) / np.trace(cov),
        ),
        right=(0.0, 0.0, 0.0),
        parts=("mean, squared error", "covariance, squared error", "total variance, error"),
        measured={"exit probability at most": world.exit_probability()},
    )
