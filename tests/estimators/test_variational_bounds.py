"""Variational bounds: definitions by loops, both kinds of arrays, gradients, expectations with known critics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import check_equality, check_inequality
from itssl.arrays import SampleError, SampleTypeError, stream
from itssl.choices import ParameterError
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators import variational_bounds as vb
from itssl.objectives import contrast

EPS = np.finfo(float).eps
RHO = 0.6
TRUTH = -0.5 * np.log(1 - RHO**2)


def pairs_of(scores):
    n = len(scores)
    positive = [scores[i, i] for i in range(n)]
    negative = [scores[i, j] for i in range(n) for j in range(n) if i != j]
    return positive, negative


def donsker_varadhan_twin(scores):
    positive, negative = pairs_of(scores)
    return np.mean(positive) - np.log(np.mean(np.exp(negative)))


def nwj_twin(scores):
    positive, negative = pairs_of(scores)
    return np.mean(positive) - np.mean(np.exp(negative)) / np.e


def info_nce_twin(scores):
    n = len(scores)
    return np.log(n) + np.mean([np.log(np.exp(scores[i, i]) / np.exp(scores[i]).sum()) for i in range(n)])


def jensen_shannon_twin(scores):
    positive, negative = pairs_of(scores)
    return np.mean(np.log(1 / (1 + np.exp(-np.array(positive))))) - np.mean(np.log(1 + np.exp(negative)))


def smile_twin(scores):
    positive, negative = pairs_of(scores)
    return np.mean(positive) - np.log(np.mean(np.clip(np.exp(negative), np.exp(-1.5), np.exp(1.5))))


def club_twin(scores):
    positive, negative = pairs_of(scores)
    return np.mean(positive) - np.mean(negative)


TWINS = {
    vb.lower_bound_donsker_varadhan: donsker_varadhan_twin,
    vb.lower_bound_nwj: nwj_twin,
    vb.lower_bound_info_nce: info_nce_twin,
    vb.lower_bound_jensen_shannon: lambda scores: nwj_twin(scores + 1),
    vb.jensen_shannon_objective: jensen_shannon_twin,
    lambda scores: vb.smile(scores, 1.5): smile_twin,
    vb.upper_bound_club: club_twin,
}


@pytest.mark.parametrize("bound", TWINS, ids=lambda bound: bound.__name__)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 12), spread=st.sampled_from([0.1, 1.0, 8.0]))
def test_definition_in_both_kinds(bound, seed, n, spread):
    scores = spread * stream(seed, "scores").normal(size=(n, n))
    expected = TWINS[bound](scores)
    error = 64 * n**2 * EPS * (1 + np.exp(scores.max()))
    assert bound(scores) == pytest.approx(expected, abs=error)
    assert bound(torch.tensor(scores)).item() == pytest.approx(bound(scores), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("bound", TWINS, ids=lambda bound: bound.__name__)
def test_gradient(bound):
    scores = torch.tensor(stream(0, "gradient").normal(size=(5, 5)), requires_grad=True)
    assert torch.autograd.gradcheck(bound, (scores,))


@pytest.mark.parametrize("bound", TWINS, ids=lambda bound: bound.__name__)
def test_kind_dtype_and_input_are_kept(bound):
    scores = stream(0, "kept").normal(size=(6, 6)).astype(np.float32)
    scores.flags.writeable = False
    assert bound(scores).dtype == np.float32
    assert bound(scores.T).item() == pytest.approx(TWINS[bound](scores.T.astype(float)), rel=1e-4)
    tensor = torch.tensor(scores.copy(), requires_grad=True)
    assert bound(tensor).dtype == torch.float32
    np.testing.assert_array_equal(tensor.detach().numpy(), scores)


@pytest.mark.parametrize("bound", TWINS, ids=lambda bound: bound.__name__)
def test_large_scores(bound):
    """Nothing overflows but NWJ, whose value is then −inf and says so without a warning."""
    value = float(bound(1e4 * np.eye(4)[::-1].copy()))
    assert value == -np.inf if bound in (vb.lower_bound_nwj, vb.lower_bound_jensen_shannon) else np.isfinite(value)


def test_info_nce_is_the_contrast_of_the_objectives():
    scores = stream(0, "contrast").normal(size=(9, 9))
    assert vb.lower_bound_info_nce(scores) == pytest.approx(contrast(scores).bound.value, abs=8 * EPS)


def test_shifts():
    """A constant added to the critic changes NWJ alone; a function of x leaves InfoNCE as it is."""
    rng = stream(0, "shift")
    scores, of_x = rng.normal(size=(7, 7)), rng.normal(size=(7, 1))
    assert vb.lower_bound_donsker_varadhan(scores + 3) == pytest.approx(vb.lower_bound_donsker_varadhan(scores))
    assert vb.lower_bound_info_nce(scores + of_x) == pytest.approx(vb.lower_bound_info_nce(scores))
    assert vb.upper_bound_club(scores + 3) == pytest.approx(vb.upper_bound_club(scores))
    assert vb.lower_bound_nwj(scores + 3) < vb.lower_bound_nwj(scores)
    assert vb.smile(scores, 100.0) == pytest.approx(vb.lower_bound_donsker_varadhan(scores))
    assert vb.lower_bound_nwj(scores) <= vb.lower_bound_donsker_varadhan(scores)  # log m ≤ m/e


def draw(rng, n, rho=RHO):
    x, noise = rng.normal(size=(2, n))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


def log_ratio(x, y, rho=RHO):
    """log p(x, y)/(p(x) p(y)) of all pairs, written out."""
    a, b = x[:, None], y[None]
    return -0.5 * np.log(1 - rho**2) - (rho**2 * (a**2 + b**2) - 2 * rho * a * b) / (2 * (1 - rho**2))


def batches(bound, *, n=32, count=50, critic=log_ratio, rho=RHO):
    return lambda rng: [bound(critic(*draw(rng, n, rho), rho)) for _ in range(count)]


def test_log_ratio_is_the_tasks():
    x, y = draw(stream(0, "ratio"), 6)
    task = linear_gaussian_views([RHO])
    np.testing.assert_allclose(
        log_ratio(x, y).diagonal(), task.pointwise_information(x[:, None], y[:, None]), rtol=1e-12
    )


@pytest.mark.parametrize(("n", "count"), [(5, 100), (32, 20)])
def test_nwj_with_the_exact_critic_is_unbiased(n, count):
    check_equality(batches(lambda s: vb.lower_bound_nwj(1 + s), n=n, count=count), TRUTH, margin=0.05).require()
    check_equality(batches(vb.lower_bound_jensen_shannon, n=n, count=count), TRUTH, margin=0.05).require()


def test_donsker_varadhan_is_above_the_truth_in_small_batches():
    """The same exact critic and draws: the logarithm of a mean of few terms is too low, so the value is too high."""
    check_inequality(TRUTH + 0.02, batches(vb.lower_bound_donsker_varadhan, n=3, count=100)).require()
    check_equality(batches(vb.lower_bound_donsker_varadhan, n=128, count=5), TRUTH, margin=0.03).require()


def _poor(x, y, rho):
    return 0.7 * x[:, None] * y[None] - 0.3


@pytest.mark.parametrize(("bound", "n"), [(vb.lower_bound_nwj, 8), (vb.lower_bound_info_nce, 8)])
@pytest.mark.parametrize("critic", [_poor, log_ratio])
def test_lower_bounds_hold_for_any_critic(bound, n, critic):
    check_inequality(batches(bound, n=n, critic=critic), TRUTH, margin=0.03).require()
    if bound is vb.lower_bound_info_nce:
        check_inequality(batches(bound, n=2, critic=critic), np.log(2), margin=0.0).require()


def test_club_with_the_true_conditional_is_an_upper_bound_in_closed_form():
    """E = ρ²/(1−ρ²) = 0.56 where I = 0.22; with a conditional that ignores x it is 0, below I."""
    check_equality(batches(vb.upper_bound_club), RHO**2 / (1 - RHO**2), margin=0.05).require()
    ignorant = lambda x, y, rho: -0.5 * y[None] ** 2 + 0 * x[:, None]  # noqa: E731
    check_equality(batches(vb.upper_bound_club, critic=ignorant), 0.0, margin=0.05).require()


def test_barber_agakov_is_tight_at_the_true_conditional_and_lower_at_others():
    def value(rng, var):
        x, y = draw(rng, 500)
        log_q = -0.5 * np.log(2 * np.pi * var) - (y - RHO * x) ** 2 / (2 * var)
        return vb.lower_bound_barber_agakov(log_q, 0.5 * np.log(2 * np.pi * np.e))

    check_equality(lambda rng: value(rng, 1 - RHO**2), TRUTH, margin=0.03).require()
    loose = 0.5 * (1 - RHO**2) - 0.5 - 0.5 * np.log(1 - RHO**2)  # D(N(m, 1−ρ²)‖N(m, 1))
    check_equality(lambda rng: value(rng, 1.0), TRUTH - loose, margin=0.03).require()


def test_barber_agakov_in_torch():
    log_q = torch.tensor([-1.0, -3.0], requires_grad=True)
    value = vb.lower_bound_barber_agakov(log_q, 2.5)
    value.backward()
    assert value.item() == 0.5
    assert log_q.grad is not None
    assert log_q.grad.tolist() == [0.5, 0.5]


def test_smile_with_the_exact_critic_is_off_in_either_direction():
    """A clip takes the tail from the normalizer (ρ = 0.95: +0.10 nats) or lifts the small ratios (0.6: −0.02)."""
    clipped = lambda s: vb.smile(s, 0.5)  # noqa: E731
    strong = -0.5 * np.log(1 - 0.95**2)
    check_inequality(strong + 0.05, batches(clipped, rho=0.95)).require()
    check_inequality(batches(clipped, count=100), TRUTH - 0.01, margin=0.005).require()


@pytest.mark.parametrize(
    ("call", "error", "part"),
    [
        (lambda: vb.lower_bound_nwj(np.array([[1.0, np.nan], [0.0, 0.0]])), SampleError, "scores: expected finite"),
        (lambda: vb.lower_bound_nwj(np.ones((1, 1))), SampleError, "n >= 2"),
        (lambda: vb.smile(np.eye(2), -1.0), ParameterError, "clip: expected a finite number > 0"),
        (lambda: vb.lower_bound_barber_agakov(np.array([np.inf]), 0.0), SampleError, "log_q: expected a finite vector"),
    ],
)
def test_errors(call, error, part):
    with pytest.raises(error, match=part):
        call()


def test_rectangles_and_integers_are_refused_where_beartype_is_off():
    for bound in (vb.lower_bound_donsker_varadhan, vb.upper_bound_club):
        raw = getattr(bound, "__wrapped__", bound)
        with pytest.raises(SampleError, match="one row and one column a pair"):
            raw(np.ones((3, 4)))
        with pytest.raises(SampleTypeError):
            raw(np.array([["a", "b"], ["c", "d"]]))
