"""Objectives: what leaves the loss as it is, and how batches, arrays, settings and devices are treated."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from itssl.testing.checks.batches import Views, objective, shown, views
from itssl.testing.checks.inputs import CONDUCT, _generators, _restored, _settings
from itssl.testing.checks.refusals import crashed
from itssl.testing.checks.trial import Trial, check, outcome_of
from itssl.testing.findings import Case


@check(
    "row_order",
    laws={"objective": "L(z_π, z'_π) = L(z, z') for every order π of the pairs"},
    source="a batch is a set of pairs",
    kind="exact",
)
def row_order(trial: Trial) -> Iterator[Case]:
    """The pairs shuffled, and backwards."""
    trial.needs(trial.promises.order_invariant, "order_invariant=False")
    n, _ = trial.promises.shape
    orders = {"shuffled": trial.rng("order").permutation(n), "backwards": np.arange(n)[::-1].copy()}
    yield from _unchanged(trial, {name: lambda z, order=order: z[order] for name, order in orders.items()})


@check(
    "symmetry",
    laws={"objective": "L(z, z') = L(z', z)"},
    source="two augmentations of one law have no first and second",
    kind="exact",
)
def symmetry(trial: Trial) -> Iterator[Case]:
    """The views exchanged."""
    trial.needs(trial.promises.symmetric, "symmetric=False")
    z_a, z_b = views(trial)
    ask, world = objective(trial, z_a), shown(trial, "exchanged")
    yield trial.same(world, ask.value(shown(trial), z_a, z_b), ask.value(world, z_b, z_a))


@check(
    "translation",
    laws={"objective": "L(z + b, z' + b) = L(z, z')"},
    source="covariances and distances have no origin",
    kind="exact",
)
def translation(trial: Trial) -> Iterator[Case]:
    """Both views moved by one vector of integers."""
    trial.needs(trial.promises.translation_invariant, "translation_invariant=False")
    b = torch.tensor(trial.rng("shift").integers(-64, 64, size=trial.promises.shape[1])).double()
    yield from _unchanged(trial, {"moved": lambda z: z + b})


@check(
    "rotation",
    laws={"objective": "L(Qz, Qz') = L(z, z'), QᵀQ = I"},
    source="distances and determinants have no axes",
    kind="exact",
)
def rotation(trial: Trial) -> Iterator[Case]:
    """Both views turned by one random rotation."""
    trial.needs(trial.promises.rotation_invariant, "rotation_invariant=False")
    _, d = trial.promises.shape
    q = torch.tensor(np.linalg.qr(trial.rng("rotation").standard_normal((d, d)))[0])
    yield from _unchanged(trial, {"rotated": lambda z: z @ q})


@check(
    "scale",
    laws={"objective": "L(az, az') = L(z, z'), a > 0"},
    source="directions on the sphere have no length",
    kind="exact",
)
def scale(trial: Trial) -> Iterator[Case]:
    """From 2⁻³⁰ to 2³⁰: an absolute ε beside a norm of 10⁻⁹ shows."""
    trial.needs(trial.promises.scale_invariant, "scale_invariant=False")
    yield from _unchanged(trial, {f"times 2^{p}": lambda z, p=p: z * 2.0**p for p in (-30, 3, 30)})


@check(
    "reference",
    laws={"objective": "the same formula, written twice, gives one loss and one gradient"},
    source="differential testing: the definition beside the routine",
    kind="exact",
)
def reference(trial: Trial) -> Iterator[Case]:
    """Against the objective in ``reference``."""
    trial.needs(trial.promises.reference is not None, "no reference given")
    z, world = views(trial), shown(trial)
    losses, gradients = zip(
        *(objective(trial, z[0], reference=twin).gradients(world, *z) for twin in (True, False)), strict=True
    )
    yield trial.same(world, losses[0].item(), losses[1].item())
    for name, expected, found in zip(("z_a", "z_b"), *gradients, strict=True):
        expected, found = (torch.zeros_like(z[0]) if g is None else g for g in (expected, found))
        off, size = float((found - expected).abs().max()), float(expected.abs().max())
        tolerance = float(np.sqrt(np.finfo(float).eps)) * max(1.0, size)
        yield Case(
            world=f"{world}, gradient of {name}", expected=f"a difference of {tolerance:.1g} at most",
            arrived=f"{off:.2g}", outcome=outcome_of(off <= tolerance),
        )  # fmt: skip


@check(
    "repeatable",
    laws={"objective": "L(z, z') = L(z, z'), to the last bit"},
    source="a loss is a function of the batch, and of its seed if it has one",
    kind="exact",
)
def repeatable(trial: Trial) -> Iterator[Case]:
    """The same batch twice, then once more after another one: no running mean, no queue, no hidden noise."""
    z, other = views(trial), views(trial, "other")
    ask, world = objective(trial, z[0]), shown(trial)
    first, second = (ask.value(world, *z) for _ in range(2))
    ask.value(world, *other)
    third = ask.value(world, *z)
    for when, found in (("called again", second), ("called after another batch", third)):
        yield Case(
            world=f"{world}, {when}", expected=f"{first!r}", arrived=f"{found!r}", outcome=outcome_of(found == first)
        )


@check(
    "layouts",
    laws={"objective": "L depends on the numbers, not on the tensors that hold them"},
    source="PyTorch documentation, tensor views",
    kind="exact",
)
def layouts(trial: Trial) -> Iterator[Case]:
    """Transposed and strided memory, with a gradient and without, inside a graph."""
    holders: dict[str, Callable[[Tensor], Tensor]] = {
        "column-major": lambda z: z.T.contiguous().T,
        "every other row and column of a larger tensor": lambda z: z.repeat_interleave(2, 0).repeat_interleave(2, 1)[
            ::2, ::2
        ],
        "a leaf with a gradient": lambda z: z.clone().requires_grad_(),
        "inside a graph": lambda z: 1.0 * z.clone().requires_grad_(),
    }
    z = views(trial)
    ask = objective(trial, z[0])
    expected = ask.value(shown(trial), *z)
    for name, held in holders.items():
        world = shown(trial, name)
        yield trial.same(world, expected, ask.loss(world, held(z[0]), held(z[1])).item())


@check(
    "input_untouched",
    laws={"objective": "z_a and z_b are the same after the call, and hold no gradient"},
    source="embeddings belong to the caller, who may use them in another loss",
    kind="contract",
)
def input_untouched(trial: Trial) -> Iterator[Case]:
    """Plain tensors, and tensors inside a graph, compared number by number, with their counts of changes in place."""
    for name, held in {"plain": Tensor.clone, "inside a graph": lambda z: 1.0 * z.clone().requires_grad_()}.items():
        z = [held(view) for view in views(trial)]
        before = [(view.detach().clone(), view._version) for view in z]
        objective(trial, z[0]).loss(shown(trial, name), z[0], z[1])
        for variable, view, (numbers, version) in zip(("z_a", "z_b"), z, before, strict=True):
            same = torch.equal(view, numbers) and view._version == version
            yield Case(
                world=shown(trial, f"{name}, {variable}"), expected="the same numbers, never written to",
                arrived="the same" if same else "changed in place", outcome=outcome_of(same),
            )  # fmt: skip


@check("global_state", laws={"objective": CONDUCT}, source="PyTorch documentation, reproducibility", kind="contract")
def global_state(trial: Trial) -> Iterator[Case]:
    """Generators of torch, numpy and random, moved on before the call; torch's threads, default dtype and grad mode."""
    z = views(trial)
    ask, before, world = objective(trial, z[0]), _settings(), shown(trial)
    with _restored(), torch.enable_grad():
        ask.gradients(world, *z)
        _ = np.random.random(), random.random(), torch.rand(1)  # noqa: NPY002  (so that a seed set in each call shows)
        generators = _generators()
        ask.gradients(world, *z)
        after, settings = _generators(), _settings()
        torch.set_num_threads(before["torch threads"])
        torch.set_default_dtype(before["torch default dtype"])
        if settings["torch deterministic"] != before["torch deterministic"]:  # to ask loads torch's compiler
            torch.use_deterministic_algorithms(before["torch deterministic"])
    unchanged = {name: held == after[name] for name, held in generators.items()}
    unchanged |= {name: held == settings[name] for name, held in before.items()}
    for name, same in unchanged.items():
        arrived = "as before" if same else "changed"
        yield Case(world=name, expected="as before the call", arrived=arrived, outcome=outcome_of(same))


@check(
    "device",
    laws={"objective": "loss and gradient live where the views live, and equal those on the processor"},
    source="PyTorch documentation, torch.device",
    kind="exact",
)
def device(trial: Trial) -> Iterator[Case]:
    """On the promised device beside the processor."""
    place = torch.device(trial.promises.device)
    trial.needs(place.type != "cuda" or torch.cuda.is_available(), "no CUDA device here")
    z, world = views(trial), shown(trial, str(place))
    there = [view.to(place) for view in z]
    expected = objective(trial, z[0]).value(shown(trial), *z)
    loss, gradients = objective(trial, there[0]).gradients(world, there[0], there[1])
    found = {loss.device.type, *(g.device.type for g in gradients if g is not None)}
    yield Case(world=world, expected=place.type, arrived=", ".join(found), outcome=outcome_of(found == {place.type}))
    yield trial.same(world, expected, loss.item())


@check(
    "one_row",
    laws={"objective": "one pair (1, d) has no spread and no negatives; it is not d pairs"},
    source="a squeezed axis of length one; the last batch of an epoch",
    kind="contract",
)
def one_row(trial: Trial) -> Iterator[Case]:
    """A batch of one pair: refused or no number, unless ``least_rows=1`` is declared; then a finite loss."""
    z_a, z_b = views(trial, n=1)
    world, declared = shown(trial, n=1), trial.promises.least_rows == 1
    if declared:
        found = objective(trial, z_a).value(world, z_a, z_b)
        yield Case(world=world, expected="a loss", arrived=f"{found:.6g}", outcome=outcome_of(True))
        return
    yield _refused(trial, world, (z_a, z_b), "an error, or no number", " (if it is right, declare least_rows=1)")


@check(
    "unequal_shapes",
    laws={"objective": "row i of both views embeds one input: shapes are equal, and nothing is stretched"},
    source="NumPy and PyTorch documentation, broadcasting",
    kind="contract",
)
def unequal_shapes(trial: Trial) -> Iterator[Case]:
    """A missing row or column, one row, one column, and a batch without columns."""
    z_a, z_b = views(trial)
    for name, (a, b) in {
        "a row of z_b missing": (z_a, z_b[:-1]), "a row of z_a missing": (z_a[:-1], z_b),
        "a column of z_b missing": (z_a, z_b[:, :-1]), "one row of z_b": (z_a, z_b[:1]),
        "one column of z_a": (z_a[:, :1], z_b), "z_b as one vector": (z_a, z_b[0]),
    }.items():  # fmt: skip
        if a.shape == b.shape:
            continue
        yield _refused(trial, shown(trial, name), (a, b), "an error", "", only_errors=True)


@check(
    "missing_values",
    laws={"objective": "the loss of NaN is no number"},
    source="IEEE 754: NaN is passed on, unless comparisons drop it",
    kind="contract",
)
def missing_values(trial: Trial) -> Iterator[Case]:
    """One NaN in each view."""
    for i, name in enumerate(("z_a", "z_b")):
        z = views(trial)
        z[i][1, 0] = torch.nan
        yield _refused(trial, shown(trial, f"one NaN in {name}"), z, "an error, or no number", "")


@check(
    "wide",
    laws={"objective": "d > n is a batch: L and ∇L are numbers"},
    source="a determinant of 256 variances of 10⁻² is no float; Bardes et al. (2022) use 8192 columns",
    kind="contract",
)
def wide(trial: Trial) -> Iterator[Case]:
    """8 rows of 256 columns, or what is given of both with half as many rows as columns; all numbers of size 0.1."""
    promises = trial.promises
    trial.needs(promises.takes_wide, "takes_wide=False")
    d = promises.columns or 256
    n = max(2, promises.least_rows, min(promises.rows or 8, d // 2))
    trial.needs(d > n, f"rows={n}, columns={d}: fewer rows than columns are none")
    z_a, z_b = (0.1 * z for z in views(trial, n=n, d=d))
    yield from _finite(trial, shown(trial, n=n, d=d), (z_a, z_b))


@check(
    "large_numbers",
    laws={"objective": "embeddings of length 10³ have a loss and a gradient that are numbers"},
    source="log Σ exp needs its maximum taken out; networks before any training have such outputs",
    kind="contract",
)
def large_numbers(trial: Trial) -> Iterator[Case]:
    """Ordinary views times 2¹⁰ and 2⁻¹⁰, in both precisions."""
    for power in (10, -10):
        for dtype in (torch.float64, torch.float32):
            z_a, z_b = (z.to(dtype) * 2.0**power for z in views(trial))
            yield from _finite(trial, shown(trial, f"times 2^{power}, {dtype}"), (z_a, z_b))


def _unchanged(trial: Trial, changes: dict[str, Callable[[Tensor], Tensor]]) -> Iterator[Case]:
    """The loss of both views changed alike is what it was."""
    z = views(trial)
    ask = objective(trial, z[0])
    expected = ask.value(shown(trial), *z)
    for name, change in changes.items():
        world = shown(trial, name)
        yield trial.same(world, expected, ask.value(world, change(z[0]), change(z[1])))


def _finite(trial: Trial, world: str, z: Views) -> Iterator[Case]:
    _, gradients = objective(trial, z[0]).gradients(world, *z)
    fine = all(g is None or bool(torch.isfinite(g).all()) for g in gradients)
    arrived = "finite" if fine else "NaN or infinite numbers"
    yield Case(world=f"{world}, gradient", expected="finite", arrived=arrived, outcome=outcome_of(fine))


def _refused(
    trial: Trial, world: str, z: Any, expected: str, hint: str, *, only_errors: bool = False
) -> Case:  # fmt: skip
    """Whether the batch raises, or gets a loss that is no number."""
    ordinary = views(trial)
    ask = objective(trial, ordinary[0])
    ask.loss(shown(trial), *ordinary)
    try:
        loss = float(ask.ask(*z).detach())
    except Exception as error:
        crash = ", a crash, not refused (raise a ValueError with what is wrong)" if crashed(error) else ""
        return Case(
            world=world, expected=expected, arrived=f"{type(error).__name__}{crash}", outcome=outcome_of(not crash)
        )
    fine = not only_errors and not np.isfinite(loss)
    return Case(
        world=world, expected=expected, arrived=f"{loss:.6g}" + ("" if fine else hint), outcome=outcome_of(fine)
    )
