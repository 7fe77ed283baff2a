"""Matrix Rényi entropy: definition by eigenvalues, both kinds, limits of the spectrum, orders, identities."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from itssl.arrays import SampleError, SampleTypeError, stream
from itssl.estimators.error_bars import value_only
from itssl.estimators.matrix_entropy import LARGEST, MatrixRenyi, gaussian_gram, matrix_renyi_entropy

EPS = np.finfo(float).eps


def twin(kernel, alpha):
    """S_α by the definition: eigenvalues of the kernel divided by its trace."""
    values = np.linalg.eigvalsh(kernel / np.trace(kernel))
    values = values[values > 1e-15]
    return -(values * np.log(values)).sum() if alpha == 1 else np.log((values**alpha).sum()) / (1 - alpha)


def kernel_of(x):
    away = squareform(pdist(x))
    return np.exp(-(away**2) / (2 * np.mean(pdist(x) ** 2)))


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32), n=st.integers(4, 40), d=st.integers(1, 4), alpha=st.sampled_from([0.5, 1.0, 1.01, 2, 3])
)
def test_equals_the_definition(seed, n, d, alpha):
    rng = stream(seed, "gram")
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, 2))
    error = 1e4 * EPS if alpha >= 1 else 1e-6  # below 1 the smallest eigenvalues, which are rounding, have weight
    with value_only():
        assert MatrixRenyi(alpha=alpha).entropy(x).value == pytest.approx(twin(kernel_of(x), alpha), abs=error * n)
        information = twin(kernel_of(x), alpha) + twin(kernel_of(y), alpha) - twin(kernel_of(x) * kernel_of(y), alpha)
        found = MatrixRenyi(alpha=alpha).mutual_information(x, y).value
    assert found == pytest.approx(information, abs=3 * error * n)


def test_limits_of_the_spectrum():
    for alpha in (0.5, 1.0, 2.0, 5.0):
        assert matrix_renyi_entropy(np.eye(7), alpha=alpha) == pytest.approx(np.log(7), abs=32 * EPS)
        assert matrix_renyi_entropy(np.ones((7, 7)), alpha=alpha) == pytest.approx(0, abs=1e-6)
    assert matrix_renyi_entropy(np.diag([3.0, 1.0]), alpha=1) == pytest.approx(
        -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    )


def test_falls_with_the_order_and_is_continuous_at_one():
    x = stream(0, "order").normal(size=(50, 2))
    with value_only():
        values = [MatrixRenyi(alpha=a).entropy(x).value for a in (0.5, 0.9, 1, 1 + 1e-6, 1.5, 2, 4)]
    assert (np.diff(values) < 0).all()
    assert values[2] - values[3] < 1e-5


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_numpy_and_torch_agree_and_the_gradient_is_right(alpha):
    z = torch.tensor(stream(0, "z").normal(size=(8, 3)), requires_grad=True)

    def entropy(z):
        return matrix_renyi_entropy(gaussian_gram(z, bandwidth=1.0), alpha=alpha)

    assert entropy(z).item() == pytest.approx(entropy(z.detach().numpy()), abs=1e-10)
    assert torch.autograd.gradcheck(entropy, z)


def test_identities():
    rng = stream(0, "identities")
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 2))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(60)
    with value_only():
        h, i = MatrixRenyi().entropy(x).value, MatrixRenyi().mutual_information(x, y).value
        for image in (1e-12 * x, 1e12 * x, x + 10, x @ rotation, x[order]):  # no differential entropy: no log|a|
            assert MatrixRenyi().entropy(image).value == pytest.approx(h, abs=1e-12)
        assert MatrixRenyi().mutual_information(y, 1e9 * x).value == pytest.approx(i, abs=1e-12)


def test_standard_error_matches_the_spread():
    """100 seeds: the spread is known to ±7 %."""
    found = [MatrixRenyi().entropy(stream(s, "spread").normal(size=(200, 2))) for s in range(100)]
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert 0.8 < stated / np.std([f.value for f in found], ddof=1) < 1.25


def test_is_labelled_not_shannon_and_refuses_what_it_cannot_hold():
    x = stream(0, "x").normal(size=(30, 2))
    assert "not Shannon" in MatrixRenyi().entropy(x).method
    with pytest.raises(SampleError, match="use alpha=2"):
        MatrixRenyi(alpha=1.0).entropy(stream(0, "n").normal(size=(LARGEST + 1, 1)))
    with pytest.raises(SampleError, match="gram: expected a finite square matrix"):
        matrix_renyi_entropy(np.zeros((3, 3)), alpha=2)


@pytest.mark.parametrize("alpha", [0.01, 1 - 1e-7, 1.0, 1 + 1e-7, 1 + 1e-4, 3000.0])
def test_every_order_against_logs_of_the_known_spectrum(alpha):
    """Eigenvalues 1/2 and 32 equal ones beside zeros that rounding does not keep at zero."""
    spectrum = np.r_[np.full(8, 0.0), np.full(32, 0.5 / 32), 0.5]
    rotation = np.linalg.qr(stream(0, "spectrum").normal(size=(41, 41)))[0]
    gram = (rotation * spectrum) @ rotation.T
    if abs(alpha - 1) < 1e-6:
        mean = 0.5 * np.log(0.5 / 32) + 0.5 * np.log(0.5)
        expected = -mean + (1 - alpha) / 2 * (np.log(32) / 2) ** 2  # log λ takes two values, each with weight 1/2
    else:
        expected = np.logaddexp(np.log(32) + alpha * np.log(0.5 / 32), alpha * np.log(0.5)) / (1 - alpha)
    assert float(matrix_renyi_entropy(gram, alpha=alpha)) == pytest.approx(expected, rel=1e-9)
    assert float(matrix_renyi_entropy(torch.tensor(gram), alpha=alpha)) == pytest.approx(expected, rel=1e-9)


def test_no_error_bar_is_said():
    found = MatrixRenyi(alpha=1.5).entropy(stream(0, "many").normal(size=(1001, 1)))
    assert np.isnan(found.standard_error)
    assert "no_error_bar" in {w.code for w in found.warnings}


def test_half_precision_is_widened_and_masked_values_are_refused():
    """Eigenvalues in half precision do not exist."""
    full = matrix_renyi_entropy(np.eye(4), alpha=1.5)
    for gram in (np.eye(4, dtype=np.float16), torch.eye(4, dtype=torch.bfloat16)):
        assert float(matrix_renyi_entropy(gram, alpha=1.5)) == pytest.approx(float(full), rel=1e-6)
    with pytest.raises(SampleTypeError, match="gram: expected plain values, got a masked array"):
        matrix_renyi_entropy(np.ma.masked_array(np.eye(4), mask=np.eye(4, dtype=bool)), alpha=1.5)
    z = np.array([[0.0], [1.0], [3.0]])
    for other in (z.astype(np.float16), torch.tensor(z).bfloat16()):
        np.testing.assert_allclose(gaussian_gram(other, bandwidth=1.0), gaussian_gram(z, bandwidth=1.0), rtol=1e-6)
