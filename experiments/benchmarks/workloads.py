"""What is measured: shapes of the inner loops, and the data of each, drawn alike in every process.

Nothing here needs more than numpy, for the processes of other packages load it too.
"""

from typing import Any

import numpy as np

Cell = dict[str, Any]
SMALL = {"n": 300, "d": 16, "d_x": 8, "d_y": 8, "m": 5, "side": 64}
"""Sizes at which each call is made once before it counts: imports, compilers and caches are then warm."""


def workloads() -> list[Cell]:
    """Every workload of the table, the most telling ones first."""
    knn = [{"kind": "knn", "n": 10_000, "d": d, "law": "normal"} for d in (1, 2, 3, 4, 32, 128, 512)]
    knn += [{"kind": "knn", "n": 10_000, "d": 128, "law": "surface"}]
    ksg = [{"kind": "ksg", "n": 10_000, "d_x": d, "d_y": d, "metric": "chebyshev"} for d in (1, 3, 16, 128)]
    ksg += [{"kind": "ksg", "n": 10_000, "d_x": d, "d_y": d, "metric": "euclidean"} for d in (16, 128)]
    gaussian = [{"kind": "gaussian", "n": 100_000, "d": 512}]
    pairs = [
        {"kind": "pairs", "n": n, "d": 128, "var": var} for n, var in ((10_000, 1.0), (10_000, 8.0), (50_000, 1.0))
    ]
    mixture = [{"kind": "mixture", "form": form, "n": 20_000, "m": 64, "d": 64} for form in ("iso", "diag", "full")]
    shapes = ((256, 64), (256, 2048), (256, 8192), (1024, 1024), (4096, 256))
    vicreg = [{"kind": "vicreg", "n": n, "d": d} for n, d in shapes]
    return [*knn, *ksg, *gaussian, *pairs, *mixture, *vicreg, {"kind": "jacobian", "n": 200}]


def growth() -> list[Cell]:
    """The same call at growing N: nearest neighbors of few columns (d ≤ 3) and by brute force (d = 128), and pairs."""
    tree = [{"kind": "knn", "n": n, "d": d, "law": "normal"} for d in (1, 2, 3) for n in (10_000, 30_000, 100_000)]
    brute = [{"kind": "knn", "n": n, "d": 128, "law": "normal"} for n in (5_000, 10_000, 20_000, 40_000)]
    pairs = [{"kind": "pairs", "n": n, "d": 128, "var": 1.0} for n in (5_000, 10_000, 20_000)]
    return [{**cell, "growth": True} for cell in (*tree, *brute, *pairs)]


def small_workloads() -> list[Cell]:
    """One small cell of each kind, and a growth of two."""
    small = [
        {"kind": "knn", "n": 600, "d": 2, "law": "normal"}, {"kind": "knn", "n": 600, "d": 128, "law": "normal"},
        {"kind": "ksg", "n": 400, "d_x": 1, "d_y": 1, "metric": "chebyshev"},
        {"kind": "gaussian", "n": 2000, "d": 32}, {"kind": "pairs", "n": 600, "d": 16, "var": 1.0},
        {"kind": "mixture", "form": "iso", "n": 500, "m": 8, "d": 8}, {"kind": "vicreg", "n": 64, "d": 256},
    ]  # fmt: skip
    grown = [{"kind": "knn", "n": n, "d": 2, "law": "normal", "growth": True} for n in (500, 2000)]
    return [*small, *grown]


def title(cell: Cell, *, sized: bool = True) -> str:
    """The workload in words, with its number of rows or without.

    >>> title({"kind": "knn", "n": 10_000, "d": 32, "law": "normal"})
    'kNN entropy, N = 1e4, d = 32'
    """
    n = f", N = {short(cell['n'])}" if sized and "n" in cell else ""
    match cell["kind"]:
        case "rates":
            return "rates of the machine"
        case "knn":
            where = "" if cell["law"] == "normal" else ", rows near a surface of 4 dimensions"
            return f"kNN entropy{n}, d = {cell['d']}{where}"
        case "ksg":
            metric = "" if cell["metric"] == "chebyshev" else ", Euclidean blocks"
            return f"KSG{n}, d = ({cell['d_x']}, {cell['d_y']}){metric}"
        case "gaussian":
            return f"Gaussian entropy{n}, d = {cell['d']}"
        case "pairs":
            return f"pairwise bounds{n}, d = {cell['d']}, var = {cell['var']:g}"
        case "mixture":
            form = {"iso": "isotropic", "diag": "diagonal", "full": "full"}[cell["form"]]
            return f"mixture density{n}, {form}, {cell['m']} components, d = {cell['d']}"
        case "vicreg":
            return f"VICReg and its gradient, ({cell['n']}, {cell['d']})"
        case "jacobian":
            return f"Jacobians of 784-256-256-128{n}"
    raise ValueError(f"kind: expected that of a workload, got {cell['kind']!r}")


def short(n: int) -> str:
    """
    >>> short(10_000), short(600)
    ('1e4', '600')
    """
    return f"{n:.0e}".replace("e+0", "e") if n % 1000 == 0 else str(n)


def shrunk(cell: Cell) -> Cell:
    """The cell at sizes that take no time, for the call before the first that counts."""
    return {**cell, **{key: min(size, cell[key]) for key, size in SMALL.items() if key in cell}}


def data(cell: Cell, seed: int) -> dict[str, np.ndarray]:
    """The arrays of a cell; a seed gives the same ones in every process."""
    rng = np.random.default_rng(seed)
    n = cell.get("n", 0)
    match cell["kind"]:
        case "rates":
            return {}
        case "knn":
            return {
                "x": _surface(rng, n, cell["d"]) if cell["law"] == "surface" else rng.standard_normal((n, cell["d"]))
            }
        case "ksg":
            x, noise = rng.standard_normal((n, cell["d_x"])), rng.standard_normal((n, cell["d_y"]))
            return {"x": x, "y": 0.6 * x + 0.8 * noise}
        case "gaussian":
            x = rng.standard_normal((n, cell["d"]))
            x *= np.linspace(0.5, 2, cell["d"])
            return {"x": x}
        case "pairs":
            return {"x": rng.standard_normal((n, cell["d"]))}
        case "mixture":
            return _mixture(rng, cell)
        case "vicreg":
            return {name: rng.standard_normal((n, cell["d"]), dtype=np.float32) for name in ("z_a", "z_b")}
        case "jacobian":
            return {"x": rng.standard_normal((n, 784))}
    raise ValueError(f"kind: expected that of a workload, got {cell['kind']!r}")


def _surface(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """A curved image of four normal numbers in d dimensions, with a thousandth of noise."""
    hidden = np.tanh(rng.standard_normal((n, 4)) @ rng.standard_normal((4, 32)) / 2)
    return hidden @ rng.standard_normal((32, d)) / 32**0.5 + 1e-3 * rng.standard_normal((n, d))


def _mixture(rng: np.random.Generator, cell: Cell) -> dict[str, np.ndarray]:
    """Points, and components of equal weight: means (m, d); variances (m,) or (m, d), or covariances (m, d, d)."""
    n, m, d = cell["n"], cell["m"], cell["d"]
    means = 2 * rng.standard_normal((m, d))
    match cell["form"]:
        case "iso":
            spread = np.full(m, 1.5)
        case "diag":
            spread = rng.uniform(0.5, 2, (m, d))
        case _:
            factors = rng.standard_normal((m, d, 2 * d))
            spread = factors @ factors.transpose(0, 2, 1) / (2 * d)
    x = means[rng.integers(m, size=n)] + rng.standard_normal((n, d))
    return {"x": x, "means": means, "spread": spread}
