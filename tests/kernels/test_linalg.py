"""Covariances, Gram products, log-determinants and whitening, numpy and torch, against numpy's own routines."""

import numpy as np
import pytest
import torch

from itssl.arrays import stream
from itssl.kernels.linalg import covariance, log_determinant, whitening
from itssl.kernels.variance_covariance import offdiagonal_energy

EPS = np.finfo(float).eps


@pytest.mark.parametrize(("n", "d"), [(50, 4), (4, 50), (20, 20)])
def test_covariance_and_its_offdiagonal_energy(n, d):
    z = stream(0, "linalg", n, d).normal(size=(n, d))
    twin = np.cov(z, rowvar=False)
    np.testing.assert_allclose(covariance(z), twin, atol=64 * EPS)
    energy = (twin**2).sum() - (np.diagonal(twin) ** 2).sum()
    np.testing.assert_allclose(offdiagonal_energy(z), energy, rtol=1024 * EPS)
    np.testing.assert_allclose(offdiagonal_energy(torch.tensor(z)).numpy(), energy, rtol=1024 * EPS)


def test_log_determinant():
    z = stream(0, "logdet").normal(size=(30, 5))
    cov = covariance(z)
    expected = np.linalg.slogdet(cov)[1]
    np.testing.assert_allclose(log_determinant(cov), expected, rtol=64 * EPS)
    tensor = torch.tensor(cov, requires_grad=True)
    value = log_determinant(tensor)
    np.testing.assert_allclose(value.item(), expected, rtol=64 * EPS)
    value.backward()
    assert tensor.grad is not None
    gradient = (tensor.grad + tensor.grad.T) / 2
    np.testing.assert_allclose(gradient.numpy(), np.linalg.inv(cov), rtol=1e4 * EPS, atol=1e4 * EPS)
    assert log_determinant(torch.zeros(2, 2, dtype=torch.float64)).item() == -np.inf


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_whitening_finds_rank_and_unit_covariance(scale):
    z = stream(0, "whitening").normal(size=(60, 3)) * np.array([1.0, 1e-6, 1e6]) * scale
    basis, rank = whitening(np.c_[z, z[:, 0] / scale - z[:, 1] / (scale * 1e-6)])
    assert rank == 3
    np.testing.assert_allclose(covariance(basis), np.eye(3), atol=1e4 * EPS)
    np.testing.assert_allclose(basis.mean(axis=0), 0, atol=1e3 * EPS)
