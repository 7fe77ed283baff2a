"""Other packages at the same work, each in its own words; they live in an environment of their own."""

from collections.abc import Callable
from math import log

import numpy as np

from experiments.benchmarks.methods import Call, K, Register, euclidean_log_ball, neighbor_formula
from experiments.benchmarks.workloads import Cell

METHODS = Register()
Data = dict[str, np.ndarray]


def _normal_above(largest: int) -> Callable[[Cell], bool]:
    """Where a tree looks at all rows, and a call takes ten seconds and more."""
    return lambda cell: cell["d"] > largest and cell["law"] == "normal"


def _slow_above(largest: int) -> Callable[[Cell], str]:
    """A tree that takes half a minute and more beyond so many columns; normal rows only."""
    slow, is_slow = f"a tree of scipy's, not asked above d = {largest}: minutes a call", _normal_above(largest)
    return lambda cell: slow if is_slow(cell) else ""


@METHODS.add("scikit-learn kd_tree", "knn", needs=("sklearn",), once=_normal_above(128))
def _(cell: Cell, data: Data, threads: int) -> Call:
    return lambda: _by_scikit_learn(data["x"], "kd_tree", threads)


@METHODS.add("scikit-learn brute", "knn", needs=("sklearn",))
def _(cell: Cell, data: Data, threads: int) -> Call:
    return lambda: _by_scikit_learn(data["x"], "brute", threads)


def _by_scikit_learn(x: np.ndarray, algorithm: str, threads: int) -> float:
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=K, algorithm=algorithm, n_jobs=threads).fit(x)
    return neighbor_formula(search.kneighbors()[0][:, -1], K, x.shape[1], euclidean_log_ball(x.shape[1]))


@METHODS.add("scipy KDTree", "knn", needs=("scipy",), refuses=_slow_above(128), once=_normal_above(32))
def _(cell: Cell, data: Data, threads: int) -> Call:
    from scipy.spatial import KDTree

    x = data["x"]

    def value() -> float:
        radii = KDTree(x).query(x, k=[K + 1], workers=threads)[0][:, 0]
        return neighbor_formula(radii, K, x.shape[1], euclidean_log_ball(x.shape[1]))

    return value


@METHODS.add("infomeasure", "knn", needs=("infomeasure",), serial=True, refuses=_slow_above(32))
def _(cell: Cell, data: Data, threads: int) -> Call:
    import infomeasure

    return lambda: infomeasure.entropy(data["x"], approach="kl", k=K, noise_level=0, minkowski_p=2, base="e")


@METHODS.add("ennemi", "knn", needs=("ennemi",), serial=True, convention="chebyshev", refuses=_slow_above(32))
def _(cell: Cell, data: Data, threads: int) -> Call:
    import ennemi

    return lambda: ennemi.estimate_entropy(data["x"], k=K, multidim=True)


@METHODS.add("NPEET-style", "knn", needs=("sklearn",), serial=True, convention="chebyshev", once=_normal_above(32))
def _(cell: Cell, data: Data, threads: int) -> Call:
    x = data["x"]

    def value() -> float:
        radii = _tree(x).query(x, k=K + 1)[0][:, K]
        return neighbor_formula(radii, K, x.shape[1], x.shape[1] * log(2))

    return value


def _tree(x: np.ndarray):
    """NPEET is not on the package index; its trees: scikit-learn's, Chebyshev, of balls from 20 columns on."""
    from sklearn.neighbors import BallTree, KDTree

    return (BallTree if x.shape[1] >= 20 else KDTree)(x, metric="chebyshev")


@METHODS.add("faiss IndexFlatL2", "knn", needs=("faiss", "scipy"))
def _(cell: Cell, data: Data, threads: int) -> Call:
    import faiss

    x = data["x"]
    faiss.omp_set_num_threads(threads)

    def value() -> float:
        rows = x.astype(np.float32)
        index = faiss.IndexFlatL2(rows.shape[1])
        index.add(rows)
        squares = index.search(rows, K + 1)[0][:, K]
        return neighbor_formula(np.sqrt(squares.astype(float)), K, x.shape[1], euclidean_log_ball(x.shape[1]))

    return value


def _chebyshev(cell: Cell) -> str:
    return "" if cell["metric"] == "chebyshev" else "has no joint norm of Euclidean blocks"


def _chebyshev_and_not_slow(cell: Cell) -> str:
    return _chebyshev(cell) or ("a tree of scipy's, not asked above d = 16: minutes" if cell["d_x"] > 16 else "")


def _one_column(cell: Cell) -> str:
    return "" if cell["d_x"] == cell["d_y"] == 1 else "one column each only"


@METHODS.add(
    "NPEET-style", "ksg", needs=("sklearn",), serial=True, refuses=_chebyshev, once=lambda cell: cell["d_x"] > 16
)
def _(cell: Cell, data: Data, threads: int) -> Call:
    from scipy.special import digamma

    x, y = data["x"], data["y"]

    def value() -> float:
        both = np.hstack([x, y])
        inner = _tree(both).query(both, k=K + 1)[0][:, K] - 1e-15
        counts = [_tree(z).query_radius(z, inner, count_only=True) for z in (x, y)]  # each row counts itself
        return float(digamma(K) + digamma(len(x)) - sum(digamma(c).mean() for c in counts))

    return value


@METHODS.add(
    "infomeasure", "ksg", needs=("infomeasure",), serial=True, refuses=_chebyshev_and_not_slow,
    once=lambda cell: cell["d_x"] > 3,
)  # fmt: skip
def _(cell: Cell, data: Data, threads: int) -> Call:
    import infomeasure

    return lambda: infomeasure.mutual_information(data["x"], data["y"], approach="ksg", k=K, noise_level=0, base="e")


@METHODS.add("ennemi", "ksg", needs=("ennemi",), serial=True, refuses=_one_column)
def _(cell: Cell, data: Data, threads: int) -> Call:
    import ennemi

    return lambda: ennemi.estimate_mi(data["y"][:, 0], data["x"][:, 0], k=K, preprocess=False, max_threads=1)


@METHODS.add(
    "scikit-learn mutual_info_regression", "ksg", needs=("sklearn",), refuses=_one_column,
    convention="standardized", serial=True,
)  # fmt: skip
def _(cell: Cell, data: Data, threads: int) -> Call:
    from sklearn.feature_selection import mutual_info_regression

    return lambda: mutual_info_regression(data["x"], data["y"][:, 0], n_neighbors=K, random_state=0)


@METHODS.add("scikit-learn GaussianMixture", "mixture", needs=("sklearn",))
def _(cell: Cell, data: Data, threads: int) -> Call:
    from sklearn.mixture import GaussianMixture

    m, spread = cell["m"], data["spread"]
    form = {"iso": "spherical", "diag": "diag", "full": "full"}[cell["form"]]
    model = GaussianMixture(m, covariance_type=form)
    model.weights_, model.means_, model.covariances_ = np.full(m, 1 / m), data["means"], spread
    if form == "full":  # upper triangular U with U Uᵀ = Σ⁻¹
        model.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(spread)).transpose(0, 2, 1)
    else:
        model.precisions_cholesky_ = 1 / np.sqrt(spread)

    def value() -> list[float]:
        found = model.score_samples(data["x"])
        return [found.mean(), found.min(), found.max()]

    return value
