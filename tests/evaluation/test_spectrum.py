"""Ranks of spectra that are known, and where RankMe and the effective rank part."""

import numpy as np
import pytest
import torch

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.evaluation import effective_rank, numerical_rank, rankme


def test_ranks():
    assert effective_rank(np.diag([3.0, 3.0, 3.0, 0.0])) == pytest.approx(3, rel=1e-14)
    p = np.array([0.7, 0.2, 0.1])
    assert effective_rank(np.diag(5 * p)) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-14)
    assert numerical_rank(np.diag([1.0, 1e-5, 1e-7])) == 2
    for bad in (np.zeros((2, 2)), np.full((2, 2), np.nan)):
        with pytest.raises(ParameterError, match="cov"):
            effective_rank(bad)


def with_singular_values(sigma, n, seed=0):
    """An n × d matrix U diag(σ) Vᵀ with random orthonormal factors."""
    rng, d = stream(seed, "factors"), len(sigma)
    (u, _), (v, _) = np.linalg.qr(rng.normal(size=(n, d))), np.linalg.qr(rng.normal(size=(d, d)))
    return u * sigma @ v.T


@pytest.mark.parametrize("eps", [1e-7, 1e-3])
def test_rankme_is_its_definition(eps):
    sigma = np.array([3.0, 2.0, 0.5, 0.0])
    total = 0.0
    for value in sigma:
        p = value / 5.5 + eps
        total -= p * np.log(p)
    z = with_singular_values(sigma, 40)
    # A singular value 0 comes out as rounding, at most 40 · 3 · 2e-16, which moves −p log p by less than 1e-11.
    assert rankme(z, eps=eps) == pytest.approx(np.exp(total), rel=1e-10)
    assert rankme(z.T.copy(), eps=eps) == pytest.approx(rankme(z, eps=eps), rel=1e-10)
    assert rankme(7 * z, eps=eps) == pytest.approx(rankme(z, eps=eps), rel=1e-10)


def test_rankme_and_effective_rank_part_at_an_offset_and_at_an_uneven_spectrum():
    n, d, offset = 2000, 5, 1e4
    z = stream(0, "offset").normal(size=(n, d))
    # Sample eigenvalues vary by (d + 1)/n in relative variance, which costs half of that in the entropy.
    sampling = 5 * d * (d + 1) / (2 * n)
    assert effective_rank(np.cov(z.T)) == pytest.approx(d, abs=sampling)
    assert rankme(z) == pytest.approx(d, abs=sampling)
    moved = z + offset
    rounding = 100 * offset * np.finfo(float).eps
    assert effective_rank(np.cov(moved.T)) == pytest.approx(effective_rank(np.cov(z.T)), rel=rounding)
    # One singular value offset·√(nd), d − 1 of about √n each: the offset is the only direction that counts.
    p = 1 / (offset * np.sqrt(d))
    assert rankme(moved) == pytest.approx(1 + (d - 1) * p * (1 - np.log(p)), rel=0.1 * (d - 1) * p * (1 - np.log(p)))
    uneven = z * np.array([1.0, 0.1, 0.1, 0.1, 0.1])
    assert rankme(uneven) > effective_rank(np.cov(uneven.T)) + 1


def test_rankme_takes_tensors_and_refuses_what_has_no_direction():
    z = stream(0, "tensor").normal(size=(20, 3))
    assert rankme(torch.tensor(z, requires_grad=True)) == rankme(z)
    with pytest.raises(SampleError, match="z: expected embeddings that are not all zero"):
        rankme(np.zeros((5, 2)))
    with pytest.raises(SampleError, match="z: expected finite values"):
        rankme(np.full((5, 2), np.nan))
    with pytest.raises(ParameterError, match="eps: expected a finite number > 0"):
        rankme(z, eps=0.0)
