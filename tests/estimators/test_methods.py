"""The one-line front: names, options, estimator objects."""

import inspect

import numpy as np
import pytest

import itssl
from itssl.arrays import SampleTypeError, stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.estimators.error_bars import value_only
from itssl.estimators.methods import methods
from itssl.estimators.protocols import (
    ConditionalMutualInformationEstimator,
    DivergenceEstimator,
    EntropyEstimator,
    MutualInformationEstimator,
)

X, Y, Z = stream(0, "methods").normal(size=(3, 60, 1))
LABELS = np.arange(60) % 3
OPTIONS = {
    "var": 1.0, "beta": 10.0, "lower": -20.0, "upper": 20.0, "steps": 2, "batch": 16, "slices": 2, "dimension": 1,
    "max_components": 1,
}  # fmt: skip
PROTOCOLS = {
    "entropy": EntropyEstimator, "mutual_information": MutualInformationEstimator, "kl_divergence": DivergenceEstimator,
    "conditional_mutual_information": ConditionalMutualInformationEstimator,
}  # fmt: skip


def test_every_collected_estimator_is_reachable_by_name():
    assert {"gaussian_plugin", "kozachenko_leonenko", "fitted_mixture", "log_det"} <= set(methods("entropy"))
    for quantity, protocol in PROTOCOLS.items():
        for name, kind in methods(quantity).items():
            options = {key: value for key, value in OPTIONS.items() if key in inspect.signature(kind).parameters}
            assert isinstance(kind(**options), protocol)
            front = getattr(itssl, quantity)
            samples = (X, Y, Z)[: 3 if "conditional" in quantity else 1 if quantity == "entropy" else 2]
            samples = (X, LABELS) if name == "ross" else samples
            with value_only():
                found = front(*samples, method=name, **options)
            assert kind.__name__ in found.method
            assert np.isfinite(found.value)


def test_defaults():
    assert itssl.entropy(X).method.startswith("KozachenkoLeonenko(k=4")
    assert itssl.mutual_information(X, Y).method.startswith("KSG(k=4, variant=1")


@pytest.mark.parametrize("labels", [LABELS, LABELS > 0, LABELS.astype(str)])
def test_labels_without_their_method_are_told_it(labels):
    with pytest.raises(SampleTypeError, match="y: expected real-valued samples") as caught:
        itssl.mutual_information(X, labels)
    assert caught.value.__notes__ == ['y: for class labels pass method="ross"; itssl.choose(x, y) says what fits']
    with pytest.raises(SampleTypeError, match="x: expected") as caught:
        itssl.mutual_information(LABELS, Y)
    assert not hasattr(caught.value, "__notes__")


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
    with pytest.raises(UnknownNameError, match=r"one of .*'ksg'.* got <class .*KSG'>; pass KSG\(\.\.\.\), configured"):
        itssl.mutual_information(X, Y, method=itssl.KSG)
    with pytest.raises(ParameterError, match="none beside a configured estimator"):
        itssl.entropy(X, method=itssl.KozachenkoLeonenko(), k=3)
