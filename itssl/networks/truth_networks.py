r"""The catalogue of truth networks: what each does to a law is known, so estimators can be tested behind real networks.

For an injective network of equal dimensions $h(f(X)) = h(X) + E \log|\det J(X)|$ and $I(f(X); Y) = I(X; Y)$ [1]; one
into more dimensions has an entropy on its surface, and −∞ in space [2]; a fold loses H(branch | Z) and part of the
information; a ReLU leaves pieces of every dimension; noise at the output gives all of them a density [3].

References
----------
[1] T. Cover, J. Thomas (2006). Elements of Information Theory, 2nd edition, ch. 8. Wiley.
[2] G. Koliander, G. Pichler, E. Riegler, F. Hlawatsch (2016). Entropy and source coding for integer-dimensional
    singular random variables. IEEE Trans. Inf. Theory 62(11).
[3] Z. Goldfeld et al. (2019). Estimating information flow in deep neural networks. ICML.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
import torch
from torch import nn

from itssl.arrays import Samples, stream
from itssl.distributions.explicit import FiniteLaw
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.images import expectation_on_line, expected_log_volume
from itssl.distributions.law import Law, exact, monte_carlo
from itssl.distributions.maps import elementwise
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.positive_pairs import scattered_prototypes
from itssl.distributions.products import total
from itssl.distributions.scalar_families import scalar_families
from itssl.distributions.tasks import LazyTruth, Task, linear_gaussian_views, random_mixing
from itssl.estimate import Estimate
from itssl.kernels.linalg import LOG_2PI
from itssl.networks import pushforward
from itssl.networks.encoders import embed, mlp
from itssl.networks.invertible_layers import Coupling, Fold, Radial, log_volume_change
from itssl.networks.rectified_gaussians import fold_information, noisy_relu_entropy, relu_information
from itssl.networks.truth_catalogue import TruthNetwork, TruthNetworks, truth_catalogue

SEED = 0
"""Names the weights of all networks."""

_NATS = 1.0  # of every Gaussian task, whatever the dimension
_DRAWS = 2**16  # of an expectation that is sampled


@cache
def truth_networks() -> TruthNetworks:
    """Seeded networks with known entropy, and known information where there is a task: a read-only mapping by name.

    >>> truth_networks()["folding-2"]
    TruthNetwork('folding-2', 2 → 2: h 1.45158, I(Z; Y) by quadrature)
    >>> truth_networks()["folding-2"].sample(100, np.random.default_rng(0)).shape
    (100, 2)
    """
    return truth_catalogue(
        {
            "orthogonal": {f"orthogonal-{d}": partial(_orthogonal, d) for d in (1, 4, 16)},
            "leaky_relu": {f"leaky_relu-{d}": partial(_leaky_relu, d) for d in (1, 2, 5, 16)}
            | {"leaky_relu_prototypes-2": _leaky_relu_prototypes},
            "additive_coupling": {f"additive_coupling-{d}": partial(_additive_coupling, d) for d in (2, 6, 16)},
            "affine_coupling": {f"affine_coupling-{d}": partial(_affine_coupling, d) for d in (2, 6, 16)},
            "radial": {f"radial-{d}": partial(_radial, d) for d in (1, 2, 10)},
            "dimension_raising": {"raising_linear-2-5": partial(_raising, (2, 5))}
            | {f"raising_leaky-{w[0]}-{w[-1]}": partial(_raising, w) for w in ((1, 2, 3), (2, 4, 6), (4, 8, 16))},
            "saturating": {f"saturating-{d}": partial(_saturating, d) for d in (1, 4, 16)},
            "folding": {f"folding-{d}": partial(_folding, d) for d in (1, 2, 8)}
            | {"folding_shifted-2": _folding_shifted},
            "relu": {f"relu-{d}": partial(_relu, d) for d in (1, 2, 8)},
            "noisy": {f"noisy_linear-{d}-{k}": partial(_noisy_linear, d, k) for d, k in ((2, 2), (16, 4))}
            | {"noisy_neuron-1": _noisy_neuron}
            | {f"noisy_relu-{d}": partial(_noisy_relu, d) for d in (1, 4)},
        }
    )


# --- injective: log-determinants, and the information of the task --------------------------------------------------


def _orthogonal(d: int) -> TruthNetwork:
    task = _views(d, mixed=True)
    network = nn.Sequential(_linear(_rotation(d, d, "orthogonal")))
    return _injective(
        task, network, pushforward.entropy(task.x, network),
        hard_for="nothing but the dimension: Gaussian, a baseline",
    )  # fmt: skip


def _leaky_relu(d: int) -> TruthNetwork:
    return _piecewise(_views(d), mlp((d, d, d, d), seed=SEED, slope=0.2), "kinks between affine pieces")


def _leaky_relu_prototypes() -> TruthNetwork:
    task = scattered_prototypes(10, 2, std=0.2)
    network = mlp((2, 2, 2), seed=SEED, slope=0.2)
    return _piecewise(task, network, "one Gaussian for many clusters, some of them bent")


def _raising(widths: Sequence[int]) -> TruthNetwork:
    d, k = widths[0], widths[-1]
    task, network = _views(d), mlp(widths, seed=SEED, slope=0.2)
    surface = LazyTruth(partial(pushforward.entropy, task.x, network, n=_DRAWS), "the push-forward")
    return _injective(
        task, network, exact(-np.inf, f"singular: Z fills {d} of {k} dimensions"),
        hard_for="entropy in space, which is -inf: any finite answer is about noise or the surface",
        known_hausdorff_entropy=surface.value if len(widths) == 2 else surface, dimensions={d: 1.0},
    )  # fmt: skip


def _additive_coupling(d: int) -> TruthNetwork:
    task = _views(d, mixed=True)
    network = nn.Sequential(*(_coupling(d, layer, "additive", log_scale=None) for layer in range(4)))
    kept = replace(task.x.entropy, method="h(X), kept by a map of determinant 1")
    return _injective(task, network, kept, hard_for="models of a Gaussian: bent, at constant volume")


def _affine_coupling(d: int) -> TruthNetwork:
    r"""One layer for d = 2: s(u) = c + odd(u) and u is symmetric, so E s(u) = c exactly; else Monte Carlo."""
    task, offset = _views(d, mixed=True), -0.3
    network = nn.Sequential(*(_coupling(d, i, "affine", log_scale=offset) for i in range(1 if d == 2 else 4)))
    if len(network) == 1:
        volume = exact(offset * (d - d // 2), "E s(u) by symmetry")
        entropy = total([task.x.entropy, volume], "h(X) + E s(u)")
    else:
        entropy = LazyTruth(partial(_sampled_entropy, task.x, network), "Monte Carlo")
    return _injective(task, network, entropy, hard_for="one width everywhere: it depends on the place")


def _radial(d: int) -> TruthNetwork:
    """log|det J| depends on |X| alone, which has the chi law: quadrature on the line."""
    task, network = _views(d), nn.Sequential(Radial(0.5))

    def along_first_axis(r: Samples) -> np.ndarray:
        return log_volume_change(network, np.hstack([r, np.zeros((len(r), d - 1))]))

    volume = expectation_on_line(scalar_families()["chi"](degrees=float(d)), along_first_axis)
    entropy = total([task.x.entropy, volume], "h(X) + E log|det J| by quadrature over |X|")
    return _injective(task, network, entropy, hard_for="covariances: uncorrelated, dependent, heavy tails")


def _saturating(d: int) -> TruthNetwork:
    """log|det J| is a constant plus a sum over pre-activations, each a normal variable: quadrature on the line."""
    task, offset = _views(d, mixed=True), np.linspace(-0.5, 0.5, d)
    matrix = 3.0 * _rotation(d, d, "saturating")
    before = _gaussian(task).affine_image(matrix, offset)
    entropy = total([before.entropy, expected_log_volume(before, elementwise("tanh"))], "h(AX + b) + E log tanh'")
    network = nn.Sequential(_linear(matrix, offset), nn.Tanh())
    return _injective(task, network, entropy, hard_for="neighbors and Gaussians: the mass is squeezed against walls")


# --- not injective: part of the entropy and of the information is lost ---------------------------------------------


def _folding(d: int) -> TruthNetwork:
    """H(branch | Z) = d log 2 by symmetry."""
    task = _views(d)
    folded = exact(task.x.entropy.value - d * float(np.log(2)), "h(X) - d log 2: all branches are equally likely")

    def information() -> Estimate:
        one = fold_information(_correlation(d))
        return replace(one, value=d * one.value, standard_error=d * one.standard_error)

    return TruthNetwork(
        hard_for="log-determinants without the branch term; edges at 0", law=task.x, task=task,
        network=nn.Sequential(Fold()), known_entropy=folded, known_information=LazyTruth(information, "quadrature"),
    )  # fmt: skip


def _folding_shifted() -> TruthNetwork:
    """With a random sign |X_i| is a mixture of N(m_i, 1) and N(-m_i, 1), whose entropy is larger by log 2."""
    law = Gaussian(np.array([0.5, -1.0]), np.eye(2))
    mixtures = [GaussianMixture.isotropic(np.array([[m], [-m]]), 1.0).entropy for m in law.mean]
    entropy = total([*mixtures, exact(-2 * float(np.log(2)), "two signs")], "h of the mixture - log 2 a coordinate")
    return TruthNetwork(
        hard_for="log-determinants: branches are unequally likely", law=law,
        network=nn.Sequential(Fold()), known_entropy=entropy,
    )  # fmt: skip


def _relu(d: int) -> TruthNetwork:
    """Z_i = max(A X + b, 0)_i with A a rotation: coordinates are independent, each on with probability Φ(b_i)."""
    from scipy.special import ndtr

    task, offset = _views(d), np.zeros(d) if d < 3 else np.linspace(-1, 1, d)
    network = nn.Sequential(_linear(_rotation(d, d, "relu"), offset), nn.ReLU())
    shares = np.ones(1)
    for on in ndtr(offset):
        shares = np.convolve(shares, [1 - on, on])
    lost = 1 - float(shares[d])

    def information() -> Estimate:
        # (AX, AY) has the law of (X, Y), since all canonical correlations are equal
        return total([relu_information(_correlation(d), -float(b)) for b in offset], "quadrature")

    return TruthNetwork(
        hard_for="densities: pieces of every dimension, and an atom at 0", law=task.x, task=task,
        network=network, known_information=LazyTruth(information, "quadrature"),
        known_entropy=exact(-np.inf, f"singular: Z has fewer than {d} dimensions with probability {lost:.4g}"),
        dimensions={m: float(share) for m, share in enumerate(shares)},
    )  # fmt: skip


# --- noise at the output: I(X; Z) is finite ------------------------------------------------------------------------


def _noisy_linear(d: int, k: int, std: float = 0.5) -> TruthNetwork:
    law = _gaussian(_views(d, mixed=True))
    matrix = _rng("noisy_linear", d, k).normal(size=(k, d)) / np.sqrt(d)
    signal = law.affine_image(matrix, np.zeros(k))
    output = Gaussian(signal.mean, signal.cov + std**2 * np.eye(k))
    return _noisy(law, nn.Sequential(_linear(matrix)), std, output.entropy, hard_for="nothing: Gaussian, a baseline")


def _noisy_neuron(std: float = 0.3) -> TruthNetwork:
    law = FiniteLaw(np.array([[-3.0], [-1.0], [1.0], [3.0]]), np.full(4, 0.25))
    network = nn.Sequential(_linear(np.ones((1, 1))), nn.Tanh())
    entropy = GaussianMixture.isotropic(embed(network, law.points), std**2).entropy
    return _noisy(law, network, std, entropy, hard_for="neighbors of X: four values, all rows tied")


def _noisy_relu(d: int, std: float = 0.2) -> TruthNetwork:
    offset = np.linspace(-0.5, 0.5, d) if d > 1 else np.zeros(1)
    network = nn.Sequential(_linear(_rotation(d, d, "noisy_relu"), offset), nn.ReLU())
    entropy = total([noisy_relu_entropy(std, -float(b)) for b in offset], "quadrature")
    law = Gaussian.standard(d)
    return _noisy(law, network, std, entropy, hard_for="one width: the atom at 0 is as narrow as the noise")


# --- parts ---------------------------------------------------------------------------------------------------------


def _injective(task: Task, network: nn.Module, entropy: Estimate | LazyTruth, **rest: object) -> TruthNetwork:
    def kept() -> Estimate:
        return replace(task.mutual_information, method="I(X; Y), kept by an injective network")

    information = kept() if task.known_by == "closed form" else LazyTruth(kept, task.known_by)
    return TruthNetwork(
        law=task.x, task=task, network=network, known_entropy=entropy, known_information=information,
        **rest,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def _piecewise(task: Task, network: nn.Module, hard_for: str) -> TruthNetwork:
    entropy = LazyTruth(partial(pushforward.entropy, task.x, network, n=_DRAWS), "the push-forward")
    return _injective(task, network, entropy, hard_for=hard_for)


def _noisy(law: Law, network: nn.Module, std: float, entropy: Estimate, *, hard_for: str) -> TruthNetwork:
    """I(X; Z) = h(Z) − h(noise)."""
    k = embed(network, law.sample(1, _rng("shape"))).shape[1]
    noise = exact(-0.5 * k * (LOG_2PI + 1 + 2 * float(np.log(std))), "entropy of the noise")
    return TruthNetwork(
        hard_for=hard_for, law=law, network=network, noise_std=std, known_entropy=entropy,
        known_information=total([entropy, noise], "h(Z) - h(noise)"),
    )  # fmt: skip


def _sampled_entropy(law: Law, network: nn.Sequential) -> Estimate:
    volume = monte_carlo(
        lambda n, rng: log_volume_change(network, law.sample(n, rng)), _rng("volume", law.dim), n=_DRAWS
    )
    return total([law.entropy, volume], "h(X) + E log|det J|")


def _rng(*path: str | int) -> np.random.Generator:
    return stream(SEED, "truth network", *path)


def _correlation(d: int) -> float:
    """The canonical correlation that makes d equal ones carry _NATS together."""
    return float(np.sqrt(-np.expm1(-2 * _NATS / d)))


def _views(d: int, *, mixed: bool = False) -> Task:
    """Gaussian pairs in d dimensions with 1 nat; X standard normal, or with a covariance of condition 9."""
    mixing = random_mixing(d, SEED, condition=3.0) if mixed else None
    return linear_gaussian_views(np.full(d, _correlation(d)), mixing=mixing)


def _gaussian(task: Task) -> Gaussian:
    assert isinstance(task.x, Gaussian)
    return task.x


def _rotation(k: int, d: int, *path: str | int) -> np.ndarray:
    return np.linalg.qr(_rng(*path, k, d).normal(size=(k, d)))[0]


def _linear(matrix: np.ndarray, offset: np.ndarray | None = None) -> nn.Linear:
    """The layer x ↦ Ax + b in float64, without b unless given."""
    k, d = matrix.shape
    layer = nn.utils.skip_init(nn.Linear, d, k, bias=offset is not None, dtype=torch.float64)
    assert isinstance(layer, nn.Linear)
    layer.weight.data.copy_(torch.tensor(matrix))
    if offset is not None:
        layer.bias.data.copy_(torch.tensor(offset))
    return layer


def _coupling(d: int, layer: int, kind: str, *, log_scale: float | None) -> Coupling:
    """Layers in turn keep the first half and the last half; s(u) = ``log_scale`` + an odd function of u."""
    flipped = layer % 2 == 1
    kept = d // 2
    rng = _rng(kind, d, layer)

    def odd(size: float, offset: float) -> nn.Sequential:
        inner, outer = rng.normal(size=(16, kept)) / np.sqrt(kept), rng.normal(size=(d - kept, 16)) * size / 4
        return nn.Sequential(_linear(1.5 * inner), nn.Tanh(), _linear(outer, np.full(d - kept, offset)))

    shift = odd(1.5, 0.5)
    return Coupling(shift, None if log_scale is None else odd(0.8, log_scale), kept=kept, flipped=flipped)
