"""The digits: the right pictures with the right labels, split once per seed, and not to be written to."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from itssl.arrays import SampleError
from itssl.networks.datasets import Dataset, digits


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
