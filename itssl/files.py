"""Samples and labels in files: .npy, .npz and .csv, refused by file, row and column where they do not hold any."""

import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from itssl.arrays import Samples, as_samples, name_columns

SUFFIXES = (".npy", ".npz", ".csv")


class SampleFileError(ValueError):
    """A file that does not hold samples; the message names the file, what arrived and the cure."""


def read_samples(path: str | Path, *, key: str | None = None) -> Samples:
    """The samples in a file: a finite float64 array of shape (n, d), one row per draw.

    .npy holds one array, .npz one array or several of which ``key`` names one, .csv comma-separated numbers, below at
    most one line of column names (a first line without any number), by which messages call the columns. Nothing is
    unpickled.

    Raises SampleFileError for a file of another kind, a wrong key or text among the numbers, SampleError for
    an array that does not hold samples, OSError for a file that cannot be opened.

    >>> read_samples("samples.txt")
    Traceback (most recent call last):
    ...
    itssl.files.SampleFileError: samples.txt: expected a file ending in .npy, .npz or .csv, got '.txt'; \
save the samples with numpy.save
    """
    path = Path(path)
    in_text = _is_text(path, key, "samples")
    array = _read_csv(path) if in_text else _read_numpy(path, key)
    if in_text and array.size and (array == np.round(array)).all():
        raise SampleFileError(
            f"{path.name}: expected real-valued samples, got whole numbers only; they look like labels or "
            "counts. If they are measurements, save them as floats with numpy.save"
        )
    return as_samples(array, name=path.name)


def read_labels(path: str | Path, *, n: int, key: str | None = None) -> Shaped[np.ndarray, " n"]:
    """The n class labels in a file, shape (n,), as they are there: numbers or text.

    .npy and .npz as for :func:`read_samples`; .csv holds one label a line, and where it has n + 1 lines the first names
    the column. Nothing is unpickled.

    Raises SampleFileError for a file of another kind, a wrong key or more than one column, SampleError for labels that
    :func:`~itssl.estimators.mixed_neighbors.as_labels` refuses, another number of them too, OSError for a file that
    cannot be opened.

    >>> read_labels("labels.txt", n=2)
    Traceback (most recent call last):
    ...
    itssl.files.SampleFileError: labels.txt: expected a file ending in .npy, .npz or .csv, got '.txt'; \
save the labels with numpy.save
    """
    from itssl.estimators.mixed_neighbors import as_labels

    path = Path(path)
    if _is_text(path, key, "labels"):
        lines = list(_lines(path))
        wide = next((number for number, cells in lines if len(cells) != 1), None)
        if wide is not None:
            raise SampleFileError(f"{path.name}: expected one label a line, got more in line {wide}; keep one column")
        cells = [cell.strip() for _, (cell,) in lines]
        labels = np.array(cells[1:] if len(cells) == n + 1 else cells, dtype=str)
    else:
        labels = _read_numpy(path, key)
    as_labels(labels, n=n, name=path.name)
    return labels.reshape(-1)


def _is_text(path: Path, key: str | None, what: str) -> bool:
    """Whether the file is one of text; SampleFileError for a kind that is not read, or a key that means nothing."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SampleFileError(
            f"{path.name}: expected a file ending in .npy, .npz or .csv, got {path.suffix!r}; "
            f"save the {what} with numpy.save"
        )
    if key is not None and suffix != ".npz":
        raise SampleFileError(f"{path.name}: expected no key, got {key!r}; only .npz files hold several arrays")
    return suffix == ".csv"


def _read_numpy(path: Path, key: str | None) -> np.ndarray:
    try:
        with path.open("rb") as file:  # numpy leaves the file open when it is damaged
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else loaded[_choose(path, loaded.files, key)]
    except SampleFileError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        what = "pickled objects or another format" if "pickle" in str(error) else f"a damaged file ({error})"
        raise SampleFileError(
            f"{path.name}: expected arrays of numbers in numpy's format, got {what}; "
            "save them with numpy.save or numpy.savez as arrays of floats"
        ) from error


def _choose(path: Path, names: list[str], key: str | None) -> str:
    if key in names or (key is None and len(names) == 1):
        return key if key is not None else names[0]
    got = f"the key {key!r}" if key is not None else "no key"
    raise SampleFileError(
        f"{path.name}: expected one of the arrays {', '.join(names) or '(none)'}, got {got}; pass --key"
    )


def _read_csv(path: Path) -> np.ndarray:
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise SampleFileError(f"{path.name}: expected comma-separated numbers, got no row; check how it was made")
    header = not any(map(_is_number, first[1]))
    if header and next(lines, None) is None:
        raise SampleFileError(
            f"{path.name}: expected numbers below the column names, got no row; check how it was made"
        )
    try:
        array = np.loadtxt(
            path, delimiter=",", skiprows=first[0] if header else 0, ndmin=2, quotechar='"', encoding="utf-8-sig"
        )
    except ValueError as error:
        raise SampleFileError(f"{path.name}: {_fault(path, header) or error}") from error
    named = header and len(first[1]) == array.shape[1]
    return name_columns(array, [repr(cell.strip()) for cell in first[1]]) if named else array


def _fault(path: Path, header: bool) -> str | None:
    """The first cell of the file that spoils it, in words."""
    lines = list(_lines(path))[header:]
    for number, cells in lines:
        for column, cell in enumerate(cells, start=1):
            if not _is_number(cell):
                return (
                    f"expected a number in line {number}, column {column}, got {cell.strip()!r}; "
                    "give every cell a number, separated by commas"
                )
        if len(cells) != len(lines[0][1]):
            return f"expected {len(lines[0][1])} columns in line {number}, got {len(cells)}; give every line as many"
    return None


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers, from 1, and cells of the lines that hold any; '#' begins a comment, as for numpy."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(line.partition("#")[0].strip() for line in file)
            yield from ((rows.line_num, cells) for cells in rows if cells)
    except UnicodeDecodeError as error:
        raise SampleFileError(f"{path.name}: expected text in UTF-8, got other bytes; export it as UTF-8") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
