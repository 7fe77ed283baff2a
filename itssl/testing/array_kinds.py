"""One sample in the kinds of array its users hold: numpy, torch and pandas, in several layouts and precisions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from itssl.arrays import Samples
from itssl.choices import ParameterError, require_known

Library = Literal["numpy", "torch", "pandas"]
Precision = Literal["float64", "float32"]


@dataclass(frozen=True, eq=False)
class ArrayKind:
    """A way to hold samples: called with numbers (n, d) it returns a new array of that kind, sharing no memory.

    The array holds ``numbers(x)``, which is x itself in double precision and x rounded in single precision. So
    ``f(kind(x))`` and ``f(kind.numbers(x))`` have the same truth and differ by the rounding of f at most.

    >>> kind = ArrayKind("Fortran order", "numpy", "float64", np.asfortranarray)
    >>> kind(np.zeros((3, 2))).flags.c_contiguous
    False
    """

    name: str
    library: Library
    dtype: Precision
    present: Callable[[np.ndarray], Any]

    def __call__(self, x: Samples) -> Any:
        """The numbers x, shape (n, d), as an array of this kind."""
        return self.present(np.array(x, dtype=self.dtype, order="C"))

    def numbers(self, x: Samples) -> Samples:
        """The float64 numbers that the array holds, shape (n, d).

        >>> single = ArrayKind("float32", "numpy", "float32", lambda x: x)
        >>> float(single.numbers(np.array([[0.1]]))[0, 0])
        0.10000000149011612
        """
        return np.array(x, dtype=self.dtype).astype(np.float64)

    def __repr__(self) -> str:
        return f"ArrayKind({self.library}, {self.name})"


def array_kinds(
    *, libraries: Sequence[Library] | None = None, precisions: Sequence[Precision] = ("float64", "float32")
) -> st.SearchStrategy[ArrayKind]:
    """Kinds of array, each a function from numbers (n, d) to an array that holds them; shrink to plain float64.

    numpy: contiguous, Fortran order, every second row of a larger array, reversed (negative strides), read-only,
    single precision. torch: contiguous, transposed, every second row, with a gradient, single precision. pandas: a
    DataFrame of floats, of nullable floats, of single precision. torch and pandas are imported when such an array is
    made, not before.

    Parameters
    ----------
    libraries: which of "numpy", "torch" and "pandas"; all that are installed unless given.
    precisions: which of "float64" and "float32".

    Raises
    ------
    UnknownNameError: a library or precision that is not on offer. ParameterError: none given, or one not installed.

    >>> from hypothesis import find
    >>> find(array_kinds(), lambda kind: True)
    ArrayKind(numpy, float64)
    """
    chosen = [name for name in _LIBRARIES if find_spec(name)] if libraries is None else list(libraries)
    for library in chosen:
        require_known("libraries", library, _LIBRARIES)
        if not find_spec(library):
            raise ParameterError(f"libraries: expected installed packages, got {library!r}; install it or leave it out")
    for precision in precisions:
        require_known("precisions", precision, ["float64", "float32"])
    kinds = [kind for kind in KINDS if kind.library in chosen and kind.dtype in precisions]
    if not kinds:
        raise ParameterError(f"libraries, precisions: expected at least one of each, got {chosen} and {[*precisions]}")
    return st.sampled_from(kinds)


def _every_second(x: np.ndarray) -> np.ndarray:
    return np.repeat(x, 2, axis=0)[::2]


def _reversed(x: np.ndarray) -> np.ndarray:
    return x[::-1].copy()[::-1]


def _read_only(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


def _tensor(x: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(x)


def _with_gradient(x: np.ndarray) -> Any:
    return _tensor(x).requires_grad_(True)


def _transposed_tensor(x: np.ndarray) -> Any:
    return _tensor(np.ascontiguousarray(x.T)).T


def _every_second_of_tensor(x: np.ndarray) -> Any:
    return _tensor(np.repeat(x, 2, axis=0))[::2]


def _frame(x: np.ndarray) -> Any:
    import pandas as pd

    return pd.DataFrame(x, columns=[f"column {j}" for j in range(x.shape[1])])


def _nullable_frame(x: np.ndarray) -> Any:
    return _frame(x).astype("Float64")


def _same(x: np.ndarray) -> np.ndarray:
    return x


_LIBRARIES = ("numpy", "torch", "pandas")

KINDS = (
    ArrayKind("float64", "numpy", "float64", _same),
    ArrayKind("float32", "numpy", "float32", _same),
    ArrayKind("Fortran order", "numpy", "float64", np.asfortranarray),
    ArrayKind("every second row", "numpy", "float64", _every_second),
    ArrayKind("reversed", "numpy", "float64", _reversed),
    ArrayKind("read-only", "numpy", "float64", _read_only),
    ArrayKind("float64", "torch", "float64", _tensor),
    ArrayKind("float32", "torch", "float32", _tensor),
    ArrayKind("transposed", "torch", "float64", _transposed_tensor),
    ArrayKind("every second row", "torch", "float64", _every_second_of_tensor),
    ArrayKind("requires grad", "torch", "float64", _with_gradient),
    ArrayKind("float64", "pandas", "float64", _frame),
    ArrayKind("float32", "pandas", "float32", _frame),
    ArrayKind("nullable", "pandas", "float64", _nullable_frame),
)
"""All kinds, the plainest first."""
