"""The report on embeddings: its numbers are those of the estimators, and what cannot be measured is said."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

import itssl
from itssl import GaussianPlugin, ParameterError, SampleError, embedding_report
from itssl.estimators import Ross
from itssl.evaluation import collapse_report
from itssl.evaluation.embedding_report import label_entropy

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, size=300)
Z = np.exp(RNG.normal(size=(300, 2))) + 2.0 * LABELS[:, None]
FOUND = embedding_report(Z, LABELS, progress=False)


def test_numbers_are_those_of_the_estimators():
    estimates = FOUND.estimates
    assert estimates["entropy, Gaussian"] == GaussianPlugin().entropy(Z)
    chosen = itssl.choose(Z).estimator
    assert chosen != GaussianPlugin()
    assert estimates["entropy"].value == chosen.entropy(Z).value
    assert estimates["information with labels"].value == Ross().mutual_information(Z, LABELS).value
    assert FOUND.trust.measurements == itssl.diagnose(Z).measurements
    assert FOUND.collapse == collapse_report(Z)
    np.testing.assert_allclose(FOUND.spectrum, np.linalg.svd(np.cov(Z.T))[1], rtol=1e-12)
    assert FOUND.classes == {str(c): int(np.equal(LABELS, c).sum()) for c in range(3)}
    assert FOUND.omitted == {}
    lines = {line.quantity: line for line in FOUND.lines}
    assert lines["effective rank"].value == FOUND.collapse.effective_rank
    assert lines["entropy, Gaussian"].number.startswith("≤ ")
    assert not lines["entropy"].number.startswith("≤ ")


def test_entropy_of_labels_is_that_of_their_frequencies():
    counts = np.array([5, 3, 2])
    p = counts / 10
    found = label_entropy(np.repeat(["a", "b", "c"], counts))
    assert found.value == pytest.approx(-(p * np.log(p)).sum(), rel=1e-14)
    spread = math.sqrt((p * np.log(p) ** 2).sum() - found.value**2)
    assert found.standard_error == pytest.approx(spread / math.sqrt(10), rel=1e-12)
    assert found.diagnostics["miller_madow_correction_nats"] == pytest.approx(0.1)


def test_entropy_of_labels_has_the_spread_that_it_says():
    rng, p = np.random.default_rng(1), [0.6, 0.3, 0.1]
    draws = [label_entropy(rng.choice(3, size=400, p=p)) for _ in range(300)]
    values = np.array([e.value for e in draws])
    stated = np.mean([e.standard_error for e in draws])
    assert abs(values.std() / stated - 1) < 4 / math.sqrt(2 * 300)
    bias = values.mean() + (np.log(p) * p).sum()
    assert abs(bias + draws[0].diagnostics["miller_madow_correction_nats"]) < 4 * stated / math.sqrt(300)


def test_what_cannot_be_measured_is_said_and_why():
    wide = RNG.normal(size=(120, 20)) ** 3
    found = embedding_report(wide, progress=False)
    assert set(found.estimates) == {"entropy, Gaussian"}
    assert f"entropy not measured: {'; '.join(found.recommendation.reasons)}" in str(found)
    few = embedding_report(wide[:30, :10], progress=False)
    assert few.estimates["entropy"].method == "GaussianPlugin(shrinkage='oas')"
    assert "small_sample_for_dimension" in {w.code for w in few.warnings}
    same = embedding_report(np.ones((50, 2)), np.arange(50) % 2, progress=False)
    assert same.collapse.verdict == "complete"
    assert same.omitted == {"entropy": "no column varies", "information with labels": "no column varies"}
    assert set(same.estimates) == {"entropy of labels"}
    assert "constant_column" in {w.code for w in same.warnings}


def test_constant_columns_are_named_and_left_out():
    frame = pd.DataFrame({"a": Z[:, 0], "fixed": 1.5, "b": Z[:, 1]})
    found = embedding_report(frame, LABELS, progress=False)
    assert found.estimates["entropy"].value == FOUND.estimates["entropy"].value
    (said,) = [w.message for w in found.warnings if w.code == "constant_column"]
    assert "column 'fixed'" in said


def test_few_rows_are_searched_where_few_are_asked_for():
    found = embedding_report(Z, LABELS, rows=100, progress=False)
    assert found.estimates["information with labels"].n == found.estimates["entropy"].n == 100
    assert found.estimates["entropy, Gaussian"].n == 300
    few, all_rows = (report.estimates["information with labels"] for report in (found, FOUND))
    assert abs(few.value - all_rows.value) < 5 * math.hypot(few.standard_error, all_rows.standard_error)
    assert found.notes[0] == "entropy and information with labels use 100 of the 300 rows, chosen at random"
    again = embedding_report(Z, LABELS, rows=100, seed=1, progress=False)
    assert again.estimates["entropy"].value != found.estimates["entropy"].value
    with pytest.raises(ParameterError, match="rows: expected an integer >= 20"):
        embedding_report(Z, rows=5)


@pytest.mark.parametrize(
    ("z", "labels", "message"),
    [
        (np.array([[1.0, math.nan]] * 5), None, "z: expected finite values"),
        (np.arange(12).reshape(6, 2), None, "z: expected real-valued samples, got int64"),
        (Z, LABELS[:5], "labels: expected 300 labels, one for each row, got 5"),
        (Z, np.zeros(300, dtype=int), "labels: expected at least two classes, got 1"),
        (Z, Z[:, 0], "labels: expected class labels, got float64 numbers that never repeat"),
    ],
)
def test_bad_input_is_refused_by_name(z, labels, message):
    with pytest.raises(SampleError, match=message):
        embedding_report(z, labels)


@pytest.mark.parametrize("kind", ["float32", "torch", "read-only", "text labels"])
def test_kinds_of_arrays(kind):
    z, labels = Z.copy(), LABELS
    z.flags.writeable = kind != "read-only"
    if kind == "text labels":
        labels = np.array(["cat", "dog", "owl"])[LABELS]
    if kind == "torch":
        z, labels = torch.tensor(Z, requires_grad=True), torch.tensor(LABELS)
    if kind == "float32":
        z = Z.astype(np.float32)
    found = embedding_report(z, labels, progress=False)
    wanted = FOUND.estimates["information with labels"].value
    assert found.estimates["information with labels"].value == pytest.approx(wanted, abs=1e-4)
    assert list(found.classes) == (["cat", "dog", "owl"] if kind == "text labels" else ["0", "1", "2"])


def test_it_prints_travels_and_has_no_truth_value():
    assert str(FOUND).startswith("embeddings: 300 embeddings in 2 dimensions, 3 classes\n")
    frame = FOUND.to_pandas()
    assert frame.loc["entropy of labels", "value"] == FOUND.estimates["entropy of labels"].value
    assert list(frame.columns) == ["value", "standard_error", "units", "bias", "method"]
    plain = json.loads(FOUND.to_json())
    assert plain["estimates"]["information with labels"]["n"] == 300
    assert plain["recommended"] == repr(FOUND.recommendation.estimator)
    copy = pickle.loads(pickle.dumps(FOUND))
    assert str(copy) == str(FOUND)
    with pytest.raises(ValueError, match="read-only"):
        copy.spectrum[0] = 0.0
    with pytest.raises(TypeError, match="no truth value"):
        bool(FOUND)
    page = embedding_report(Z, LABELS, name="<b>", progress=False)._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;: 300 embeddings" in page


def test_the_figure_shows_each_direction_and_their_sum():
    each, together = FOUND.figure().axes
    np.testing.assert_array_equal(each.lines[0].get_ydata(), FOUND.spectrum)
    shares = np.asarray(together.lines[0].get_ydata())
    np.testing.assert_allclose(shares, FOUND.spectrum.cumsum() / FOUND.spectrum.sum())
    assert embedding_report(np.ones((30, 2)), progress=False).figure().axes


def test_progress_is_silent_when_not_asked_for_and_on_what_is_quick(capsys):
    embedding_report(Z, LABELS, progress=False)
    embedding_report(Z, LABELS)
    assert capsys.readouterr() == ("", "")


def test_choosing_from_a_report_at_hand_is_choosing():
    assert repr(itssl.choose(Z, report=itssl.diagnose(Z))) == repr(itssl.choose(Z))
