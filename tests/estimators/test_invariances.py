"""What every estimator must leave unchanged: units, order of the rows, which block is x; and how entropy follows a map.

Estimators are collected, so a new one is tested without being named here; exceptions are named with their reason.
"""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch

from itssl.arrays import stream
from itssl.estimators import FrenzelPompe, Ross, WangKulkarniVerdu
from itssl.estimators.error_bars import value_only
from itssl.estimators.methods import methods

N = 120
REQUIRED = {"beta": 10.0, "var": 1.0, "lower": -20.0, "upper": 20.0}
SMALL = {"steps": 30, "slices": 4, "batch": 16, "dimension": 2}
"""Configuration that makes the slow ones quick; the invariances do not depend on it."""

TRAINED = {"barber_agakov", "club", "donsker_varadhan", "info_nce", "jensen_shannon", "nwj", "smile"}
NO_UNITS = {"pairwise_mixture", "noise_convolved", "truncated_kozachenko_leonenko"}
"""Their configuration is in the units of x: scaled in their own tests."""
NO_SWAP = {"ross"} | TRAINED
"""Labels are no samples; a bound with a conditional model, or two trained nets, treats x and y differently."""
NO_ROTATION = {"binning", "truncated_kozachenko_leonenko", "noise_convolved"}
"""Their cells are aligned with the axes; Monte-Carlo noise is not rotated along with the sample."""
NO_DIFFERENTIAL_ENTROPY = {"matrix_renyi"}
"""Not Shannon's: invariant under a common factor instead."""


def made(kind):
    known = inspect.signature(kind).parameters
    return kind(**{k: v for k, v in (REQUIRED | SMALL).items() if k in known})


def value(name, quantity, *samples):
    with value_only():
        return getattr(made(methods(quantity)[name]), quantity)(*samples).value


def near(name, expected):
    """Rounding; training and iterating to a tolerance enlarge it."""
    return pytest.approx(expected, abs=1e-5 if name in TRAINED | {"fitted_mixture"} else 1e-9)


@pytest.fixture(scope="module")
def pair():
    rng = stream(0, "pair")
    x = rng.normal(size=(N, 2))
    return x, 0.7 * x[:, :1] + rng.normal(size=(N, 2)) * [1, 1.5]


@pytest.mark.parametrize("name", sorted(set(methods("mutual_information")) - {"ross"}))
def test_information(name, pair):
    x, y = pair
    found = value(name, "mutual_information", x, y)
    assert np.isfinite(found)
    order = stream(0, "order").permutation(N)
    assert value(name, "mutual_information", x[order], y[order]) == near(name, found)
    if name not in NO_UNITS:
        for a, b in ((1e-12, 1.0), (1.0, 1e12), (1e-3, 1e7)):
            assert value(name, "mutual_information", a * x, b * y) == near(name, found)
    if name not in NO_SWAP:
        assert value(name, "mutual_information", y, x) == near(name, found)


@pytest.mark.parametrize("name", sorted(methods("entropy")))
def test_entropy(name, pair):
    x, _ = pair
    found = value(name, "entropy", x)
    rng = stream(0, "entropy")
    assert value(name, "entropy", rng.permutation(x)) == near(name, found)
    if name not in NO_UNITS:
        growth = 0 if name in NO_DIFFERENTIAL_ENTROPY else 2
        for a in (1e-12, 1e-3, 1e12):
            assert value(name, "entropy", a * x) == near(name, found + growth * np.log(a))
    if name != "truncated_kozachenko_leonenko":
        assert value(name, "entropy", x + 10) == near(name, found)
    if name not in NO_ROTATION:
        rotation = np.linalg.qr(rng.normal(size=(2, 2)))[0]
        assert value(name, "entropy", x @ rotation) == near(name, found)


@pytest.mark.parametrize("quantity", ["conditional_mutual_information", "total_correlation", "kl_divergence"])
def test_the_other_quantities_have_no_units_and_no_order(quantity, pair):
    x, y = pair
    samples = {
        "conditional_mutual_information": (x, y, x[:, :1] + stream(0, "z").normal(size=(N, 1))),
        "total_correlation": (np.hstack([x, y]),),
        "kl_divergence": (x, 1.5 * y),
    }[quantity]
    for name in methods(quantity):
        found = value(name, quantity, *samples)
        order = stream(0, "order").permutation(N)
        assert value(name, quantity, *(s[order] for s in samples)) == near(name, found)
        assert value(name, quantity, *(1e9 * s for s in samples)) == near(name, found)


@pytest.mark.parametrize("name", sorted(set(methods("mutual_information")) - {"ross"} - TRAINED))
def test_what_holds_the_numbers_does_not_matter_and_is_not_changed(name, pair):
    x, y = (z.astype(np.float32).astype(float) for z in pair)
    found = value(name, "mutual_information", x, y)
    held = x.copy()
    held.flags.writeable = False
    tensor = torch.tensor(x, requires_grad=True)
    assert value(name, "mutual_information", held, np.asfortranarray(y)) == near(name, found)
    assert value(name, "mutual_information", np.repeat(x, 2, axis=1)[:, ::2], y) == near(name, found)
    assert value(name, "mutual_information", x.astype(np.float32), y.astype(np.float32)) == near(name, found)
    assert value(name, "mutual_information", tensor, torch.tensor(y)) == near(name, found)
    assert value(name, "mutual_information", pd.DataFrame(x), pd.DataFrame(y)) == near(name, found)
    np.testing.assert_array_equal(held, tensor.detach().numpy())
    assert tensor.grad is None


@pytest.mark.parametrize("name", sorted(set(methods("mutual_information")) - {"ross"} - TRAINED))
def test_the_error_of_an_information_does_not_depend_on_the_order(name, pair):
    x, y = pair
    order = stream(0, "order").permutation(N)
    first, again = (
        made(methods("mutual_information")[name]).mutual_information(x[o], y[o]) for o in (slice(None), order)
    )
    assert again.standard_error == pytest.approx(first.standard_error, rel=1e-6, nan_ok=True)
    assert again.interval(0.9) == pytest.approx(first.interval(0.9), rel=1e-6, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", sorted(methods("entropy")))
def test_the_error_of_an_entropy_does_not_depend_on_the_order(name, pair):
    x = pair[0]
    first, again = (made(methods("entropy")[name]).entropy(z) for z in (x, stream(0, "order").permutation(x)))
    assert again.standard_error == pytest.approx(first.standard_error, rel=1e-6, nan_ok=True)
    assert again.interval(0.9) == pytest.approx(first.interval(0.9), rel=1e-6, abs=1e-6, nan_ok=True)


def test_errors_of_labels_divergences_and_conditional_information_do_not_depend_on_the_order(pair):
    x, y = pair
    order, other = stream(0, "order").permutation(N), stream(1, "order").permutation(N)
    labels = (x[:, 0] > 0).astype(int) + (y[:, 0] > 0)
    for found, again in (
        (Ross().mutual_information(x, labels), Ross().mutual_information(x[order], labels[order])),
        (WangKulkarniVerdu().kl_divergence(x, 2 * x), WangKulkarniVerdu().kl_divergence(x[order], 2 * x[other])),
        (
            FrenzelPompe().conditional_mutual_information(x, y, x[:, :1] * y + 1),
            FrenzelPompe().conditional_mutual_information(x[order], y[order], x[order, :1] * y[order] + 1),
        ),
    ):
        assert again.standard_error == pytest.approx(found.standard_error, rel=1e-6)
