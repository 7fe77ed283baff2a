"""Rademacher complexities of probes and of ReLU networks: closed forms, a Monte-Carlo value and a bound by norms.

Throughout R̃_m(G) = (1/√m) E sup_{g in G} Σ_i ξ_i g(x_i) for m draws and independent signs ξ_i, so that R̃_m/√m is the
usual Rademacher complexity and R̃_m itself settles as m grows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from itssl.arrays import Samples, SamplesLike, as_samples
from itssl.choices import ParameterError, require_count, require_nonnegative, require_positive
from itssl.estimate import Bias, Estimate, Reference

if TYPE_CHECKING:
    import torch

MAURER_2016 = Reference(
    authors="Maurer", title="A vector-contraction inequality for Rademacher complexities", year=2016, where="ALT"
)
GOLOWICH_2018 = Reference(
    authors="Golowich, Rakhlin & Shamir", title="Size-independent sample complexity of neural networks", year=2018,
    where="COLT",
)  # fmt: skip


def probe_complexity(radius: float, *, norm: float, outputs: int) -> float:
    r"""√2 · B · √K · R ≥ R̃_m of {(x, y) ↦ ‖y − W f(x)‖ : ‖W‖_F ≤ B}, for one fixed f with E‖f(x)‖² ≤ R².

    A norm in R^K is 1-Lipschitz, so the vector contraction [1] leaves √2 E sup ⟨W, Σ_i ξ_i f(x_i)ᵀ⟩ =
    √2 B E‖Σ_i ξ_i f(x_i)ᵀ‖_F with K signs a draw, and Jensen's inequality √2 B √(K Σ_i ‖f(x_i)‖²).

    Parameters
    ----------
    radius: R; a bound on ‖f‖ will do. The root mean square of a sample estimates the smallest R.
    norm: B. outputs: K, the number of classes.

    Raises ParameterError for values that are negative or no numbers.

    References
    ----------
    [1] Maurer (2016). A vector-contraction inequality for Rademacher complexities. ALT.

    >>> print(f"{probe_complexity(1.0, norm=2.0, outputs=2):.3f}")
    4.000
    """
    require_nonnegative("radius", radius)
    require_positive("norm", norm)
    require_count("outputs", outputs)
    return math.sqrt(2 * outputs) * norm * radius


def sampled_probe_complexity(
    z: SamplesLike, *, norm: float, outputs: int, draws: int = 200, rng: np.random.Generator
) -> Estimate:
    r"""√2 · B · E_ξ‖Σ_i ξ_i z_iᵀ‖_F / √m over ``draws`` of the signs: what :func:`probe_complexity` bounds.

    Unbiased for the contraction bound given these rows, with the standard error of the draws; at most the closed form
    by Jensen's inequality. Orthogonal rows reach it; many rows in one direction 0.80, 0.89 and 0.98 of it for K = 1, 2
    and 10. It holds the rows fixed, while R̃_m averages over them too.

    Parameters
    ----------
    z: representations, shape (m, d).
    norm, outputs: as in :func:`probe_complexity`.

    Raises SampleError as :func:`itssl.arrays.as_samples`; ParameterError for fewer than 2 draws.

    >>> found = sampled_probe_complexity(np.eye(4), norm=1.0, outputs=2, rng=np.random.default_rng(0))
    >>> print(f"{found.value:.3f} {probe_complexity(1.0, norm=1.0, outputs=2):.3f}")
    2.000 2.000
    """
    z = as_samples(z, name="z", minimum=1)
    require_positive("norm", norm)
    require_count("outputs", outputs)
    require_count("draws", draws, minimum=2)
    values = math.sqrt(2) * norm * _sign_norms(z, outputs, draws, rng) / math.sqrt(len(z))
    return Estimate(
        value=values.mean(), standard_error=values.std(ddof=1) / math.sqrt(draws), n=draws, bias=Bias.UNBIASED,
        method="signs drawn", units="", degrees_of_freedom=draws - 1, reference=MAURER_2016,
    )  # fmt: skip


def _sign_norms(z: Samples, outputs: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """‖Σ_i ξ_i z_iᵀ‖_F for each draw of K signs a row."""
    signs = (2 * rng.integers(0, 2, size=(draws, outputs, len(z)), dtype=np.int8) - 1).astype(float)
    return np.linalg.norm((signs @ z).reshape(draws, -1), axis=1)


@dataclass(frozen=True, kw_only=True)
class ReLUNetworks:
    r"""All networks x ↦ A_L σ(… σ(A_1 (x, 1)) …) with ‖A_j‖_F ≤ ``norms[j]``, for ‖x‖ ≤ ``input_radius``.

    σ is 1-Lipschitz, acts on each entry and σ(a t) = a σ(t) for a ≥ 0; it may also follow A_L. Biases are columns of
    the A_j, with one unit that carries the 1. The rows of A_L have norms of at most ``rows``, one an output. For one
    output the complexity is

    .. math:: \tilde R_m \le \Bigl(\sqrt{2 L \ln 2} + 1\Bigr) \sqrt{1 + \text{radius}^2} \prod_j \lVert A_j \rVert_F

    [1, theorem 1]; outputs are added up. The class must not depend on the data: norms read off a trained network
    (:func:`relu_networks`) describe the smallest class that holds it, and the bound is for whoever named these norms
    beforehand.

    Raises ParameterError for norms that are not positive.

    References
    ----------
    [1] Golowich, Rakhlin & Shamir (2018). Size-independent sample complexity of neural networks. COLT.

    >>> networks = ReLUNetworks(norms=(2.0, 3.0), rows=(1.0, 2.0), input_radius=0.0)
    >>> print(f"{networks.radius:.1f} {networks.pair_complexity():.2f}")
    6.0 45.23
    """

    norms: tuple[float, ...]
    rows: tuple[float, ...]
    input_radius: float

    def __post_init__(self) -> None:
        if not self.norms or not self.rows:
            raise ParameterError(f"norms and rows: expected at least one of each, got {self.norms!r} and {self.rows!r}")
        for value in self.norms:
            require_positive("norms", value)
        for value in self.rows:
            require_nonnegative("rows", value)
        require_nonnegative("input_radius", self.input_radius)

    @property
    def radius(self) -> float:
        """A bound on ‖f(x)‖ over the class."""
        return math.prod(self.norms) * math.hypot(1.0, self.input_radius)

    def _one_output(self, layers: int) -> float:
        """The complexity of one output of row norm 1, after the layers before the last, for ``layers`` in all."""
        depth = math.sqrt(2 * layers * math.log(2)) + 1
        return depth * math.prod(self.norms[:-1]) * math.hypot(1.0, self.input_radius)

    def pair_complexity(self) -> float:
        """A bound on R̃_m of {(x, x') ↦ ‖f(x) − f(x')‖}: √2 by contraction, and 2 for the two members of a pair."""
        return 2 * math.sqrt(2) * sum(self.rows) * self._one_output(len(self.norms))

    def probe_complexity(self, *, norm: float, outputs: int) -> float:
        """A bound on R̃_m of {(x, y) ↦ ‖y − W f(x)‖ : ‖W‖_F ≤ norm}; W is one more layer, each row at most ``norm``."""
        last = self.norms[-1] * self._one_output(len(self.norms) + 1)
        return math.sqrt(2) * outputs * require_positive("norm", norm) * last


def relu_networks(network: "torch.nn.Module", input_radius: float) -> ReLUNetworks:
    """The smallest class of :class:`ReLUNetworks` that holds the network, in evaluation mode.

    Linear layers with ReLU or leaky ReLU between them; batch normalization right after a linear layer, before any
    activation, is made part of it.

    Raises NetworkError for another layer.

    >>> from itssl.networks.encoders import mlp
    >>> print(f"{relu_networks(mlp((2, 8, 3), seed=0), 1.0).radius:.1f}")
    11.2
    """
    from itssl.networks.encoders import NetworkError, as_double

    layers: list[tuple[Any, Any]] = []
    linear = False  # whether no activation came since the last linear layer
    for module in _in_order(as_double(network)):
        kind = type(module).__name__
        weight, bias = (_numbers(getattr(module, name, None)) for name in ("weight", "bias"))
        if kind == "Linear" and weight is not None:
            layers.append((weight, np.zeros(len(weight)) if bias is None else bias))
            linear = True
        elif kind == "BatchNorm1d" and linear and module.running_var is not None:
            layers[-1] = _normalized(module, *layers[-1])
        elif kind in ("ReLU", "LeakyReLU") and abs(getattr(module, "negative_slope", 0)) <= 1:
            linear = False
        elif kind != "Identity":
            raise NetworkError(
                "network: expected linear layers, batch normalization right after them and (leaky) ReLU of slopes in "
                f"[−1, 1], got {module}; bound its norms yourself and pass "
                "ReLUNetworks(norms=..., rows=..., input_radius=...)"
            )
    if not layers:
        raise NetworkError("network: expected at least one linear layer, got none")
    full = [np.column_stack([weight, bias]) for weight, bias in layers]
    norms = [math.hypot(float(np.linalg.norm(a)), 1.0) for a in full[:-1]] + [float(np.linalg.norm(full[-1]))]
    rows = np.linalg.norm(full[-1], axis=1)
    return ReLUNetworks(norms=tuple(norms), rows=tuple(map(float, rows)), input_radius=input_radius)


def _numbers(parameter: Any) -> np.ndarray | None:
    return None if parameter is None else parameter.detach().numpy()


def _in_order(module: Any) -> Iterator[Any]:
    """Layers as they are applied: one used twice comes twice, unlike in ``modules()``."""
    if type(module).__name__ != "Sequential":
        yield module
        return
    for child in module:
        yield from _in_order(child)


def _normalized(module: Any, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The linear layer with the batch normalization that follows it."""
    scale = 1 / np.sqrt(module.running_var.numpy() + module.eps)
    shift = -module.running_mean.numpy() * scale
    if module.affine:
        scale, shift = scale * _numbers(module.weight), shift * _numbers(module.weight) + _numbers(module.bias)
    return weight * scale[:, None], bias * scale + shift
