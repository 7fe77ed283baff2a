"""Bad samples: itssl refuses each with the very error it is drawn with, and takes them without the fault."""

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import itssl
from itssl.arrays import as_samples
from itssl.choices import ParameterError
from itssl.testing.bad_samples import _FAULTS, _FAULTS_OF_TWO, _bad_samples
from itssl.testing.strategies import bad_samples

SHRUNK = settings(max_examples=5, database=None, phases=[Phase.generate, Phase.shrink], deadline=None)
ENTROPIES = st.sampled_from(["kozachenko_leonenko", "gaussian_plugin"])


def refuses(bad, function, *, names=("x",)):
    with pytest.raises(bad.error, match=bad.match) as caught:
        function(*bad.values)
    assert type(caught.value) is bad.error
    assert str(caught.value).split(":")[0] in (*names, " and ".join(names))


@settings(max_examples=25, deadline=None)
@given(bad=bad_samples(), method=ENTROPIES)
def test_entropies_refuse_them(bad, method):
    refuses(bad, lambda x: itssl.entropy(x, method=method))
    assert np.isfinite(itssl.entropy(*bad.good, method=method).value)


@settings(max_examples=25, deadline=None)
@given(bad=bad_samples(names=("x", "y")), method=st.sampled_from(["ksg", "gaussian_plugin"]))
def test_informations_refuse_them(bad, method):
    refuses(bad, lambda x, y: itssl.mutual_information(x, y, method=method), names=("x", "y"))
    assert np.isfinite(itssl.mutual_information(*bad.good, method=method).value)


@settings(max_examples=25, deadline=None)
@given(bad=bad_samples(names=("x", "y"), rows="unpaired"))
def test_divergences_refuse_them(bad):
    refuses(bad, itssl.kl_divergence, names=("x", "y"))
    assert np.isfinite(itssl.kl_divergence(*bad.good).value)


@settings(max_examples=20, deadline=None)
@given(bad=bad_samples(names=("x", "y", "z")))
def test_conditional_informations_refuse_them(bad):
    refuses(bad, itssl.conditional_mutual_information, names=("x", "y", "z"))


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: fault.why)
def test_every_fault_is_refused_by_name(fault):
    bad = find(_bad_samples(("view",), True, [fault]), lambda bad: True, settings=SHRUNK)
    refuses(bad, lambda view: as_samples(view, name="view"), names=("view",))
    assert as_samples(bad.good[0]).shape == (10, 1)
    assert bad.match.startswith("^view: expected")


@pytest.mark.parametrize("fault", _FAULTS_OF_TWO, ids=lambda fault: fault.why)
def test_every_fault_of_two_is_refused_for_its_kind_of_rows(fault):
    for rows, function in (("paired", itssl.mutual_information), ("unpaired", itssl.kl_divergence)):
        if fault.rows in ("any", rows):
            drawn = _bad_samples(("x", "y"), rows == "paired", [fault])
            refuses(find(drawn, lambda bad: True, settings=SHRUNK), function, names=("x", "y"))


@pytest.mark.parametrize("rows", ["paired", "unpaired"])
def test_faults_of_every_sort_are_drawn(rows):
    expected = {fault.why for fault in _FAULTS} | {fault.why for fault in _FAULTS_OF_TWO if fault.rows in ("any", rows)}
    drawn = set()

    @settings(max_examples=150, database=None, derandomize=True, deadline=None)
    @given(bad=bad_samples(names=("x", "y"), rows=rows))
    def collect(bad):
        drawn.add(bad.why)

    collect()
    assert drawn <= expected
    assert len(drawn) > 0.4 * len(expected)
    many = settings(max_examples=2000, database=None, phases=[Phase.generate])
    find(bad_samples(names=("x", "y"), rows=rows), lambda bad: bad.match.startswith("^x and y: "), settings=many)


def test_a_function_that_swallows_what_is_bad_is_seen():
    """Controls: one that drops NaN, one that calls its argument otherwise, one that refuses everything."""
    bad = find(bad_samples(), lambda bad: bad.why == "NaN", settings=SHRUNK)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        refuses(bad, lambda x: itssl.entropy(np.nan_to_num(x)))
    with pytest.raises(AssertionError, match="did not match"):
        refuses(bad, lambda x: as_samples(x, name="z"))

    def refuse_all(x):
        raise bad.error("x: expected finite values, got 1 of 10 NaN or infinite")

    refuses(bad, refuse_all)
    with pytest.raises(bad.error):
        refuse_all(*bad.good)


def test_shrinks_to_one_nan_among_standard_normal_draws():
    bad = find(bad_samples(), lambda bad: True, settings=SHRUNK)
    assert bad.why == "NaN"
    assert np.flatnonzero(np.isnan(bad.values[0])).tolist() == [0]
    np.testing.assert_array_equal(bad.values[0][1:], bad.good[0][1:])
    assert not np.isnan(bad.good[0]).any()


@settings(max_examples=20, deadline=None)
@given(bad=bad_samples(names=("x", "y")))
def test_one_argument_is_bad_and_the_others_are_good(bad):
    if bad.match.startswith(("^x: ", "^y: ")):
        other = 1 if bad.match.startswith("^x: ") else 0
        np.testing.assert_array_equal(as_samples(bad.values[other]), bad.good[other])


def test_names_are_refused_where_they_are_given():
    for names in ((), ("x", "x")):
        with pytest.raises(ParameterError, match="names: expected the names of the arguments, each once"):
            bad_samples(names=names)
