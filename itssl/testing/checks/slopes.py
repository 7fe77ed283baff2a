"""Objectives: the gradient is the slope of the loss, reaches what it should, and is a number also at collapse."""

from collections.abc import Iterator

import torch
from torch import Tensor

from itssl.testing.checks.batches import Objective, Views, objective, rounding, shown, views, violated
from itssl.testing.checks.refusals import CRASHES
from itssl.testing.checks.trial import Trial, check, outcome_of
from itssl.testing.findings import Case

STEPS = 2.0**-13, 2.0**-17, 2.0**-21
"""The later ones where the first misses: a kink of the loss within a step is missed by none of another length."""
TINY = 2.0**-28
"""A step whose square is the rounding of float64, and that float32 does not resolve."""
VIEWS = ("z_a", "z_b")


@check(
    "gradient",
    laws={"objective": "⟨∇L, v⟩ = lim (L(z + hv) − L(z − hv))/2h for every direction v of either view"},
    source="Griewank & Walther (2008), Evaluating Derivatives; Fornberg (1988), Math. Comp. 51, for the differences",
    kind="exact",
)
def gradient(trial: Trial) -> Iterator[Case]:
    """Against central differences in float64, of fourth order. Their error: the distance to those of second order,
    whose own is larger, and ε·n·d·max(1, |L|)/h for the rounding of the losses. This holds between the kinks of a
    loss, such as a hinge's: a miss is looked at again with shorter steps, and counts if none agrees."""
    trial.needs(trial.promises.stop_gradient != "targets", 'stop_gradient="targets": the targets move with the value')
    z, world = views(trial), shown(trial)
    ask = objective(trial, z[0])
    loss, gradients = ask.gradients(world, *z)
    for i in trial.promises.moving:
        for j in range(max(1, trial.profile.rows // 200)):
            direction = torch.tensor(trial.rng("direction", i, j).standard_normal(z[i].shape))
            found = gradients[i]
            if found is None:
                yield violated(f"{world}, {VIEWS[i]}", "a gradient", "none")
                continue
            slope, fine, expected = float((found * direction).sum()), False, ""
            for step in STEPS:
                two, four = _differences(ask, world, z, i, direction, step)
                tolerance = abs(four - two) + 4 * rounding(loss.item(), z[i]) / step
                expected = expected or f"{four:.9g} within {tolerance:.1g}"
                if fine := abs(slope - four) <= tolerance:
                    break
            yield Case(
                world=f"{world}, {VIEWS[i]} moved", expected=expected, arrived=f"{slope:.9g}", outcome=outcome_of(fine)
            )


def _differences(ask: Objective, world: str, z: Views, i: int, direction: Tensor, h: float) -> tuple[float, float]:
    """Slopes along a direction of view i, by central differences of second and of fourth order over steps h."""

    def across(step: float) -> float:
        ahead, behind = (ask.value(world, *_moved(z, i, sign * step * direction)) for sign in (1, -1))
        return ahead - behind

    near, far = across(h), across(2 * h)
    return near / (2 * h), (8 * near - far) / (12 * h)


def _moved(z: Views, i: int, by: Tensor) -> Views:
    return (z[0] + by, z[1]) if i == 0 else (z[0], z[1] + by)


@check(
    "both_views",
    laws={"objective": "∂L/∂z_a and ∂L/∂z_b are there, in every column, unless a stopped gradient is declared"},
    source="a view without a gradient is a target; Grill et al. (2020) and Chen & He (2021) say so",
    kind="contract",
)
def both_views(trial: Trial) -> Iterator[Case]:
    """The gradient of each view: none or zero where it is stopped, else no column of zeros."""
    z, world = views(trial), shown(trial)
    _, gradients = objective(trial, z[0]).gradients(world, *z)
    for i, found in enumerate(gradients):
        missing = z[i].shape[1] if found is None else int((found == 0).all(dim=0).sum())
        if i in trial.promises.moving:
            expected, fine = "a gradient in every column", missing == 0
        else:
            expected, fine = f'no gradient (stop_gradient="{trial.promises.stop_gradient}")', missing == z[i].shape[1]
        arrived = "one" if not missing else f"none in {missing} of {z[i].shape[1]} columns"
        yield Case(world=f"{world}, {VIEWS[i]}", expected=expected, arrived=arrived, outcome=outcome_of(fine))


@check(
    "dtypes",
    laws={"objective": "loss and gradient have the dtype of the views, and its precision"},
    source="IEEE 754; PyTorch documentation, torch.dtype",
    kind="exact",
)
def dtypes(trial: Trial) -> Iterator[Case]:
    """float32 and float64, which agree up to √ε of the former; then steps of 2⁻²⁸, which in float64 change the loss
    along a straight line, and in a hidden float32 not at all, or in jumps."""
    single = [z.float() for z in views(trial)]
    double = [z.double() for z in single]
    found: list[tuple[Tensor, tuple[Tensor | None, Tensor | None]]] = []
    for z in (single, double):
        world = shown(trial, str(z[0].dtype))
        loss, gradients = objective(trial, z[0]).gradients(world, z[0], z[1])
        found.append((loss, gradients))
        kinds = {loss.dtype, *(g.dtype for g in gradients if g is not None)}
        yield Case(
            world=world, expected=f"{z[0].dtype}", arrived=", ".join(sorted(map(str, kinds))),
            outcome=outcome_of(kinds == {z[0].dtype}),
        )  # fmt: skip
    (low, of_low), (high, of_high) = found
    world = shown(trial, "float32 beside float64")
    yield trial.same(world, high.item(), low.item(), dtype="float32")
    for name, a, b in zip(VIEWS, of_low, of_high, strict=True):
        if a is not None and b is not None:
            size, off = float(b.abs().max()), float((a - b).abs().max())
            yield Case(
                world=f"{world}, gradient of {name}", expected=f"a difference of {size * 2**-11.5:.2g} at most",
                arrived=f"{off:.2g}", outcome=outcome_of(off <= size * 2**-11.5),
            )  # fmt: skip
    yield from _straight(trial)


def _straight(trial: Trial) -> Iterator[Case]:
    z = views(trial)
    ask, world = objective(trial, z[0]), shown(trial, f"steps of {TINY:.1g}")
    for i in (0, 1):
        step = TINY * torch.tensor(trial.rng("step", i).standard_normal(z[i].shape))
        behind, middle, ahead = (ask.value(world, *_moved(z, i, by * step)) for by in (-1, 0, 1))
        bend, limit = abs(ahead - 2 * middle + behind), 4 * rounding(middle, z[i])
        yield Case(
            world=f"{world} in {VIEWS[i]}", expected=f"a change, with a second difference of {limit:.1g} at most",
            arrived=f"{ahead - middle:.2g} with {bend:.2g}", outcome=outcome_of(ahead != middle and bend <= limit),
        )  # fmt: skip


@check(
    "collapse",
    laws={"objective": "all rows equal: L is a number, and so is ∇L"},
    source="the derivative of √v at v = 0 is infinite: a standard deviation needs its ε inside the root",
    kind="contract",
)
def collapse(trial: Trial) -> Iterator[Case]:
    """Both views the same point in every row: zero, and another one."""
    trial.needs(trial.promises.finite_at_collapse, "finite_at_collapse=False")
    for name, z in collapsed(trial).items():
        _, gradients = objective(trial, z).gradients(name, z, z)
        for i in trial.promises.moving:
            bad = None if (g := gradients[i]) is None else int((~torch.isfinite(g)).sum())
            arrived = "no gradient" if bad is None else f"{bad} of {z.numel()} not finite" if bad else "finite"
            yield Case(
                world=f"{name}, gradient of {VIEWS[i]}", expected="finite", arrived=arrived,
                outcome=outcome_of(not bad),
            )  # fmt: skip


@check(
    "prevents_collapse",
    laws={"objective": "L(one point) > L(equal views with covariance I)"},
    source="Bardes, Ponce & LeCun (2022), VICReg, on collapse",
    kind="contract",
)
def prevents_collapse(trial: Trial) -> Iterator[Case]:
    """Equal views, whitened, beside points at several distances from the origin. A loss that is refused, or no number,
    at collapse is larger than any; so is one of a matrix that cannot be factored, but not a crash of Python."""
    trial.needs(trial.promises.prevents_collapse, "prevents_collapse=False")
    n, d = trial.promises.shape
    trial.needs(n > d, f"rows={n}, columns={d}: too few rows to fill all directions")
    z = torch.tensor(trial.rng("isotropic").standard_normal((n, d)))
    z = torch.linalg.qr(z - z.mean(0))[0] * (n - 1) ** 0.5
    ask = objective(trial, z)
    spread = ask.value(shown(trial, "covariance I"), z, z)
    for name, point in collapsed(trial).items():
        try:
            at = float(ask.ask(point, point).detach())
        except Exception as error:
            fine, arrived = not isinstance(error, CRASHES), type(error).__name__
        else:
            fine, arrived = not at <= spread, f"{at:.6g}"
        yield Case(world=name, expected=f"more than {spread:.6g}", arrived=arrived, outcome=outcome_of(fine))


def collapsed(trial: Trial) -> dict[str, Tensor]:
    """Batches of equal rows, by name."""
    n, d = trial.promises.shape
    point = torch.tensor(trial.rng("point").standard_normal(d))
    lengths = {"zero": 0.0, "distance one": 1 / float(point.norm()), "a point": 1.0, "64 times it": 64.0}
    return {f"{n} equal rows at {name}": by * point.expand(n, d).clone() for name, by in lengths.items()}
