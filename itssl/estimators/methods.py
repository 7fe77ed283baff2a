"""One-line front: entropy(x) and mutual_information(x, y) with the estimator chosen by name."""

import importlib
import inspect
import pkgutil
import re
from typing import Any

from itssl.arrays import SamplesLike
from itssl.choices import ParameterError, UnknownNameError, require_known
from itssl.estimate import Estimate


def methods(quantity: str = "entropy") -> dict[str, type]:
    """Names and classes of the estimators that offer ``quantity`` ("entropy" or "mutual_information").

    Collected from the package: every public class of itssl.estimators with such a method.

    >>> sorted(methods("mutual_information"))
    ['gaussian_plugin', 'kozachenko_leonenko', 'ksg', 'pairwise_mixture']
    """
    require_known("quantity", quantity, ["entropy", "mutual_information"])
    package = importlib.import_module("itssl.estimators")
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.name in ("protocols", __name__.rpartition(".")[2]):
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, value in inspect.getmembers(module, inspect.isclass):
            if value.__module__ == module.__name__ and not name.startswith("_") and hasattr(value, quantity):
                found[_snake_case(name)] = value
    return found


def estimator(method: Any, quantity: str, **options: Any) -> Any:
    """The estimator named by ``method`` with ``options`` as its configuration; an estimator object is passed through.

    Raises UnknownNameError for an unknown method, ParameterError for options that it does not take or misses.

    >>> estimator("ksg", "mutual_information", k=3)
    KSG(k=3, variant=1, metric='chebyshev', standardize=True)
    """
    if not isinstance(method, str):
        if not hasattr(method, quantity) or inspect.isclass(method):
            raise UnknownNameError(f"method: expected a name or an estimator with .{quantity}, got {method!r}")
        if options:
            raise ParameterError(f"options: expected none beside a configured estimator, got {sorted(options)}")
        return method
    known = methods(quantity)
    require_known("method", method, known)
    kind = known[method]
    try:
        inspect.signature(kind).bind(**options)
    except TypeError as error:
        raise ParameterError(
            f"{method}: {error}; it is configured as {kind.__name__}{inspect.signature(kind)}"
        ) from None
    return kind(**options)


def entropy(x: SamplesLike, *, method: Any = "kozachenko_leonenko", **options: Any) -> Estimate:
    """Differential entropy of the rows of x in nats, with its error, bias direction and warnings.

    ``method`` is a name (see :func:`methods`; ``options`` go to its configuration) or an estimator object.
    Raises as the estimator does, and UnknownNameError / ParameterError for an unknown method or option.

    >>> import numpy as np
    >>> entropy(np.random.default_rng(0).normal(size=1000), method="gaussian_plugin")
    1.396 ± 0.022 nats (GaussianPlugin(), n=1000)
    """
    return estimator(method, "entropy", **options).entropy(x)


def mutual_information(x: SamplesLike, y: SamplesLike, *, method: Any = "ksg", **options: Any) -> Estimate:
    """Mutual information of paired rows of x and y in nats, with its error, bias direction and warnings.

    ``method`` is a name (see :func:`methods`; ``options`` go to its configuration) or an estimator object.
    Raises as the estimator does, and UnknownNameError / ParameterError for an unknown method or option.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> print(mutual_information(rng.normal(size=500), rng.normal(size=500), method="gaussian_plugin").bias)
    Bias.UNKNOWN
    """
    return estimator(method, "mutual_information", **options).mutual_information(x, y)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
