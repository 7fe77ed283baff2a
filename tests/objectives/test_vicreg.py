"""VICReg in three normalizations: the table of published values, numpy twins from the papers, gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.estimate import Bias
from itssl.objectives import convert_weights, covariance_term, minimize, variance_term, vicreg_terms
from itssl.objectives.vicreg import NORMALIZATIONS

EPS = np.finfo(float).eps
TABLE = {"equation": 157.4, "reference": 9.57, "solo": 16.29}


def twin(z_a, z_b, normalization):
    """Total with weights 25, 25, 1, written from the ICLR paper's text and from the two public codes."""
    n, d = z_a.shape

    def v(z):
        return np.maximum(0, 1 - np.sqrt(np.var(z, axis=0, ddof=1) + 1e-4)).mean()

    def c(z):
        cov = np.cov(z, rowvar=False).reshape(d, d)
        return (cov**2).sum() / d - (np.diagonal(cov) ** 2).sum() / d

    if normalization == "equation":
        invariance = sum(((z_a[i] - z_b[i]) ** 2).sum() for i in range(n)) / n
        return 25 * invariance + 25 * (v(z_a) + v(z_b)) + c(z_a) + c(z_b)
    invariance = ((z_a - z_b) ** 2).mean()  # torch's mse_loss
    if normalization == "reference":
        return 25 * invariance + 25 * (v(z_a) / 2 + v(z_b) / 2) + c(z_a) + c(z_b)
    return 25 * invariance + 25 * (v(z_a) + v(z_b)) + c(z_a) + c(z_b)


def batch_with_terms(n, d, invariance, variance, covariance):
    """Embeddings with mean squared difference, v(Z) and c(Z) of exactly the given size, the same for both views."""
    std = np.sqrt((1 - variance) ** 2 - 1e-4)
    correlation = np.sqrt(covariance / (d - 1)) / std**2
    cov = std**2 * ((1 - correlation) * np.eye(d) + correlation)
    z = stream(0, "batch").normal(size=(n, d))
    z = np.linalg.qr(z - z.mean(axis=0))[0] * np.sqrt(n - 1) @ np.linalg.cholesky(cov).T
    return z, z + np.sqrt(invariance)


def test_published_table():
    """One batch (n = 256, d = 64) has totals 157.4, 9.57 and 16.29.

    The three totals determine the three terms if the normalizations are as stated, and only then does a batch with
    those terms reproduce all three: 25·63·I = 157.4 − 16.29 (sum against mean over d), 12.5·V = 16.29 − 9.57 (half V).
    """
    invariance = (TABLE["equation"] - TABLE["solo"]) / (25 * 63)
    both_variances = (TABLE["solo"] - TABLE["reference"]) / 12.5
    both_covariances = TABLE["solo"] - 25 * invariance - 25 * both_variances
    z_a, z_b = batch_with_terms(256, 64, invariance, both_variances / 2, both_covariances / 2)
    for name in NORMALIZATIONS:
        total = TABLE[name]
        assert vicreg_terms(z_a, z_b, normalization=name).total() == pytest.approx(total, rel=1e5 * EPS)
        assert twin(z_a, z_b, name) == pytest.approx(total, rel=1e5 * EPS)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32), n=st.integers(3, 40), d=st.integers(1, 40), scale=st.floats(0.01, 3),
    normalization=st.sampled_from(NORMALIZATIONS),
)  # fmt: skip
def test_equals_the_twins_in_both_kinds(seed, n, d, scale, normalization):
    rng = stream(seed, "vicreg")
    z_a = scale * rng.normal(size=(n, d))
    z_b = z_a + 0.3 * rng.normal(size=(n, d))
    expected = twin(z_a, z_b, normalization)
    error = 1e4 * EPS * (1 + expected)
    assert vicreg_terms(z_a, z_b, normalization=normalization).total() == pytest.approx(expected, abs=error)
    tensors = vicreg_terms(torch.tensor(z_a), torch.tensor(z_b), normalization=normalization)
    assert tensors.total().item() == pytest.approx(expected, abs=error)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("n", "d"), [(8, 3), (4, 9)])
def test_gradient(normalization, n, d):
    rng = stream(0, "gradient")
    z_a, z_b = (torch.tensor(0.5 * rng.normal(size=(n, d)), requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: vicreg_terms(a, b, normalization=normalization).total(), (z_a, z_b))


def test_collapse_has_zero_gradient():
    """C29: at exact collapse the hinge is at its largest and still does not push."""
    z = torch.ones(8, 4, dtype=torch.float64, requires_grad=True)
    terms = vicreg_terms(z, z.detach(), normalization="reference")
    terms.total().backward()
    assert terms.variance.item() == pytest.approx(0.99, abs=8 * EPS)
    assert z.grad is not None
    assert z.grad.abs().max() == 0


def test_weights_select_terms():
    z_a, z_b = stream(0, "weights").normal(size=(2, 10, 3))
    terms = vicreg_terms(z_a, z_b, normalization="reference")
    assert terms.total((1, 0, 0)) == terms.invariance
    assert terms.total((0, 1, 0)) == terms.variance
    assert terms.total((0, 0, 1)) == terms.covariance
    assert terms.bound is None


def test_bad_batches():
    z = np.ones((4, 2))
    with pytest.raises(SampleError, match="n >= 2"):
        vicreg_terms(z[:1], z[:1], normalization="reference")
    with pytest.raises(SampleError, match="z_b: expected finite"):
        vicreg_terms(z, z * np.nan, normalization="reference")
    with pytest.raises(SampleError, match="one kind"):
        vicreg_terms(z, torch.ones(4, 2), normalization="reference")


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32), d=st.integers(1, 6), source=st.sampled_from(NORMALIZATIONS),
    target=st.sampled_from(NORMALIZATIONS), weights=st.tuples(*[st.floats(0.01, 100)] * 3),
)  # fmt: skip
def test_converted_weights_make_the_same_function(seed, d, source, target, weights):
    rng = stream(seed, "convert")
    views = [torch.tensor(0.6 * rng.normal(size=(7, d)), requires_grad=True) for _ in range(2)]
    converted = convert_weights(weights, source=source, target=target, d=d)
    totals = [
        minimize(vicreg_terms, normalization=name, weights=w)(*views)[0]
        for name, w in ((source, weights), (target, converted))
    ]
    assert totals[0].item() == pytest.approx(totals[1].item(), rel=64 * EPS)
    slopes = [torch.stack(torch.autograd.grad(total, views)) for total in totals]
    torch.testing.assert_close(*slopes, rtol=64 * EPS, atol=64 * EPS * float(slopes[0].abs().max()))
    assert convert_weights(converted, source=target, target=source, d=d) == pytest.approx(weights, rel=8 * EPS)
    if {source, target} == {"equation", "reference"} and d > 1:
        assert converted[:2] != weights[:2]


def test_wrong_names_are_refused(as_users_call):
    z = np.eye(3)
    with pytest.raises(UnknownNameError, match="normalization: expected one of 'equation', 'reference', 'solo', got"):
        vicreg_terms(z, z, normalization="refrence")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownNameError, match="did you mean 'solo'"):
        convert_weights((1.0, 1.0, 1.0), source="sol", target="solo", d=2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ParameterError, match="d: expected an integer >= 1"):
        convert_weights((1.0, 1.0, 1.0), source="solo", target="solo", d=0)


@pytest.mark.parametrize(("n", "d"), [(8, 3), (3, 8)])
def test_gamma_and_eps_are_those_of_the_hinge(n, d):
    z_a, z_b = stream(0, "gamma").normal(size=(2, n, d))
    terms = vicreg_terms(z_a, z_b, normalization="solo", gamma=2.0, eps=0.3)
    expected = [np.maximum(0, 2 - np.sqrt(z.var(axis=0, ddof=1) + 0.3)).mean() for z in (z_a, z_b)]
    assert terms.variance == pytest.approx(sum(expected), rel=64 * EPS)
    assert variance_term(z_a, gamma=2.0, eps=0.3) == pytest.approx(expected[0], rel=64 * EPS)
    cov = np.cov(z_a, rowvar=False)
    assert covariance_term(z_a) == pytest.approx(((cov - np.diag(np.diag(cov))) ** 2).sum() / d, rel=1e3 * EPS)
    with pytest.raises(ParameterError, match="eps: expected a finite number >= 0"):
        variance_term(z_a, eps=-1.0)


def test_directions_are_those_of_the_expectations():
    """Small batches lie above the population's v = max(0, 1 − √(s² + ε)) and c = Σ C_ij²/d, and on E‖Z − Z'‖²."""
    rng, factor = stream(0, "directions"), np.array([[0.8, 0.0], [0.3, 0.5]])
    cov = factor @ factor.T
    population = {
        "invariance": 2 * np.trace(cov) / 2,
        "variance": 2 * np.maximum(0, 1 - np.sqrt(np.diag(cov) + 1e-4)).mean(),
        "covariance": 2 * 2 * cov[0, 1] ** 2 / 2,
    }
    rows, terms = [], vicreg_terms(np.eye(2), np.eye(2), normalization="solo")
    for _ in range(400):
        z_a, z_b = rng.normal(size=(2, 6, 2)) @ factor.T
        terms = vicreg_terms(z_a, z_b, normalization="solo")
        rows.append([terms.invariance, terms.variance, terms.covariance])
    means, errors = np.mean(rows, axis=0), np.std(rows, axis=0) / 20
    for (name, truth), mean, error in zip(population.items(), means, errors, strict=True):
        direction = terms.terms[name].direction
        assert direction is (Bias.UNBIASED if name == "invariance" else Bias.UPPER)
        assert abs(mean - truth) < 4 * error if direction is Bias.UNBIASED else mean - truth > 4 * error
