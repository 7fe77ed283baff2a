"""assess against closed forms, what it leaves alone and repeats, and what its report says, shows and refuses."""

import copy
import html
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import nn

import itssl
from itssl.arrays import SampleError
from itssl.choices import ParameterError
from itssl.evaluation import assess as module
from itssl.evaluation.assess import assess
from itssl.evaluation.assessment import AssessmentRow
from itssl.evaluation.normality import view_dependence
from itssl.evaluation.overlap import overlap
from itssl.networks.encoders import NetworkError, as_double, embed, mlp
from itssl.networks.regions import exit_probability, local_affine
from itssl.networks.views import AffineViews

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4))
ROOT = RNG.normal(size=(4, 4))
COV = ROOT @ ROOT.T
NETWORK = mlp((4, 16, 3), seed=0)


def linear(weight, bias=None, *layers):
    """x ↦ W x + b and what follows it."""
    weight = torch.tensor(np.asarray(weight), dtype=torch.float64)
    first = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    first.weight.data.copy_(weight)
    first.bias.data.copy_(torch.zeros(len(weight)) if bias is None else torch.tensor(bias))
    return nn.Sequential(first, *layers)


def quickly(network: Any = NETWORK, prototypes: Any = X, cov: Any = 1.0, **options: Any):
    return assess(network, prototypes, cov, **({"scales": [0.1], "draws": 64} | options))


def numbers(**options: Any):
    return np.array(quickly(**options).rows)


def assert_unbiased(row, draws):
    """Errors of true moments are 0 in the mean, with deviations of at most 1/m and 2/(m − 1), m draws in each half.

    Var⟨a, b⟩ = ‖P/m‖² ≤ (tr P/m)², and Var⟨Ĉ₁ − P, Ĉ₂ − P⟩ = 2(‖P‖⁴ + tr P⁴)/(m − 1)² ≤ 4‖P‖⁴/(m − 1)².
    """
    assert abs(row.mean) < 4 / (draws / 2)
    assert abs(row.cov) < 4 * 2 / (draws / 2 - 1)


# --- against closed forms ----------------------------------------------------------------------------------------


def test_exit_against_the_normal_law():
    """Faces along the axes: the region is left unless every coordinate stays, 1 − Π Φ(|x_j|/(s σ_j))."""
    network, std = linear(np.eye(3), [0.0, 0.0, 0.0], nn.ReLU()), np.array([0.5, 1.0, 2.0])
    x = np.random.default_rng(1).normal(size=(20, 3)) * 2
    found = assess(network, x, np.diag(std**2), scales=[0.2, 1.0], draws=2000)
    for row in found.rows:
        crossed = ndtr(-np.abs(x) / (row.scale * std))
        exact, rounding = 1 - (1 - crossed).prod(axis=1).mean(), 1e-12
        assert row.exit == pytest.approx(exact, abs=4 * row.exit_error)
        assert crossed.max(axis=1).mean() - rounding <= row.exit_lower <= exact + rounding
        assert exact - rounding <= row.exit_upper <= crossed.sum(axis=1).clip(max=1).mean() + rounding


def test_moments_and_overlap_against_the_normal_law():
    """One ReLU unit a deviations from its face: EZ = aΦ(a) + φ(a), EZ² = (a² + 1)Φ(a) + aφ(a), not a, 1."""
    a = 1.5
    phi, cdf = math.exp(-(a**2) / 2) / math.sqrt(2 * math.pi), float(ndtr(a))
    mean = a * cdf + phi
    var = (a**2 + 1) * cdf + a * phi - mean**2
    found = assess(linear([[1.0]], [0.0], nn.ReLU()), np.full((60, 1), 3 * a), 9.0, scales=[1.0], draws=4000)
    (row,) = found.rows
    assert row.mean == pytest.approx((mean - a) ** 2, abs=4 * row.mean_error)
    assert row.cov == pytest.approx((var - 1) ** 2, abs=4 * row.cov_error)
    assert row.mean_sampling == pytest.approx(var / 4000, rel=5 * math.sqrt(2 / 60))
    assert row.exit == pytest.approx(1 - cdf, abs=4 * row.exit_error)
    assert found.duplicates == 59
    assert row.misassigned == pytest.approx(59 / 60, abs=4 * row.misassigned_error)  # 60 equal prototypes
    assert row.overlap == 1.0


def test_an_affine_network_keeps_normality_and_moments():
    weight = np.random.default_rng(2).normal(size=(4, 4))
    found = assess(linear(weight, [1.0, -2.0, 0.0, 3.0]), X, COV, scales=[0.1, 1e3], draws=200)
    for row in found.rows:
        assert row.exit == row.exit_upper == 0
        assert_unbiased(row, 200)
        assert row.constant == row.awakened == 0
        for name in ("coordinates", "projections", "mardia"):  # 200 normal draws are rejected at 5.2 to 6 %
            assert getattr(row, name) < 0.06 + 4 * getattr(row, f"{name}_error")
    assert found.rows[0].mean != pytest.approx(found.rows[1].mean)  # draws of its own for each scale
    assert "A1: up to scale 1e+03 exit at most 0.001 (bound)" in found.remarks
    eigenvalues = np.linalg.eigvalsh(weight @ COV @ weight.T)
    np.testing.assert_allclose(found.eigenvalue_ratio, eigenvalues[0] / eigenvalues[-1], rtol=1e-8)


def test_narrow_noise_is_the_affine_map_and_wide_noise_is_not():
    found = assess(NETWORK, X, COV, scales=[1e-6, 3.0], draws=400)
    narrow, wide = found.rows
    assert narrow.exit == 0
    assert_unbiased(narrow, 400)
    assert wide.exit > 0.9
    assert wide.cov > 4 * wide.cov_error
    bounds = exit_probability(NETWORK, X, 9 * COV)
    assert (wide.exit_lower, wide.exit_upper) == pytest.approx((bounds.lower.mean(), bounds.upper.mean()))


def test_overlap_of_all_prototypes_at_the_same_noise():
    found = assess(NETWORK, X, COV, scales=[0.3, 1.0], draws=64, points=2)
    bounds = overlap(X, COV, scales=[0.3, 1.0])
    for row, upper, lower in zip(found.rows, bounds.upper, bounds.lower, strict=True):
        assert row.overlap == pytest.approx(upper.clip(max=1).mean())
        assert row.misassigned <= row.overlap + 4 * row.misassigned_error
        assert row.misassigned >= lower.mean() - 4 * row.misassigned_error
    assert found.nearest is not None
    np.testing.assert_allclose(found.nearest, bounds.nearest)


def test_rank_where_the_outputs_outnumber_the_inputs_or_cov_is_singular():
    wide = quickly(mlp((4, 32, 9), seed=1, slope=0.1))
    np.testing.assert_array_equal(wide.rank, 4)
    assert any("A3 fails at 12 of 12 prototypes: K = 9 exceeds D = 4" in r and "-inf" in r for r in wide.remarks)
    flat = quickly(linear(np.eye(4)), cov=np.diag([1.0, 1.0, 0.0, 0.0]))
    np.testing.assert_array_equal(flat.rank, 2)
    assert flat.rows[0].constant == 0.5
    assert np.isnan(flat.rows[0].overlap)
    assert flat.nearest is None
    assert "A2: not measured, cov is singular" in flat.remarks
    assert "A2: nearest" not in str(flat)
    alone = quickly(prototypes=X[:1])
    assert "A2: not measured, one prototype has no neighbor" in alone.remarks
    assert np.isnan(alone.rows[0].mean_error)


def test_a_dead_unit_that_awakes_breaks_moments_at_a_small_exit_probability():
    """2.7 deviations below its face: it leaves with probability 0.003, and then is all that the prediction misses."""
    found = assess(linear([[1.0]], [0.0], nn.ReLU()), np.full((20, 1), -2.7), 1.0, scales=[1.0], draws=4000)
    (row,) = found.rows
    assert row.exit == pytest.approx(float(ndtr(-2.7)), abs=4 * row.exit_error)
    assert row.awakened == 1.0
    assert row.coordinates == 1.0
    assert np.isnan(row.cov)  # relative to a predicted variance of 0
    assert any("from scale 1 on coordinates vary that the local map holds constant" in r for r in found.remarks)
    np.testing.assert_array_equal(found.rank, 0)
    assert "nan" in json.dumps(found.to_dict())


def test_silence_is_not_called_evidence():
    """Sums of 400 small kinks are nearly normal: the region is left by all draws, and 64 of them show nothing."""
    weight = np.random.default_rng(3).normal(size=(400, 8))
    network = linear(weight, [0.0] * 400, nn.LeakyReLU(0.9), *linear(np.random.default_rng(4).normal(size=(2, 400))))
    found = assess(network, np.random.default_rng(5).normal(size=(40, 8)), 1.0, scales=[1.0], draws=64)
    assert found.silent == (1.0,)
    assert any("coordinates look normal at scale 1 though at least 95% of the draws leave" in r for r in found.remarks)
    assert found.rows[0].exit == 1.0
    loud = assess(network, X[:, :1] * np.ones(8), 1.0, scales=[1e-9], draws=64)
    assert loud.silent == ()


# --- what it leaves alone, and what it repeats -------------------------------------------------------------------


def numpy_state():
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return state["state"]["key"]


def test_nothing_is_modified():
    network: Any = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6).eval(), nn.ReLU(), nn.Linear(6, 2))
    network[0].weight.grad = torch.ones(6, 4)
    before, x, cov = copy.deepcopy(network), X.copy(), COV.copy()
    modes = [m.training for m in network.modules()]
    torch_state, global_state = torch.random.get_rng_state(), numpy_state()
    views = AffineViews(image=(1, 2, 2))
    quickly(network, x, cov, views=views)
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])
    assert network[0].weight.dtype == torch.float32
    assert torch.equal(network[0].weight.grad, torch.ones(6, 4))
    assert [m.training for m in network.modules()] == modes
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(cov, COV)
    assert torch.equal(torch_state, torch.random.get_rng_state())
    np.testing.assert_array_equal(global_state, numpy_state())


def test_a_float32_network_is_measured_in_float64():
    network = mlp((4, 16, 3), seed=0, dtype=torch.float32)
    assert quickly(network).rows == quickly(as_double(network)).rows


def test_seeds_name_all_draws_and_scales_do_not_disturb_each_other():
    first = quickly(scales=[0.1, 1.0], points=5)
    assert first.rows == quickly(scales=[0.1, 1.0], points=5).rows
    assert first.rows[1] == quickly(scales=[1.0], points=5).rows[0]
    other = quickly(scales=[0.1, 1.0], points=5, seed=1)
    assert other.rows != first.rows
    assert list(other.measured) != list(first.measured)
    assert len(set(first.measured.tolist())) == 5
    np.testing.assert_array_equal(quickly(points=100).measured, np.arange(12))


@pytest.mark.parametrize("batch", [1, 64, 10**6])
def test_points_that_go_through_the_network_together_change_nothing(batch, monkeypatch):
    expected = numbers(scales=[1.0])
    monkeypatch.setattr(module, "_BATCH", batch)
    found = numbers(scales=[1.0])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_lists_frames_and_tensors_are_admitted():
    import pandas as pd

    for same in (X.tolist(), torch.tensor(X), pd.DataFrame(X)):
        np.testing.assert_allclose(numbers(prototypes=same), numbers(), rtol=1e-9)
    np.testing.assert_allclose(numbers(cov=torch.tensor(COV)), numbers(cov=COV), rtol=1e-9)


def test_an_interrupt_keeps_the_finished_scales(monkeypatch):
    done = []

    def misassignment(*args, **options):
        done.append(args)
        if len(done) == 3:
            raise KeyboardInterrupt
        return itssl.evaluation.overlap.misassignment(*args, **options)

    expected = quickly(scales=[0.1, 0.2, 0.3, 0.4])
    monkeypatch.setattr(module, "misassignment", misassignment)
    found = quickly(scales=[0.1, 0.2, 0.3, 0.4])
    assert found.interrupted
    assert found.rows == expected.rows[:2]
    assert "(interrupted)" in str(found)
    done[:] = [None, None]
    nothing = quickly()
    assert nothing.rows == ()
    assert len(nothing.figure().axes) == 4
    assert "A1: at no scale" in str(nothing)
    assert len(nothing.to_pandas()) == 0


# --- views -------------------------------------------------------------------------------------------------------


def test_views_that_share_their_noise_are_dependent():
    def shared(x, generator):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return x + noise, x + noise

    def apart(x, generator):
        return tuple(x + torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(2))

    for views, seen in ((shared, True), (apart, False)):
        found = quickly(views=views).views
        assert found is not None
        assert (found.prototypes, found.repeats) == (12, 8)
        assert (found.p_value == 0.005) is seen
        assert (found.p_value > 0.01) is not seen


def test_given_views_are_embedded_and_tested():
    a, b = np.random.default_rng(6).normal(size=(2, 7, 3, 4))
    found = quickly(views=(a, torch.tensor(b)), seed=3)
    z_a, z_b = (embed(NETWORK, view.reshape(-1, 4)).reshape(7, 3, 3) for view in (a, b))
    assert found.views == view_dependence(z_a, z_b, seed=3)
    assert any(r.startswith("A4: p = ") and "linear dependence of embeddings only" in r for r in found.remarks)
    assert "A4: not measured, no views were given" in quickly().remarks


def test_augmentations_are_views():
    network = mlp((64, 16, 3), seed=0)
    found = assess(
        network, np.random.default_rng(7).uniform(size=(6, 64)), 1.0, scales=[1], draws=20, views=AffineViews()
    )
    assert found.views is not None
    assert found.views.prototypes == 6


# --- the report --------------------------------------------------------------------------------------------------


class Kink(nn.Sequential):
    """A network whose name has to be escaped."""


Kink.__name__ = "Kink<b>&"


@pytest.fixture(scope="module")
def found():
    return assess(Kink(*NETWORK), X, COV, scales=[1.0, 0.01, 100.0], draws=64)


def test_text_has_a_line_for_each_scale(found):
    lines = str(found).splitlines()
    assert lines[0] == "Kink<b>&, 4 inputs, 3 outputs; 64 draws at 12 of 12 prototypes"
    assert lines[1].startswith("A3: rank of AΣAᵀ ")
    assert lines[2].startswith("A2: nearest prototype ")
    assert [line.split()[0] for line in lines[3:7]] == ["scale", "1", "0.01", "100"]
    assert len({len(line) for line in lines[3:7]}) == 1
    assert lines[7].startswith("- A1: ")
    assert repr(found) == str(found)


def test_bounds_are_said_to_hold_up_to_a_scale():
    """One unit 3 from its face: Φ(−3/s) ≤ 1e-3 up to s = 0.97, whatever the order of the scales."""
    network = linear([[1.0]], [0.0], nn.ReLU())
    found = assess(network, np.array([[3.0], [9.0]]), 1.0, scales=[2.0, 0.5, 0.8, 0.1], draws=20, points=2)
    assert found.remarks[0] == "A1: up to scale 0.8 exit at most 0.001 (bound)"
    assert found.remarks[1].startswith("A2: up to scale 0.8 misassignment at most 0.001 (bound); distances above 0 say")


def test_duplicates_are_named():
    remarks = quickly(prototypes=np.vstack([X, X[:3]])).remarks
    assert "A2 fails at every scale: 3 prototypes equal an earlier one; remove them" in remarks


def test_too_few_draws_for_mardia_are_named():
    remarks = quickly(linear(np.eye(8)), np.eye(8), draws=20).remarks
    assert "Mardia's tests need 4 draws a dimension: not measured with 20" in remarks
    assert not any("Mardia" in remark for remark in quickly().remarks)


def test_html_is_escaped(found):
    page = found._repr_html_()
    assert "Kink&lt;b&gt;&amp;" in page
    assert "Kink<b>" not in page
    assert page.count("<tr>") == 4
    assert page.count("<li>") == len(found.remarks)
    assert html.escape(found.remarks[0]) in page


def test_dict_is_json(found):
    back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert back["shape"] == [12, 4, 3]
    assert back["rows"][0]["exit"] == found.rows[0].exit
    assert back["rank"] == {"minimum": 3.0, "median": 3.0, "maximum": 3.0}
    assert back["views"] is None
    assert back["remarks"] == list(found.remarks)
    with_views = quickly(prototypes=X[:1], views=(X.reshape(3, 4, 4), X.reshape(3, 4, 4)[::-1].copy()))
    back = json.loads(json.dumps(with_views.to_dict(), allow_nan=False))
    assert with_views.views is not None
    assert back["views"]["p_value"] == with_views.views.p_value
    assert back["rows"][0]["mean_error"] == "nan"
    assert back["nearest"] is None


def test_frame_has_a_line_for_each_scale(found):
    frame = found.to_pandas()
    assert list(frame.columns) == list(AssessmentRow._fields)
    assert frame["exit"].tolist() == [row.exit for row in found.rows]


def test_figure_shows_the_rows_in_four_panels(found):
    figure = found.figure()
    assert len(figure.axes) == 4
    rows = sorted(found.rows)
    drawn = [{line.get_label(): line for line in ax.get_lines()} for ax in figure.axes]
    assert all(ax.get_legend() is not None for ax in figure.axes)
    assert all(ax.get_xscale() == "log" for ax in figure.axes)
    marks = [ax.containers[0].lines[0] for ax in figure.axes[:3]]
    for line, name in zip(marks, ("exit", "misassigned", "coordinates"), strict=True):
        np.testing.assert_allclose(line.get_xydata(), [[r.scale, getattr(r, name)] for r in rows])
    np.testing.assert_allclose(drawn[2]["P(X stays)"].get_ydata(), [1 - r.exit for r in rows])
    np.testing.assert_allclose(drawn[3]["cov, seen"].get_ydata(), [math.sqrt(r.cov + r.cov_sampling) for r in rows])
    step = drawn[1]["prototypes nearer than 2 scales"]
    np.testing.assert_allclose(step.get_xdata(), np.sort(found.nearest) / 2)
    figure.canvas.draw()
    quickly(prototypes=X[:1]).figure().canvas.draw()
    quickly(linear(np.zeros((1, 4)))).figure().canvas.draw()


def test_no_truth_value(found):
    with pytest.raises(TypeError, match=r"an Assessment has no truth value; see \.rows and \.remarks"):
        bool(found)


def test_front_door():
    assert itssl.assess is assess
    assert itssl.Assessment is type(quickly())


# --- bad input ---------------------------------------------------------------------------------------------------


def hooked():
    network: Any = mlp((4, 3), seed=0)
    network[0].register_forward_hook(lambda module, args, output: output + 1)
    return network


TRAINING = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"prototypes": X[:, :3]}, NetworkError, "3"),
        ({"network": mlp((5, 3), seed=0)}, NetworkError, "4"),
        ({"network": TRAINING}, NetworkError, r"layer 1 \(BatchNorm1d\): expected evaluation mode"),
        ({"network": nn.Sequential(nn.Linear(4, 3), nn.GELU())}, NetworkError, r"layer 1 \(GELU\)"),
        ({"network": hooked()}, NetworkError, "expected no forward hooks"),
        ({"network": mlp((4, 3), seed=0, dtype=torch.float16)}, NetworkError, "float16"),
        ({"prototypes": X[:0]}, SampleError, "prototypes: expected samples, got an empty array"),
        ({"prototypes": X * np.nan}, SampleError, "prototypes: expected finite values"),
        ({"prototypes": X[None]}, SampleError, r"prototypes: expected shape \(n, d\)"),
        ({"prototypes": X.astype(int)}, SampleError, "prototypes: expected real-valued samples"),
        ({"cov": 0.0}, ParameterError, "cov: expected a finite number > 0, got 0.0"),
        ({"cov": np.zeros((4, 4))}, ParameterError, "cov: expected a matrix that is not zero"),
        ({"cov": np.eye(3)}, ParameterError, r"cov: expected a number or a \(4, 4\) array, got shape \(3, 3\)"),
        ({"cov": -COV}, ParameterError, "cov: expected a positive semidefinite matrix"),
        ({"scales": []}, ParameterError, "scales: expected at least one, all different"),
        ({"scales": [1.0, 0.0]}, ParameterError, "scales: expected a finite number > 0, got 0.0"),
        ({"draws": 0}, ParameterError, "draws: expected an integer >= 20, got 0"),
        ({"draws": 19}, ParameterError, "draws: expected an integer >= 20, got 19"),
        ({"points": 0}, ParameterError, "points: expected an integer >= 1, got 0"),
        ({"level": 0.0}, ParameterError, "level: expected a number between 0 and 1, got 0.0; 0.05 is usual"),
        ({"level": 1.0}, ParameterError, "level: expected a number between 0 and 1"),
        ({"seed": -1}, SampleError, "seed: expected a non-negative integer"),
        ({"views": X}, SampleError, r"views: expected two arrays of shape \(N, r, 4\).* got \(12, 4\)$"),
        ({"views": (X, X)}, SampleError, r"got \(12, 4\) and \(12, 4\)"),
        ({"views": (X[:, None], X[:6, None])}, SampleError, r"got \(12, 1, 4\) and \(6, 1, 4\)"),
        ({"views": (X[:, None], X[:, None])}, SampleError, "dependence within a prototype needs repeats"),
        ({"views": lambda x, generator: (x[:5], x[:5])}, SampleError, r"got \(5, 4\) and \(5, 4\)"),
        ({"views": (X.reshape(3, 4, 4) * np.nan,) * 2}, SampleError, "views: expected finite values"),
        ({"views": lambda x, generator: (x, x)}, SampleError, "z_a: expected embeddings that vary within prototypes"),
    ],
)  # fmt: skip
def test_what_is_refused(change, kind, words):
    with pytest.raises(kind, match=words):
        quickly(**change)


def test_the_map_is_that_of_the_network_where_it_is_measured():
    found = quickly(mlp((4, 16, 16, 3), seed=4), points=3)
    images = local_affine(mlp((4, 16, 16, 3), seed=4), X[found.measured]).matrix
    np.testing.assert_array_equal(found.rank, [np.linalg.matrix_rank(a @ a.T) for a in images])
