r"""Log-densities of Gaussian mixtures: the exponents of a tile from one matrix product, their log-sum-exp in place.

A tile has components in rows and points in columns. For variances v_jk the exponents are a product of length d + 2
(one variance a component) or 2d + 1,

.. math:: c_j - \tfrac12 \sum_k (x_{ik} - m_{jk})^2 / v_{jk}
          = \Big[c_j - \tfrac12 \sum_k m_{jk}^2 / v_{jk}\Big] + \sum_k x_{ik}\, m_{jk} / v_{jk}
          - \tfrac12 \sum_k x_{ik}^2 / v_{jk}.

Its rounding is at most γ of its length times the sum of the sizes of its terms [1, sec. 3.1], which is at most
Σ_k (x² + m²)/v. Where this may exceed 1e-11, and the sum 32 a coordinate, exponents whose rounding could still be seen
come from the differences x − m instead, unless they are so large themselves that differences would be no better.
For matrices, products give the whitened rows (x − m)ᵀU with U upper triangular and UUᵀ = Σ⁻¹; the first columns of U
need the first coordinates of x alone.

References
----------
[1] Higham (2002). Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.kernels.linalg import LOG_2PI
from itssl.kernels.threads import Scratch, in_order

_COMPONENTS = 256  # of a tile at most
_CELLS = 3 * 2**16  # numbers of a tile and of the factors of its points; in half as many, calls would weigh more
_POINTS = 1024  # of a strip, which shares factors that are not kept
_KEPT = 2**20  # numbers of factors that are kept from strip to strip
_SMALLEST_EXPONENT = -700.0  # below it exp is subnormal: slow, and of no weight
_EXPONENT_ERROR = 1e-11
_EASY = 32  # squared deviations a coordinate up to which rounding is taken as it comes
_NO_WEIGHT = -1e300  # for −inf, which is no factor
_FAR = 1e140  # its square is a float
_DIFFERENCES = 2**17  # numbers at a time
_EPS = float(np.finfo(float).eps)


class Points(NamedTuple):
    """Points of a strip: as given, centered, the factors of their products, variances of coordinates (zero if None)."""

    raw: Float[np.ndarray, "r d"]
    x: Float[np.ndarray, "r d"]
    factors: Float[np.ndarray, "r e"]
    spread: Float[np.ndarray, "r d"] | None

    def part(self, which: slice) -> "Points":
        spread = None if self.spread is None else self.spread[which]
        return Points(self.raw[which], self.x[which], self.factors[which], spread)


@dataclass(frozen=True, eq=False)
class DiagonalTerms:
    """Exponents c_j − ½ Σ_k (x_k − m_jk)²/v_jk; variances are (m, 1) where all coordinates share one. c may be −inf."""

    constants: Float[np.ndarray, " m"]
    means: Float[np.ndarray, "m d"]
    variances: Float[np.ndarray, "m v"]

    @classmethod
    def normal(
        cls, log_weights: Float[np.ndarray, " m"], means: Float[np.ndarray, "m d"], variances: Float[np.ndarray, "m v"]
    ) -> "DiagonalTerms":
        """log w_j N(x; m_j, diag(v_j)).

        >>> terms = DiagonalTerms.normal(np.zeros(1), np.zeros((1, 2)), np.ones((1, 1)))
        >>> print(log_sums(np.zeros((1, 2)), terms).round(4))
        [-1.8379]
        """
        d = means.shape[1]
        logs = np.log(variances).sum(axis=1) * (d / variances.shape[1])
        return cls(log_weights - (logs + d * LOG_2PI) / 2, means, variances)

    @property
    def runs(self) -> list[slice]:
        """Components of each tile."""
        m = len(self.means)
        return [slice(j, min(j + _COMPONENTS, m)) for j in range(0, m, _COMPONENTS)]

    @property
    def shape(self) -> tuple[int, int]:
        """Points of a tile, and of a strip of tiles."""
        width = 1 + self.means.shape[1] + self.variances.shape[1]
        r = max(64, _CELLS // (min(len(self.means), _COMPONENTS) + width))
        return r, r if self._kept else max(r, _POINTS)

    @cached_property
    def _middle(self) -> Float[np.ndarray, " d"]:
        return np.median(self.means, axis=0)  # one mean far away must not cost the others digits

    @cached_property
    def _kept(self) -> list[Float[np.ndarray, "c e"]] | None:
        m, d = self.means.shape
        return [self._factors(run) for run in self.runs] if m * (d + self.variances.shape[1]) <= _KEPT else None

    def factors(self, number: int) -> Float[np.ndarray, "c e"]:
        """What the products need of the components of a run."""
        return self._factors(self.runs[number]) if self._kept is None else self._kept[number]

    def _factors(self, run: slice) -> Float[np.ndarray, "c e"]:
        """(c − ½ Σ m²/v, m/v, −1/(2v)) for these components."""
        d, v = self.means.shape[1], self.variances.shape[1]
        found = np.empty((run.stop - run.start, 1 + d + v))
        m, inverse = found[:, 1 : d + 1], found[:, d + 1 :]
        np.subtract(self.means[run], self._middle, out=m)
        np.divide(-0.5, self.variances[run], out=inverse)
        with np.errstate(over="ignore", invalid="ignore"):
            own = np.einsum("ij,ij,ij->i", m, m, np.broadcast_to(inverse, m.shape))
            found[:, 0] = np.maximum(self.constants[run], _NO_WEIGHT) + own
            m *= -2 * inverse
        return found

    def points(self, x: Samples, spread: Samples | None, scratch: Scratch) -> Points:
        """What the products need of these points."""
        d, v = x.shape[1], self.variances.shape[1]
        factors = scratch.array("points", len(x), 1 + d + v)
        factors[:, 0] = 1
        z, squares = factors[:, 1 : d + 1], factors[:, d + 1 :]
        np.subtract(x, self._middle, out=z)
        with np.errstate(over="ignore"):
            if v < d:
                squares[:, 0] = np.einsum("ij,ij->i", z, z)
            else:
                np.square(z, out=squares)
            if spread is not None:
                squares += spread.sum(axis=1, keepdims=True) if v < d else spread
        return Points(x, z, factors, spread)

    def fill(
        self, tile: np.ndarray, run: slice, factors: np.ndarray, points: Points, top: np.ndarray | None, _: Scratch
    ) -> None:
        """Exponents of a run of components at each point.

        ``top`` holds exponents met before: what is lost below them need not be exact. Without it every entry is.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(factors, points.factors.T, out=tile)
            self._sharpen(tile, run, factors, points, top)

    def _sharpen(
        self, tile: np.ndarray, run: slice, factors: np.ndarray, points: Points, top: np.ndarray | None
    ) -> None:
        d = points.x.shape[1]
        inverse, squares = -2 * factors[:, d + 1 :], points.factors[:, d + 1 :]
        constants = np.maximum(self.constants[run], _NO_WEIGHT)
        own = 2 * (constants - factors[:, 0]) + np.where(constants > _NO_WEIGHT, np.abs(constants), 0)
        unit = (factors.shape[1] + d + 12) * _EPS / 2
        largest = float((squares @ inverse.max(axis=0)).max() + own.max())
        if largest <= max(_EXPONENT_ERROR / unit, _EASY * d):
            return
        if not np.isfinite(largest):  # squares overflow: all from differences
            everything = np.nonzero(np.ones(tile.shape, dtype=bool))
            self._measure(tile, run, points, everything[0], everything[1])
            return
        sizes = inverse @ squares.T
        sizes += own[:, None]
        seen = sizes > np.maximum(_EXPONENT_ERROR / unit, 4 * (2 * (constants[:, None] - tile) + d))
        if top is not None:
            sizes *= unit
            sure = np.maximum(top, (tile - sizes).max(axis=0))
            reach = np.log(2 * len(self.means) / _EPS) + min(0.0, float(np.log(largest * unit)))
            seen &= tile + sizes >= sure - reach
        rows, columns = np.nonzero(seen)
        self._measure(tile, run, points, rows, columns)

    def _measure(self, tile: np.ndarray, run: slice, points: Points, rows: np.ndarray, columns: np.ndarray) -> None:
        """Write the exponents of these pairs, from differences cut at 1e140 deviations."""
        means, constants = self.means[run], np.maximum(self.constants[run], _NO_WEIGHT)
        step = max(1, _DIFFERENCES // means.shape[1])
        for start in range(0, len(rows), step):
            j, i = rows[start : start + step], columns[start : start + step]
            variances = self.variances[run][j]
            white = np.clip((points.raw[i] - means[j]) / np.sqrt(variances), -_FAR, _FAR)
            squares = np.einsum("ij,ij->i", white, white)
            if points.spread is not None:
                squares += (points.spread[i] / variances).sum(axis=1)
            tile[j, i] = constants[j] - squares / 2


@dataclass(frozen=True, eq=False)
class FullTerms:
    """log w_j N(x; m_j, Σ_j) by the lower Cholesky factors of the Σ_j."""

    log_weights: Float[np.ndarray, " m"]
    means: Float[np.ndarray, "m d"]
    cholesky: Float[np.ndarray, "m d d"]

    @property
    def runs(self) -> list[slice]:
        """Components of each tile."""
        m, step = len(self.means), max(1, _COMPONENTS // self._block)
        return [slice(j, min(j + step, m)) for j in range(0, m, step)]

    @property
    def shape(self) -> tuple[int, int]:
        """Points of a tile, and of a strip of tiles."""
        return _COMPONENTS, _COMPONENTS

    @property
    def _block(self) -> int:
        """Columns of U that are taken together; with quarters 5/8 of the products are left."""
        return min(max(8, -(-self.means.shape[1] // 4)), self.means.shape[1])

    @cached_property
    def _middle(self) -> Float[np.ndarray, " d"]:
        return np.median(self.means, axis=0)  # one mean far away must not cost the others digits

    @cached_property
    def _constants(self) -> Float[np.ndarray, "m 1"]:
        log_dets = 2 * np.log(np.diagonal(self.cholesky, axis1=1, axis2=2)).sum(axis=1)
        return (self.log_weights - (log_dets + self.means.shape[1] * LOG_2PI) / 2)[:, None]

    @cached_property
    def _whiteners(self) -> list[list[Float[np.ndarray, "w e"]]]:
        """For each run, blocks of columns k of (−mᵀU; U), all components for each k, cut to the rows that are not 0."""
        from scipy.linalg.lapack import dtrtri  # pyright: ignore[reportAttributeAccessIssue]

        d, size, found = self.means.shape[1], self._block, []
        for run in self.runs:
            inverse = np.stack([dtrtri(factor, lower=1)[0] for factor in self.cholesky[run]])
            shift = -np.einsum("jkl,jl->jk", inverse, self.means[run] - self._middle)
            both = np.concatenate([shift[:, :, None], inverse], axis=2).transpose(1, 0, 2)
            ends = [(k, min(k + size, d)) for k in range(0, d, size)]
            found.append([np.ascontiguousarray(both[k:end, :, : end + 1]).reshape(-1, end + 1) for k, end in ends])
        return found

    def points(self, x: Samples, spread: Samples | None, scratch: Scratch) -> Points:
        """What the products need of these points."""
        factors = scratch.array("points", len(x), 1 + x.shape[1])
        factors[:, 0] = 1
        np.subtract(x, self._middle, out=factors[:, 1:])
        return Points(x, factors[:, 1:], factors, spread)

    def factors(self, number: int) -> list[Float[np.ndarray, "w e"]]:
        """What the products need of the components of a run."""
        return self._whiteners[number]

    def fill(
        self, tile: np.ndarray, run: slice, factors: list[np.ndarray], points: Points, _: object, scratch: Scratch
    ) -> None:
        """Exponents of a run of components at each point."""
        tile[:] = 0
        with np.errstate(over="ignore"):
            for block in factors:
                white = scratch.array("white", len(block), tile.shape[1])
                np.matmul(block, points.factors[:, : block.shape[1]].T, out=white)
                np.square(white, out=white)
                tile -= (np.ones(len(white) // len(tile)) @ white.reshape(-1, tile.size)).reshape(tile.shape)
        tile *= 0.5
        tile += self._constants[run]


Terms: TypeAlias = DiagonalTerms | FullTerms


def log_sums(x: Samples, terms: Terms, spread: Float[np.ndarray, "n d"] | None = None) -> Float[np.ndarray, " n"]:
    """log Σ_j e^{exponent of component j} at each row of x, without over- or underflow; memory O(m·d) plus tiles.

    With ``spread``, a variance s_ik of each coordinate of x, (x_ik − m_jk)² + s_ik stands for (x_ik − m_jk)² (diagonal
    terms only): these are exponents −KL(N(x_i, diag s_i) ‖ component j) but for what depends on i alone.

    >>> terms = DiagonalTerms.normal(np.log([0.5, 0.5]), np.array([[0.0], [2.0]]), np.ones((2, 1)))
    >>> print(log_sums(np.array([[1.0]]), terms).round(4))
    [-1.4189]
    """
    scratch = Scratch()

    def work(rows: slice) -> np.ndarray:
        """Of a strip: the largest exponent met so far and the sum relative to it."""
        points = terms.points(x[rows], None if spread is None else spread[rows], scratch)
        top, total = np.full(len(points.x), -np.inf), np.zeros(len(points.x))
        for part, run, tile in _tiles(terms, points, top, scratch):
            before, after = top[part], np.maximum(top[part], tile.max(axis=0).clip(_NO_WEIGHT))
            tile -= after
            if tile.min() < _SMALLEST_EXPONENT:
                np.clip(tile, _SMALLEST_EXPONENT, 0, out=tile)
            np.exp(tile, out=tile)
            if run.start:
                total[part] *= np.exp(before - after)
            total[part] += np.ones(len(tile)) @ tile
            top[part] = after
        return np.where(top > _NO_WEIGHT / 2, top, -np.inf) + np.log(total)

    return np.concatenate(list(in_order(work, _strips(len(x), terms))))


def log_densities(x: Samples, terms: Terms) -> Float[np.ndarray, "n m"]:
    """The exponent of each component at each row of x.

    >>> terms = DiagonalTerms(np.zeros(2), np.array([[0.0], [2.0]]), np.ones((2, 1)))
    >>> log_densities(np.array([[0.0]]), terms)
    array([[ 0., -2.]])
    """
    found, scratch = np.empty((len(terms.means), len(x))), Scratch()

    def work(rows: slice) -> None:
        for part, run, tile in _tiles(terms, terms.points(x[rows], None, scratch), None, scratch):
            found[run, rows][:, part] = tile

    for _ in in_order(work, _strips(len(x), terms)):
        pass
    return found.T


def _strips(n: int, terms: Terms) -> list[slice]:
    step = min(terms.shape[1], max(-(-n // 4), 64, _CELLS // 2 // len(terms.means)))  # shared by a few threads
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _tiles(
    terms: Terms, points: Points, top: np.ndarray | None, scratch: Scratch
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """For each tile its points, its components and the exponents, in memory that the next one takes."""
    r, n = terms.shape[0], len(points.x)
    for number, run in enumerate(terms.runs):
        factors: Any = terms.factors(number)
        for start in range(0, n, r):
            part = slice(start, min(start + r, n))
            tile = scratch.array("tile", run.stop - run.start, part.stop - part.start)
            terms.fill(tile, run, factors, points.part(part), None if top is None else top[part], scratch)
            yield part, run, tile
