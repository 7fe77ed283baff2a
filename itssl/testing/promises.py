"""What an estimator promises, and how long the checks may take to find out."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

from itssl.choices import ParameterError, UnknownNameError, require_count, require_known
from itssl.estimate import Bias
from itssl.testing.subjects import Units

FAMILIES = ("any", "gaussian")
STOPS = ("none", "view_a", "view_b", "targets")


class Declared:
    """What all promises share: made from keyword arguments, and compared with their defaults."""

    deterministic: bool
    with_seed: Callable[..., Any] | None

    @classmethod
    def of(cls, promises: dict[str, Any]) -> Any:
        """From keyword arguments. Raises UnknownNameError for a promise that is not on offer.

        >>> EntropyPromises.of({"unit": "bits"})
        Traceback (most recent call last):
        ...
        itssl.choices.UnknownNameError: promise: expected one of 'units', 'deterministic', 'with_seed', 'with_k', \
'reference', 'max_dim', 'family', 'order_invariant', 'translation_invariant', 'scale_invariant', 'marginal_invariant', \
'clips_at_zero', 'consistent', 'rate', 'accuracy', 'bias', 'guards_input', 'accepts_tensors', 'accepts_frames', \
'promotes', 'memory', 'rotation_invariant', got 'unit'; did you mean 'units'?
        """
        known: Any = cls
        for name in promises:
            require_known("promise", name, [f.name for f in fields(known)])
        return cls(**promises)

    def given(self) -> dict[str, Any]:
        """The promises that differ from the defaults."""
        mine: Any = self
        return {f.name: value for f in fields(mine) if (value := getattr(self, f.name)) != f.default}

    @property
    def repeatable(self) -> bool:
        """Whether two calls with one sample must agree."""
        return self.deterministic or self.with_seed is not None


@dataclass(frozen=True, kw_only=True)
class Promises(Declared):
    """What is checked; each default is what most users take for granted, and an estimator that does less says so.

    units: of plain numbers; an Estimate names its own.
    deterministic: the same sample gives the same number. If not, pass ``with_seed``, or exact checks are left out.
    with_seed: seed → estimator; every call then goes to a new one with the same seed.
    with_k: k → estimator, for estimators with k neighbors.
    reference: an estimator of the same formula and units, to be equaled up to rounding. Only such a twin shows a
        constant that is off by 1/(2n), as log(n − 1) for ψ(n).
    max_dim: the largest number of columns; 1 hands over arrays of shape (n,).
    family: "gaussian" if the estimator is for Gaussian laws alone.
    order_invariant, translation_invariant, scale_invariant: under permuted rows, x + b, and a·x (both variables).
    marginal_invariant: each column may have units of its own.
    clips_at_zero: negative answers are replaced by zero.
    consistent: the mean absolute error falls at least as n^(−``rate``).
    accuracy: how far the mean may be from the truth, in nats; by default two standard errors of the mean of the true
        log-densities of as many rows: a larger bias would be most of the error.
    bias: the side of the truth on which the mean lies, for answers that do not say it themselves.
    guards_input: NaN, too few rows, constant columns and atoms are refused (a crash such as an IndexError refuses
        nothing), warned of, or answered as the law says.
    accepts_tensors, accepts_frames: torch tensors, and pandas' DataFrames, are samples too.
    promotes: single precision is computed in double: both give one answer to half of the digits of doubles.
    memory: "linear" in the rows, or "quadratic" where tables of n × n numbers are made.
    """

    units: Units = "nats"
    deterministic: bool = True
    with_seed: Callable[..., Any] | None = None
    with_k: Callable[..., Any] | None = None
    reference: Any = None
    max_dim: int | None = None
    family: Literal["any", "gaussian"] = "any"
    order_invariant: bool = True
    translation_invariant: bool = True
    scale_invariant: bool = True
    marginal_invariant: bool = False
    clips_at_zero: bool = False
    consistent: bool = True
    rate: float = 0.25
    accuracy: float | None = None
    bias: Bias | None = None
    guards_input: bool = True
    accepts_tensors: bool = False
    accepts_frames: bool = False
    promotes: bool = False
    memory: Literal["linear", "quadratic"] = "linear"

    def __post_init__(self) -> None:
        require_known("units", self.units, ["nats", "bits"])
        require_known("family", self.family, FAMILIES)
        require_known("memory", self.memory, ["linear", "quadratic"])
        if self.accuracy is not None and not self.accuracy > 0:
            raise ParameterError(f"accuracy: expected a number of nats > 0, got {self.accuracy!r}")
        if not 0 < self.rate <= 1:
            raise ParameterError(f"rate: expected a number in (0, 1], got {self.rate!r}; 1/2 is that of a mean")
        if self.max_dim is not None and self.max_dim < 1:
            raise ParameterError(f"max_dim: expected an integer >= 1, got {self.max_dim!r}")

    @property
    def digits(self) -> str:
        """The dtype in whose digits answers for single precision agree with those for double."""
        return "float64" if self.promotes else "float32"

    def dims(self, *wanted: int) -> tuple[int, ...]:
        """Those of the wanted numbers of columns that the estimator takes; at least one."""
        return tuple(d for d in wanted if self.max_dim is None or d <= self.max_dim) or (1,)


@dataclass(frozen=True, kw_only=True)
class EntropyPromises(Promises):
    """And of an entropy: ``rotation_invariant``, h(QX) = h(X) for the estimate itself, as with Euclidean distances."""

    rotation_invariant: bool = False


@dataclass(frozen=True, kw_only=True)
class InformationPromises(Promises):
    """And of a mutual information: I(X;Y) = I(Y;X) for the estimate itself; a mean of zero on independent pairs;
    ``apart_invariant``, x and y may each have a unit of their own, all columns of one the same."""

    symmetric: bool = True
    apart_invariant: bool = False
    unbiased_when_independent: bool = True


@dataclass(frozen=True, kw_only=True)
class DivergencePromises(Promises):
    """And of a divergence D(P‖Q), for the estimate itself: ``rotation_invariant``, the same for rotated samples;
    ``linear_invariant``, the same for A x, A y with A invertible; ``unbiased_when_equal``, a mean of zero for P = Q.

    Orders are those of either sample; shifts, scales and linear maps are one for both.
    """

    rotation_invariant: bool = False
    linear_invariant: bool = False
    unbiased_when_equal: bool = True


@dataclass(frozen=True, kw_only=True)
class ObjectivePromises(Declared):
    """What an objective promises of its loss L(z_a, z_b); each default is what training takes for granted.

    rows, columns: of an ordinary batch (24 × 6), for objectives that take one number of them alone.
    least_rows: fewer rows are refused, or get no finite loss; 1 for a loss that is a mean over rows.
    takes_wide: batches of more columns than rows are batches too.
    deterministic, with_seed, reference: as for an estimator; of a reference also the gradient is compared.
    order_invariant: under one permutation of the pairs.
    symmetric: L(z_a, z_b) = L(z_b, z_a).
    translation_invariant, rotation_invariant, scale_invariant: under z + b, Qz and az, of both views.
    stop_gradient: "view_a" or "view_b" where this view gets none; "targets" where each view is also a constant, so that
        the gradient is not the slope of the value.
    prevents_collapse: the loss of a batch of equal rows is larger than that of equal views that fill all directions
        alike, with variance one.
    finite_at_collapse: loss and gradient are numbers where all rows are equal.
    device: where it also runs, as torch writes it; "cuda" unless there is no such device.
    """

    rows: int | None = None
    columns: int | None = None
    least_rows: int = 2
    takes_wide: bool = True
    deterministic: bool = True
    with_seed: Callable[..., Any] | None = None
    reference: Any = None
    order_invariant: bool = True
    symmetric: bool = True
    translation_invariant: bool = False
    rotation_invariant: bool = False
    scale_invariant: bool = False
    stop_gradient: Literal["none", "view_a", "view_b", "targets"] = "none"
    prevents_collapse: bool = False
    finite_at_collapse: bool = True
    device: str = "cuda"

    def __post_init__(self) -> None:
        require_known("stop_gradient", self.stop_gradient, STOPS)
        require_count("least_rows", self.least_rows)
        n, d = self.shape
        require_count("columns", d)
        require_count("rows", n, minimum=max(2, self.least_rows))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d) of an ordinary batch."""
        return 24 if self.rows is None else self.rows, 6 if self.columns is None else self.columns

    @property
    def moving(self) -> tuple[int, ...]:
        """The views that get a gradient, by position."""
        return {"view_a": (1,), "view_b": (0,)}.get(self.stop_gradient, (0, 1))


@dataclass(frozen=True)
class Profile:
    """How much is drawn: rows of a sample, and replicates of it at the first and the last look."""

    name: str
    rows: int
    first_look: int
    replicates: int


PROFILES = {
    profile.name: profile
    for profile in (Profile("dev", 200, 16, 64), Profile("ci", 400, 32, 512), Profile("hunt", 1000, 32, 4096))
}


def profile_named(name: str) -> Profile:
    """One of "dev" (seconds), "ci" (below half a minute) and "hunt" (minutes).

    >>> profile_named("ci").rows
    400
    """
    if not isinstance(name, str):
        raise UnknownNameError(f"profile: expected one of {', '.join(map(repr, PROFILES))}, got {name!r}")
    require_known("profile", name, PROFILES)
    return PROFILES[name]
