"""The border between itssl and the arrays of its users: admit samples, find the namespace, name random streams.

Everything inside the library relies on what is checked here once: samples are finite float64 arrays of shape
``(n, d)``. What does not fit is refused by name, with what arrived and how to mend it.
"""

import sys
import weakref
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

Samples: TypeAlias = Float[np.ndarray, "_ _"]
"""Admitted samples, shape (n, d); two of them in one signature may differ in both."""
SamplesLike: TypeAlias = Any
"""What a user may hand over: a numpy array, torch tensor, DataFrame or nested list of floats."""


_LARGEST = 1e300
"""Beyond it sums over rows, and a few standard deviations, may be no floats any more."""


class SampleError(ValueError):
    """Samples that cannot be admitted; the message names the argument, what arrived and the cure.

    >>> try:
    ...     as_samples([[1.0], [float("nan")]])
    ... except SampleError as error:
    ...     print(error)
    x: expected finite values, got 1 of 2 NaN or infinite (first in row 1); drop or impute these rows
    """


class SampleTypeError(SampleError, TypeError):
    """Something that does not hold real-valued samples at all (labels, strings, complex numbers, mixed kinds).

    >>> try:
    ...     as_samples(["a", "b"])
    ... except SampleTypeError as error:
    ...     print(error)
    x: expected real-valued samples, got dtype <U1 (list); convert to an array of floats first
    """


def is_torch(x: object) -> bool:
    """Whether x is a torch tensor, found without importing torch.

    >>> is_torch([1.0, 2.0])
    False
    """
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def namespace(*arrays: object) -> ModuleType:
    """The module whose functions fit the arrays: ``torch`` for tensors, ``numpy`` otherwise.

    Raises SampleTypeError when tensors and other arrays are mixed, for then neither library keeps both the
    values and the gradients.

    >>> namespace([1.0, 2.0]).__name__
    'numpy'
    """
    torch_like = [is_torch(array) for array in arrays]
    if all(torch_like) and arrays:
        return sys.modules["torch"]
    if any(torch_like):
        kinds = ", ".join(type(array).__name__ for array in arrays)
        raise SampleTypeError(
            f"expected arrays of one kind, got {kinds}; convert with torch.as_tensor(x) or x.detach().numpy()"
        )
    return np


def as_samples(x: SamplesLike, *, name: str = "x", minimum: int = 2) -> Samples:
    """Admit x as samples: a finite float64 array of shape (n, d), one row per draw.

    A 1-D array becomes (n, 1). Tensors are detached and copied to the host; DataFrames, read-only,
    non-contiguous and float32 arrays are accepted. The input is never modified (the result may share its memory).
    Errors and warnings call the columns of a DataFrame by their names, see :func:`column_names`.

    Parameters
    ----------
    x: n draws of a d-dimensional variable.
    name: how the caller calls the argument; it appears in every error.
    minimum: the least number of rows.

    Raises
    ------
    SampleTypeError: integer, boolean, complex, text or object data, sparse or masked arrays.
    SampleError: wrong rank, empty, fewer than ``minimum`` rows, NaN or infinite values, values beyond 1e300.

    >>> as_samples([0.5, 1.5, 2.5]).shape
    (3, 1)
    >>> as_samples([0.5, float("nan"), 2.5], name="z")
    Traceback (most recent call last):
    ...
    itssl.arrays.SampleError: z: expected finite values, got 1 of 3 NaN or infinite (first in row 1); drop \
or impute these rows
    """
    array = _as_real_array(x, name)
    if array.ndim == 0 or array.ndim > 2:
        cure = "pass at least two rows" if array.ndim == 0 else f"use {name}.reshape(len({name}), -1)"
        raise SampleError(f"{name}: expected shape (n, d), got shape {array.shape}; {cure}")
    if array.ndim == 1:
        array = array[:, None]
    n, d = array.shape
    names = _frame_names(x)
    if n == 0 or d == 0:
        raise SampleError(f"{name}: expected samples, got an empty array of shape {array.shape}; check how it was made")
    if n < minimum:
        cure = f"pass {name}.T if its columns are the draws" if d >= minimum else "draw more samples"
        raise SampleError(f"{name}: expected at least {minimum} rows, got shape {array.shape}; {cure}")
    finite = np.isfinite(array)
    if not finite.all():
        bad, first = int((~finite).sum()), int(np.argmin(finite.all(axis=1)))
        where = f"row {first}" + (f", column {names[int(np.argmin(finite[first]))]}" if names else "")
        raise SampleError(
            f"{name}: expected finite values, got {bad} of {array.size} NaN or infinite (first in {where}); "
            "drop or impute these rows"
        )
    if (largest := max(float(array.max()), -float(array.min()))) > _LARGEST:
        raise SampleError(
            f"{name}: expected values up to {_LARGEST:g} in size, whose sums are floats, got {largest:.3g}; use other "
            f"units, e.g. {name} / {largest:.0e}"
        )
    return name_columns(array, names) if names else array


def as_paired_samples(
    x: SamplesLike, y: SamplesLike, *, names: tuple[str, str] = ("x", "y"), minimum: int = 2
) -> tuple[Samples, Samples]:
    """Admit two samples whose rows belong together; both as in :func:`as_samples`.

    Raises SampleTypeError when one is a torch tensor and the other is not, SampleError when the lengths differ.

    >>> x, y = as_paired_samples([0.0, 1.0], [[2.0, 3.0], [4.0, 5.0]])
    >>> x.shape, y.shape
    ((2, 1), (2, 2))
    """
    _require_one_kind(x, y, names)
    rows_x, rows_y = (getattr(z, "index", None) for z in (x, y))
    same = getattr(rows_x, "equals", None)
    if same is not None and hasattr(rows_y, "equals") and not same(rows_y):
        raise SampleError(
            f"{names[0]} and {names[1]}: expected equal row labels, got two different indexes; align them first, e.g. "
            "with DataFrame.reindex_like or join"
        )
    a, b = as_samples(x, name=names[0], minimum=minimum), as_samples(y, name=names[1], minimum=minimum)
    if len(a) != len(b):
        raise SampleError(
            f"{names[0]} and {names[1]}: expected the same number of rows, got {len(a)} and {len(b)}; "
            "row i of both must come from the same draw"
        )
    return a, b


def as_comparable_samples(
    x: SamplesLike, y: SamplesLike, *, names: tuple[str, str] = ("x", "y")
) -> tuple[Samples, Samples]:
    """Admit samples of two laws on one space: equally many columns, rows not paired; both as in :func:`as_samples`.

    Raises SampleTypeError when one is a torch tensor and the other is not, SampleError when the columns differ.

    >>> x, y = as_comparable_samples([0.0, 1.0], [2.0, 3.0, 4.0])
    >>> x.shape, y.shape
    ((2, 1), (3, 1))
    """
    _require_one_kind(x, y, names)
    a, b = as_samples(x, name=names[0]), as_samples(y, name=names[1])
    if a.shape[1] != b.shape[1]:
        raise SampleError(
            f"{names[0]} and {names[1]}: expected equally many columns, got {a.shape[1]} and {b.shape[1]}; "
            "both must live in one space"
        )
    return a, b


def as_matrix(z: Any, *, name: str = "z") -> tuple[ModuleType, Any]:
    """Admit z for a differentiable function: its namespace and z itself, kind, dtype and gradients kept.

    Returns (numpy or torch, array of shape (n, d)). Lists and DataFrames become numpy arrays, half precision single.
    Raises SampleError / SampleTypeError as :func:`as_samples`, except that z must already be 2-D.

    >>> xp, z = as_matrix([[0.0, 1.0], [2.0, 3.0]])
    >>> xp.__name__, z.shape
    ('numpy', (2, 2))
    """
    xp = namespace(z)
    if xp is np:
        if type(z) is not np.ndarray or z.dtype not in (np.float32, np.float64):
            z = _as_real_array(z, name)
    elif not z.dtype.is_floating_point:
        raise SampleTypeError(f"{name}: expected a floating-point tensor, got {z.dtype}; use {name}.double()")
    elif z.dtype.itemsize < 4:
        z = z.float()  # half precision: its linear algebra does not exist
    if z.ndim != 2 or z.shape[0] < 2 or z.shape[1] < 1:
        raise SampleError(f"{name}: expected shape (n, d) with n >= 2, got {tuple(z.shape)}; reshape to one row a draw")
    if not _all_finite(xp, z):
        raise SampleError(f"{name}: expected finite values, got NaN or infinite ones; check the step that made {name}")
    return xp, z


def _all_finite(xp: ModuleType, z: Any) -> bool:
    """A sum is finite only if all its terms are, and far cheaper than a look at each; a large one may overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = (z if xp is np else z.detach()).sum()
    return bool(xp.isfinite(total)) or bool(xp.isfinite(z).all())


def as_matching_matrices(a: Any, b: Any, *, names: tuple[str, str] = ("z_a", "z_b")) -> tuple[ModuleType, Any, Any]:
    """Admit two views for a differentiable function: their namespace and both matrices, of one shape.

    >>> as_matching_matrices([[0.0], [1.0]], [[0.0, 1.0], [1.0, 2.0]])
    Traceback (most recent call last):
    ...
    itssl.arrays.SampleError: z_a and z_b: expected equal shapes, got (2, 1) and (2, 2); row i of both must embed \
two views of one input
    """
    xp = namespace(a, b)
    (_, a), (_, b) = as_matrix(a, name=names[0]), as_matrix(b, name=names[1])
    if a.shape != b.shape:
        raise SampleError(
            f"{names[0]} and {names[1]}: expected equal shapes, got {tuple(a.shape)} and {tuple(b.shape)}; "
            "row i of both must embed two views of one input"
        )
    return xp, a, b


def take_rows(z: Any, rows: Any) -> Any:
    """The chosen rows of an array, list, tensor, DataFrame or Series, whose kind stays; frames are relabeled alike.

    >>> take_rows(["a", "b", "c"], np.array([2, 0]))
    array(['c', 'a'], dtype='<U1')
    """
    if hasattr(z, "iloc"):
        return z.iloc[rows].set_axis(z.index[: len(rows)], axis=0)
    if is_torch(z):
        import torch

        return z[torch.as_tensor(rows, device=z.device)]
    return np.asarray(z)[rows]


def refuse_constant_columns(x: Samples, *, name: str = "x") -> None:
    """Raise SampleError when a column of x never varies: it has no density, and no scale to divide by.

    >>> refuse_constant_columns(np.array([[0.0, 1.0], [0.0, 2.0]]))
    Traceback (most recent call last):
    ...
    itssl.arrays.SampleError: x: expected columns that vary, got constant column 0; drop it (a constant carries \
no information and has differential entropy -inf)
    """
    constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if constant.size:
        raise SampleError(
            f"{name}: expected columns that vary, got constant column {list_columns(x, constant)}; drop it "
            "(a constant carries no information and has differential entropy -inf)"
        )


def column_names(x: Samples) -> tuple[str, ...]:
    """What messages call the columns: quoted names of the DataFrame or Series that was admitted as x, else numbers.

    Names belong to the very array that :func:`as_samples` or :func:`take_columns` returned and are forgotten with it.

    >>> column_names(np.zeros((3, 2)))
    ('0', '1')
    """
    return _frame_names(x) or tuple(map(str, range(x.shape[1])))


def take_columns(x: Samples, keep: Any) -> Samples:
    """The chosen columns, called as they are in x.

    >>> column_names(take_columns(np.zeros((3, 4)), [1, 3]))
    ('1', '3')
    """
    return name_columns(x[:, keep], np.array(column_names(x), dtype=object)[keep].tolist())


def list_columns(x: Samples, columns: Iterable[Any], *, most: int = 5) -> str:
    """The names of the numbered columns, the first few of them, for a message.

    >>> list_columns(np.zeros((3, 9)), range(7))
    '0, 1, 2, 3, 4, ...'
    """
    names, chosen = column_names(x), list(columns)
    return ", ".join(names[j] for j in chosen[:most]) + (", ..." if len(chosen) > most else "")


_NAMES: dict[int, tuple[Any, tuple[str, ...]]] = {}
"""By the id of a living array: a weak reference to it, and its columns' names, which arrays of numpy cannot hold."""


def name_columns(array: Samples, names: Sequence[str]) -> Samples:
    """The array itself, whose columns messages call by these names from now on.

    >>> column_names(name_columns(np.zeros((3, 2)), ["'age'", "'height'"]))
    ("'age'", "'height'")
    """
    key = id(array)

    def forget(owner: Any) -> None:
        if _NAMES.get(key, (None,))[0] is owner:
            del _NAMES[key]

    _NAMES[key] = weakref.ref(array, forget), tuple(names)
    return array


def _frame_names(x: SamplesLike) -> tuple[str, ...]:
    """Names of the columns of a frame, of a series or of an array that has them; empty for all else."""
    owner, names = _NAMES.get(id(x), (None, ()))
    if owner is not None and owner() is x:
        return names
    if (columns := getattr(x, "columns", None)) is not None:
        return tuple(map(repr, columns))
    return (repr(x.name),) if hasattr(x, "to_numpy") and getattr(x, "name", None) is not None else ()


def stream(seed: int, *path: str | int) -> np.random.Generator:
    """An independent, reproducible random generator for the purpose named by ``path``.

    The stream depends on the seed and the path alone, not on which streams were opened before, so adding a
    stream never changes the numbers of another [1].

    Raises SampleTypeError for a seed that is not a non-negative integer.

    References
    ----------
    [1] NumPy documentation, "Parallel random number generation", SeedSequence and spawn keys.

    >>> stream(0, "views", 3).integers(100) == stream(0, "views", 3).integers(100)
    np.True_
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SampleTypeError(f"seed: expected a non-negative integer, got {seed!r}; pass e.g. seed=0")
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=_path_words(path)))


def _require_one_kind(x: SamplesLike, y: SamplesLike, names: tuple[str, str]) -> None:
    if is_torch(x) != is_torch(y):
        raise SampleTypeError(
            f"{names[0]} and {names[1]}: expected arrays of one kind, got {type(x).__name__} and {type(y).__name__}; "
            "convert one, e.g. with tensor.detach().numpy()"
        )


def _path_words(path: Sequence[str | int]) -> tuple[int, ...]:
    parts = [part if isinstance(part, str) else int(part) for part in path]
    digest = blake2b(repr(tuple(parts)).encode(), digest_size=16).digest()
    return tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))


def _as_real_array(x: SamplesLike, name: str) -> np.ndarray:
    """x as a float64 array, or SampleTypeError when it does not hold real numbers."""
    if is_torch(x):
        x = on_host(x)
    refuse_masked(x, name)
    if hasattr(x, "tocoo"):
        raise SampleTypeError(f"{name}: expected a dense array, got {type(x).__name__}; use {name}.toarray()")
    _refuse_integer_columns(x, name)
    try:
        array = np.asarray(_plain(x))
    except ValueError as error:
        raise SampleError(f"{name}: expected a rectangular array, got rows of unequal shape; {error}") from error
    if array.dtype.kind in "iub" and array.size:
        raise SampleTypeError(
            f"{name}: expected real-valued samples, got {array.dtype} of shape {array.shape}; integers look like "
            f"labels or counts, which have no density. If they are measurements, pass {name}.astype(float)"
        )
    if array.dtype.kind != "f" and array.size:
        raise SampleTypeError(
            f"{name}: expected real-valued samples, got dtype {array.dtype} ({type(x).__name__}); "
            "convert to an array of floats first"
        )
    return array.astype(np.float64, copy=False)


def _plain(x: Any) -> Any:
    """A frame or series with pandas' nullable floats as plain ones, what is missing as NaN; all else as it is."""
    kinds = np.atleast_1d(np.asarray(getattr(x, "dtypes", None), dtype=object))
    if hasattr(x, "to_numpy") and all(getattr(kind, "kind", "") == "f" for kind in kinds):
        return x.to_numpy(dtype=float, na_value=np.nan)
    return x


def _refuse_integer_columns(x: SamplesLike, name: str) -> None:
    """A DataFrame with integer columns beside real ones would be widened silently."""
    kinds = getattr(getattr(x, "dtypes", None), "items", None)
    integer = [str(column) for column, kind in kinds() if getattr(kind, "kind", "") in "iub"] if kinds else []
    if integer:
        raise SampleTypeError(
            f"{name}: expected real-valued columns, got integers in {', '.join(integer)}; they look like labels or "
            f"counts. Drop them, or pass {name}.astype(float) if they are measurements"
        )


def on_host(tensor: Any) -> np.ndarray:
    """A torch tensor without its graph as an array on the host; half precision widened (bfloat16 has no numpy twin)."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype.is_floating_point and tensor.element_size() < 4 else tensor).numpy()


def refuse_masked(x: Any, name: str) -> None:
    """SampleTypeError for a masked array, whose masked values numpy would hand on as numbers."""
    if isinstance(x, np.ma.MaskedArray):
        raise SampleTypeError(f"{name}: expected plain values, got a masked array; drop the masked rows")
