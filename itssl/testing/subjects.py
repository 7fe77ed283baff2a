"""What the checks see of an estimator: samples in, one answer in nats out, whatever kind of object it is."""

import copy
import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from itssl.arrays import is_torch, on_host, stream
from itssl.choices import require_known
from itssl.estimate import NATS_PER_BIT, Estimate
from itssl.estimators.standardization import canonical_order

Quantity: TypeAlias = Literal["entropy", "mutual_information", "kl_divergence", "objective"]
Units: TypeAlias = Literal["nats", "bits"]


class SubjectError(TypeError):
    """Something that is no estimator of the quantity, or an answer that is no number; with the cure."""


@dataclass(frozen=True)
class Answer:
    """What one call returned: the value in nats, the Estimate if it was one, and the Python warnings heard."""

    value: float
    estimate: Estimate | None = None
    heard: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Codes of the estimate's warnings and the Python warnings, as text."""
        codes = () if self.estimate is None else tuple(w.code for w in self.estimate.warnings)
        return codes + self.heard


@dataclass(frozen=True)
class Subject:
    """An estimator as the checks call it: ``subject(x)`` or ``subject(x, y)`` gives an :class:`Answer` in nats.

    ``code`` and ``imports`` are how to write the estimator in Python, for lines that repeat a failure.

    >>> half_a_bit = as_subject(lambda x: 0.5, "entropy", units="bits")
    >>> print(f"{half_a_bit(np.zeros((3, 1))).value:.4f}")
    0.3466
    """

    ask: Callable[..., Any]
    quantity: Quantity
    units: Units = "nats"
    code: str = "estimator"
    imports: tuple[str, ...] = ()

    def __call__(self, *samples: Any) -> Answer:
        """The answer for these samples; whatever the estimator raises passes. Raises SubjectError for no number."""
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            returned = self.ask(*samples)
        said = tuple(f"{w.category.__name__}: {w.message}" for w in heard)
        if not isinstance(returned, Estimate):
            return Answer(_number(returned) * (NATS_PER_BIT if self.units == "bits" else 1.0), heard=said)
        if returned.units == "bits":
            size = {"value": returned.value * NATS_PER_BIT, "standard_error": returned.standard_error * NATS_PER_BIT}
            returned = replace(returned, units="nats", **size)
        return Answer(returned.value, returned, said)


def as_subject(estimator: Any, quantity: Quantity, *, units: Units = "nats") -> Subject:
    """The estimator as a Subject: an object with ``.entropy`` (``.mutual_information``), or a plain function.

    A function takes x of shape (n, d), or x and y, and returns a number in ``units``, or an Estimate, which names its
    units itself. Raises SubjectError for a class that was not configured, and for what cannot be called.

    >>> from itssl import KSG
    >>> as_subject(KSG(k=3), "mutual_information").code
    "KSG(k=3, variant=1, metric='chebyshev', standardize=True)"
    >>> as_subject(KSG, "mutual_information")
    Traceback (most recent call last):
    ...
    itssl.testing.subjects.SubjectError: estimator: expected a configured estimator or a function, got the class KSG; \
pass KSG(...)
    """
    require_known("units", units, ["nats", "bits"])
    if isinstance(estimator, Subject):
        if estimator.quantity != quantity:
            raise SubjectError(f"estimator: expected one of {quantity}, got one of {estimator.quantity}")
        return estimator if units == "nats" else replace(estimator, units=units)
    if inspect.isclass(estimator):
        name = estimator.__name__
        raise SubjectError(
            f"estimator: expected a configured estimator or a function, got the class {name}; pass {name}(...)"
        )
    ask = getattr(estimator, quantity, None)
    if not callable(ask):
        ask = estimator
    if not callable(ask):
        model = hasattr(estimator, "score_samples")
        cure = "use from_density_model(model)" if model else f"pass a function, or an object with .{quantity}"
        what = "objective" if quantity == "objective" else f"estimator of {quantity}"
        raise SubjectError(f"estimator: expected an {what}, got {type(estimator).__name__}; {cure}")
    code, imports = written(estimator)
    code = "objective" if (code, quantity) == ("estimator", "objective") else code
    return Subject(ask, quantity, units, code, imports)


def from_density_model(model: Any, *, name: str = "") -> Subject:
    r"""Entropy from a density model with ``fit(x)`` and ``score_samples(x)``: :math:`-\frac1n\sum_i\log\hat p_i(x_i)`.

    p̂_i is a copy of the model fitted to the half of the rows without row i; the halves follow from the values of the
    rows, not from their order. Given the other half, the expectation is the cross-entropy h(X) + D(p‖p̂_i) ≥ h(X): an
    upper bound.

    >>> from sklearn.mixture import GaussianMixture
    >>> x = np.random.default_rng(0).normal(size=(2000, 1))
    >>> print(f"{from_density_model(GaussianMixture())(x).value:.2f} of {0.5 * np.log(2 * np.pi * np.e):.2f}")
    1.42 of 1.42
    """

    def entropy(x: Any) -> float:
        x = np.asarray(x, dtype=float).reshape(len(x), -1)
        halves = np.array_split(canonical_order(x)[stream(0, "halves", len(x)).permutation(len(x))], 2)
        scores = [
            copy.deepcopy(model).fit(x[np.sort(fitted)]).score_samples(x[np.sort(scored)])
            for fitted, scored in (halves, halves[::-1])
        ]
        return -float(np.concatenate(scores).mean())

    code, imports = written(model)
    imports = (*imports, "from itssl.testing import from_density_model")
    return Subject(entropy, "entropy", "nats", name or f"from_density_model({code})", imports)


def from_feature_scores(scores: Callable[..., Any], **options: Any) -> Subject:
    """Mutual information from ``scores(X, y)``, one number for each column of X, as scikit-learn's selectors give it.

    Both variables have one column; ``options`` go to ``scores``. Declare ``max_dim=1``.

    >>> from sklearn.feature_selection import mutual_info_regression
    >>> from_feature_scores(mutual_info_regression, random_state=0).code
    'from_feature_scores(mutual_info_regression, random_state=0)'
    """

    def mutual_information(x: Any, y: Any) -> Any:
        return scores(np.reshape(x, (len(x), -1)), np.reshape(y, -1), **options)

    code, imports = written(scores)
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    imports = (*imports, "from itssl.testing import from_feature_scores")
    return Subject(mutual_information, "mutual_information", "nats", f"from_feature_scores({code}{given})", imports)


def written(thing: Any) -> tuple[str, tuple[str, ...]]:
    """How to write a function or configured object in Python, and the imports that this needs.

    A function that cannot be imported goes by its name, which is known where it was defined; what has no name, such as
    a lambda, is called ``estimator``.

    >>> written(np.linalg.slogdet)
    ('slogdet', ('from numpy.linalg import slogdet',))
    >>> written(lambda x: x)
    ('estimator', ())
    """
    if isinstance(thing, functools.partial):
        code, imports = written(thing.func)
        options = "".join(f", {key}={value!r}" for key, value in thing.keywords.items())
        arguments = "".join(f", {value!r}" for value in thing.args)
        if code == "estimator":
            return code, ()
        return f"partial({code}{arguments}{options})", (*imports, "from functools import partial")
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    name, module = named.__qualname__, named.__module__ or "__main__"  # None: made by exec
    public = module.partition("._")[0]
    if getattr(sys.modules.get(public), name, None) is named:
        module = public
    if getattr(sys.modules.get(module), name, None) is not named:
        local = named.__name__
        return local if named is thing and local.isidentifier() else "estimator", ()
    imports = () if module in ("__main__", "builtins") else (f"from {module} import {name}",)
    if named is thing:
        return name, imports
    shown = repr(thing)
    described = is_dataclass(thing) or hasattr(thing, "get_params")
    return (shown, imports) if described and shown.startswith(f"{name}(") and "\n" not in shown else ("estimator", ())


def _number(returned: Any) -> float:
    """One real number: a float, or an array or tensor that holds one."""
    try:
        array = np.asarray(on_host(returned) if is_torch(returned) else returned)
    except (ValueError, TypeError):
        array = np.empty(0, dtype=object)
    if array.size != 1 or array.dtype.kind not in "fiu":
        what = f"shape {array.shape}" if array.size and array.dtype.kind in "fiu" else type(returned).__name__
        cure = "an estimator of one column is declared by max_dim=1" if array.size > 1 else "return the value alone"
        raise SubjectError(f"answer: expected one real number or an Estimate, got {what}; {cure}")
    return float(array.reshape(()))
