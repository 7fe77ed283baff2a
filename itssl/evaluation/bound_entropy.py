"""The entropy that stands in the information bound: by name, by an estimator, or as a known Estimate."""

import inspect
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.choices import ParameterError, UnknownNameError, require_known
from itssl.estimate import Bias, Estimate
from itssl.estimators.adequacy import moment_warnings
from itssl.estimators.diagnosis import tie_warnings
from itssl.estimators.fitted_mixture import FittedMixture
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.estimators.hausdorff import HausdorffEntropy
from itssl.estimators.log_determinant import LogDet, logdet_entropy
from itssl.estimators.nearest_neighbors import KozachenkoLeonenko
from itssl.estimators.noise_convolved import NoiseConvolved
from itssl.estimators.pairwise_mixture import PairwiseMixture, pairwise_entropy_bounds, saturation_warnings
from itssl.kernels.linalg import LOG_2PI, covariance
from itssl.kernels.pairwise import kernel_sums

NAMES = ("gaussian", "logdet", "pairwise", "noise_convolved", "knn", "mixture", "kde")
NEED_NOISE = ("logdet", "pairwise", "noise_convolved")
_OF_DRAWS = {"gaussian": GaussianPlugin, "knn": KozachenkoLeonenko, "mixture": FittedMixture}


class EntropyPiece(NamedTuple):
    """h and what the other term needs to know of it.

    ``influence``: centered contributions of the rows to the value, whose spread over √n is the error; None where the
    estimator keeps them to itself. ``drawn``: Z + noise as drawn for this h; None where the noise is in closed form.
    """

    estimate: Estimate
    influence: Float[np.ndarray, " n"] | None
    drawn: Samples | None


def require_entropy(entropy: Any, *, noise_std: float, on_sphere: bool) -> None:
    """Raise UnknownNameError or ParameterError where ``entropy`` is not on offer, or does not fit noise or measure."""
    if isinstance(entropy, str):
        require_known("entropy", entropy, NAMES)
    elif not isinstance(entropy, Estimate) and (inspect.isclass(entropy) or not hasattr(entropy, "entropy")):
        made = f"; pass {entropy.__name__}(...), configured" if inspect.isclass(entropy) else ""
        raise UnknownNameError(
            f"entropy: expected one of {', '.join(map(repr, NAMES))}, an Estimate of h(Z), or an estimator with "
            f".entropy, got {entropy!r}{made}"
        )
    if isinstance(entropy, Estimate) and entropy.units != "nats":
        raise ParameterError(f"entropy: expected an Estimate in nats, got one in {entropy.units}")
    if on_sphere:
        if noise_std:
            raise ParameterError(
                f'noise_std: expected 0 with q="vmf", got {noise_std:g}; Z + noise is not on the sphere. Use '
                'q="isotropic", or entropy="kde", which needs no density of Z'
            )
        if entropy != "kde" and not isinstance(entropy, Estimate | HausdorffEntropy):
            raise ParameterError(
                f'entropy: expected "kde", a HausdorffEntropy or an Estimate relative to the area of the sphere with '
                f'q="vmf", got {entropy!r}; densities of R^d and of the sphere cannot be added up'
            )
        return
    if isinstance(entropy, str) and entropy in NEED_NOISE and not noise_std:
        raise ParameterError(
            f"noise_std: expected a number > 0 with entropy={entropy!r}, got 0; it is an entropy of Z + noise, not of "
            'Z. State the noise, or use entropy="gaussian" or "knn"'
        )
    if isinstance(entropy, LogDet | HausdorffEntropy):
        other = 'entropy="logdet" with noise_std' if isinstance(entropy, LogDet) else 'q="vmf"'
        raise ParameterError(
            f"entropy: expected an entropy of Z + noise_std · N(0, I) in R^d, got {entropy!r}; use {other}"
        )
    var = getattr(entropy, "var", None)
    if isinstance(entropy, PairwiseMixture | NoiseConvolved) and not (
        isinstance(var, float) and np.isclose(var, noise_std**2)
    ):
        raise ParameterError(
            f"noise_std: expected √var = {var if isinstance(var, tuple) else var**0.5:.6g} of {entropy!r}, got "
            f"{noise_std:g}; the noise must be the same in h and in E log q, or the bound gains nats for nothing"
            if isinstance(var, float)
            else f"entropy: expected one variance, for noise N(0, noise_std²·I), got {entropy!r}"
        )


def entropy_piece(entropy: Any, z: Samples, *, noise_std: float, seed: int) -> EntropyPiece:
    """h(Z + noise) as named, in nats; ``entropy`` must have passed :func:`require_entropy` and not be "kde".

    >>> rows = np.random.default_rng(0).normal(size=(500, 2))
    >>> entropy_piece("gaussian", rows, noise_std=0.0, seed=0).estimate
    2.794 ± 0.045 nats (GaussianPlugin(), n=500)
    """
    if isinstance(entropy, Estimate):
        return EntropyPiece(entropy, None, None)
    if entropy == "logdet":
        return _logdet(z, noise_std)
    if entropy == "pairwise":
        return _pairwise(z, noise_std)
    if entropy == "noise_convolved":
        entropy = NoiseConvolved(var=noise_std**2)
    if isinstance(entropy, PairwiseMixture | NoiseConvolved):
        return EntropyPiece(entropy.entropy(z), None, None)
    drawn = with_noise(z, noise_std, seed)
    found = (_OF_DRAWS[entropy]() if isinstance(entropy, str) else entropy).entropy(drawn)
    influence = None
    if entropy == "gaussian" and np.isfinite(found.value):
        influence = _gaussian_influence(drawn, covariance(drawn))
    return EntropyPiece(found, influence, drawn)


def with_noise(z: Samples, noise_std: float, seed: int) -> Samples:
    """Z + noise_std · N(0, I), one draw a row, from a stream of its own.

    >>> with_noise(np.zeros((2, 1)), 0.0, 0)
    array([[0.],
           [0.]])
    """
    if not noise_std:
        return z
    return z + noise_std * stream(seed, "noise of the information bound", *z.shape).standard_normal(z.shape)


def _logdet(z: Samples, noise_std: float) -> EntropyPiece:
    cov = covariance(z)
    influence = _gaussian_influence(z, cov, ridge=noise_std**2)
    varying = z[:, np.ptp(z, axis=0) > 0]
    found = Estimate(
        value=float(logdet_entropy(z, ridge=noise_std**2)), standard_error=_error(influence), n=len(z),
        bias=Bias.UNKNOWN, method=f"LogDet, ½ log((2πe)^d |C + s²I|), s = {noise_std:g}", reference=LogDet.REFERENCE,
        warnings=moment_warnings(varying),
    )  # fmt: skip
    return EntropyPiece(found, influence, None)


def _pairwise(z: Samples, noise_std: float) -> EntropyPiece:
    """The lower bound of PairwiseMixture, which refuses columns that the noise alone makes vary."""
    n, d = z.shape
    value = float(pairwise_entropy_bounds(z, var=noise_std**2).lower)
    white = (z - z.mean(axis=0)) / noise_std
    sums = kernel_sums(white, 1.0)[0]
    share = kernel_sums(white, 1.0, np.stack([1 / sums, 1 / sums], axis=1))[0]
    influence = -np.log(sums / n) - share
    component = d * (LOG_2PI + 1) / 2 + d * float(np.log(noise_std))
    found = Estimate(
        value=value, standard_error=_error(influence), n=n, bias=Bias.LOWER, reference=PairwiseMixture.REFERENCE,
        method=f"pairwise (Bhattacharyya), s = {noise_std:g}",
        warnings=saturation_warnings(value - component, n) + tie_warnings(z, name="z_a"),
    )  # fmt: skip
    return EntropyPiece(found, influence - influence.mean(), None)


def _gaussian_influence(z: Samples, cov: Float[np.ndarray, "d d"], *, ridge: float = 0.0) -> Float[np.ndarray, " n"]:
    """½ (n/(n−1) δᵀ(C + rI)⁻¹δ − tr (C + rI)⁻¹C) for each row: the derivative of ½ log|C + rI| in its weight."""
    centered = z - z.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(cov + ridge * np.eye(len(cov))), centered.T)
    influence = 0.5 * len(z) / (len(z) - 1) * np.square(white).sum(axis=0)
    return influence - influence.mean()


def _error(influence: Float[np.ndarray, " n"]) -> float:
    return float(influence.std(ddof=1) / np.sqrt(len(influence)))
