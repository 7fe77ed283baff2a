"""The lower bound h(Z) + E log q(Z|Z') on the information of two views, with every piece shown."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import (
    SampleError,
    Samples,
    SamplesLike,
    refuse_constant_columns,
    stream,
)
from itssl.choices import ParameterError, require_count, require_known, require_positive
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.adequacy import covariance_warnings
from itssl.estimators.variational_bounds import BARBER_2003
from itssl.evaluation.bound_entropy import EntropyPiece, entropy_piece, require_entropy, with_noise
from itssl.evaluation.conditional_density import (
    FAMILIES,
    ConditionalDensity,
    Family,
    fit,
    isotropic,
    von_mises_fisher,
    widened_for_contrast,
)
from itssl.evaluation.view_pairs import paired_views
from itssl.kernels.linalg import column_std
from itssl.markup import require_pandas, table

MCALLESTER_2020 = Reference(
    authors="McAllester & Stratos", title="Formal limitations on the measurement of mutual information", year=2020,
    where="AISTATS, PMLR 108, 875-884",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, repr=False)
class InformationBound:
    """h(Z) + E log q(Z|Z') and its pieces. Made by :func:`information_bound`.

    ``value.bias`` is LOWER exactly where ``valid``; ``reason`` says why or why not. ``cap`` is log N of the prototypes
    stated, or log n of the rows (log m of the candidates with "kde").

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> found = information_bound(*linear_gaussian_views([0.9]).sample(500, np.random.default_rng(0)), entropy="kde")
    >>> found.valid, found.value.bias
    (True, <Bias.LOWER: 'lower'>)
    """

    target: str
    """What is bounded, e.g. I(Z + noise; Z')."""
    value: Estimate
    entropy: Estimate
    """h, of Z + noise where noise is stated; with "kde" the cross-entropy −E log q̄(Z)."""
    cross_term: Estimate
    """E log q(Z|Z'), at the same Z + noise."""
    q: str
    scale: str
    noise_std: float
    noise_relative: float
    """noise_std over the root mean variance of the coordinates of z_a."""
    cap: float
    cap_reason: str
    valid: bool
    reason: str
    error_reason: str
    warnings: tuple[EstimateWarning, ...] = field(default=())

    def __bool__(self) -> bool:
        raise TypeError("an InformationBound has no truth value; see .valid and .value")

    def to_pandas(self) -> Any:
        """The pieces as a DataFrame, one line each. ImportError without pandas."""
        return require_pandas().DataFrame(
            [
                {"piece": name, "value": e.value, "standard_error": e.standard_error, "bias": e.bias.value, "how": how}
                for name, e, how in self._pieces()
            ]
        ).set_index("piece")  # fmt: skip

    def __str__(self) -> str:
        pieces = [(name, str(e).partition(" nats")[0], how) for name, e, how in self._pieces()]
        widths = [max(len(row[i]) for row in pieces) for i in (0, 1)]
        lines = [f"  {name:<{widths[0]}}  {number:>{widths[1]}}  {how}" for name, number, how in pieces]
        return "\n".join([self._title(), *lines, *(f"  {key}: {text}" for key, text in self._notes())])

    def __repr__(self) -> str:
        return "\n".join([str(self), *(f"  ! {warning}" for warning in self.warnings)])

    def _repr_html_(self) -> str:
        rows = [(name, str(e).partition(" nats")[0], how) for name, e, how in self._pieces()]
        notes = [*self._notes(), *((f"⚠ {w.code}", f"{w.message}; {w.cure}") for w in self.warnings)]
        listed = [f"{key}: {text}" for key, text in notes]
        return table(("", "nats", "by"), rows, caption=self._title(), notes=listed)

    def _title(self) -> str:
        sign = "≥ in expectation" if self.valid else "no bound, plug-in"
        return f"{self.target}, {sign}: {str(self.value).partition(' (')[0]} (n = {self.value.n})"

    def _pieces(self) -> list[tuple[str, Estimate, str]]:
        return [
            ("h", self.entropy, f"{self.entropy.method} ({self.entropy.bias.value})"),
            ("E log q", self.cross_term, self.q),
            ("sum", self.value, f"at most {self.cap:.4g}: {self.cap_reason}"),
        ]

    def _notes(self) -> list[tuple[str, str]]:
        noise = "none" if not self.noise_std else (
            f"s = {self.noise_std:.4g} in both terms, {self.noise_relative:.2g} of the deviation of z_a"
        )  # fmt: skip
        return [
            ("valid" if self.valid else "not valid", self.reason), ("scale", self.scale), ("noise", noise),
            ("error", self.error_reason),
        ]  # fmt: skip


class _Cross(NamedTuple):
    """log q of each row, and with "kde" (else nan) log q̄ and the share of the row as a candidate; and what q was."""

    log_q: Float[np.ndarray, " n"]
    log_aggregate: Float[np.ndarray, " n"]
    candidate: Float[np.ndarray, " n"]
    density: ConditionalDensity
    """The last one where several are fitted, for the report."""
    own: float
    """The mean of log q over the rows of the fits."""
    candidates: tuple[int, ...]
    """The number of rows in each part."""

    @property
    def ceiling(self) -> float:
        """The mean over all rows of log m, m the candidates of the row."""
        return sum(m * math.log(m) for m in self.candidates) / sum(self.candidates)


def information_bound(
    z_a: SamplesLike,
    z_b: SamplesLike,
    *,
    entropy: Any,
    q: Family = "isotropic",
    scale: Literal["optimal", "as given"] = "optimal",
    q_std: float | None = None,
    temperature: float | None = None,
    noise_std: float = 0.0,
    prototypes: int | None = None,
    folds: int = 5,
    seed: int = 0,
) -> InformationBound:
    r"""I(Z; Z') = h(Z) − h(Z|Z') ≥ h(Z) + E log q(Z|Z') for every conditional density q [1], piece by piece, in nats.

    The step loses E D(p(·|z')‖q(·|z')). The sum is a lower bound in expectation if h is exact, unbiased or too small
    and q was not fitted to the rows at which it is read: so q is fitted on folds−1 of ``folds`` parts of the rows and
    read on the other. With an h that is too large (Gaussian maximum entropy) or merely estimated the sum is a
    plug-in of no direction, and ``valid`` is False. Rows are taken as independent: several views of one input
    belong in one row each.

    **Noise.** With ``noise_std`` = s > 0 the bound is one of I(Z + N(0, s²I); Z') ≤ I(Z; Z'), and both terms are those
    of Z + noise. Noise in h alone would add d s²/(2σ²) nats for an isotropic q of variance σ² (d/2 at σ = s), and
    (d/2) log(1 + s²/r²) if q were fitted to residuals of variance r² without it.

    **Scale.** I is invariant under z ↦ az; h + E log N(aZ; aZ', I) moves by d log a − (a² − 1) E‖Z − Z'‖²/2 and is
    largest at a² = d/E‖Z − Z'‖². ``scale="optimal"`` fits σ, which is that optimum; ``"as given"`` uses
    N(z'; ``q_std``² I), with 1 unless given, and says what is lost.

    Parameters
    ----------
    z_a, z_b: embeddings of two views, shape (n, d) both; numpy, torch, DataFrames. Z is z_a.
    entropy: "gaussian" (upper bound of h), "knn", "mixture" (no direction); with ``noise_std`` "logdet" (Gaussian,
        noise in closed form), "pairwise" and "noise_convolved" (lower bounds of h(Z + noise): valid); "kde": −E log of
        q̄(z) = (1/m) Σ_j q(z|z'_j) over the m rows read together, own pair included, for which the sum is
        InfoNCE with critic log q [2], anchors in z_a: valid, and at most log m (the width of a fitted q is then
        the one best for the sum on the rows of the fit); an Estimate of h(Z + noise), e.g. the exact one;
        or an estimator, whose stated bias decides.
    q: "isotropic" or "diagonal" N(z'; ·) with the second moments of z − z'; "full": N(Bz' + c, S), regression of z on
        z' with its residual covariance (with "gaussian" the Gaussian information); "vmf": von Mises–Fisher
        around z', for rows divided by their length. There h is relative to the area of the sphere ("kde", a
        HausdorffEntropy or an Estimate), and with "kde" the sum is log n − InfoNCE loss at τ = 1/κ exactly.
    scale, q_std: see above; for q="isotropic" alone.
    temperature: τ = 1/κ of "vmf"; fitted unless given.
    noise_std: s. prototypes: N, for I ≤ log N if views are independent given one of N prototypes.
    folds, seed: parts of the rows for fitting, drawn at random; with "kde" m is n/folds. Without a fit m is n.

    The error is the spread of the rows' joint contributions to both terms where h shows them, else the sum of the
    errors of both terms, which is no smaller than that of the sum. Warnings: those of the entropy; ``not_a_bound``;
    ``above_log_prototypes``; ``above_log_rows``: no lower bound that holds for every law is above O(log n) [3], so
    what is above rests on the model in h; ``small_sample_for_dimension`` of a fitted "full".

    Raises SampleError for inadmissible or unequal shapes, collapsed or constant columns (the latter only without
    noise), equal views, too few rows; ParameterError for options that do not go together; UnknownNameError.

    References
    ----------
    [1] Barber & Agakov (2003). The IM algorithm: a variational approach to information maximization. NIPS 16.
    [2] Poole, Ozair, van den Oord, Alemi & Tucker (2019). On variational bounds of mutual information. ICML.
    [3] McAllester & Stratos (2020). Formal limitations on the measurement of mutual information. AISTATS.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> z_a, z_b = linear_gaussian_views([0.9, 0.9]).sample(1000, np.random.default_rng(0))  # 1.66 nats
    >>> found = information_bound(z_a, z_b, entropy="pairwise", noise_std=0.3)
    >>> print(f"{found.value.value:.2f} ± {found.value.standard_error:.2f} {found.valid}")
    0.83 ± 0.03 True
    """
    require_known("q", q, FAMILIES)
    require_known("scale", scale, ("optimal", "as given"))
    folds = require_count("folds", folds, minimum=2)
    prototypes = None if prototypes is None else require_count("prototypes", prototypes)
    noise_std = 0.0 if noise_std == 0 else require_positive("noise_std", noise_std)
    fixed_std = _fixed_std(q, scale, q_std)
    if temperature is not None:
        temperature = require_positive("temperature", temperature)
        if q != "vmf":
            raise ParameterError(f'temperature: expected none with q={q!r}, got {temperature:g}; it is for q="vmf"')
    require_entropy(entropy, noise_std=noise_std, on_sphere=q == "vmf")
    z, z_pair = _admitted(z_a, z_b, on_sphere=q == "vmf", noise_std=noise_std)
    n, d = z.shape

    by_aggregate = isinstance(entropy, str) and entropy == "kde"
    piece = None
    if by_aggregate:
        seen, extra = with_noise(z, noise_std, seed), 0.0
    else:
        piece = entropy_piece(entropy, z, noise_std=noise_std, seed=seed)
        seen, extra = (z, noise_std**2) if piece.drawn is None else (piece.drawn, 0.0)
    given = isotropic(fixed_std, d=d) if fixed_std else None
    if temperature is not None:
        given = von_mises_fisher(1 / temperature, d=d)
    cross = _cross(q, seen, z_pair, extra, given, folds, seed, by_aggregate)

    h, value, error_reason = _summed(cross, piece, n)
    valid, reason = _judged(h, by_aggregate, str(entropy))
    cap, cap_reason = cross.ceiling, f"log m of the {_listed(cross.candidates)} candidates of each row"
    if not by_aggregate:
        cap, cap_reason = math.log(n), f"log n of the {n} rows, for bounds that hold for every law"
    if prototypes is not None and not (by_aggregate and math.log(prototypes) > cap):
        cap, cap_reason = (
            math.log(prototypes),
            f"log N of {prototypes} prototypes, given which views are independent",
        )
    warnings = h.warnings + _warnings(value.value, cap, prototypes, valid, reason, by_aggregate)
    if q == "full":
        warnings += covariance_warnings(n - n // folds, 2 * d, name="z_a and z_b")
    value = replace(value, bias=Bias.LOWER if valid else Bias.UNKNOWN, warnings=warnings)
    log_q = Estimate(
        value=cross.log_q.mean(), standard_error=_error(cross.log_q), n=n, method=cross.density.text,
        bias=Bias.UNBIASED, degrees_of_freedom=n - 1,
        diagnostics={} if given else {"optimism_nats": cross.own - cross.log_q.mean()},
    )  # fmt: skip
    return InformationBound(
        target=_target(q, noise_std), value=value, entropy=h, cross_term=log_q,
        q=cross.density.text + ("" if given else f"; fitted on {folds - 1} parts of {folds}, read on the other"),
        scale=_scale(q, seen, z_pair, extra, fixed_std, temperature, by_aggregate), noise_std=noise_std,
        noise_relative=noise_std / float(np.sqrt(np.square(_std(z)).mean())), cap=cap, cap_reason=cap_reason,
        valid=valid, reason=reason, error_reason=error_reason, warnings=warnings,
    )  # fmt: skip


def _fixed_std(q: str, scale: str, q_std: float | None) -> float | None:
    """σ of the isotropic q where it is given."""
    if scale == "optimal":
        if q_std is not None:
            raise ParameterError(f'q_std: expected none with scale="optimal", got {q_std!r}; use scale="as given"')
        return None
    if q != "isotropic":
        raise ParameterError(f'scale: expected "optimal" with q={q!r}, got "as given"; its parameters are fitted')
    return require_positive("q_std", 1.0 if q_std is None else q_std)


def _admitted(z_a: SamplesLike, z_b: SamplesLike, *, on_sphere: bool, noise_std: float) -> tuple[Samples, Samples]:
    z, z_pair = paired_views(z_a, z_b, constant_columns=True)
    if not noise_std and not on_sphere:
        refuse_constant_columns(z, name="z_a")
    if not on_sphere:
        return z, z_pair
    if z.shape[1] < 2:
        raise SampleError(f'z_a: expected at least 2 columns with q="vmf", got shape {z.shape}; use q="isotropic"')
    unit = []
    for name, rows in (("z_a", z), ("z_b", z_pair)):
        lengths = np.linalg.norm(rows, axis=1)
        if not lengths.min() > 0:
            raise SampleError(
                f"{name}: expected rows with a direction, got a zero row ({int(np.argmin(lengths))}); drop it, or use "
                'q="isotropic"'
            )
        unit.append(rows / lengths[:, None])
    return unit[0], unit[1]


def _cross(
    family: Family, z: Samples, z_pair: Samples, extra: float, given: ConditionalDensity | None, folds: int, seed: int,
    aggregate: bool,
) -> _Cross:  # fmt: skip
    n = len(z)
    every = np.arange(n)
    if given is not None:
        parts, densities, own = [every], [given], [0.0]
    else:
        if n < 2 * folds:
            raise SampleError(
                f"z_a and z_b: expected at least 2 rows a fold, got {n} rows for folds={folds}; use more rows or fewer "
                "folds"
            )
        parts = np.array_split(stream(seed, "folds of the information bound").permutation(n), folds)
        rests = [np.setdiff1d(every, part) for part in parts]
        densities = [fit(family, z[rest], z_pair[rest], noise_var=extra) for rest in rests]
        if aggregate:
            densities = [widened_for_contrast(q, z[r], z_pair[r]) for q, r in zip(densities, rests, strict=True)]
        own = [q.log_density(z[r], z_pair[r], noise_var=extra).mean() for q, r in zip(densities, rests, strict=True)]
    log_q, log_mean, candidate = np.empty(n), np.full(n, np.nan), np.full(n, np.nan)
    for part, density in zip(parts, densities, strict=True):
        log_q[part] = density.log_density(z[part], z_pair[part], noise_var=extra)
        if aggregate:
            log_mean[part] = density.log_aggregate(z[part], z_pair[part])
            candidate[part] = density.shares(z[part], z_pair[part])
    return _Cross(log_q, log_mean, candidate, densities[-1], float(np.mean(own)), tuple(map(len, parts)))


def _summed(cross: _Cross, piece: EntropyPiece | None, n: int) -> tuple[Estimate, Estimate, str]:
    """h, the sum with its error, and where the error comes from."""
    if piece is None:
        both = cross.log_q - cross.log_aggregate
        h = Estimate(
            value=-cross.log_aggregate.mean(), standard_error=_error(-cross.log_aggregate - cross.candidate), n=n,
            bias=Bias.UNKNOWN, method=f"kde, −E log (1/m) Σ q(z|z'_j), m = {_listed(cross.candidates)}",
        )  # fmt: skip
        error, how = _error(both - cross.candidate), "spread of the rows' contributions, as row and as candidate"
        value = float(both.mean())
    else:
        h, value = piece.estimate, piece.estimate.value + float(cross.log_q.mean())
        if piece.influence is not None:
            error, how = _error(piece.influence + cross.log_q), "spread of the rows' contributions to both terms"
        else:
            error = h.standard_error + _error(cross.log_q)
            how = "sum of the errors of both terms, at least that of the sum"
    return h, Estimate(
        value=value, standard_error=error, n=n, bias=Bias.UNKNOWN, method="information_bound", degrees_of_freedom=n - 1,
        reference=BARBER_2003,
    ), how  # fmt: skip


def _listed(sizes: tuple[int, ...]) -> str:
    return " or ".join(map(str, sorted(set(sizes))))


def _judged(h: Estimate, by_aggregate: bool, name: str) -> tuple[bool, str]:
    if by_aggregate:
        return True, "InfoNCE with critic log q is a lower bound in expectation for every q"
    if h.bias.centered:
        return True, f"h is {h.bias.value}, and h + E log q ≤ I for every conditional density q"
    if h.bias is Bias.LOWER:
        return True, "h is a lower bound in expectation, and h + E log q ≤ I for every conditional density q"
    if h.bias is Bias.UPPER or name == "logdet":
        less = ", less what few rows take off" if name == "logdet" else ""
        return False, f"h is an upper bound{less}: it adds the negentropy of Z, and the sum may lie on either side of I"
    return False, "the direction of h is not known: a plug-in without guarantee"


def _warnings(
    value: float, cap: float, prototypes: int | None, valid: bool, reason: str, by_aggregate: bool
) -> tuple[EstimateWarning, ...]:
    found = []
    if not valid:
        found += [
            EstimateWarning(
                code="not_a_bound", message=reason,
                cure='use entropy="kde", or "pairwise" or "noise_convolved" with noise_std',
            )
        ]  # fmt: skip
    if prototypes is not None and value > math.log(prototypes):
        found += [
            EstimateWarning(
                code="above_log_prototypes",
                message=f"{value:.4g} nats is above log N = {math.log(prototypes):.4g}, which I cannot exceed if views "
                f"are independent given one of {prototypes} prototypes",
                cure="h is too large, the assumption fails, or the error is large: compare with entropy=\"kde\"",
            )
        ]  # fmt: skip
    elif value > cap and prototypes is None and not by_aggregate:  # there it is rounding
        found += [
            EstimateWarning(
                code="above_log_rows",
                message=f"{value:.4g} nats is above log n = {cap:.4g}; no lower bound that holds for every law can be "
                "so large from n draws, so this rests on the model behind h",
                cure="use more rows, or state prototypes if the truth has a ceiling",
            )
        ]  # fmt: skip
    return tuple(found)


def _scale(
    q: str, z: Samples, z_pair: Samples, extra: float, fixed_std: float | None, temperature: float | None,
    by_aggregate: bool,
) -> str:  # fmt: skip
    """What was done about the scale that I does not see and the bound does."""
    d, to = z.shape[1], ", to the width best for InfoNCE" if by_aggregate else ""
    if q == "vmf":
        how = f"fitted{to}" if temperature is None else f"= 1/τ, τ = {temperature:g}"
        return f"rows divided by their length; κ {how}"
    if q != "isotropic":
        return f"optimal: all variances are fitted{to}, so z ↦ az changes nothing"
    squared = float(np.square(z - z_pair).sum(axis=1).mean()) + d * extra
    best = math.sqrt(squared / d)
    if fixed_std is None and by_aggregate:
        return f"optimal: σ fitted{to}; E log q alone is largest at σ = {best:.4g}"
    if fixed_std is None:
        return f"optimal: fitted σ = {best:.4g}, as N(az'; I) at a = {1 / best:.4g}"
    lost = d * math.log(fixed_std / best) + 0.5 * (squared / fixed_std**2 - d)
    return f"as given (σ = {fixed_std:g}): E log q {lost:.4g} nats less than at its optimal σ = {best:.4g}"


def _target(q: str, noise_std: float) -> str:
    if q == "vmf":
        return "I(Z/|Z|; Z'/|Z'|)"
    return "I(Z + noise; Z')" if noise_std else "I(Z; Z')"


def _std(z: Samples) -> Float[np.ndarray, " d"]:
    std = np.zeros(z.shape[1])
    varying = np.ptp(z, axis=0) > 0
    std[varying] = column_std(z[:, varying])
    return std


def _error(contributions: Float[np.ndarray, " n"]) -> float:
    return float(contributions.std(ddof=1) / np.sqrt(len(contributions)))
