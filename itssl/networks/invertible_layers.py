r"""Smooth injective layers with a log-determinant in closed form: couplings and a radial map; and the fold |x|.

No piecewise-affine network is smooth, and what :mod:`itssl.networks.pushforward` says about regions does not hold for
these. But their Jacobians are triangular or radial, so that log|det J| is a sum of known terms at every point, and
$h(f(X)) = h(X) + E \log|\det J(X)|$.

References
----------
[1] L. Dinh, J. Sohl-Dickstein, S. Bengio (2017). Density estimation using Real NVP. ICLR.
[2] D. Rezende, S. Mohamed (2015). Variational inference with normalizing flows. ICML.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from itssl.arrays import SamplesLike, as_samples
from itssl.choices import ParameterError, require_count
from itssl.networks.encoders import NetworkError, as_double


class Coupling(nn.Module):
    r"""$(u, v) \mapsto (u,\; v \odot e^{s(u)} + t(u))$: affine coupling, additive without s [1]; log|det J| = Σ_j s_j.

    u are the first ``kept`` coordinates, or with ``flipped`` the last ones. The Jacobian is triangular with ones and
    $e^{s_j(u)}$ on its diagonal, whatever the networks t (``shift``) and s (``log_scale``) are; hence injective.
    Raises ParameterError unless kept is a positive integer.

    >>> layer = Coupling(nn.Identity(), kept=1)
    >>> layer(torch.tensor([[3.0, 1.0]])).tolist(), layer.log_volume_change(torch.ones(1, 2)).tolist()
    ([[3.0, 4.0]], [0.0])
    """

    def __init__(
        self, shift: nn.Module, log_scale: nn.Module | None = None, *, kept: int, flipped: bool = False
    ) -> None:
        super().__init__()
        self.shift, self.log_scale, self.kept, self.flipped = shift, log_scale, require_count("kept", kept), flipped

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The rows of x with v moved."""
        u, v = self._parts(x)
        moved = self.shift(u) + (v if self.log_scale is None else v * torch.exp(self.log_scale(u)))
        return torch.cat([moved, u] if self.flipped else [u, moved], dim=1)

    def log_volume_change(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """log|det J| at each row of x, in nats."""
        return torch.zeros_like(x[:, 0]) if self.log_scale is None else self.log_scale(self._parts(x)[0]).sum(dim=1)

    def _parts(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n m"]]:
        if not self.kept < x.shape[1]:
            raise NetworkError(f"x: expected more than kept = {self.kept} coordinates, got {x.shape[1]}")
        if self.flipped:
            return x[:, -self.kept :], x[:, : -self.kept]
        return x[:, : self.kept], x[:, self.kept :]


class Radial(nn.Module):
    r"""$x \mapsto x\,(1 + \|x\|^2)^p$: each sphere onto a sphere, injective for p > −½ [2].

    With $g(r) = (1 + r^2)^p$ the Jacobian is $g I + (g'/r) x x^\top$, of determinant $g^{d-1}(g + r g')$:

    .. math:: \log|\det J| = d\,p \log(1 + r^2) + \log\Bigl(1 + \frac{2 p r^2}{1 + r^2}\Bigr).

    p > 0 makes tails heavy, p < 0 light. Raises ParameterError unless p > −½, for r g(r) would not grow.

    >>> print("{:.4f} {:.4f}".format(*Radial(0.5)(torch.tensor([[0.6, 0.8]]))[0]))  # times √2
    0.8485 1.1314
    """

    def __init__(self, power: float) -> None:
        super().__init__()
        if not -0.5 < power < float("inf"):
            raise ParameterError(f"power: expected a finite number > -0.5, got {power!r}; else it is not injective")
        self.power = power

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Every row moved along its own direction."""
        return x * (1 + _squares(x)) ** self.power

    def log_volume_change(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """log|det J| at each row of x, in nats."""
        square = _squares(x)[:, 0]
        along = torch.log1p(2 * self.power * square / (1 + square))
        return x.shape[1] * self.power * torch.log1p(square) + along


class Fold(nn.Module):
    r"""|x| in each coordinate: $2^d$ points with one image, piecewise affine, and log|det J| = 0 off the faces.

    For a law with independent symmetric signs h(|X|) = h(X) − d log 2: the branch is uniform given |X|.

    >>> Fold()(torch.tensor([[-1.0, 2.0]])).tolist()
    [[1.0, 2.0]]
    """

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The absolute values."""
        return torch.abs(x)


def log_volume_change(network: nn.Sequential, x: SamplesLike) -> Float[np.ndarray, " n"]:
    """log|det J| at each row of x for a sequence of couplings and radial maps: the sum over its layers, in nats.

    Raises NetworkError for any other layer, which is named, and SampleError for inadmissible x.

    >>> print(f"{log_volume_change(nn.Sequential(Radial(0.5), Radial(0.5)), [[0.0, 0.0]])[0]:.1f}")
    0.0
    """
    values = torch.tensor(as_samples(x, minimum=1))
    volume = torch.zeros(len(values), dtype=torch.float64)
    with torch.no_grad():
        for name, layer in as_double(network).named_children():
            if not isinstance(layer, Coupling | Radial):
                raise NetworkError(
                    f"layer {name} ({type(layer).__name__}): expected Coupling or Radial, whose log-determinants are "
                    "known; see itssl.networks.pushforward for piecewise-affine networks"
                )
            volume += layer.log_volume_change(values)
            values = layer(values)
    return volume.numpy()


def _squares(x: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
    return (x * x).sum(dim=1, keepdim=True)
