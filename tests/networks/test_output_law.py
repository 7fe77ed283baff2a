"""The law of a network's output: density against draws, entropy against routes that know nothing of regions."""

from typing import Any

import numpy as np
import pytest
from planar_networks import Folded, Residual, linear, pooled
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import chi2, foldnorm, multivariate_normal, norm
from torch import nn

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.student import MultivariateStudent
from itssl.estimate import Bias
from itssl.networks.cells import cells
from itssl.networks.encoders import embed, mlp
from itssl.networks.gaussian_source import Source, log_interval
from itssl.networks.output_density import Piece, summed
from itssl.networks.output_law import output_law

EPS = float(np.finfo(float).eps)
FOLDED_NORMAL: Any = foldnorm(0.35, scale=2)
TILTED = Gaussian(np.array([0.3, -0.2]), np.array([[1.0, 0.4], [0.4, 0.7]]))
TWO = GaussianMixture(
    np.array([0.4, 0.6]),
    np.array([[-1.0, 0.5], [0.8, -0.3]]),
    np.array([[[0.5, 0.1], [0.1, 0.3]], [[0.2, -0.1], [-0.1, 0.9]]]),
)
LINE = Gaussian(np.array([0.2]), np.array([[1.5]]))
SPACE = Gaussian(np.array([0.1, 0.0, -0.2]), np.eye(3) + 0.3)

WITH_DENSITY = {
    "line to line": (LINE, mlp((1, 6, 4, 1), seed=0, slope=0.3), 0.0),
    "plane to line": (TILTED, mlp((2, 8, 1), seed=0, slope=0.1), 0.0),
    "mixture to line": (TWO, mlp((2, 6, 1), seed=2, slope=0.1), 0.0),
    "plane to plane": (TILTED, mlp((2, 7, 2), seed=1, slope=0.5), 0.0),
    "mixture to plane": (TWO, Residual(3, 2), 0.0),
    "folded plane": (TILTED, Folded(), 0.0),
    "space to plane": (SPACE, mlp((3, 4, 2), seed=0, slope=0.2), 0.0),
    "space to space": (SPACE, mlp((3, 4, 3), seed=0, slope=0.5), 0.0),
    "dead line with noise": (LINE, mlp((1, 4, 1), seed=1), 0.05),
    "line to plane with noise": (LINE, mlp((1, 5, 2), seed=1), 0.1),
    "dead plane to line with noise": (TWO, mlp((2, 5, 1), seed=4), 0.02),
    "pooled plane with noise": (TWO, pooled(1), 0.1),
}
each = pytest.mark.parametrize("name", WITH_DENSITY)


def law_of(name):
    source, network, noise_var = WITH_DENSITY[name]
    return output_law(source, network, noise_var=noise_var)


@each
def test_the_density_integrates_to_the_share_of_draws_in_each_box(name):
    """χ² of 6^K boxes, at level 1e-5: draws in the box against the density, integrated at random points of the box."""
    law, rng = law_of(name), stream(0, "boxes", name)
    z = law.sample(20_000, rng)
    edges = np.quantile(z, np.linspace(0.02, 0.98, 7 if law.dim < 3 else 4), axis=0)
    index = np.stack([np.searchsorted(edge, column) for edge, column in zip(edges.T, z.T, strict=True)], axis=1)
    statistic, boxes, points = 0.0, 0, 10_000 if law.noise_var == 0 else 100  # folds make peaks; noise is smooth
    for place in np.ndindex(*[len(edges) - 1] * law.dim):
        low, high = (edges[np.array(place) + i, np.arange(law.dim)] for i in (0, 1))
        seen = (index == np.array(place) + 1).all(axis=1).mean()
        value = np.exp(law.log_density(rng.uniform(low, high, (points, law.dim)))) * np.prod(high - low)
        variance = value.var(ddof=1) / points + (seen * (1 - seen) + 1 / len(z)) / len(z)
        statistic += (value.mean() - seen) ** 2 / variance
        boxes += 1
    assert statistic < chi2(boxes).isf(1e-5)
    assert statistic > chi2(boxes).ppf(1e-5), "the errors are far too wide"


@pytest.mark.parametrize("name", ["line to line", "plane to line", "mixture to line"])
def test_a_histogram_of_draws_passes_the_chi_squared_test(name):
    law = law_of(name)
    z = law.sample(50_000, stream(1, "histogram", name))[:, 0]
    edges = np.quantile(z, np.linspace(0.01, 0.99, 41))
    place, weight = np.polynomial.legendre.leggauss(400)  # jumps within a bin cost 1/400 of it
    half = np.diff(edges) / 2
    nodes = (edges[:-1] + half)[:, None] + half[:, None] * place
    expected = (np.exp(law.log_density(nodes.reshape(-1, 1))).reshape(nodes.shape) * weight).sum(axis=1) * half
    outside = 1 - expected.sum()
    counts = np.append(np.histogram(z, edges)[0], len(z) - ((z >= edges[0]) & (z <= edges[-1])).sum())
    expected = len(z) * np.append(expected, outside)
    assert ((counts - expected) ** 2 / expected).sum() < chi2(40).isf(1e-5)


def test_the_fold_of_a_gaussian_is_the_folded_normal():
    law = output_law(Gaussian(np.array([0.7]), np.array([[4.0]])), Folded())
    z = np.array([[1e-3], [0.5], [3.0], [7.0]])
    np.testing.assert_allclose(law.log_density(z), FOLDED_NORMAL.logpdf(z[:, 0]), rtol=0, atol=1e3 * EPS)
    assert law.log_density(np.array([[-0.5]]))[0] == -np.inf
    assert law.entropy.value == pytest.approx(FOLDED_NORMAL.entropy(), abs=1e-9)  # that of scipy's quad


def test_entropy_of_the_absolute_value_in_the_plane():
    """Four branches, equally likely whatever Z: h = log 2πe − 2 log 2, to rounding."""
    found = output_law(Gaussian.standard(2), Folded()).entropy
    assert found.value == pytest.approx(np.log(2 * np.pi * np.e) - 2 * np.log(2), abs=64 * EPS)
    assert found.diagnostics["branch_entropy_nats"] == pytest.approx(2 * np.log(2), abs=64 * EPS)


def test_leaky_entropy_of_one_layer_is_a_sum_of_normal_probabilities():
    """log|det A| = log|W₁| + log|W₂| + log(slope)·(number of units below 0), and each unit is Gaussian."""
    slope = 0.25
    network = mlp((2, 2, 2), seed=3, slope=slope)
    first, second = (network.get_submodule(name) for name in "02")
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    w, b, v = (t.detach().numpy() for t in (first.weight, first.bias, second.weight))
    below = ndtr(-(w @ TILTED.mean + b) / np.sqrt(np.einsum("ij,jk,ik->i", w, TILTED.cov, w)))
    truth = TILTED.entropy.value + np.log(np.abs(np.linalg.det(w) * np.linalg.det(v))) + np.log(slope) * below.sum()
    law = output_law(TILTED, network)
    assert TILTED.entropy.value + law.mean_log_volume == pytest.approx(truth, abs=256 * EPS)
    branch = law.entropy
    assert branch.value == pytest.approx(truth, abs=256 * EPS)
    assert branch.standard_error > 0, "that no branch was seen in the draws is no proof"


def test_leaky_entropy_of_two_layers_equals_nested_quadrature():
    """E log|det A| as ∫ φ(x) ∫ φ(y) log|det A(x, y)| dy dx: the inner one by hand, the outer one by scipy."""
    slope = 0.3
    network = mlp((2, 2, 2, 2), seed=1, slope=slope)
    weights = [p.detach().numpy() for p in network.parameters()]
    (w, b), (v, c), (u, _) = zip(weights[::2], weights[1::2], strict=True)
    constant = np.log(np.abs(np.linalg.det(w) * np.linalg.det(v) * np.linalg.det(u)))

    def along(x: float) -> float:
        """On a vertical line: cuts of the first layer, between them those of the second; then count units below 0."""

        def layers(y):
            first = np.stack([np.full_like(y, x), y], axis=1) @ w.T + b
            return first, np.where(first > 0, first, slope * first) @ v.T + c

        outer = np.sort(np.concatenate([[-9.0, 9.0], -(w[:, 0] * x + b) / w[:, 1]]))
        ends = [layers(outer[:-1] * (1 - t) + outer[1:] * t)[1] for t in (0.25, 0.75)]  # affine in between
        share = 0.25 + 0.5 * ends[0] / (ends[0] - ends[1])
        inner = (outer[:-1, None] + share * np.diff(outer)[:, None])[(share > 0) & (share < 1)]
        cuts = np.sort(np.concatenate([outer, inner]))
        below = sum((layer < 0).sum(axis=1) for layer in layers((cuts[:-1] + cuts[1:]) / 2))
        return float(np.diff(ndtr(cuts)) @ (below * np.log(slope)))

    truth, error = quad(lambda x: norm.pdf(x) * along(x), -9, 9, epsabs=1e-9, limit=400)
    law = output_law(Gaussian.standard(2), network)
    assert law.mean_log_volume == pytest.approx(constant + truth, abs=10 * error)
    assert error < 1e-7


def test_quadrature_of_a_projected_plane_agrees_with_scipy():
    """h of |x₁| + 2|x₂| from the known density of the sum of two half-normal variables."""
    network = nn.Sequential(Folded(), linear([[1.0, 2.0]]))
    law = output_law(Gaussian.standard(2), network)

    def density(z: float) -> float:
        spread = np.sqrt(5)
        return 2 * norm.pdf(z / spread) / spread * 2 * (ndtr(z * 2 / spread) + ndtr(z / (2 * spread)) - 1)

    z = np.array([0.1, 1.0, 4.0])
    np.testing.assert_allclose(np.exp(law.log_density(z[:, None])), [density(t) for t in z], rtol=1e3 * EPS)
    truth, error = quad(lambda t: -density(t) * np.log(density(t)), 0, 25, epsabs=1e-13, limit=400)
    found = law.entropy
    assert found.value == pytest.approx(truth, abs=10 * error + 10 * found.standard_error)
    assert found.standard_error < 1e-6


@pytest.mark.parametrize("name", ["plane to plane", "mixture to plane", "space to plane", "space to space"])
def test_entropy_agrees_with_the_mean_of_the_log_density(name):
    law = law_of(name)
    z = law.sample(20_000, stream(2, "entropy", name))
    surprise = -law.log_density(z)
    error = np.hypot(surprise.std() / np.sqrt(len(z)), law.entropy.standard_error)
    assert abs(surprise.mean() - law.entropy.value) < 4.5 * error
    assert error < 0.05


def test_noise_in_closed_form_equals_the_sum_over_a_grid():
    network, var = mlp((2, 4, 2), seed=5), 0.3
    z = np.array([0.4, -0.3])

    def summed(points: int) -> float:
        axis, step = np.linspace(-7, 7, points, retstep=True)
        x = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        given = norm.logpdf(z, embed(network, x), np.sqrt(var)).sum(axis=1)
        return float(np.exp(TILTED.log_density(x) + given).sum() * step**2)

    coarse, fine = summed(251), summed(1001)
    found = np.exp(output_law(TILTED, network, noise_var=var).log_density(z[None]))[0]
    assert found == pytest.approx(fine, abs=abs(fine - coarse))  # kinks: the error falls with the step squared
    assert abs(fine - coarse) < 1e-4 * found


def test_affine_networks_with_noise_are_gaussian():
    network = mlp((2, 3), seed=0)
    law = output_law(TWO, network, noise_var=0.2)
    matrix, z = law.regions[0].matrix, law.sample(50, stream(0, "affine"))
    covs = matrix @ TWO.covs @ matrix.T + 0.2 * np.eye(3)
    truth = GaussianMixture(TWO.weights, TWO.means @ matrix.T + law.regions[0].shift, covs)
    # a center 9 deviations inside the box leaves 1e-18 outside; near its sides the polygon loses more
    np.testing.assert_allclose(law.log_density(z), truth.log_density(z), rtol=0, atol=1e-9)


@pytest.mark.parametrize("weight", [0.01, 1.0, 100.0])
def test_entropy_with_noise_on_the_line_is_that_of_the_sum(weight):
    """A bend of 1e-9 keeps the network from being affine; its output is Gaussian all the same."""
    network = nn.Sequential(nn.LeakyReLU(1 - 1e-9), linear([[weight]], [0.5]))
    found = output_law(LINE, network, noise_var=1.0).entropy
    variance = float(weight**2 * LINE.cov[0, 0] + 1)
    assert found.value == pytest.approx(0.5 * np.log(2 * np.pi * np.e * variance), abs=1e-8)


def test_volume_in_higher_dimension_is_that_of_the_surface():
    """Behind an isometry into R⁴ the density relative to volume, and the entropy, are those before it."""
    before = mlp((2, 5, 2), seed=0, slope=0.2)
    axes = np.linalg.qr(stream(0, "isometry").standard_normal((4, 2)))[0]
    after = nn.Sequential(*before, linear(axes.tolist(), [0.1, 0.2, 0.3, 0.4]))
    low, high = output_law(TILTED, before), output_law(TILTED, after)
    z = low.sample(100, stream(0, "surface"))
    raised = z @ axes.T + np.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(high.log_density(raised), low.log_density(z), rtol=0, atol=1e5 * EPS)
    assert high.log_density(raised + 0.1)[0] == -np.inf, "a point off the surface"
    assert high.entropy.value == pytest.approx(low.entropy.value, abs=1e5 * EPS)
    assert "2-dimensional volume in R^4" in high.entropy.method


def test_dead_regions_make_the_law_singular():
    law = output_law(TILTED, nn.Sequential(linear([[1.0, 0.0], [0.0, 1.0]]), nn.ReLU()))
    assert law.singular.sum() == 3
    found = law.entropy
    assert found.value == -np.inf
    assert found.bias is Bias.EXACT
    both = law.probabilities[[np.linalg.matrix_rank(cell.matrix) == 2 for cell in law.regions]].sum()
    cov: Any = TILTED.cov
    truth = multivariate_normal(-TILTED.mean, cov).cdf(np.zeros(2))
    assert both == pytest.approx(truth, abs=1e-8)  # scipy's own error
    with pytest.raises(
        LawError, match="got less in 3 of 4; the output has no density, state output noise by noise_var"
    ):
        law.log_density(np.ones((1, 2)))


def test_conditional_means_are_those_of_each_row():
    law = law_of("plane to plane")
    z = law.sample(20, stream(0, "rows"))
    means = stream(0, "means").standard_normal((20, 1, 2))
    cov = np.array([[[0.5, 0.2], [0.2, 0.6]]])
    together = law.log_density_given(Source(np.ones(1), means, cov), z)
    sources = [Source(np.ones(1), mean[None], cov) for mean in means]
    alone = [law.log_density_given(source, row[None])[0] for source, row in zip(sources, z, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e4 * EPS)  # roundings of preimages


def test_normal_intervals_keep_their_digits_in_the_tails():
    low, high = np.array([-1.0, 5.0, -40.0, 30.0, 2.0]), np.array([2.0, 5.5, -39.0, 30.001, 2.0])
    from mpmath import mp, mpf, ncdf

    with mp.workdps(500):
        truth = [
            float(mp.log(ncdf(mpf(b)) - ncdf(mpf(a)))) if b > a else -np.inf for a, b in zip(low, high, strict=True)
        ]
    np.testing.assert_allclose(log_interval(low, high), truth, rtol=1e4 * EPS)


@pytest.mark.parametrize(
    ("law", "network", "options", "error", "message"),
    [
        (MultivariateStudent(np.eye(2), 3.0), mlp((2, 2), seed=0), {}, LawError, "got MultivariateStudent; its image"),
        (Gaussian.standard(4), mlp((4, 4), seed=0), {}, ParameterError, "expected 1 to 3 dimensions, got 4"),
        (Gaussian.standard(2), mlp((2, 2), seed=0), {"noise_var": -1.0}, LawError, "noise_var: .*>= 0, got -1"),
        (Gaussian.standard(2), mlp((2, 2), seed=0), {"noise_var": np.nan}, LawError, "noise_var"),
    ],
)
def test_laws_without_regions_are_refused(law, network, options, error, message):
    with pytest.raises(error, match=message):
        output_law(law, network, **options)


def test_densities_without_closed_form_are_refused():
    found = [Piece.of(c, 0.0) for c in cells(mlp((3, 2, 1), seed=0, slope=0.1), np.full(3, -9.0), np.full(3, 9.0))]
    source, z = Source.of(Gaussian.standard(3)), np.zeros((1, 1))
    with pytest.raises(LawError, match="expected at least 2 outputs for 3 inputs, got 1"):
        summed(found, source, z)
    with pytest.raises(LawError, match="expected at most 2 inputs where noise is added, got 3"):
        summed(found, source, z, noise_var=1.0)
    with pytest.raises(LawError, match="law: expected at most 2 inputs, got 3"):
        _ = output_law(Gaussian.standard(3), mlp((3, 2), seed=0)).probabilities


def test_it_says_what_it_is():
    assert repr(law_of("plane to plane")) == f"OutputLaw({law_of('plane to plane')})"
    assert str(law_of("pooled plane with noise")).startswith("law of f(X) + N(0, 0.1·I) on R^2, 2 inputs, ")
    assert "3 of them singular" in output_law(TILTED, nn.ReLU())._repr_html_()
    (cell,) = output_law(TILTED, mlp((2, 3), seed=0)).regions
    assert repr(cell).endswith("4 corners, 2 inputs, 3 outputs)")


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.ones((2, 3)), "z: expected 2 columns as the network has outputs, got 3"),
        ([[np.nan, 1.0]], "z: expected finite"),
    ],
)
def test_rows_that_are_no_outputs_are_refused(z, message):
    law = law_of("plane to plane")
    for measure in (law.log_density, law.branch_entropy):
        with pytest.raises(SampleError, match=message):
            measure(z)
