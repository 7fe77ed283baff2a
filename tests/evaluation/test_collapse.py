"""Collapse: the verdict on cases that are known, its numbers against twins, and what it says about gradients."""

import json

import numpy as np
import pytest
import torch

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.estimators.log_determinant import logdet_capacity, logdet_entropy
from itssl.evaluation import collapse_report, effective_rank, numerical_rank, rankme
from itssl.evaluation.collapse import NEAR
from itssl.objectives.vicreg import covariance_term, variance_term


def cloud(n=200, d=4, seed=0):
    return stream(seed, "cloud").normal(size=(n, d))


def test_numbers_are_those_of_their_definitions():
    z = cloud() * np.array([1.0, 2.0, 0.5, 1e-5]) + 3
    report, std = collapse_report(z), z.std(axis=0, ddof=1)
    off = np.abs(np.corrcoef(z[:, :3].T)) - np.eye(3)
    assert report.rank == numerical_rank(np.cov(z.T)) == 3
    assert report.effective_rank == pytest.approx(effective_rank(np.cov(z.T)), rel=1e-12)
    assert report.rankme == rankme(z)
    assert report.dead_columns == 0.25
    assert report.constant_columns == 0
    assert report.largest_correlation == pytest.approx(off.max(), rel=1e-12)
    assert (report.smallest_std, report.largest_std) == pytest.approx((std.min(), std.max()), rel=1e-12)
    assert (report.n, report.d, report.attainable_rank, report.verdict) == (200, 4, 4, "dimensional")


def test_the_verdict_in_known_cases():
    z = cloud()
    assert collapse_report(z).verdict == "none"
    assert collapse_report(z).remarks == ()
    mixed = z @ cloud(4, 6, seed=1)
    assert (collapse_report(mixed).verdict, collapse_report(mixed).rank) == ("dimensional", 4)
    assert collapse_report(np.full((50, 3), 0.1)).verdict == "complete"
    assert collapse_report(np.zeros((50, 3))).verdict == "complete"
    assert collapse_report(cloud(4, 30)).verdict == "none"
    assert "4 rows show at most 3 of 30 directions" in collapse_report(cloud(4, 30)).remarks[0]
    one = collapse_report(cloud(50, 1))
    assert one.verdict == "none"
    assert np.isnan(one.largest_correlation)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_is_no_spread_and_a_little_more_is(dtype):
    """Rows equal but for a few units in the last place; and near collapse, where objectives still push."""
    eps, point = np.finfo(dtype).eps, np.array([2.0, -1.0, 0.0], dtype=dtype)
    wiggle = stream(0, "wiggle").integers(-3, 4, size=(80, 3))
    rounded = (point + wiggle * eps).astype(dtype)
    assert np.ptp(rounded, axis=0).max() > 0
    assert collapse_report(rounded).verdict == "complete"
    assert collapse_report((point + 1000 * wiggle * eps).astype(dtype)).verdict == "none"
    assert collapse_report(rounded, rounding=0.1 * float(eps)).verdict != "complete"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_of_a_large_offset_is_no_direction(dtype):
    """A third column equal to the first, seen through rounding at 1e4: float32 loses the difference in it."""
    z = (cloud(100, 2) * 1e-1 + 1e4).astype(dtype)
    z = np.hstack([z, z[:, :1] + z[:, 1:] - dtype(1e4)])
    report = collapse_report(z, smallest_variance=1e-12)
    assert report.rank == 2
    assert report.verdict == "dimensional"


def test_the_verdict_ignores_a_common_scale_offset_and_rotation():
    z = cloud() * np.array([1.0, 1.0, 1.0, 1e-5])
    rotation = np.linalg.qr(cloud(4, 4, seed=2))[0]
    for other in (z * 1e-8, z * 1e8, z + 5, z @ rotation):
        assert (collapse_report(other).verdict, collapse_report(other).rank) == ("dimensional", 3)
    assert collapse_report(z, smallest_variance=1e-12).verdict == "none"


def gradient(term, z):
    z = torch.tensor(z, requires_grad=True)
    term(z).backward()
    assert z.grad is not None
    return z.grad.numpy()


TERMS = {
    "hinge": variance_term,
    "covariance": covariance_term,
    "log-determinant": lambda z: logdet_capacity(z, beta=1.0),
    "pairwise": lambda z: torch.exp(-(z[:, None] - z).square().sum(-1)).mean(1).log().mean(),
    "smoothed neighbors": lambda z: ((z[:, None] - z).square().sum(-1) + 1e-4).log().mean(),
}


@pytest.mark.parametrize("term", TERMS.values(), ids=TERMS.keys())
def test_no_term_has_a_gradient_at_complete_collapse_as_the_report_says(term):
    point = np.full((30, 3), 0.5)
    assert "zero gradient" in collapse_report(point).remarks[0]
    assert not gradient(term, point).any()
    assert gradient(term, point + 0.1 * cloud(30, 3)).any()


@pytest.mark.parametrize("name", ["hinge", "covariance", "log-determinant"])
def test_a_constant_column_gets_no_gradient_as_the_report_says(name):
    z = cloud(30, 3) * 0.5
    z[:, 1] = 0.25
    assert "33% of the columns are constant: " in collapse_report(z).remarks[0]
    push = np.abs(gradient(TERMS[name], z))
    assert push[:, 1].max() <= 100 * np.finfo(float).eps * push.max()
    assert push[:, 0].max() > 0


def test_a_missing_direction_gets_no_gradient_from_the_log_determinant():
    z = cloud(30, 2) @ cloud(2, 3, seed=1)
    missing = np.linalg.svd(z)[2][2]
    assert "no gradient along a direction that is missing exactly" in collapse_report(z).remarks[0]
    push = gradient(TERMS["log-determinant"], z)
    assert np.abs(push @ missing).max() <= 1000 * np.finfo(float).eps * np.abs(push).max()
    assert np.abs(gradient(TERMS["hinge"], 0.1 * z) @ missing).max() > 1e-6


@pytest.mark.parametrize("std", [1e-4, 1e-3, 1e-2])
def test_near_collapse_the_log_determinant_pushes_far_harder_as_the_report_says(std):
    z = 0.9 * std * cloud(200, 3)
    assert "a log-determinant pushes apart far harder than a hinge" in collapse_report(z).remarks[0]
    assert collapse_report(z).verdict == "none"
    assert np.linalg.norm(gradient(logdet_entropy, z)) > 100 * np.linalg.norm(gradient(variance_term, z))
    assert collapse_report(2 * NEAR * cloud(200, 3)).remarks == ()


def test_text_html_and_dict():
    report = collapse_report(np.full((5, 2), 0.1))
    assert str(report).startswith("complete collapse: 5 embeddings in 2 dimensions\n  rank ")
    assert "start again" in str(report)
    assert "<caption>complete collapse: 5 embeddings" in report._repr_html_()
    assert "<li>all rows are equal" in report._repr_html_()
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["largest_correlation"] == "nan"
    with pytest.raises(TypeError, match="no truth value"):
        bool(report)


def test_other_arrays_are_left_alone_and_bad_ones_refused():
    z = np.asarray(cloud(), order="F")
    z.flags.writeable = False
    assert collapse_report(torch.tensor(z, requires_grad=True)) == collapse_report(z)
    assert collapse_report(torch.tensor(z).float()).rounding == 32 * np.finfo(np.float32).eps
    with pytest.raises(SampleError, match="z: expected finite values"):
        collapse_report(np.full((3, 2), np.nan))
    with pytest.raises(SampleError, match="z: expected shape"):
        collapse_report(np.zeros((1, 2)))
    with pytest.raises(ParameterError, match=r"smallest_variance: expected a number in \(0, 1\), got 1.5"):
        collapse_report(z, smallest_variance=1.5)
    with pytest.raises(ParameterError, match="rounding"):
        collapse_report(z, rounding=-1.0)
