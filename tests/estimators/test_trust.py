"""The trust report flags what no estimate survives, is silent on laws with a density, and never raises on suspicion."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest

import itssl
from itssl.arrays import SampleError, stream
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import linear_gaussian_views

RNG = stream(0, "trust")
LATENT = RNG.normal(size=(1000, 5))
TANH = np.tanh(np.tanh(LATENT[:, :2] @ RNG.normal(size=(2, 16))) @ RNG.normal(size=(16, 16)))
RELU = np.maximum(LATENT @ RNG.normal(size=(5, 8)), 0)
FLAGGED = {
    "rank 3 in 10": (LATENT[:, :3] @ RNG.normal(size=(3, 10)), {"singular_support"}),
    "tanh network from 2 to 16": (TANH, {"low_dimensional_support"}),
    "ReLU layer from 5 to 8": (RELU, {"atoms"}),
    "copied rows": (np.repeat(LATENT[:200], 2, axis=0), {"ties"}),
    "integers": (RNG.integers(0, 10, size=(300, 2)), {"integers"}),
    "integers in one column": (RNG.integers(0, 10, size=300), {"integers"}),
    "30 rows in 64 dimensions": (RNG.normal(size=(30, 64)), {"small_sample_for_dimension"}),
    "64 dimensions": (RNG.normal(size=(1000, 64)), {"high_dimension"}),
    "Cauchy": (RNG.standard_cauchy(size=(500, 2)), {"heavy_tails"}),
    "meters and microns": (LATENT[:, :2] * [1, 1e6], {"unstandardized"}),
    "a constant column": (np.c_[LATENT[:, :2], np.ones(1000)], {"constant_column"}),
}


@pytest.mark.parametrize("name", FLAGGED)
def test_flags(name):
    x, codes = FLAGGED[name]
    assert codes <= set(itssl.diagnose(x).codes)


def test_flags_of_pairs():
    x = LATENT[:, :2]
    assert "deterministic" in itssl.diagnose(x, x).codes
    assert {"low_dimensional_support", "ceiling"} & set(itssl.diagnose(x[:, 0], np.exp(x[:, 0])).codes)
    assert "small_sample_for_dimension" in itssl.diagnose(*RNG.normal(size=(2, 60, 20))).codes
    assert "high_dimension" in itssl.diagnose(*RNG.normal(size=(2, 500, 16))).codes


LAWS = {
    "Gaussian": lambda rng, n, d: rng.normal(size=(n, d)),
    "correlated": lambda rng, n, d: Gaussian(np.zeros(d), 0.8 * np.ones((d, d)) + 0.2 * np.eye(d)).sample(n, rng),
    "uniform": lambda rng, n, d: rng.uniform(size=(n, d)),
    "exponential": lambda rng, n, d: rng.exponential(size=(n, d)),
    "Laplace": lambda rng, n, d: rng.laplace(size=(n, d)),
    "two clusters": lambda rng, n, d: rng.normal(size=(n, d)) + 4.0 * rng.integers(0, 2, size=(n, 1)),
}
ABOUT_THE_LAW = {"ties", "atoms", "integers", "singular_support", "low_dimensional_support", "heavy_tails",
                 "deterministic", "constant_column", "unstandardized"}  # fmt: skip
"""What must not be said of a full-rank continuous law; that a sample is small for its dimension may be true."""


def alarms(replicates, sizes):
    found, tried = [], 0
    for name, draw in LAWS.items():
        for n, d in sizes:
            for s in range(replicates):
                rng = stream(s, "alarm", name, n, d)
                codes = set(itssl.diagnose(draw(rng, n, d)).codes) & ABOUT_THE_LAW
                found += [(name, n, d, sorted(codes))] * bool(codes)
                tried += 1
    return found, tried


@pytest.mark.slow
def test_full_rank_continuous_laws_raise_no_false_alarm():
    """72 reports at a rate below 1 %: two or more happen by chance in at most 16 % of seeds, and seeds are fixed."""
    found, tried = alarms(4, [(100, 2), (300, 5), (400, 16)])
    assert tried == 72
    assert len(found) <= 1, found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_false_alarms_are_below_one_percent():
    """Slow: 2,400 reports, minutes. Up to 1 % and three standard deviations of the count."""
    found, tried = alarms(50, [(50, 1), (50, 5), (200, 2), (300, 10), (1000, 3), (500, 32), (300, 64), (2000, 8)])
    assert len(found) <= 0.01 * tried + 3 * np.sqrt(0.01 * tried), (len(found), tried, found[:20])


def test_report_renders_and_survives():
    report = itssl.diagnose(*linear_gaussian_views([0.5, 0.5]).sample(400, stream(0, "pair")))
    assert report.warnings == ()
    assert "no warnings" in str(report)
    assert {"x_rank", "ksg", "ksg_ceiling", "log_n", "uncorrected_gaussian_bias"} <= set(report.measurements)
    assert report.measurements["log_n"] == pytest.approx(np.log(400))
    assert json.loads(report.to_json())["measurements"]["x_rank"] == 2
    assert isinstance(report.to_pandas(), pd.DataFrame)
    assert "<script" not in itssl.diagnose(LATENT)._repr_html_()
    assert pickle.loads(pickle.dumps(report)).codes == report.codes
    with pytest.raises(TypeError, match="no truth value"):
        bool(report)
    with pytest.raises(AttributeError):
        report.subject = "y"  # pyright: ignore
    flagged = itssl.diagnose(np.repeat(LATENT[:20], 2, axis=0)).warnings[0]
    assert (flagged.code, bool(flagged.message), bool(flagged.cure)) == ("ties", True, True)


def test_units_and_order_do_not_matter():
    x = LATENT[:300, :3]
    codes = itssl.diagnose(x).codes
    for image in (1e-12 * x, 1e12 * x, x[::-1], x.astype(np.float32), pd.DataFrame(x)):
        assert itssl.diagnose(image).codes == codes


def test_suspicion_does_not_raise_but_nonsense_does():
    assert "constant_column" in itssl.diagnose(np.ones((10, 2))).codes
    assert itssl.diagnose(np.array([0.0, 1.0])).subject == "x of shape (2, 1)"
    for bad, message in (
        (np.array([[np.nan], [1.0]]), "finite"),
        (np.empty((0, 2)), "empty"),
        (np.ones((2, 2, 2)), "shape"),
    ):
        with pytest.raises(SampleError, match=message):
            itssl.diagnose(bad)
    with pytest.raises(SampleError, match="same number of rows"):
        itssl.diagnose(LATENT, LATENT[:5])


@pytest.mark.parametrize("d", [12, 40])
def test_no_size_of_the_bias_is_said_where_high_dimension_is(d):
    """Extrapolated it is about twice the truth at d = 12; at d = 40 it was 2.5 times, in 384 columns 35 times."""
    x = stream(0, "bias", d).normal(size=(400, d))
    report = itssl.diagnose(x)
    assert ("high_dimension" in report.codes) != ("neighbor_bias" in report.codes)
    assert ("kozachenko_leonenko_bias" in report.measurements) == ("neighbor_bias" in report.codes)
