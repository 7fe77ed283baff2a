"""Single precision, and devices: with a stand-in for one, since few machines that test have any."""

import numpy as np
import pytest
import torch
from testing.mutants import kozachenko_leonenko

from itssl import KSG, KozachenkoLeonenko
from itssl.arrays import stream
from itssl.claims.decision import Outcome
from itssl.testing import ConformanceError, check_entropy_estimator, check_mutual_information_estimator
from itssl.testing.checks import precision


def finding(check, estimator, only, **promises):
    try:
        return check(estimator, only=only, **promises).findings[0]
    except ConformanceError as error:
        return error.report.findings[0]


def test_rows_are_apart_and_singles_hold_them():
    x = precision.apart(stream(0, "rows").normal(size=(4000, 2)))
    assert all(len(np.unique(column)) == 4000 for column in x.T)
    away = x + precision.CENTER
    assert np.array_equal(away.astype(np.float32).astype(float), away)
    assert np.array_equal(away - precision.CENTER, x)


def test_rows_move_by_their_rank_at_most():
    x = stream(0, "rows").normal(size=(100, 3))
    moved = precision.apart(x) - x
    assert np.abs(moved).max() <= (100 + 0.5) / precision.STEPS


def one_pass_variance(x):
    """E x² − (E x)², in the precision of the input."""
    x = np.asarray(x)
    return 0.5 * float(np.log((x * x).mean() - x.mean() ** 2))


def test_squares_far_from_zero_are_seen():
    far = lambda x: one_pass_variance(x + x.dtype.type(1000))  # noqa: E731
    options = {"family": "gaussian", "max_dim": 1}
    assert finding(check_entropy_estimator, far, "precision", **options).outcome is Outcome.VIOLATED
    doubles = lambda x: far(np.asarray(x, dtype=float))  # noqa: E731
    assert finding(check_entropy_estimator, doubles, "precision", **options).outcome is Outcome.HOLDS


def test_what_knows_the_origin_is_compared_where_it_is():
    """The mean is no entropy, but moves with the rows; it is the same for singles."""
    mean = lambda x: float(np.asarray(x, dtype=float).mean())  # noqa: E731
    assert finding(check_entropy_estimator, mean, "precision").outcome is Outcome.VIOLATED
    kept = finding(check_entropy_estimator, mean, "precision", translation_invariant=False)
    assert kept.outcome is Outcome.HOLDS


@pytest.mark.parametrize(
    ("check", "estimator"),
    [(check_entropy_estimator, KozachenkoLeonenko()), (check_mutual_information_estimator, KSG())],
    ids=["entropy", "information"],
)
def test_tensors_of_singles_too(check, estimator):
    found = finding(check, estimator, "precision", accepts_tensors=True)
    assert found.outcome is Outcome.HOLDS
    assert any("a tensor in single precision" in case.world for case in found.cases)


def test_no_device_is_not_applicable_with_the_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = finding(check_entropy_estimator, KozachenkoLeonenko(), "device", accepts_tensors=True)
    assert (found.outcome, found.reason) == (Outcome.NOT_APPLICABLE, "torch finds no CUDA device")
    assert finding(check_entropy_estimator, kozachenko_leonenko, "device").reason == "accepts_tensors=False"


def test_on_a_device(monkeypatch):
    """The host in its place; numbers that are other ones there, or changed there, are failures."""
    monkeypatch.setattr(precision, "_device", lambda: torch.device("cpu"))
    options = {"accepts_tensors": True, "max_dim": 1}
    found = finding(check_entropy_estimator, KozachenkoLeonenko(), "device", **options)
    assert found.outcome is Outcome.HOLDS
    assert [case.world.rpartition(", ")[2] for case in found.cases] == ["on cpu", "on cpu"]

    def centers_in_place(x):
        x -= x.mean()
        return kozachenko_leonenko(x.numpy())

    changed = finding(check_entropy_estimator, centers_in_place, "device", **options)
    assert [case.outcome for case in changed.cases] == [Outcome.HOLDS, Outcome.VIOLATED]
    calls = iter(range(10))
    other = lambda x: kozachenko_leonenko(x.numpy()) + next(calls)  # noqa: E731
    assert finding(check_entropy_estimator, other, "device", **options).cases[0].outcome is Outcome.VIOLATED


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_own_estimators_on_a_real_device():
    for check, estimator in (
        (check_entropy_estimator, KozachenkoLeonenko()),
        (check_mutual_information_estimator, KSG()),
    ):
        assert finding(check, estimator, "device", accepts_tensors=True).outcome is Outcome.HOLDS
