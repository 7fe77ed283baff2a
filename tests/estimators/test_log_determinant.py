"""logdet_entropy, logdet_capacity and LogDet: definitions, both kinds, gradients, ridge, rank deficiency, limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import GaussianPlugin, logdet_entropy
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian
from itssl.estimate import Bias
from itssl.estimators import log_determinant as module
from itssl.estimators.error_bars import jackknife_standard_error
from itssl.estimators.gaussian_plugin import log_determinant_bias
from itssl.estimators.log_determinant import LogDet, logdet_capacity
from itssl.estimators.standardization import canonical_order, in_units_of_its_own
from itssl.kernels.covariance import moments
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


def singular_values_of_centered(z):
    return np.linalg.svd((z - z.mean(axis=0)).astype(float), compute_uv=False)


@pytest.mark.parametrize(("n", "d", "scale", "beta"), [(64, 512, 1.0, 100.0), (9, 12, 1e3, 10.0), (40, 8, 1e4, 1e3)])
def test_single_precision_is_not_singular_where_noise_is_added(n, d, scale, beta):
    """Centered wide rows have a direction without spread, beside which 1 is lost to rounding; then in double."""
    x = (scale * stream(0, "single", n).normal(size=(n, d)) * np.linspace(1, 1e-3, d)).astype(np.float32)
    twin = 0.5 * np.log1p(beta * singular_values_of_centered(x) ** 2 / (n - 1)).sum()
    tensor = torch.tensor(x, requires_grad=True)
    for found in (logdet_capacity(x, beta=beta), logdet_capacity(tensor, beta=beta).detach()):
        assert found.dtype in (np.float32, torch.float32)
        assert float(found) == pytest.approx(twin, rel=1e-5)
    rows = x.astype(float) - x.mean(axis=0, dtype=float)
    slope = beta / (n - 1) * np.linalg.solve(np.eye(n) + beta / (n - 1) * rows @ rows.T, rows)
    (gradient,) = torch.autograd.grad(logdet_capacity(tensor, beta=beta), tensor)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-3 * np.abs(slope).max())


@pytest.mark.parametrize(("n", "d"), [(6, 9), (12, 4)])
def test_what_even_double_precision_cannot_factor_has_eigenvalues(n, d):
    """A plane of 3 dimensions, 10¹⁰ times as wide as the noise: the other directions count log 1, to a share 2⁻⁵²."""
    x = 1e10 * stream(0, "plane", n).normal(size=(n, 3)) @ stream(1, "plane").normal(size=(3, d))
    twin = 0.5 * np.log1p(100 * singular_values_of_centered(x)[:3] ** 2 / (n - 1)).sum()
    tensor = torch.tensor(x, requires_grad=True)
    lost = 0.5 * min(n, d) * np.log1p(1e5 * EPS * np.linalg.norm(x) ** 2)
    for found in (logdet_capacity(x, beta=100.0), logdet_capacity(tensor, beta=100.0).detach()):
        assert twin - 1e-6 < float(found) < twin + lost < np.inf
    (gradient,) = torch.autograd.grad(logdet_capacity(tensor, beta=100.0), tensor)
    assert gradient.isfinite().all()


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


@settings(deadline=None, max_examples=30)
@given(z=samples(), beta=st.floats(0.01, 100))
def test_capacity_is_the_ridge_entropy_less_that_of_the_noise(z, beta):
    """Two routes: |I + βĈ| through the smaller Gram matrix, and the ridge; wide and tall alike, numpy and torch."""
    d = z.shape[1]
    noise = d / 2 * np.log(2 * np.pi * np.e / beta)
    error = 1e3 * EPS * (1 + beta * np.abs(z).max() ** 2)
    assert logdet_capacity(z, beta=beta) == pytest.approx(logdet_entropy(z, ridge=1 / beta) - noise, abs=error)
    twin = 0.5 * np.linalg.slogdet(np.eye(d) + beta * np.cov(z, rowvar=False).reshape(d, d))[1]
    assert logdet_capacity(z, beta=beta) == pytest.approx(twin, abs=error)
    assert logdet_capacity(torch.tensor(z), beta=beta).item() == pytest.approx(twin, abs=error)
    wide = stream(1, "wide").normal(size=(5, 20))
    twin = 0.5 * np.linalg.slogdet(np.eye(20) + beta * np.cov(wide, rowvar=False))[1]
    assert logdet_capacity(wide, beta=beta) == pytest.approx(twin, abs=error)


def test_capacity_gradient():
    for shape in ((9, 3), (4, 6)):
        z = torch.tensor(stream(0, "gradient").normal(size=shape), requires_grad=True)
        assert torch.autograd.gradcheck(lambda z: logdet_capacity(z, beta=2.0), z)


def test_entropy_is_the_gaussians_through_noise_of_the_stated_size():
    z = stream(0, "noise").normal(size=(400, 3)) * [1, 2, 3]
    cov = np.cov(z, rowvar=False)
    noisy = Gaussian(np.zeros(3), cov + np.trace(cov) / 3 / 50 * np.eye(3))
    found = LogDet(beta=50.0).entropy(z)
    assert found.value == pytest.approx(noisy.entropy.value, abs=64 * EPS)
    assert found.diagnostics["logdet_nats"] == pytest.approx(
        0.5 * np.linalg.slogdet(np.eye(3) + 50 * 3 / np.trace(cov) * cov)[1], abs=64 * EPS
    )
    assert found.bias is Bias.UNKNOWN  # an upper bound for n ≫ d only: 1.1 nats short at n = 30, d = 10
    assert found.value > logdet_entropy(z)


def test_information_approaches_the_plug_in_as_noise_vanishes():
    rng = stream(0, "limit")
    z = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5))
    plug_in = GaussianPlugin().mutual_information(z[:, :2], z[:, 2:])
    uncorrected = plug_in.value - plug_in.diagnostics["bias_correction_nats"]
    found = [LogDet(beta=beta).mutual_information(z[:, :2], z[:, 2:]).value for beta in (1e2, 1e4, 1e12)]
    assert found[0] < found[1] < found[2]  # noise only destroys information
    assert found[2] == pytest.approx(uncorrected, abs=1e-12 * np.linalg.cond(z) ** 2 * 5)  # first order in 1/β


def test_deterministic_relations_are_finite_and_say_so():
    x = stream(0, "x").normal(size=(50, 2))
    found = LogDet(beta=10.0).mutual_information(x, x)
    assert np.isfinite(found.value)
    assert [w.code for w in found.warnings] == ["deterministic"]


@pytest.mark.slow
def test_standard_error_matches_the_spread():
    """150 seeds: the spread is known to ±6 %."""
    rng = [stream(s, "spread") for s in range(150)]
    draws = [r.normal(size=(300, 4)) @ np.linalg.cholesky(0.6 * np.ones((4, 4)) + 0.4 * np.eye(4)).T for r in rng]
    for estimate in (LogDet(beta=20.0).entropy, lambda z: LogDet(beta=20.0).mutual_information(z[:, :2], z[:, 2:])):
        found = [estimate(z) for z in draws]
        stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
        assert 0.8 < stated / np.std([f.value for f in found], ddof=1) < 1.25


def test_few_rows_are_warned_of():
    x = stream(0, "few").normal(size=(11, 3))
    for found in (LogDet(beta=10.0).entropy(x), LogDet(beta=10.0).mutual_information(x[:, :1], x[:, 1:])):
        assert [w.code for w in found.warnings] == ["small_sample_for_dimension"]
    assert "no_error_bar" in {w.code for w in LogDet(beta=10.0).entropy(x[:3, :1]).warnings}
    wide = stream(0, "wide").normal(size=(5, 8))
    for found in (LogDet(beta=10.0).entropy(wide), LogDet(beta=10.0).mutual_information(wide, wide[:, :2] ** 2)):
        assert [w.code for w in found.warnings].count("small_sample_for_dimension") == 1


@pytest.mark.parametrize("unit", [2.0**-660, 2.0**660])
def test_units_whose_squares_are_no_floats(unit):
    z = stream(0, "units").normal(size=(50, 3))
    expected = logdet_entropy(z) + 3 * np.log(unit)
    assert logdet_entropy(z * unit) == pytest.approx(expected, abs=64 * EPS * 3 * abs(np.log(unit)))
    tensor = torch.tensor(z * unit, requires_grad=True)
    logdet_entropy(tensor).backward()
    plain = torch.tensor(z, requires_grad=True)
    logdet_entropy(plain).backward()
    assert tensor.grad is not None
    assert plain.grad is not None
    torch.testing.assert_close(tensor.grad * unit, plain.grad, rtol=1e-10, atol=0)


@pytest.mark.parametrize("rows", [50, 5000])
def test_entries_near_the_largest_float(rows):
    z = stream(0, "largest").normal(size=(rows, 3))
    z /= np.abs(z).max()
    expected, error = logdet_entropy(z) + 3 * np.log(1.7) + 3 * 308 * np.log(10), 64 * EPS * 3 * 710
    assert logdet_entropy(z * 1.7e308) == pytest.approx(expected, abs=error)
    assert float(logdet_entropy(torch.tensor(z * 1.7e308))) == pytest.approx(expected, abs=error)
    assert logdet_entropy(z * 1.7e308, ridge=1.0) == pytest.approx(expected, abs=error)  # too small to be seen
    assert float(logdet_entropy(torch.tensor(z * 1.7e308), ridge=1.0)) == pytest.approx(expected, abs=error)


def far_row(z):
    z = z.copy()
    z[7] = 1e6
    return z


@pytest.mark.parametrize("change", [lambda z: z, lambda z: 1e-12 * z, lambda z: z + 1e3, far_row, lambda z: z[:30],
                                    lambda z: z[:5], lambda z: z * np.array([1e-6, 1, 1e6, 1])])  # fmt: skip
def test_the_jackknife_of_moments_is_that_of_the_rows(change):
    """Leaving groups out of the covariance, or out of the rows: the same values and standard errors."""
    z = change(stream(0, "jackknife").normal(size=(200, 4)) @ np.array(4 * np.eye(4) + 1))
    d = z.shape[1]

    def entropy(rows):
        units, log_std = in_units_of_its_own(z[rows])
        cov = np.cov(units, rowvar=False) + np.eye(d) / 20
        return 0.5 * (np.linalg.slogdet(cov)[1] + d * np.log(2 * np.pi * np.e)) + d * log_std

    def information(rows):
        a, b = (in_units_of_its_own(part)[0] for part in (z[rows][:, :1], z[rows][:, 1:]))
        log_dets = [
            np.linalg.slogdet(np.eye(part.shape[1]) + 20 * np.cov(part, rowvar=False).reshape(2 * [part.shape[1]]))[1]
            for part in (a, b, np.hstack([a, b]))
        ]
        return 0.5 * (log_dets[0] + log_dets[1] - log_dets[2])

    blocks = (z[:, :1], z[:, 1:])
    for found, twin, order in (
        (LogDet(beta=20.0).entropy(z), entropy, canonical_order(z)),
        (LogDet(beta=20.0).mutual_information(*blocks), information, canonical_order(*blocks)),
    ):
        error, freedom = jackknife_standard_error(twin, order)
        assert found.value == pytest.approx(twin(slice(None)), rel=1e3 * EPS, abs=1e3 * EPS)
        assert found.standard_error == pytest.approx(error, rel=1e6 * EPS, abs=1e4 * EPS)
        assert found.degrees_of_freedom == freedom


@pytest.mark.parametrize("shape", [(5, 40), (40, 41), (40, 40)])
@pytest.mark.parametrize("ridge", [1e-3, 2.0])
def test_the_smaller_gram_matrix_gives_the_same_entropy_and_gradient(shape, ridge):
    z = torch.tensor(stream(0, "wide", *shape).normal(size=shape), requires_grad=True)
    d = shape[1]
    centered = z - z.mean(0)
    cov = centered.T @ centered / (shape[0] - 1) + ridge * torch.eye(d, dtype=z.dtype)
    twin = 0.5 * (torch.linalg.slogdet(cov)[1] + d * np.log(2 * np.pi * np.e))
    found = logdet_entropy(z, ridge=ridge)
    assert found.item() == pytest.approx(twin.item(), abs=1e4 * EPS / ridge)
    assert logdet_entropy(z.detach().numpy(), ridge=ridge) == pytest.approx(twin.item(), abs=1e4 * EPS / ridge)
    (mine,), (theirs,) = torch.autograd.grad(found, z), torch.autograd.grad(twin, z)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e4 * EPS / ridge)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e8])
def test_large_samples_of_any_kind(offset):
    z = stream(0, "large").normal(size=(9000, 30)) + offset
    expected = 0.5 * (np.linalg.slogdet(np.cov(z, rowvar=False))[1] + 30 * np.log(2 * np.pi * np.e))
    rounding = 1e4 * EPS * (1 + offset)  # of the rows themselves, in the twin
    for same in (z, np.asfortranarray(z), z[::-1], np.repeat(z, 2, axis=1)[:, ::2]):
        same.flags.writeable = False
        assert logdet_entropy(same) == pytest.approx(expected, abs=rounding)
    single = z.astype(np.float32)
    found = logdet_entropy(single)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.float32(logdet_entropy(single.astype(float))), rel=1e-6)


def test_groups_with_a_constant_column_are_left_out_in_the_units_of_the_others(monkeypatch):
    """A column that is nearly always 0 is constant in most groups of the jackknife, and has units of its own there."""
    rng = stream(0, "sparse")
    x = rng.normal(size=(400, 3)) * [8.0, 8.0, 1.0]
    x[:, 2] = 5 * (rng.random(400) < 0.02)
    found = LogDet(beta=100.0).entropy(x).standard_error
    monkeypatch.setattr(module, "moments", lambda x: moments(x)._replace(unit=np.full(3, 2.0)))  # then by rows
    assert found == pytest.approx(LogDet(beta=100.0).entropy(x).standard_error, rel=1e-9)
