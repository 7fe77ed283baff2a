"""Kinds of array: they hold the same numbers, in the layout they are named after; itssl answers all of them alike."""

import numpy as np
import pytest
from hypothesis import given, settings

import itssl
from itssl.arrays import as_samples
from itssl.choices import ParameterError, UnknownNameError
from itssl.testing import array_kinds as module
from itssl.testing.array_kinds import KINDS
from itssl.testing.strategies import array_kinds, samples

EPS = float(np.finfo(float).eps)
X = np.random.default_rng(0).standard_normal((12, 3))


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_holds_the_numbers_and_shares_no_memory(kind):
    x = X.copy()
    held = kind(x)
    np.testing.assert_array_equal(as_samples(held), kind.numbers(X))
    np.testing.assert_array_equal(kind.numbers(X), X if kind.dtype == "float64" else X.astype(np.float32))
    x[:] = 0
    np.testing.assert_array_equal(as_samples(held), kind.numbers(X))
    np.testing.assert_array_equal(as_samples(kind(X[:, :1])), kind.numbers(X[:, :1]))


def kind_of(library, name):
    return next(kind for kind in KINDS if (kind.library, kind.name) == (library, name))(X)


def test_layouts_are_what_they_are_called():
    assert kind_of("numpy", "Fortran order").flags.f_contiguous
    assert kind_of("numpy", "every second row").strides == (48, 8)
    assert kind_of("numpy", "reversed").strides == (-24, 8)
    assert not kind_of("numpy", "read-only").flags.writeable
    assert kind_of("numpy", "float32").dtype == np.float32
    assert not kind_of("torch", "transposed").is_contiguous()
    assert kind_of("torch", "every second row").stride() == (6, 1)
    assert kind_of("torch", "requires grad").requires_grad
    assert not kind_of("torch", "float64").requires_grad
    assert str(kind_of("torch", "float32").dtype) == "torch.float32"
    assert kind_of("pandas", "nullable").dtypes.astype(str).tolist() == ["Float64"] * 3
    assert len({repr(kind) for kind in KINDS}) == len(KINDS)


@settings(max_examples=12, deadline=None)
@given(x=samples(n=20, dims=2), kind=array_kinds())
def test_entropy_is_that_of_the_numbers(x, kind):
    """Sums are in another order: the rounding of centered entries, times the condition of their covariance."""
    held, numbers = kind(x), kind.numbers(x)
    centering = 1 + np.abs(numbers).max() / numbers.std(axis=0).min()
    rounding = len(x) * EPS * centering * np.linalg.cond(np.cov(numbers.T))
    for method in ("gaussian_plugin", "kozachenko_leonenko"):
        found, expected = itssl.entropy(held, method=method), itssl.entropy(numbers, method=method)
        assert found.value == pytest.approx(expected.value, rel=0, abs=rounding)
        assert found.bias is expected.bias
    np.testing.assert_array_equal(as_samples(held), numbers)


def test_a_function_that_reads_memory_in_its_own_order_is_seen():
    wrong = {
        kind.name for kind in KINDS if kind.library == "numpy" and first_column_in_memory(kind(X)) != X[:, 0].sum()
    }
    assert wrong >= {"Fortran order", "float32"}


def first_column_in_memory(x):
    return x.ravel(order="K").reshape(x.shape)[:, 0].sum()


def test_chosen_libraries_and_precisions():
    drawn = set()

    @settings(max_examples=60, database=None)
    @given(kind=array_kinds(libraries=["torch"], precisions=["float64"]))
    def collect(kind):
        drawn.add((kind.library, kind.dtype))

    collect()
    assert drawn == {("torch", "float64")}


def test_what_is_not_on_offer_is_refused_where_it_is_asked_for(monkeypatch):
    with pytest.raises(ParameterError, match="expected at least one of each"):
        array_kinds(libraries=[])
    with pytest.raises(ParameterError, match="expected at least one of each"):
        array_kinds(precisions=[])
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "pandas" else True)
    with pytest.raises(ParameterError, match="libraries: expected installed packages, got 'pandas'"):
        array_kinds(libraries=["pandas"])
    assert "nullable" not in repr(array_kinds())


def test_unknown_names_are_refused(untyped):
    for arguments in ({"libraries": ["jax"]}, {"precisions": ["float16"]}):
        with pytest.raises(UnknownNameError, match=f"{next(iter(arguments))}: expected one of"):
            untyped(array_kinds)(**arguments)


@pytest.fixture
def untyped():
    """The function without the checks of beartype, as a user calls it."""
    return lambda function: getattr(function, "__wrapped__", function)
