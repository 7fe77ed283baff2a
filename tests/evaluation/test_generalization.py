"""The generalization bound against its formulas written out, its events by simulation, and what it refuses."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import itssl
from itssl.arrays import SampleError, SampleTypeError
from itssl.choices import ParameterError, UnknownNameError
from itssl.evaluation.generalization import generalization_bound
from itssl.evaluation.least_squares import least_squares_probe
from itssl.evaluation.rademacher import ReLUNetworks

EPS = np.finfo(float).eps
CORE = ["invariance", "residual of pairs", "residual of labels"]
Q = ["complexity of encoders", "distances of pairs", "distances of labels", "class frequencies",
     "complexity of probes", "residuals on pairs", "residuals on labels"]  # fmt: skip
CONSTANTS = ["c", "I", "R̃_m(F)", "τ", "τ_S̄", "κ_S", "κ", "κ_S̄", "R̃_m(W∘F)", "B"]
NETWORKS = ReLUNetworks(norms=(3.0, 2.0), rows=(1.0, 1.0, 1.0, 1.0, 0.5), input_radius=1.5)


def sample(n, m, d, *, classes=3, tests=40, seed=0):
    """S, pairs and test rows of class-conditional Gaussians, every class in each part."""
    rng = itssl.stream(seed, "tests of the generalization bound", n, m, d)
    centers = rng.standard_normal((classes, d))
    y, pair_y, test_y = (rng.permutation(np.arange(size) % classes) for size in (n, m, tests))
    z, a, b, test = (centers[i] + 0.5 * rng.standard_normal((len(i), d)) for i in (y, pair_y, pair_y, test_y))
    return (z, y, a, b, pair_y), {"test_z": test, "test_y": test_y}


def rounding(z, y, a, *_):
    """Of the inverses of Z: ε times how many numbers are added, and the condition of what is inverted."""
    return float(EPS * max(part.size * np.linalg.cond(part) for part in (z, a)))


def naive(z, y, a, b, pair_y, test_z, test_y, *, delta=0.05, radius=None, norm=None, networks=None):
    """Summands and constants by name, as the docstring has them."""
    n, m, k = len(z), len(a), len(np.unique(np.concatenate([y, pair_y, test_y])))
    hot, hot_pairs, hot_test = (np.eye(k)[labels] for labels in (y, pair_y, test_y))
    w, w_pairs = (np.linalg.pinv(z) @ hot).T, (np.linalg.pinv(a) @ hot_pairs).T
    c = math.sqrt(np.linalg.eigvalsh((w - w_pairs) @ (w - w_pairs).T)[-1])
    distances = [math.dist(u, v) for u, v in zip(a, b, strict=True)]
    rows = [(z, hot), (a, hot_pairs), (b, hot_pairs), (test_z, hot_test)]
    largest = max(np.linalg.norm(v, axis=1).max() for v, _ in rows)
    spectral = [math.sqrt(np.linalg.eigvalsh(v @ v.T)[-1]) for v in (w, w_pairs)]
    worst = [max(np.sqrt(((v @ u.T - t) ** 2).sum(axis=1)).max() for v, t in rows) for u in (w, w_pairs)]
    size, log = math.sqrt((w_pairs**2).sum()), math.log(6 / delta)
    unit = networks.radius if networks else largest if radius is None else radius
    if norm is None:
        power = math.ceil(math.log2(size * unit))
        bound, log_w = 2**power / unit, math.log(6 * 2 * (abs(power) + 1) * (abs(power) + 2) / delta)
    else:
        bound, log_w = norm, log
    reach = largest if radius is None else radius
    tau_pairs = max(distances) if radius is None else 2 * radius
    kappas = worst if radius is None else [s * radius + 1 for s in spectral]
    rms = math.sqrt((a**2).sum() / m) if radius is None else radius
    f, probes = 0.0, math.sqrt(2) * math.sqrt(k) * bound * rms
    if networks:
        reach, f, probes = networks.radius, networks.pair_complexity(), networks.probe_complexity(norm=bound, outputs=k)
    tau = 2 * reach if networks else tau_pairs
    kappa = bound * reach + 1
    p, p_pairs = (np.eye(len(v)) - v @ np.linalg.pinv(v) for v in (z, a))
    summands = [
        c * sum(distances) / m, 2 / math.sqrt(m) * math.sqrt(((p_pairs @ hot_pairs) ** 2).sum()),
        1 / math.sqrt(n) * math.sqrt(((p @ hot) ** 2).sum()),
        c * 2 * f / math.sqrt(m), c * tau * math.sqrt(log / (2 * m)), c * tau_pairs * math.sqrt(log / (2 * n)),
        kappas[0] * 0.5 * math.sqrt(2 / n * (k * math.log(2) + log)),
        4 * probes / math.sqrt(m), 2 * kappa * math.sqrt(log_w / (2 * m)), 2 * kappas[1] * math.sqrt(log / (2 * n)),
    ]  # fmt: skip
    constants = [c, sum(distances) / m, f, tau, tau_pairs, kappas[0], kappa, kappas[1], probes, bound]
    error = np.sqrt(((test_z @ w.T - hot_test) ** 2).sum(axis=1)).mean()
    return dict(zip([*CORE, *Q, *CONSTANTS, "error"], [*summands, *constants, error], strict=True))


OPTIONS = {
    "on the data": {},
    "radius": {"radius": 20.0},
    "norm": {"norm": 30.0, "delta": 0.3},
    "both": {"radius": 20.0, "norm": 30.0, "delta": 1e-4},
    "networks": {"networks": NETWORKS},
    "networks and radius": {"networks": NETWORKS, "radius": NETWORKS.radius + 20, "norm": 30.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("n", "m", "d"), [(30, 60, 5), (12, 50, 5), (8, 9, 14), (40, 12, 14)])
def test_every_term_is_its_formula(n, m, d, options):
    parts, tests = sample(n, m, d)
    found = generalization_bound(*parts, **tests, **options)
    expected = naive(*parts, **tests, **options)
    assert [term.name for term in found.terms] == CORE + Q
    assert [term.name for term in found.constants] == CONSTANTS
    rel = rounding(*parts)
    for name in (*CORE, *Q, *CONSTANTS):
        assert found[name].value == pytest.approx(expected[name], rel=rel, abs=rel), name
        assert found[name].standard_error == 0
    assert found.error.value == pytest.approx(expected["error"], rel=rel)
    assert found.core.value == pytest.approx(sum(expected[name] for name in CORE), rel=rel)
    assert found.slack.value == pytest.approx(sum(expected[name] for name in Q), rel=rel)
    assert found.total.value == pytest.approx(sum(expected[name] for name in (*CORE, *Q)), rel=rel)
    assert found.vacuity_ratio == found.total.value
    assert found.ratio_to_error == found.total.value / found.error.value
    assert found.shape == (n, m, d, 3)


def test_error_bar_is_that_of_the_test_rows():
    parts, tests = sample(30, 60, 5)
    found = generalization_bound(*parts, **tests)
    values = least_squares_probe(*parts[:2], np.arange(3)).errors(tests["test_z"], tests["test_y"])
    assert found.error.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)))


def test_a_radius_makes_all_suprema_larger_and_the_bound_one_from_above():
    parts, tests = sample(30, 60, 5)
    largest = max(np.linalg.norm(v, axis=1).max() for v in (parts[0], *parts[2:4], tests["test_z"]))
    seen, known = (generalization_bound(*parts, **tests, **o) for o in ({}, {"radius": largest}))
    for name in ("τ", "τ_S̄", "κ_S", "κ", "κ_S̄", "R̃_m(W∘F)"):
        assert known[name].value >= seen[name].value * (1 - 8 * EPS)
        assert known[name].direction == "upper"
    assert [seen[name].direction for name in ("τ", "τ_S̄", "κ_S", "κ_S̄")] == ["lower"] * 4
    assert (seen.core.direction, seen.total.direction, known.total.direction) == ("exact", "estimate", "upper")
    assert known["R̃_m(F)"] == seen["R̃_m(F)"]
    assert known["R̃_m(F)"].direction == "exact"


@pytest.mark.parametrize("scale", [2.0**-9, 0.01, 64.0])
def test_scale_of_f_changes_nothing(scale):
    parts, tests = sample(12, 50, 5)
    moved = [v * scale if v.ndim == 2 else v for v in parts]
    found = generalization_bound(*parts, **tests, radius=20.0)
    other = generalization_bound(*moved, test_z=scale * tests["test_z"], test_y=tests["test_y"], radius=20.0 * scale)
    for term, same in zip(found.terms, other.terms, strict=True):
        assert same.value == pytest.approx(term.value, rel=rounding(*parts)), term.name
    assert other["c"].value == pytest.approx(found["c"].value / scale, rel=rounding(*parts))


def test_norm_is_the_next_power_of_two_and_its_probabilities_sum_to_less_than_one():
    parts, _ = sample(30, 60, 5)
    found = generalization_bound(*parts, radius=20.0)
    size = np.linalg.norm(least_squares_probe(parts[2], parts[4], np.arange(3)).weights)
    assert size <= found["B"].value < 2 * size
    assert math.log2(20 * found["B"].value) == round(math.log2(20 * found["B"].value))
    power = np.abs(np.arange(-(10**5), 10**5 + 1))
    assert (1 / (2 * (power + 1.0) * (power + 2))).sum() < 1


@pytest.mark.parametrize(("classes", "n"), [(2, 60), (4, 60), (10, 300)])
def test_class_frequencies_stray_as_far_as_the_term_says(classes, n):
    """The quantile 1 − δ/6 of ½‖p̂ − p‖₁ is below √((K ln 2 + ln(6/δ))/2n) and above half of it."""
    rng = itssl.stream(0, "class frequencies", classes)
    counts = rng.multinomial(n, np.full(classes, 1 / classes), size=20_000)
    strayed = np.quantile(np.abs(counts / n - 1 / classes).sum(axis=1) / 2, 1 - 0.3 / 6)
    bound = math.sqrt((classes * math.log(2) + math.log(6 / 0.3)) / (2 * n))
    assert bound / 2 < strayed < bound


def test_at_one_point_nothing_but_residuals_is_left():
    """All inputs at one point: W averages labels, c falls with the counts, each residual is √(1 − Σ p̂²)."""
    y = np.arange(4000) % 4
    z = np.ones((4000, 1))
    found = generalization_bound(z, y, z, z, y, test_z=z, test_y=y, radius=1.0)
    assert found["c"].value < 64 * EPS
    np.testing.assert_allclose(
        [found.error.value, found["residual of labels"].value], math.sqrt(0.75), rtol=z.size * EPS
    )
    assert found["residual of pairs"].value == pytest.approx(2 * math.sqrt(0.75), rel=z.size * EPS)


def test_representation_of_zeros():
    y = np.arange(6) % 2
    z = np.zeros((6, 2))
    found = generalization_bound(z, y, z, z, y)
    assert found.core.value == pytest.approx(3.0)
    assert found["B"].value == 1


def test_classes_of_test_rows_count():
    parts, tests = sample(30, 60, 5)
    tests["test_y"] = tests["test_y"] + (tests["test_y"] == 2)
    assert generalization_bound(*parts, **tests).shape[3] == 4


def test_classes_no_sample_shows_enlarge_q_and_nothing_else():
    """Terms of K are those of 7 classes; the probe answers 0 for what it has not seen."""
    parts, tests = sample(30, 60, 5)
    seen = generalization_bound(*parts, **tests, radius=20.0)
    whole = generalization_bound(*parts, **tests, radius=20.0, classes=[6, 0, 1, 2, 3, 4, 5, 5])
    assert (seen.shape[3], whole.shape[3]) == (3, 7)
    log = math.log(6 / 0.05)
    larger = math.sqrt((7 * math.log(2) + log) / (3 * math.log(2) + log))
    assert whole["class frequencies"].value == pytest.approx(larger * seen["class frequencies"].value)
    ratio = whole["complexity of probes"].value / seen["complexity of probes"].value
    assert ratio == pytest.approx(math.sqrt(7 / 3))
    changed = {"class frequencies", "complexity of probes"}
    for term, other in zip(seen.terms, whole.terms, strict=True):
        if term.name not in changed:
            assert other.value == pytest.approx(term.value, rel=rounding(*parts)), term.name
    assert whole.error.value == pytest.approx(seen.error.value, rel=rounding(*parts))
    same = generalization_bound(*parts, **tests, radius=20.0, classes=torch.arange(3))
    assert [t.value for t in same.terms] == [t.value for t in seen.terms]


def test_drawn_signs_are_below_the_closed_form():
    parts, tests = sample(30, 60, 5)
    closed, drawn = (generalization_bound(*parts, **tests, complexity=c) for c in ("closed form", "monte carlo"))
    term, bound = drawn["complexity of probes"], closed["complexity of probes"].value
    assert 0.9 * bound < term.value < bound
    assert term.direction == "estimate"
    assert term.standard_error == pytest.approx(4 / math.sqrt(60) * drawn["R̃_m(W∘F)"].standard_error)
    assert drawn.total.standard_error == term.standard_error > 0
    again, other = (generalization_bound(*parts, **tests, complexity="monte carlo", seed=s) for s in (0, 1))
    assert again.total == drawn.total != other.total


def test_kinds_of_arrays_agree_and_are_left_alone():
    parts, tests = sample(30, 60, 5)
    values = [*parts, *tests.values()]
    values = [v.astype(np.float32).astype(float) if v.ndim == 2 else v for v in values]
    for v in values:
        v.flags.writeable = False
    expected = generalization_bound(*values[:5], test_z=values[5], test_y=values[6])
    rows = [v.ndim == 2 for v in values]
    kinds = (
        lambda v, row: torch.tensor(v, requires_grad=row),
        lambda v, row: pd.DataFrame(v) if row else pd.Series(v),
        lambda v, row: np.asfortranarray(v.astype(np.float32)) if row else v.astype(np.int32),
        lambda v, row: v[::-1][::-1] if row else v.tolist(),
    )
    for kind in kinds:
        given = [kind(v, row) for v, row in zip(values, rows, strict=True)]
        found = generalization_bound(*given[:5], test_z=given[5], test_y=given[6])
        np.testing.assert_allclose(
            [t.value for t in found.terms], [t.value for t in expected.terms], rtol=rounding(*values[:5])
        )


def refused(**changes):
    parts, tests = sample(30, 60, 5)
    given = {**dict(zip(("z", "y", "z_a", "z_b", "pair_y"), parts, strict=True)), **tests}
    for name, change in changes.items():
        given[name] = change(given[name]) if callable(change) else change
    return lambda: generalization_bound(**given)


BAD = {
    "columns": (refused(z=lambda z: z[:, :4]), SampleError, "z and z_a: expected equally many columns, got 4 and 5"),
    "pairs": (refused(z_b=lambda z: z[:-1]), SampleError, "z_a and z_b: expected the same number of rows"),
    "width of pairs": (refused(z_b=lambda z: z[:, :4]), SampleError, "z_a and z_b: expected equally many columns"),
    "test": (refused(test_z=lambda z: z[:, :4]), SampleError, "test_z and z: expected equally many columns"),
    "half a test": (refused(test_y=None), SampleError, "test_z and test_y: expected both or neither"),
    "labels": (refused(y=lambda y: y[:-1]), SampleError, r"y: expected one class for each of the 30 rows of z, got"),
    "one-hot": (refused(pair_y=lambda y: np.eye(3)[y]), SampleTypeError, "pair_y: expected integer classes, got float"),
    "nan": (refused(z=lambda z: np.full_like(z, np.nan)), SampleError, "z: expected finite values"),
    "mixed": (refused(z=lambda z: torch.tensor(z)), SampleTypeError, "z and z_a: expected arrays of one kind"),
    "delta": (refused(delta=1.0), ParameterError, "delta: expected a number between 0 and 1, got 1.0"),
    "radius": (
        refused(radius=0.1),
        ParameterError,
        "radius: expected a bound on .* got 0.1, .* pass a bound known beforehand",
    ),
    "norm": (refused(norm=1e-3), ParameterError, r"norm: expected at least ‖W_S̄‖_F = .*, got 0.001; .* leave norm out"),
    "classes": (refused(classes=[0, 1]), SampleError, r"classes: expected all .* got \[0, 1\] without \[2\]"),
    "names": (refused(classes=["a", "b", "c"]), SampleTypeError, "classes: expected integer classes, got"),
    "no norm": (refused(norm=-1.0), ParameterError, "norm: expected a finite number > 0"),
    "signs": (refused(complexity="monte carlo", networks=NETWORKS), ParameterError, "complexity: .* for networks"),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_unknown_complexity_is_refused():
    from jaxtyping import TypeCheckError

    with pytest.raises((UnknownNameError, TypeCheckError), match="complexity"):
        refused(complexity="closed")()


def test_report():
    parts, tests = sample(30, 60, 5)
    found = generalization_bound(*parts, **tests)
    lines = [*CORE, *Q, "core", "Q", "total", "measured error", *CONSTANTS]
    assert list(found.to_pandas()["name"]) == lines
    assert found._repr_html_().count("<tr>") == len(lines) + 1
    text = str(found)
    assert "Generalization bound, 1 − δ = 0.95, n = 30, m = 60, d = 5, 3 classes" in text
    assert (
        f"{found.vacuity_ratio:.3g} times the error 1 of W = 0, {found.ratio_to_error:.3g} times the measured" in text
    )
    assert "rank of f(S) 5, of f(x⁺) 5" in text
    assert found["c"] is found.constants[0]
    with pytest.raises(UnknownNameError, match="name: expected one of"):
        found["C"]
    with pytest.raises(TypeError, match="no truth value"):
        bool(found)
    bare = generalization_bound(*parts)
    assert math.isnan(bare.error.value)
    assert math.isnan(bare.ratio_to_error)
    assert "no test rows" in bare._repr_html_()
