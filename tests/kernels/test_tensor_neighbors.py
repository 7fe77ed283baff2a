"""Neighbors of tensors against those of arrays, which have the definition for a twin; on a CUDA device if there is."""

import numpy as np
import pytest
import torch

from itssl.arrays import stream
from itssl.kernels import tensor_neighbors as kernel
from itssl.kernels.brute_neighbors import brute_cross_neighbors, brute_neighbors
from itssl.kernels.tensor_neighbors import tensor_neighbors

ROUNDING = 16 * np.finfo(float).eps
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def clusters(rng, n, d, times, spread):
    return np.repeat(rng.normal(size=(-(-n // times), d)), times, axis=0)[:n] + spread * rng.normal(size=(n, d))


DATA = {
    "gaussian, offset 1000": lambda rng, n, d: 1000 + rng.normal(size=(n, d)),
    "near-duplicates 1e-7": lambda rng, n, d: clusters(rng, n, d, 4, 1e-7),
    "clusters of 50": lambda rng, n, d: clusters(rng, n, d, 50, 1e-3),
    "two tight clusters": lambda rng, n, d: clusters(rng, n, d, -(-n // 2), 1e-9),
    "scale 2^-900": lambda rng, n, d: np.ldexp(rng.normal(size=(n, d)), -900),
    "scale 2^900": lambda rng, n, d: np.ldexp(rng.normal(size=(n, d)), 900),
    "lattice": lambda rng, n, d: rng.integers(0, 3, size=(n, d)).astype(float),
    "copies": lambda rng, n, d: clusters(rng, n, d, 6, 0.0),
}


def assert_same(tensors, arrays, x, y):
    """The same distances; among ties other rows may be listed, at these distances."""
    distances, rows = (part.cpu().numpy() for part in tensors)
    np.testing.assert_allclose(distances, arrays[0], rtol=ROUNDING)
    unit = 2.0 ** np.frexp(np.abs(y).max())[1]
    again = np.linalg.norm(x[:, None] / unit - y[rows] / unit, axis=2) * unit
    np.testing.assert_allclose(again, distances, rtol=64 * ROUNDING)
    assert all(len(set(row)) == len(row) for row in rows)


@pytest.mark.parametrize("columns", [64, 2**16])
@pytest.mark.parametrize("d", [2, 40])
@pytest.mark.parametrize("kind", DATA)
def test_tensors_have_the_neighbors_of_arrays(kind, d, columns, monkeypatch):
    monkeypatch.setattr(kernel, "_COLUMNS", columns)
    monkeypatch.setattr(kernel, "FEW", 20)
    x = DATA[kind](stream(0, "tensors", kind, d), 150, d)
    a = torch.from_numpy(x)
    found = tensor_neighbors(a, a, 4, True, 2**18)
    assert_same(found, brute_neighbors(x, 4), x, x)
    assert (found[1].numpy() != np.arange(150)[:, None]).all()
    y = np.delete(x, np.s_[::4], axis=0)
    assert_same(tensor_neighbors(a, torch.from_numpy(y), 4, False, 2**18), brute_cross_neighbors(x, y, 4), x, y)


def test_hardly_more_rows_than_neighbors():
    x = stream(0, "few tensors").normal(size=(6, 20))
    for n in range(2, 7):
        a = torch.from_numpy(x[:n])
        assert_same(tensor_neighbors(a, a, n - 1, True, 1), brute_neighbors(x[:n], n - 1), x[:n], x[:n])


def test_scores_bound_all_distances_from_below():
    for kind, precision in [(kind, precision) for kind in DATA for precision in (np.float32, np.float64)]:
        x = torch.from_numpy(DATA[kind](stream(0, "tensor bound", kind), 100, 30))
        x = x / kernel._size(x)
        search = kernel._Search.of(x, x, 1, False, 1.0, precision)
        z = x - search.middle
        left = torch.cat([-2 * z, torch.ones(100, 1)], dim=1).to(search.right.dtype)
        bound = (left @ search.right.T).double() + (1 - search.g) * (z * z).sum(1)[:, None] - search.underflow
        exact = ((x[:, None].numpy().astype(np.longdouble) - x.numpy()) ** 2).sum(axis=2)
        assert (bound.numpy() <= exact).all()


def test_kind_device_and_gradients():
    """Single precision and tensors with a graph are welcome; answers are double, without a graph, and of their kind."""
    x = stream(0, "kinds").normal(size=(60, 17)).astype(np.float32)
    a = torch.from_numpy(x).requires_grad_()
    for distances, rows in (
        brute_neighbors(a, 3),
        brute_cross_neighbors(a, a.detach()[:30], 3),
        tensor_neighbors(a, a, 3, True, 2**20),
    ):
        assert (distances.dtype, rows.dtype, distances.requires_grad) == (torch.float64, torch.int64, False)
    x = x.astype(float)
    assert_same(brute_neighbors(a, 3), brute_neighbors(x, 3), x, x)


def test_autocast_does_not_reach_the_products():
    """Products in bfloat16, of eight bits, would list wrong rows, and certify them."""
    x = stream(0, "autocast").normal(size=(800, 3))
    a = torch.from_numpy(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(tensor_neighbors(a, a, 3, True, 2**20), brute_neighbors(x, 3), x, x)


@pytest.mark.parametrize("single", [True, False])
def test_products_that_round_more_are_made_in_double_precision(single, monkeypatch):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "highest" if single else "high")
    used, of = [], kernel._Search.of
    monkeypatch.setattr(kernel._Search, "of", lambda *given: used.append(given[-1]) or of(*given))
    a = torch.from_numpy(stream(0, "settings").normal(size=(50, 17)))
    tensor_neighbors(a, a, 2, True, 2**20)
    assert used == [np.float32 if single else np.float64]


def test_unreadable_settings_mean_double_precision(monkeypatch):
    def refuse():
        raise RuntimeError("mixed settings")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert not kernel._single_is_single()


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("kind", DATA)
def test_cuda_tensors_stay_on_their_device(kind):
    x = DATA[kind](stream(0, "cuda", kind), 3000, 64)
    a = torch.from_numpy(x).cuda()
    before = torch.cuda.max_memory_allocated()
    found = brute_neighbors(a, 4, max_memory=2**24)
    assert torch.cuda.max_memory_allocated() - before < 2**25 + 3 * a.nbytes
    assert all(part.device == a.device for part in found)
    assert_same(found, brute_neighbors(x, 4), x, x)
