"""neighbor_entropy: the estimator's value, both kinds of array, gradients away from ties, copies, refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import KozachenkoLeonenko
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.estimators.differentiable_neighbors import neighbor_entropy
from itssl.estimators.error_bars import value_only

METRICS = ("euclidean", "chebyshev", "manhattan", 3.0)
EPS = np.finfo(float).eps


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), n=st.integers(6, 60), d=st.integers(1, 20), k=st.integers(1, 5))
def test_value_is_the_estimators_in_both_kinds(metric, seed, n, d, k):
    z = stream(seed, "z").normal(size=(n, d))
    with value_only():
        twin = KozachenkoLeonenko(k=k, metric=metric).entropy(z).value
    assert neighbor_entropy(z, k=k, metric=metric) == pytest.approx(twin, abs=1e-10)
    assert neighbor_entropy(torch.tensor(z), k=k, metric=metric).item() == pytest.approx(twin, abs=1e-10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "d", "k"), [(9, 1, 1), (12, 3, 2), (6, 15, 2)])
def test_gradient(metric, n, d, k):
    """gradcheck moves by 1e-6; on draws from a density ties within that are too rare for these fixed seeds."""
    z = torch.tensor(stream(0, "gradient", n, d).normal(size=(n, d)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: neighbor_entropy(z, k=k, metric=metric), z)


def test_gradient_of_dilation_is_d():
    """h(aZ) = h(Z) + d log a, so Σ z·∂h/∂z = d exactly (Euler)."""
    z = torch.tensor(stream(0, "euler").normal(size=(50, 4)), requires_grad=True)
    neighbor_entropy(z, k=3).backward()
    assert z.grad is not None
    assert (z * z.grad).sum().item() == pytest.approx(4, abs=1e3 * EPS)
    assert z.grad.sum(dim=0).abs().max().item() < 1e3 * EPS  # translation


@pytest.mark.parametrize(
    ("exponent", "dtype"), [(-600, torch.float64), (-100, torch.float32), (100, torch.float32), (600, torch.float64)]
)
def test_extreme_units_shift_the_value(exponent, dtype):
    """By d log(unit); the gradient is divided by the unit. float32 ends at 2^127, its squares at 2^63."""
    z = torch.tensor(stream(0, "units").normal(size=(50, 3)), dtype=dtype, requires_grad=True)
    far = (z.detach() * 2.0**exponent).requires_grad_()
    near_value, value = neighbor_entropy(z), neighbor_entropy(far)
    assert value.item() == pytest.approx(near_value.item() + 3 * exponent * np.log(2), rel=1e-6)
    near_value.backward()
    value.backward()
    torch.testing.assert_close(far.grad * 2.0**exponent, z.grad)


def test_copies_have_no_density_and_no_gradient():
    z = torch.tensor(np.repeat(np.arange(4.0), 2)[:, None], requires_grad=True)
    value = neighbor_entropy(z, k=1)
    assert value.item() == neighbor_entropy(z.detach().numpy(), k=1) == -np.inf
    value.backward()
    assert z.grad is not None
    assert torch.equal(z.grad, torch.zeros_like(z))
    assert neighbor_entropy(z.detach(), k=2).isfinite()  # one copy each: the second neighbor is another row


def test_dtype_is_kept_and_nothing_is_modified():
    z = torch.tensor(stream(0, "kept").normal(size=(30, 2)), dtype=torch.float32)
    before = z.clone()
    assert neighbor_entropy(z).dtype is torch.float32
    assert torch.equal(z, before)


def test_refusals():
    z = stream(0, "refused").normal(size=(4, 2))
    with pytest.raises(SampleError, match="z: expected more than k = 4 rows"):
        neighbor_entropy(z)
    with pytest.raises(ParameterError, match="k: expected"):
        neighbor_entropy(z, k=0)
    with pytest.raises(ParameterError, match="metric: expected"):
        neighbor_entropy(z, k=1, metric=0.5)
    with pytest.raises(SampleError, match="finite"):
        neighbor_entropy(np.array([[0.0], [np.nan], [1.0]]), k=1)
