"""Small critics and conditional densities for variational estimators: functions of one flat vector of weights.

A critic is a frozen description; its weights are a torch vector handed in with the data, so that a checkpoint is a
copy, a step is one vector operation, and nothing here loads torch before a network is wanted. Initial weights come
from a generator given by the caller, never from torch's global one.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float

from itssl.arrays import stream
from itssl.choices import require_count, require_known
from itssl.kernels.linalg import LOG_2PI

CRITICS = ("separable", "joint")
EMBEDDING = 32
"""Dimension in which a separable critic compares its two embeddings."""
TILE = 2**22
"""Numbers held at once by a joint critic outside of training."""


@runtime_checkable
class Critic(Protocol):
    """What gives a score to every pair of a row of x and a row of y."""

    def initial(self, generator: Any, /) -> Float[Any, " p"]: ...

    def scores(self, weights: Float[Any, " p"], x: Float[Any, "n d_x"], y: Float[Any, "m d_y"], /) -> Any: ...


@dataclass(frozen=True)
class SeparableCritic:
    """s(x, y) = g(x)·h(y)/√32 + a(x) + b(y), with (g, a) and (h, b) two perceptrons: cheap, n + m evaluations.

    >>> import torch
    >>> critic = SeparableCritic(2, 3, hidden=8, layers=1)
    >>> weights = critic.initial(torch_generator(0, "critic"))
    >>> critic.scores(weights, torch.zeros(4, 2), torch.zeros(5, 3)).shape
    torch.Size([4, 5])
    """

    d_x: int
    d_y: int
    hidden: int = 64
    layers: int = 2

    def initial(self, generator: Any, /) -> Float[Any, " p"]:
        """Weights drawn from the generator, float32."""
        import torch

        return torch.cat([initial_weights(widths, generator) for widths in self._widths])

    def scores(self, weights: Float[Any, " p"], x: Float[Any, "n d_x"], y: Float[Any, "m d_y"], /) -> Any:
        """Scores of all pairs, shape (n, m)."""
        first, second = self._widths
        cut = weight_count(first)
        g, h = perceptron(first, weights[:cut], x), perceptron(second, weights[cut:], y)
        return g[:, 1:] @ h[:, 1:].T / EMBEDDING**0.5 + g[:, :1] + h[:, 0]

    @property
    def _widths(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        inner = (self.hidden,) * self.layers
        return (self.d_x, *inner, EMBEDDING + 1), (self.d_y, *inner, EMBEDDING + 1)


@dataclass(frozen=True)
class JointCritic:
    """s(x, y) is one perceptron of the two rows side by side: more flexible, n·m evaluations.

    >>> import torch
    >>> critic = JointCritic(2, 3, hidden=8, layers=1)
    >>> weights = critic.initial(torch_generator(0, "critic"))
    >>> critic.scores(weights, torch.zeros(4, 2), torch.zeros(5, 3)).shape
    torch.Size([4, 5])
    """

    d_x: int
    d_y: int
    hidden: int = 64
    layers: int = 2

    def initial(self, generator: Any, /) -> Float[Any, " p"]:
        """Weights drawn from the generator, float32."""
        return initial_weights(self._widths, generator)

    def scores(self, weights: Float[Any, " p"], x: Float[Any, "n d_x"], y: Float[Any, "m d_y"], /) -> Any:
        """Scores of all pairs, shape (n, m); without gradients in tiles of rows of x."""
        import torch

        rows = len(x) if torch.is_grad_enabled() else max(1, TILE // (len(y) * self.hidden))
        return torch.cat([self._tile(weights, part, y) for part in x.split(rows)])

    def _tile(self, weights: Any, x: Any, y: Any) -> Any:
        # The first layer is linear in (x, y): apply it to each row once, not to each pair.
        size = self.d_x * self.hidden
        of_x, rest = weights[:size].view(self.hidden, self.d_x), weights[size:]
        of_y, rest = rest[: self.d_y * self.hidden].view(self.hidden, self.d_y), rest[self.d_y * self.hidden :]
        inner = (x @ of_x.T)[:, None] + (y @ of_y.T + rest[: self.hidden])
        return perceptron(self._widths[1:], rest[self.hidden :], _activation(inner).flatten(0, 1)).view(len(x), len(y))

    @property
    def _widths(self) -> tuple[int, ...]:
        return (self.d_x + self.d_y, *(self.hidden,) * self.layers, 1)


@dataclass(frozen=True)
class ConditionalGaussian:
    """q(y|x) = N(μ(x), diag σ²(x)) with μ and log σ² from one perceptron; its scores are log-densities in nats.

    >>> import torch
    >>> law = ConditionalGaussian(2, 3, hidden=8, layers=1)
    >>> weights = 0 * law.initial(torch_generator(0, "law"))
    >>> print(f"{law.log_density(weights, torch.zeros(1, 2), torch.zeros(1, 3)).item():.4f} {-1.5 * LOG_2PI:.4f}")
    -2.7568 -2.7568
    """

    d_x: int
    d_y: int
    hidden: int = 64
    layers: int = 2

    def initial(self, generator: Any, /) -> Float[Any, " p"]:
        """Weights drawn from the generator, float32."""
        return initial_weights(self._widths, generator)

    def log_density(self, weights: Float[Any, " p"], x: Float[Any, "n d_x"], y: Float[Any, "n d_y"], /) -> Any:
        """log q(y_i|x_i), shape (n,)."""
        mean, log_var = perceptron(self._widths, weights, x).chunk(2, dim=1)
        return -0.5 * ((y - mean) ** 2 * (-log_var).exp() + log_var + LOG_2PI).sum(1)

    def scores(self, weights: Float[Any, " p"], x: Float[Any, "n d_x"], y: Float[Any, "m d_y"], /) -> Any:
        """log q(y_j|x_i), shape (n, m)."""
        mean, log_var = perceptron(self._widths, weights, x).chunk(2, dim=1)
        precision = (-log_var).exp()
        quadratic = precision @ (y**2).T - 2 * (precision * mean) @ y.T + (precision * mean**2).sum(1, keepdim=True)
        return -0.5 * (quadratic + (log_var + LOG_2PI).sum(1, keepdim=True))

    @property
    def _widths(self) -> tuple[int, ...]:
        return (self.d_x, *(self.hidden,) * self.layers, 2 * self.d_y)


def critic(kind: Literal["separable", "joint"], d_x: int, d_y: int, *, hidden: int, layers: int) -> Critic:
    """The critic of that name for blocks of d_x and d_y columns. UnknownNameError for another name.

    >>> critic("joint", 1, 2, hidden=8, layers=1)
    JointCritic(d_x=1, d_y=2, hidden=8, layers=1)
    """
    require_known("critic", kind, CRITICS)
    require_count("hidden", hidden)
    require_count("layers", layers)
    return (SeparableCritic if kind == "separable" else JointCritic)(d_x, d_y, hidden, layers)


def torch_generator(seed: int, *path: str | int) -> Any:
    """A torch generator for the purpose named by ``path``; see :func:`itssl.arrays.stream`.

    >>> torch_generator(0, "critic").initial_seed() == torch_generator(0, "critic").initial_seed()
    True
    """
    import torch

    return torch.Generator().manual_seed(int(stream(seed, *path).integers(2**63 - 1)))


def weight_count(widths: tuple[int, ...]) -> int:
    """The number of weights and biases of a perceptron.

    >>> weight_count((2, 8, 1))
    33
    """
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(widths))


def initial_weights(widths: tuple[int, ...], generator: Any) -> Float[Any, " p"]:
    """Weights of variance 2/m for m inputs (1/m in the last layer) and biases uniform on ±1/√m, as one vector.

    Signals keep their size through any depth (He et al. 2015).

    >>> initial_weights((2, 8, 1), torch_generator(0, "critic")).shape
    torch.Size([33])
    """
    import torch

    parts = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        bound = ((3 if layer == len(widths) - 2 else 6) / fan_in) ** 0.5
        for count, limit in ((fan_in * fan_out, bound), (fan_out, fan_in**-0.5)):
            parts.append(torch.empty(count).uniform_(-limit, limit, generator=generator))
    return torch.cat(parts)


def perceptron(widths: tuple[int, ...], weights: Float[Any, " p"], x: Float[Any, "n d"]) -> Float[Any, "n k"]:
    """Linear layers with x ↦ x/(1+e⁻ˣ) (SiLU) between them, and none after the last; one vector of all weights.

    >>> import torch
    >>> perceptron((1, 1, 1), torch.tensor([2.0, 0.0, 3.0, 1.0]), torch.tensor([[0.0], [50.0], [-50.0]])).flatten()
    tensor([  1., 301.,   1.])
    """
    position = 0
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        matrix = weights[position : position + fan_in * fan_out].view(fan_out, fan_in)
        position += fan_in * fan_out
        bias = weights[position : position + fan_out]
        position += fan_out
        x = (_activation(x) if layer else x) @ matrix.T + bias
    return x


def _activation(x: Any) -> Any:
    import torch

    return torch.nn.functional.silu(x)
