"""Whatever kind of object an estimator is: its answers in nats, how it is written, and what is refused."""

import functools
import warnings

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from testing.mutants import kozachenko_leonenko, ksg

from itssl import KSG, KozachenkoLeonenko
from itssl.arrays import stream
from itssl.estimate import NATS_PER_BIT
from itssl.testing.subjects import SubjectError, as_subject, from_density_model, from_feature_scores, written

X = stream(0, "subjects").normal(size=(60, 2))


def test_estimates_keep_their_error_and_numbers_get_units():
    found = as_subject(KozachenkoLeonenko(), "entropy")(X)
    assert found.estimate is not None
    assert found.estimate == KozachenkoLeonenko().entropy(X)
    assert found.value == found.estimate.value
    plain = as_subject(lambda x: 2.0, "entropy", units="bits")(X)
    assert (plain.value, plain.estimate) == (2.0 * NATS_PER_BIT, None)


def test_an_estimate_names_its_own_units():
    in_bits = as_subject(lambda x: KozachenkoLeonenko().entropy(x).in_bits(), "entropy", units="nats")(X)
    expected = KozachenkoLeonenko().entropy(X)
    assert in_bits.value == pytest.approx(expected.value)
    assert in_bits.estimate is not None
    assert in_bits.estimate.standard_error == pytest.approx(expected.standard_error)


@pytest.mark.parametrize("one", [2.0, np.float32(2.0), np.array([2.0]), np.array([[2.0]]), torch.tensor(2.0), 2])
def test_one_number_of_any_kind(one):
    assert as_subject(lambda x: one, "entropy")(X).value == 2.0


@pytest.mark.parametrize(
    ("returned", "what"), [(None, "NoneType"), ((1.0, 0.1), r"shape \(2,\)"), ("1.5", "str"), (1j, "complex")]
)
def test_what_is_no_number_is_refused(returned, what):
    with pytest.raises(SubjectError, match=f"answer: expected one real number or an Estimate, got {what}"):
        as_subject(lambda x: returned, "entropy")(X)


def test_warnings_are_heard_and_filters_stay():
    def talks(x):
        warnings.warn("few rows", UserWarning, stacklevel=1)
        return 0.0

    before = list(warnings.filters)
    assert as_subject(talks, "entropy")(X).warnings == ("UserWarning: few rows",)
    assert list(warnings.filters) == before
    copied = as_subject(KSG(), "mutual_information")(X, X)
    assert {"ceiling", "deterministic"} <= set(copied.warnings)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (KSG, "got the class KSG; pass KSG"),
        (3, "got int; pass a function, or an object with .mutual_information"),
        (GaussianMixture(), "got GaussianMixture; use from_density_model"),
        (from_density_model(GaussianMixture()), "expected one of mutual_information, got one of entropy"),
    ],
)
def test_no_estimator(wrong, message):
    with pytest.raises(SubjectError, match=message):
        as_subject(wrong, "mutual_information")


def test_density_models_score_rows_they_were_not_fitted_to():
    """On a Gaussian sample, held-out scores by hand; whatever the order of the rows."""
    subject = from_density_model(GaussianMixture())
    value = subject(X).value
    assert subject(X[::-1]).value == pytest.approx(value)
    fitted = -GaussianMixture().fit(X).score(X)
    assert value > fitted

    class Remembers:
        def fit(self, x):
            self.rows = {tuple(row) for row in x}
            return self

        def score_samples(self, x):
            assert not self.rows & {tuple(row) for row in x}
            return np.full(len(x), -2.0)

    assert from_density_model(Remembers())(X).value == 2.0


def test_feature_scores_take_one_column_of_each():
    def scores(columns, target, *, power):
        assert columns.shape == (60, 1)
        assert target.shape == (60,)
        return np.abs(columns.T @ target / 60) ** power

    found = from_feature_scores(scores, power=2)(X[:, 0], X[:, 1])
    assert found.value == pytest.approx((X[:, 0] @ X[:, 1] / 60) ** 2)


def test_written():
    assert written(ksg) == ("ksg", ("from testing.mutants import ksg",))
    code, imports = written(functools.partial(kozachenko_leonenko, k=2))
    assert code == "partial(kozachenko_leonenko, k=2)"
    space = {}
    exec("\n".join(imports), space)
    assert eval(code, space)(X) == kozachenko_leonenko(X, k=2)
    assert written(functools.partial(lambda x: x, 1)) == ("estimator", ())
    code, imports = written(KSG(k=2))
    exec("\n".join(imports), space)
    assert eval(code, space) == KSG(k=2)
