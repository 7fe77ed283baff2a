"""Public packages as the suite calls them: x, or x and y, of shape (n, d) in, a number out; nothing is made better.

Each function imports its package itself, for every package lives in an environment of its own. k = 4 wherever there is
a choice, so that no two differ by it. What a package promises is declared in peers.py.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np


def seeded(function: Callable[..., Any], seed: int) -> Callable[..., Any]:
    """The function after numpy's global generator was seeded: for packages that draw their noise from it."""

    def call(*samples: Any) -> Any:
        np.random.seed(seed % 2**32)  # noqa: NPY002
        return function(*samples)

    return call


def joined(x: Any, y: Any) -> Any:
    """Both variables in one array, and the columns of each, for packages that take indices."""
    d = np.shape(x)[1]
    return np.hstack([x, y]), list(range(d)), list(range(d, d + np.shape(y)[1]))


# In the environment of itssl


def scikit_learn_mi(x: Any, y: Any, k: int = 4) -> Any:
    from sklearn.feature_selection import mutual_info_regression

    return mutual_info_regression(np.reshape(x, (-1, 1)), y, n_neighbors=k, random_state=0)


def scipy_auto(x: Any) -> Any:
    from scipy.stats import differential_entropy

    return differential_entropy(x)


def scipy_vasicek(x: Any) -> Any:
    from scipy.stats import differential_entropy

    return differential_entropy(x, method="vasicek")


def scipy_van_es(x: Any) -> Any:
    from scipy.stats import differential_entropy

    return differential_entropy(x, method="van es")


def scipy_ebrahimi(x: Any) -> Any:
    from scipy.stats import differential_entropy

    return differential_entropy(x, method="ebrahimi")


def scipy_correa(x: Any) -> Any:
    from scipy.stats import differential_entropy

    return differential_entropy(x, method="correa")


# Nearest neighbors


def npeet_mi(x: Any, y: Any, k: int = 4) -> Any:
    from npeet_plus import mi

    return mi(x, y, k=k)


def npeet_entropy(x: Any, k: int = 4) -> Any:
    from npeet_plus import entropy

    return entropy(x, k=k)


def infomeasure_mi(x: Any, y: Any, k: int = 4) -> Any:
    import infomeasure

    return infomeasure.mutual_information(x, y, approach="ksg", k=k, noise_level=0, base="e")


def infomeasure_entropy(x: Any, k: int = 4) -> Any:
    import infomeasure

    return infomeasure.entropy(x, approach="metric", k=k, noise_level=0, base="e")


def ennemi_mi(x: Any, y: Any, k: int = 4) -> Any:
    import ennemi

    return ennemi.estimate_mi(y, x, k=k, max_threads=1)


def ennemi_entropy(x: Any, k: int = 4) -> Any:
    import ennemi

    return ennemi.estimate_entropy(x, k=k, multidim=True)


def brodersen_mi(x: Any, y: Any, k: int = 4) -> Any:
    from entropy_estimators.continuous import get_mi

    return get_mi(x, y, k=k)


def brodersen_entropy(x: Any, k: int = 4) -> Any:
    from entropy_estimators.continuous import get_h

    return get_h(x, k=k)


def brodersen_entropy_euclidean(x: Any, k: int = 4) -> Any:
    from entropy_estimators.continuous import get_h

    return get_h(x, k=k, norm="euclidean")


def unite_mi(x: Any, y: Any, k: int = 4) -> Any:
    from unite_toolbox.knn_estimators import calc_knn_mutual_information

    return calc_knn_mutual_information(x, y, k=k)


def unite_entropy(x: Any, k: int = 4) -> Any:
    from unite_toolbox.knn_estimators import calc_knn_entropy

    return calc_knn_entropy(x, k=k)


def nn_info_mi(x: Any, y: Any, k: int = 4) -> Any:
    from nn_info.estimators import KSG

    return KSG((x, y), k=k)


def nn_info_entropy_1(x: Any) -> Any:
    from nn_info.estimators import entropy

    return entropy(x)


def nn_info_entropy_4(x: Any, k: int = 4) -> Any:
    from nn_info.estimators import entropy

    return entropy(x, k=k)


def infopy_mi(x: Any, y: Any, k: int = 4) -> Any:
    from infopy.estimators import CCMIEstimator

    return CCMIEstimator(n_neighbors=k).estimate(x, y)


def infopy_entropy(x: Any, k: int = 4) -> Any:
    from infopy.estimators import ContinuousEntropyEstimator

    return ContinuousEntropyEstimator(n_neighbors=k).estimate(x)


def gist_mi(x: Any, y: Any, k: int = 4) -> Any:
    from mutual_info.mutual_info import mutual_information

    return mutual_information((x, y), k=k)


def gist_entropy(x: Any, k: int = 4) -> Any:
    from mutual_info.mutual_info import entropy

    return entropy(x, k=k)


def copent_mi(x: Any, y: Any, k: int = 4) -> Any:
    from copent import copent

    return copent(np.column_stack([x, y]), k=k)


def syntropy_mi_1(x: Any, y: Any, k: int = 4) -> Any:
    from syntropy.knn.shannon import mutual_information

    both, of_x, of_y = joined(x, y)
    return mutual_information(tuple(of_x), tuple(of_y), k, both.T, algorithm=1)[1]


def syntropy_mi_2(x: Any, y: Any, k: int = 4) -> Any:
    from syntropy.knn.shannon import mutual_information

    both, of_x, of_y = joined(x, y)
    return mutual_information(tuple(of_x), tuple(of_y), k, both.T, algorithm=2)[1]


def syntropy_entropy(x: Any, k: int = 4) -> Any:
    from syntropy.knn.shannon import differential_entropy

    return differential_entropy(np.asarray(x).T, k)[1]


def libksg_mi(x: Any, y: Any, k: int = 4) -> Any:
    from libKSG import KSG

    return KSG().mi(x, y, k=k)


def dit_mi(x: Any, y: Any, k: int = 4) -> Any:
    from dit.inference.knn_estimators import total_correlation_ksg

    both, of_x, of_y = joined(x, y)
    return total_correlation_ksg(both, [of_x, of_y], k=k, noise=0)


def dit_entropy(x: Any, k: int = 4) -> Any:
    from dit.inference.knn_estimators import differential_entropy_knn

    return differential_entropy_knn(x, k=k, noise=0)


def causation_mi(x: Any, y: Any, k: int = 4) -> Any:
    from causationentropy.core.information.mutual_information import knn_mutual_information

    return knn_mutual_information(x, y, k=k)


def causation_mi_chebyshev(x: Any, y: Any, k: int = 4) -> Any:
    from causationentropy.core.information.mutual_information import knn_mutual_information

    return knn_mutual_information(x, y, k=k, metric="chebyshev")


def tigramite_mi(x: Any, y: Any, k: int = 4) -> Any:
    return _tigramite(x, y, knn=k)


def tigramite_mi_standardized(x: Any, y: Any, k: int = 4) -> Any:
    return _tigramite(x, y, knn=k, transform="standardize")


def _tigramite(x: Any, y: Any, **options: Any) -> Any:
    from tigramite.independence_tests.cmiknn import CMIknn

    both, of_x, of_y = joined(x, y)
    measure = CMIknn(workers=1, **options).get_dependence_measure
    return measure(both.T, np.array([0] * len(of_x) + [1] * len(of_y)))


def normi_mi(x: Any, y: Any, k: int = 4) -> Any:
    from normi import NormalizedMI

    both, of_x, of_y = joined(x, y)
    return NormalizedMI(n_dims=[len(of_x), len(of_y)], k=k, n_jobs=1, verbose=False).fit(both).mi_[0, 1]


@lru_cache
def _hoi(name: str, k: int) -> Any:
    from hoi.core import get_entropy, get_mi

    return (get_mi if name == "mi" else get_entropy)("knn", k=k)


def hoi_mi(x: Any, y: Any, k: int = 4) -> Any:
    return _hoi("mi", k)(np.transpose(x), np.transpose(y))


def hoi_entropy(x: Any, k: int = 4) -> Any:
    return _hoi("entropy", k)(np.transpose(x))


def bmi_mi(x: Any, y: Any, k: int = 4) -> Any:
    import bmi

    return bmi.estimators.KSGEnsembleFirstEstimator(neighborhoods=(k,), metric_x="chebyshev").estimate(x, y)


# Divergences, of samples x of P and y of Q


def npeet_divergence(x: Any, y: Any, k: int = 4) -> Any:
    from npeet_plus import kldiv

    return kldiv(x, y, k=k)


def unite_divergence(x: Any, y: Any, k: int = 4) -> Any:
    from unite_toolbox.knn_estimators import calc_knn_kld

    return calc_knn_kld(x, y, k=k)


def nn_info_divergence(x: Any, y: Any, k: int = 4) -> Any:
    from nn_info.estimators import WMI

    return WMI((x, y), k=k)


# Gaussian laws and Gaussian copulas


def frites_mi_copula(x: Any, y: Any) -> Any:
    from frites.core import gcmi_1d_cc

    return gcmi_1d_cc(np.transpose(x), np.transpose(y))


def frites_mi_gauss(x: Any, y: Any) -> Any:
    from frites.core import mi_nd_gg

    return mi_nd_gg(x, y, mvaxis=-1, traxis=0)


def frites_entropy_1d(x: Any) -> Any:
    from frites.core import ent_1d_g

    return ent_1d_g(np.transpose(x))


def frites_entropy_nd(x: Any) -> Any:
    from frites.core import ent_nd_g

    return ent_nd_g(x, mvaxis=-1, traxis=0)
