"""Pairwise bounds: the definition, both array kinds, gradients, order of the bounds, identities between them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import Bias, GaussianMixture, PairwiseMixture, pairwise_entropy_bounds
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.testing.strategies import samples

EPS = np.finfo(float).eps


def bounds_twin(z, var):
    """Kolchinsky & Tracey with D written out for N(z_i, var I), N(z_j, var I)."""
    d = z.shape[1]
    squared = ((z[:, None] - z[None]) ** 2).sum(axis=2)
    component = d / 2 * np.log(2 * np.pi * np.e * var)
    return [component - np.log(np.exp(-squared / (c * var)).mean(axis=1)).mean() for c in (8, 2)]


@settings(deadline=None, max_examples=40)
@given(z=samples(), var=st.floats(0.01, 100))
def test_both_kinds_equal_the_definition(z, var):
    z = (z - z.mean(0)) / z.std()
    twin = bounds_twin(z, var)
    error = 1e3 * EPS * (1 + z.shape[1] / var)
    np.testing.assert_allclose(pairwise_entropy_bounds(z, var=var), twin, atol=error)
    tensors = pairwise_entropy_bounds(torch.tensor(z), var=var)
    np.testing.assert_allclose([t.item() for t in tensors], twin, atol=error)
    estimates = [PairwiseMixture(var=var, bound=b).entropy(z).value for b in ("lower", "upper")]
    np.testing.assert_allclose(estimates, twin, atol=error)
    assert twin[0] <= twin[1] + error


def test_gradients():
    z = torch.tensor(stream(0, "gradient").normal(size=(12, 3)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: tuple(pairwise_entropy_bounds(z, var=0.7)), z)


def test_large_batches_use_several_tiles():
    z = stream(0, "tiles").normal(size=(1300, 2))
    tensor = torch.tensor(z, requires_grad=True)
    tiled = pairwise_entropy_bounds(tensor, var=0.5)
    np.testing.assert_allclose([t.item() for t in tiled], bounds_twin(z, 0.5), rtol=1e3 * EPS)
    tiled.lower.backward()
    assert tensor.grad is not None
    step = np.zeros_like(z)
    step[700, 1] = 1e-5
    difference = (bounds_twin(z + step, 0.5)[0] - bounds_twin(z - step, 0.5)[0]) / 2e-5
    assert tensor.grad[700, 1].item() == pytest.approx(difference, rel=1e-5)  # central difference: error ~ h²


def test_float32_keeps_its_kind():
    z = stream(0, "f32").normal(size=(20, 2)).astype(np.float32)
    assert pairwise_entropy_bounds(z, var=1.0).lower.dtype == np.float32
    assert pairwise_entropy_bounds(torch.tensor(z), var=1.0).lower.dtype == torch.float32


@settings(deadline=None, max_examples=40)
@given(z=samples(), var=st.floats(0.01, 100))
def test_bhattacharyya_is_kl_at_four_times_the_variance(z, var):
    d = z.shape[1]
    lower = pairwise_entropy_bounds(z, var=var).lower
    upper = pairwise_entropy_bounds(z, var=4 * var).upper
    assert lower == pytest.approx(upper - d * np.log(2), abs=1e3 * EPS * (1 + np.abs(z).max() ** 2 / var))


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0, 30.0])
def test_bounds_hold_and_are_tight_when_clustered(spread):
    """Against the mixture's entropy by quadrature, exact to 1e-10."""
    z = spread * stream(0, "spread").normal(size=(6, 2))
    truth = GaussianMixture.isotropic(z, 1.0).entropy.value
    lower, upper = pairwise_entropy_bounds(z, var=1.0)
    assert lower <= truth + 1e-9
    assert truth <= upper + 1e-9
    if spread == 30.0:
        assert upper - lower < 0.05
    assert upper <= np.log(6) + np.log(2 * np.pi * np.e) + 1e-12


def test_information_bounds_hold():
    """For the noisy empirical mixture of pairs, whose information is known by quadrature."""
    rng = stream(0, "information")
    x, y = rng.normal(size=(5, 1)) * 2, rng.normal(size=(5, 1)) * 2
    h = [GaussianMixture.isotropic(z, 0.5).entropy.value for z in (x, y, np.hstack([x, y]))]
    truth = h[0] + h[1] - h[2]
    low, high = (PairwiseMixture(var=0.5, bound=b).mutual_information(x, y) for b in ("lower", "upper"))
    assert low.value <= truth <= high.value
    assert (low.bias, high.bias) == (Bias.UNKNOWN, Bias.UNKNOWN)  # as estimates of the law's information


def test_information_takes_the_other_bound_of_the_joint_entropy():
    rng = stream(0, "information")
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    h_x, h_y, h_xy = (pairwise_entropy_bounds(z, var=0.5) for z in (x, y, np.hstack([x, y])))
    low, high = (PairwiseMixture(var=0.5, bound=b).mutual_information(x, y).value for b in ("lower", "upper"))
    assert low == pytest.approx(h_x.lower + h_y.lower - h_xy.upper, abs=1e3 * EPS)
    assert high == pytest.approx(h_x.upper + h_y.upper - h_xy.lower, abs=1e3 * EPS)


def test_standard_error_is_the_spread_over_samples():
    for bound in ("lower", "upper"):
        estimator = PairwiseMixture(var=0.3, bound=bound)
        found = [estimator.entropy(stream(s, "se").normal(size=(200, 2))) for s in range(300)]
        spread = np.std([f.value for f in found])
        stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
        assert stated == pytest.approx(spread, rel=5 / np.sqrt(2 * 300))


def test_saturation_is_reported():
    far = 100 * stream(0, "far").normal(size=(50, 8))
    assert [w.code for w in PairwiseMixture(var=1.0).entropy(far).warnings] == ["ceiling"]
    other = 100 * stream(1, "other").normal(size=(50, 2))
    assert [w.code for w in PairwiseMixture(var=1.0).mutual_information(far, other).warnings] == ["ceiling"]
    assert PairwiseMixture(var=1e6).entropy(far).warnings == ()


def test_information_is_warned_of_where_only_its_entropies_saturate():
    """Independent Gaussians: every kernel alone in the plane, so that log n is left over, without a direction."""
    x, y = stream(0, "independent").normal(size=(2, 300, 1))
    found = PairwiseMixture(var=1e-4).mutual_information(x, y)
    assert found.value > 1
    assert found.bias is Bias.UNKNOWN
    assert [w.code for w in found.warnings] == ["ceiling"]


def whitened_twin(z, cov):
    """A common covariance is the identity in other coordinates."""
    root = np.linalg.cholesky(cov)
    shift = np.log(np.diagonal(root)).sum()
    return [b + shift for b in bounds_twin(np.linalg.solve(root, z.T).T, 1.0)]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), d=st.integers(1, 5), kind=st.sampled_from(["vector", "matrix"]))
def test_vector_and_matrix_noise(seed, d, kind):
    rng = stream(seed, "noise")
    z, root = rng.normal(size=(12, d)), rng.normal(size=(d, d))
    var = rng.uniform(0.2, 3, size=d) if kind == "vector" else root @ root.T + 0.2 * np.eye(d)
    cov = np.diag(var) if kind == "vector" else var
    error = 1e3 * EPS * (1 + d / 0.2)  # eigenvalues of the noise are at least 0.2, rows about √d
    bounds = PairwiseMixture(var=var).entropy_bounds(z)
    np.testing.assert_allclose([b.value for b in bounds], whitened_twin(z, cov), atol=error)
    np.testing.assert_allclose(pairwise_entropy_bounds(z, var=var), whitened_twin(z, cov), atol=error)
    tensors = pairwise_entropy_bounds(torch.tensor(z), var=torch.tensor(var))
    np.testing.assert_allclose([t.item() for t in tensors], whitened_twin(z, cov), atol=error)
    assert [b.bias for b in bounds] == [Bias.LOWER, Bias.UNKNOWN]
    assert [b.value for b in bounds] == [PairwiseMixture(var, b).entropy(z).value for b in ("lower", "upper")]


@pytest.mark.parametrize("var", [[0.5, 2.0], [[1.0, 0.3], [0.3, 0.5]]])
def test_gradients_with_other_noise(var):
    z = torch.tensor(stream(0, "gradient").normal(size=(8, 2)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: tuple(pairwise_entropy_bounds(z, var=var)), z)


def test_estimators_stay_hashable_and_short():
    a, b = PairwiseMixture(var=np.array([1.0, 2.0])), PairwiseMixture(var=[1, 2])
    assert a == b
    assert hash(a) == hash(b)
    assert repr(a) == "PairwiseMixture(var=(1.0, 2.0), bound='lower')"
    assert PairwiseMixture(var=np.eye(2)) != a


@pytest.mark.parametrize("a", [1e-12, 1e12])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_units_change_nothing_when_the_noise_follows(a, seed):
    """x·a with var·a²: information keeps, entropy shifts by d log a; each block may have its own units."""
    rng = stream(seed, "units")
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 1))
    error = 1e3 * EPS * (1 + abs(np.log(a)))
    before, after = PairwiseMixture(0.5).entropy(x).value, PairwiseMixture(0.5 * a**2).entropy(a * x).value
    assert after == pytest.approx(before + 2 * np.log(a), abs=error)
    information = PairwiseMixture(0.5).mutual_information(x, y).value
    together = PairwiseMixture(0.5 * a**2).mutual_information(a * x, a * y).value
    apart = PairwiseMixture([0.5 * a**2, 0.5 * a**2, 0.5]).mutual_information(a * x, y).value
    assert together == pytest.approx(information, abs=error)
    assert apart == pytest.approx(information, abs=error)
    shuffled = rng.permutation(30)
    assert PairwiseMixture(0.5).mutual_information(y[shuffled], x[shuffled]).value == pytest.approx(
        information, abs=error
    )


def test_correlated_noise_carries_information():
    """Rows on one point: only the noise is left, whose information is −½ log(1 − ρ²)."""
    x, y = np.array([[0.0], [1e-9]]), np.array([[0.0], [1e-9]])
    found = PairwiseMixture([[1.0, 0.8], [0.8, 1.0]]).mutual_information(x, y)
    assert found.value == pytest.approx(-0.5 * np.log(1 - 0.8**2), abs=1e-12)


def test_noise_of_another_dimension_is_refused():
    z = stream(0, "z").normal(size=(5, 3))
    for call in (
        lambda: PairwiseMixture([1.0, 2.0]).entropy(z),
        lambda: PairwiseMixture(np.eye(3)).mutual_information(z, z),
        lambda: pairwise_entropy_bounds(z, var=np.eye(2)),
    ):
        with pytest.raises(SampleError, match="columns to fit var"):
            call()


@pytest.mark.parametrize("var", [0.0, -1.0, np.inf, np.nan])
def test_variance_is_positive(var):
    with pytest.raises(ParameterError, match="var: expected a finite number > 0"):
        PairwiseMixture(var=var)
    with pytest.raises(ParameterError, match="var"):
        pairwise_entropy_bounds(np.ones((3, 1)), var=var)


@pytest.mark.parametrize("bound", ["lower", "upper"])
def test_information_from_saturated_entropies_warns_on_either_side(bound):
    """Independent rows, little noise: the values, 2.6 or −0.7 below and 3.7 or 1.5 above 0, speak of n alone."""
    x, y = stream(0, "saturated").normal(size=(2, 300, 1))
    for var in (1e-4, 1e-2):
        found = PairwiseMixture(var=var, bound=bound).mutual_information(x, y)
        assert found.bias is Bias.UNKNOWN
        assert [w.code for w in found.warnings] == ["ceiling"]
    assert PairwiseMixture(var=1.0, bound=bound).mutual_information(x, y).warnings == ()


def test_units_whose_squares_overflow():
    x = stream(0, "huge").normal(size=(40, 2))
    for side in PairwiseMixture(var=1.0).entropy_bounds(1e200 * x):
        assert side.value == pytest.approx(np.log(2 * np.pi * np.e) + np.log(40), rel=8 * EPS)
        assert [w.code for w in side.warnings] == ["ceiling"]
