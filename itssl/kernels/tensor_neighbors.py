"""Exact Euclidean nearest neighbors of tensors on their device: the scores and the certificate of brute_neighbors."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from itssl.kernels.brute_neighbors import FEW, FEW_SHARE, SAFE_SIZE, SPARE, rounding

_ROWS, _COLUMNS = 2**12, 2**16  # of a tile at most
_BLOCK = 2**20  # differences at a time


def tensor_neighbors(x: Any, y: Any, k: int, own: bool, memory: int) -> tuple[Any, Any]:
    """Distances to (float64), and rows of y of, the k nearest of each row of x; without row i for row i where ``own``.

    Everything stays on the device of the tensors, which must know float64; gradients do not pass.

    >>> import torch
    >>> x = torch.tensor([[0.0], [1.0], [3.0]])
    >>> tensor_neighbors(x, x, 1, True, 2**26)[0].ravel()
    tensor([1., 1., 2.], dtype=torch.float64)
    """
    import torch

    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        a, b = x.detach().to(torch.float64), y.detach().to(torch.float64)
        unit = max(_size(b), 0.0 if own else _size(a)) or 1.0
        if not 1 / SAFE_SIZE < unit < SAFE_SIZE:
            distances, found = tensor_neighbors(a / unit, b / unit, k, own, memory)
            return distances * unit, found
        distances, found = a.new_empty((len(a), k)), torch.empty((len(a), k), dtype=torch.int64, device=a.device)
        rows = torch.arange(len(a), device=a.device)
        for precision in (np.float32, np.float64) if _single_is_single() else (np.float64,):
            search = _Search.of(a, b, k, own, unit, precision)
            rows = torch.cat([search.answer(part, distances, found) for part in rows.split(search.height(memory))])
            if not len(rows):
                return distances, found
        for part in rows.split(max(1, memory // (32 * len(b)))):
            far = torch.cdist(a[part], b, compute_mode="donot_use_mm_for_euclid_dist")
            if own:
                far[torch.arange(len(part), device=far.device), part] = torch.inf
            nearest = far.topk(k, dim=1, largest=False).indices
            distances[part], found[part] = _sorted(_squared(a, b, part, nearest), nearest, k)
            distances[part] = distances[part].sqrt()
        return distances, found


@dataclass(frozen=True)
class _Search:
    x: Any
    y: Any
    k: int
    own: bool
    unit: float
    g: float
    underflow: float
    middle: Any
    right: Any

    @classmethod
    def of(cls, x: Any, y: Any, k: int, own: bool, unit: float, precision: type[np.floating]) -> "_Search":
        import torch

        (m, d), (g, underflow) = y.shape, rounding(y.shape[1], precision)
        middle = y.mean(0)
        right = y.new_empty((m, d + 1), dtype=torch.float32 if precision is np.float32 else torch.float64)
        for start in range(0, m, step := max(1, _BLOCK // d)):
            z = (y[start : start + step] - middle) / unit
            right[start : start + step, :d] = z
            right[start : start + step, d] = (1 - 2 * g) * (z * z).sum(1)
        return cls(x, y, k, own, unit, g, underflow, middle, right)

    @property
    def listed(self) -> int:
        return min(self.k + SPARE, len(self.y) - self.own)

    def height(self, memory: int) -> int:
        """Rows of a tile with its mask, the candidates with their indices, and rows of the product."""
        size, (m, d) = self.right.element_size(), self.y.shape
        each = 2 * size * min(m, _COLUMNS) + 32 * self.listed * -(-m // _COLUMNS) + (2 * size + 16) * d
        return max(1, min(_ROWS, memory // each))

    def answer(self, rows: Any, distances: Any, found: Any) -> Any:
        """Write the neighbors of these rows, all of them certified; returns the rows that stay without any."""
        import torch

        z = (self.x[rows] - self.middle) / self.unit
        left = torch.cat([-2 * z, torch.ones_like(z[:, :1])], dim=1).to(self.right.dtype)
        parts = []
        for start, scores in self.scores(left, rows):
            best = scores.topk(min(self.listed, scores.shape[1]), dim=1, largest=False)
            parts.append((best.values, best.indices + start))
        scores, columns = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        best = scores.topk(self.listed, dim=1, largest=False)
        columns = columns.gather(1, best.indices)
        squared, columns = _sorted(_squared(self.x, self.y, rows, columns), columns, self.k)
        distances[rows], found[rows] = squared.sqrt(), columns
        if self.listed == len(self.y) - self.own:
            return rows[:0]
        slack = 1 + (self.x.shape[1] + 9) * torch.finfo(torch.float64).eps
        limit = squared[:, -1] / self.unit**2 * slack + self.underflow - (1 - self.g) * (z * z).sum(1)
        highest = limit.to(self.right.dtype).nextafter(torch.full_like(left[:, 0], torch.inf))
        hard = (~(best.values[:, -1] > highest)).nonzero()[:, 0]
        undone = [self.within(left[h], rows[h], highest[h], distances, found) for h in hard.split(-(-len(rows) // 8))]
        return torch.cat(undone) if undone else rows[:0]

    def within(self, left: Any, rows: Any, highest: Any, distances: Any, found: Any) -> Any:
        """The same for rows whose neighbors are among the columns with scores up to the highest."""
        import torch

        few = max(FEW, len(self.y) // FEW_SHARE)
        count, pairs = torch.zeros_like(rows), []
        for start, scores in self.scores(left, rows):
            near = scores <= highest[:, None]
            count += near.sum(1)
            near &= (count <= few)[:, None]
            pairs.append(near.nonzero() + torch.tensor([0, start], device=near.device))
        i, j = torch.cat(pairs).T
        done = count <= few
        i, j = i[done[i]], j[done[i]]
        squared = _squared(self.x, self.y, rows[i], j[:, None])[:, 0]
        order = squared.argsort(stable=True)
        order = order[i[order].argsort(stable=True)]
        ends = count[done].cumsum(0)
        chosen = order[(ends - count[done])[:, None] + torch.arange(self.k, device=order.device)]
        distances[rows[done]], found[rows[done]] = squared[chosen].sqrt(), j[chosen]
        return rows[~done]

    def scores(self, left: Any, rows: Any) -> Iterator[tuple[int, Any]]:
        """First column and scores of each part of the columns; inf for a row itself."""
        for start in range(0, len(self.y), _COLUMNS):
            scores = left @ self.right[start : start + _COLUMNS].T
            if self.own:
                inside = ((rows >= start) & (rows < start + scores.shape[1])).nonzero()[:, 0]
                scores[inside, rows[inside] - start] = float("inf")
            yield start, scores


def _squared(x: Any, y: Any, rows: Any, found: Any) -> Any:
    """Squared distances of rows of x to some rows of y each, from the differences, a few at a time."""
    squared = x.new_empty(found.shape)
    step = max(1, _BLOCK // (found.shape[1] * x.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        squared[part] = (y[found[part]] - x[rows[part], None]).square().sum(2)
    return squared


def _sorted(squared: Any, found: Any, k: int) -> tuple[Any, Any]:
    order = squared.argsort(dim=1, stable=True)[:, :k]
    return squared.gather(1, order), found.gather(1, order)


def _size(x: Any) -> float:
    """The largest power of two up to max |x|; 0 if x is."""
    largest = float(x.abs().max())
    return float(np.ldexp(1.0, np.frexp(largest)[1] - 1)) if largest else 0.0


def _single_is_single() -> bool:
    """Whether products of float32 are not allowed to be rounded to TF32 or bfloat16 on the way."""
    import torch

    try:
        return torch.get_float32_matmul_precision() == "highest" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "1"
    except RuntimeError:  # the settings of this version and of older ones were mixed, and torch will not say
        return False
