"""itssl at the same work: the bare value that others compute, and the estimate with its error bar and warnings."""

import numpy as np

from experiments.benchmarks.methods import Call, K, Register
from experiments.benchmarks.workloads import Cell

METHODS = Register()
Data = dict[str, np.ndarray]
VALUE, ESTIMATE, PLAIN = "itssl", "itssl, with error bar", "itssl, without numba"
WITHOUT_NUMBA = Register()
"""The same bare values, in a process where numba compiles nothing (processes.py)."""


@WITHOUT_NUMBA.add(PLAIN, "knn", refuses=lambda cell: "numba is not used there" if cell["d"] in (1, 512) else "")
@METHODS.add(VALUE, "knn")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.estimators import neighbor_entropy

    return lambda: neighbor_entropy(data["x"], k=K)


@METHODS.add(ESTIMATE, "knn")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.estimators import KozachenkoLeonenko

    return lambda: KozachenkoLeonenko(k=K).entropy(data["x"]).value


@WITHOUT_NUMBA.add(PLAIN, "ksg", refuses=lambda cell: "" if cell["d_x"] > 1 else "numba is not used there")
@METHODS.add(VALUE, "ksg")
def _(cell: Cell, data: Data, threads: int) -> Call:
    return lambda: _ksg(data["x"], data["y"], cell["metric"])


def _ksg(x: np.ndarray, y: np.ndarray, metric: str) -> float:
    from scipy.special import digamma

    from itssl.kernels.neighbor_counts import marginal_counts

    n_x, n_y = marginal_counts(x, y, K, metric, 1)  # pyright: ignore[reportArgumentType]
    return float(digamma(K) + digamma(len(x)) - (digamma(n_x + 1) + digamma(n_y + 1)).mean())


@METHODS.add(ESTIMATE, "ksg")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.estimators import KSG

    estimator = KSG(k=K, metric=cell["metric"], standardize=False)
    return lambda: estimator.mutual_information(data["x"], data["y"]).value


@METHODS.add(VALUE, "gaussian")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.estimators import logdet_entropy

    return lambda: logdet_entropy(data["x"])


@METHODS.add(ESTIMATE, "gaussian", convention="without the log-determinant's bias")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.estimators import GaussianPlugin

    return lambda: GaussianPlugin().entropy(data["x"]).value


@METHODS.add(VALUE, "pairs")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.estimators import pairwise_entropy_bounds

    return lambda: list(pairwise_entropy_bounds(data["x"], var=cell["var"]))


@METHODS.add(ESTIMATE, "pairs", refuses=lambda cell: "twice the bare value" if cell["n"] > 20_000 else "")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.estimators import PairwiseMixture

    return lambda: [bound.value for bound in PairwiseMixture(var=cell["var"]).entropy_bounds(data["x"])]


@METHODS.add(VALUE, "mixture")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.distributions import GaussianMixture

    m, d = data["means"].shape
    spread = data["spread"]
    covs = spread if spread.ndim == 3 else np.eye(d) * spread.reshape(m, 1, -1)
    law = GaussianMixture(np.full(m, 1 / m), data["means"], covs)

    def value() -> list[float]:
        found = law.log_density(data["x"])
        return [found.mean(), found.min(), found.max()]

    return value


@METHODS.add(VALUE, "vicreg")
def _(cell: Cell, data: Data, threads: int) -> Call:
    import torch

    from itssl.objectives import vicreg_terms

    z_a, z_b = (torch.tensor(data[name], requires_grad=True) for name in ("z_a", "z_b"))

    def value() -> list[float]:
        loss = vicreg_terms(z_a, z_b, normalization="reference").total()
        return [float(loss.detach()), *(float(g.norm()) for g in torch.autograd.grad(loss, (z_a, z_b)))]

    return value


@METHODS.add(VALUE, "jacobian")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from itssl.networks.encoders import mlp
    from itssl.networks.regions import local_affine

    network = mlp((784, 256, 256, 128), seed=0)
    return lambda: float(np.linalg.norm(local_affine(network, data["x"]).matrix))


def by_convention(cell: Cell, data: Data, convention: str) -> float:
    """The value under another package's convention, to compare with, untimed."""
    from itssl.estimators import KSG, neighbor_entropy

    if cell["kind"] == "knn":
        return float(neighbor_entropy(data["x"], k=K, metric=convention))
    return KSG(k=K, metric=cell["metric"], standardize=True).mutual_information(data["x"], data["y"]).value
