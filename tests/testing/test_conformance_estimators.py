"""Estimators of itssl, scipy and scikit-learn conform; what they do not promise is declared here, with the reason."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import differential_entropy
from sklearn.feature_selection import mutual_info_regression
from sklearn.mixture import GaussianMixture

from itssl import KSG, KozachenkoLeonenko
from itssl.estimators import GaussianPlugin
from itssl.testing import (
    check_entropy_estimator,
    check_mutual_information_estimator,
    entropy_estimator_checks,
    from_density_model,
    from_feature_scores,
    mutual_information_estimator_checks,
)

ANY_UNITS = {"accepts_tensors": True, "marginal_invariant": True}
SCORES = from_feature_scores(mutual_info_regression, random_state=0)
ENTROPY = {
    "KozachenkoLeonenko": (
        KozachenkoLeonenko(),
        {"rotation_invariant": True, "accepts_tensors": True, "with_k": lambda k: KozachenkoLeonenko(k=k)},
    ),
    "GaussianPlugin": (GaussianPlugin(), {"rotation_invariant": True, "family": "gaussian", **ANY_UNITS}),
    "scipy": (differential_entropy, {"max_dim": 1}),
    # one component is for Gaussian laws; it adds 1e-6 to the variances, and starts at random
    "density model": (
        from_density_model(GaussianMixture(random_state=0)),
        {"family": "gaussian", "scale_invariant": False, "guards_input": False},
    ),
}
INFORMATION = {
    "KSG": (KSG(), {"with_k": lambda k: KSG(k=k), **ANY_UNITS}),
    "GaussianPlugin": (GaussianPlugin(), {"family": "gaussian", **ANY_UNITS}),
    # clips at zero, takes one column, and draws its noise from numpy's global generator unless told otherwise
    "scikit-learn": (SCORES, {"max_dim": 1, "clips_at_zero": True, "marginal_invariant": True}),
}
PAIRS = [
    pytest.param(*pair.values, id=pair.id)
    for checks, estimators in (
        (entropy_estimator_checks, ENTROPY), (mutual_information_estimator_checks, INFORMATION)
    )
    for name, (estimator, promises) in estimators.items()
    for pair in checks({name: estimator}, **promises)
]  # fmt: skip


IMPORTS = """
import json, time
from itssl import KSG, KozachenkoLeonenko
from itssl.estimators import GaussianPlugin
from itssl.testing import check_entropy_estimator, check_mutual_information_estimator
out = {}
CHECKED = {check_entropy_estimator: [KozachenkoLeonenko(), GaussianPlugin()],
           check_mutual_information_estimator: [KSG(), GaussianPlugin()]}
"""
GLOBAL_STATE = """
for check, estimators in CHECKED.items():
    for estimator in estimators:
        report = check(estimator, only="global_state")
        out[f"{report.estimator} {report.quantity}"] = [case.outcome.value for case in report.findings[0].cases]
"""
NAMES = """
for check in CHECKED:
    for options in ({"units": "bans"}, {"family": "normal"}):
        try:
            check(KSG(), **options)
        except ValueError as error:
            out[f"{check.__name__} {options}"] = str(error)
"""
SECONDS = """
for check, (estimator, _) in CHECKED.items():
    for profile in ("dev", "ci"):
        start = time.process_time()
        check(estimator, profile=profile)
        out.setdefault(profile, []).append(time.process_time() - start)
"""


def fresh(code):
    """What the code puts into ``out``, in an interpreter without type checks, which draw from ``random``."""
    script = f"{IMPORTS}{code}\nprint(json.dumps(out))"
    return json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def test_global_state_stays_and_wrong_names_are_refused():
    out = fresh(GLOBAL_STATE + NAMES)
    assert {answer for answer in out.values() if isinstance(answer, str)} == {
        "units: expected one of 'nats', 'bits', got 'bans'",
        "family: expected one of 'any', 'gaussian', got 'normal'",
    }
    outcomes = [cases for cases in out.values() if not isinstance(cases, str)]
    assert len(outcomes) == 4
    assert all(len(cases) >= 6 and set(cases) == {"HOLDS"} for cases in outcomes)


@pytest.mark.slow
def test_one_estimator_takes_seconds():
    """Of the processor, with nearest neighbors: below 5 and 30."""
    seconds = fresh(SECONDS)
    assert max(seconds["dev"]) < 5
    assert max(seconds["ci"]) < 30


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "check"), [p for p in PAIRS if "global_state" not in str(p.id)])
def test_conforms(estimator, check):
    check(estimator)


def test_entropy_of_scipy_conforms_at_the_short_profile():
    estimator, promises = ENTROPY["scipy"]
    assert not check_entropy_estimator(estimator, profile="dev", **promises).failures


def test_scores_of_scikit_learn_conform_at_the_short_profile():
    estimator, promises = INFORMATION["scikit-learn"]
    assert not check_mutual_information_estimator(estimator, profile="dev", **promises).failures


@pytest.mark.parametrize("only", ["row_order", "scale", "atom", "second_column", "repeatable"])
def test_own_estimators_conform(only):
    """The quick checks; all of them in the slow test."""
    for name in ("KozachenkoLeonenko", "GaussianPlugin"):
        estimator, promises = ENTROPY[name]
        assert not check_entropy_estimator(estimator, only=only, **promises).inconclusive
    for name in ("KSG", "GaussianPlugin"):
        estimator, promises = INFORMATION[name]
        assert not check_mutual_information_estimator(estimator, only=only, **promises).inconclusive


def test_the_noise_of_scikit_learn_comes_from_the_global_generator_unless_seeded():
    with pytest.raises(AssertionError, match=r"np\.random: expected as before the call, got changed"):
        check_mutual_information_estimator(
            from_feature_scores(mutual_info_regression), max_dim=1, clips_at_zero=True, only="global_state"
        )


def test_scipy_takes_columns_apart_which_is_refused_with_the_cure():
    with pytest.raises(AssertionError, match=r"got shape \(2,\); an estimator of one column is declared by max_dim=1"):
        check_entropy_estimator(differential_entropy, only="row_order")
    assert np.shape(differential_entropy(np.zeros((9, 2)) + np.arange(9.0)[:, None])) == (2,)
