"""The noise covariance as users state it: what is admitted, what is refused, and its whitening."""

import numpy as np
import pytest
import torch

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.estimators.noise import (
    as_noise_covariance,
    noise_block,
    noise_dimension,
    noise_whitener,
    require_noise_fits,
    whitened,
)

EPS = np.finfo(float).eps


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (2, 2.0),
        (np.float32(0.5), 0.5),
        (np.array(3.0), 3.0),
        (torch.tensor(1.5), 1.5),
        ([1, 2], (1.0, 2.0)),
        (torch.tensor([0.5]), (0.5,)),
        (np.diag([1.0, 4.0]), ((1.0, 0.0), (0.0, 4.0))),
    ],
)
def test_plain_numbers_are_kept(given, kept):
    assert as_noise_covariance(given) == kept
    assert as_noise_covariance(as_noise_covariance(given)) == kept
    hash(as_noise_covariance(given))


@pytest.mark.parametrize(
    ("var", "text"),
    [
        (0.0, "var: expected a finite number > 0"),
        (True, "var: expected a finite number > 0"),
        ("1", "var: expected a finite number > 0"),
        (None, "var: expected a finite number > 0"),
        ([1.0, -1.0], "var: expected finite numbers > 0"),
        ([1.0, np.nan], "var: expected finite numbers > 0"),
        ([[1.0, 2.0]], "got shape \\(1, 2\\)"),
        (np.empty((0, 0)), "got shape"),
        ([[1.0, 0.5], [0.4, 1.0]], "symmetric"),
        (-np.eye(2), "positive definite"),
        ([[1.0], [1.0, 2.0]], "d x d matrix"),
    ],
)
def test_others_are_refused(var, text):
    with pytest.raises(ParameterError, match=text):
        as_noise_covariance(var)


def test_blocks_and_dimensions():
    matrix = as_noise_covariance(np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T + 20 * np.eye(3))
    np.testing.assert_array_equal(noise_block(matrix, slice(1, 3)), np.asarray(matrix)[1:, 1:])
    assert noise_block((1.0, 2.0, 3.0), slice(2)) == (1.0, 2.0)
    assert noise_block(7.0, slice(2)) == 7.0
    assert (noise_dimension(7.0), noise_dimension(matrix)) == (None, 3)
    with pytest.raises(SampleError, match="x: expected 3 columns to fit var, got 2"):
        require_noise_fits(matrix, 2)


def test_whitening_undoes_the_covariance():
    root = stream(0, "root").normal(size=(4, 4))
    for cov in (0.3 * np.eye(4), np.diag([1.0, 2.0, 3.0, 4.0]), root @ root.T + np.eye(4)):
        diagonal = np.diagonal(cov)
        stated = [as_noise_covariance(cov)]
        stated += [tuple(diagonal.tolist())] if (cov == np.diag(diagonal)).all() else []
        stated += [float(cov[0, 0])] if (diagonal == cov[0, 0]).all() else []
        for var in stated:
            whitener, log_det = noise_whitener(var, 4)
            w = whitened(np.eye(4), whitener)
            np.testing.assert_allclose(w.T @ cov @ w, np.eye(4), atol=100 * EPS)
            assert log_det == pytest.approx(np.linalg.slogdet(cov)[1], abs=100 * EPS)
