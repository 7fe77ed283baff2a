"""Pairs of pictures that share bits through a binary symmetric channel: unstructured data, exact information."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples, stream
from itssl.choices import ParameterError, require_count
from itssl.distributions.explicit import ExplicitLaw
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import exact
from itssl.distributions.tasks import Task
from itssl.kernels.roots import root_between

_PATTERN_SEED = 0  # the stamps are part of the definition of the task, not of a draw

Signs = Int[np.ndarray, "n bits"]


@dataclass(frozen=True)
class BitPictures:
    r"""Pictures of ``bits`` tiles in a row, each a stamp of ±1 pixels that is shown or inverted according to one bit.

    A tile of P = ``tile``² pixels is s·c·t + e with s = ±1 the bit, t its stamp, contrast c uniform on
    [``contrast[0]``, ``contrast[1]``] and pixel noise e uniform on ±``noise``, all independent: contrast and noise are
    nuisance. As noise < contrast[0] every single pixel shows the bit, which :meth:`read` returns without error.
    Raises ParameterError for fewer than one bit or pixel, or unless 0 < noise < contrast[0] < contrast[1].

    >>> pictures = BitPictures(bits=2, tile=3)
    >>> x = pictures.draw(np.array([[1, -1]]), np.random.default_rng(0))
    >>> x.shape, pictures.read(x)
    ((1, 18), array([[ 1, -1]]))
    """

    bits: int = 4
    tile: int = 4
    contrast: tuple[float, float] = (0.5, 1.5)
    noise: float = 0.4

    def __post_init__(self) -> None:
        require_count("bits", self.bits)
        require_count("tile", self.tile)
        low, high = self.contrast
        if not 0 < self.noise < low < high < np.inf:
            raise ParameterError(
                f"noise, contrast: expected 0 < noise < contrast[0] < contrast[1], got {self.noise} and "
                f"{self.contrast}; otherwise a bit cannot be read with certainty"
            )

    @property
    def dim(self) -> int:
        """Pixels of a picture."""
        return self.bits * self.tile**2

    @property
    def stamps(self) -> Float[np.ndarray, "bits p"]:
        """The ±1 patterns, one a tile; always the same."""
        return np.sign(stream(_PATTERN_SEED, "stamps").random((self.bits, self.tile**2)) - 0.5)

    def draw(self, signs: Signs, rng: np.random.Generator) -> Samples:
        """One picture for each row of bits ±1, flattened tile by tile to shape (n, bits·tile²)."""
        contrast = rng.uniform(*self.contrast, size=signs.shape)
        clean = (signs * contrast)[:, :, None] * self.stamps
        return (clean + rng.uniform(-self.noise, self.noise, size=clean.shape)).reshape(len(signs), -1)

    def _turned(self, x: Samples) -> Float[np.ndarray, "n bits p"]:
        """Pixels times their stamp: s·c plus noise everywhere in a tile."""
        return x.reshape(len(x), self.bits, -1) * self.stamps

    def read(self, x: Samples) -> Signs:
        """The bits ±1 of each picture, without error."""
        return np.where(self._turned(x)[:, :, 0] > 0, 1, -1)

    def log_density_given_bits(self, x: Samples) -> Float[np.ndarray, " n"]:
        r"""log p(x | its own bits): Σ over tiles of log(length of the possible contrasts) − log(range) − P log 2a.

        Given s the pixels bound the contrast by max_i(s t_i x_i) − a ≤ c ≤ min_i(s t_i x_i) + a, a the noise.
        """
        upright = self._turned(x) * self.read(x)[:, :, None]
        least = np.maximum(upright.max(axis=2) - self.noise, self.contrast[0])
        most = np.minimum(upright.min(axis=2) + self.noise, self.contrast[1])
        with np.errstate(divide="ignore"):
            lengths = np.log(np.maximum(most - least, 0.0)).sum(axis=1)
        span = float(np.log(self.contrast[1] - self.contrast[0]))
        return lengths - self.bits * (span + self.tile**2 * float(np.log(2 * self.noise)))


def binary_symmetric_images(flip: float, *, pictures: BitPictures | None = None) -> Task:
    r"""Two pictures whose bits are fair coins, each flipped between them with probability p ("flip") [1].

    .. math:: I(X; Y) = k\,(\log 2 - H_b(p)), \qquad H_b(p) = -p\log p - (1-p)\log(1-p),

    exact with k bits: each picture determines its bits, and given the bits the two are independent. The number of
    pixels does not enter. After [1], with drawn stamps in place of photographs so that the densities are known.
    Raises LawError unless 0 ≤ flip ≤ 1.

    References
    ----------
    [1] Lee & Rhee (2024). A Benchmark Suite for Evaluating Neural Mutual Information Estimators on Unstructured
        Datasets. NeurIPS, Datasets and Benchmarks.

    >>> binary_symmetric_images(0.1, pictures=BitPictures(bits=3, tile=2))
    Task('pictures of 3 bits, flip 0.1', 12 × 12: 1.10419 (exact) nats)
    """
    if not 0 <= flip <= 1:
        raise LawError(f"flip: expected a probability, got {flip}")
    shown = BitPictures() if pictures is None else pictures
    d, k = shown.dim, shown.bits

    def draw_bits(n: int, rng: np.random.Generator) -> Signs:
        return 2 * rng.integers(0, 2, size=(n, k)) - 1

    def draw_pairs(n: int, rng: np.random.Generator) -> Samples:
        signs = draw_bits(n, rng)
        received = signs * np.where(rng.random(signs.shape) < flip, -1, 1)
        return np.hstack([shown.draw(signs, rng), shown.draw(received, rng)])

    def log_one(x: Samples) -> Float[np.ndarray, " n"]:
        return shown.log_density_given_bits(x) - k * np.log(2)

    def log_pair(pair: Samples) -> Float[np.ndarray, " n"]:
        x, y = pair[:, :d], pair[:, d:]
        changed = (shown.read(x) != shown.read(y)).sum(axis=1)
        received = _times_log(changed, flip) + _times_log(k - changed, 1 - flip)
        return log_one(x) + shown.log_density_given_bits(y) + received

    one = ExplicitLaw(d, lambda n, rng: shown.draw(draw_bits(n, rng), rng), log_one)
    return Task(
        name=f"pictures of {k} bits, flip {flip:g}", joint=ExplicitLaw(2 * d, draw_pairs, log_pair), x=one, y=one,
        mutual_information=exact(k * _information_per_bit(flip), "binary symmetric channel"),
    )  # fmt: skip


def binary_symmetric_images_with_information(nats: float, *, pictures: BitPictures | None = None) -> Task:
    """Pictures whose flip probability (at most ½) gives the information asked for; at most (bits)·log 2 nats.

    The inverse of :func:`binary_symmetric_images`: k(log 2 − H_b(p)) = I solved for p.
    As flip is a float, the information is met to a relative 4e-16/√(nats/bits) only; what the task states is that of
    its own flip. Raises LawError beyond the most.

    >>> print(f"{binary_symmetric_images_with_information(1.5).mutual_information.value:.12f}")
    1.500000000000
    """

    shown = BitPictures() if pictures is None else pictures
    most = shown.bits * float(np.log(2))
    if not 0 <= nats <= most:
        raise LawError(f"nats: expected 0 to {most:.6g} with {shown.bits} bits, got {nats}; use more bits")
    if nats == most:
        return binary_symmetric_images(0.0, pictures=shown)
    flip = root_between(lambda p: _information_per_bit(p) - nats / shown.bits, 0.0, 0.5, xtol=1e-300)
    return binary_symmetric_images(flip, pictures=shown)


def _information_per_bit(flip: float) -> float:
    """log 2 − H(flip) = t·artanh t + ½ log(1 − t²) at t = 1 − 2·flip; the second form keeps digits near flip = ½."""
    t = 1 - 2 * flip
    if abs(t) > 0.5:
        return float(np.log(2)) - binary_entropy(flip)
    return float(t * np.arctanh(t) + np.log1p(-t * t) / 2)


def binary_entropy(p: float) -> float:
    """−p log p − (1−p) log(1−p) in nats.

    >>> print(f"{binary_entropy(0.5):.6f}")
    0.693147
    """
    from scipy.special import xlog1py, xlogy

    return float(-xlogy(p, p) - xlog1py(1 - p, -p))


def _times_log(count: Int[np.ndarray, " n"], p: float) -> Float[np.ndarray, " n"]:
    """count·log p with 0·log 0 = 0."""
    from scipy.special import xlogy

    return np.asarray(xlogy(count.astype(float), p))
