"""What holds for all objectives: formulas in both kinds, numpy arrays, the words of refusals, what spreads at collapse.

Gradients, precision, order of the rows and conduct towards tensors: `testing.declarations`, by `itssl.testing`.
"""

import re

import numpy as np
import pytest
import torch
from objective_twins import EPS, EVERY, SHAPES, views

from itssl import objectives
from itssl.arrays import SampleError
from itssl.choices import ParameterError
from itssl.objectives import ObjectiveTerms

every = pytest.mark.parametrize("name", EVERY)


def rounding(n, d, terms: ObjectiveTerms) -> float:
    """Of sums of n·d numbers as large as the weighted terms."""
    return 1e3 * n * d * EPS * (1 + sum(abs(t.weight * float(t.value)) for t in terms.terms.values()))


def test_no_objective_is_missing():
    functions = {name for name in dir(objectives) if name.endswith("_terms") and callable(getattr(objectives, name))}
    called = {e.terms(*views(9, 4)).objective for e in EVERY.values()}
    assert len(called) == len(functions)


@every
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_total_equals_the_formula_in_both_kinds(name, n, d):
    entry, (z_a, z_b) = EVERY[name], views(n, d, seed=1)
    expected, found = entry.twin(z_a, z_b), entry.terms(z_a, z_b)
    assert found.n == n
    assert found.total() == pytest.approx(expected, rel=0, abs=rounding(n, d, found))
    tensors = entry.terms(torch.tensor(z_a), torch.tensor(z_b))
    assert tensors.total().item() == pytest.approx(expected, rel=0, abs=rounding(n, d, found))
    assert tensors.terms.keys() == found.terms.keys()
    for term in found.terms:
        assert float(getattr(tensors, term)) == pytest.approx(float(getattr(found, term)), abs=rounding(n, d, found))
    assert (found.bound is None) == (tensors.bound is None)


@every
def test_numpy_arrays_keep_their_precision_and_their_numbers(name):
    n, d = 8, 4
    z_a, z_b = views(n, d)
    double = EVERY[name].terms(z_a, z_b)
    a, b = z_a.astype(np.float32), z_b.astype(np.float32)
    single = EVERY[name].terms(a, b)
    assert all(term.value.dtype == np.float32 for term in single.terms.values())
    assert single.total().dtype == np.float32
    assert single.bound is None or single.bound.value.dtype == np.float32
    error = rounding(n, d, double) / EPS * float(np.finfo(np.float32).eps)
    assert float(single.total()) == pytest.approx(float(double.total()), abs=error)
    wide = np.full((2 * n, 2 * d), np.nan)
    wide[::2, ::2] = z_a
    a, b = wide[::2, ::2], np.asfortranarray(z_b)
    a.flags.writeable = b.flags.writeable = False
    assert EVERY[name].terms(a, b).total() == pytest.approx(double.total(), abs=rounding(n, d, double))
    np.testing.assert_array_equal(a, z_a)
    np.testing.assert_array_equal(b, z_b)


@every
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_bad_batches_are_refused_by_name(name, kind, as_users_call):
    def make(z):
        return torch.tensor(z) if kind == "torch" else z

    z_a, z_b = views(6, 3)
    terms = EVERY[name].terms
    with pytest.raises(SampleError, match=re.escape("z_a: expected shape (n, d) with n >= 2, got (1, 3)")):
        terms(make(z_a[:1]), make(z_b[:1]))
    with pytest.raises(SampleError, match="z_a and z_b: expected equal shapes"):
        terms(make(z_a), make(z_b[:5]))
    with pytest.raises(SampleError, match="z_a and z_b: expected equal shapes"):
        terms(make(z_a), make(np.hstack([z_b, z_b])))
    for place, bad in ((0, np.nan), (1, np.inf)):
        pair = [z_a.copy(), z_b.copy()]
        pair[place][2, 1] = bad
        with pytest.raises(SampleError, match=f"z_{'ab'[place]}: expected finite values, got NaN or infinite"):
            terms(*map(make, pair))
    with pytest.raises(SampleError, match="one kind"):
        terms(z_a, torch.tensor(z_b))


SPREADING = [
    (objectives.vicreg_terms, {"normalization": "reference"}, "variance"),
    (objectives.vicreg_terms, {"normalization": "equation", "eps": 0.0}, "variance"),
    (objectives.vicreg_terms, {"normalization": "reference"}, "covariance"),
    (objectives.vicreg_logdet_terms, {"normalization": "solo", "beta": 100.0}, "entropy"),
    (objectives.vicreg_pairdist_terms, {"normalization": "solo", "noise_var": 0.01}, "entropy"),
    (objectives.vicreg_pairdist_terms, {"normalization": "solo", "noise_var": 0.01, "kernel": "kl"}, "entropy"),
    (objectives.invariance_logdet_terms, {"beta": 100.0, "residual_var": 1.0}, "entropy"),
    (objectives.invariance_pairdist_terms, {"noise_var": 0.01, "residual_var": 1.0}, "entropy"),
    (objectives.corinfomax_terms, {"eps": 0.01}, "log_determinant"),
    (objectives.barlow_twins_terms, {}, "redundancy"),
    (objectives.nt_xent_terms, {}, "log_partition"),
]


@pytest.mark.parametrize(("function", "options", "term"), SPREADING)
@pytest.mark.parametrize(("n", "d"), [(8, 4), (4, 8)])
def test_what_spreads_has_gradient_zero_at_collapse(function, options, term, n, d):
    """C29: hinge, log-determinant and pairwise terms do not push at exact collapse; here at 0 and at a dyadic point."""
    for point in (0.0, -1.5):
        z_a, z_b = (torch.full((n, d), point, dtype=torch.float64, requires_grad=True) for _ in range(2))
        value = getattr(function(z_a, z_b, **options), term)
        gradients = torch.autograd.grad(value, (z_a, z_b))
        if function is objectives.nt_xent_terms and point:  # on the sphere: rounding of the projection
            assert max(g.abs().max() for g in gradients) < 64 * EPS
        else:
            assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients)


@pytest.mark.parametrize("name", [n for n in EVERY if "InfoNCE, inner" not in n and "spectral" not in n])
def test_a_row_of_zeros_gives_a_number(name):
    z_a, z_b = (torch.tensor(z) for z in views(6, 3))
    z_a[2] = 0
    z_b[4] = 0
    z_a.requires_grad_()
    z_b.requires_grad_()
    gradients = torch.autograd.grad(EVERY[name].terms(z_a, z_b).total(), (z_a, z_b))
    assert all(g.isfinite().all() for g in gradients)
    if name in ("InfoNCE", "NT-Xent", "MEC", "BYOL", "MEC, exact"):
        assert gradients[0][2].abs().max() == gradients[1][4].abs().max() == 0
        assert gradients[0][3].abs().max() > 0


@pytest.mark.parametrize("name", ["InfoNCE", "NT-Xent", "MEC", "MEC, exact"])
@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e200])
def test_losses_on_the_sphere_do_not_see_the_scale(name, scale):
    z_a, z_b = views(6, 3)
    assert EVERY[name].terms(scale * z_a, scale * z_b).total() == pytest.approx(
        EVERY[name].terms(z_a, z_b).total(), rel=1e3 * EPS
    )


BAD = [
    (objectives.vicreg_terms, {"normalization": "reference", "eps": -1.0}, "eps"),
    (objectives.vicreg_terms, {"normalization": "reference", "gamma": float("nan")}, "gamma"),
    (objectives.infonce_terms, {"temperature": 0.0}, "temperature"),
    (objectives.nt_xent_terms, {"temperature": -1.0}, "temperature"),
    (objectives.barlow_twins_terms, {"eps": -1e-5}, "eps"),
    (objectives.wmse_terms, {"ridge": -0.1}, "ridge"),
    (objectives.wmse_terms, {"ridge": 1.1}, "ridge"),
    (objectives.wmse_terms, {"group": 1}, "group"),
    (objectives.vicreg_logdet_terms, {"normalization": "solo", "beta": 0.0}, "beta"),
    (objectives.vicreg_pairdist_terms, {"normalization": "solo", "noise_var": 0.0}, "noise_var"),
    (objectives.invariance_logdet_terms, {"beta": -1.0, "residual_var": 1.0}, "beta"),
    (objectives.invariance_logdet_terms, {"beta": 1.0, "residual_var": 0.0}, "residual_var"),
    (objectives.invariance_pairdist_terms, {"noise_var": float("inf"), "residual_var": 1.0}, "noise_var"),
    (objectives.invariance_pairdist_terms, {"noise_var": 1.0, "residual_var": -1.0}, "residual_var"),
    (objectives.corinfomax_terms, {"eps": 0.0}, "eps"),
    (objectives.mec_terms, {"distortion": 0.0}, "distortion"),
    (objectives.mec_terms, {"distortion": 1.0, "order": 0}, "order"),
]


@pytest.mark.parametrize(("function", "options", "argument"), BAD)
def test_numbers_out_of_range_are_refused(function, options, argument):
    with pytest.raises(ParameterError, match=f"{argument}: expected"):
        function(*views(6, 3), **options)
