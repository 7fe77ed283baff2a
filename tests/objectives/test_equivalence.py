"""assert_equivalent: true twins pass, every kind of wrong loss is caught."""

import numpy as np
import pytest
import torch
from objective_twins import EVERY

from itssl.objectives import assert_equivalent, convert_weights, minimize, vicreg_terms
from itssl.objectives.vicreg import NORMALIZATIONS

REFERENCE = minimize(vicreg_terms, normalization="reference")


def textbook(z_a, z_b, *, half=0.5, ddof=1, eps=1e-4, detach=False, weights=(25.0, 25.0, 1.0), offdiagonal=True):
    """VICReg in the normalization "reference", with places to go wrong."""
    n, d = z_a.shape
    invariance = (z_a - z_b).square().mean()
    variance, covariance = torch.zeros((), dtype=z_a.dtype), torch.zeros((), dtype=z_a.dtype)
    for z in (z_a, z_b):
        cov = (z - z.mean(0)).T @ (z - z.mean(0)) / (n - ddof)
        std = (cov.diagonal() + eps).sqrt()
        variance = variance + half * torch.relu(1 - (std.detach() if detach else std)).mean()
        kept = ~torch.eye(d, dtype=torch.bool) if offdiagonal else torch.ones(d, d, dtype=torch.bool)
        covariance = covariance + cov[kept].square().sum() / d
    return weights[0] * invariance + weights[1] * variance + weights[2] * covariance


def test_true_twins_pass():
    assert_equivalent(textbook, REFERENCE)
    assert_equivalent(REFERENCE, textbook, n=4, d=9, seed=3)
    assert_equivalent(lambda a, b: vicreg_terms(a, b, normalization="reference"), textbook)
    for source in NORMALIZATIONS:
        for target in NORMALIZATIONS:
            weights = convert_weights((25.0, 25.0, 1.0), source=source, target=target, d=8)
            assert_equivalent(
                minimize(vicreg_terms, normalization=source),
                minimize(vicreg_terms, normalization=target, weights=weights),
            )


@pytest.mark.parametrize("name", [n for n in EVERY if "BYOL" not in n])
def test_every_objective_equals_itself_and_not_its_double(name):
    terms = EVERY[name].terms
    assert_equivalent(terms, lambda a, b: terms(a, b, gather=False), batches=2)
    with pytest.raises(AssertionError, match="the losses differ on batch 0"):
        assert_equivalent(terms, lambda a, b: 1.001 * terms(a, b).total(), batches=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"half": 1.0}, {"ddof": 0}, {"eps": 1e-5}, {"eps": 0.0}, {"offdiagonal": False},
        {"weights": (25.0, 25.0, 1.001)}, {"weights": (25.0, 0.0, 1.0)}, {"weights": (1.0, 1.0, 0.04)},
    ],
)  # fmt: skip
def test_wrong_values_are_caught(wrong):
    with pytest.raises(AssertionError, match=r"the losses differ on batch 0 \(n=32, d=8, seed=0\): [\d.]+ against"):
        assert_equivalent(lambda a, b: textbook(a, b, **wrong), REFERENCE)


def test_right_values_with_wrong_gradients_are_caught():
    for wrong in (
        lambda a, b: textbook(a, b, detach=True),
        lambda a, b: textbook(a, b.detach()),
        lambda a, b: textbook(a, b).item(),
        lambda a, b: textbook(a, b).detach() + 0 * a.sum(),
    ):
        for pair in ((wrong, REFERENCE), (REFERENCE, wrong)):
            with pytest.raises(AssertionError, match="gradients by"):
                assert_equivalent(*pair)


def test_nan_equals_nothing():
    def undefined(z_a, z_b):
        return textbook(z_a, z_b) * float("nan")

    def undefined_slope(z_a, z_b):
        return textbook(z_a, z_b) + (z_a - z_a.detach()).abs().sum().sqrt()

    def undefined_value(z_a, z_b):
        return textbook(z_a, z_b) + float("nan")  # with the right slope

    for wrong in (undefined, undefined_slope, undefined_value):
        for pair in ((wrong, REFERENCE), (REFERENCE, wrong), (wrong, wrong)):
            with pytest.raises(AssertionError, match="the losses differ"):
                assert_equivalent(*pair)


def test_the_normalization_is_named():
    for name in NORMALIZATIONS:
        found = minimize(vicreg_terms, normalization=name)
        with pytest.raises(AssertionError, match=f"the first is VICReg 25/25/1 in the normalization {name!r}$"):
            assert_equivalent(found, lambda a, b: 2 * textbook(a, b))
        with pytest.raises(AssertionError, match=f"the second is VICReg 25/25/1 in the normalization {name!r}$"):
            assert_equivalent(lambda a, b: 2 * textbook(a, b), found)
    with pytest.raises(AssertionError) as caught:
        assert_equivalent(lambda a, b: 2 * textbook(a, b), lambda a, b: 3 * textbook(a, b))
    assert "VICReg" not in str(caught.value)


def test_batches_leave_no_term_idle():
    from itssl.objectives.equivalence import _views

    for d in (1, 2, 8, 64):
        z_a, z_b = _views(32, d, 0, 0)
        terms = vicreg_terms(z_a, z_b, normalization="reference")
        assert terms.invariance > 0.01
        assert terms.variance > 0.01
        assert terms.covariance > 0.01 or d == 1
        assert np.abs(z_a.mean(axis=0)).max() > 0.01
