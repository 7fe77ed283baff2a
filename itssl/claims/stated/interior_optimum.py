"""Where the bound is largest: stated numbers of C12."""

from functools import partial

import numpy as np

from itssl.claims.interior_optimum import NARROWEST, PrototypeCenters
from itssl.claims.stated_values import StatedValue
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture

PROTOTYPES = 200, 8


def _components(rng: np.random.Generator) -> PrototypeCenters:
    """200 centers N(0, 4 I_8)."""
    return PrototypeCenters(centers=2 * rng.standard_normal(PROTOTYPES), within=lambda _: np.eye(PROTOTYPES[1]))


def _bound_at(var: float, rng: np.random.Generator) -> float:
    """The bound of isolated components at within-view covariance var I."""
    components = _components(rng)
    return components.draw(rng).at(var * np.eye(components.dim)).bound


def _log_form_by_moments(rng: np.random.Generator) -> float:
    """h − (K/2) log 2π − log(|Σ| |Σ'|) at Σ = Σ' = 1e-8 I, h the Gaussian entropy of the total covariance."""
    components, cov = _components(rng), NARROWEST * np.eye(PROTOTYPES[1])
    mixture = GaussianMixture.isotropic(components.centers, NARROWEST)
    draws = components.draw(rng)
    return draws.log_form(cov) - draws.at(cov).entropy + Gaussian(mixture.mean, mixture.cov).entropy.value


C12 = (
    "The centers are not described: N(0, 4I), redrawn; their spread is the round number at which 2.43 comes out, 0.10 "
    "below the 2.53 of isolated components."
)
VALUES = (
    StatedValue(
        claim="C12", quantity="largest bound, at ½I", stated=2.43, rounding=0.005,
        measure=partial(_bound_at, 0.5), replicates=16, source_replicates=1, level="default", note=C12,
    ),
    StatedValue(
        claim="C12", quantity="bound at 1e-8 I", stated=-64, rounding=0.5,
        measure=partial(_bound_at, NARROWEST), replicates=4, level="quick",
        note="log N + (K/2)(1 + log 1e-8) = −64.38, wherever the centers are.",
    ),
    StatedValue(
        claim="C12", quantity="form with log-determinants at 1e-8 I", stated=305, rounding=0.5,
        measure=_log_form_by_moments, replicates=16, source_replicates=1, level="default",
        note=C12 + " With the Gaussian entropy of the total covariance for h; with the true h it is 230.",
    ),
)  # fmt: skip
