"""One-line front: entropy(x), mutual_information(x, y) and their kin, with the estimator chosen by name."""

import importlib
import inspect
import pkgutil
import re
from typing import Any

from itssl.arrays import SamplesLike, SampleTypeError
from itssl.choices import ParameterError, UnknownNameError, require_known
from itssl.estimate import Estimate

QUANTITIES = ("entropy", "mutual_information", "conditional_mutual_information", "total_correlation", "kl_divergence")


def methods(quantity: str = "entropy") -> dict[str, type]:
    """Names and classes of the estimators that offer ``quantity``, one of :data:`QUANTITIES`.

    Collected from the package: every public class of itssl.estimators with such a method.

    >>> "ksg" in methods("mutual_information"), "ksg" in methods("entropy")
    (True, False)
    """
    require_known("quantity", quantity, QUANTITIES)
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
            names = ", ".join(map(repr, methods(quantity)))
            made = f"; pass {method.__name__}(...), configured" if inspect.isclass(method) else ""
            raise UnknownNameError(
                f"method: expected one of {names}, or an estimator with .{quantity}, got {method!r}{made}"
            )
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
    """Differential entropy h(X) = −∫ p log p [1] in nats of rows x, shape (n, d), with error, bias and warnings.

    ``method`` is a name (see :func:`methods`; ``options`` go to its configuration) or an estimator object. Its warnings
    are those that cost it nothing; :func:`itssl.diagnose` looks for more. Raises as the estimator does, and
    UnknownNameError / ParameterError for an unknown method or option.

    References
    ----------
    [1] Cover & Thomas (2006). Elements of Information Theory, ch. 8. (Of the quantity; the answer has the method's.)

    >>> import numpy as np
    >>> entropy(np.random.default_rng(0).normal(size=1000), method="gaussian_plugin")
    1.396 ± 0.022 nats (GaussianPlugin(), n=1000)
    """
    return estimator(method, "entropy", **options).entropy(x)


def mutual_information(x: SamplesLike, y: Any, *, method: Any = "ksg", **options: Any) -> Estimate:
    """I(X; Y) = D(P_XY‖P_X ⊗ P_Y) [1] in nats of paired rows x (n, d_x) and y (n, d_y), with error, bias and warnings.

    ``method`` is a name (see :func:`methods`; ``options`` go to its configuration) or an estimator object; with
    method="ross" y holds class labels, shape (n,). Raises as the estimator does, and UnknownNameError / ParameterError
    for an unknown method or option.

    References
    ----------
    [1] Cover & Thomas (2006). Elements of Information Theory, ch. 8. (Of the quantity; the answer has the method's.)

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> print(mutual_information(rng.normal(size=500), rng.normal(size=500), method="gaussian_plugin").bias)
    Bias.UNKNOWN
    """
    chosen = estimator(method, "mutual_information", **options)
    try:
        return chosen.mutual_information(x, y)
    except SampleTypeError as error:
        if str(error).startswith("y:"):
            error.add_note('y: for class labels pass method="ross"; itssl.choose(x, y) says what fits')
        raise


def conditional_mutual_information(
    x: SamplesLike, y: SamplesLike, z: SamplesLike, *, method: Any = "gaussian_plugin", **options: Any
) -> Estimate:
    """I(X; Y | Z) = I(X; (Y, Z)) − I(X; Z) in nats of rows drawn together, with its error, bias and warnings.

    x, y and z have shapes (n, d_x), (n, d_y), (n, d_z). ``method``, ``options``, errors and source
    as in :func:`mutual_information`.

    >>> import numpy as np
    >>> z = np.random.default_rng(0).normal(size=(500, 3))
    >>> x, y = z[:, 0] + z[:, 1], z[:, 0] + z[:, 2]  # dependent, but not given what they share
    >>> print(f"{conditional_mutual_information(x, y, z[:, 0]).value:.2f}")
    -0.00
    """
    return estimator(method, "conditional_mutual_information", **options).conditional_mutual_information(x, y, z)


def kl_divergence(x: SamplesLike, y: SamplesLike, *, method: Any = "wang_kulkarni_verdu", **options: Any) -> Estimate:
    """D(P‖Q) = ∫ p log(p/q) in nats from x ~ P, shape (n, d), and y ~ Q, shape (m, d), with its error and warnings.

    The samples are not paired. ``method``, ``options`` and errors as in :func:`mutual_information`. For laws instead of
    samples see :func:`itssl.distributions.kl_divergence`.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> kl_divergence(rng.normal(size=1000), rng.normal(1.0, 1.0, size=1000))     # the truth is 1/2
    0.546 ± 0.045 nats (WangKulkarniVerdu(k=4, metric='euclidean', standardize=True), n=1000)
    """
    return estimator(method, "kl_divergence", **options).kl_divergence(x, y)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
