"""Binning: definition by numpy's histogram, the limits of coarse and fine bins, the sweep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import check_equality
from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators.binning import Binning, bin_width_sweep

EPS = np.finfo(float).eps


def plug_in(counts):
    """Miller–Madow entropy of a table of counts."""
    p = counts[counts > 0] / counts.sum()
    return -(p * np.log(p)).sum() + (len(p) - 1) / (2 * counts.sum())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(5, 200), bins=st.integers(2, 12))
def test_equals_numpys_histogram(seed, n, bins):
    x, y = stream(seed, "histogram").normal(size=(2, n))
    joint, edges, _ = np.histogram2d(x, y, bins=bins)
    h = plug_in(joint.sum(axis=1)) + np.log(edges[1] - edges[0])
    assert Binning(bins=bins).entropy(x).value == pytest.approx(h, abs=1e-12)
    information = plug_in(joint.sum(axis=1)) + plug_in(joint.sum(axis=0)) - plug_in(joint)
    assert Binning(bins=bins).mutual_information(x, y).value == pytest.approx(information, abs=1e-12)


def test_fine_bins_count_rows():
    x, y = stream(0, "fine").normal(size=(2, 500))
    found = Binning(bins=100_000).mutual_information(x, y)
    assert found.value == pytest.approx(np.log(500), abs=0.6)  # H → log n, and (K−1)/2n once too often
    assert {"empty_bins", "ceiling"} <= {w.code for w in found.warnings}
    assert Binning(bins=4).mutual_information(x, y).warnings == ()


def test_bins_that_decide_say_so():
    """A line through 16 bins reads log 16 and through 8 log 8; a lattice of two values reads log 2 through any."""
    x = np.linspace(0, 1, 1600)
    found = Binning(bins=16).mutual_information(x, x)
    assert found.value == pytest.approx(np.log(16), abs=0.02)
    assert "bin_width" in {w.code for w in found.warnings}
    assert "bin_width" in {w.code for w in Binning(bins=64).entropy(stream(0, "w").normal(size=(300, 3))).warnings}
    two = np.repeat([0.0, 1.0], 50)
    assert "bin_width" not in {w.code for w in Binning(bins=16).mutual_information(two, two).warnings}


def test_moderate_bins_find_information_from_below():
    """Population value of the binned pair is below the truth 0.511; at n = 4000, 16 bins, within 0.06 of it."""
    task = linear_gaussian_views([0.8])
    check_equality(
        lambda rng: Binning(bins=16).mutual_information(*task.sample(4000, rng)).value,
        task.mutual_information.value - 0.03, margin=0.03,
    ).require()  # fmt: skip


def test_standard_error_matches_the_spread():
    """200 seeds: the spread is known to ±5 %."""
    task = linear_gaussian_views([0.8])
    found = [Binning(bins=8).mutual_information(*task.sample(2000, stream(s, "spread"))) for s in range(200)]
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    # equal bins over the range move with the extremes, which the error does not know
    assert 0.5 < stated / np.std([f.value for f in found], ddof=1) < 1.2


def test_identities():
    rng = stream(0, "identities")
    x, y = rng.normal(size=(300, 2)), rng.normal(size=300)
    order, h, i = (
        rng.permutation(300), Binning().entropy(x).value, Binning(bins=4).mutual_information(x, y).value,
    )  # fmt: skip
    for a in (2.0**-40, 2.0**40):
        assert Binning().entropy(a * x).value == pytest.approx(h + 2 * np.log(a), abs=1e-12)
        assert Binning(bins=4).mutual_information(a * x, y).value == pytest.approx(i, abs=1e-12)
    assert Binning().entropy(x[order]).value == pytest.approx(h, abs=64 * EPS)
    assert Binning(bins=4).mutual_information(y[order], x[order]).value == pytest.approx(i, abs=64 * EPS)


def test_sweep_shows_that_the_bins_decide():
    x, y = stream(0, "sweep").normal(size=(2, 400))
    sweep = bin_width_sweep(x, y, bins=(4, 32, 256))
    assert sweep.range[1] - sweep.range[0] > 1  # the truth is 0
    assert list(sweep.to_pandas().index) == [4, 32, 256]
    assert "the bins move the answer" in str(sweep)
    assert sweep._repr_html_().count("<tr>") == 4
    assert len(bin_width_sweep(x, bins=[5]).estimates) == 1
    with pytest.raises(ParameterError, match="bins: expected at least one"):
        bin_width_sweep(x, bins=())
    assert bin_width_sweep(x, bins=8) == bin_width_sweep(x, bins=[8])


def test_rows_alone_in_their_cells_know_no_error():
    """All summands are log n: their spread is 0, and the error is not."""
    x, y = np.array([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    for found in (Binning().entropy(x), Binning().mutual_information(x, y)):
        assert np.isnan(found.standard_error)
        assert {"no_error_bar", "empty_bins"} <= {w.code for w in found.warnings}
