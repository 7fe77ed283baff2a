"""Small seeded encoders, and the way from numpy through a network back to numpy.

Initial weights come from a named random stream, never from torch's global generator, and are drawn in float64
before they are rounded to the dtype asked for: one seed names one network, whatever its precision.
"""

import copy
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from itssl.arrays import SamplesLike, as_samples, stream


class NetworkError(ValueError):
    """A network that cannot be built or treated as asked; the message names the layer or argument and the cure."""


def torch_generator(seed: int, *path: str | int) -> torch.Generator:
    """A torch generator on the CPU for the purpose named by ``path``; see :func:`itssl.arrays.stream`.

    Raises SampleTypeError for a seed that is not a non-negative integer.

    >>> print(f"{torch.rand(1, generator=torch_generator(0, 'views')).item():.4f}")
    0.4095
    """
    return torch.Generator().manual_seed(int(stream(seed, *path).integers(2**63 - 1)))


def mlp(widths: Sequence[int], *, seed: int, slope: float = 0.0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    r"""Linear layers with rectifiers between them, and none after the last.

    Weights of a layer with $m$ inputs are uniform with variance $2/((1 + \text{slope}^2) m)$ before a rectifier and
    $1/m$ in the last layer, so that signals keep their size through any depth [1]; biases are uniform on
    $\pm 1/\sqrt m$. (Torch's own initialization shrinks signals at each layer, so deep encoders start collapsed.)

    Parameters
    ----------
    widths: dimensions of the input, of each hidden layer and of the output; at least two.
    seed: names the initial weights; torch's global generator is neither read nor advanced.
    slope: 0 for ReLU, positive for LeakyReLU with that slope (then square networks are injective).
    dtype: torch.float64 for exact work, torch.float32 for training.

    Raises
    ------
    NetworkError: fewer than two widths, a width below 1, a negative or non-finite slope.

    References
    ----------
    [1] K. He, X. Zhang, S. Ren, J. Sun (2015). Delving deep into rectifiers. ICCV.

    >>> mlp((2, 8, 3), seed=0)
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=True)
      (1): ReLU()
      (2): Linear(in_features=8, out_features=3, bias=True)
    )
    """
    if len(widths) < 2 or min(widths) < 1:
        raise NetworkError(
            f"widths: expected at least two positive integers, got {tuple(widths)!r}; pass e.g. (64, 256, 128)"
        )
    if not (math.isfinite(slope) and slope >= 0):
        raise NetworkError(f"slope: expected a number >= 0, got {slope!r}; 0 is ReLU, 0.1 a leaky ReLU")
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        if layers:
            layers.append(nn.LeakyReLU(slope) if slope > 0 else nn.ReLU())
        layers.append(nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=dtype))
    return _initialized(nn.Sequential(*layers), seed, slope)


def cnn(
    channels: Sequence[int] = (8, 16),
    *,
    image: tuple[int, int, int] = (1, 8, 8),
    out: int = 32,
    seed: int,
    dtype: torch.dtype = torch.float64,
) -> nn.Sequential:
    """Blocks of 3x3 convolution, ReLU and 2x2 max-pool, then one linear layer; rows in, rows out.

    Initial weights follow the law given at :func:`mlp`.

    Parameters
    ----------
    channels: output channels of each block; every block halves height and width (rounding down).
    image: channels, height and width of the pictures that the rows of the input hold, D = their product.
    out: dimension K of the output.
    seed, dtype: as in :func:`mlp`.

    Raises
    ------
    NetworkError: no channels, a size below 1, or a picture too small to be halved once per block.

    >>> embed(cnn(image=(1, 8, 8), out=5, seed=0), np.zeros((3, 64))).shape
    (3, 5)
    """
    depth, height, width = image
    shrink = 2 ** len(channels)
    if not channels or min(*channels, *image, out) < 1:
        raise NetworkError(
            f"channels, image and out: expected positive integers, got {tuple(channels)!r}, {image!r} and {out!r}; "
            "pass e.g. channels=(8, 16), image=(1, 8, 8), out=32"
        )
    if min(height, width) < shrink:
        raise NetworkError(
            f"image: expected at least {shrink}x{shrink} pixels for {len(channels)} blocks, got {height}x{width}; "
            "use fewer channels entries"
        )
    layers: list[nn.Module] = [nn.Unflatten(1, image)]
    for fan_in, fan_out in zip((depth, *channels), channels, strict=False):
        convolution = nn.utils.skip_init(nn.Conv2d, fan_in, fan_out, kernel_size=3, padding=1, dtype=dtype)
        layers += [convolution, nn.ReLU(), nn.MaxPool2d(2)]
    features = channels[-1] * (height // shrink) * (width // shrink)
    layers += [nn.Flatten(), nn.utils.skip_init(nn.Linear, features, out, dtype=dtype)]
    return _initialized(nn.Sequential(*layers), seed)


def with_batch_norm(network: nn.Sequential, *, last: bool = False) -> nn.Sequential:
    """The network with a batch normalization after every linear layer and convolution but the last.

    ``last`` adds one after the last layer too, and a ReLU, as residual networks end: for representations. The layers
    themselves are those of the network, not copies.

    >>> with_batch_norm(mlp((2, 8, 3), seed=0))
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=True)
      (1): BatchNorm1d(8, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (2): ReLU()
      (3): Linear(in_features=8, out_features=3, bias=True)
    )
    """
    layers: list[nn.Module] = []
    for layer in network:
        layers.append(layer)
        if isinstance(layer, nn.Linear):
            layers.append(nn.BatchNorm1d(layer.out_features, dtype=layer.weight.dtype))
        elif isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels, dtype=layer.weight.dtype))
    if last:
        return nn.Sequential(*layers, nn.ReLU())
    return nn.Sequential(*(layers[:-1] if isinstance(layers[-1], nn.BatchNorm1d) else layers))


def with_projector(encoder: nn.Module, projector: nn.Module) -> nn.Sequential:
    """The encoder followed by the projector, as children ``encoder`` and ``projector``; weights are shared.

    After training, ``run.encoder.get_submodule("encoder")`` gives the representation, the whole the embedding.

    >>> joint = with_projector(mlp((4, 3), seed=0), mlp((3, 2), seed=1))
    >>> embed(joint.get_submodule("encoder"), np.zeros((1, 4))).shape, embed(joint, np.zeros((1, 4))).shape
    ((1, 3), (1, 2))
    """
    return nn.Sequential(OrderedDict(encoder=encoder, projector=projector))


def embed(network: nn.Module, x: SamplesLike, *, batch_size: int = 4096) -> Float[np.ndarray, "n K"]:
    """The rows of x through the network in evaluation mode, without gradients: (n, D) to (n, K) float64.

    The arithmetic is that of the network's own dtype and device. Every submodule gets its training mode back,
    also after an error. For other precision pass :func:`as_double` of the network.

    Raises
    ------
    SampleError: x is not a finite (n, D) array.
    NetworkError: the output is not one row per row of x.

    >>> embed(mlp((2, 4, 3), seed=0), [[0.0, 1.0], [2.0, 3.0]]).shape
    (2, 3)
    """
    rows = as_samples(x, minimum=1)
    like = next(network.parameters(), torch.empty(0, dtype=torch.float64))
    outputs = []
    with evaluating(network), torch.no_grad():
        for start in range(0, len(rows), batch_size):
            batch = torch.tensor(rows[start : start + batch_size], dtype=like.dtype, device=like.device)
            z = network(batch)
            if z.ndim != 2 or len(z) != len(batch):
                raise NetworkError(
                    f"network: expected an output of shape ({len(batch)}, K), got {tuple(z.shape)}; "
                    "end the network with nn.Flatten()"
                )
            outputs.append(z.to("cpu", torch.float64).numpy())
    return np.concatenate(outputs)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """The network in evaluation mode; on leaving, each submodule is back in the mode it had.

    >>> network = nn.Sequential(nn.Linear(1, 1), nn.Dropout().eval())
    >>> with evaluating(network):
    ...     [module.training for module in network.modules()]
    [False, False, False]
    >>> [module.training for module in network.modules()]
    [True, True, False]
    """
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield network.eval()
    finally:
        for module, mode in modes:
            module.training = mode


def as_double(network: nn.Module) -> nn.Module:
    """An independent float64 copy on the CPU in evaluation mode, for exact work; the network itself is unchanged.

    The weights are those of the network, exactly; the function differs from the network's own by the rounding
    of its arithmetic.

    >>> next(as_double(mlp((2, 3), seed=0, dtype=torch.float32)).parameters()).dtype
    torch.float64
    """
    return copy.deepcopy(network).to("cpu", torch.float64).eval()


def _initialized(network: nn.Sequential, seed: int, slope: float = 0.0) -> nn.Sequential:
    """The network with uniform weights that keep the size of signals, drawn layer by layer in float64."""
    generator = torch_generator(seed, "encoder")
    weighted = [layer for layer in network if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in weighted:
        fan_in = layer.weight[0].numel()
        gain = 1.0 if layer is weighted[-1] else math.sqrt(2 / (1 + slope**2))
        for parameter, bound in ((layer.weight, gain * math.sqrt(3 / fan_in)), (layer.bias, 1 / math.sqrt(fan_in))):
            assert parameter is not None
            draw = torch.empty(parameter.shape, dtype=torch.float64).uniform_(-bound, bound, generator=generator)
            parameter.data.copy_(draw)
    return network
