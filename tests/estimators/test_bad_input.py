"""Whatever is wrong with the input, every estimator names the argument, what arrived and the cure, and returns nothing.

Run in one fresh interpreter, as a user would: in this process beartype would object before itssl does.
"""

import json
import subprocess
import sys

import pytest

SCRIPT = r"""
import inspect, json, numpy as np, torch, itssl
good = np.random.default_rng(0).normal(size=(50, 2))
nan = good.copy(); nan[7, 1] = np.nan
inf = good.copy(); inf[3, 0] = np.inf
tensor = torch.tensor(good)
constant = np.c_[good, np.ones(50)]
labels = np.arange(50) % 10
bad = {"NaN": nan, "inf": inf, "empty": np.empty((0, 2)), "3-D": good.reshape(25, 2, 2), "labels": labels,
       "constant column": constant, "too few rows": good[:2], "text": np.array(["a"] * 50), "none": None}
from itssl.estimators.methods import QUANTITIES, methods
required = {"var": 1.0, "beta": 10.0, "lower": -20.0, "upper": 20.0}
fits = {"labels": {"mixed_ksg", "ross"}, "constant column": {"noise_convolved"}}  # made for these
calls = {}
for quantity in QUANTITIES:
    for name, kind in methods(quantity).items():
        parameters = inspect.signature(kind).parameters
        e = kind(**{k: v for k, v in required.items() if k in parameters})
        ask = getattr(e, quantity)
        count = len(inspect.signature(ask).parameters)
        for what, x in bad.items():
            few = what == "too few rows"
            if few and not (hasattr(e, "k") or "gaussian" in name) or name in fits.get(what, ()):
                continue
            for i, argument in enumerate("xyz"[:count]):
                others = [good[:2] if few and quantity != "kl_divergence" else good] * count
                if name == "ross" and i == 0:
                    others[1] = np.arange(len(others[1])) % 2
                if name == "ross" and i == 1 and what in ("constant column", "too few rows", "text"):
                    continue  # labels may be constant or text, and number few
                others[i] = x
                calls[f"{name} {quantity} {argument} {what}"] = lambda ask=ask, others=others: ask(*others)
        if count > 1 and name != "ross":
            if quantity != "kl_divergence":
                calls[f"{name} {quantity} mismatched n"] = lambda ask=ask, n=count: ask(*[good] * (n - 1), good[:40])
            calls[f"{name} {quantity} mixed kinds"] = lambda ask=ask, n=count: ask(*[good] * (n - 1), tensor)
calls["unknown method"] = lambda: itssl.entropy(good, method="nosuch")
calls["unknown metric"] = lambda: itssl.KSG(metric="cosine")
calls["unknown variant"] = lambda: itssl.KSG(variant=3)
calls["unknown shrinkage"] = lambda: itssl.GaussianPlugin(shrinkage="lasso")
calls["estimator class"] = lambda: itssl.mutual_information(good, good, method=itssl.KSG)
calls["k zero"] = lambda: itssl.KozachenkoLeonenko(k=0)
calls["k text"] = lambda: itssl.KSG(k="3")
calls["unknown bound"] = lambda: itssl.PairwiseMixture(var=1.0, bound="middle")
calls["negative variance"] = lambda: itssl.PairwiseMixture(var=-1.0)
calls["unknown normalization"] = lambda: itssl.objectives.vicreg_terms(good, good, normalization="mine")
calls["unequal views"] = lambda: itssl.objectives.vicreg_terms(good, good[:9], normalization="solo")
calls["seed"] = lambda: itssl.stream(1.5)
calls["unknown claim"] = lambda: itssl.check("C99")
calls["unknown world"] = lambda: itssl.check("C17", "nowhere")
calls["unknown control"] = lambda: itssl.check("C17", control="nothing")
calls["unknown relation"] = lambda: itssl.check_inequality(0, 1, relation="<")
calls["negative margin"] = lambda: itssl.check_equality(0, 1, margin=-1.0)
calls["level"] = lambda: itssl.entropy(good).interval("a")
calls["error rate"] = lambda: itssl.check_inequality(0, 1, false_verdict_rate=2.0)
out = {}
for name, call in calls.items():
    try:
        out[name] = ["returned", repr(call())]
    except Exception as error:
        out[name] = [type(error).__name__, str(error)]
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def answers():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


def test_every_bad_input_gets_a_typed_answer(answers):
    typed = {"SampleError", "SampleTypeError", "ParameterError", "UnknownNameError"}
    wrong = {name: answer for name, answer in answers.items() if answer[0] not in typed}
    assert wrong == {}
    assert len(answers) > 400


def test_every_answer_names_argument_arrival_and_cure(answers):
    for name, (_, message) in answers.items():
        argument, _, rest = message.partition(":")
        assert rest.startswith(" expected"), name
        assert len(argument) < 30, name
        assert "got" in rest, name


@pytest.mark.parametrize(
    ("call", "part"),
    [
        ("gaussian_plugin entropy x NaN", "x: expected finite values, got 1 of 100 NaN or infinite (first in row 7)"),
        (
            "gaussian_plugin mutual_information y constant column",
            "y: expected columns that vary, got constant column 2",
        ),
        ("gaussian_plugin mutual_information mismatched n", "got 50 and 40"),
        ("gaussian_plugin mutual_information mixed kinds", "got ndarray and Tensor"),
        ("gaussian_plugin entropy x labels", "labels"),
        ("unknown shrinkage", "shrinkage: expected one of 'none', 'ledoit_wolf', 'oas', got 'lasso'"),
        ("unknown metric", "metric: expected one of 'euclidean', 'chebyshev', got 'cosine'"),
        ("estimator class", "'ksg', "),
        ("estimator class", "pass KSG(...), configured"),
        ("level", "level: expected a number between 0 and 1, got 'a'; pass e.g. 0.95"),
        ("unknown variant", "variant: expected one of 1, 2, got 3"),
        ("unknown normalization", "normalization: expected one of 'equation', 'reference', 'solo', got 'mine'"),
        ("unknown claim", "claim: expected one of"),
    ],
)
def test_messages(answers, call, part):
    assert part in answers[call][1]
