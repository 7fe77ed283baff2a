"""From information to VICReg in steps of known size and direction: :func:`decompose`."""

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples, SamplesLike
from itssl.choices import ParameterError, UnknownNameError, require_known, require_positive
from itssl.estimate import Estimate, format_with_error
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.estimators.nearest_neighbors import KSG
from itssl.estimators.wishart import log_determinant_bias
from itssl.evaluation.bound_surrogates import MomentPieces, Piece, direction, moment_pieces
from itssl.evaluation.information_bound import information_bound
from itssl.evaluation.view_pairs import paired_views
from itssl.markup import require_pandas, table
from itssl.objectives.vicreg import NORMALIZATIONS, WEIGHTS, Normalization, vicreg_terms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ESTIMATES = ("ksg", "gaussian", "infonce")
_ROUNDING = 64 * float(np.finfo(float).eps)


class Step(NamedTuple):
    """One line of the chain. ``relation`` stands between the value before and ``value``, and holds for these rows.

    "≤" and "≥" for reasons of algebra, given in ``why``; "=" where the values agree to rounding; "≈" where neither is
    known beforehand. ``gap`` = value − value before. Errors are those of drawing the rows; of a gap, paired.
    """

    name: str
    value: float
    standard_error: float
    relation: str
    gap: float
    gap_error: float
    why: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Decomposition:
    """The steps from an estimate of I(Z; Z') to the VICReg loss, in nats. Made by :func:`decompose`.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> z_a, z_b = linear_gaussian_views([0.9]).sample(500, np.random.default_rng(0))
    >>> found = decompose(z_a, z_b, normalization="reference")
    >>> print(f"{found.steps[0].value:.2f} {found.steps[-1].value:.2f}")
    0.85 0.40
    """

    steps: tuple[Step, ...]
    information: Estimate
    normalization: Normalization
    weights: tuple[float, float, float]
    loss: float
    """VICReg as the library computes it: ``vicreg_terms(...).total(weights)``."""
    nats_per_loss: float
    """λ with which d/2 − λ·loss is the last value: the invariance term is then ½E‖Z − Z'‖²."""
    shape: tuple[int, int]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        raise TypeError("a Decomposition has no truth value; see .steps")

    def __getitem__(self, name: str) -> Step:
        """The step of this name. Raises UnknownNameError for another."""
        known = {step.name: step for step in self.steps}
        require_known("name", name, known)
        return known[name]

    def to_pandas(self) -> Any:
        """The steps as a DataFrame, one line each. ImportError without pandas."""
        return require_pandas().DataFrame(self.steps, columns=list(Step._fields))

    def __str__(self) -> str:
        lines = [("", *_HEADS[:-1])] + [(step.relation, *_cells(step)[:-1]) for step in self.steps]
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        table = [
            f"{rel:>1} {name:<{widths[1]}}  {value:>{widths[2]}}  {gap:>{widths[3]}}".rstrip()
            for rel, name, value, gap in lines
        ]
        return "\n".join([self._title(), *table, *(f"- {note}" for note in self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(s.relation, *_cells(s)) for s in self.steps]
        return table(("", *_HEADS), rows, caption=self._title(), notes=self.notes)

    def _title(self) -> str:
        n, d = self.shape
        return f"From information to VICReg ({self.normalization}), nats, n = {n}, d = {d}"

    def figure(self) -> "Figure":
        """The waterfall of :func:`itssl.reports.decomposition_figure`. Not shown."""
        from itssl.evaluation.figures import decomposition_figure

        return decomposition_figure(self)


_HEADS = ("step", "value", "gap", "why")


def _cells(step: Step) -> tuple[str, ...]:
    gap = "" if math.isnan(step.gap) else f"{'+' if step.gap > 0 else ''}{_number(step.gap, step.gap_error)}"
    return step.name, _number(step.value, step.standard_error), gap, step.why


def _number(value: float, error: float) -> str:
    return f"{value:.4g} ± ?" if math.isnan(error) else format_with_error(value, error)


def decompose(
    z_a: SamplesLike,
    z_b: SamplesLike,
    *,
    normalization: Normalization = "reference",
    information: Any = "ksg",
    weights: tuple[float, float, float] = WEIGHTS,
    gamma: float = 1.0,
    eps: float = 1e-4,
) -> Decomposition:
    r"""What each step from I(Z; Z') to the VICReg loss costs on these rows, in nats, and in which direction it goes.

    With C the covariances of both views (1/n), R their correlations, Δ = z − z', d columns; where both views enter, the
    mean of both:

    1. *information*: an estimate of I(Z; Z').
    2. *Gaussian information* of these moments, ½ log|C_a| + ½ log|C_b| − ½ log|C_ab|. ≈: neither bounds the other.
    3. *bound, Gaussian h*: ½ log|2πeC| + E log N(z; z', I) = ½ log|C| + d/2 − ½E‖Δ‖². ≥: the loss is the divergence of
       the Gaussian p(z|z') from N(z', I). Relative to I it has no direction: h is replaced by an upper bound.
    4. *Hadamard*: ½ Σ log C_jj for ½ log|C|. ≤, by −½ log|R|.
    5. *second order of log|R|*: −¼ Σ_{i≠j} R_ij² added back. ≥.
    6. *covariance term*: −¼ Σ_{i≠j} C_ij² instead; equal at unit variances. Here and below C has divisor n − 1.
    7. *hinge*: −Σ max(0, γ − √(C_jj + ε)) for ½ Σ log C_jj. At γ = 1: ≤ where C_jj ≤ 1, ≥ where C_jj ≥ 1.
    8. *VICReg*: d/2 − λ·loss, λ such that the invariance term is ½E‖Δ‖². ≤ (≥) where variance and covariance weigh
       less (more) than 1 and ¼ in step 7.

    The gaps add up: last value = first value + their sum, to rounding. Steps 2 to 8 are functions of second moments;
    on few rows 2 lies above its population value and 3 below, as the notes say.

    Parameters
    ----------
    z_a, z_b: embeddings of two views, shape (n, d) both, n > 2d; numpy, torch, DataFrames.
    normalization: which VICReg, see :func:`itssl.objectives.vicreg.vicreg_terms`; by default that of the released code.
    information: "ksg"; "gaussian", step 2 without its bias; "infonce", the bound of
        ``information_bound(..., entropy="kde")``; an Estimate, e.g. the truth; or an estimator.
    weights: of invariance (positive), variance and covariance.

    Raises SampleError for unequal shapes, n ≤ 2d, constant columns, and directions that one view has and the other
    determines (the Gaussian information is infinite); ParameterError; UnknownNameError.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> z_a, z_b = linear_gaussian_views([0.9, 0.5]).sample(1000, np.random.default_rng(0))
    >>> found = decompose(z_a, z_b, normalization="reference", information="gaussian")
    >>> print(" ".join(f"{step.relation} {step.value:.2f}" for step in found.steps).strip())
    0.95 ≤ 0.95 ≥ 0.38 ≤ 0.38 ≥ 0.38 ≈ 0.38 ≈ 0.37 ≤ 0.38
    """
    require_known("normalization", normalization, NORMALIZATIONS)
    gamma, eps = require_positive("gamma", gamma), 0.0 if eps == 0 else require_positive("eps", eps)
    weights = _require_weights(weights)
    a, b = _admitted(z_a, z_b)
    n, d = a.shape
    first = _information(information, a, b)
    pieces = moment_pieces(a, b, gamma, eps)
    loss = float(vicreg_terms(a, b, normalization=normalization, gamma=gamma, eps=eps).total(weights))
    factor = _nats_per_loss(normalization, weights, d)
    squared = d - 2 * pieces.distance.value
    best = math.sqrt(d / squared)
    gained = d * math.log(best) - (best**2 - 1) * squared / 2
    excess = log_determinant_bias(n, d) - 0.5 * log_determinant_bias(n, 2 * d)
    return Decomposition(
        steps=_steps(first, information == "gaussian", pieces, loss, factor, normalization, weights),
        information=first, normalization=normalization, weights=weights, loss=loss, nats_per_loss=factor, shape=(n, d),
        notes=(
            f"on {n} Gaussian rows the Gaussian information is {excess:.3g} nats too large on average",
            f"scaling both views by {best:.3g} would add {gained:.3g} nats to the bound and change no information",
            f"the loss is {loss:.6g}; the last value is d/2 − {factor:.4g} · loss",
        ),
    )  # fmt: skip


def _require_weights(weights: Any) -> tuple[float, float, float]:
    try:
        found = tuple(float(w) for w in weights)
    except (TypeError, ValueError):
        found = ()
    if len(found) != 3 or not all(0 <= w < math.inf for w in found) or not found[0] > 0:
        raise ParameterError(
            f"weights: expected three finite numbers >= 0, the first (invariance) > 0, got {weights!r}; pass e.g. "
            f"{WEIGHTS}"
        )
    return found


def _admitted(z_a: SamplesLike, z_b: SamplesLike) -> tuple[Samples, Samples]:
    a, b = paired_views(z_a, z_b, constant_columns=False)
    n, d = a.shape
    if n <= 2 * d:
        raise SampleError(
            f"z_a and z_b: expected more than 2d = {2 * d} rows, got {n}; the covariance of both views is singular. "
            "Use more rows, or project both views on fewer directions, e.g. with PCA"
        )
    return a, b


def _information(information: Any, a: Samples, b: Samples) -> Estimate:
    if isinstance(information, Estimate):
        return information
    if isinstance(information, str):
        require_known("information", information, ESTIMATES)
        if information == "infonce":
            return information_bound(a, b, entropy="kde").value
        return (KSG() if information == "ksg" else GaussianPlugin()).mutual_information(a, b)
    if inspect.isclass(information) or not hasattr(information, "mutual_information"):
        raise UnknownNameError(
            f"information: expected one of {', '.join(map(repr, ESTIMATES))}, an Estimate, or an estimator with "
            f".mutual_information, got {information!r}"
        )
    return information.mutual_information(a, b)


def _nats_per_loss(normalization: str, weights: tuple[float, float, float], d: int) -> float:
    """½E‖Δ‖² over the weighted invariance term."""
    return (0.5 if normalization == "equation" else d / 2) / weights[0]


def _steps(
    first: Estimate, is_gaussian: bool, pieces: MomentPieces, loss: float, factor: float, normalization: str,
    weights: tuple[float, float, float],
) -> tuple[Step, ...]:  # fmt: skip
    p, d = pieces, len(pieces.std)
    bound = p.distance.plus(p.log_det)
    hadamard = p.distance.plus(p.diagonal)
    second = hadamard.plus(p.correlations)
    covariance = hadamard.plus(p.covariances)
    hinge = p.distance.plus(p.hinge).plus(p.covariances)
    share_v = factor * weights[1] * (1 if normalization == "reference" else 2) / d
    share_c = 8 * factor * weights[2] / d
    vicreg = Piece(
        d / 2 - factor * loss, p.distance.plus(p.hinge, share_v).plus(p.covariances, share_c).influence
    )  # fmt: skip
    weighed = np.array([(share - 1) * piece.value for share, piece in ((share_v, p.hinge), (share_c, p.covariances))])
    chain = [
        ("Gaussian information", p.information, *_GAUSSIAN[is_gaussian]),
        ("bound, Gaussian h", bound, "≥", "loses D(p(z|z')‖N(z', I)) of the Gaussian with these moments; relative to I "
         "itself no direction, as h is replaced by an upper bound"),
        ("Hadamard", hadamard, "≤", "½ Σ log C_jj for ½ log|C|: adds −½ log|R|"),
        ("second order of log|R|", second, "≥", "−¼ Σ R_ij² over i ≠ j, for ½ log|R|"),
        ("covariance term", covariance, *p.of_covariances),
        ("hinge", hinge, *p.of_hinge),
        ("VICReg", vicreg, direction(weighed), f"at equal invariance, variance weighs {share_v:.3g} and covariance "
         f"{share_c:.3g} of the step before"),
    ]  # fmt: skip

    def first_gap_error(error: float) -> float:
        """No smaller than it is: the estimate keeps the contributions of the rows to itself."""
        return 0.0 if is_gaussian else first.standard_error + error

    steps = [Step("information", first.value, first.standard_error, "", math.nan, math.nan, str(first))]
    influence = None
    for name, piece, relation, why in chain:
        gap, error = piece.value - steps[-1].value, _error(piece.influence)
        gap_error = first_gap_error(error) if influence is None else _error(piece.influence - influence)
        if abs(gap) <= _ROUNDING * d * max(1.0, abs(piece.value), abs(steps[-1].value)):
            relation = "="
        steps.append(Step(name, piece.value, error, relation, gap, gap_error, why))
        influence = piece.influence
    return tuple(steps)


_GAUSSIAN = {
    True: ("≤", "½ log|C_a||C_b|/|C_ab| of these rows, with its bias"),
    False: ("≈", "½ log|C_a||C_b|/|C_ab|; neither bounds the other unless the law is Gaussian"),
}


def _error(influence: Float[np.ndarray, " n"]) -> float:
    return float(influence.std(ddof=1) / np.sqrt(len(influence)))
