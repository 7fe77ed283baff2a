"""Estimators under scikit-learn's tools: cloned, searched, cross-validated, and the sign of the score."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import itssl
from itssl import KSG, GaussianPlugin, ParameterError, SampleError
from itssl.choices import UnknownNameError
from itssl.estimators import Ross, ScoredEstimator

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 3))
Y = X[:, :1] + 0.5 * RNG.normal(size=(240, 1))
LABELS = (X[:, 0] > 0).astype(int)


def test_cross_validation_scores_the_held_out_rows():
    folds = KFold(3)
    found = cross_val_score(ScoredEstimator(KSG(k=3)), X, Y, cv=folds)
    expected = [itssl.mutual_information(X[rows], Y[rows], method=KSG(k=3)).value for _, rows in folds.split(X)]
    np.testing.assert_array_equal(found, expected)
    entropy = ScoredEstimator(GaussianPlugin(), quantity="entropy")
    expected = [GaussianPlugin().entropy(X[rows]).value for _, rows in folds.split(X)]
    np.testing.assert_array_equal(cross_val_score(entropy, X, cv=folds), expected)
    np.testing.assert_array_equal(cross_val_score(entropy, X, LABELS, cv=folds), expected)  # y is not looked at


def test_fit_keeps_the_estimate_of_the_training_rows():
    both = cross_validate(ScoredEstimator("ross"), X, LABELS, cv=3, return_estimator=True, return_train_score=True)
    for fitted, score in zip(both["estimator"], both["train_score"], strict=True):
        assert fitted.estimate_.value == score
        assert fitted.estimate_.n == 160
        assert fitted.estimate_.method == repr(Ross())
        assert fitted.n_features_in_ == 3
    assert ScoredEstimator("ksg").fit(X.tolist(), Y.tolist()).n_features_in_ == 3
    assert ScoredEstimator("ksg").fit(X[:, 0].tolist(), Y).n_features_in_ == 1


def test_more_information_is_a_larger_score_and_the_search_finds_it():
    """The informative direction has the smallest variance: one component loses it, three keep it."""
    x = X * [0.1, 1.0, 2.0]
    pipeline = make_pipeline(PCA(random_state=0), StandardScaler(), ScoredEstimator(GaussianPlugin()))
    search = GridSearchCV(pipeline, {"pca__n_components": [1, 2, 3]}, cv=3).fit(x, Y)
    assert search.best_params_ == {"pca__n_components": 3}
    turned = GridSearchCV(
        pipeline, {"pca__n_components": [1, 2, 3]}, cv=3, scoring=lambda fitted, x, y: -fitted.score(x, y)
    )
    assert turned.fit(x, Y).best_params_ != {"pca__n_components": 3}


def test_fields_of_an_estimator_can_be_searched():
    search = GridSearchCV(ScoredEstimator(KSG()), {"estimator__k": [2, 5]}, cv=3).fit(X, Y)
    assert search.best_estimator_.estimator == KSG(k=search.best_params_["estimator__k"])
    for k, score in zip([2, 5], search.cv_results_["split0_test_score"], strict=True):
        assert score == KSG(k=k).mutual_information(X[:80], Y[:80]).value


def test_clones_share_nothing_and_keep_every_parameter():
    one = ScoredEstimator(KSG(k=7), quantity="mutual_information").fit(X, Y)
    two = clone(one)
    assert type(two) is ScoredEstimator
    assert two.get_params() == one.get_params()
    assert two.get_params(deep=False).keys() == {"estimator", "quantity"}
    assert not hasattr(two, "estimate_")
    two.set_params(estimator__k=2)
    assert (one.estimator.k, two.estimator.k) == (7, 2)
    two.set_params(estimator=GaussianPlugin(), estimator__shrinkage="oas", quantity="entropy")
    assert repr(two) == "ScoredEstimator(GaussianPlugin(shrinkage='oas'), 'entropy')"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"k": 3}, "expected some of estimator, quantity, estimator__k, .*, got k"),
        ({"estimator": "ksg", "estimator__k": 3}, "got estimator__k; pass an estimator instead of its name"),
        ({"estimator__k": 0}, "k: expected an integer >= 1"),
    ],
)
def test_unknown_parameters_are_refused(params, message):
    with pytest.raises(ParameterError, match=message):
        ScoredEstimator(KSG()).set_params(**params)


def test_refusals_name_the_cure():
    with pytest.raises(UnknownNameError, match="quantity: expected one of 'mutual_information', 'entropy'"):
        ScoredEstimator("ksg", "kl_divergence").score(X, Y)
    with pytest.raises(UnknownNameError, match="method: expected one of"):
        ScoredEstimator(KSG(), "entropy").score(X)
    with pytest.raises(ParameterError, match="y: expected rows paired with x, got none; pass y"):
        ScoredEstimator().score(X)
    frame = pd.DataFrame({"varies": X[:, 0], "fixed": 1.0})
    with pytest.raises(SampleError, match="constant column 'fixed'"):
        ScoredEstimator().fit(frame, Y)


def test_values_are_neither_clipped_nor_made_finite():
    line = np.hstack([X[:, :1], 2 * X[:, :1]])
    assert ScoredEstimator("gaussian_plugin", "entropy").score(line) == -math.inf
    shuffled = RNG.permutation(Y)
    assert ScoredEstimator("ksg").score(X, shuffled) == itssl.mutual_information(X, shuffled).value
