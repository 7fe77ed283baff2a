"""Admission of samples: what works, what is refused and how, and independence of random streams."""

import gc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import itssl
from itssl import arrays
from itssl.arrays import (
    SampleError,
    SampleTypeError,
    as_matching_matrices,
    as_matrix,
    as_paired_samples,
    as_samples,
    column_names,
    list_columns,
    namespace,
    refuse_constant_columns,
    stream,
    take_columns,
)
from itssl.estimators.adequacy import tail_warnings

X = np.arange(12.0).reshape(6, 2) ** 2
READ_ONLY = X.copy()
READ_ONLY.flags.writeable = False

SAME = {
    "list": X.tolist(),
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "read-only": READ_ONLY,
    "Fortran order": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=0)[::2],
    "DataFrame": pd.DataFrame(X, columns=["a", "b"]),
    "DataFrame of nullable floats": pd.DataFrame(X, columns=["a", "b"]).astype("Float64"),
    "tensor": torch.tensor(X),
    "tensor with gradient": torch.tensor(X, requires_grad=True),
    "bfloat16 tensor": torch.tensor(X).bfloat16(),
}

REFUSED = {
    "NaN": (np.array([[0.0], [np.nan]]), SampleError, "finite"),
    "missing nullable": (pd.DataFrame({"a": pd.array([1.5, None], "Float64")}), SampleError, "got 1 of 2 NaN"),
    "nearly overflowing": (
        np.array([[1.0], [-3e307]]),
        SampleError,
        r"up to 1e\+300 in size, .* got 3e\+307; use other",
    ),
    "inf": (np.array([[0.0], [np.inf]]), SampleError, "first in row 1"),
    "empty": (np.empty((0, 3)), SampleError, "empty"),
    "no columns": (np.empty((3, 0)), SampleError, "empty"),
    "empty list": ([], SampleError, "empty"),
    "one row": (np.ones((1, 5)), SampleError, "x.T"),
    "scalar": (3.0, SampleError, "shape"),
    "3-D": (np.ones((4, 2, 2)), SampleError, "reshape"),
    "integer labels": (np.array([0, 1, 2]), SampleTypeError, "labels"),
    "booleans": (np.array([True, False]), SampleTypeError, "labels"),
    "integer tensor": (torch.arange(4), SampleTypeError, "labels"),
    "complex": (np.ones(4) * 1j, SampleTypeError, "complex"),
    "text": (np.array(["a", "b"]), SampleTypeError, "dtype"),
    "objects": (np.array([None, 1.0]), SampleTypeError, "dtype"),
    "ragged": ([[1.0, 2.0], [3.0]], SampleError, "rectangular"),
    "masked": (np.ma.masked_array([1.0, 2.0], [False, True]), SampleTypeError, "masked"),
}


@pytest.mark.parametrize("kind", SAME)
def test_admits_without_changing(kind):
    given_ = SAME[kind]
    before = np.array(as_samples(given_))
    admitted = as_samples(given_)
    assert admitted.dtype == np.float64
    assert admitted.shape == X.shape
    precision = {"float16": 2**-11, "bfloat16 tensor": 2**-8}.get(kind, 0)
    np.testing.assert_allclose(admitted, X, rtol=precision, atol=0)
    np.testing.assert_array_equal(before, as_samples(given_))
    if isinstance(given_, torch.Tensor):
        assert given_.requires_grad == ("gradient" in kind)


@pytest.mark.parametrize("kind", REFUSED)
def test_refuses_by_name_with_cure(kind):
    bad, error, part = REFUSED[kind]
    with pytest.raises(error, match=part) as caught:
        as_samples(bad, name="x")
    message = str(caught.value)
    assert message.startswith("x: expected")
    assert "got" in message


def test_pairs():
    with pytest.raises(SampleError, match=r"x and y: expected the same number of rows, got 6 and 5"):
        as_paired_samples(X, X[:5])
    with pytest.raises(SampleTypeError, match="one kind, got ndarray and Tensor"):
        as_paired_samples(X, torch.tensor(X))
    with pytest.raises(SampleError, match="view: expected finite"):
        as_paired_samples(X, np.full((6, 1), np.nan), names=("z", "view"))


def test_namespace_refuses_mixtures():
    assert namespace(torch.ones(2), torch.ones(3)) is torch
    assert namespace(X, X) is np
    with pytest.raises(SampleTypeError, match="one kind"):
        namespace(X, torch.ones(2))


def test_matrices_keep_kind_dtype_and_gradient():
    z = torch.ones(3, 2, dtype=torch.float32, requires_grad=True)
    xp, same = as_matrix(z)
    assert xp is torch
    assert same is z
    assert as_matrix(X.astype(np.float32))[1].dtype == np.float32
    for bad in (torch.ones(3), torch.ones(1, 2), torch.arange(4).reshape(2, 2), torch.full((2, 2), torch.nan)):
        with pytest.raises(SampleError, match="z: expected"):
            as_matrix(bad)
    with pytest.raises(SampleError, match="equal shapes"):
        as_matching_matrices(X, X[:4])


def test_constant_columns_are_named():
    with pytest.raises(SampleError, match="constant column 1"):
        refuse_constant_columns(np.c_[X[:, 0], np.full(6, 7.0)])
    refuse_constant_columns(np.array([[0.0], [np.nextafter(0, 1)]]))


@given(seed=st.integers(0, 2**63), path=st.lists(st.one_of(st.text(), st.integers())))
def test_streams_repeat_and_do_not_touch_global_state(seed, path):
    before = np.random.get_state(legacy=True)[1].copy()  # pyright: ignore[reportArgumentType] # noqa: NPY002  (the global generator is what must not move)
    assert stream(seed, *path).integers(2**62) == stream(seed, *path).integers(2**62)
    np.testing.assert_array_equal(before, np.random.get_state(legacy=True)[1])  # pyright: ignore[reportArgumentType] # noqa: NPY002


def test_streams_differ_by_seed_and_path():
    paths = [(), ("a",), ("b",), ("a", 1), ("a", "1"), ("a", 1, 0), (1, "a"), ("a1",)]
    draws = {(seed, path): stream(seed, *path).integers(2**62) for seed in (0, 1) for path in paths}
    assert len(set(draws.values())) == len(draws)


@pytest.mark.parametrize("seed", [-1, True])
def test_seed_is_a_natural_number(seed):
    with pytest.raises(SampleTypeError, match="seed: expected a non-negative integer"):
        stream(seed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_as_matrix_is_not_misled_by_sums(dtype):
    """Finite numbers whose sum is not; and infinite ones that cancel."""
    z = np.full((4, 3), np.finfo(dtype).max)
    for kind in (np.asarray, torch.tensor):
        assert as_matrix(kind(z))[1].shape == (4, 3)
        for bad in (np.inf, -np.inf, np.nan):
            worse = np.zeros((4, 3), dtype=dtype)
            worse[1, 2], worse[2, 0] = bad, -bad
            with pytest.raises(SampleError, match="z: expected finite values"):
                as_matrix(kind(worse))


def test_as_matrix_refuses_masks_and_widens_what_linear_algebra_lacks():
    z = np.arange(6.0).reshape(3, 2)
    with pytest.raises(SampleTypeError, match="masked"):
        as_matrix(np.ma.masked_array(z, mask=z > 4))
    for kind in (np.float16, np.longdouble):
        assert as_matrix(z.astype(kind))[1].dtype == np.float64
    for kind in (torch.float16, torch.bfloat16):
        tensor = torch.tensor(z, dtype=kind, requires_grad=True)
        widened = as_matrix(tensor)[1]
        assert widened.dtype == torch.float32
        assert widened.requires_grad


FRAME = pd.DataFrame({"age": [1.0, 2.0, 3.5, 2.5], "height": [0.5, 0.5, 0.5, 0.5], ("a", 1): [1.0, 4.0, 2.0, 9.0]})


def test_messages_call_the_columns_of_a_frame_by_name():
    x = as_samples(FRAME)
    assert column_names(x) == ("'age'", "'height'", "('a', 1)")
    assert list_columns(x, [2, 0]) == "('a', 1), 'age'"
    with pytest.raises(SampleError, match="got constant column 'height'; drop it"):
        refuse_constant_columns(x)
    with pytest.raises(SampleError, match="got constant column 'width'; drop it"):
        itssl.entropy(pd.Series([2.0, 2.0, 2.0], name="width"))
    with pytest.raises(SampleError, match=r"1 of 12 NaN or infinite \(first in row 2, column 'height'\); drop"):
        as_samples(FRAME.assign(height=[1.0, 2.0, np.nan, 2.5]))
    assert column_names(as_samples(FRAME.to_numpy())) == ("0", "1", "2")
    assert column_names(as_samples(pd.Series([1.0, 2.0]))) == ("0",)


def test_names_follow_columns_that_are_taken_and_are_forgotten_with_their_array():
    x = as_samples(FRAME)
    kept = take_columns(x, np.array([True, False, True]))
    assert column_names(kept) == ("'age'", "('a', 1)")
    assert column_names(take_columns(kept, [1])) == ("('a', 1)",)
    assert column_names(as_samples(kept)) == column_names(kept)
    assert column_names(kept[:2]) == ("0", "1")  # another array
    other = np.ones((4, 3))
    arrays._NAMES[id(other)] = arrays._NAMES[id(x)]  # as if it had taken the place of x
    assert column_names(other) == ("0", "1", "2")
    del arrays._NAMES[id(other)]
    before = len(arrays._NAMES)
    del x, kept
    gc.collect()
    assert len(arrays._NAMES) == before - 2
    for _ in range(50):  # arrays that take the place of those that are gone are not called as they were
        assert column_names(as_samples(FRAME))[0] == "'age'"
        assert column_names(np.ones((4, 3))) == ("0", "1", "2")


def test_diagnosis_calls_columns_by_their_names_and_numbers_of_the_input():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    x[:, 1], x[:, 3] = 7.0, np.maximum(x[:, 3], 0)
    found = {w.code: w.message for w in itssl.diagnose(x).warnings}
    assert "(column 1)" in found["constant_column"]
    assert "(column 3;" in found["atoms"]
    named = {w.code: w.message for w in itssl.diagnose(pd.DataFrame(x, columns=list("abcd"))).warnings}
    assert named == {c: m.replace("column 1", "column 'b'").replace("column 3", "column 'd'") for c, m in found.items()}
    heavy = pd.DataFrame({"light": rng.normal(size=500), "heavy": rng.standard_cauchy(size=500)})
    (warning,) = tail_warnings(as_samples(heavy))
    assert "in column 'heavy' moments" in warning.message
    repeated = pd.DataFrame({"free": rng.normal(size=100), "rounded": rng.normal(size=100).round(1)})
    warnings = itssl.mutual_information(repeated, rng.normal(size=100), method="gaussian_copula").warnings
    assert any("column 'rounded' of x" in w.message for w in warnings)
