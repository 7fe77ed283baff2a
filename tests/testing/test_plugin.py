"""The pytest plugin, run on tests of its own: seed, budget, summary, workers."""

import pytest

import itssl
import itssl.testing.derivations  # runs inside pytester forget what they load: all is loaded before

itssl.check("C17")

pytest_plugins = ["pytester"]

SUITE = """
from itssl.testing.derivations import assert_at_most, assert_equality

def test_right():
    for shift in (0.0, -0.1, 0.04):
        assert_equality(lambda rng: shift + rng.normal(size=200).mean(), shift, margin=0.1, statement="mean = shift")

def test_wrong():
    assert_at_most(lambda rng: 0.3 + rng.normal(size=200).mean(), 0.0)

def test_without():
    pass
"""


def run(pytester: pytest.Pytester, *options: str, suite: str = SUITE) -> pytest.RunResult:
    pytester.makepyfile(test_suite=suite)
    return pytester.runpytest_inprocess("-p", "itssl.testing.plugin", "-p", "no:randomly", *options)


def test_verdicts_and_the_budget_used_are_in_the_summary(pytester: pytest.Pytester) -> None:
    found = run(pytester)
    found.assert_outcomes(passed=2, failed=1)
    found.stdout.fnmatch_lines([
        "*statements checked by itssl*",
        "test_suite.py::*mean = shift*HOLDS*0.1*3*",
        "test_suite.py::*left <= right*VIOLATED*0.3*0*1*",
        "4 assertions, seed 0: any fails wrongly with probability at most 4e-05 of the 0.01 allowed",
    ])  # fmt: skip
    folded = "".join(line[:22].strip() for line in found.outlines)
    assert "test_suite.py::test_right" in folded
    assert "test_without" not in folded


def test_the_seed_is_honored(pytester: pytest.Pytester) -> None:
    found = run(pytester, "--itssl-seed", "17")
    found.stdout.fnmatch_lines(["*, seed 17: any fails*"])
    assert "seed 17" in "\n".join(line for line in found.outlines if "VIOLATED: left" in line)


def test_a_drawn_seed_is_said_first(pytester: pytest.Pytester) -> None:
    found = run(pytester, "--itssl-seed", "random")
    (said,) = [line for line in found.outlines if line.startswith("itssl: seed")]
    seed = said.split()[2]
    assert int(seed) > 0
    found.stdout.fnmatch_lines([f"*, seed {seed}: any fails*"])


def test_a_spent_budget_fails_the_test(pytester: pytest.Pytester) -> None:
    found = run(pytester, "--itssl-budget", "2e-5")
    found.assert_outcomes(passed=1, failed=2)
    found.stdout.fnmatch_lines(["*BudgetError: error budget: expected at least 1e-05 left for this assertion*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--itssl-seed", "-1"), "*--itssl-seed: expected a non-negative integer or 'random', got '-1'*"),
        (("--itssl-budget", "2"), "*--itssl-budget: expected a probability between 0 and 1, got 2.0*"),
    ],
)
def test_bad_options_are_named(pytester: pytest.Pytester, options: tuple[str, ...], message: str) -> None:
    found = run(pytester, *options)
    found.stderr.fnmatch_lines([message])


def test_runs_of_others_do_not_load_the_claims(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n\ndef test_light(): assert not {'itssl.claims', 'torch', 'scipy'} & set(sys.modules)"
    )
    found = pytester.runpytest_subprocess("-p", "itssl.testing.plugin", "-p", "no:jaxtyping")
    found.assert_outcomes(passed=1)


def test_runs_without_assertions_say_nothing(pytester: pytest.Pytester) -> None:
    found = run(pytester, suite="def test_nothing(): pass")
    assert "itssl" not in "\n".join(line for line in found.outlines if "plugins" not in line and "rootdir" not in line)


def test_workers_share_the_budget_and_one_table(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite=SUITE)
    found = pytester.runpytest_subprocess("-p", "itssl.testing.plugin", "-n", "2", "--itssl-seed", "random")
    found.assert_outcomes(passed=2, failed=1)
    found.stdout.fnmatch_lines(["4 assertions, seed *: any fails wrongly with probability at most 4e-05 of the 0.01*"])
    (said,) = [line for line in found.outlines if line.startswith("itssl: seed")]
    (used,) = [line for line in found.outlines if line.startswith("4 assertions")]
    assert said.split()[2] == used.split()[3].rstrip(":")
