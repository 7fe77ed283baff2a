"""Labels: which columns pass for them, words as codes, and numbers that are left as they are."""

import numpy as np
import pandas as pd
import pytest
import torch

from itssl.arrays import SampleError
from itssl.estimators.class_labels import holds_labels, text_as_codes


@pytest.mark.parametrize(
    ("z", "holds"),
    [
        ([0.0, 1.0, 1.0, 0.0], True),
        ([-3.0, 7.0, 7.0, -3.0], True),
        ([0.5, 1.0, 1.0, 0.5], False),  # no integers
        ([1.0, 2.0, 3.0, 3.0], False),  # three of them in four rows
        ([1e300, 1e300, 3e299, 3e299], False),  # integers by their size alone
    ],
)
def test_columns_of_repeated_integers_are_labels(z, holds):
    column = np.array(z)[:, None]
    assert holds_labels(column) is holds
    assert not holds_labels(np.hstack([column, column]))


@pytest.mark.parametrize(
    "words", [["b", "a", "b"], np.array(["b", "a", "b"]), np.array(["b", "a", "b"], dtype=object)[:, None],
              pd.Series(["b", "a", "b"]), pd.Series(["b", "a", "b"], dtype="category"),
              pd.DataFrame({"label": ["b", "a", "b"]})],
)  # fmt: skip
def test_words_become_codes(words):
    np.testing.assert_array_equal(text_as_codes(words, "y"), [[1.0], [0.0], [1.0]])


@pytest.mark.parametrize("z", [[0.5, 1.5], np.array([[1, 2]]), torch.zeros(3), pd.Series([1.0, 2.0]), [], None])
def test_anything_else_is_as_it_came(z):
    assert text_as_codes(z, "y") is z


def test_missing_words_are_refused_by_name():
    with pytest.raises(SampleError, match="y: expected a label in every row, got 1 missing"):
        text_as_codes(["a", None, "b"], "y")
