"""Samples and views that are drawn: size, law and shared content, and one answer of itssl for every kind of array."""

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import itssl
from itssl.arrays import as_samples, is_torch, stream
from itssl.choices import ParameterError
from itssl.objectives.vicreg import vicreg_terms
from itssl.testing.array_kinds import KINDS
from itssl.testing.strategies import gaussian_mixtures, paired_views, samples, seeds

EPS = float(np.finfo(float).eps)
SHRUNK = settings(max_examples=500, database=None, phases=[Phase.generate, Phase.shrink], deadline=None)
CONTENT = -0.5 * np.log(1 - 0.5**2)  # information of the least content, one coordinate of correlation ½


@settings(max_examples=15, deadline=None)
@given(data=st.data(), n=st.integers(2, 30), d=st.integers(1, 4))
def test_samples_and_views_have_the_size_asked_for(data, n, d):
    x = data.draw(samples(n=n, dims=d))
    assert x.shape == (n, d)
    assert np.isfinite(x).all()
    view_a, view_b = data.draw(paired_views(n=n, dims=d))
    assert tuple(view_a.shape) == tuple(view_b.shape) == (n, d)
    assert is_torch(view_a) == is_torch(view_b)


@settings(max_examples=15, deadline=None)
@given(x=samples(n=st.integers(10, 40), laws=gaussian_mixtures(dims=2)), seed=seeds())
def test_entropy_knows_no_order_and_no_origin(x, seed):
    """Kozachenko–Leonenko sees differences of rows alone: they round by eps times the size of the rows."""
    order = stream(seed, "order").permutation(len(x))
    moved = itssl.entropy((x + 3.0)[order]).value
    near = np.linalg.norm(x[:, None] - x, axis=2)[~np.eye(len(x), dtype=bool)].min()
    assert moved == pytest.approx(itssl.entropy(x).value, rel=0, abs=64 * EPS * (1 + (np.abs(x).max() + 3) / near))


@settings(max_examples=8, deadline=None)
@given(views=paired_views(n=2000, kinds=st.just(KINDS[0])), seed=seeds())
def test_views_share_content_and_shuffled_views_do_not(views, seed):
    """Six standard errors of an estimate that is biased upward by about d²/2n = 0.004 nats."""
    view_a, view_b = views
    found = itssl.mutual_information(view_a, view_b, method="gaussian_plugin")
    assert found.value > CONTENT - 6 * found.standard_error
    shuffled = view_b[stream(seed, "order").permutation(len(view_b))]
    assert itssl.mutual_information(view_a, shuffled, method="gaussian_plugin").value < CONTENT / 2


@settings(max_examples=12, deadline=None)
@given(views=paired_views(n=st.integers(4, 30), dims=st.integers(2, 4)))
def test_vicreg_is_that_of_the_numbers(views):
    single = "32" in str(views[0].dtype)
    numbers = [as_samples(view) for view in views]
    found = vicreg_terms(*views, normalization="reference")
    expected = vicreg_terms(*numbers, normalization="reference")
    precision = float(np.finfo(np.float32 if single else np.float64).eps)
    for name in ("invariance", "variance", "covariance"):
        size = 1 + max(np.abs(number).max() for number in numbers) ** 4  # terms are of degree 4 at most
        # the standard deviation has slope 1/(2·√1e-4) = 50 at most
        term = getattr(found, name)
        assert float(term.detach() if is_torch(term) else term) == pytest.approx(
            float(getattr(expected, name)), rel=0, abs=50 * len(numbers[0]) * precision * size
        )


def test_shrinks_to_ten_standard_normal_draws():
    twin = stream(0, "samples").standard_normal((10, 1))
    np.testing.assert_array_equal(find(samples(), lambda x: True, settings=SHRUNK), twin)
    view_a, view_b = find(paired_views(), lambda views: True, settings=SHRUNK)
    first, second = stream(0, "views").standard_normal((10, 2)).T
    assert type(view_a) is type(view_b) is np.ndarray
    np.testing.assert_array_equal(view_a[:, 0], first)
    np.testing.assert_allclose(view_b[:, 0], first / 2 + np.sqrt(0.75) * second, rtol=0, atol=8 * EPS)


def test_arguments_are_refused_where_they_are_given():
    for draws in (samples, paired_views):
        with pytest.raises(ParameterError, match="n: expected an integer >= 1, got 0"):
            draws(n=0)
        with pytest.raises(ParameterError, match="dims: expected an integer >= 1, got 0"):
            draws(dims=0)
    with pytest.raises(ParameterError, match="dims: expected none beside laws=, which has its own"):
        samples(dims=2, laws=gaussian_mixtures())
