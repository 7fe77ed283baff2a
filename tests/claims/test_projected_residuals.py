"""C40, C43, C44: worlds that are what they say, and dominance counted in loops."""

import numpy as np
import pytest

import itssl
from itssl.claims import projected_residuals as residuals

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of residuals", *path)


def test_projection_is_symmetric_idempotent_and_ends_z():
    found = residuals._gaussian(30, 12, rng("projection"), rank=5)
    p = found.projection
    np.testing.assert_allclose(p, p.T, atol=1e-12)
    np.testing.assert_allclose(p @ p, p, atol=1e-12)
    np.testing.assert_allclose(p @ found.z, 0, atol=1e-10)
    assert found.rank == 5
    assert np.trace(p) == pytest.approx(25)


def test_all_but_one_leaves_the_largest_class():
    for i in range(10):
        found = residuals._all_but_one(rng("all but one", i))
        sizes = np.bincount(found.y)
        assert found.rank == len(found.y) - 1
        assert sizes.argmax() == 0
        assert sizes.min() > 0
        assert found.residual == pytest.approx(np.sqrt(sizes[0]))


def test_unrelated_directions_fit_no_label():
    found = residuals._unrelated(rng("unrelated"))
    np.testing.assert_allclose(found.z.T @ found.one_hot, 0, atol=64 * EPS)
    assert found.residual == pytest.approx(np.sqrt(len(found.y)))


def test_label_agnostic_form_by_hand():
    """m = 24, d = 12: 2√12 = 6.93 against the error 1 of W = 0; classes of 8 make it 2√(12/3) = 4; the term is 2."""
    found = itssl.check("C43", "directions orthogonal to all classes").measured
    assert found["label-agnostic"].value == pytest.approx(2 * np.sqrt(12))
    assert found["by class sizes"].value == pytest.approx(4)
    assert found["term"].value == pytest.approx(2)


def test_dominance_in_loops():
    z = rng("dominance").standard_normal((20, 5)) * [1, 2, 0.1, 1, 30]
    c = np.cov(z, rowvar=False)
    expected = [abs(c[i, i]) > sum(abs(c[i, j]) for j in range(5) if j != i) for i in range(5)]
    assert list(residuals._dominates(z)) == expected
    assert 0 < sum(expected) < 5


def test_dominance_needs_rows_of_the_order_of_the_square_of_columns():
    """K = 16: 2(K − 1)²/π = 143 rows are not enough, 4000 are."""
    shares = [residuals._dominates(rng("rows", n).standard_normal((n, 16))).mean() for n in (143, 4000)]
    assert shares[0] < 0.8
    assert shares[1] == 1


def test_smallest_eigenvalue_at_four_rows_a_column():
    """N = 256, K = 64: invertible with eigenvalues from (1 − √(K/N))² = ¼ on, and no row dominates.

    (N−1)λ is about (√(N−1) − √K)² − sT with s = (√(N−1) − √K)(1/√K − 1/√(N−1))^⅓ and T of Tracy and Widom's law, whose
    mean is −1.2065 and whose deviation is 1.268 (Feldheim & Sodin 2010).
    """
    found = itssl.check("C44").measured
    edge = np.sqrt(255) - 8
    spread = edge * (1 / 8 - 1 / np.sqrt(255)) ** (1 / 3)
    smallest = found["smallest eigenvalue"]
    assert smallest.value == pytest.approx(
        (edge**2 + 1.2065 * spread) / 255, abs=5 * 1.268 * spread / 255 / np.sqrt(smallest.n)
    )
    assert found["share of rows that dominate"].value == 0
