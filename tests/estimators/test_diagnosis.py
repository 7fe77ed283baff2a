"""Every warning of diagnosis fires on its suspect and is silent on the partner that lacks what it warns of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from itssl.arrays import stream
from itssl.estimators.diagnosis import (
    CEILING_ZONE,
    atom_warnings,
    by_columns,
    ceiling_warnings,
    deterministic_warning,
    distinct_rows,
    integral,
    joint_support_warnings,
    linear_support,
    pair_warnings,
    sample_warnings,
    small_sample_warnings,
    support_warnings,
    tie_warnings,
    tied_rows,
)
from tests.estimators.suspects import LIGHT_TAILED, relu_layer

SEEDS = st.integers(0, 2**32)
FEW_VALUES = arrays(
    float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.sampled_from([0.0, -0.0, 1.5, 2.0])
)


def codes(warnings):
    assert all(w.message and w.cure for w in warnings)
    return [w.code for w in warnings]


def single(x):
    """Rounded to float32, as a network returns it, and admitted as float64."""
    return x.astype(np.float32).astype(float)


def network_product(z, weights, offset=0.0):
    return (z.astype(np.float32) @ weights.astype(np.float32) + np.float32(offset)).astype(float)


@settings(max_examples=100, deadline=None)
@given(x=FEW_VALUES)
def test_ties_equal_the_definition(x):
    rows = [tuple(row) for row in x.tolist()]  # 0.0 == -0.0 for tuples too
    assert tied_rows(x) == sum(rows.count(row) > 1 for row in rows)
    assert [tuple(row) for row in distinct_rows(x).tolist()] == list(dict.fromkeys(rows))
    warnings = tie_warnings(x, name="z")
    assert codes(warnings) == ["ties"] * (len(set(rows)) < len(rows))
    if warnings:
        assert warnings[0].message.startswith(f"{tied_rows(x)} of {len(x)} rows of z")


def test_columns_are_looked_at_a_few_at_a_time_and_left_as_they_are():
    """19 columns, more than are sorted at once; the values of each that occur more than once are counted."""
    x = stream(0, "columns").integers(0, 40, size=(60, 19)) + np.linspace(0.5, 5, 19)
    kept = x.copy()
    x.flags.writeable = False
    np.testing.assert_array_equal(by_columns(lambda columns: columns.max(axis=1), x), x.max(axis=0))
    repeated = [sum((column == value).sum() > 1 for value in column) for column in x.T]
    (warning,) = atom_warnings(x)
    assert warning.message.startswith("19 of 19 columns of x repeat values")
    assert f"up to {max(repeated) / 60:.0%} of the rows" in warning.message
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("kind", ["C", "F", "float32", "strided", "read-only"])
def test_ties_of_any_memory_layout_and_nothing_is_modified(kind):
    x = stream(0, "layout").normal(size=(40, 3))
    x[7] = x[31]
    z = {"C": x, "F": np.asfortranarray(x), "float32": x.astype(np.float32), "strided": np.repeat(x, 2, 1)[:, ::2],
         "read-only": x.copy()}[kind]  # fmt: skip
    z.flags.writeable = kind != "read-only"
    before = z.copy()
    assert tied_rows(z) == 2
    assert codes(sample_warnings(z)) == ["ties"]
    assert np.array_equal(z, before)
    assert len(distinct_rows(z)) == 39


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, n=st.integers(3, 400), repeated=st.integers(0, 12))
def test_atoms_are_counted_in_different_rows(seed, n, repeated):
    """Two columns; in the second the first ``repeated`` rows share one value."""
    x = stream(seed, "atoms").normal(size=(n, 2))
    x[: min(repeated, n), 1] = 0.0
    together = min(repeated, n) if repeated > 1 else 0
    assert codes(atom_warnings(x)) == ["atoms"] * (together > max(1, (0.01 + 4e-8 * n) * n))
    assert codes(atom_warnings(np.repeat(x, 3, axis=0))) == codes(atom_warnings(x))  # copies of rows are no atoms


def test_atoms_name_columns_and_share():
    rng = stream(0, "relu")
    assert codes(atom_warnings(relu_layer(rng, 300))) == ["atoms"]
    x = rng.normal(size=(200, 9))
    x[:, 1:8] = np.round(x[:, 1:8], 1)
    message = atom_warnings(x)[0].message
    assert message.startswith("7 of 9 columns of x repeat values in different rows (column 1, 2, 3, 4, 5, ...; up to")
    assert atom_warnings(np.repeat(x[:, :1], 2, axis=0)) == ()  # of one column it is the tied rows that say it


def test_float32_collisions_of_a_million_rows_are_no_atoms():
    x = single(stream(0, "collisions").normal(size=(1_000_000, 2)))
    assert atom_warnings(x) == ()
    assert codes(atom_warnings(x.astype(np.float16).astype(float))) == ["atoms"]


@pytest.mark.parametrize("number", [1.0, 1e6, 1e12, 1e16, 1e20, 1e300])
@pytest.mark.parametrize("as_network", [False, True])
def test_large_numbers_are_no_integers(number, as_network):
    """Floats above 2^52 (float32: 2^23) have no digits behind the point, whatever the law is."""
    x = number * stream(0, "large").normal(size=(200, 2))
    x = single(x) if as_network and number < 1e38 else x
    assert not integral(x)
    assert sample_warnings(x) == ()


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.integers(0, 2, size=(50, 1)),
        lambda rng: rng.integers(0, 10, size=(50, 3)),
        lambda rng: rng.integers(-5, 1, size=(50, 1)),
        lambda rng: rng.integers(0, 10**9, size=(50, 2)),
        lambda rng: np.array([[0], [1]]),
        lambda rng: rng.poisson(1e5, size=(50, 1)),
    ],
)
def test_integers_are_found(draw):
    x = draw(stream(0, "integers")).astype(float)
    assert "integers" in codes(atom_warnings(x))
    x[0, 0] += 0.5
    assert "integers" not in codes(atom_warnings(x))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(30, 120), d=st.integers(2, 9), data=st.data())
def test_linear_rank_in_both_precisions(seed, n, d, data):
    rank = data.draw(st.integers(1, d))
    rng = stream(seed, "rank")
    z, weights = rng.normal(size=(n, rank)), rng.normal(size=(rank, d))
    weights[:, :rank] += 3 * np.eye(rank)  # a condition that leaves float32 its digits
    for x in (z @ weights, network_product(z, weights, 3.0)):
        support = linear_support(x)
        assert support.rank == np.linalg.matrix_rank(x - x.mean(axis=0), tol=1e-4) == rank
        assert codes(support_warnings(x)) == ["singular_support"] * (rank < d)
        assert np.allclose(np.cov(support.basis.T).reshape(rank, rank), np.eye(rank), atol=1e-9)
    constant = np.c_[x, np.full(n, 7.0)]
    assert linear_support(constant).rank == rank
    assert f"varies in {rank} of its {d + 1} dimensions" in support_warnings(constant)[0].message


def test_rank_where_rows_are_few_or_nothing_varies():
    x = stream(0, "few").normal(size=(20, 30))
    assert codes(support_warnings(x)) == ["small_sample_for_dimension"]
    assert "20 rows of x span 19 of its 30" in support_warnings(np.repeat(x, 3, axis=0))[0].message
    assert codes(support_warnings(x[:, :2] @ x[:2])) == ["singular_support"]
    assert codes(support_warnings(np.ones((5, 2)))) == ["small_sample_for_dimension"]  # one row, five times
    assert linear_support(np.ones((1, 2))).rank == 0
    assert support_warnings(x[:, :19]) == ()


@pytest.mark.parametrize("precision", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "d"), [(50, 2), (50, 20), (400, 8)])
@pytest.mark.parametrize("condition", [1.0, 1e4])
def test_linear_relations_are_found_and_noise_is_not_one(precision, n, d, condition):
    """Noise of 1e-3 deviations is far above rounding: about 6.9 nats a direction, no infinity."""
    for seed in range(5):
        rng = stream(seed, "relation")
        q, p = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2))
        x = rng.normal(size=(n, d)).astype(precision)
        y = x @ (q * np.geomspace(1, condition, d) @ p).astype(precision) + precision(0.7)
        noisy = y + (1e-3 * y.std(axis=0) * rng.normal(size=(n, d))).astype(precision)
        assert "deterministic" in codes(pair_warnings(x.astype(float), y.astype(float)))
        assert pair_warnings(x.astype(float), noisy.astype(float)) == ()


def test_shared_directions_are_counted():
    rng = stream(0, "shared")
    x, more = rng.normal(size=(60, 4)), rng.normal(size=(60, 2))
    y = np.c_[more, x @ rng.normal(size=(4, 2))]
    assert joint_support_warnings(x, y) == (deterministic_warning(2),)
    assert joint_support_warnings(x, y)[0].message.startswith("2 direction(s)")
    assert joint_support_warnings(y, x) == (deterministic_warning(2),)
    assert joint_support_warnings(x, more) == ()
    assert joint_support_warnings(x, np.c_[more, np.ones(60)])[0].message.startswith("y varies in 2 of its 3")
    assert codes(joint_support_warnings(np.ones((60, 1)), x)) == ["small_sample_for_dimension"]
    both = joint_support_warnings(np.c_[x, x[:, 0] + x[:, 1]], np.c_[y, y[:, 0]])
    assert codes(both) == ["singular_support", "singular_support", "deterministic"]


def test_too_few_different_rows_are_no_relation():
    """n rows in n dimensions depend linearly whatever the law is, and so do n rows copied."""
    rng = stream(0, "relation of few")
    x, y = rng.normal(size=(2, 10, 5))
    assert joint_support_warnings(x, y) == ()
    assert codes(pair_warnings(np.repeat(x, 2, axis=0), np.repeat(y, 2, axis=0))) == ["ties", "ties"]
    assert joint_support_warnings(x, y[:, :4]) == ()


@pytest.mark.parametrize("name", LIGHT_TAILED)
@pytest.mark.parametrize(("n", "d"), [(40, 1), (100, 4), (200, 30)])
def test_laws_with_a_density_carry_nothing(name, n, d):
    rng = stream(0, "light", name, n)
    x, y = (LIGHT_TAILED[name](rng, n, d) for _ in range(2))
    for a, b in ((x, y), (single(x), single(y)), (single(x + 100 * x.std(axis=0)), y), (1e-12 * x, 1e12 * y)):
        assert pair_warnings(a, b) == ()
        assert sample_warnings(a) == ()


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, kind=st.sampled_from(["rank", "atoms", "copies", "sound"]), exponent=st.integers(-40, 40))
def test_neither_units_nor_order_change_a_code(seed, kind, exponent):
    """Powers of two, one for each column, so that equal values stay equal."""
    rng = stream(seed, "codes")
    x = rng.normal(size=(60, 4))
    x = {
        "rank": x @ rng.normal(size=(4, 4)) * [1, 1, 1, 0] @ rng.normal(size=(4, 4)),
        "atoms": np.maximum(x, [[0, -np.inf, -np.inf, 0]]),
        "copies": np.repeat(x[:30], 2, axis=0),
        "sound": x,
    }[kind]
    expected = {"rank": ["singular_support"], "atoms": ["atoms"], "copies": ["ties"], "sound": []}[kind]
    assert codes(sample_warnings(x)) == expected
    assert codes(sample_warnings((x * 2.0 ** (exponent * np.arange(4)))[rng.permutation(60)])) == expected


def test_pair_warnings_name_the_block():
    x = stream(0, "names").normal(size=(30, 2))
    y = np.maximum(stream(1, "names").normal(size=(30, 2)), 0)
    y[3] = y[4] = 0.0
    found = pair_warnings(x, y)
    assert codes(found) == ["ties", "atoms"]
    assert all(" of y " in w.message for w in found)
    assert codes(sample_warnings(np.array([[0.0], [1.0], [1.0]]), name="z")) == ["ties", "integers"]


@pytest.mark.parametrize(
    ("value", "fires"),
    [(5.0, True), (5.0 - 0.99 * CEILING_ZONE, True), (5.0 - 1.01 * CEILING_ZONE, False), (5.9, True), (6.1, False),
     (np.inf, False), (-np.inf, False), (np.nan, False)],
)  # fmt: skip
def test_ceiling(value, fires):
    found = ceiling_warnings(value, 5.0, "log n")
    assert codes(found) == ["ceiling"] * fires
    assert np.exp(CEILING_ZONE) == pytest.approx(5)
    if fires:
        assert "log n = 5" in found[0].message


@pytest.mark.parametrize(
    ("error", "value", "fires"), [(np.nan, 1.0, True), (np.inf, 1.0, True), (0.1, 1.0, False), (np.nan, -np.inf, False)]
)
def test_missing_error_bar(error, value, fires):
    assert codes(small_sample_warnings(error, value, 12)) == ["no_error_bar"] * fires
