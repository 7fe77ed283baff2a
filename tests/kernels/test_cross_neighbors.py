"""Cross distances against a naive twin, on trees and tiles."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.kernels.cross_neighbors import cross_distances

ROUNDING = 16 * np.finfo(float).eps


def distances_twin(x, y, metric):
    away = np.abs(x[:, None] - y[None])
    return away.max(axis=2) if metric == "chebyshev" else np.sqrt((away**2).sum(axis=2))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(1, 40), m=st.integers(6, 40), d=st.sampled_from([1, 3, 20]),
    k=st.integers(1, 6), metric=st.sampled_from(["chebyshev", "euclidean"]),
)  # fmt: skip
def test_cross_distances_equal_the_definition(seed, n, m, d, k, metric):
    rng = stream(seed, "cross")
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    twin = np.sort(distances_twin(x, y, metric), axis=1)[:, :k]
    np.testing.assert_allclose(cross_distances(x, y, k, metric), twin, rtol=ROUNDING)
