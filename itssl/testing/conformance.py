"""The conformance suites: what every estimator of an information quantity must satisfy, in one call.

Each check tests a law of information, or a rule of conduct towards the caller's arrays and settings. A report lists
what held, what failed and how to repeat it, what the draws could not decide, and what did not apply.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import SkipTest

from itssl.choices import ParameterError, require_known
from itssl.claims.decision import Outcome
from itssl.testing.checks import (  # noqa: F401  (they register)
    degenerate,
    divergences,
    errors,
    inputs,
    invariances,
    memory,
    precision,
    statistics,
)
from itssl.testing.checks.trial import BUDGET, CallError, NotPromisedError, Trial, registered
from itssl.testing.findings import Case, Check, ConformanceReport, Finding, worst_of
from itssl.testing.promises import (
    Declared,
    DivergencePromises,
    EntropyPromises,
    InformationPromises,
    ObjectivePromises,
    Profile,
    profile_named,
)
from itssl.testing.subjects import Quantity, as_subject, written

_PROMISES: dict[Quantity, type[Declared]] = {
    "entropy": EntropyPromises, "mutual_information": InformationPromises, "kl_divergence": DivergencePromises,
    "objective": ObjectivePromises,
}  # fmt: skip
_FUNCTIONS: dict[Quantity, str] = {
    "entropy": "check_entropy_estimator", "mutual_information": "check_mutual_information_estimator",
    "kl_divergence": "check_divergence_estimator", "objective": "check_objective",
}  # fmt: skip
_USED_BY = {"with_k": "k_counts", "reference": "reference"}
"""Promises that one check alone looks at: lines that repeat another one do without them."""


def check_entropy_estimator(
    estimator: Any,
    *,
    seed: int = 0,
    profile: str = "ci",
    only: str | Sequence[str] | None = None,
    false_alarm_rate: float = BUDGET,
    **promises: Any,
) -> ConformanceReport:
    """Check an estimator of differential entropy against the laws of information.

    ``estimator`` is a function from x of shape (n, d) to a number, an object with ``.entropy``, or what
    :func:`~itssl.testing.subjects.from_density_model` makes of a density model. What it does not promise is declared:
    see :class:`~itssl.testing.promises.EntropyPromises`. ``profile`` is "dev" (seconds), "ci" or "hunt" (minutes);
    ``only`` names the checks to run. A correct estimator fails with probability at most ``false_alarm_rate``, shared
    equally by the statistical checks; the exact ones allow for rounding on one draw. Draws that decide nothing are
    reported as inconclusive, which is no failure, and no pass.

    Returns the report. Raises ConformanceError, which lists all failed checks with lines that repeat them;
    UnknownNameError for a promise, profile or check that is not on offer; ParameterError for a rate outside (0, 1) and
    no checks; SubjectError for what is no estimator.

    >>> import numpy as np
    >>> from itssl.testing import ConformanceError
    >>> def spacings(x):                       # Euler's constant is forgotten
    ...     x = np.sort(np.ravel(x))
    ...     return np.log(np.diff(x)).mean() + np.log(len(x))
    >>> check_entropy_estimator(spacings, max_dim=1, only="scale").summary
    'spacings as entropy: 1 ok'
    >>> try:
    ...     check_entropy_estimator(spacings, max_dim=1, only=["truth", "scale"])
    ... except ConformanceError as error:
    ...     print([finding.check.name for finding in error.report.failures])
    ['truth']
    """
    return _checked("entropy", estimator, seed, profile, only, false_alarm_rate, promises)


def check_mutual_information_estimator(
    estimator: Any,
    *,
    seed: int = 0,
    profile: str = "ci",
    only: str | Sequence[str] | None = None,
    false_alarm_rate: float = BUDGET,
    **promises: Any,
) -> ConformanceReport:
    """Check an estimator of mutual information: a function of x and y, or an object with ``.mutual_information``.

    All else, errors too, as in :func:`check_entropy_estimator`; promises in
    :class:`~itssl.testing.promises.InformationPromises`.

    >>> import numpy as np
    >>> from itssl.testing import ConformanceError
    >>> def from_correlation(x, y):
    ...     return -0.5 * np.log2(1 - np.corrcoef(x, y)[0, 1] ** 2)
    >>> try:
    ...     check_mutual_information_estimator(from_correlation, family="gaussian", max_dim=1, only="truth")
    ... except ConformanceError as error:
    ...     print(error.report.failures[0].worst[0].arrived.partition(' (')[2])
    as in bits: declare units='bits')
    """
    return _checked("mutual_information", estimator, seed, profile, only, false_alarm_rate, promises)


def check_divergence_estimator(
    estimator: Any,
    *,
    seed: int = 0,
    profile: str = "ci",
    only: str | Sequence[str] | None = None,
    false_alarm_rate: float = BUDGET,
    **promises: Any,
) -> ConformanceReport:
    """Check an estimator of D(P‖Q): a function of samples x of P and y of Q, or an object with ``.kl_divergence``.

    x has shape (n, d) and y (m, d) with m ≠ n, for rows are no pairs. All else as in :func:`check_entropy_estimator`;
    promises in :class:`~itssl.testing.promises.DivergencePromises`.

    >>> import numpy as np
    >>> from itssl.testing import ConformanceError
    >>> def of_normals(x, y):                  # the mean of y is taken for that of x
    ...     s, t = np.var(x, ddof=1), np.var(y, ddof=1)
    ...     return 0.5 * (s / t - 1 - np.log(s / t))
    >>> try:
    ...     check_divergence_estimator(of_normals, family="gaussian", max_dim=1, only=["translation", "truth"])
    ... except ConformanceError as error:
    ...     print(error.report.failures[0].worst[0])
    N(1, 1/4) from N(0, 9/4): expected a mean answer to 400 rows of 0.8764 ± 0.127, got 0.6463 ± 0.0080 over 32 samples
    """
    return _checked("kl_divergence", estimator, seed, profile, only, false_alarm_rate, promises)


@dataclass(frozen=True, kw_only=True)
class BoundCheck:
    """A check with all it needs but the estimator; calling it on one raises ConformanceError where it fails.

    What is not applicable, or inconclusive, raises SkipTest, which test runners report as a skip with its reason.
    """

    check: Check
    promises: Declared
    profile: Profile
    seed: int
    false_alarm_rate: float

    @property
    def name(self) -> str:
        """That of the check."""
        return self.check.name

    def __repr__(self) -> str:
        return self.check.name

    def run(self, estimator: Any, *, heard: dict[Any, set[str]] | None = None) -> Finding:
        """What the check finds; raises nothing that the estimator did.

        Checks of one estimator may share ``heard``, what it says of ordinary samples, so as to ask but once.
        """
        start = time.perf_counter()
        rate = self.check.false_alarm_rate * self.false_alarm_rate / BUDGET
        trial = Trial(
            check=self.check, estimator=estimator, promises=self.promises, profile=self.profile, seed=self.seed,
            rate=rate, heard={} if heard is None else heard,
        )  # fmt: skip
        cases: list[Case] = []
        reason = ""
        try:
            trial.needs(
                self.check.kind != "exact" or self.promises.repeatable,
                "deterministic=False: answers vary from call to call; pass with_seed to compare them",
            )
            for case in self.check.function(trial):  # one by one: what was found before an error counts
                cases.append(case)
        except NotPromisedError as left_out:
            reason = str(left_out)
        except CallError as error:
            cases.append(error.case)
        return Finding(
            check=self.check, outcome=worst_of(tuple(cases)), cases=tuple(cases), reason=reason, seed=self.seed,
            reproduce=self._reproduce(estimator), seconds=time.perf_counter() - start,
        )  # fmt: skip

    def __call__(self, estimator: Any) -> None:
        finding = self.run(estimator)
        if finding.outcome in (Outcome.NOT_APPLICABLE, Outcome.UNDECIDED):
            raise SkipTest(str(finding))
        _report((finding,), estimator, self.check.quantity, self).require()

    def _reproduce(self, estimator: Any) -> str:
        """Two lines of Python: the imports, and the call."""
        subject = as_subject(estimator, self.check.quantity)
        function, options, imports = _FUNCTIONS[self.check.quantity], [], [*subject.imports]
        for name, value in self.promises.given().items():
            if _USED_BY.get(name, self.check.name) != self.check.name:
                continue
            code, needed = _written_promise(name, value)
            options.append(f"{name}={code}")
            imports += needed
        options += [f"seed={self.seed}", f'profile="{self.profile.name}"', f'only="{self.check.name}"']
        if self.false_alarm_rate != BUDGET:
            options.append(f"false_alarm_rate={self.false_alarm_rate!r}")
        lines = dict.fromkeys([f"from itssl.testing import {function}", *imports])
        return f"{'; '.join(lines)}\n{function}({', '.join([subject.code, *options])})"


def entropy_estimator_checks(estimators: Any, *, seed: int = 0, profile: str = "ci", **promises: Any) -> list[Any]:
    """Pairs (estimator, check) for ``pytest.mark.parametrize(("estimator", "check"), …)``, one test each.

    ``estimators`` is a list, or a mapping from names to estimators. In the test call ``check(estimator)``.
    Raises ParameterError for what is neither, else as :func:`check_entropy_estimator`.

    >>> from itssl import KozachenkoLeonenko
    >>> pairs = entropy_estimator_checks([KozachenkoLeonenko(k=3)], rotation_invariant=True)
    >>> pairs[0].id
    "KozachenkoLeonenko(k=3, metric='euclidean')-row_order"
    """
    return _pairs("entropy", estimators, seed, profile, promises)


def mutual_information_estimator_checks(
    estimators: Any, *, seed: int = 0, profile: str = "ci", **promises: Any
) -> list[Any]:
    """Pairs (estimator, check) as in :func:`entropy_estimator_checks`; errors as in :func:`check_entropy_estimator`.

    >>> from itssl import KSG
    >>> [pair.values[1].name for pair in mutual_information_estimator_checks({"ksg": KSG()})][:3]
    ['row_order', 'translation', 'scale']
    """
    return _pairs("mutual_information", estimators, seed, profile, promises)


def divergence_estimator_checks(estimators: Any, *, seed: int = 0, profile: str = "ci", **promises: Any) -> list[Any]:
    """Pairs (estimator, check) as in :func:`entropy_estimator_checks`.

    Raises ParameterError, SubjectError and UnknownNameError as it does.

    >>> from itssl.estimators import WangKulkarniVerdu
    >>> [pair.values[1].name for pair in divergence_estimator_checks({"neighbors": WangKulkarniVerdu()})][:3]
    ['row_order', 'translation', 'scale']
    """
    return _pairs("kl_divergence", estimators, seed, profile, promises)


def _checked(
    quantity: Quantity, estimator: Any, seed: int, profile: str, only: Any, rate: float, promises: dict[str, Any]
) -> ConformanceReport:
    bound = _bound(quantity, seed, profile, only, rate, promises)
    as_subject(estimator, quantity)
    heard: dict[Any, set[str]] = {}
    findings = tuple(check.run(estimator, heard=heard) for check in bound)
    report = _report(findings, estimator, quantity, bound[0])
    report.require()
    return report


def _bound(
    quantity: Quantity, seed: int, profile: str, only: Any, rate: float, promises: dict[str, Any]
) -> list[BoundCheck]:
    known = registered(quantity)
    names = list(known) if only is None else [only] if isinstance(only, str) else list(only)
    for name in names:
        require_known("only", name, known)
    if not 0 < rate < 1:
        raise ParameterError(f"false_alarm_rate: expected a number between 0 and 1, got {rate!r}")
    if not names:
        raise ParameterError("only: expected names of checks, got none")
    promised, chosen = _PROMISES[quantity].of(promises), profile_named(profile)
    return [
        BoundCheck(check=known[name], promises=promised, profile=chosen, seed=seed, false_alarm_rate=rate)
        for name in names
    ]


def _pairs(quantity: Quantity, estimators: Any, seed: int, profile: str, promises: dict[str, Any]) -> list[Any]:
    import pytest

    named: Iterable[tuple[str, Any]]
    if isinstance(estimators, Mapping):
        named = estimators.items()
    else:
        if not isinstance(estimators, Iterable):
            raise ParameterError(f"estimators: expected a list or a mapping of names, got {type(estimators).__name__}")
        named = [(as_subject(estimator, quantity).code, estimator) for estimator in estimators]
    checks = _bound(quantity, seed, profile, None, BUDGET, promises)
    return [pytest.param(made, check, id=f"{name}-{check.name}") for name, made in named for check in checks]


def _report(findings: tuple[Finding, ...], estimator: Any, quantity: Quantity, bound: BoundCheck) -> ConformanceReport:
    return ConformanceReport(
        estimator=as_subject(estimator, quantity).code, quantity=quantity, findings=findings, seed=bound.seed,
        profile=bound.profile.name, false_alarm_rate=bound.false_alarm_rate,
    )  # fmt: skip


def _written_promise(name: str, value: Any) -> tuple[str, tuple[str, ...]]:
    """A promise in Python, and the imports it needs; what cannot be written goes by its name, as it was passed."""
    if not callable(value) and name != "reference":
        return _shown(value), _needed(value)
    code, imports = written(value)
    if code == "estimator" and name in ("with_k", "with_seed"):
        code, imports = _written_maker(value, name.removeprefix("with_"))
    return (name, ()) if code == "estimator" else (code, imports)


def _written_maker(make: Any, argument: str, *, example: int = 7919) -> tuple[str, tuple[str, ...]]:
    """A function of one number as a lambda, where what it makes of the example shows that number once.

    >>> from itssl import KSG
    >>> _written_maker(lambda k: KSG(k=k), "k")[0]
    "lambda k: KSG(k=k, variant=1, metric='chebyshev', standardize=True)"
    """
    try:
        code, imports = written(make(example))
    except Exception:  # of the user's code, which may not like the example
        return "estimator", ()
    shown = f"{argument}={example}"
    if code.count(shown) != 1 or code.count(str(example)) != 1:
        return "estimator", ()
    return f"lambda {argument}: {code.replace(shown, f'{argument}={argument}')}", imports


def _shown(value: Any) -> str:
    return str(value) if hasattr(value, "name") and hasattr(value, "value") else repr(value)


def _needed(value: Any) -> tuple[str, ...]:
    """The import that an enumeration's member needs."""
    kind = type(value)
    return (f"from {kind.__module__} import {kind.__name__}",) if _shown(value) != repr(value) else ()
