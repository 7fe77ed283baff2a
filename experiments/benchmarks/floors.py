"""What the hardware allows: the matrix products and exponentials that the work cannot do without, and nothing else.

Each is timed in the very process that times itssl, at the shapes of the workload; the kind "rates" has those of the
machine.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from experiments.benchmarks.methods import Call, Register
from experiments.benchmarks.workloads import Cell

METHODS = Register()
Data = dict[str, np.ndarray]
FLOOR = "floor"
ROWS, TILE = 1024, 256  # rows of a product with all columns, and sides of a square tile: the fastest of those tried


def work_of_rates(side: int) -> dict[str, float]:
    """Rate → the work of one call, in its unit, for matrices of so many rows; a copied number is read and written."""
    square, cube = 8 * side**2, side**3
    return {
        "sgemm, GFlop/s": 2e-9 * cube, "dgemm, GFlop/s": 2e-9 * cube, "ssyrk, GFlop/s": 1e-9 * cube,
        "dsyrk, GFlop/s": 1e-9 * cube, "copy, GB/s": 2e-9 * 8 * square, "exp float64, 1e9/s": 1e-9 * square,
        "exp float32, 1e9/s": 1e-9 * square,
    }  # fmt: skip


def _tree(cell: Cell) -> str:
    few = max(cell.get("d", 0), cell.get("d_x", 0)) <= 4
    return "few columns do not need all products" if few else ""


@METHODS.add(FLOOR, "knn", refuses=_tree)
def _(cell: Cell, data: Data, threads: int) -> Call:
    x = data["x"].astype(np.float32)
    return lambda: _all_products(x)


@METHODS.add(FLOOR, "ksg", refuses=_tree)
def _(cell: Cell, data: Data, threads: int) -> Call:
    blocks = [data[name].astype(np.float32) for name in ("x", "y")]

    def work() -> None:
        for z in blocks:
            _all_products(z)

    return work


def _all_products(x: np.ndarray) -> None:
    """Every inner product of two rows, in tiles of rows."""
    out = np.empty((ROWS, len(x)), dtype=x.dtype)
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        np.matmul(rows, x.T, out=out[: len(rows)])


@METHODS.add(FLOOR, "gaussian")
def _(cell: Cell, data: Data, threads: int) -> Call:
    from scipy.linalg.blas import dsyrk

    x = data["x"]

    def work() -> None:
        cov = dsyrk(1 / len(x), x.T, lower=1)  # x.T is in Fortran's order: no copy
        np.linalg.cholesky(cov)

    return work


@METHODS.add(FLOOR, "pairs")
def _(cell: Cell, data: Data, threads: int) -> Call:
    """Half of the products and one exponential a pair, in float64."""
    x = data["x"] / np.sqrt(8 * cell["var"])
    pairs = list(combinations_with_replacement(range(0, len(x), TILE), 2))

    def work(part: int) -> None:
        buffer = np.empty((TILE, TILE))
        for i, j in pairs[part::threads]:
            a, b = x[i : i + TILE], x[j : j + TILE]
            out = buffer[: len(a), : len(b)]
            np.matmul(a, b.T, out=out)
            np.exp(out, out=out)

    return _threaded(work, threads)


def _threaded(work: Callable[[int], Any], threads: int) -> Call:
    """work(0), …, work(threads − 1) at a time, the products of each in one thread."""
    from threadpoolctl import ThreadpoolController

    if threads == 1:
        return lambda: work(0)
    libraries, pool = ThreadpoolController(), ThreadPoolExecutor(threads)  # finding libraries takes milliseconds

    def call() -> None:
        with libraries.limit(limits=1, user_api="blas"):
            list(pool.map(work, range(threads)))

    return call


@METHODS.add(FLOOR, "mixture")
def _(cell: Cell, data: Data, threads: int) -> Call:
    """One product for all components (of the numbers, their squares too, or whitened rows) and n·m exponentials."""
    x, m, d = data["x"], cell["m"], cell["d"]
    inner, columns = {"iso": (d, m), "diag": (2 * d, m), "full": (d, m * d)}[cell["form"]]
    rows, factors = np.resize(x, (len(x), inner)), np.zeros((inner, columns))
    starts = range(0, len(x), ROWS)

    def work(part: int) -> None:
        buffer, exponents = np.empty((ROWS, columns)), np.zeros((ROWS, m))
        for start in starts[part::threads]:
            some = rows[start : start + ROWS]
            np.matmul(some, factors, out=buffer[: len(some)])
            np.exp(exponents, out=exponents)
            exponents[:] = -0.5

    return _threaded(work, threads)


@METHODS.add(FLOOR, "vicreg", needs=("torch",))
def _(cell: Cell, data: Data, threads: int) -> Call:
    """The min(n, d) product of each view and, for the gradient, that matrix times the view."""
    import torch

    views = [torch.tensor(data[name]) for name in ("z_a", "z_b")]
    if cell["d"] <= cell["n"]:
        views = [z.T for z in views]
    small, large = torch.empty(len(views[0]), len(views[0])), torch.empty(views[0].shape)

    def work() -> None:
        for z in views:
            torch.mm(z, z.T, out=small)
            torch.mm(small, z, out=large)

    return work


@METHODS.add(FLOOR, "jacobian")
def _(cell: Cell, data: Data, threads: int) -> Call:
    """128 rows through 256 × 256 and 256 × 784 at each point, in float64, sixteen points at a time."""
    inner, outer = np.zeros((256, 256)), np.zeros((256, 784))
    rows = np.zeros((16 * 128, 256))
    middle, last = np.empty_like(rows), np.empty((len(rows), 784))

    def work() -> None:
        for _ in range(0, cell["n"], 16):
            np.matmul(rows, inner, out=middle)
            np.matmul(middle, outer, out=last)

    return work


def _rate(name: str) -> Callable[[Callable[[int, int], Call]], Callable[[int, int], Call]]:
    def added(make: Callable[[int, int], Call]) -> Callable[[int, int], Call]:
        METHODS.add(name, "rates")(lambda cell, data, threads: _without_answer(make(cell["side"], threads)))
        return make

    return added


def _without_answer(call: Call) -> Call:
    def work() -> None:
        call()

    return work


def _square(side: int, dtype: type) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((side, side)).astype(dtype)


def _gemm(side: int, dtype: type) -> Call:
    a, b = _square(side, dtype), _square(side, dtype)[::-1].copy()
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


_rate("sgemm, GFlop/s")(lambda side, threads: _gemm(side, np.float32))
_rate("dgemm, GFlop/s")(lambda side, threads: _gemm(side, np.float64))


@_rate("ssyrk, GFlop/s")
def _(side: int, threads: int) -> Call:
    from scipy.linalg.blas import ssyrk

    a = _square(side, np.float32)
    return lambda: ssyrk(1.0, a.T)


@_rate("dsyrk, GFlop/s")
def _(side: int, threads: int) -> Call:
    from scipy.linalg.blas import dsyrk

    a = _square(side, np.float64)
    return lambda: dsyrk(1.0, a.T)


@_rate("copy, GB/s")
def _(side: int, threads: int) -> Call:
    source, target = np.ones(8 * side**2), np.zeros(8 * side**2)
    step = len(source) // threads

    def work(part: int) -> None:
        rows = slice(part * step, (part + 1) * step)
        np.copyto(target[rows], source[rows])

    return _threaded(work, threads)


def _exponentials(side: int, dtype: type, threads: int) -> Call:
    values = np.linspace(-40, 0, min(2**14, side**2), dtype=dtype)  # in the cache, and no result is subnormal
    calls = 8 * side**2 // len(values) // threads

    def work(part: int) -> None:
        out = np.empty_like(values)
        for _ in range(calls):
            np.exp(values, out=out)

    return _threaded(work, threads)


_rate("exp float64, 1e9/s")(lambda side, threads: _exponentials(side, np.float64, threads))
_rate("exp float32, 1e9/s")(lambda side, threads: _exponentials(side, np.float32, threads))
