"""The one-line front: names, options, estimator objects."""

import numpy as np
import pytest

import itssl
from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.estimators.methods import methods
from itssl.estimators.protocols import EntropyEstimator, MutualInformationEstimator

X, Y = stream(0, "methods").normal(size=(2, 200, 1))


def test_every_collected_estimator_is_reachable_by_name():
    assert sorted(methods("entropy")) == ["gaussian_plugin", "kozachenko_leonenko", "pairwise_mixture"]
    options = {"pairwise_mixture": {"var": 1.0}}
    for name, kind in methods("entropy").items():
        found = itssl.entropy(X, method=name, **options.get(name, {}))
        assert found == itssl.entropy(X, method=kind(**options.get(name, {})))
        assert isinstance(kind(**options.get(name, {})), EntropyEstimator)
    for name, kind in methods("mutual_information").items():
        found = itssl.mutual_information(X, Y, method=name, **options.get(name, {}))
        assert found.method.startswith(repr(kind(**options.get(name, {}))))
        assert isinstance(kind(**options.get(name, {})), MutualInformationEstimator)


def test_defaults():
    assert itssl.entropy(X).method.startswith("KozachenkoLeonenko(k=4")
    assert itssl.mutual_information(X, Y).method.startswith("KSG(k=4, variant=1")


def test_wrong_names_and_options():
    with pytest.raises(UnknownNameError, match="did you mean 'gaussian_plugin'"):
        itssl.entropy(X, method="gausian_plugin")
    with pytest.raises(UnknownNameError, match="'ksg'"):
        itssl.entropy(X, method="ksg")  # KSG offers no entropy
    with pytest.raises(ParameterError, match="var"):
        itssl.entropy(X, method="pairwise_mixture")
    with pytest.raises(ParameterError, match="neighbors"):
        itssl.entropy(X, method="kozachenko_leonenko", neighbors=3)
    with pytest.raises(UnknownNameError, match=r"an estimator with \.entropy"):
        itssl.entropy(X, method=itssl.KSG())
    with pytest.raises(ParameterError, match="none beside a configured estimator"):
        itssl.entropy(X, method=itssl.KozachenkoLeonenko(), k=3)


def test_inputs_are_never_modified():
    x = np.asfortranarray(stream(1, "x").normal(size=(100, 3)))
    before = x.copy()
    for name in methods("mutual_information"):
        itssl.mutual_information(x, x[:, ::-1] ** 2, method=name, **({"var": 1.0} if "pairwise" in name else {}))
    np.testing.assert_array_equal(x, before)
