"""Refusals are told from crashes: by the error, who raised it, and whether it says anything."""

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.stats import differential_entropy, gaussian_kde
from sklearn.mixture import GaussianMixture
from testing.mutants import kozachenko_leonenko

from itssl import KSG, KozachenkoLeonenko
from itssl.claims.decision import Outcome
from itssl.testing import ConformanceError, check_entropy_estimator
from itssl.testing.checks.refusals import crashed

ONE, FLAT, NAN = np.zeros((1, 1)), np.zeros((20, 1)), np.full((20, 1), np.nan)


def raised(call):
    with pytest.raises(Exception) as info:  # noqa: PT011
        call()
    return info.value


REFUSALS = {
    "ours, NaN": lambda: KozachenkoLeonenko().entropy(NAN),
    "ours, labels": lambda: KSG().mutual_information(np.arange(9), np.arange(9)),
    "scipy, few rows": lambda: differential_entropy(np.zeros(3), window_length=5),
    "scipy, a subspace, as LinAlgError": lambda: gaussian_kde(np.zeros((2, 20))),
    "scikit-learn": lambda: GaussianMixture().fit(NAN),
    "numpy, unequal lengths": lambda: np.zeros(3) + np.zeros(4),
    "torch, unequal lengths": lambda: torch.zeros(3) + torch.zeros(4),
    "assert with words": lambda: exec("assert 2 < 1, 'k must be smaller than the number of rows'"),
    "not implemented": lambda: exec("raise NotImplementedError('one column only')"),
    "ValueError without words": lambda: exec("raise ValueError"),
    "warnings as errors": lambda: exec("raise RuntimeWarning('divide by zero')"),
}
CRASHES = {
    "no such neighbor": lambda: np.sort(ONE, axis=1)[:, 3],
    "no such key": lambda: {}["x"],
    "division": lambda: 1 / len([]),
    "no attribute": lambda: exec("None.shape"),
    "no name": lambda: undefined_name,
    "errstate": lambda: exec(
        "import numpy as np\nwith np.errstate(all='raise'): np.log(np.zeros(1))"
    ),
    "assert without words": lambda: exec("assert False"),
    "exception without words": lambda: exec("raise RuntimeError"),
    "numpy, singular": lambda: np.linalg.inv(np.zeros((2, 2))),
    "numpy, no root": lambda: np.linalg.cholesky(-np.eye(2)),
    "scipy, no root": lambda: scipy.linalg.cholesky(-np.eye(2)),
    "torch, no root": lambda: torch.linalg.cholesky(-torch.eye(2)),
}  # fmt: skip


@pytest.mark.parametrize("call", REFUSALS.values(), ids=REFUSALS)
def test_refusals(call):
    assert not crashed(raised(call))


@pytest.mark.parametrize("call", CRASHES.values(), ids=CRASHES)
def test_crashes(call):
    assert crashed(raised(call))


def test_the_suite_says_so():
    def fragile(x):
        return kozachenko_leonenko(x) + 0 * np.sort(x, axis=0)[3, 0]  # before any guard: an IndexError

    def unguarded(x):
        np.sort(x, axis=0)[3]
        return kozachenko_leonenko(x)

    assert not check_entropy_estimator(fragile, only="one_row", max_dim=2).failures  # the guard comes first
    with pytest.raises(ConformanceError) as info:
        check_entropy_estimator(unguarded, only="one_row", max_dim=2)
    arrived = info.value.report.failures[0].worst[0].arrived
    assert arrived.startswith("IndexError: index 3 is out of bounds for axis 0 with size 1, a crash, not refused")
    assert "declare guards_input=False" in arrived
    declared = check_entropy_estimator(unguarded, only="one_row", max_dim=2, guards_input=False)
    assert declared.findings[0].outcome is Outcome.NOT_APPLICABLE


def test_an_error_of_many_lines_is_told_in_one():
    def talks(x):
        if len(x) < 5:
            raise ValueError("five rows\nor more")
        return kozachenko_leonenko(x)

    case = check_entropy_estimator(talks, only="one_row", max_dim=2).findings[0].cases[0]
    assert case.arrived == "ValueError: five rows"
