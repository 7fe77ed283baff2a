"""The idx reader on files written here, whole and damaged."""

import gzip
import struct

import numpy as np
import pytest

from itssl.networks.idx import IdxError, read_idx


def idx_bytes(array, *, kind=8):
    return struct.pack(">HBB", 0, kind, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


ARRAY = np.arange(300 * 2 * 3, dtype=np.int64).astype(np.uint8).reshape(300, 2, 3)  # 300 needs two bytes of its size


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("array", [ARRAY, ARRAY[:, 0, 0], ARRAY[:0]], ids=["pictures", "labels", "none"])
def test_what_was_written_is_read(tmp_path, ending, array):
    data = idx_bytes(array)
    (tmp_path / f"x{ending}").write_bytes(gzip.compress(data) if ending else data)
    found = read_idx(tmp_path / f"x{ending}", dims=array.ndim)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.uint8
    assert not found.flags.writeable
    np.testing.assert_array_equal(read_idx(str(tmp_path / f"x{ending}")), array)


WHOLE = idx_bytes(ARRAY)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: expected an idx file, which starts with two zero bytes, got 0 bytes starting with none"),
        (b"PNG\r\n", "got 5 bytes starting with 50 4e 47 0d; is it another format"),
        (idx_bytes(ARRAY, kind=0x0D), r"x: expected unsigned bytes \(type 0x08\), got type 0x0d"),
        (idx_bytes(ARRAY[:, 0]), "x: expected 3 dimensions, got 2; are pictures and labels mixed up"),
        (WHOLE[:10], "x: expected 3 sizes, got a file of 10 bytes; it is truncated"),
        (WHOLE[:-1], r"x: expected 1800 values for sizes \(300, 2, 3\), got 1799; it is truncated"),
        (WHOLE + b"\0", "got 1801; it is too long"),
    ],
    ids=["empty", "png", "floats", "dimensions", "header", "truncated", "long"],
)
def test_damaged_files_are_named(tmp_path, data, message):
    for ending, written in (("", data), (".gz", gzip.compress(data))):
        (tmp_path / f"x{ending}").write_bytes(written)
        with pytest.raises(IdxError, match=message if not ending else message.replace("x: ", "x.gz: ")):
            read_idx(tmp_path / f"x{ending}", dims=3)


@pytest.mark.parametrize(
    "broken", [gzip.compress(WHOLE)[:-9], gzip.compress(WHOLE)[:15], WHOLE], ids=["cut", "short", "plain"]
)
def test_broken_gzip_files_are_named(tmp_path, broken):
    (tmp_path / "x.gz").write_bytes(broken)
    with pytest.raises(IdxError, match=r"x.gz: expected a whole gzip file, got a broken one"):
        read_idx(tmp_path / "x.gz")


def test_a_bit_that_fell_over_is_seen(tmp_path):
    data = bytearray(gzip.compress(WHOLE))
    data[len(data) // 2] ^= 0x10
    (tmp_path / "x.gz").write_bytes(data)
    with pytest.raises(IdxError, match="broken one"):
        read_idx(tmp_path / "x.gz")
