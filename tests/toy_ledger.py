"""A ledger of toys with everything that a page may have to show: failures, errors, notes, and names that would run."""

from dataclasses import replace

import pytest
from toy_claims import register, toy

from itssl.arrays import stream
from itssl.claims.chain import measure_links
from itssl.claims.chain_answer import Chain, Quantity
from itssl.claims.claim import Assumption
from itssl.claims.ledger import Ledger, plan, run
from itssl.claims.stated_values import Comparison
from itssl.estimate import Bias, Estimate
from itssl.evaluation.decomposition import decompose
from itssl.networks.encoders import mlp

SCRIPT = "<script>document.title='run'</script>"
HANDLER = '"><img src=x onerror="document.title=\'run\'">'
SMALL = Assumption(name="size", statement="the mean is <small>", measure=abs, at_most=1.0)


def toy_ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    toys = (
        toy("T1", {SCRIPT: 0.0, "b": 0.2}, {"adds <b>one</b>": 1.0}, assumes=(SMALL,)),
        toy("T2", {HANDLER: 1.0}, {"changes nothing": 0.0}),
        toy("T3", {"d": 2.0}, {"adds one": 1.0}, kind="finding"),
        toy("T4", {"raises": float("inf")}, {"adds three": 3.0}),
    )
    formulas = (r"\mathbb{E} X \le \frac{1}{2}", SCRIPT, rf"\text{{{SCRIPT}}}", r"\style{color:red}{x}")
    uses = ((), ("T1",), ("T1", "T2"), ("T3",))
    toys = tuple(replace(t, formula=f, uses=u) for t, f, u in zip(toys, formulas, uses, strict=True))
    ledger = run(plan(register(monkeypatch, *toys)), progress=False)
    return replace(
        ledger,
        comparisons=(
            _comparison("a mean", 1.5, agrees=True),
            _comparison(SCRIPT, 1.5, agrees=False, note=HANDLER, disputed=True),
            _comparison("another", 9.5, agrees=False, note="it is <wrong>"),
            _comparison("costly", 2.0, agrees=None, note="measured elsewhere"),
        ),
        family_wise_rate=0.009,
        cached=2,
        notes=(f"cache: {SCRIPT} cannot be written",),
    )


def _comparison(
    quantity: str, stated: float, *, agrees: bool | None, note: str = "", disputed: bool = False
) -> Comparison:
    measured = Estimate(value=1.5023, standard_error=0.0011, n=32, bias=Bias.UNBIASED, method=quantity)
    return Comparison(
        claim="T1", quantity=quantity, stated=stated, rounding=0.05, measured=None if agrees is None else measured,
        allowed=0.054, agrees=agrees, disputed=disputed, note=note, units="nats", seconds=0.1, seed=0,
    )  # fmt: skip


def toy_chain() -> Chain:
    """The chain of a small network of random weights and another; what is said to follow is made up."""
    rng = stream(0, "toy chain")
    x = rng.standard_normal((20, 4))
    before, after = (measure_links(mlp((4, 32, 2), seed=seed), x, input_std=1e-3, draws=64) for seed in (0, 1))
    views = decompose(x, x + rng.standard_normal(x.shape), normalization="reference")
    return Chain(
        before=before, after=after, premises=(_quantity("I(f(X);f(X')) ≥", 2.9),),
        consequences=(_quantity("that ≤", 3.0),), views_before=views, views_after=views, prototypes=20, dim=2,
        input_std=1e-3, draws=64, seed=0,
    )  # fmt: skip


def _quantity(name: str, value: float) -> Quantity:
    return Quantity(name, value, 0.0, value / 2, 0.1, ("C08", "T1"), f"made up, {SCRIPT}")
