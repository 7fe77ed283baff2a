"""An estimator as scikit-learn's tools take one: fit, score, get_params, set_params; scikit-learn itself is not loaded.

``cross_val_score``, ``GridSearchCV`` and ``Pipeline`` ask for methods, not for a base class.
"""

import copy
from dataclasses import fields, is_dataclass, replace
from typing import Any

from itssl.arrays import SamplesLike
from itssl.choices import ParameterError, require_known
from itssl.estimate import Estimate
from itssl.estimators.methods import estimator as find_estimator

SCORED = ("mutual_information", "entropy", "total_correlation")


class ScoredEstimator:
    """What an estimator measures on given rows, as their score: in nats, and larger for more of it.

    ``score(x, y)`` is I(X; Y) of the rows, or the entropy or total correlation of x alone. It is the bare value, bias
    included: an upper or lower bound stays one, infinite entropies stay infinite. Comparing scores makes sense between
    folds of one size and, where neighbors are counted, of one dimension; entropy also grows with the units of x. To
    prefer less of it pass ``scoring=lambda fitted, x, y=None: -fitted.score(x, y)``.

    Estimators have nothing to learn that would carry over to other rows: ``fit`` measures the training rows and keeps
    the answer as ``estimate_``, with its error and warnings; ``score`` measures its own rows from the start. In a
    pipeline whatever stands before is fitted on the training rows, so the score says what held-out rows keep.

    Parameters
    ----------
    estimator: an estimator or its name, see :func:`itssl.estimators.methods.methods`. The fields of an estimator are
        parameters to search over: ``estimator__k``.
    quantity: "mutual_information", "entropy" or "total_correlation".

    Raises
    ------
    UnknownNameError, from ``fit`` and ``score``: an unknown name or quantity.
    ParameterError: y missing where information is asked for; from ``set_params`` an unknown parameter.
    SampleError: rows that the estimator refuses.

    References
    ----------
    [1] Pedregosa et al. (2011). Scikit-learn: machine learning in Python. J. Mach. Learn. Res. 12, 2825-2830.

    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(900, 1))
    >>> y = x + rng.normal(size=(900, 1))  # the truth: ½ log 2 = 0.35
    >>> cross_val_score(ScoredEstimator("gaussian_plugin"), x, y, cv=3).round(2)
    array([0.37, 0.32, 0.28])
    """

    def __init__(self, estimator: Any = "ksg", quantity: str = "mutual_information") -> None:
        self.estimator = estimator  # as they came: clones are compared by identity
        self.quantity = quantity

    def fit(self, x: SamplesLike, y: Any = None) -> "ScoredEstimator":
        """Measure the rows, x of shape (n, d); returns the object itself, with ``estimate_`` and ``n_features_in_``."""
        self.estimate_ = self.measure(x, y)
        shape = getattr(x, "shape", None) or (len(x), len(x[0]) if hasattr(x[0], "__len__") else 1)
        self.n_features_in_ = int(shape[1]) if len(shape) > 1 else 1
        return self

    def score(self, x: SamplesLike, y: Any = None) -> float:
        """The value on these rows, x of shape (n, d), in nats; larger is more."""
        return self.measure(x, y).value

    def measure(self, x: SamplesLike, y: Any = None) -> Estimate:
        """The estimate behind :meth:`score`, in nats, with error, bias direction and warnings; x of shape (n, d).

        y is not looked at where the quantity is one of x alone. Raises what the class says.
        """
        require_known("quantity", self.quantity, SCORED)
        measure = getattr(find_estimator(self.estimator, self.quantity), self.quantity)
        if self.quantity != "mutual_information":
            return measure(x)
        if y is None:
            raise ParameterError("y: expected rows paired with x, got none; pass y, or quantity='entropy'")
        return measure(x, y)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """``estimator`` and ``quantity``; deep, also the fields of an estimator, as ``estimator__k``."""
        return {"estimator": self.estimator, "quantity": self.quantity} | (self._fields() if deep else {})

    def set_params(self, **params: Any) -> "ScoredEstimator":
        """Set parameters by the names of :meth:`get_params`; fields of an estimator by replacing it."""
        own = {name: params.pop(name) for name in ("estimator", "quantity") if name in params}
        for name, value in own.items():
            setattr(self, name, value)
        unknown = sorted(params.keys() - self._fields().keys())
        if unknown:
            known = ", ".join(self.get_params())
            cure = "; pass an estimator instead of its name" if isinstance(self.estimator, str) else ""
            raise ParameterError(f"params: expected some of {known}, got {', '.join(unknown)}{cure}")
        if params:
            self.estimator = replace(self.estimator, **{n.partition("__")[2]: v for n, v in params.items()})
        return self

    def _fields(self) -> dict[str, Any]:
        if not is_dataclass(self.estimator) or isinstance(self.estimator, type):
            return {}
        return {f"estimator__{f.name}": getattr(self.estimator, f.name) for f in fields(self.estimator) if f.init}

    def __sklearn_clone__(self) -> "ScoredEstimator":
        return ScoredEstimator(copy.deepcopy(self.estimator), self.quantity)

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator

        tags: Any = BaseEstimator().__sklearn_tags__()
        tags.target_tags.required = self.quantity == "mutual_information"
        return tags

    def __repr__(self) -> str:
        return f"ScoredEstimator({self.estimator!r}, {self.quantity!r})"
