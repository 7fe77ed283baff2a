"""Mutual information where a variable is discrete or has atoms: Ross, and Gao, Kannan, Oh and Viswanath."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from itssl.arrays import (
    SampleError,
    Samples,
    SamplesLike,
    SampleTypeError,
    as_paired_samples,
    as_samples,
    is_torch,
    on_host,
    refuse_constant_columns,
    refuse_masked,
    stream,
)
from itssl.choices import require_count, require_known
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.adequacy import high_dimension_warnings, neighbor_tail_warnings
from itssl.estimators.diagnosis import (
    ceiling_warnings,
    distinct_rows,
    joint_support_warnings,
    sample_warnings,
    small_sample_warnings,
)
from itssl.estimators.drift import drift
from itssl.estimators.error_bars import information_subsamples, value_only
from itssl.estimators.intrinsic_dimension import intrinsic_dimension
from itssl.estimators.neighbor_extrapolation import require_more_than_k
from itssl.estimators.standardization import canonical_order, row_rounding, scaled
from itssl.kernels.linalg import column_std
from itssl.kernels.neighbor_counts import counts_within
from itssl.kernels.neighbors import neighbors

_LARGEST_EXACT_INTEGER = 2**53
_SEARCHED, _LEAST_SEARCHED = 1000, 30  # rows that are asked for their dimension


def as_labels(labels: Any, *, n: int | None = None, name: str = "labels") -> Int[np.ndarray, " n"]:
    """Admit class labels: codes 0 … c−1 in the sorted order of the labels, shape (n,).

    Integers, booleans, text, pandas categories and torch tensors; shape (n,) or (n, 1). Floats only if some repeat, for
    samples of a continuous variable are no classes.

    Raises SampleError for another shape or length than ``n``, missing or masked values, floats that never repeat, and
    fewer than two classes.

    >>> as_labels(["cat", "dog", "cat"])
    array([0, 1, 0])
    """
    refuse_masked(labels, name)
    array = on_host(labels) if is_torch(labels) else np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise SampleError(
            f"{name}: expected one label a row, shape (n,), got shape {array.shape}; for one-hot rows pass "
            f"{name}.argmax(axis=1)"
        )
    if n is not None and len(array) != n:
        raise SampleError(f"{name}: expected {n} labels, one for each row, got {len(array)}; align them with the rows")
    # A value that differs from itself is NaN or NaT, whatever holds it; None and pandas.NA are no labels either.
    missing = [i for i, v in enumerate(array.tolist()) if v is None or type(v).__name__ == "NAType" or v != v]
    if missing:
        raise SampleError(
            f"{name}: expected a label in every row, got {len(missing)} missing (first in row {missing[0]}); "
            "drop these rows or give them a class of their own"
        )
    try:
        classes, codes = np.unique(array, return_inverse=True)
    except TypeError:
        kinds = ", ".join(sorted({type(v).__name__ for v in array.tolist()}))
        raise SampleTypeError(f"{name}: expected labels of one kind, got {kinds}; convert them to text") from None
    if array.dtype.kind == "c" or (array.dtype.kind == "f" and len(classes) == len(array)):
        raise SampleTypeError(
            f"{name}: expected class labels, got {array.dtype} numbers that never repeat; for two continuous "
            "variables use KSG, for atoms among them MixedKSG"
        )
    if len(classes) < 2:
        raise SampleError(
            f"{name}: expected at least two classes, got {len(classes)}; one class carries no information"
        )
    return codes.reshape(-1).astype(np.int64)


@dataclass(frozen=True)
class Ross:
    r"""Mutual information of a continuous variable and a class label by Ross [1], in nats.

    Î = ψ(N) + ⟨ψ(k_i) − ψ(N_i) − ψ(m_i)⟩, with N_i the rows of the class of row i, k_i = min(k, N_i − 1), and m_i the
    other rows of all classes within the distance (maximum norm) to the k_i-th neighbor in that class. Rows that are
    alone in their class have no such neighbor: they are left out, N counts the others, and the warning
    ``rare_labels`` says so.

    No value exceeds ψ(N) − ⟨ψ(N_i)⟩, about the entropy of the labels. So does the truth, so classes that do not overlap
    reach it rightly: there is no ``ceiling`` to warn of. The bias has no fixed direction. ``standardize``
    divides each column of x by its standard deviation. No clipping at zero, no jitter.
    Raises ParameterError for k < 1, UnknownNameError for other options.

    References
    ----------
    [1] Ross (2014). Mutual information between discrete and continuous data sets. PLoS ONE 9(2), e87357.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, size=1000)
    >>> x = rng.normal(size=1000) + 10 * labels
    >>> print(f"{Ross().mutual_information(x, labels).value:.2f} of {np.log(2):.2f}")
    0.69 of 0.69
    """

    k: int = 4
    standardize: bool = True

    REFERENCE = Reference(
        authors="Ross", title="Mutual information between discrete and continuous data sets", year=2014,
        where="PLoS ONE 9(2), e87357",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", require_count("k", self.k))
        require_known("standardize", self.standardize, [True, False])

    def mutual_information(self, x: SamplesLike, labels: Any, /) -> Estimate:
        """I(X; C) of the rows of x, shape (n, d) with n > k, and their labels, admitted by :func:`as_labels`.

        Standard error by subsampling. Warnings: ``rare_labels``, ``ties`` and ``singular_support`` of x, and
        ``high_dimension`` of the dimensions that its neighborhoods have, see :func:`crowded_warnings`. Diagnostics:
        rows left out, rows whose class holds k or fewer, and the largest possible value.
        Raises SampleError for n ≤ k, wrong labels, no two classes of two rows, constant columns and inadmissible
        samples.
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        n = len(x)
        codes = as_labels(labels, n=n)
        require_more_than_k(n, self.k, "x and labels")
        members = np.bincount(codes)
        if (members > 1).sum() < 2:
            raise SampleError(
                f"labels: expected two or more classes of at least two rows, got {(members > 1).sum()} among "
                f"{len(members)} classes; merge rare classes"
            )
        u = scaled(x) if self.standardize else x
        value, largest = self._information(u, codes)
        error, freedom, *_ = information_subsamples(
            lambda rows: self._information(u[rows], codes[rows])[0], canonical_order(x, codes[:, None] * 1.0), k=self.k
        )
        alone, few = int((members == 1).sum()), int(members[members <= self.k].sum())
        return Estimate(
            value=value, standard_error=error, degrees_of_freedom=freedom, n=n, bias=Bias.UNKNOWN, method=repr(self),
            reference=self.REFERENCE,
            warnings=_rare_warnings(alone, few, n, self.k) + sample_warnings(x) + crowded_warnings(x, k=self.k)
            + small_sample_warnings(error, value, n),
            diagnostics={
                "standardized": float(self.standardize), "classes": len(members), "rows_left_out": alone,
                "rows_in_small_classes": few, "largest_possible_nats": largest,
            },
        )  # fmt: skip

    def _information(self, x: Samples, codes: Int[np.ndarray, " n"]) -> tuple[float, float]:
        """The value, and the largest that these labels allow."""
        from scipy.special import digamma

        members = np.bincount(codes)[codes]
        x, codes, members = (a[members > 1] for a in (x, codes, members))
        if not len(x):
            return float("nan"), float("nan")  # a part of the sample in which no class has two rows
        k = np.minimum(self.k, members - 1)
        radius = np.empty(len(x))
        order = np.argsort(codes, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
            radius[rows] = neighbors(x[rows], int(k[rows[0]]), "chebyshev")[0][:, -1]
        largest = float(digamma(len(x)) - digamma(members).mean())
        within = counts_within(x, radius, "inclusive")
        return largest - float((digamma(within) - digamma(k)).mean()), largest


def crowded_warnings(x: Samples, *, k: int = 4) -> tuple[EstimateWarning, ...]:
    """Code ``high_dimension`` where labels are concerned: too few rows for the dimensions that x is found to have.

    Those of :func:`~itssl.estimators.intrinsic_dimension.intrinsic_dimension`, rounded, of at most 1,000 different
    rows; looked for where the columns would be too many.

    >>> rng = np.random.default_rng(0)
    >>> cloud, plane = rng.normal(size=(500, 20)), rng.normal(size=(500, 2)) @ rng.normal(size=(2, 20))
    >>> crowded_warnings(cloud)[0].code, crowded_warnings(plane)
    ('high_dimension', ())
    """
    n, d = x.shape
    found = high_dimension_warnings(n, d, k=k, information=True)
    if not found:
        return ()
    part = distinct_rows(x[canonical_order(x)[stream(0, "crowded", n).permutation(n)[:_SEARCHED]]])
    part = part[:, np.ptp(part, axis=0) > 0]
    if not part.shape[1] or len(part) < _LEAST_SEARCHED:
        return found
    with value_only():
        own = intrinsic_dimension(part).value
    return high_dimension_warnings(n, max(1, round(min(d, own))), k=k, information=True)


@dataclass(frozen=True)
class MixedKSG:
    r"""Mutual information of arbitrary mixtures of continuous and discrete variables, by Gao et al. [1], in nats.

    ρ_i is the distance from row i to its k-th neighbor under max(‖Δx‖, ‖Δy‖), maximum norms; k̃_i = k, but where
    ρ_i = 0 it is the number of rows at the very same (x, y), row i included. So a row on an atom is judged by
    frequencies, any other by neighbors. The authors' paper and their program count differently:

    - ``form="program"``: ⟨ψ(k̃_i) + log n − ψ(n_x+1) − ψ(n_y+1)⟩, n_x the other rows with ‖Δx‖ < ρ_i (= 0 on an atom);
    - ``form="paper"``: ⟨ψ(k̃_i) + log n − log(n_x+1) − log(n_y+1)⟩, n_x the other rows with ‖Δx‖ ≤ ρ_i.

    Both converge as k grows with n, but at a fixed k the paper's form falls short where few rows share a neighborhood:
    by log(k+1) − ψ(k), 0.35 nats for k = 4, where one variable is discrete and its classes do not overlap. Hence the
    default. Distances that agree to rounding count as equal, so that a lattice may be scaled.

    Copies and integers are what it is made for: they are admitted as numbers, and not warned of. Values of mostly
    continuous data near the largest that k neighbors allow carry the warning ``ceiling``; on atoms there is none. The
    bias has no fixed direction. ``standardize`` divides each column by its standard deviation.
    Raises ParameterError for k < 1, UnknownNameError for other options.

    References
    ----------
    [1] Gao, Kannan, Oh & Viswanath (2017). Estimating mutual information for discrete-continuous mixtures. NeurIPS 30.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.integers(0, 5, size=2000)
    >>> y = x + rng.uniform(0, 2, size=2000)
    >>> print(f"{MixedKSG().mutual_information(x, y).value:.3f} of {np.log(5) - 0.8 * np.log(2):.3f}")
    1.058 of 1.055
    """

    k: int = 4
    form: Literal["program", "paper"] = "program"
    standardize: bool = True

    REFERENCE = Reference(
        authors="Gao, Kannan, Oh & Viswanath",
        title="Estimating mutual information for discrete-continuous mixtures", year=2017, where="NeurIPS 30",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", require_count("k", self.k))
        require_known("form", self.form, ["program", "paper"])
        require_known("standardize", self.standardize, [True, False])

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """Mutual information of the rows of x, shape (n, d_x), and y, shape (n, d_y), with n > k; integers are numbers.

        Standard error by subsampling: about 0.9 of the spread, but twice the spread for independent discrete
        variables, whose spread falls as 1/n. Warnings: ``ceiling``, ``high_dimension``, ``neighbor_bias`` and
        ``deterministic`` where most rows lie on no atom. Diagnostics: the share of rows on atoms, the estimated bias.
        Raises SampleError for n ≤ k, unequal n, constant columns, integers beyond 2⁵³ (as floats they would coincide)
        and inadmissible samples.
        """
        x, y = as_paired_samples(_as_numbers(x, "x"), _as_numbers(y, "y"))
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        n = len(x)
        require_more_than_k(n, self.k, "x and y")
        u, v = (scaled(x), scaled(y)) if self.standardize else (x, y)
        # of each row in the units in which distances are measured
        rounding = np.maximum(*(row_rounding(z) * (1.0 if self.standardize else column_std(z).max()) for z in (x, y)))
        terms, atom = self._terms(u, v, rounding)
        value = float(terms.mean())
        parts = information_subsamples(
            lambda rows: float(self._terms(u[rows], v[rows], rounding[rows])[0].mean()), canonical_order(x, y), k=self.k
        )
        ceiling, formula = self._ceiling(n)
        warnings, bias = (), {}
        if atom.mean() < 0.5:
            d = x.shape[1] + y.shape[1]
            warnings += neighbor_tail_warnings(x) + neighbor_tail_warnings(y, name="y")
            warnings += high_dimension_warnings(n, d, k=self.k, information=True)
            warnings += ceiling_warnings(float(terms[~atom].mean()), ceiling, formula)
            warnings += tuple(w for w in joint_support_warnings(x, y) if w.code == "deterministic")
            warnings, bias = drift(value, parts, warnings, n=n, d=d, method="MixedKSG")
        return Estimate(
            value=value, standard_error=parts.standard_error, degrees_of_freedom=parts.degrees_of_freedom, n=n,
            bias=Bias.UNKNOWN, method=repr(self), reference=self.REFERENCE,
            warnings=warnings + small_sample_warnings(parts.standard_error, value, n),
            diagnostics={
                "standardized": float(self.standardize), "share_on_atoms": float(atom.mean()), "ceiling_nats": ceiling,
                **bias,
            },
        )  # fmt: skip

    def _terms(
        self, x: Samples, y: Samples, rounding: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """The pointwise terms, and which rows lie on an atom."""
        from scipy.special import digamma

        joint = np.hstack([x, y])
        radius = neighbors(joint, self.k, "chebyshev")[0][:, -1]
        atom = radius == 0
        blur = rounding + 8 * np.finfo(float).eps * radius  # of the row, and of how far its neighbor is
        reach = np.where(atom, 0.0, np.maximum(radius + (blur if self.form == "paper" else -blur), 0.0))
        n_x, n_y = counts_within(x, reach, "inclusive"), counts_within(y, reach, "inclusive")
        k = np.full(len(x), self.k)
        if atom.any():
            k[atom] = counts_within(joint, np.zeros(len(x)), "inclusive")[atom] + 1
        of_count = np.log if self.form == "paper" else digamma
        return digamma(k) + np.log(len(x)) - of_count(n_x + 1) - of_count(n_y + 1), atom

    def _ceiling(self, n: int) -> tuple[float, str]:
        """What y = x gives without atoms, where n_x is the least that k neighbors allow."""
        from scipy.special import digamma

        if self.form == "paper":
            return float(digamma(self.k) + np.log(n) - 2 * np.log(self.k + 1)), "ψ(k) + log n − 2 log(k+1)"
        return float(np.log(n) - digamma(self.k)), "log n − ψ(k)"


def _as_numbers(x: SamplesLike, name: str) -> SamplesLike:
    """Integers and booleans as floats, exactly; all else as it is. SampleTypeError for a masked array."""
    refuse_masked(x, name)
    if is_torch(x):
        whole = not (x.dtype.is_floating_point or x.dtype.is_complex)
        return x.double() if whole and not _too_large(on_host(x), name) else x
    kinds = getattr(x, "dtypes", None)
    if kinds is not None and hasattr(x, "astype") and hasattr(kinds, "items"):
        whole = [column for column, kind in kinds.items() if getattr(kind, "kind", "") in "iub"]
        return x.astype(dict.fromkeys(whole, float)) if whole and not _too_large(x[whole].to_numpy(), name) else x
    try:
        array = np.asarray(x)
    except ValueError:
        return x  # ragged: refused with the rest
    return array.astype(float) if array.dtype.kind in "iub" and not _too_large(array, name) else x


def _too_large(array: np.ndarray, name: str) -> bool:
    """False, or SampleError for integers that a float cannot hold."""
    if array.size and array.dtype.kind in "iu" and max(int(array.max()), -int(array.min())) > _LARGEST_EXACT_INTEGER:
        raise SampleError(
            f"{name}: expected integers up to 2**53 in size, got {array.flat[np.abs(array.astype(float)).argmax()]}; "
            "as floats they would coincide. Recode them, e.g. with numpy.unique(..., return_inverse=True)"
        )
    return False


def _rare_warnings(alone: int, few: int, n: int, k: int) -> tuple[EstimateWarning, ...]:
    """Code ``rare_labels``: classes too small for k neighbors."""
    if not few:
        return ()
    return (
        EstimateWarning(
            code="rare_labels",
            message=f"{few} of {n} rows belong to classes of {k} or fewer; {alone} are alone in theirs and left out, "
            "the others use fewer than k neighbors. The value speaks of the remaining classes",
            cure="merge rare classes, draw more, or use a smaller k",
        ),
    )
