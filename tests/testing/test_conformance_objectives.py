"""Self-supervised objectives: wrong ones are refuted, right ones are not; those of itssl in `test_conformance_own`."""

from functools import partial
from typing import Any

import pytest
import torch
from testing.mutants_objectives import OBJECTIVES, RunningMean, a_loss_a_row, infonce, inner_products, logdet, vicreg
from torch import nn

from itssl.choices import ParameterError, UnknownNameError
from itssl.claims.decision import Outcome
from itssl.testing import ConformanceError, check_objective, objective_checks
from itssl.testing.checks.trial import registered
from itssl.testing.losses import as_objective, loss_of
from itssl.testing.subjects import SubjectError

QUIET = [name for name in registered("objective") if name != "global_state"]  # type checks draw from `random`


def found(objective, only, promises):
    """Outcomes by check."""
    try:
        report = check_objective(objective, only=only, **promises)
    except ConformanceError as error:
        report = error.report
    return {finding.check.name: finding.outcome for finding in report.findings}


@pytest.mark.parametrize("mutant", OBJECTIVES, ids=lambda m: f"{m.name}-{m.right.__name__}")
def test_wrong_one_is_refuted_and_right_one_is_not(mutant):
    assert set(found(mutant.wrong, mutant.caught_by, mutant.promises).values()) == {Outcome.VIOLATED}
    right = found(mutant.right, [name for name in mutant.caught_by if name in QUIET] or ["symmetry"], mutant.promises)
    assert Outcome.VIOLATED not in right.values()


@pytest.mark.parametrize("mutant", {m.right: m for m in OBJECTIVES}.values(), ids=lambda m: m.right.__name__)
def test_right_ones_pass_everything(mutant):
    outcomes = found(mutant.right, QUIET, mutant.promises)
    assert set(outcomes.values()) == {Outcome.HOLDS, Outcome.NOT_APPLICABLE}
    left_out = {name for name, outcome in outcomes.items() if outcome is Outcome.NOT_APPLICABLE}
    assert left_out <= {"reference", "device", "translation", "rotation", "scale", "prevents_collapse"}


def test_every_check_fails_for_some_mutant():
    caught = {name for mutant in OBJECTIVES for name in mutant.caught_by}
    checks = registered("objective")
    assert caught == set(checks) - {"device"}
    assert all(c.law and c.source and c.function.__doc__ for c in checks.values())
    assert {c.false_alarm_rate for c in checks.values()} == {0.0}


@pytest.mark.parametrize("promise", ["translation", "rotation", "scale"])
def test_promises_that_are_not_kept_are_refuted(promise):
    """Of each objective that does not declare an invariance; VICReg's hinge has axes, InfoNCE's sphere an origin."""
    for objective, kept in (
        (vicreg, {"translation"}),
        (infonce, {"rotation", "scale"}),
        (logdet, {"translation", "rotation"}),
    ):
        if promise not in kept:
            outcome = found(objective, promise, {f"{promise}_invariant": True})
            assert outcome == {promise: Outcome.VIOLATED}


def test_settings_that_an_objective_changes_are_put_back():
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state().tolist()
    for name in ("default_dtype", "threads", "seeds_itself"):
        mutant = next(m for m in OBJECTIVES if m.name == name)
        assert found(mutant.wrong, "global_state", mutant.promises) == {"global_state": Outcome.VIOLATED}
    assert (torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state().tolist()) == before


@pytest.mark.parametrize(
    "returned", [torch.tensor(2.0), (torch.tensor(2.0), {"x": 1.0}), nn.ParameterDict({"total": nn.Parameter()})]
)
def test_what_is_a_loss(returned):
    if isinstance(returned, nn.ParameterDict):
        returned = type("Record", (), {"total": lambda self: torch.tensor(2.0)})()
    assert loss_of(returned).item() == 2.0


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (2.0, "loss: expected a scalar tensor, got float"),
        (torch.zeros(3), r"got torch.float32 of shape \(3,\); take the mean over rows"),
        (torch.tensor(3), "expected one real number, got torch.int64"),
        ((), "got tuple"),
    ],
)
def test_what_is_no_loss(returned, message):
    with pytest.raises(SubjectError, match=message):
        loss_of(returned)


def test_modules_are_copied_to_the_kind_of_the_views():
    module = RunningMean()
    z = torch.ones(4, 2, dtype=torch.float64)
    ask = as_objective(module, z)
    assert ask(z, z).dtype == torch.float64
    assert torch.equal(module.mean, torch.zeros(1))


def test_a_batch_of_one_is_as_declared():
    distance = nn.MSELoss()
    with pytest.raises(ConformanceError, match=r"views of 1 × 6: expected an error, or no number, got .* least_rows=1"):
        check_objective(distance, only="one_row")
    assert not check_objective(distance, only="one_row", least_rows=1).failures
    with pytest.raises(ConformanceError, match="expected a loss, got ValueError"):
        check_objective(vicreg, only="one_row", least_rows=1)


def test_other_devices_are_tried_where_they_are():
    left_out = [finding.reason for finding in check_objective(vicreg, only="device", device="cuda").not_applicable]
    assert left_out == ([] if torch.cuda.is_available() else ["no CUDA device here"])
    assert found(vicreg, "device", {"device": "cpu"}) == {"device": Outcome.HOLDS}


@pytest.mark.gpu
def test_a_loss_that_comes_back_to_the_host_is_refuted():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    assert found(vicreg, "device", {}) == {"device": Outcome.HOLDS}
    assert found(lambda z_a, z_b: vicreg(z_a, z_b).cpu(), "device", {}) == {"device": Outcome.VIOLATED}


def test_a_warning_is_no_refusal():
    """torch warns of shapes that it stretches, and returns a loss all the same."""
    with pytest.raises(ConformanceError, match="one row of z_b: expected an error, got"):
        check_objective(nn.MSELoss(), only="unequal_shapes")


def test_batches_are_as_large_as_declared():
    seen = set()

    def looks(z_a, z_b):
        seen.add(tuple(z_a.shape))
        return logdet(z_a, z_b)

    declared: list[tuple[dict[str, Any], set[tuple[int, int]]]] = [
        ({}, {(24, 6), (8, 256)}),
        ({"columns": 4}, {(24, 4), (2, 4)}),
        ({"rows": 12, "columns": 8}, {(12, 8), (4, 8)}),
    ]
    for promises, shapes in declared:
        seen.clear()
        check_objective(looks, only=("row_order", "wide"), **promises)
        assert seen == shapes


def test_answers_that_vary_are_compared_through_their_seed():
    def noisy(seed):
        generator = torch.Generator().manual_seed(seed)
        return lambda z_a, z_b: logdet(z_a, z_b) + 1e-3 * torch.rand((), generator=generator)

    assert found(noisy(0), "row_order", {}) == {"row_order": Outcome.VIOLATED}
    assert found(noisy(0), "row_order", {"deterministic": False}) == {"row_order": Outcome.NOT_APPLICABLE}

    def dropped(seed):
        kept = torch.rand(6, generator=torch.Generator().manual_seed(seed)) > 0.5
        return lambda z_a, z_b: logdet(z_a[:, kept], z_b[:, kept])

    assert found(dropped(0), "repeatable", {"with_seed": dropped}) == {"repeatable": Outcome.HOLDS}


def test_two_lines_repeat_a_failure():
    with pytest.raises(ConformanceError) as raised:
        check_objective(inner_products, only="scale", scale_invariant=True, seed=2)
    (finding,) = raised.value.report.failures
    with pytest.raises(ConformanceError) as again:
        exec(finding.reproduce, {})
    assert again.value.report.failures[0].cases == finding.cases
    with pytest.raises(ConformanceError) as unnamed:
        check_objective(lambda a, b: (a - b).norm(), only="one_row")
    with pytest.raises(ConformanceError):
        exec(unnamed.value.report.failures[0].reproduce, {"objective": lambda a, b: (a - b).norm()})


def test_pairs_for_parametrize():
    pairs = objective_checks({"own": vicreg}, translation_invariant=True) + objective_checks([infonce])
    assert pairs[0].id == "own-row_order"
    assert pairs[-1].id.startswith("infonce-")
    assert len({pair.id for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(("objective", "check"), objective_checks([a_loss_a_row], profile="dev")[:2])
def test_what_is_wrong_everywhere_fails_in_each_check(objective, check):
    with pytest.raises(ConformanceError, match="take the mean over rows"):
        check(objective)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"units": "bits"}, UnknownNameError, r"promise: expected one of .* got 'units'"),
        ({"rows": 1}, ParameterError, "rows: expected an integer >= 2, got 1"),
        ({"columns": 0}, ParameterError, "columns: expected an integer >= 1, got 0"),
        ({"only": "slope"}, UnknownNameError, "only: expected one of"),
    ],
)
def test_choices_that_are_not_on_offer(options: dict[str, Any], error, message):
    with pytest.raises(error, match=message):
        check_objective(vicreg, **options)


def test_no_objective_is_refused_before_any_check():
    with pytest.raises(SubjectError, match="estimator: expected an objective, got int; pass a function"):
        check_objective(3)
    with pytest.raises(SubjectError, match="got the class RunningMean"):
        check_objective(RunningMean)


def absolute(z_a, z_b):
    return (z_a - z_b).abs().mean()


def hinged_pairs(z_a, z_b):
    """A margin to the rows of other pairs, as in batches of triplets."""
    away = torch.cdist(z_a, z_b)
    return torch.relu(1 + away.diagonal()[:, None] - away).mean()


@pytest.mark.parametrize("seed", range(4))
def test_kinks_are_no_error_of_the_gradient(seed):
    """Thousands of them, some of which lie within a step; a gradient that is wrong stays so whatever the step."""
    assert not check_objective(absolute, only="gradient", rows=256, columns=64, seed=seed).failures
    assert not check_objective(hinged_pairs, only="gradient", rows=128, columns=16, least_rows=1, seed=seed).failures

    def detached(z_a, z_b):
        return absolute(z_a, z_b) + 0.1 * (z_a.detach() ** 2).mean()

    with pytest.raises(ConformanceError):
        check_objective(detached, only="gradient", rows=256, columns=64, seed=seed)


def test_a_crash_is_no_refusal():
    def by_rows(z_a, z_b):
        return torch.stack([(z_a[i] - z_b[i]).square().sum() for i in range(max(len(z_a), len(z_b)))]).mean()

    with pytest.raises(ConformanceError, match="IndexError, a crash, not refused"):
        check_objective(by_rows, only="unequal_shapes")


def test_a_crash_at_collapse_prevents_none():
    def fails_where_rows_agree(z_a, z_b, error):
        if torch.equal(z_a[0], z_a[1]):
            raise error
        return logdet(z_a, z_b)

    for error, outcome in ((IndexError("9"), Outcome.VIOLATED), (ValueError("rows that agree"), Outcome.HOLDS)):
        objective = partial(fails_where_rows_agree, error=error)
        assert found(objective, "prevents_collapse", {"prevents_collapse": True}) == {"prevents_collapse": outcome}
