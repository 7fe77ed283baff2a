"""Every estimator and objective of itssl keeps what it declares in `declarations`; a new one without one fails by name.

The exact checks and the rules of conduct of all of them; statistical ones where an estimator is right on all laws of
the suite, within its margins.
"""

from dataclasses import replace

import pytest
from testing.declarations import CATALOGUE, DECLARED, FEWER_ROWS, OBJECTIVE, SEARCHING
from testing.own_suite import SUITES, exact_checks, fresh

from itssl.estimators.methods import QUANTITIES as ALL_QUANTITIES
from itssl.estimators.methods import methods
from itssl.testing.checks.trial import registered
from itssl.testing.subjects import Quantity

QUANTITIES = set(ALL_QUANTITIES) - {"conditional_mutual_information", "total_correlation"}
"""Those that have a suite."""
RIGHT_ON_ALL_LAWS: dict[Quantity, tuple[str, ...]] = {
    "entropy": ("gaussian_plugin", "kozachenko_leonenko"),
    "mutual_information": ("gaussian_plugin", "ksg"),
    "kl_divergence": ("gaussian_plugin", "wang_kulkarni_verdu", "wang_kulkarni_verdu, in its units"),
}
UNPROMISED = {
    "reference", "device", "k_counts", "scale", "own_units", "symmetry", "atom", "rotation", "linear_map",
    "translation", "disjoint_support", "prevents_collapse", "row_order", "gradient", "wide", "collapse",
}  # fmt: skip
"""Checks that some declaration does not promise, or that need a device."""
SECONDS = """
import json, time
from itssl import KSG, KozachenkoLeonenko
from itssl.testing import check_entropy_estimator, check_mutual_information_estimator
out = {}
for check, estimator in ((check_entropy_estimator, KozachenkoLeonenko()), (check_mutual_information_estimator, KSG())):
    for profile in ("dev", "ci"):
        start = time.process_time()
        check(estimator, profile=profile)
        out.setdefault(profile, []).append(time.process_time() - start)
print(json.dumps(out))
"""


@pytest.mark.parametrize("quantity", sorted(QUANTITIES))
def test_no_estimator_is_without_a_declaration(quantity):
    assert sorted(name for name in DECLARED[quantity] if "," not in name) == sorted(methods(quantity))
    for made in DECLARED[quantity].values():
        assert set(registered(quantity)).issuperset(made.left_out)


def test_no_quantity_and_no_objective_is_missing():
    assert DECLARED.keys() - {"objective"} == QUANTITIES
    assert {f"catalogue, {name}" for name in CATALOGUE} | set(FEWER_ROWS) == set(OBJECTIVE)


def test_what_is_declared_is_kept():
    """What fails is said with the lines that repeat it; what is not checked has its reason in a promise."""
    answer = fresh("-m", "testing.own_suite")
    found = answer["found"]
    said = "\n\n".join(f"{name}\n{made['said']}" for name, made in found.items() if made["said"])
    assert not said, said
    assert len(found) == sum(map(len, DECLARED.values())) + len(FEWER_ROWS) >= 95
    for made in found.values():
        assert set(made["outcomes"].values()) <= {"HOLDS", "NOT_APPLICABLE"}
        assert made["reasons"].keys() <= UNPROMISED
    assert answer["refused"] == [
        "units: expected one of 'nats', 'bits', got 'bans'",
        "family: expected one of 'any', 'gaussian', got 'normal'",
        "memory: expected one of 'linear', 'quadratic', got 'cubic'",
        "stop_gradient: expected one of 'none', 'view_a', 'view_b', 'targets', got 'both'",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("quantity", SEARCHING)
def test_mixtures_whose_components_are_counted(quantity):
    """Type checks draw from `random`."""
    made = exact_checks(quantity, replace(SEARCHING[quantity], left_out=("global_state",)))
    assert not made["said"], made["said"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantity", "name", "check"),
    [
        pytest.param(quantity, name, check.name, id=f"{quantity}-{name}-{check.name}")
        for quantity, names in RIGHT_ON_ALL_LAWS.items()
        for name in names
        for check in registered(quantity).values()
        if check.kind == "statistical" or check.name == "memory"
    ],
)
def test_statistical_laws_hold_and_memory_is_linear(quantity, name, check):
    made = DECLARED[quantity][name]
    assert not SUITES[quantity](made.estimator, only=check, **made.promises).inconclusive


@pytest.mark.slow
def test_one_estimator_takes_seconds():
    """Of the processor, with nearest neighbors: below 5 and 30."""
    seconds = fresh("-c", SECONDS)
    assert max(seconds["dev"]) < 5
    assert max(seconds["ci"]) < 30
