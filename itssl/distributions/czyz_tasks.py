"""The 40 tasks of Czyż et al. (2023): normal and Student variables, and what invariance allows to do to them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.additive_noise import additive_noise_task
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.maps import asinh, half_cube, normal_cdf, spiral, swiss_roll
from itssl.distributions.student import student_task
from itssl.distributions.tasks import Task, gaussian_task

_CORRELATION = 0.75
_STRENGTH = 2.0  # of the factor that two coordinates share, beside noise of variance 1
_PAIR_CORRELATION = _STRENGTH**2 / (1 + _STRENGTH**2)

Builder = Callable[[], Task]


def czyz_tasks() -> Mapping[str, Builder]:
    """Name → builder of the 40 tasks of [1], with the names and parameters of their package ``bmi``.

    Every truth is a closed form, of normal and Student laws and of the line with uniform noise; the others are
    images of these under injective maps of X and of Y. List, dispersions and maps are theirs (spirals turn at
    speed 1/d in the plane (0, 1) of X and (1, 2) of Y, the Swiss roll is divided by 21); the draws are this
    library's own, not their published samples.

    References
    ----------
    [1] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2023). Beyond Normal: On the Evaluation of Mutual Information
        Estimators. NeurIPS.

    >>> len(czyz_tasks())
    40
    """
    normal, flat = partial(_binormal), partial(_flat, _binormal)
    student = partial(_student, 1, 1, 1)
    table: dict[str, Builder] = {
        "1v1-normal-0.75": normal,
        "normal_cdf-1v1-normal-0.75": flat,
        # their ε is half the width
        "1v1-additive-0.1": partial(additive_noise_task, 0.2),
        "1v1-additive-0.75": partial(additive_noise_task, 1.5),
        "1v1-bimodal-0.75": _bimodal,
        "wiggly-1v1-normal-0.75": partial(_mapped, normal, wiggly_x, wiggly_y),
        "half_cube-1v1-normal-0.75": partial(_mapped, normal, half_cube, half_cube),
        "student-identity-1-1-1": student,
        "asinh-student-identity-1-1-1": partial(_mapped, student, asinh, asinh),
        "swissroll_x-normal_cdf-1v1-normal-0.75": partial(_mapped, flat, _small_roll, _same),
    }
    for d in (2, 3, 5, 25, 50):
        table[f"multinormal-dense-{d}-{d}-0.5"] = partial(dense_gaussian_task, d)
    for d in (2, 3, 5, 25):
        table[f"multinormal-sparse-{d}-{d}-2-2.0"] = partial(paired_gaussian_task, d)
    for d, df in ((2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3)):
        table[f"student-identity-{d}-{d}-{df}"] = partial(_student, d, d, df)
    for prefix, change in (
        ("normal_cdf", _flat),
        ("half_cube", _half_cubed),
        ("spiral", _wound),
        ("spiral-normal_cdf", _flat_and_wound),
    ):
        for d in (3, 5, 25):
            table[f"{prefix}-multinormal-sparse-{d}-{d}-2-2.0"] = partial(change, partial(paired_gaussian_task, d))
    for d, df in ((2, 1), (3, 2), (5, 2)):
        base = partial(_student, d, d, df)
        table[f"asinh-student-identity-{d}-{d}-{df}"] = partial(_mapped, base, asinh, asinh)
    return table


def paired_covariance(correlations: Sequence[float]) -> Float[np.ndarray, "d d"]:
    """Unit variances, and correlation ρ_i between X_i and Y_i only.

    >>> paired_covariance([0.5])
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    rho = np.diag(np.asarray(correlations, dtype=float))
    return np.block([[np.eye(len(rho)), rho], [rho, np.eye(len(rho))]])


def dense_gaussian_task(d: int, correlation: float = 0.5) -> Task:
    """d × d standard normal coordinates, every two of the 2d with the same correlation ρ [1].

    I = log(1 + (d−1)ρ) − ½ log(1−ρ) − ½ log(1 + (2d−1)ρ) nats, exact. Raises LawError where the covariance is not
    positive definite.

    References
    ----------
    [1] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2023). Beyond Normal: On the Evaluation of Mutual Information
        Estimators. NeurIPS.

    >>> print(f"{dense_gaussian_task(1).mutual_information.value:.6f}")
    0.143841
    """
    cov = (1 - correlation) * np.eye(2 * d) + correlation
    return gaussian_task(Gaussian(np.zeros(2 * d), cov), d, name=f"dense normal, {d} × {d}")


def paired_gaussian_task(d: int, correlation: float = _PAIR_CORRELATION) -> Task:
    """d × d standard normal coordinates where (X_1, Y_1) and (X_2, Y_2) alone are correlated; exact [1].

    The default 0.8 is that of a shared factor of strength 2 beside noise of variance 1. I = −log(1 − ρ²) nats at any d.
    Raises LawError for d < 2.

    References
    ----------
    [1] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2023). Beyond Normal: On the Evaluation of Mutual Information
        Estimators. NeurIPS.

    >>> print(f"{paired_gaussian_task(5).mutual_information.value:.6f}")
    1.021651
    """
    if d < 2:
        raise LawError(f"d: expected at least 2 coordinates for two pairs, got {d}")
    cov = paired_covariance([correlation] * 2 + [0.0] * (d - 2))
    return gaussian_task(Gaussian(np.zeros(2 * d), cov), d, name=f"2-pair normal, {d} × {d}")


def wiggly_x(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """x plus three sines, increasing: its slope stays above 0.16.

    >>> wiggly_x(np.zeros(1)).round(4)
    array([0.1503])
    """
    return x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5)


def wiggly_y(y: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """y plus three other sines, increasing: its slope stays above 0.53.

    >>> wiggly_y(np.zeros(1)).round(4)
    array([-0.0716])
    """
    return y - 0.4 * np.sin(0.4 * y) + 0.17 * np.sin(1.3 * y + 3.5) + 0.02 * np.sin(4.3 * y - 2.5)


def normal_to_mixture(
    x: Float[np.ndarray, "*shape"], weights: Float[np.ndarray, " m"], means: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "*shape"]:
    """The increasing map that takes N(0, 1) to Σ w_c N(μ_c, 1): y with Σ w_c Φ(y − μ_c) = Φ(x), elementwise.

    By bisection to rounding, from the nearer tail, so it is injective as far as float64 is; y lies between
    x + min μ and x + max μ.

    >>> normal_to_mixture(np.array([0.0]), np.array([0.5, 0.5]), np.array([-3.0, 3.0])).round(6) + 0.0
    array([0.])
    """
    from scipy.special import ndtr

    side = np.where(x > 0, -1.0, 1.0)  # compare lower tails for x ≤ 0, upper ones for x > 0
    goal = ndtr(side * x)
    low, high = x + means.min(), x + means.max()
    for _ in range(60):
        middle = (low + high) / 2
        mass = ndtr(side[..., None] * (middle[..., None] - means)) @ weights
        too_low = side * (mass - goal) < 0
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    return (low + high) / 2


def _binormal() -> Task:
    return gaussian_task(Gaussian(np.zeros(2), paired_covariance([_CORRELATION])), 1)


def _student(d_x: int, d_y: int, df: float) -> Task:
    return student_task(np.eye(d_x + d_y), d_x, float(df))


def _bimodal() -> Task:
    to_x = partial(normal_to_mixture, weights=np.array([0.3, 0.7]), means=np.array([0.0, 5.0]))
    to_y = partial(normal_to_mixture, weights=np.array([0.5, 0.5]), means=np.array([-1.0, 3.0]))
    return _binormal().transformed(to_x, to_y)


def _mapped(base: Builder, f: Callable[[Samples], Samples], g: Callable[[Samples], Samples]) -> Task:
    return base().transformed(f, g)


def _flat(base: Builder) -> Task:
    return base().transformed(normal_cdf, normal_cdf)


def _half_cubed(base: Builder) -> Task:
    return base().transformed(half_cube, half_cube)


def _wound(base: Builder) -> Task:
    task = base()
    wind_x = partial(spiral, speed=1 / task.d_x, plane=(0, 1))
    wind_y = partial(spiral, speed=1 / task.d_y, plane=(1, 2))
    return task.transformed(wind_x, wind_y)


def _flat_and_wound(base: Builder) -> Task:
    return _wound(partial(_flat, base))


def _small_roll(x: Samples) -> Samples:
    return swiss_roll(x) / 21  # about as wide as the interval it came from


def _same(x: Samples) -> Samples:
    return x
