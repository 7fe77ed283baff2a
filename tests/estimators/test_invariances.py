"""Invariances that no suite asks for: Rényi's units, and the quantities that have no suite.

All else, of every estimator, is declared in `testing.declarations` and checked by `itssl.testing`.
"""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.estimators import MatrixRenyi
from itssl.estimators.methods import methods

N = 120


@pytest.fixture(scope="module")
def samples():
    rng = stream(0, "pair")
    x = rng.normal(size=(N, 2))
    y = 0.7 * x[:, :1] + rng.normal(size=(N, 2)) * [1, 1.5]
    z = x[:, :1] + stream(0, "z").normal(size=(N, 1))
    return {"conditional_mutual_information": (x, y, z), "total_correlation": (np.hstack([x, y]),)}


@pytest.mark.parametrize("quantity", ["conditional_mutual_information", "total_correlation"])
def test_quantities_without_a_suite_have_no_units_and_no_order(quantity, samples):
    """Nor have their error bars."""
    given, order = samples[quantity], stream(0, "order").permutation(N)
    for name, kind in methods(quantity).items():
        ask = getattr(kind(components=1) if name == "fitted_mixture" else kind(), quantity)
        found, shuffled, larger = (ask(*z) for z in (given, [z[order] for z in given], [1e9 * z for z in given]))
        assert shuffled.value == pytest.approx(found.value, abs=1e-9)
        assert larger.value == pytest.approx(found.value, abs=1e-9)
        assert shuffled.standard_error == pytest.approx(found.standard_error, rel=1e-6)
        assert shuffled.interval(0.9) == pytest.approx(found.interval(0.9), rel=1e-6, abs=1e-6)


def test_renyis_entropy_has_no_units(samples):
    """It is not Shannon's, which grows by d log a."""
    x = samples["conditional_mutual_information"][0]
    for a in (1e-12, 1e-3, 1e12):
        assert MatrixRenyi().entropy(a * x).value == pytest.approx(MatrixRenyi().entropy(x).value, abs=1e-9)
