"""Regions: the affine map, the faces and the exit bounds, against autograd, the network itself and Monte Carlo."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import betaincinv, ndtr
from torch import nn

from itssl.arrays import SampleError, stream
from itssl.networks import regions
from itssl.networks.encoders import NetworkError, as_double, cnn, embed, mlp, with_projector
from itssl.networks.regions import activation_pattern, exit_probability, face_distances, face_functionals, local_affine

EPS = float(np.finfo(np.float64).eps)


def everything(seed: int) -> nn.Sequential:
    """All supported layers: a kink used twice, pools whose windows overlap, are dilated and are cut by the border."""
    shared, odd = nn.LeakyReLU(0.2), seed % 2
    network = nn.Sequential(
        nn.Unflatten(1, (1, 6, 6)),
        nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular"),
        nn.BatchNorm2d(3),
        shared,
        nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), nn.Identity()),
        nn.Conv2d(3, 4, 2, bias=False),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, stride=1, dilation=2) if odd else nn.AvgPool2d(2, stride=1),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 if odd else 16, 7),
        nn.BatchNorm1d(7, affine=False),
        shared,
        nn.Linear(7, 3),
    )
    rng = stream(seed, "everything")
    for name, tensor in network.double().eval().state_dict().items():
        if tensor.is_floating_point():
            draw = 0.4 * rng.standard_normal(tensor.shape)
            tensor.copy_(torch.tensor(np.exp(draw) if "var" in name else draw))
    return network


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda seed: mlp((5, 12, 12, 3), seed=seed),
    "leaky relu": lambda seed: mlp((4, 6, 4), seed=seed, slope=0.3),
    "nested": lambda seed: with_projector(mlp((5, 9, 4), seed=seed), mlp((4, 9, 2), seed=seed + 1)),
    "cnn": lambda seed: cnn((2, 3), image=(2, 6, 5), out=4, seed=seed),
    "everything": everything,
    "affine": lambda seed: mlp((3, 2), seed=seed),
}
INPUTS = {"relu": 5, "leaky relu": 4, "nested": 5, "cnn": 60, "everything": 36, "affine": 3}
KINKED = [name for name in NETWORKS if name != "affine"]
SEEDS = range(4)
each_network = pytest.mark.parametrize("name", NETWORKS)
each_seed = pytest.mark.parametrize("seed", SEEDS)


def world(name: str, seed: int, n: int = 12) -> tuple[nn.Module, np.ndarray]:
    return NETWORKS[name](seed), stream(seed, "points").standard_normal((n, INPUTS[name]))


def absolute(network: nn.Module, *, bias: bool) -> Callable[[np.ndarray], np.ndarray]:
    """The network with |weights| (and |biases| or none): at |x| it bounds every partial sum of a forward pass at x."""
    double = as_double(network)
    for module in double.modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            sign = 0 if name in ("bias", "running_mean") and not bias else -1 if name == "running_mean" else 1
            tensor.data = sign * tensor.data.abs()
    return partial(embed, double)


def roundings(network: nn.Module) -> float:
    """A bound of the relative error of a forward pass: every sum of m terms adds (m + 8) roundings."""
    return 2 * EPS * sum(parameter[0].numel() + 8 for parameter in network.parameters() if parameter.ndim)


def rays(network: nn.Module, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """How far each row of x can go along v before a functional changes sign."""
    faces = face_functionals(network, x)
    slope = np.einsum("nmd,nd->nm", faces.gradient, v)
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.where(faces.value * slope < 0, -faces.value / slope, np.inf)
    return time.min(axis=1, initial=np.inf)


@each_seed
@each_network
def test_the_map_equals_the_network_elsewhere_in_the_region(name, seed):
    network, x = world(name, seed)
    v = stream(seed, "directions").standard_normal(x.shape)
    y = x + np.minimum(0.9 * rays(network, x, v), 3.0)[:, None] * v
    terms, d = absolute(network, bias=True), x.shape[1]
    jacobian = absolute(network, bias=False)(np.eye(d))  # (D, K), bounds |A| entry by entry
    bound = (np.abs(x) + np.abs(y)) @ jacobian + terms(np.abs(x)) + terms(np.abs(y))
    bound *= roundings(network) + (d + 4) * EPS
    assert bound.max() < 1e-9, "a tolerance this wide would pass anything"
    assert (np.abs(local_affine(network, x)(y) - embed(network, y)) <= bound).all()
    assert np.abs(y - x).max(axis=1).min() > 1e-6


@each_seed
@each_network
def test_the_matrix_is_the_jacobian_of_autograd(name, seed):
    network, x = world(name, seed, n=5)
    affine, double = local_affine(network, x), as_double(network)
    bound = roundings(network) * absolute(network, bias=False)(np.eye(x.shape[1])).T
    for point, matrix in zip(x, affine.matrix, strict=True):
        function = lambda row: double(row[None] * 1)[0]  # noqa: E731
        twin = torch.autograd.functional.jacobian(function, torch.tensor(point))
        assert isinstance(twin, torch.Tensor)
        assert (np.abs(matrix - twin.numpy()) <= bound).all()


@each_seed
@pytest.mark.parametrize("name", KINKED)
def test_the_nearest_face_is_where_the_pattern_changes(name, seed):
    network, x = world(name, seed)
    faces, distances = face_functionals(network, x), face_distances(network, x)
    nearest, rows = distances.argmin(axis=1), np.arange(len(x))
    a, u = faces.gradient[rows, nearest], faces.value[rows, nearest]
    foot = -u[:, None] * a / np.square(a).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(foot, axis=1), distances.min(axis=1), rtol=4 * x.shape[1] * EPS)
    here = activation_pattern(network, x)
    assert (activation_pattern(network, x + 0.999 * foot) == here).all()
    assert (activation_pattern(network, x + 1.001 * foot) != here).any(axis=1).all()


@each_seed
@pytest.mark.parametrize("name", KINKED)
def test_no_face_is_missing_and_none_is_false_in_any_direction(name, seed):
    network, x = world(name, seed, n=40)
    v = stream(seed, "directions").standard_normal(x.shape)
    time, here = rays(network, x, v)[:, None], activation_pattern(network, x)
    met = np.isfinite(time[:, 0])
    assert met.mean() > 0.5
    inside = x + np.minimum(0.999 * time, 1e3) * v
    assert (activation_pattern(network, inside) == here).all()
    assert (activation_pattern(network, (x + 1.001 * time * v)[met]) != here[met]).any(axis=1).all()


@each_seed
@pytest.mark.parametrize("name", KINKED)
def test_exit_along_a_line_is_known_exactly(name, seed):
    """Under N(x, s² vvᵀ) the region is an interval: P(exit) = Φ(−t₊/s) + Φ(−t₋/s).

    Its nearer end is the simple lower bound. Events are nested on each side, so that with all faces both are exact.
    """
    network, x = world(name, seed)
    v = stream(seed, "line").standard_normal(x.shape)
    ends = np.stack([rays(network, x, v), rays(network, x, -v)])
    s = 2 * np.median(ends.min(axis=0))
    cov = s**2 * v[:, :, None] * v[:, None, :]
    bounds, sharp, full = (exit_probability(network, x, cov, nearest=nearest) for nearest in (0, 4, 1000))
    # Φ(−r) has slope at most 1/√(2πe) in log r; the root of a rank-one matrix is good to D² roundings.
    rounding = x.shape[1] ** 2 * 64 * EPS
    exact = ndtr(-ends / s)
    assert (bounds.lower >= exact.max(axis=0) - rounding).all()
    assert (bounds.lower <= exact.max(axis=0) + rounding).all()
    assert (bounds.upper >= np.minimum(exact.sum(axis=0), 1) - rounding).all()
    assert (bounds.lower <= sharp.lower).all()
    assert (sharp.lower <= exact.sum(axis=0) + rounding).all()
    assert (sharp.upper >= exact.sum(axis=0) - rounding).all()
    assert (sharp.upper <= bounds.upper).all()
    for side in (full.lower, full.upper):
        np.testing.assert_allclose(side, exact.sum(axis=0), rtol=0, atol=rounding)


def covariances(kind: str, n: int, d: int) -> np.ndarray:
    rng = stream(0, "covariance")
    root = rng.standard_normal((n, d, d)) * np.geomspace(0.003, 0.1, d) / np.sqrt(d)
    per_point = root @ np.swapaxes(root, 1, 2)
    return {"variance": np.array(0.03**2), "one": per_point[0], "per point": per_point}[kind]


def exits(network: nn.Module, x: np.ndarray, cov: np.ndarray, draws: int) -> np.ndarray:
    """How many of the draws from N(x_i, cov) change the pattern, for each i."""
    rng = stream(0, "perturbations")
    d = x.shape[1]
    roots = np.linalg.cholesky(np.broadcast_to(cov * np.eye(d) if cov.ndim == 0 else cov, (len(x), d, d)))
    here = activation_pattern(network, x)
    moved = (point + rng.standard_normal((draws, d)) @ root.T for point, root in zip(x, roots, strict=True))
    patterns = (activation_pattern(network, y) for y in moved)
    return np.array([(pattern != own).any(axis=1).sum() for pattern, own in zip(patterns, here, strict=True)])


def frequencies(count: np.ndarray, draws: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Clopper–Pearson interval of a probability, each end wrong with probability at most ``level``."""
    low = np.where(count > 0, betaincinv(np.maximum(count, 1), draws - count + 1, level), 0.0)
    high = np.where(count < draws, betaincinv(count + 1, np.maximum(draws - count, 1), 1 - level), 1.0)
    return low, high


@pytest.mark.parametrize("kind", ["variance", "one", "per point"])
def test_exit_bounds_bracket_monte_carlo(kind):
    network, n, d, draws = mlp((16, 64, 64, 4), seed=1), 20, 16, 2000
    x = stream(0, "points").standard_normal((n, d))
    cov = covariances(kind, n, d)
    bounds = exit_probability(network, x, cov)
    low, high = frequencies(exits(network, x, cov, draws), draws, level=1e-4 / (2 * n))
    assert (bounds.lower <= high).all()
    assert (bounds.upper >= low).all()
    assert bounds.lower.mean() > 0.05, "bounds of 0 and 1 would say nothing"
    assert bounds.upper.mean() < 0.99


def test_isotropic_faces_fail_for_anisotropic_covariance():
    """The control: a variance equal to the mean variance gives bounds that Monte Carlo refutes."""
    network, n, d, draws = mlp((16, 64, 64, 4), seed=1), 20, 16, 2000
    x = stream(0, "points").standard_normal((n, d))
    normals = stream(0, "thin").standard_normal((d, d))
    axes = np.linalg.qr(normals)[0]
    cov = (axes * np.array([0.2**2] + [1e-10] * (d - 1))) @ axes.T
    wrong = exit_probability(network, x, np.trace(cov) / d)
    right = exit_probability(network, x, cov)
    low, high = frequencies(exits(network, x, cov, draws), draws, level=1e-4 / (2 * n))
    assert ((wrong.lower > high) | (wrong.upper < low)).any()
    assert ((right.lower <= high) & (right.upper >= low)).all()


def test_exit_bounds_are_the_formula_of_the_docstring():
    network, x = world("relu", 0)
    cov = covariances("one", 1, 5)
    faces, bounds = face_functionals(network, x), exit_probability(network, x, cov, nearest=0)
    variances = np.einsum("nmd,de,nme->nm", faces.gradient, cov, faces.gradient)
    crossed = ndtr(-np.abs(faces.value) / np.sqrt(np.where(variances > 0, variances, EPS**4)))
    rounding = crossed.shape[1] * 5 * EPS * np.linalg.cond(cov)
    np.testing.assert_allclose(bounds.lower, crossed.max(axis=1), rtol=0, atol=rounding)
    np.testing.assert_allclose(bounds.upper, np.minimum(crossed.sum(axis=1), 1), rtol=0, atol=rounding)


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight)).double()
    layer.weight.data.copy_(torch.tensor(weight))
    layer.bias.data.copy_(torch.tensor(bias))
    return layer


def thresholds(*at: float) -> nn.Sequential:
    """One ReLU per threshold on the line."""
    return nn.Sequential(linear([[1.0]] * len(at), [-threshold for threshold in at]), nn.ReLU())


def test_both_bounds_are_attained():
    """Two faces on opposite sides exclude each other (upper bound); one face seen twice is one event (lower)."""
    cov = 0.7**2
    opposite = exit_probability(thresholds(-1.0, 2.0), [[0.0]], cov)
    assert opposite.upper[0] == pytest.approx(ndtr(-1 / 0.7) + ndtr(-2 / 0.7), rel=16 * EPS)
    twice = exit_probability(thresholds(-1.0, -1.0), [[0.0]], cov)
    assert twice.lower[0] == pytest.approx(ndtr(-1 / 0.7), rel=16 * EPS)
    assert twice.upper[0] == pytest.approx(ndtr(-1 / 0.7), rel=16 * EPS)
    simple = exit_probability(thresholds(-1.0, -1.0), [[0.0]], cov, nearest=0)
    assert simple.upper[0] == pytest.approx(2 * ndtr(-1 / 0.7), rel=16 * EPS)
    assert exit_probability(thresholds(*[1e-3] * 5), [[0.0]], 1.0, nearest=0).upper[0] == 1.0


def test_a_face_without_gradient_is_never_crossed():
    network = nn.Sequential(linear([[0.0, 0.0]], [-1.0]), nn.ReLU(), linear([[5.0]], [0.0]), nn.ReLU())
    bounds = exit_probability(network, [[0.0, 0.0]], 100.0)
    assert bounds.lower[0] == bounds.upper[0] == 0.0
    assert np.isinf(face_distances(network, [[0.0, 0.0]])).all()
    assert exit_probability(thresholds(1.0), [[0.0]], 0.0).upper[0] == 0.0


def test_a_dead_loser_behind_relu_counts_once():
    network = nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    bounds = exit_probability(network, [[1.0, -2.0, -3.0, -4.0]], 1.0, nearest=0)
    faces = face_functionals(network, np.eye(4)[:1])
    assert bounds.upper[0] == pytest.approx(ndtr([-1, -2, -3, -4]).sum(), rel=16 * EPS)
    assert faces.gradient.shape == (1, 7, 4)
    assert np.count_nonzero(faces.gradient[0, 4:]) == 0
    alive = exit_probability(network, [[1.0, 3.0, -3.0, -4.0]], 1.0, nearest=0)
    assert alive.upper[0] == pytest.approx(ndtr([-1, -3, -3, -4, -2 / np.sqrt(2)]).sum(), rel=16 * EPS)


def test_an_affine_network_has_one_region():
    network, x = world("affine", 0)
    assert activation_pattern(network, x).shape == face_distances(network, x).shape == (12, 0)
    assert face_functionals(network, x).gradient.shape == (12, 0, 3)
    assert exit_probability(network, x, 1.0).upper.tolist() == [0.0] * 12


@pytest.mark.parametrize("name", KINKED)
def test_tiles_do_not_change_the_answer(name, monkeypatch):
    network, x = world(name, 0)
    cov = np.tile(np.eye(x.shape[1]), (len(x), 1, 1)) * np.arange(1, len(x) + 1)[:, None, None]
    whole = local_affine(network, x), face_distances(network, x), exit_probability(network, x, cov)
    monkeypatch.setattr(regions, "TILE_BYTES", 1)
    rounding = roundings(network) * absolute(network, bias=False)(np.eye(x.shape[1])).max()
    np.testing.assert_allclose(local_affine(network, x).matrix, whole[0].matrix, rtol=0, atol=rounding)
    assert (face_distances(network, x).argmin(axis=1) == whole[1].argmin(axis=1)).all()
    # Φ changes by less than a quarter of the relative change of a distance.
    np.testing.assert_allclose(exit_probability(network, x, cov).lower, whole[2].lower, rtol=0, atol=1e4 * rounding)


def test_a_float32_network_is_described_in_double_and_left_alone():
    network = cnn(seed=0, dtype=torch.float32)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    generator, threads = torch.get_rng_state(), torch.get_num_threads()
    x = stream(0, "x").standard_normal((3, 64))
    x.flags.writeable = False
    affine, twin = local_affine(network, x), local_affine(as_double(network), x)
    exit_probability(network, x, 0.1)
    np.testing.assert_array_equal(affine.matrix, twin.matrix)
    assert affine.matrix.dtype == np.float64
    assert network.training
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_num_threads() == threads


class Swish(nn.ReLU):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input * torch.sigmoid(input)


def hooked() -> nn.Module:
    network = mlp((2, 2), seed=0)
    network.get_submodule("0").register_forward_hook(lambda module, inputs, output: -output)
    return network


@pytest.mark.parametrize("measure", [local_affine, face_functionals, face_distances, activation_pattern])
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.GELU()), r"layer 1 \(GELU\): .*replace it, e.g. by nn.ReLU\(\)"),
        (with_projector(mlp((2, 2), seed=0), nn.Sequential(nn.Tanh())), r"layer projector.0 \(Tanh\)"),
        (nn.Sequential(nn.Linear(2, 2), Swish()), r"layer 1 \(Swish\)"),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), r"layer 1 \(BatchNorm1d\): .*call network.eval\(\)"),
        (nn.Sequential(nn.Dropout()), r"layer 0 \(Dropout\): expected evaluation mode"),
        (nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)).eval(), "expected running statistics"),
        (mlp((3, 2), seed=0), r"layer 0 \(Linear.*\): cannot take an input of shape \('n', 2\), x has 2 columns"),
        (nn.Sequential(nn.Flatten(0)), r"layer 0 \(Flatten.*keep dimension 0 for the batch"),
        (hooked(), r"layer 0 \(Linear\): expected no forward hooks, got 1; remove"),
        (nn.GELU(), r"layer \(network\) \(GELU\)"),
    ],
    ids=lambda value: "" if isinstance(value, nn.Module) else value.split(":")[0],
)
def test_what_is_not_piecewise_affine_is_refused(measure, network, message):
    with pytest.raises(NetworkError, match=message):
        measure(network, np.ones((2, 2)))


def test_outputs_must_be_flat_for_a_map():
    with pytest.raises(NetworkError, match=r"expected outputs of shape \(n, K\), got \('n', 1, 2, 2\)"):
        local_affine(nn.Unflatten(1, (1, 2, 2)), np.ones((2, 4)))
    with pytest.raises(SampleError, match="x: expected finite"):
        local_affine(mlp((1, 1), seed=0), [[np.nan]])


@pytest.mark.parametrize(
    ("cov", "message"),
    [
        (np.ones(2), r"got shape \(2,\); a vector of variances is np.diag"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "expected a symmetric matrix, got one with entries differing by 0.5"),
        (np.diag([1.0, -0.5]), "expected a positive semidefinite matrix, got eigenvalue -0.5"),
        (-1.0, "positive semidefinite"),
        (np.inf, "cov: expected finite values"),
    ],
)
def test_what_is_no_covariance_is_refused(cov, message):
    with pytest.raises(ValueError, match=message):
        exit_probability(mlp((2, 3, 1), seed=0), np.ones((3, 2)), cov)
