"""Files in the idx format, in which MNIST and its likes come."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

_BYTES = 0x08  # the code of unsigned bytes in the third byte of the file


class IdxError(ValueError):
    """A damaged or unexpected idx file; the message names it, what was expected and what arrived."""


def read_idx(path: str | Path, *, dims: int | None = None) -> UInt8[np.ndarray, "..."]:
    """The array of unsigned bytes in an idx file, plain or gzipped (by its name's ending .gz); read-only.

    The file holds two zero bytes, 8 for unsigned bytes, the number of dimensions, each size as four bytes with the
    highest first, then the values in C order [1].

    Parameters
    ----------
    path: the file.
    dims: the number of dimensions it must have; any unless given.

    Raises
    ------
    IdxError: another magic number, type or number of dimensions, fewer or more values than the sizes say, or a
        broken gzip stream.

    References
    ----------
    [1] Y. LeCun, C. Cortes, C. Burges. The MNIST database of handwritten digits, "File formats".

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
    >>> path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    11
    >>> read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise IdxError(f"{path}: expected a whole gzip file, got a broken one ({error}); fetch it again") from error
    if len(data) < 4 or data[:2] != b"\0\0":
        raise IdxError(
            f"{path}: expected an idx file, which starts with two zero bytes, got {len(data)} bytes starting with "
            f"{data[:4].hex(' ') or 'none'}; is it another format?"
        )
    kind, rank = data[2], data[3]
    if kind != _BYTES:
        raise IdxError(f"{path}: expected unsigned bytes (type 0x08), got type 0x{kind:02x}; convert the file")
    if dims is not None and rank != dims:
        raise IdxError(f"{path}: expected {dims} dimensions, got {rank}; are pictures and labels mixed up?")
    header = 4 + 4 * rank
    if len(data) < header:
        raise IdxError(
            f"{path}: expected {rank} sizes, got a file of {len(data)} bytes; it is truncated, fetch it again"
        )
    sizes = struct.unpack(f">{rank}I", data[4:header])
    if len(data) - header != math.prod(sizes):
        how = "truncated" if len(data) - header < math.prod(sizes) else "too long"
        raise IdxError(
            f"{path}: expected {math.prod(sizes)} values for sizes {sizes}, got {len(data) - header}; it is {how}, "
            "fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(sizes)
