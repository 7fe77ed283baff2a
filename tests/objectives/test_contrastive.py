"""Contrastive losses: definitions, ceilings, which bound lies below which, and below the truth of known worlds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.claims.check import check_equality, check_inequality
from itssl.claims.contrastive_link import _optimal_scores
from itssl.claims.decision import Outcome
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimate import Bias
from itssl.objectives import contrast, contrastive, infonce_terms, nt_xent_terms, spectral_contrastive_terms
from itssl.objectives.contrastive import on_sphere

EPS = np.finfo(float).eps


def loss_twin(z_a, z_b, temperature):
    a = z_a / np.linalg.norm(z_a, axis=1, keepdims=True)
    b = z_b / np.linalg.norm(z_b, axis=1, keepdims=True)
    scores = a @ b.T / temperature
    rows = [-np.log(np.exp(scores[i, i]) / np.exp(scores[i]).sum()) for i in range(len(a))]
    columns = [-np.log(np.exp(scores[i, i]) / np.exp(scores[:, i]).sum()) for i in range(len(a))]
    return (np.mean(rows) + np.mean(columns)) / 2


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 30), d=st.integers(2, 10), temperature=st.floats(0.05, 2))
def test_equals_the_definition_in_both_kinds(seed, n, d, temperature):
    z_a, z_b = stream(seed, "infonce").normal(size=(2, n, d))
    expected = loss_twin(z_a, z_b, temperature)
    error = 1e3 * EPS / temperature
    terms = infonce_terms(z_a, z_b, temperature=temperature)
    assert terms.total() == pytest.approx(expected, abs=error)
    assert terms.bound.value == pytest.approx(np.log(n) - expected, abs=error)
    assert terms.bound.value <= np.log(n) + error
    tensors = infonce_terms(torch.tensor(z_a), torch.tensor(z_b), temperature=temperature)
    assert tensors.total().item() == pytest.approx(expected, abs=error)
    assert terms.bound.direction is Bias.LOWER


def test_gradient():
    z_a, z_b = (torch.tensor(z, requires_grad=True) for z in stream(0, "gradient").normal(size=(2, 6, 3)))
    assert torch.autograd.gradcheck(lambda a, b: infonce_terms(a, b, temperature=0.5).total(), (z_a, z_b))


@pytest.mark.parametrize("loss", [infonce_terms, nt_xent_terms])
def test_scores_by_rows_change_nothing_and_are_not_kept(loss, monkeypatch):
    """Values and gradients are those of all scores at once; nothing larger than both views is saved."""
    arrays = stream(0, "by rows").normal(size=(2, 50, 3))
    saved = []

    def results():
        tensors = [torch.tensor(z, requires_grad=True) for z in arrays]
        saved.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
            total = loss(*tensors, temperature=0.2).total()
        return [loss(*arrays, temperature=0.2).total(), total.item(), *torch.autograd.grad(total, tensors)]

    whole = results()
    assert max(saved) >= 50**2
    monkeypatch.setattr(contrastive, "_SCORES", 2000)
    for by_rows, expected in zip(results(), whole, strict=True):
        np.testing.assert_allclose(by_rows, expected, rtol=64 * EPS, atol=64 * EPS)
    assert max(saved) <= 100 * 3


def test_large_scores_do_not_overflow():
    assert contrast(1e5 * np.eye(4)).bound.value == pytest.approx(np.log(4), abs=8 * EPS)
    assert np.isfinite(infonce_terms(np.eye(3), np.eye(3), temperature=1e-4).total())


def test_optimal_critic_reaches_the_known_values():
    """I = 2.33, 9.31, 37.25 nats are seen as about 2.20, 5.44, 5.545 with N = 256 (one batch each, by other code)."""
    for d, seen in ((2, 2.20), (8, 5.44), (32, 5.545)):
        task = linear_gaussian_views(np.full(d, 0.95))
        values = []
        for seed in range(8):
            values.append(contrast(_optimal_scores(task, stream(seed, "values"))).bound.value)
        assert abs(np.mean(values) - seen) < 3 * np.std(values) + 5e-4  # theirs is one batch, rounded


def test_zero_temperature_is_refused():
    with pytest.raises(ParameterError, match="temperature"):
        infonce_terms(np.eye(3), np.eye(3), temperature=0.0)


def test_scores_are_square(as_users_call):
    with pytest.raises(SampleError, match=r"scores: expected one row and one column a pair, got shape \(3, 4\)"):
        contrast(np.zeros((3, 4)))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 12), d=st.integers(2, 6), temperature=st.floats(0.05, 2))
def test_nt_xents_bound_is_below_infonces_on_every_batch(seed, n, d, temperature):
    """n − 1 candidates more, the same positives: each log-partition grows. Only for bounds that subtract from log n."""
    rng = stream(seed, "pair of bounds")
    z_a = rng.normal(size=(n, d))
    z_b = z_a + rng.exponential() * rng.normal(size=(n, d))
    infonce, nt_xent = (f(z_a, z_b, temperature=temperature) for f in (infonce_terms, nt_xent_terms))
    error = 1e3 * EPS / temperature
    assert nt_xent.alignment == pytest.approx(infonce.alignment, abs=error)
    assert nt_xent.bound.value < infonce.bound.value + error
    assert nt_xent.log_partition > infonce.log_partition - error
    # One side alone: anchors of z_a, with the n rows of z_b as candidates, by the given scores.
    a, b = on_sphere(np, z_a), on_sphere(np, z_b)
    one_sided = [contrast(u @ v.T / temperature).bound.value for u, v in ((a, b), (b, a))]
    assert infonce.bound.value == pytest.approx(np.mean(one_sided), abs=error)
    # The other direction: at most twice as many candidates of scores within 2/τ of each other.
    assert infonce.bound.value - nt_xent.bound.value <= np.log(1 + (n - 1) / n * np.exp(2 / temperature)) + error


def test_bounds_are_below_the_information_of_known_worlds():
    world = linear_gaussian_views([0.9, 0.7])
    truth = world.mutual_information.value
    for function in (infonce_terms, nt_xent_terms):
        verdict = check_inequality(
            lambda rng, f=function: float(f(*world.sample(64, rng), temperature=0.3).bound.value), truth
        )
        assert verdict.outcome is Outcome.HOLDS
        # log(2n − 1) for log n, or a total in bits, would not be told apart here; a bound without log-partition is:
        control = check_inequality(
            lambda rng, f=function: float(np.log(64) + f(*world.sample(64, rng), temperature=0.3).total()), truth
        )
        assert control.outcome is Outcome.VIOLATED


def polynomials(x):
    """Inner product 1 + ρ x y + ρ² (x² − 1)(y² − 1)/2, the first terms of Mehler's density ratio."""
    rho = 0.6
    return np.column_stack([np.ones_like(x), np.sqrt(rho) * x, rho * (x**2 - 1) / np.sqrt(2)])


def test_spectral_loss_bounds_chi_squared_of_a_gaussian_pair():
    """1 + χ² = 1/(1 − ρ²) = Σ ρ^2k (Mehler); the best three functions reach 1 + ρ² + ρ⁴ in expectation."""
    rho = 0.6
    world = linear_gaussian_views([rho])

    def bound(rng, embed=polynomials, n=400):
        x, y = world.sample(n, rng)
        return float(spectral_contrastive_terms(embed(x[:, 0]), embed(y[:, 0])).bound.value)

    assert check_inequality(bound, 1 / (1 - rho**2)).outcome is Outcome.HOLDS
    best = 1 + rho**2 + rho**4
    assert check_equality(bound, best, margin=0.1).outcome is Outcome.HOLDS
    arbitrary = check_inequality(
        lambda rng: bound(rng, lambda x: np.column_stack([np.sin(x), np.cos(2 * x)])), 1 / (1 - rho**2)
    )
    assert arbitrary.outcome is Outcome.HOLDS


def test_spectral_loss_is_the_mean_over_all_pairs_of_rows():
    """Which makes it unbiased for every n: two rows say the same in expectation."""
    z_a, z_b = stream(0, "pairs").normal(size=(2, 7, 3))
    whole = spectral_contrastive_terms(z_a, z_b)
    parts = [spectral_contrastive_terms(z_a[[i, j]], z_b[[i, j]]) for i in range(7) for j in range(i)]
    for name in ("alignment", "repulsion"):
        assert getattr(whole, name) == pytest.approx(np.mean([getattr(p, name) for p in parts]), rel=1e3 * EPS)


def test_nt_xent_temperature_is_checked():
    with pytest.raises(ParameterError, match="temperature"):
        nt_xent_terms(np.eye(3), np.eye(3), temperature=0.0)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_on_sphere(kind):
    z = np.array([[3.0, 4.0], [0.0, 0.0], [3e-300, 4e-300], [3e300, -4e300]])
    expected = [[0.6, 0.8], [0, 0], [0.6, 0.8], [0.6, -0.8]]
    if kind == "numpy":
        np.testing.assert_allclose(on_sphere(np, z), expected, rtol=8 * EPS)
        return
    tensor = torch.tensor(z, requires_grad=True)
    u = on_sphere(torch, tensor)
    np.testing.assert_allclose(u.detach(), expected, rtol=8 * EPS)
    (gradient,) = torch.autograd.grad(u[:, 0].sum(), tensor)
    np.testing.assert_allclose(gradient[0], [0.64 / 5, -0.48 / 5], rtol=8 * EPS)
    assert gradient[1].abs().max() == 0
    np.testing.assert_allclose(gradient[2], [0.64 / 5e-300, -0.48 / 5e-300], rtol=64 * EPS)
