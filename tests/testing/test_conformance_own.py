"""Every estimator of itssl keeps what it declares in `declarations`; a new one without a declaration fails by name.

The exact checks and the rules of conduct; statistical ones of three estimators in `test_conformance_estimators`, and of
divergences in `test_conformance_divergence`.
"""

import pytest
from testing.declarations import DECLARED

from itssl.estimators.methods import QUANTITIES, methods
from itssl.testing import check_divergence_estimator, check_entropy_estimator, check_mutual_information_estimator
from itssl.testing.checks.trial import registered

CHECKED = {
    "entropy": check_entropy_estimator,
    "mutual_information": check_mutual_information_estimator,
    "kl_divergence": check_divergence_estimator,
}
NO_SUITE = {"conditional_mutual_information", "total_correlation"}
ELSEWHERE = {"global_state", "device", "memory"}
"""Type checks draw from `random`; the other two are those of `test_conformance_precision` and `…_memory`."""
ALL = [(quantity, name) for quantity, table in DECLARED.items() for name in table]


@pytest.mark.parametrize("quantity", DECLARED)
def test_no_estimator_is_without_a_declaration(quantity):
    assert sorted(DECLARED[quantity]) == sorted(methods(quantity))
    known = set(registered(quantity))
    for made in DECLARED[quantity].values():
        assert known.issuperset(made.left_out)


def test_no_quantity_is_missing():
    assert set(QUANTITIES) == set(DECLARED) | NO_SUITE


@pytest.mark.slow
@pytest.mark.parametrize(("quantity", "name"), ALL, ids=["-".join(pair) for pair in ALL])
def test_conforms(quantity, name):
    made = DECLARED[quantity][name]
    left_out = ELSEWHERE | {*made.left_out}
    checks = registered(quantity).values()
    only = [check.name for check in checks if check.kind != "statistical" and check.name not in left_out]
    assert not CHECKED[quantity](made.estimator, only=only, **made.promises).inconclusive
