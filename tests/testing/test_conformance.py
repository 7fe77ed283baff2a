"""The suites as users meet them: reports, failures that can be repeated, promises, and the budget of false alarms."""

import json
import warnings
from functools import partial

import numpy as np
import pytest
from testing.mutants import diagonal_only, in_bits, k_ignored, kozachenko_leonenko, ksg, rows_squeezed

import itssl.testing
from itssl import KozachenkoLeonenko
from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.claims.decision import Outcome
from itssl.estimate import Bias
from itssl.testing import (
    ConformanceError,
    check_entropy_estimator,
    check_mutual_information_estimator,
    entropy_estimator_checks,
    mutual_information_estimator_checks,
)
from itssl.testing.checks import worlds
from itssl.testing.checks.trial import BUDGET, registered
from itssl.testing.promises import EntropyPromises, InformationPromises
from itssl.testing.subjects import SubjectError

QUICK = ("scale", "repeatable", "constant_column")


def failed(check, *args, **options):
    with pytest.raises(ConformanceError) as raised:
        check(*args, **options)
    return raised.value.report


def test_all_failed_checks_are_listed_with_what_was_expected():
    report = failed(check_entropy_estimator, in_bits, only=("row_order", "scale", "truth"), profile="dev")
    assert [f.check.name for f in report.failures] == ["scale", "truth"]
    text = str(report)
    assert "in_bits as entropy: 1 ok, 2 FAILED" in text
    assert "h(aX) = h(X) + d log|a|" in text
    assert text.count("(as in bits: declare units='bits')") > 3
    assert "repeat (seed 0):" in text
    assert not check_entropy_estimator(in_bits, units="bits", only=("scale", "truth"), profile="dev").failures


@pytest.mark.parametrize(
    ("check", "estimator", "promises"),
    [
        (check_entropy_estimator, in_bits, {"only": "truth", "max_dim": 2, "profile": "dev"}),
        (
            check_entropy_estimator,
            diagonal_only,
            {"only": "bias_direction", "family": "gaussian", "bias": Bias.LOWER, "profile": "dev"},
        ),
        (check_mutual_information_estimator, rows_squeezed, {"only": "one_row", "seed": 3}),
        (check_entropy_estimator, KozachenkoLeonenko(k=2), {"only": "reference", "reference": kozachenko_leonenko}),
    ],
)
def test_two_lines_repeat_a_failure(check, estimator, promises):
    report = failed(check, estimator, **promises)
    (finding,) = report.failures
    assert finding.reproduce.count("\n") == 1
    with pytest.raises(ConformanceError) as again:
        exec(finding.reproduce, {})
    assert again.value.report.failures[0].cases == finding.cases


def test_what_cannot_be_written_is_named():
    finding = failed(check_entropy_estimator, lambda x: 7.0, only="truth", profile="dev").failures[0]
    with pytest.raises(ConformanceError):
        exec(finding.reproduce, {"estimator": lambda x: 7.0})


def test_a_report_has_no_truth_value_and_shows_itself_in_notebooks():
    report = check_entropy_estimator(kozachenko_leonenko, only=QUICK)
    for thing in (report, report.findings[0]):
        with pytest.raises(TypeError, match="truth value"):
            bool(thing)
    assert report.require() is None
    assert repr(report) == str(report)
    plain = json.loads(json.dumps(report.to_dict()))
    assert {name: entry["outcome"] for name, entry in plain["checks"].items()} == dict.fromkeys(QUICK, "HOLDS")
    table = report.to_pandas()
    assert table.index.name == "check"
    assert dict(table.outcome) == dict.fromkeys(QUICK, "HOLDS")
    assert (table.detail == "").all()
    assert (table.seconds > 0).all()


def test_a_report_of_failures_in_notebooks_and_as_a_frame():
    def seven_bits(x):
        return 7.0

    report = failed(check_entropy_estimator, seven_bits, only=(*QUICK, "k_counts"))
    shown, table = report._repr_html_(), report.to_pandas()
    assert shown.startswith('<div class="itssl">')
    assert "seven_bits as entropy: 1 ok, 2 FAILED, 1 not applicable" in shown
    assert "h(X, c) = −∞" in shown
    assert "with_k not given" in shown
    assert "scale, to repeat: from itssl.testing import check_entropy_estimator; check_entropy_estimator(" in shown
    assert list(table.outcome) == ["VIOLATED", "HOLDS", "VIOLATED", "NOT_APPLICABLE"]
    assert table.detail["k_counts"] == "with_k not given"
    assert "expected 7 nats" not in table.detail["repeatable"]
    assert "times 2^-40" in table.detail["scale"]
    assert table.reproduce["scale"] == report.failures[0].reproduce


def test_what_others_say_is_escaped_in_notebooks():
    def shouts(x):
        raise ValueError("<script>alert(1)</script>")

    shown = failed(check_entropy_estimator, shouts, only="scale")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)" in shown


@pytest.mark.parametrize(
    ("promises", "only", "written"),
    [
        ({"with_k": lambda k: KozachenkoLeonenko(k=k)}, "scale", None),
        ({"reference": kozachenko_leonenko}, "scale", None),
        ({"with_k": lambda k: KozachenkoLeonenko(k=3)}, "k_counts", "with_k=with_k"),
        (
            {"with_k": lambda k: partial(in_bits, k=k), "units": "nats"},
            "k_counts",
            "with_k=lambda k: partial(in_bits, k=k)",
        ),
        ({"with_seed": lambda seed: partial(in_bits, k=4)}, "scale", "with_seed=with_seed"),
    ],
)
def test_promises_that_are_functions_are_written_where_they_are_used(promises, only, written):
    (check,) = [p.values[1] for p in entropy_estimator_checks([in_bits], **promises) if p.values[1].name == only]
    line = check.run(in_bits).reproduce
    assert ("with_" in line or "reference" in line) == (written is not None)
    assert written is None or written in line


def test_a_failure_to_count_k_is_repeated():
    ignored = failed(check_entropy_estimator, in_bits, with_k=lambda k: partial(k_ignored, k=k), only="k_counts")
    with pytest.raises(ConformanceError) as again:
        exec(ignored.failures[0].reproduce, {})
    assert again.value.report.failures[0].cases == ignored.failures[0].cases


def test_what_does_not_apply_is_listed_with_the_reason():
    report = check_mutual_information_estimator(ksg, only=("own_units", "standard_error", "k_counts", "reference"))
    assert {f.check.name: f.reason for f in report.not_applicable} == {
        "own_units": "marginal_invariant=False",
        "standard_error": "answers are plain numbers",
        "k_counts": "with_k not given",
        "reference": "no reference given",
    }
    assert "not applicable: standard_error, answers are plain numbers" in str(report)


def test_draws_that_do_not_suffice_are_inconclusive():
    """A bias of exactly the margin can be told from neither side."""

    def on_the_margin(x):
        return next(p.truth + p.margin(EntropyPromises(), len(x)) for p in worlds.entropy_places() if p.gaussian) + (
            1e-2 * stream(0, str(x.sum())).normal()
        )

    report = check_entropy_estimator(on_the_margin, only="truth", family="gaussian", max_dim=1, profile="dev")
    assert [f.check.name for f in report.inconclusive] == ["truth"]
    assert "inconclusive: truth" in str(report)


def test_what_an_estimator_raises_becomes_a_failure():
    def fragile(x):
        raise ZeroDivisionError("oh")

    report = failed(check_entropy_estimator, fragile, profile="dev")
    assert all("ZeroDivisionError: oh" in f.worst[0].arrived for f in report.failures)
    assert len(report.failures) > 10
    endless = failed(check_entropy_estimator, lambda x: np.inf, only="truth").failures[0]
    assert "expected a finite number, got inf" in str(endless)


def test_a_warning_that_every_sample_gets_excuses_nothing():
    def talks(x):
        warnings.warn(f"{len(x)} rows", UserWarning, stacklevel=1)
        return kozachenko_leonenko(x + 1e-10 * stream(0, "jitter").normal(size=x.shape))

    case = failed(check_entropy_estimator, talks, only="atom").failures[0].worst[0]
    assert "without a word" in case.arrived

    def warns(x):
        if len(np.unique(x)) < x.size:
            warnings.warn("ties", UserWarning, stacklevel=1)
        return talks(x)

    case = check_entropy_estimator(warns, only="atom").findings[0].cases[0]
    assert "with UserWarning: ties" in case.arrived


def test_answers_that_vary_are_compared_through_their_seed():
    def noisy(seed):
        rng = np.random.default_rng(seed)
        return lambda x: kozachenko_leonenko(x) + 1e-3 * rng.normal()

    varies = noisy(0)
    assert failed(check_entropy_estimator, varies, only=("repeatable", "row_order")).failures
    report = check_entropy_estimator(varies, only=("repeatable", "row_order"), deterministic=False)
    assert [f.outcome for f in report.findings] == [Outcome.NOT_APPLICABLE] * 2
    assert "pass with_seed" in report.findings[0].reason
    assert not check_entropy_estimator(varies, only=("repeatable", "row_order"), with_seed=noisy).not_applicable
    assert failed(check_entropy_estimator, varies, only="repeatable", with_seed=lambda seed: varies).failures


def test_promises_that_are_not_made_are_not_held_against_anyone():
    def upper_half(x):
        return max(0.0, kozachenko_leonenko(x))

    assert failed(check_entropy_estimator, upper_half, only="scale").failures
    assert not check_entropy_estimator(upper_half, only="scale", clips_at_zero=True).failures
    clipped = lambda x, y: max(0.0, ksg(x, y))  # noqa: E731
    both = {"only": ("clipping", "independence"), "profile": "dev"}
    assert failed(check_mutual_information_estimator, clipped, **both).failures[0].check.name == "clipping"
    assert not check_mutual_information_estimator(clipped, **both, clips_at_zero=True).failures
    assert failed(check_mutual_information_estimator, ksg, **both, clips_at_zero=True).failures


def outcome(check, estimator, only, **promises):
    """Of one check."""
    ((_, made),) = [pair.values for pair in check([estimator], **promises) if pair.values[1].name == only]
    return made.run(estimator).outcome


def test_frames_are_samples_where_that_is_promised():
    def cut(x):
        return kozachenko_leonenko(x[:, :])

    for promised, expected in ((False, Outcome.HOLDS), (True, Outcome.VIOLATED)):
        assert outcome(entropy_estimator_checks, cut, "array_kinds", accepts_frames=promised) is expected
    assert outcome(entropy_estimator_checks, kozachenko_leonenko, "array_kinds", accepts_frames=True) is Outcome.HOLDS


@pytest.mark.parametrize("only", ["array_kinds", "precision"])
def test_singles_may_be_a_little_off_unless_they_are_promoted(only):
    def rounds(x):
        return kozachenko_leonenko(x * (1 + 1e-5 * (x.dtype == np.float32)))

    for promised, expected in ((False, Outcome.HOLDS), (True, Outcome.VIOLATED)):
        assert outcome(entropy_estimator_checks, rounds, only, promotes=promised) is expected
    assert outcome(entropy_estimator_checks, kozachenko_leonenko, only, promotes=True) is Outcome.HOLDS


def test_a_unit_of_the_columns_of_each_variable_is_less_than_one_of_each_column():
    def of_blocks(x, y):
        return ksg(x / x.std(), y / y.std())

    found = [
        outcome(mutual_information_estimator_checks, estimator, "own_units", **{promise: True})
        for estimator in (ksg, of_blocks) for promise in ("apart_invariant", "marginal_invariant")
    ]  # fmt: skip
    assert found == [Outcome.VIOLATED, Outcome.VIOLATED, Outcome.HOLDS, Outcome.VIOLATED]


@pytest.mark.parametrize(("max_dim", "columns"), [(1, {None}), (2, {1, 2}), (None, {1, 2, 16})])
def test_no_more_columns_than_the_estimator_takes(max_dim, columns):
    seen = set()

    def looks(x):
        seen.add(x.shape[1] if x.ndim == 2 else None)
        return kozachenko_leonenko(x)

    check_entropy_estimator(looks, max_dim=max_dim, only=("scale", "row_order", "global_state"))
    assert seen == columns


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"unit": "bits"}, UnknownNameError, "promise: expected one of .* got 'unit'; did you mean 'units'"),
        ({"symmetric": False}, UnknownNameError, "promise: expected one of"),
        ({"profile": "long"}, UnknownNameError, "profile: expected one of 'dev', 'ci', 'hunt', got 'long'"),
        ({"only": "scales"}, UnknownNameError, "only: expected one of .* did you mean 'scale'"),
        ({"only": ()}, ParameterError, "only: expected names of checks, got none"),
        ({"accuracy": -1.0}, ParameterError, "accuracy: expected a number of nats > 0, got -1.0"),
        ({"rate": 2.0}, ParameterError, r"rate: expected a number in \(0, 1\], got 2.0"),
        ({"max_dim": 0}, ParameterError, "max_dim: expected an integer >= 1, got 0"),
        ({"false_alarm_rate": 1.5}, ParameterError, "false_alarm_rate: expected a number between 0 and 1, got 1.5"),
    ],
)
def test_choices_that_are_not_on_offer(options, error, message):
    with pytest.raises(error, match=message):
        check_entropy_estimator(kozachenko_leonenko, **options)


def test_no_estimator_is_refused_before_any_check():
    with pytest.raises(SubjectError, match="estimator: expected an estimator of entropy, got int"):
        check_entropy_estimator(3)


def test_the_budget_is_shared_by_the_statistical_checks():
    for quantity in ("entropy", "mutual_information"):
        checks = registered(quantity).values()
        rates = [c.false_alarm_rate for c in checks if c.kind == "statistical"]
        assert sum(rates) == pytest.approx(BUDGET)
        assert len(rates) >= 4
        assert {c.false_alarm_rate for c in checks if c.kind != "statistical"} == {0.0}
        assert all(c.law and c.source and c.function.__doc__ for c in checks)


def test_the_rate_reaches_the_rule():
    """At a rate near one a look decides with hardly any interval: fewer samples than at a small one."""

    def used(rate):
        report = check_mutual_information_estimator(ksg, only="truth", false_alarm_rate=rate, profile="dev")
        return int(report.findings[0].cases[0].arrived.split("over ")[1].split()[0])

    assert used(0.9) < used(1e-9)


def test_pairs_for_parametrize():
    pairs = entropy_estimator_checks({"kl": kozachenko_leonenko}) + mutual_information_estimator_checks([ksg])
    assert pairs[0].id == "kl-row_order"
    assert pairs[-1].id.startswith("ksg-")
    assert len({pair.id for pair in pairs}) == len(pairs)
    estimator, check = next(pair.values for pair in pairs if pair.id == "kl-scale")
    assert (check(estimator), check.name, repr(check)) == (None, "scale", "scale")
    with pytest.raises(ConformanceError):
        check(in_bits)
    with pytest.raises(ParameterError, match="estimators: expected a list or a mapping of names, got function"):
        entropy_estimator_checks(ksg)


@pytest.mark.parametrize(("estimator", "check"), entropy_estimator_checks([kozachenko_leonenko], profile="dev"))
def test_as_a_user_writes_it(estimator, check):
    """Skips what does not apply, with the reason."""
    check(estimator)


def test_the_world_of_the_caller_is_left_alone():
    def careless(x):
        np.random.seed(0)  # noqa: NPY002
        np.seterr(all="ignore")
        return kozachenko_leonenko(x)

    before = repr(np.random.get_state()), np.geterr()  # noqa: NPY002
    held = {case.world for case in failed(check_entropy_estimator, careless, only="global_state").failures[0].worst}
    assert held == {"np.random", "np.geterr"}
    assert (repr(np.random.get_state()), np.geterr()) == before  # noqa: NPY002


@pytest.mark.parametrize("places", [worlds.entropy_places, worlds.information_places])
def test_truths_and_spreads_are_those_of_the_laws(places):
    """Laws against the mean of their log-densities by simulation: within five standard errors."""
    if places is worlds.entropy_places:
        exponential = next(p for p in places() if p.name.startswith("exponential"))
        assert exponential.spread == pytest.approx(1.0, abs=5 * 1 / 2**7)  # Var log p = 1; five errors of a deviation
        assert exponential.truth == pytest.approx(1 + np.log(2))
    for place in places():
        drawn = place.draw(50, stream(0, "draw"))
        assert all(x.shape[0] == 50 and x.shape[1] <= place.dim for x in drawn)
        promises = EntropyPromises() if len(drawn) == 1 else InformationPromises()
        assert place.margin(promises, 400) == pytest.approx(2 * place.spread / 20)
    assert places()[0].margin(EntropyPromises(accuracy=0.5), 10) == 0.5


def test_everything_is_on_offer():
    for name in ("check_entropy_estimator", "ConformanceReport", "from_density_model", "from_feature_scores"):
        assert getattr(itssl.testing, name)
