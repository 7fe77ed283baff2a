"""Estimators of scipy and scikit-learn conform; what they do not promise is declared here, with the reason."""

import numpy as np
import pytest
from scipy.stats import differential_entropy
from sklearn.feature_selection import mutual_info_regression
from sklearn.mixture import GaussianMixture

from itssl.testing import (
    check_entropy_estimator,
    check_mutual_information_estimator,
    entropy_estimator_checks,
    from_density_model,
    from_feature_scores,
    mutual_information_estimator_checks,
)
from itssl.testing.checks.trial import registered

SCORES = from_feature_scores(mutual_info_regression, random_state=0)
ENTROPY = {
    "scipy": (differential_entropy, {"max_dim": 1}),
    # one component is for Gaussian laws; it adds 1e-6 to the variances, and starts at random
    "density model": (
        from_density_model(GaussianMixture(random_state=0)),
        {"family": "gaussian", "scale_invariant": False, "guards_input": False},
    ),
}
INFORMATION = {
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


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "check"), [p for p in PAIRS if "global_state" not in str(p.id)])
def test_conforms(estimator, check):
    check(estimator)


def test_entropy_of_scipy_conforms_at_the_short_profile():
    estimator, promises = ENTROPY["scipy"]
    assert not check_entropy_estimator(estimator, profile="dev", **promises).failures


def test_scores_of_scikit_learn_conform_at_the_short_profile():
    """But for the two checks that take longer than all others."""
    estimator, promises = INFORMATION["scikit-learn"]
    only = [name for name in registered("mutual_information") if name not in ("independence", "consistency")]
    assert not check_mutual_information_estimator(estimator, profile="dev", only=only, **promises).failures


def test_the_noise_of_scikit_learn_comes_from_the_global_generator_unless_seeded():
    with pytest.raises(AssertionError, match=r"np\.random: expected as before the call, got changed"):
        check_mutual_information_estimator(
            from_feature_scores(mutual_info_regression), max_dim=1, clips_at_zero=True, only="global_state"
        )


def test_scipy_takes_columns_apart_which_is_refused_with_the_cure():
    with pytest.raises(AssertionError, match=r"got shape \(2,\); an estimator of one column is declared by max_dim=1"):
        check_entropy_estimator(differential_entropy, only="row_order")
    assert np.shape(differential_entropy(np.zeros((9, 2)) + np.arange(9.0)[:, None])) == (2,)
