"""Entropy through stated noise: quadrature, the law's own entropy, bias direction, error, atoms, units."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import Bias, Gaussian, GaussianMixture
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.estimators import noise_convolved
from itssl.estimators.noise_convolved import NoiseConvolved, noisy_channel_information

EPS = np.finfo(float).eps


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32), var=st.floats(0.01, 100))
def test_one_dimension_is_quadrature(seed, var):
    """Against the law's quadrature in each component; atoms counted as often as they occur."""
    rng = stream(seed, "atoms")
    atoms = rng.normal(size=(4, 1)) * rng.uniform(0, 20)
    z = atoms[rng.integers(4, size=30)]
    law = GaussianMixture.isotropic(z, var)
    found = NoiseConvolved(var).entropy(z)
    assert found.value == pytest.approx(law.entropy_by_quadrature(relative_tolerance=1e-10).value, abs=1e-9)
    assert found.diagnostics["monte_carlo_error_nats"] == 0
    low, high = found.diagnostics["pairwise_lower_nats"], found.diagnostics["pairwise_upper_nats"]
    assert low - 1e-9 <= found.value <= high + 1e-9


@pytest.mark.parametrize("d", [2, 5])
def test_draws_agree_with_quadrature(d, monkeypatch):
    """In two dimensions with the law's quadrature, in one (grid switched off) with the grid; 5 standard errors."""
    z = stream(0, "points", d).normal(size=(6, 2)) * 1.5
    found = NoiseConvolved([0.5, 1.5]).entropy(z)
    law = GaussianMixture(np.full(6, 1 / 6), z, np.broadcast_to(np.diag([0.5, 1.5]), (6, 2, 2)))
    error = found.diagnostics["monte_carlo_error_nats"]
    assert 0 < error < 0.02
    assert abs(found.value - law.entropy.value) < 5 * error
    line = stream(1, "points", d).normal(size=(50, 1))
    exact = NoiseConvolved(0.3).entropy(line)
    monkeypatch.setattr(noise_convolved, "_LARGEST_GRID", 0)
    drawn = NoiseConvolved(0.3).entropy(line)
    assert abs(drawn.value - exact.value) < 5 * drawn.diagnostics["monte_carlo_error_nats"]
    assert drawn.standard_error == pytest.approx(exact.standard_error, rel=0.1)
    assert drawn.diagnostics["first_order_bias_nats"] == pytest.approx(
        exact.diagnostics["first_order_bias_nats"], rel=0.1
    )


def test_far_atoms_have_grids_of_their_own():
    z = np.array([[0.0], [1.0], [1e8], [1e8 + 1], [-1e12]])
    near = NoiseConvolved(1.0).entropy(np.array([[0.0], [1.0]])).value
    noise = 0.5 * np.log(2 * np.pi * np.e)
    # Three groups of 2, 2 and 1 of five atoms: entropy of the groups plus that within.
    expected = -(0.8 * np.log(0.4) + 0.2 * np.log(0.2)) + 0.8 * near + 0.2 * noise
    assert NoiseConvolved(1.0).entropy(z).value == pytest.approx(expected, abs=1e-8)  # eps·1e8 in the coordinates


def gaussian_estimates(d, n, seeds, var=0.5, draws=2**11):
    return [NoiseConvolved(var, draws=draws).entropy(stream(s, "gaussian").normal(size=(n, d))) for s in range(seeds)]


@pytest.mark.parametrize(("d", "n", "seeds"), [(1, 100, 250), (2, 100, 120)])
def test_bias_and_error_are_as_stated(d, n, seeds):
    """Z ~ N(0, I): below the truth by about the first-order bias; the spread is the stated one (5 standard errors)."""
    found = gaussian_estimates(d, n, seeds)
    truth = Gaussian(np.zeros(d), 1.5 * np.eye(d)).entropy.value
    values = np.array([f.value for f in found])
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert {f.bias for f in found} == {Bias.LOWER}
    assert values.mean() < truth - 2 * values.std() / np.sqrt(seeds)
    assert stated == pytest.approx(values.std(), rel=5 / np.sqrt(2 * seeds) + 0.03)
    predicted = np.mean([f.diagnostics["first_order_bias_nats"] for f in found])
    assert values.mean() - truth == pytest.approx(predicted, rel=0.3, abs=5 * values.std() / np.sqrt(seeds))


def test_first_order_bias_of_a_coin():
    """Two atoms far apart, fair: h(q̂) is the coin's empirical entropy, whose bias is −1/(2n) (Miller 1955)."""
    z = np.repeat([[-50.0], [50.0]], 20, axis=0)
    assert NoiseConvolved(1.0).entropy(z).diagnostics["first_order_bias_nats"] == pytest.approx(-1 / 80, rel=1e-9)


def test_information_through_noise():
    z = np.repeat([[-1.0], [1.0]], [30, 10], axis=0)
    coin = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    found = noisy_channel_information(z, var=1e-4)
    assert found.value == pytest.approx(coin, abs=1e-12)
    error = np.sqrt(0.75 * np.log(0.75) ** 2 + 0.25 * np.log(0.25) ** 2 - coin**2) / np.sqrt(39)
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    assert found.diagnostics["pairwise_upper_nats"] == pytest.approx(coin, abs=1e-12)
    assert found.method == "noisy_channel_information(var=0.0001, draws=16384)"
    assert found.warnings == ()
    assert noisy_channel_information(z, var=1e4).value == pytest.approx(0.75 * 0.25 * 4 / 2e4, rel=1e-3)  # var(z)/2var


@pytest.mark.parametrize("d", [1, 3])
def test_ceiling_is_log_n(d):
    z = 100 * stream(0, "far", d).normal(size=(50, d))
    found = noisy_channel_information(z, var=1e-4)
    assert found.value == pytest.approx(np.log(50), abs=1e-9)
    assert found.diagnostics["ceiling_nats"] == pytest.approx(np.log(50), abs=1e-9)
    assert [w.code for w in found.warnings] == ["ceiling"]


@pytest.mark.parametrize("a", [1e-12, 1.0, 1e12])
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32), d=st.integers(1, 3))
def test_order_of_rows_and_units(a, seed, d):
    rng = stream(seed, "rows")
    z = rng.normal(size=(20, d))
    before = noisy_channel_information(z, var=0.3, draws=200)
    after = noisy_channel_information(a * z[rng.permutation(20)], var=0.3 * a**2, draws=200)
    assert after.value == pytest.approx(before.value, abs=1e-9)
    assert after.standard_error == pytest.approx(before.standard_error, abs=1e-9)


def test_kinds_of_arrays_and_noise():
    z = stream(0, "kinds").normal(size=(30, 2)).astype(np.float32)
    z.flags.writeable = False
    matrix = NoiseConvolved(np.eye(2) * 0.5, draws=500).entropy(z)
    tensor = NoiseConvolved(torch.tensor([0.5, 0.5]), draws=500).entropy(torch.tensor(z.copy(), requires_grad=True))
    assert matrix.value == pytest.approx(tensor.value, abs=1e-12)
    assert hash(NoiseConvolved(np.eye(2))) == hash(NoiseConvolved([[1.0, 0.0], [0.0, 1.0]]))
    assert "pairwise_lower_nats" in NoiseConvolved(0.5, draws=500).entropy(z).diagnostics


def test_a_collapsed_output_has_the_entropy_of_the_noise():
    found = NoiseConvolved(2.0).entropy(np.zeros((10, 3)))
    assert found.value == pytest.approx(1.5 * np.log(2 * np.pi * np.e * 2), abs=1e-12)
    assert noisy_channel_information(np.zeros((10, 3)), var=2.0).value == pytest.approx(0, abs=1e-12)


def test_bad_parameters():
    with pytest.raises(ParameterError, match="var: expected a finite number > 0"):
        NoiseConvolved(-1.0)
    with pytest.raises(ParameterError, match="draws: expected an integer >= 1"):
        NoiseConvolved(1.0, draws=0)
    with pytest.raises(SampleError, match="z: expected 2 columns to fit var, got 1"):
        NoiseConvolved([1.0, 1.0]).entropy([[0.0], [1.0]])


@pytest.mark.parametrize("d", [1, 2])
def test_noise_below_the_rounding_of_the_rows_is_refused(d):
    z = stream(0, "rounded away").normal(size=(20, d))
    assert NoiseConvolved(var=1.0).entropy(1e9 * z).value == pytest.approx(
        d / 2 * np.log(2 * np.pi * np.e) + np.log(20), abs=1e-6
    )
    with pytest.raises(
        SampleError, match=r"z: expected rows within 5e\+12 standard deviations of the noise, got .*e\+13"
    ):
        NoiseConvolved(var=1.0).entropy(1e13 * z)
