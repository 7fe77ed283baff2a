"""The record of terms and the objective made from it: weights, names, printing, and how they travel."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from objective_twins import EVERY, views

from itssl.choices import ParameterError, UnknownNameError
from itssl.estimate import Bias
from itssl.objectives import Bound, ObjectiveTerms, Term, infonce_terms, minimize, nt_xent_terms, vicreg_terms

Z_A, Z_B = views(9, 4)


def record(**changes) -> ObjectiveTerms:
    terms = {
        "near": Term(value=2.0, weight=25.0, unit="z²", meaning="a < b & c"),
        "far": Term(value=-0.5, weight=0.1, unit="nats", meaning="<i>", direction=Bias.UPPER),
    }
    return ObjectiveTerms(**{"objective": "two <b>terms</b>", "n": 8, "terms": terms, "remark": "x > y"} | changes)


def test_total_takes_numbers_in_order_or_by_name():
    terms = record()
    assert terms.total() == 25 * 2 - 0.1 * 0.5
    assert terms.total((1, 2)) == terms.total([1.0, 2.0]) == 2 - 1
    assert terms.total({"far": 3}) == 50 - 1.5
    assert terms.total({"near": 0, "far": 1}) == terms.total({"far": 1.0, "near": 0.0}) == -0.5
    assert terms.total((-1, np.float64(0))) == -2
    assert terms.total((0, 0)) == 0
    for weights in ((1,), (1, 2, 3), ()):
        with pytest.raises(ParameterError, match="weights: expected 2 numbers for near, far, got"):
            terms.total(weights)
    with pytest.raises(UnknownNameError, match="weights: expected one of 'near', 'far', got 'farr'; did you"):
        terms.total({"farr": 1.0})


def test_weights_are_numbers(as_users_call):
    for weights in ("ab", (1, None), {"near": "1"}, (1, float("nan")), {"far": float("inf")}):
        with pytest.raises(ParameterError, match=r"weights: expected a finite number for '(near|far)', got"):
            record().total(weights)  # pyright: ignore[reportArgumentType]


def test_all_weights_zero_keep_the_kind_and_the_graph():
    z_a, z_b = (torch.tensor(z, requires_grad=True) for z in (Z_A, Z_B))
    total = vicreg_terms(z_a, z_b, normalization="solo").total((0, 0, 0))
    total.backward()
    assert total.item() == 0
    assert z_a.grad is not None
    assert z_a.grad.abs().max() == 0


def test_a_weight_of_zero_leaves_a_term_out_even_where_it_is_infinite():
    terms = {"near": Term(value=1.0, weight=1.0, unit="", meaning=""), "far": Term(
        value=float("inf"), weight=1.0, unit="", meaning=""
    )}  # fmt: skip
    assert record(terms=terms).total((1, 0)) == 1


def test_terms_are_attributes_and_others_are_refused_by_name():
    terms = record()
    assert (terms.near, terms.far) == (2.0, -0.5)
    with pytest.raises(AttributeError, match="nearer: two <b>terms</b> has the terms 'near', 'far'"):
        terms.nearer  # noqa: B018
    assert not hasattr(terms, "__len__")
    with pytest.raises(AttributeError):
        terms.near = 1.0  # pyright: ignore[reportAttributeAccessIssue]


def test_metrics_are_plain_numbers():
    for made in (np.asarray, lambda z: torch.tensor(z, requires_grad=True)):
        terms = infonce_terms(made(Z_A), made(Z_B))
        assert list(terms.metrics) == ["alignment", "log_partition", "bound"]
        assert {type(v) for v in terms.metrics.values()} == {float}
        assert terms.metrics["bound"] == pytest.approx(np.log(9) - infonce_terms(Z_A, Z_B).total())
    half = vicreg_terms(*(torch.tensor(z, dtype=torch.bfloat16) for z in (Z_A, Z_B)), normalization="solo")
    assert list(half.metrics) == ["invariance", "variance", "covariance"]


def test_printed():
    assert repr(record()) == "two <b>terms</b>: 49.95 = 25·2 [near] + 0.1·-0.5 [far]; no bound (n=8)"
    bound = Bound(quantity="I(Z; Z')", direction=Bias.LOWER, value=1.25)
    assert "; 1.25 nats ≤ I(Z; Z') (n=8)" in repr(record(bound=bound))
    bound = Bound(quantity="h(Z)", direction=Bias.UPPER, value=1.25, unit="bits")
    assert "; 1.25 bits ≥ h(Z) (n=8)" in repr(record(bound=bound))
    page = record(settings={"temperature": 0.123456, "kernel": "<kl>"})._repr_html_()
    assert "two &lt;b&gt;terms&lt;/b&gt;, n = 8" in page
    assert "temperature = 0.1235, kernel = &lt;kl&gt;" in page
    assert "a &lt; b &amp; c" in page
    assert "total 49.95; no bound. x &gt; y" in page
    assert page.count("<tr>") == 4
    frame = record().to_pandas()
    assert list(frame.index) == ["near", "far"]
    assert list(frame["value"]) == [2.0, -0.5]
    assert list(frame["weight"]) == [25.0, 0.1]
    assert "<b>" not in page
    assert "<i>" not in page


@pytest.mark.parametrize("name", EVERY)
def test_every_record_prints_and_travels(name):
    for made in (np.asarray, torch.tensor):
        terms = EVERY[name].terms(made(Z_A), made(Z_B))
        assert terms.objective in repr(terms)
        assert terms._repr_html_().count("<tr>") == len(terms.terms) + 2
        assert str(terms.reference)
        for twin in (pickle.loads(pickle.dumps(terms)), copy.deepcopy(terms), copy.copy(terms)):
            assert twin.metrics == terms.metrics
            assert repr(twin) == repr(terms)


def test_objectives_are_what_training_minimizes():
    objective = minimize(vicreg_terms, normalization="equation", gamma=2.0, weights={"covariance": 3.0})
    terms = vicreg_terms(Z_A, Z_B, normalization="equation", gamma=2.0)
    total, metrics = objective(Z_A, Z_B)
    assert total == terms.total({"covariance": 3.0})
    assert metrics == terms.metrics
    assert objective.terms(Z_A, Z_B).total() == terms.total()
    assert repr(objective) == "vicreg_terms(normalization='equation', gamma=2.0, weights={'covariance': 3.0})"
    assert repr(minimize(nt_xent_terms)) == "nt_xent_terms()"
    for twin in (pickle.loads(pickle.dumps(objective)), copy.deepcopy(objective)):
        assert twin(Z_A, Z_B)[0] == total


def test_objectives_and_records_go_to_other_processes():
    objective = minimize(nt_xent_terms, temperature=0.7)
    with joblib.parallel_config("loky"):
        (found,) = joblib.Parallel(n_jobs=2)([joblib.delayed(objective.terms)(Z_A, Z_B)])
    assert found is not None
    assert found.total() == objective(Z_A, Z_B)[0]
    assert found.alignment == objective.terms(Z_A, Z_B).alignment
