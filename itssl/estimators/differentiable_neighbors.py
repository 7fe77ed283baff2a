"""The Kozachenko–Leonenko entropy as a differentiable function of the embeddings, neighbors held."""

from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import as_matrix
from itssl.choices import require_count
from itssl.estimators.nearest_neighbors import log_unit_ball_volume, require_norm
from itssl.estimators.neighbor_extrapolation import require_more_than_k
from itssl.kernels.neighbors import NORMS, Norm, neighbors, power_of_two


def neighbor_entropy(z: Float[Any, "n d"], *, k: int = 4, metric: Norm = "euclidean") -> Float[Any, ""]:
    r"""ψ(n) − ψ(k) + log c_d + (d/n) Σ log ρ_i in nats, for numpy arrays or torch tensors; keeps gradients.

    ρ_i is the distance of row i of z, shape (n, d), to its k-th nearest other row; the value is that of
    :class:`~itssl.estimators.nearest_neighbors.KozachenkoLeonenko` [1], with its bias, and has no error bar. The k-th
    neighbor stays the same under small moves of z unless two rows are equally far, so the gradient, that of log ρ_i
    with the neighbors held, is exact almost everywhere; at ties it is one of the one-sided ones. A row with k copies
    makes the value −inf, with zero gradient: there is no direction of ascent to give.

    Raises SampleError for n ≤ k and inadmissible z, ParameterError for k < 1 and p < 1, UnknownNameError for
    another metric.

    References
    ----------
    [1] Kozachenko & Leonenko (1987). Sample estimate of the entropy of a random vector. Probl. Inf. Transm. 23.

    >>> print(f"{neighbor_entropy(np.array([[0.0], [1.0], [3.0]]), k=1):.4f}")
    2.4242
    """
    from scipy.special import digamma

    k, metric = require_count("k", k), require_norm("metric", metric)
    xp, z = as_matrix(z)
    n, d = z.shape
    require_more_than_k(n, k, "z")
    held = np.asarray(z if xp is np else z.detach().cpu().numpy(), dtype=float)
    found, unit = neighbors(held, k, metric)[1][:, -1], power_of_two(held)
    away = z / unit - z[np.ascontiguousarray(found)] / unit  # neither these nor their squares overflow
    order = NORMS[metric] if isinstance(metric, str) else metric
    distances = np.linalg.norm(away, ord=order, axis=1) if xp is np else xp.linalg.vector_norm(away, ord=order, dim=1)
    if not (distances > 0).all():
        return 0 * z.sum() - xp.inf
    constant = float(digamma(n) - digamma(k)) + log_unit_ball_volume(d, metric)
    return constant + d * xp.log(distances).mean() + d * float(np.log(unit))
