"""The generalization bound for linear probes on self-supervised representations: :func:`generalization_bound`."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Float

from itssl.arrays import (
    SampleError,
    Samples,
    SamplesLike,
    SampleTypeError,
    as_comparable_samples,
    as_paired_samples,
    is_torch,
    on_host,
    refuse_masked,
    stream,
)
from itssl.choices import ParameterError, require_known, require_nonnegative, require_positive
from itssl.estimate import Estimate, format_with_error
from itssl.evaluation.least_squares import LeastSquaresProbe, least_squares_probe
from itssl.evaluation.probes import Labels
from itssl.evaluation.rademacher import ReLUNetworks, probe_complexity, sampled_probe_complexity
from itssl.markup import require_pandas, table

Direction: TypeAlias = Literal["exact", "upper", "lower", "estimate"]
Complexity: TypeAlias = Literal["closed form", "monte carlo"]

TRIVIAL = 1.0
"""The error of W = 0: every one-hot label has norm 1."""


class Term(NamedTuple):
    """One number of the bound. ``direction`` says where it lies relative to what the theorem asks for.

    "exact" (a function of the samples alone), "upper" or "lower" (bounds), "estimate" (neither). ``standard_error`` is
    that of drawn signs or of test rows; what the samples determine has none.
    """

    name: str
    formula: str
    value: float
    standard_error: float
    direction: Direction
    how: str


@dataclass(frozen=True, kw_only=True, repr=False)
class GeneralizationBound:
    """The bound term by term, beside the measured error. Made by :func:`generalization_bound`.

    >>> y = np.arange(60) % 3
    >>> found = generalization_bound(np.eye(3)[y], y, np.eye(3)[y], np.eye(3)[y], y)
    >>> len(found.terms), found.core.value <= found.total.value
    (10, True)
    """

    terms: tuple[Term, ...]
    """The summands, in the order of the theorem: three of the core, seven of Q."""
    constants: tuple[Term, ...]
    """What the summands are made of."""
    error: Term
    """E‖W_S f(x) − y‖ on the test rows; NaN where there are none."""
    delta: float
    shape: tuple[int, int, int, int]
    """n, m, d and the number of classes."""
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        raise TypeError("a GeneralizationBound has no truth value; compare .total.value with .error.value")

    def __getitem__(self, name: str) -> Term:
        """The summand or constant of this name. Raises UnknownNameError for another."""
        known = {term.name: term for term in (*self.terms, *self.constants)}
        require_known("name", name, known)
        return known[name]

    @property
    def core(self) -> Term:
        """The first three summands, which the samples determine; no bound of its own, as Q pays for the sampling."""
        return _sum("core", "the first three", self.terms[:3])

    @property
    def slack(self) -> Term:
        """Q, all other summands."""
        return _sum("Q", "the other seven", self.terms[3:])

    @property
    def total(self) -> Term:
        """The right side of the theorem."""
        return _sum("total", "core + Q", self.terms)

    @property
    def vacuity_ratio(self) -> float:
        """total over the error 1 of W = 0, the probe that looks at nothing; without unit; from 1 on it says nothing."""
        return self.total.value / TRIVIAL

    @property
    def ratio_to_error(self) -> float:
        """total over the measured error: how loose the bound is, without unit. NaN without test rows."""
        return float(np.divide(self.total.value, self.error.value))

    def to_pandas(self) -> Any:
        """All lines as a DataFrame, one each. ImportError without pandas."""
        return require_pandas().DataFrame(self._lines(), columns=list(Term._fields))

    def __str__(self) -> str:
        lines = [_HEADS[:-1]] + [_cells(line)[:-1] for line in self._lines()]
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        table = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}" for a, b, c, d in lines]
        return "\n".join([self._title(), *table, *(f"- {note}" for note in self._remarks())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return table(_HEADS, map(_cells, self._lines()), caption=self._title(), notes=self._remarks())

    def _lines(self) -> list[Term]:
        return [*self.terms, self.core, self.slack, self.total, self.error, *self.constants]

    def _remarks(self) -> tuple[str, ...]:
        loose = "" if math.isnan(self.error.value) else f", {self.ratio_to_error:.3g} times the measured error"
        return (f"the bound is {self.vacuity_ratio:.3g} times the error 1 of W = 0{loose}", *self.notes)

    def _title(self) -> str:
        n, m, d, classes = self.shape
        return f"Generalization bound, 1 − δ = {1 - self.delta:g}, n = {n}, m = {m}, d = {d}, {classes} classes"


_HEADS = ("term", "formula", "value", "direction", "how")


def _cells(term: Term) -> tuple[str, ...]:
    error = term.standard_error
    value = f"{term.value:.4g}" if error == 0 else format_with_error(term.value, error)
    return term.name, term.formula, value, term.direction, term.how


def _sum(name: str, formula: str, terms: tuple[Term, ...]) -> Term:
    """A sum; errors are added, since complexities may share their draws."""
    directions: set[Direction] = {term.direction for term in [t for t in terms if t.direction != "exact"] or terms}
    direction: Direction = directions.pop() if len(directions) == 1 else "estimate"
    value, error = (math.fsum(getattr(term, field) for term in terms) for field in ("value", "standard_error"))
    return Term(name, formula, value, error, direction, "sum")


def generalization_bound(
    z: SamplesLike,
    y: Labels,
    z_a: SamplesLike,
    z_b: SamplesLike,
    pair_y: Labels,
    *,
    test_z: SamplesLike = None,
    test_y: Labels = None,
    classes: Labels = None,
    delta: float = 0.05,
    radius: float | None = None,
    norm: float | None = None,
    networks: ReLUNetworks | None = None,
    complexity: Complexity = "closed form",
    seed: int = 0,
) -> GeneralizationBound:
    r"""Every term of the bound on the error of the minimum-norm probe W_S, as in [1], in the form proved here.

    S are n labeled draws, S̄ are m pairs x⁺, x⁺⁺ drawn independently *from one class* (class y⁺ ~ ρ), S independent of
    S̄, and f not a function of S. W_S and W_S̄ are the minimum-norm least-squares maps from f to one-hot labels on S
    and on the x⁺, P = I − Z Z⁺ for rows of representations Z. With c = ‖W_S − W_S̄‖₂, I = (1/m) Σ ‖f(x⁺) − f(x⁺⁺)‖, K
    classes and ℓ = ln(6/δ), with probability 1 − δ

    .. math::
        \mathbb E \lVert W_S f(x) - y \rVert \le c I + \tfrac{2}{\sqrt m} \lVert P_{\bar S} Y_{\bar S} \rVert_F
        + \tfrac{1}{\sqrt n} \lVert P_S Y_S \rVert_F + Q,

    Q = c (2 R̃_m(F)/√m + τ √(ℓ/2m) + τ_S̄ √(ℓ/2n)) + κ_S √((K ln 2 + ℓ)/2n) + 4 R̃_m(W∘F)/√m + 2 κ √(ℓ/2m)
    + 2 κ_S̄ √(ℓ/2n).

    *Why.* For two points of one class, W_S f(x̄) − y = (W_S f(x) − y) + (W_S − W_S̄)(f(x̄) − f(x)) + (W_S̄ f(x̄) − y) −
    (W_S̄ f(x) − y): one residual of W_S, c times a distance, and *two* residuals of W_S̄, hence the factor 2. Average x
    over S and x̄ over its class. A mean of norms is at most the root of the mean square, and W Zᵀ − Yᵀ = −(P Y)ᵀ for
    least squares. The six events of Q: class frequencies of S (½‖p̂ − p‖₁ is the largest excess among 2^K sets of
    classes; hence the ½ in κ_S · ½√(2(K ln 2 + ℓ)/n)), Hoeffding for distances and twice for residuals of W_S̄ on S,
    whose x are independent of S̄, and two uniform laws over classes of functions, as W_S̄ and f depend on S̄.

    *What holds it up.* With augmentations for class-level pairs, with S inside S̄, or f trained on S, nothing is
    promised. Without ``radius`` suprema are maxima over the rows given, so below the truth. By default f is fixed
    before S̄ is drawn: F = {f}, R̃_m(F) = 0 and τ = τ_S̄. If f was trained on the pairs, name the ``networks`` it may
    have come from. ‖W_S̄‖_F has no bound beforehand: B is the smallest 2^k/R not below it, R the radius, at the
    probability δ/6 · 1/(2(|k|+1)(|k|+2)) for k; ``norm`` names B beforehand instead. The probe has no offset: append a
    column of ones for one.

    Parameters
    ----------
    z, y: representations (n, d) of S and their integer classes (n,).
    z_a, z_b, pair_y: representations (m, d) of both members of the pairs, and the class of each pair (m,).
    test_z, test_y: further draws, for the measured error.
    classes: all classes of the law, known beforehand. Without them the law is taken to have none but those in y, pair_y
        and test_y: one that no sample shows would make K, and with it Q, too small.
    delta: δ, the probability with which the bound may fail.
    radius: R ≥ ‖f(x)‖ for all x, known beforehand; then all suprema are bounds from above. Or maxima on the data.
    norm: B of {W : ‖W‖_F ≤ B}, fixed beforehand.
    networks: the class F, with ``radius`` of its own for τ and κ.
    complexity: of the probes, if F = {f}: closed form, or by drawn signs (see :mod:`itssl.evaluation.rademacher`).
    seed: names these signs.

    Raises SampleError for shapes and labels that do not fit, SampleTypeError for labels that are no integers;
    ParameterError for a δ outside (0, 1), a radius some row exceeds, a norm below ‖W_S̄‖_F; UnknownNameError.

    References
    ----------
    [1] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An information-theoretic perspective on
        variance-invariance-covariance regularization. NeurIPS.

    >>> rng = np.random.default_rng(0)
    >>> y, pair_y, test_y = (rng.integers(3, size=size) for size in (50, 200, 1000))
    >>> z, a, b, test = (np.eye(3)[i] + 0.1 * rng.normal(size=(len(i), 3)) for i in (y, pair_y, pair_y, test_y))
    >>> found = generalization_bound(z, y, a, b, pair_y, test_z=test, test_y=test_y)
    >>> print(f"{found.error.value:.2f} {found.core.value:.2f} {found.total.value:.2f}")
    0.17 0.50 4.32
    """
    z, y, z_a, z_b, pair_y, tests = _admitted(z, y, z_a, z_b, pair_y, test_z, test_y)
    require_known("complexity", complexity, get_args(Complexity))
    if networks is not None and complexity == "monte carlo":
        raise ParameterError("complexity: expected 'closed form' for networks, whose supremum no draws of signs reach")
    if isinstance(delta, bool) or not 0 < delta < 1:
        raise ParameterError(f"delta: expected a number between 0 and 1, got {delta!r}; pass e.g. 0.05")
    law = _all_classes(classes, np.concatenate([y, pair_y, *(labels for _, labels in tests)]))
    n, m, k = len(z), len(z_a), len(law)
    labeled, pairs = (least_squares_probe(rows, labels, law) for rows, labels in ((z, y), (z_a, pair_y)))
    seen = [(z, y), (z_a, pair_y), (z_b, pair_y), *tests]
    known = _require_radius(radius, seen)
    distances = np.linalg.norm(z_a - z_b, axis=1)
    largest = float(max(np.linalg.norm(rows, axis=1).max() for rows, _ in seen)) if known is None else known
    log_term = math.log(6 / delta)
    unit = largest if networks is None else networks.radius
    b, log_probes, b_how = _norm(norm, pairs, unit, log_term)
    sup = _suprema(known, largest, b, labeled, pairs, distances, seen, networks)
    of_pairs, of_probes = _complexities(z_a, b, k, known, largest, networks, complexity, seed)
    c = float(np.linalg.norm(labeled.weights - pairs.weights, 2))
    invariance = float(distances.mean())
    on_m, on_n = math.sqrt(log_term / (2 * m)), math.sqrt(log_term / (2 * n))

    def times(name: str, formula: str, factor: float, term: Term) -> Term:
        return Term(name, formula, factor * term.value, factor * term.standard_error, term.direction, term.how)

    terms = (
        Term("invariance", "c·I", c * invariance, 0.0, "exact", "both from the samples"),
        Term("residual of pairs", "2‖P_S̄ Y_S̄‖_F/√m", 2 * pairs.residual / math.sqrt(m), 0.0, "exact",
             "least squares on x⁺"),
        Term("residual of labels", "‖P_S Y_S‖_F/√n", labeled.residual / math.sqrt(n), 0.0, "exact",
             "least squares on S"),
        times("complexity of encoders", "2c·R̃_m(F)/√m", 2 * c / math.sqrt(m), of_pairs),
        times("distances of pairs", "c·τ√(ℓ/2m)", c * on_m, sup["τ"]),
        times("distances of labels", "c·τ_S̄√(ℓ/2n)", c * on_n, sup["τ_S̄"]),
        times("class frequencies", "κ_S√((K ln 2 + ℓ)/2n)", math.sqrt((k * math.log(2) + log_term) / (2 * n)),
              sup["κ_S"]),
        times("complexity of probes", "4R̃_m(W∘F)/√m", 4 / math.sqrt(m), of_probes),
        times("residuals on pairs", "2κ√(ℓ/2m)", 2 * math.sqrt(log_probes / (2 * m)), sup["κ"]),
        times("residuals on labels", "2κ_S̄√(ℓ/2n)", 2 * on_n, sup["κ_S̄"]),
    )  # fmt: skip
    constants = (
        Term("c", "‖W_S − W_S̄‖₂", c, 0.0, "exact", "largest singular value"),
        Term("I", "mean ‖f(x⁺) − f(x⁺⁺)‖", invariance, 0.0, "exact", "mean over the pairs"),
        of_pairs, *sup.values(), of_probes,
        Term("B", "≥ ‖W_S̄‖_F", b, 0.0, _unless(known if networks is None and norm is None else b), b_how),
    )  # fmt: skip
    error = _measured(labeled.errors(*tests[0]) if tests else np.empty(0))
    return GeneralizationBound(
        terms=terms, constants=constants, error=error, delta=float(delta),
        shape=(n, m, z.shape[1], k),
        notes=(f"rank of f(S) {labeled.rank}, of f(x⁺) {pairs.rank}",),
    )  # fmt: skip


def _measured(errors: Float[np.ndarray, " n"]) -> Term:
    mean, spread, how = math.nan, math.nan, "no test rows"
    if len(errors):
        mean, spread = float(errors.mean()), float(errors.std(ddof=1) / math.sqrt(len(errors)))
        how = f"mean over {len(errors)} test rows"
    return Term("measured error", "E‖W_S f(x) − y‖", mean, spread, "estimate", how)


def _suprema(
    known: float | None, largest: float, b: float, labeled: LeastSquaresProbe, pairs: LeastSquaresProbe,
    distances: np.ndarray, seen: list[tuple[Samples, np.ndarray]], networks: ReLUNetworks | None,
) -> dict[str, Term]:  # fmt: skip
    """τ, τ_S̄, κ_S, κ, κ_S̄: from the radius, or as maxima on the rows; those over the class F from its own radius."""

    def residual(name: str, probe: LeastSquaresProbe, subscript: str) -> Term:
        formula = f"sup ‖W_{subscript} f(x) − y‖"
        if known is not None:
            return Term(name, formula, float(np.linalg.norm(probe.weights, 2)) * known + 1, 0.0, "upper",
                        f"‖W_{subscript}‖₂R + 1")  # fmt: skip
        value = max(float(probe.errors(rows, labels).max()) for rows, labels in seen)
        return Term(name, formula, value, 0.0, "lower", "largest on the data")

    own = (
        Term("τ_S̄", "sup ‖f(x⁺) − f(x⁺⁺)‖", float(distances.max()), 0.0, "lower", "largest of the pairs")
        if known is None
        else Term("τ_S̄", "sup ‖f(x⁺) − f(x⁺⁺)‖", 2 * known, 0.0, "upper", "2R")
    )
    if networks is None:
        tau = own._replace(name="τ", how=f"{own.how}, F = {{f}}")
        kappa = Term("κ", "sup ‖W f(x) − y‖ over ‖W‖_F ≤ B", b * largest + 1, 0.0, _unless(known), "B·R + 1")
    else:
        reach = networks.radius
        tau = Term("τ", "sup ‖f(x⁺) − f(x⁺⁺)‖ over F", 2 * reach, 0.0, "upper", "2R of the networks")
        kappa = Term("κ", "sup ‖W f(x) − y‖ over ‖W‖_F ≤ B and F", b * reach + 1, 0.0, "upper",
                     "B·R + 1, R of the networks")  # fmt: skip
    found = (tau, own, residual("κ_S", labeled, "S"), kappa, residual("κ_S̄", pairs, "S̄"))
    return {term.name: term for term in found}


def _unless(known: float | None) -> Direction:
    return "estimate" if known is None else "upper"


def _complexities(
    z_a: Samples, b: float, k: int, known: float | None, largest: float, networks: ReLUNetworks | None,
    complexity: Complexity, seed: int,
) -> tuple[Term, Term]:  # fmt: skip
    """R̃_m(F) and R̃_m(W∘F)."""
    names = ("R̃_m(F)", "sup over F of signed ‖f(x⁺) − f(x⁺⁺)‖"), ("R̃_m(W∘F)", "sup over W, F of signed ‖W f(x⁺) − y‖")
    if networks is not None:
        values = networks.pair_complexity(), networks.probe_complexity(norm=b, outputs=k)
        how = "norms of the layers, Golowich et al. 2018"
        first, second = (Term(*name, value, 0.0, "upper", how) for name, value in zip(names, values, strict=True))
        return first, second
    fixed = Term(*names[0], 0.0, 0.0, "exact", "F = {f}, fixed before the pairs were drawn")
    if complexity == "monte carlo":
        found: Estimate = sampled_probe_complexity(z_a, norm=b, outputs=k, rng=stream(seed, "Rademacher signs"))
        return fixed, Term(*names[1], found.value, found.standard_error, "estimate", f"{found.n} draws of the signs")
    size = float(np.sqrt((z_a**2).sum(axis=1).mean())) if known is None else largest
    how = "√(2K)·B·R" if known is not None else "√(2K)·B·root mean square of ‖f(x⁺)‖"
    return fixed, Term(*names[1], probe_complexity(size, norm=b, outputs=k), 0.0, _unless(known), how)


def _norm(norm: float | None, pairs: LeastSquaresProbe, radius: float, log_term: float) -> tuple[float, float, str]:
    """B, the logarithm that stands for ℓ in the event about W∘F, and where B is from."""
    size = float(np.linalg.norm(pairs.weights))
    if norm is not None:
        require_positive("norm", norm)
        if size > norm:
            raise ParameterError(
                f"norm: expected at least ‖W_S̄‖_F = {size:.4g}, got {norm!r}; the class must contain W_S̄; leave "
                "norm out, since a larger one found from the data would depend on the pairs"
            )
        return float(norm), log_term, "named beforehand"
    power = math.ceil(math.log2(size * radius)) if size * radius > 0 else 0
    if radius == 0:
        return 1.0, log_term, "f = 0, so that W does not matter"
    return (
        max(2.0**power / radius, size),  # the logarithm is rounded
        log_term + math.log(2 * (abs(power) + 1) * (abs(power) + 2)),
        f"2^{power}/R, by a union over powers of 2",
    )


def _require_radius(radius: float | None, seen: list[tuple[Samples, np.ndarray]]) -> float | None:
    if radius is None:
        return None
    require_nonnegative("radius", radius)
    largest = max(float(np.linalg.norm(rows, axis=1).max()) for rows, _ in seen)
    if largest > radius * (1 + 64 * np.finfo(float).eps):
        raise ParameterError(
            f"radius: expected a bound on ‖f(x)‖, got {radius!r}, but a row has norm {largest:.6g}; pass a bound "
            "known beforehand, or none to use maxima on the data"
        )
    return float(radius)


def _admitted(
    z: Any, y: Any, z_a: Any, z_b: Any, pair_y: Any, test_z: Any, test_y: Any
) -> tuple[Samples, np.ndarray, Samples, Samples, np.ndarray, list[tuple[Samples, np.ndarray]]]:
    """Rows of one space, with their classes."""
    a, b = as_paired_samples(z_a, z_b, names=("z_a", "z_b"))
    rows, _ = as_comparable_samples(z, z_a, names=("z", "z_a"))
    as_comparable_samples(z_a, z_b, names=("z_a", "z_b"))
    if (test_z is None) != (test_y is None):
        raise SampleError("test_z and test_y: expected both or neither, got one of them; pass rows and their classes")
    tests = []
    if test_z is not None:
        held_out, _ = as_comparable_samples(test_z, z, names=("test_z", "z"))
        tests = [(held_out, _classes(test_y, len(held_out), "test_y", "test_z"))]
    return rows, _classes(y, len(rows), "y", "z"), a, b, _classes(pair_y, len(a), "pair_y", "z_a"), tests


def _classes(y: Labels, n: int, name: str, of: str) -> np.ndarray:
    array = _integers(y, name)
    if array.shape != (n,):
        raise SampleError(f"{name}: expected one class for each of the {n} rows of {of}, got shape {array.shape}")
    return array


def _all_classes(classes: Labels, seen: np.ndarray) -> np.ndarray:
    if classes is None:
        return np.unique(seen)
    known = np.unique(_integers(classes, "classes"))
    strange = np.setdiff1d(seen, known)
    if len(strange):
        raise SampleError(
            f"classes: expected all classes of the law, got {known.tolist()} without {strange.tolist()} of the labels; "
            "add them, or pass none for those seen"
        )
    return known


def _integers(y: Labels, name: str) -> np.ndarray:
    refuse_masked(y, name)
    array = on_host(y) if is_torch(y) else np.asarray(y)
    if array.dtype.kind not in "iub":
        raise SampleTypeError(
            f"{name}: expected integer classes, got {array.dtype}; use {name}.astype(int), or for names "
            f"numpy.unique({name}, return_inverse=True)[1] over all parts"
        )
    return array.astype(np.int64)
