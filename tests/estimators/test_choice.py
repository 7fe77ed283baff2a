"""What is recommended follows from the diagnosis, and what cannot be trusted is refused with its reasons."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

import itssl
from itssl import KSG
from itssl.arrays import stream
from itssl.distributions.tasks import gaussian_task_with_information, linear_gaussian_views
from itssl.estimators.gaussian_copula import GaussianCopula
from itssl.estimators.mixed_neighbors import Ross

RNG = stream(0, "choice")
X = RNG.normal(size=(600, 4))
CURVE = RNG.normal(size=(600, 1))
SPIRAL = np.hstack([CURVE * np.cos(3 * CURVE), CURVE * np.sin(3 * CURVE), CURVE])


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("GaussianPlugin", X),
        ("KozachenkoLeonenko", RNG.exponential(size=(600, 2))),
        ("HausdorffEntropy", SPIRAL),
        (None, np.round(X, 1)),
        (None, np.repeat(X, 2, axis=0)),
        (None, X @ RNG.normal(size=(4, 6))),
        (None, RNG.exponential(size=(300, 40))),
    ],
)
def test_entropy(name, x):
    found = itssl.choose(x)
    assert (None if found.estimator is None else type(found.estimator).__name__) == name
    assert found.reasons
    if found.estimator is not None:
        assert np.isfinite(found.estimator.entropy(x).value)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("GaussianPlugin", *linear_gaussian_views([0.5, 0.8]).sample(500, stream(0, "g"))),
        ("GaussianPlugin", *gaussian_task_with_information(2.0, 20).sample(100, stream(0, "few"))),
        ("KSG", *np.exp(linear_gaussian_views([0.5]).sample(500, stream(0, "k")))),
        ("GaussianCopula", *np.exp(linear_gaussian_views([0.5] * 8).sample(500, stream(0, "c")))),
        ("Ross", X[:, :1], (X[:, 0] + RNG.normal(size=600) > 0).astype(float)),
        (None, X, X),
        (None, X[:, 0], np.exp(X[:, 0])),
        (None, X, np.ones(600)),
    ],
)
def test_information(name, x, y):
    found = itssl.choose(x, y)
    assert (None if found.estimator is None else type(found.estimator).__name__) == name
    assert found.reasons
    if found.estimator is not None:
        assert np.isfinite(found.estimator.mutual_information(x, y).value)


LABELS = (X[:, 0] + RNG.normal(size=600) > 0).astype(int)
KINDS = {
    "integers": LABELS, "floats": LABELS + 0.0, "booleans": LABELS > 0, "column": LABELS[:, None],
    "words": np.array(["left", "right"])[LABELS], "objects": np.array(["left", "right"], dtype=object)[LABELS],
    "list": np.array(["left", "right"])[LABELS].tolist(), "series": pd.Series(LABELS).map({0: "left", 1: "right"}),
    "categories": pd.Series(LABELS).map({0: "left", 1: "right"}).astype("category"), "tensor": torch.tensor(LABELS),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_called_labels(kind):
    """They are what Ross is made for: no word of copies, counts or the differential entropy of labels."""
    labels = KINDS[kind]
    found = itssl.choose(X[:, :2], labels)
    assert isinstance(found.estimator, Ross)
    assert "class labels, 2 of them" in found.reasons[0]
    assert 'mutual_information(x, y, method="ross")' in found.reasons[1]
    assert found.warnings == ()
    turned = itssl.choose(labels, X[:, :2])
    assert isinstance(turned.estimator, Ross)
    assert 'mutual_information(y, x, method="ross"), labels last' in turned.reasons[1]
    for one, other in ((X[:, :2], labels), (labels, X[:, :2])):
        assert itssl.diagnose(one, other).codes == ("integers",)
        assert "Ross" in itssl.diagnose(one, other).warnings[0].cure
    assert np.isfinite(found.estimator.mutual_information(X[:, :2], labels).value)


def test_what_is_measured_of_labels():
    measured = itssl.diagnose(X, LABELS).measurements
    counts = np.bincount(LABELS)
    assert {name for name in measured if name.startswith("y_")} == {
        "y_n", "y_d", "y_classes", "y_rarest_class", "y_entropy_of_labels"
    }  # fmt: skip
    assert (measured["y_classes"], measured["y_rarest_class"]) == (2, counts.min())
    assert measured["y_entropy_of_labels"] == pytest.approx(scipy.stats.entropy(counts))
    assert "ksg" not in measured


def test_ross_is_chosen_with_a_word_of_caution_in_many_dimensions():
    """Classes that do not overlap, so that log 2 is the truth, of which neighbors in 60 dimensions see part."""
    wide = RNG.normal(size=(600, 60))
    wide[:, 0] += 12 * LABELS
    found = itssl.choose(wide, LABELS)
    assert [w.code for w in found.warnings] == ["high_dimension"]
    assert found.estimator.mutual_information(wide, LABELS).value < 0.9 * np.log(2)


def test_counts_of_which_most_differ_are_no_labels():
    counts = RNG.permutation(np.arange(600) // 1.5 * 3)  # at most two rows each
    assert type(itssl.choose(X[:, 0], counts).estimator).__name__ == "MixedKSG"


def test_a_refusal_says_what_to_do_and_renders():
    found = itssl.choose(X, X)
    assert "noise" in str(found)
    assert str(found).startswith("no estimator")
    assert "deterministic" in {w.code for w in found.warnings}
    assert "<table>" in found._repr_html_()


def test_ksg_is_not_recommended_where_it_is_seen_to_move():
    """On the spiral KSG finds 0.57 of 1.02 nats, and nothing else here does better; on 1 + 1 columns it is right."""
    tasks = itssl.tasks()
    spiral = itssl.choose(*tasks["spiral-multinormal-sparse-3-3-2-2.0"].sample(1000, stream(0, "choose")))
    assert spiral.estimator is None
    assert "the sample size explains" in spiral.refused[0]
    assert isinstance(itssl.choose(*tasks["1v1-X-0.9"].sample(1000, stream(0, "choose"))).estimator, KSG)
    monotone = itssl.choose(*tasks["half_cube-multinormal-sparse-3-3-2-2.0"].sample(1000, stream(0, "choose")))
    assert isinstance(monotone.estimator, GaussianCopula)
