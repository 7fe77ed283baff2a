"""Hypothesis strategies for samples that must be refused, each with the error and the message it must raise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from itssl.arrays import SampleError, Samples, SampleTypeError, stream
from itssl.choices import ParameterError
from itssl.testing.law_strategies import seeds

Make = Callable[[Any, int, int], Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class BadSamples:
    """Arguments of a function of samples, one of them bad, and how itssl refuses them.

    ``why`` names the fault. Calling a function with ``values`` must raise ``error`` with a message that matches
    ``match`` (a regular expression from its start, which holds the name of the argument). ``good`` are the same
    arguments without the fault: a function that refuses those too has not noticed it.

    >>> bad = BadSamples(why="NaN", values=([0.0, float("nan")],), error=SampleError, match="^x: ", good=([0.0, 1.0],))
    >>> bad
    BadSamples('NaN', SampleError, '^x: ')
    """

    why: str
    values: tuple[Any, ...]
    error: type[Exception]
    match: str
    good: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"BadSamples({self.why!r}, {self.error.__name__}, {self.match!r})"


def bad_samples(
    *, names: Sequence[str] = ("x",), rows: Literal["paired", "unpaired"] = "paired"
) -> st.SearchStrategy[BadSamples]:
    r"""Arguments with one fault, and the error of itssl that names the argument; shrink to one NaN.

    In one argument: NaN, infinite and overflowing values, too few or too many dimensions, no rows, no columns, one
    row, integers and booleans where samples belong (labels, counts), complex numbers, text, objects, None, masked and
    sparse arrays, rows of unequal length, tensors of integers and of complex numbers, a DataFrame with a column of
    integers. Between two arguments: numpy beside torch; for paired rows unequal lengths and unequal row labels, for
    unpaired rows (two samples on one space) unequal numbers of columns. All other values are normal draws.

    Faults that need torch or pandas import it when they are drawn; pandas only where it is installed.

    Parameters
    ----------
    names: the arguments in their order, as the messages call them.
    rows: whether row i of all arguments is one draw ("paired"), or the samples are of two laws ("unpaired").

    Raises
    ------
    ParameterError: no names, or one of them twice.

    >>> from hypothesis import find
    >>> find(bad_samples(), lambda bad: True)
    BadSamples('NaN', SampleError, '^x: expected finite values, got 1 of \\d+ NaN or infinite')
    """
    if not names or len(set(names)) != len(names):
        raise ParameterError(f"names: expected the names of the arguments, each once, got {tuple(names)!r}")
    of_two = [fault for fault in _FAULTS_OF_TWO if fault.rows in ("any", rows)] if len(names) == 2 else []
    faults = [fault for fault in (*_FAULTS, *of_two) if fault.library is None or find_spec(fault.library)]
    return _bad_samples(tuple(names), rows == "paired", faults)


@dataclass(frozen=True)
class _Fault:
    """What is wrong with one argument: how to make it from good numbers and a place (i, j), and the message."""

    why: str
    error: type[Exception]
    message: str
    make: Make
    library: str | None = None

    def break_one(self, values: list[Any], at: int, i: int, j: int, names: tuple[str, ...]) -> tuple[list[Any], str]:
        """The values with the one at ``at`` broken at (i, j), and the regular expression of the message."""
        if self.library == "torch":  # beside arrays, the mixture would be refused first
            values = [_tensor(value) for value in values]
        values = [self.make(value, i, j) if k == at else value for k, value in enumerate(values)]
        return values, f"^{names[at]}: {self.message}"


@dataclass(frozen=True)
class _FaultOfTwo:
    """What is wrong between two arguments."""

    why: str
    error: type[Exception]
    message: str
    make: Make
    rows: Literal["paired", "unpaired", "any"]
    library: str | None = None

    def break_one(self, values: list[Any], at: int, i: int, j: int, names: tuple[str, ...]) -> tuple[list[Any], str]:
        """The values with the one at ``at`` made unlike the other."""
        if self.library == "pandas":
            values = [_frame(value) for value in values]
        values = [self.make(value, i, j) if k == at else value for k, value in enumerate(values)]
        return values, f"^{names[0]} and {names[1]}: {self.message}"


@st.composite
def _bad_samples(
    draw: Callable[..., Any], names: tuple[str, ...], paired: bool, faults: list[_Fault | _FaultOfTwo]
) -> BadSamples:
    fault, at = draw(st.sampled_from(faults)), draw(st.integers(0, len(names) - 1))
    n, d = draw(st.integers(10, 30)), draw(st.integers(1, 3))
    rng = stream(draw(seeds()), "bad samples")
    good = [rng.standard_normal((n, draw(st.integers(1, 3)) if paired and k else d)) for k in range(len(names))]
    i, j = draw(st.integers(0, n - 1)), draw(st.integers(0, good[at].shape[1] - 1))
    values, match = fault.break_one([value.copy() for value in good], at, i, j, names)
    return BadSamples(why=fault.why, values=tuple(values), error=fault.error, match=match, good=tuple(good))


# --- the faults --------------------------------------------------------------------------------------------------


def _with(value: float) -> Make:
    """The numbers with this one at (i, j)."""

    def make(x: Samples, i: int, j: int) -> Samples:
        x[i, j] = value
        return x

    return make


def _masked(x: Samples, i: int, j: int) -> Any:
    masked = np.ma.masked_array(x)
    masked[i, j] = np.ma.masked
    return masked


def _sparse(x: Samples, i: int, j: int) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(x)


def _ragged(x: Samples, i: int, j: int) -> list[list[float]]:
    rows = x.tolist()
    rows[i].append(0.0)
    return rows


def _tensor(x: Samples) -> Any:
    import torch

    return torch.from_numpy(x)


def _frame(x: Samples) -> Any:
    import pandas as pd

    return pd.DataFrame(x, columns=[f"column {j}" for j in range(x.shape[1])])


def _with_integer_column(x: Samples, i: int, j: int) -> Any:
    return _frame(x).assign(label=np.arange(len(x)) % 3)


_FINITE = r"expected finite values, got 1 of \d+ NaN or infinite"
_SHAPE = r"expected shape \(n, d\), got shape \("
_EMPTY = r"expected samples, got an empty array of shape \("
_REAL = "expected real-valued samples, got "

_FAULTS = (
    _Fault("NaN", SampleError, _FINITE, _with(np.nan)),
    _Fault("infinite", SampleError, _FINITE, _with(np.inf)),
    _Fault("minus infinite", SampleError, _FINITE, _with(-np.inf)),
    _Fault("overflowing", SampleError, r"expected values up to 1e\+300 in size", _with(-3e307)),
    _Fault("a number", SampleError, _SHAPE, lambda x, i, j: float(x[i, j])),
    _Fault("three dimensions", SampleError, _SHAPE, lambda x, i, j: np.stack([x, x])),
    _Fault("no rows", SampleError, _EMPTY, lambda x, i, j: x[:0]),
    _Fault("no columns", SampleError, _EMPTY, lambda x, i, j: x[:, :0]),
    _Fault("one row", SampleError, r"expected at least \d+ rows, got shape \(1, ", lambda x, i, j: x[i : i + 1]),
    _Fault("integers", SampleTypeError, _REAL + "int", lambda x, i, j: np.arange(len(x)) % 3),
    _Fault("booleans", SampleTypeError, _REAL + "bool", lambda x, i, j: x > 0),
    _Fault("complex", SampleTypeError, _REAL + "dtype complex", lambda x, i, j: x + 1j),
    _Fault("text", SampleTypeError, _REAL + "dtype <U", lambda x, i, j: x.astype(str)),
    _Fault("objects", SampleTypeError, _REAL + "dtype object", lambda x, i, j: x.astype(object)),
    _Fault("nothing", SampleTypeError, _REAL + "dtype object", lambda x, i, j: None),
    _Fault("masked", SampleTypeError, "expected plain values, got a masked array", _masked),
    _Fault("sparse", SampleTypeError, "expected a dense array, got csr_matrix", _sparse),
    _Fault("ragged", SampleError, "expected a rectangular array, got rows of unequal shape", _ragged),
    _Fault("tensor of integers", SampleTypeError, _REAL + "int64", lambda x, i, j: (3 * x).long(), "torch"),
    _Fault("complex tensor", SampleTypeError, _REAL + "dtype complex", lambda x, i, j: x + 1j, "torch"),
    _Fault(
        "integers in a column", SampleTypeError, "expected real-valued columns, got integers in label",
        _with_integer_column, "pandas",
    ),
)  # fmt: skip

_FAULTS_OF_TWO = (
    _FaultOfTwo(
        "numpy beside torch", SampleTypeError, "expected arrays of one kind",
        lambda x, i, j: _tensor(x), "any", "torch",
    ),
    _FaultOfTwo(
        "unequal lengths", SampleError, r"expected the same number of rows, got \d+ and \d+",
        lambda x, i, j: np.delete(x, i, axis=0), "paired",
    ),
    _FaultOfTwo(
        "unequal row labels", SampleError, "expected equal row labels", lambda x, i, j: x.iloc[::-1], "paired",
        "pandas",
    ),
    _FaultOfTwo(
        "unequal columns", SampleError, r"expected equally many columns, got \d+ and \d+",
        lambda x, i, j: np.hstack([x, x]), "unpaired",
    ),
)  # fmt: skip
