"""The chain from information to VICReg against naive formulas; its gaps, directions and errors."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from itssl import KSG, Bias, Estimate, GaussianPlugin
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.distributions.positive_pairs import scattered_prototypes
from itssl.distributions.tasks import linear_gaussian_views
from itssl.evaluation.bound_surrogates import moment_pieces
from itssl.evaluation.decomposition import decompose
from itssl.evaluation.information_bound import information_bound

EPS = np.finfo(float).eps
NAMES = [
    "information", "Gaussian information", "bound, Gaussian h", "Hadamard", "second order of log|R|", "covariance term",
    "hinge", "VICReg",
]  # fmt: skip
WEIGHTS = (25.0, 25.0, 1.0)


def mixed_gaussian(seed, scale=1.0, n=150):
    """Correlated coordinates of different size, the views of different laws."""
    rng = stream(seed, "mixed Gaussian")
    z, pair = linear_gaussian_views(list(rng.uniform(0, 0.95, 4))).sample(n, rng)
    mixing = rng.standard_normal((4, 4)) * rng.uniform(0.3, 2.0, 4)
    return scale * z @ mixing, scale * (pair @ mixing + 0.1 * rng.standard_normal(pair.shape) + 0.2)


def mixture(seed, std=0.1):
    return scattered_prototypes(6, 3, std=std, seed=seed).sample(150, stream(seed, "mixture"))


def naive(a, b, gamma=1.0, eps=1e-4, row=None, step=0.0):
    """Values of steps 2 to 7 by their formulas, row ``row`` counting 1 + step times."""
    n, d = a.shape
    weights = np.ones(n)
    if row is not None:
        weights[row] += step
    weights /= weights.sum()

    def cov(z):
        centered = z - weights @ z
        return centered.T @ (weights[:, None] * centered)

    def log_det(matrix):
        return np.linalg.slogdet(matrix)[1]

    def squares(matrix):
        return (matrix**2).sum() - (np.diagonal(matrix) ** 2).sum()

    c = [cov(a), cov(b)]
    half = [np.diagonal(m) for m in c]
    corr = [m / np.sqrt(np.outer(v, v)) for m, v in zip(c, half, strict=True)]
    unbiased = [m * n / (n - 1) for m in c]
    information = 0.5 * (log_det(c[0]) + log_det(c[1]) - log_det(cov(np.hstack([a, b]))))
    distance = d / 2 - 0.5 * weights @ ((a - b) ** 2).sum(axis=1)
    bound = distance + np.mean([0.5 * log_det(m) for m in c])
    hadamard = distance + np.mean([0.5 * np.log(v).sum() for v in half])
    second = hadamard + np.mean([-0.25 * squares(m) for m in corr])
    energy = np.mean([-0.25 * squares(m) for m in unbiased])
    hinge = np.mean([-np.maximum(0, gamma - np.sqrt(np.diagonal(m) + eps)).sum() for m in unbiased])
    return [information, bound, hadamard, second, hadamard + energy, distance + hinge + energy]


def naive_vicreg(a, b, normalization, weights, gamma=1.0, eps=1e-4):
    d = a.shape[1]
    invariance = ((a - b) ** 2).sum(axis=1).mean()
    covs = [np.cov(z, rowvar=False) for z in (a, b)]
    variance = [np.maximum(0, gamma - np.sqrt(np.diagonal(c) + eps)).mean() for c in covs]
    covariance = sum(((c**2).sum() - (np.diagonal(c) ** 2).sum()) / d for c in covs)
    terms = {
        "equation": (invariance, sum(variance), covariance),
        "reference": (invariance / d, sum(variance) / 2, covariance),
        "solo": (invariance / d, sum(variance), covariance),
    }[normalization]
    factor = (0.5 if normalization == "equation" else d / 2) / weights[0]
    return d / 2 - factor * np.dot(weights, terms)


DATA = {
    **{f"Gaussian {scale:g}": mixed_gaussian(i, scale) for i, scale in enumerate((0.05, 0.3, 1.0, 5.0))},
    "mixture": mixture(0),
    "narrow mixture": mixture(1, std=1e-3),
    "line": linear_gaussian_views([0.7]).sample(60, stream(0, "line")),
}


@pytest.mark.parametrize("normalization", ["equation", "reference", "solo"])
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_every_step_is_its_formula_and_every_direction_holds(data, normalization):
    a, b = data if data[0].ndim == 2 else (v[:, None] for v in data)
    found = decompose(a, b, normalization=normalization, information="gaussian")
    assert [step.name for step in found.steps] == NAMES
    if a.shape[1] > 1:
        expected = [*naive(a, b), naive_vicreg(a, b, normalization, WEIGHTS)]
        np.testing.assert_allclose([step.value for step in found.steps[1:]], expected, rtol=1e-8, atol=1e-8)
    scale = max(1.0, *(abs(step.value) for step in found.steps))
    for before, step in zip(found.steps, found.steps[1:], strict=False):
        assert step.gap == step.value - before.value
        rounding = 1e-12 * scale
        assert {"≥": step.gap <= 0, "≤": step.gap >= 0, "=": abs(step.gap) <= rounding, "≈": True}[step.relation]
    total = found.steps[0].value + sum(step.gap for step in found.steps[1:])
    assert total == pytest.approx(found.steps[-1].value, abs=16 * EPS * scale)
    assert found.steps[-1].value == pytest.approx(a.shape[1] / 2 - found.nats_per_loss * found.loss, rel=4 * EPS)
    for name, allowed in {"Gaussian information": "≤=", "bound, Gaussian h": "≥", "Hadamard": "≤=",
                          "second order of log|R|": "≥="}.items():  # fmt: skip
        assert found[name].relation in allowed


def test_direction_of_the_hinge_is_that_of_every_variance():
    """≤ below unit variance, ≥ above, ≈ where both occur."""
    z, pair = (v / v.std(axis=0, ddof=1) for v in mixed_gaussian(3))
    for std, relation in (((0.5, 0.8, 0.9, 0.1), "≤"), ((1.1, 2.0, 3.0, 1.2), "≥"), ((0.5, 2.0, 0.7, 1.5), "≈")):
        found = decompose(z * std, pair * std, normalization="reference")
        assert found["hinge"].relation == relation
        assert f"above ½ log c for {sum(s < 1.02 for s in std) * 2} of 8" in found["hinge"].why


def test_direction_of_the_covariance_term_is_that_of_the_products():
    z, pair = (v / v.std(axis=0, ddof=1) for v in mixed_gaussian(3))
    for factor, relation in ((0.5, "≤"), (2.0, "≥")):
        step = decompose(factor * z, factor * pair, normalization="reference")["covariance term"]
        assert step.relation == relation
        assert step.gap == pytest.approx(-0.25 * (factor**4 - 1) * correlations(z, pair), rel=1e-9)
    at_unit = decompose(z, pair, normalization="reference")["covariance term"]
    assert at_unit.relation == "="


def correlations(z, pair):
    corr = [np.corrcoef(v, rowvar=False) for v in (z, pair)]
    return np.mean([(c**2).sum() - len(c) for c in corr])


def test_weights_of_the_bound_are_those_of_the_surrogate():
    """With weights 1, 1, ¼ of the solo normalization (½, ½, ⅛ times d) the last step changes nothing."""
    z, pair = mixed_gaussian(0)
    found = decompose(z, pair, normalization="solo", weights=(1.0, 1.0, 0.25))
    assert found["VICReg"].relation == "="
    assert found["VICReg"].gap_error < 1e-12
    assert decompose(z, pair, normalization="reference", weights=(1.0, 2.0, 0.25))["VICReg"].relation == "="
    assert decompose(z, pair, normalization="equation", weights=(1.0, 4.0, 1.0))["VICReg"].relation == "="
    assert decompose(z, pair, normalization="solo", weights=(1.0, 2.0, 0.5))["VICReg"].relation == "≥"
    assert decompose(z, pair, normalization="solo", weights=(1.0, 0.5, 0.1))["VICReg"].relation == "≤"
    assert decompose(z, pair, normalization="solo", weights=(1.0, 2.0, 0.1))["VICReg"].relation == "≈"


def test_influences_are_derivatives_in_the_weights_of_rows():
    z, pair = mixed_gaussian(2, n=60)
    pieces = moment_pieces(z, pair, 1.0, 1e-4)
    hadamard = pieces.distance.plus(pieces.diagonal)
    chain = [
        pieces.information, pieces.distance.plus(pieces.log_det), hadamard, hadamard.plus(pieces.correlations),
        hadamard.plus(pieces.covariances), pieces.distance.plus(pieces.hinge).plus(pieces.covariances),
    ]  # fmt: skip
    step = 1e-5
    for row in (0, 13):
        up, down = (np.array(naive(z, pair, row=row, step=sign * step)) for sign in (1, -1))
        expected = (up - down) / (2 * step) * len(z)
        np.testing.assert_allclose([piece.influence[row] for piece in chain], expected, rtol=1e-5, atol=1e-5)
    for piece in chain:
        assert abs(piece.influence.mean()) < 1e-11 * max(1.0, np.abs(piece.influence).max())


def test_errors_of_gaps_are_paired():
    found = decompose(*mixed_gaussian(0, n=400), normalization="reference")
    hadamard = found["Hadamard"]
    assert hadamard.gap_error < found["bound, Gaussian h"].standard_error
    first = found["Gaussian information"]
    assert first.gap_error == pytest.approx(found.information.standard_error + first.standard_error, rel=1e-12)


def test_gaussian_estimate_differs_from_the_gaussian_step_by_its_bias():
    z, pair = mixed_gaussian(0)
    found = decompose(z, pair, normalization="reference", information="gaussian")
    estimate = GaussianPlugin().mutual_information(z, pair)
    bias = found["Gaussian information"].gap
    assert found.information.value == estimate.value
    assert bias == pytest.approx(-estimate.diagnostics["bias_correction_nats"], rel=1e-9)
    assert found["Gaussian information"].gap_error == 0
    assert f"{bias:.3g} nats too large" in found.notes[0]


def test_scale_note_is_the_gain_of_the_bound():
    z, pair = mixed_gaussian(1)
    found = decompose(z, pair, normalization="reference")
    best = np.sqrt(4 / ((z - pair) ** 2).sum(axis=1).mean())
    other = decompose(best * z, best * pair, normalization="reference")
    gained = other["bound, Gaussian h"].value - found["bound, Gaussian h"].value
    assert f"by {best:.3g} would add {gained:.3g} nats" in found.notes[1]
    assert other["Gaussian information"].value == pytest.approx(found["Gaussian information"].value, rel=1e-10)


def test_information_by_name_estimator_or_truth():
    z, pair = mixed_gaussian(0)
    truth = Estimate(value=1.5, standard_error=0.0, n=0, bias=Bias.EXACT, method="truth")
    for given, expected in (
        ("ksg", KSG().mutual_information(z, pair)),
        ("infonce", information_bound(z, pair, entropy="kde").value),
        (KSG(k=3), KSG(k=3).mutual_information(z, pair)),
        (truth, truth),
    ):
        found = decompose(z, pair, normalization="reference", information=given)
        assert found.information == expected
        assert found.steps[0].value == expected.value
        assert found.steps[1].relation == "≈"


def test_kinds_of_arrays_agree_and_are_left_alone():
    z, pair = (v.astype(np.float32).astype(float) for v in mixed_gaussian(0))
    z.flags.writeable = pair.flags.writeable = False
    expected = decompose(z, pair, normalization="solo").steps
    tensors = [torch.tensor(v, requires_grad=True) for v in (z, pair)]
    frames = [pd.DataFrame(v, columns=list("abcd")) for v in (z, pair)]
    for a, b in (tensors, frames, [np.asfortranarray(v.astype(np.float32)) for v in (z, pair)]):
        for step, other in zip(decompose(a, b, normalization="solo").steps, expected, strict=True):
            assert (step.name, step.relation) == (other.name, other.relation)
            numbers = [[s.value, s.standard_error, s.gap_error] for s in (step, other)]
            np.testing.assert_allclose(*numbers, rtol=256 * EPS)  # sums in another order


Z, PAIR = mixed_gaussian(5, n=40)
BAD = {
    "shapes": ((Z, PAIR[:, :3]), {}, SampleError, "expected equal shapes"),
    "one row": ((Z[:1], PAIR[:1]), {}, SampleError, "z_a: expected at least 2 rows"),
    "few": ((Z[:8], PAIR[:8]), {}, SampleError, "expected more than 2d = 8 rows, got 8; .* PCA"),
    "nan": ((Z, np.full_like(PAIR, np.nan)), {}, SampleError, "z_b: expected finite values"),
    "collapse": (
        (np.ones_like(Z), PAIR),
        {},
        SampleError,
        "z_a: .* 40 equal ones; the encoder has collapsed",
    ),
    "equal": ((Z, Z), {"information": "gaussian"}, SampleError, "a direction of one that the rest determines"),
    "rank": ((np.c_[Z[:, :3], Z[:, :2].sum(axis=1)], PAIR), {}, SampleError, "expected views of full rank together"),
    "information": ((Z, PAIR), {"information": "ksq"}, UnknownNameError, "information: .* did you mean 'ksg'"),
    "class": ((Z, PAIR), {"information": KSG}, UnknownNameError, "information: expected one of .* an estimator"),
    "weights": ((Z, PAIR), {"weights": (0.0, 1.0, 1.0)}, ParameterError, "weights: expected three finite numbers"),
    "gamma": ((Z, PAIR), {"gamma": 0.0}, ParameterError, "gamma: expected a finite number > 0"),
}


@pytest.mark.parametrize(("data", "options", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(data, options, error, message):
    with pytest.raises(error, match=message):
        decompose(*data, **{"normalization": "reference", **options})


def test_report_and_waterfall():
    found = decompose(Z, PAIR, normalization="reference")
    assert found["VICReg"] is found.steps[-1]
    with pytest.raises(UnknownNameError, match="name: expected one of"):
        found["vicreg"]
    with pytest.raises(TypeError, match="no truth value"):
        bool(found)
    assert list(found.to_pandas()["name"]) == NAMES
    page = found._repr_html_()
    assert page.count("<tr>") == len(NAMES) + 1
    assert "D(p(z|z&#x27;)‖N(z&#x27;, I))" in page
    assert "≥ bound, Gaussian h" in str(found)
    ax = found.figure().axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == NAMES
    bars: list[Any] = list(ax.patches)
    assert len(bars) == len(NAMES)
    for i, (bar, step) in enumerate(zip(bars, found.steps, strict=True)):
        start = 0.0 if i in (0, len(NAMES) - 1) else found.steps[i - 1].value
        assert sorted([bar.get_x(), bar.get_x() + bar.get_width()]) == pytest.approx(sorted([start, step.value]))


@pytest.mark.slow
def test_directions_hold_on_a_trained_encoder():
    """Two views of held-out digits through the encoder trained with VICReg, 64 dimensions."""
    from itssl.claims.worlds import digits_data, digits_encoder
    from itssl.networks.encoders import embed
    from itssl.networks.views import AffineViews

    generator = torch.Generator().manual_seed(0)
    x = torch.tensor(digits_data().test_x)
    a, b = (embed(digits_encoder(), v.double().numpy()) for v in AffineViews()(x, generator))
    for normalization in ("equation", "reference", "solo"):
        test_every_step_is_its_formula_and_every_direction_holds((a, b), normalization)
