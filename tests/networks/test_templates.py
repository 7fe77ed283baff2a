"""Signals from templates: the warp against a naive twin, the laws of the changes, and what two views share."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.networks.encoders import torch_generator
from itssl.networks.templates import SignalViews, random_templates, templates

OFF = SignalViews(scale=(1, 1), shift=0, amplitude=(1, 1), slope=0, noise=0)
EPS = float(np.finfo(float).eps)


@pytest.mark.parametrize("length", [12, 41])
def test_views_are_their_naive_twin(length):
    law = SignalViews(noise=0)
    x = stream(0, "signals").normal(size=(7, length))
    place = (np.arange(length) - (length - 1) / 2) / length
    padded = np.concatenate([[place[0] - 1 / length], place, [place[-1] + 1 / length]])
    twin = [
        a * np.interp((place - t) / s, padded, np.concatenate([[0], row, [0]])) + 2 * k * place
        for row, (s, t, a, k) in zip(x, law.changes(7, torch_generator(0, "signals")).numpy(), strict=True)
    ]
    # Coordinates up to 41 carry about 20 roundings; between neighbors values differ by less than 8.
    found = law.draw(torch.tensor(x), torch_generator(0, "signals"))
    np.testing.assert_allclose(found, twin, rtol=0, atol=8 * 41 * 20 * EPS)


def test_changes_follow_the_law_of_the_docstring():
    s, t, a, k = SignalViews(scale=(0.5, 2), shift=0.3, amplitude=(0.2, 0.4), slope=0.7).changes(
        4000, torch_generator(0, "signals")
    ).numpy().T  # fmt: skip
    unit = [(s - 0.5) / 1.5, (t + 0.3) / 0.6, (a - 0.2) / 0.2, (k + 0.7) / 1.4]
    for values in unit:
        # Kolmogorov–Smirnov distance of 4000 uniform draws: P(D > 2.5/√n) = 2 exp(−2·2.5²) = 7e-6.
        assert np.abs(np.sort(values) - (np.arange(4000) + 0.5) / 4000).max() < 2.5 / math.sqrt(4000)
    assert np.abs(np.corrcoef(unit) - np.eye(4)).max() < 5 / math.sqrt(4000)


def test_switched_off_views_are_the_signal():
    x = torch.tensor(random_templates(5))
    torch.testing.assert_close(OFF.draw(x, torch_generator(0)), x, rtol=0, atol=1000 * EPS)
    assert OFF.only_noise
    assert not SignalViews(scale=(1, 1), shift=0, amplitude=(1, 1)).only_noise


def test_templates_are_smooth_distinct_and_in_the_middle():
    curves = random_templates(10)
    assert np.abs(curves).max(axis=1).tolist() == [1.0] * 10
    assert not curves[:, :10].any()
    assert not curves[:, 30:].any()
    apart = np.linalg.norm(curves[:, None] - curves, axis=2) + np.diag(np.full(10, np.inf))
    assert apart.min() > 5 * SignalViews().noise
    np.testing.assert_array_equal(curves, random_templates(10))
    assert not np.array_equal(curves, random_templates(10, seed=1))
    # Bernstein: sums of sines up to the sixth with values in ±1 have slopes up to 6π, over steps of 2/400.
    steps = np.abs(np.diff(random_templates(50, 400), axis=1)).max()
    assert steps < 6 * math.pi * 2 / 400


def test_data_are_views_of_the_template_of_their_label():
    data = templates(3000, 1000, views=SignalViews(scale=(1, 1), shift=0, amplitude=(1, 1), slope=0, noise=0.1))
    np.testing.assert_array_equal(data.source_x, data.prototypes[data.dataset.train_y])
    for x, y in ((data.dataset.train_x, data.dataset.train_y), (data.dataset.test_x, data.dataset.test_y)):
        rest = (x - data.prototypes[y]) / 0.1
        assert abs(rest.mean()) < 5 / math.sqrt(rest.size)
        assert abs(rest.var() - 1) < 5 * math.sqrt(2 / rest.size)
        count = np.bincount(y, minlength=10)
        assert np.abs(count - len(y) / 10).max() < 5 * math.sqrt(len(y) * 0.09)
    assert data.dataset.image == (1, 1, 40)
    assert not data.dataset.train_x.flags.writeable


def test_the_seed_names_the_data():
    np.testing.assert_array_equal(templates(50, 10).dataset.train_x, templates(50, 10).dataset.train_x)
    assert not np.array_equal(templates(50, 10).dataset.train_x, templates(50, 10, seed=1).dataset.train_x)
    assert repr(templates(50, 10)) in templates(50, 10)._repr_html_()


def test_two_views_share_the_class_alone():
    """Given the class, whatever changed one view says nothing about the other: products of sums are uncorrelated."""
    data = templates(4000, 10)
    a, b = data.views(torch.tensor(data.source_x), torch_generator(0, "views"))
    weights = stream(0, "weights").normal(size=40)
    one, two = a.numpy() @ weights, b.numpy() @ weights
    assert abs(np.corrcoef(one, two)[0, 1]) > 5 / math.sqrt(4000)
    for part in (one, two):
        for c in range(10):
            part[data.dataset.train_y == c] -= part[data.dataset.train_y == c].mean()
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / math.sqrt(4000)


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_information_with_noise_alone_is_that_of_a_naive_mixture(noise):
    """E log p(x, x')/p(x) p(x') with densities summed over the classes by hand; below log C."""
    views = SignalViews(scale=(1, 1), shift=0, amplitude=(1, 1), slope=0, noise=noise)
    data = templates(1500, 10, views=views, classes=4, length=12)
    task = data.task(n=3000)
    a, b = (v.numpy() for v in views(torch.tensor(data.source_x), torch_generator(1, "views")))
    log_a, log_b = (-((v[:, None] - data.prototypes) ** 2).sum(axis=2) / (2 * noise**2) for v in (a, b))
    c = math.log(4)
    joint = np.logaddexp.reduce(log_a + log_b, axis=1) - c
    pointwise = joint - np.logaddexp.reduce(log_a, axis=1) - np.logaddexp.reduce(log_b, axis=1) + 2 * c
    known, error = task.mutual_information, pointwise.std() / math.sqrt(len(a))
    assert abs(known.value - pointwise.mean()) < 5 * math.hypot(known.standard_error, error)
    np.testing.assert_allclose(task.pointwise_information(a, b), pointwise, atol=1e-9)
    assert data.information_ceiling == c
    assert known.value < c + 5 * known.standard_error


def test_information_is_not_claimed_where_it_is_not_known():
    with pytest.raises(ParameterError, match="views: expected Gaussian noise alone, got SignalViews"):
        templates(20, 10).task()
    with pytest.raises(ParameterError, match="std"):
        templates(20, 10, views=OFF).task()
    assert templates(20, 10, classes=3).information_ceiling == math.log(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shift": -0.1}, "shift: expected a finite number >= 0"),
        ({"slope": math.nan}, "slope: expected"),
        ({"noise": -1.0}, "noise: expected"),
        ({"scale": (1.2, 0.8)}, "scale: expected 0 < lower <= upper"),
        ({"amplitude": (0.0, 1.0)}, "amplitude: expected 0 < lower <= upper"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        SignalViews(**options)


@pytest.mark.parametrize("name", ["train", "test", "classes", "length"])
def test_bad_counts_are_refused(name):
    options: dict[str, Any] = {"train": 20, "test": 10, name: 0}
    with pytest.raises(ParameterError, match=f"{name}: expected an integer >="):
        templates(**options)
