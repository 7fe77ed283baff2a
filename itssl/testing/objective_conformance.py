"""The conformance suite of self-supervised objectives: what every loss of two views must satisfy."""

from collections.abc import Sequence
from typing import Any

from itssl.testing.checks import objectives, slopes  # noqa: F401  (they register)
from itssl.testing.checks.trial import BUDGET
from itssl.testing.conformance import _checked, _pairs
from itssl.testing.findings import ConformanceReport


def check_objective(
    objective: Any, *, seed: int = 0, profile: str = "ci", only: str | Sequence[str] | None = None, **promises: Any
) -> ConformanceReport:
    """Check a self-supervised objective: a function or module from two views (n, d) of one batch to a scalar loss.

    The views are torch tensors, row i of both from one input; what is returned is the loss, a pair (loss, metrics), or
    a record with ``.total()``. A module is copied to the dtype and device of the views. What the objective promises
    beyond the defaults, or does not promise, is declared: see :class:`~itssl.testing.promises.ObjectivePromises`. All
    checks are exact up to rounding, on one draw of ``seed``; ``profile`` sets along how many directions a gradient is
    compared with differences of losses (1, 2 or 5 a view).

    Returns the report. Raises ConformanceError, which lists all failed checks with lines that repeat them;
    UnknownNameError for a promise, profile or check that is not on offer; SubjectError for what is no objective.

    >>> import torch
    >>> from itssl.testing import ConformanceError
    >>> def cosine(z_a, z_b):                  # 1e-6 beside the norm: rows of length 1e-9 have no direction
    ...     a, b = (z / (z.norm(dim=1, keepdim=True) + 1e-6) for z in (z_a, z_b))
    ...     return 2 - 2 * (a * b).sum(dim=1).mean()
    >>> check_objective(cosine, least_rows=1, only=["gradient", "symmetry", "row_order"]).summary
    'cosine as objective: 3 ok'
    >>> try:
    ...     check_objective(cosine, least_rows=1, scale_invariant=True, only=["gradient", "scale"])
    ... except ConformanceError as error:
    ...     print([finding.check.name for finding in error.report.failures])
    ['scale']
    """
    return _checked("objective", objective, seed, profile, only, BUDGET, promises)


def objective_checks(candidates: Any, *, seed: int = 0, profile: str = "ci", **promises: Any) -> list[Any]:
    """Pairs (objective, check) for ``pytest.mark.parametrize(("objective", "check"), …)``, one test each.

    ``candidates`` is a list, or a mapping from names to objectives. In the test call ``check(objective)``.

    >>> from itssl.objectives import barlow_twins_terms
    >>> [pair.values[1].name for pair in objective_checks({"Barlow Twins": barlow_twins_terms})][:3]
    ['row_order', 'symmetry', 'translation']
    """
    return _pairs("objective", candidates, seed, profile, promises)
