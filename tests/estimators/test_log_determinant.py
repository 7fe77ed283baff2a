"""logdet_entropy: definition, both kinds, gradient, ridge, rank deficiency."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from itssl import GaussianPlugin, logdet_entropy
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.estimators.gaussian_plugin import log_determinant_bias
from itssl.testing.strategies import samples

EPS = np.finfo(float).eps


@settings(deadline=None)
@given(z=samples())
def test_equals_the_definition_in_both_kinds(z):
    n, d = z.shape
    cov = np.cov(z, rowvar=False).reshape(d, d)
    twin = 0.5 * (np.linalg.slogdet(cov)[1] + d * np.log(2 * np.pi * np.e))
    error = 1e3 * EPS * (np.linalg.cond(cov) + np.abs(z).max() ** 2)
    assert logdet_entropy(z) == pytest.approx(twin, abs=error)
    assert logdet_entropy(torch.tensor(z)).item() == pytest.approx(twin, abs=error)
    unbiased = GaussianPlugin().entropy(z).value
    assert logdet_entropy(z) == pytest.approx(unbiased + 0.5 * log_determinant_bias(n, d), abs=error)


def test_ridge_is_added_to_the_covariance():
    z = stream(0, "ridge").normal(size=(30, 4))
    cov = np.cov(z, rowvar=False) + 0.5 * np.eye(4)
    twin = 0.5 * (np.linalg.slogdet(cov)[1] + 4 * np.log(2 * np.pi * np.e))
    assert logdet_entropy(z, ridge=0.5) == pytest.approx(twin, abs=64 * EPS)
    with pytest.raises(ParameterError, match="ridge"):
        logdet_entropy(z, ridge=-0.1)


def test_gradient():
    z = torch.tensor(stream(0, "gradient").normal(size=(9, 3)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: logdet_entropy(z, ridge=0.1), z)


def test_too_few_rows_have_no_density():
    z = stream(0, "few").normal(size=(4, 4))
    assert logdet_entropy(z) == -np.inf
    assert logdet_entropy(torch.tensor(z)).item() == -np.inf
    assert np.isfinite(logdet_entropy(z, ridge=1e-3))
    with pytest.raises(SampleError, match="z: expected shape"):
        logdet_entropy(np.ones((1, 3)))
