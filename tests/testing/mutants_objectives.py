"""Self-supervised objectives with the errors that such code has, beside the right ones and what tells them apart."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


def admitted(z_a, z_b):
    if z_a.ndim != 2 or z_a.shape != z_b.shape or len(z_a) < 2:
        raise ValueError("shapes")
    return z_a, z_b


def covariance(z, ddof=1):
    centered = z - z.mean(0)
    return centered.T @ centered / (len(z) - ddof)


def vicreg(z_a, z_b, ddof=1, eps=1e-4):
    """Mean squared distance + hinge of deviations + squared covariances; ε inside the root."""
    z_a, z_b = admitted(z_a, z_b)
    loss, d = 25 * (z_a - z_b).square().mean(), z_a.shape[1]
    for z in (z_a, z_b):
        cov = covariance(z, ddof)
        loss = loss + 12.5 * torch.relu(1 - (cov.diagonal() + eps).sqrt()).mean()
        loss = loss + (cov.square().sum() - cov.diagonal().square().sum()) / d
    return loss


def logdet(z_a, z_b, log_determinant=torch.logdet, cov=covariance):
    """Distance less the log-determinants of the covariances, of noise 0.01 more."""
    z_a, z_b = admitted(z_a, z_b)
    noise = 0.01 * torch.eye(z_a.shape[1], dtype=z_a.dtype, device=z_a.device)
    spread = sum(log_determinant(cov(z) + noise) for z in (z_a, z_b))
    return 50 * (z_a - z_b).square().sum(1).mean() - spread


def directions(z):
    largest = z.detach().abs().amax(1, keepdim=True)
    z = z / torch.where(largest > 0, largest, torch.ones_like(largest))
    norms = z.square().sum(1, keepdim=True)
    return z / torch.where(norms > 0, norms, torch.ones_like(norms)).sqrt()


def infonce(z_a, z_b, unit=directions, both=True):
    """Cross-entropy of the partner among all rows of the other view, cosines over temperature 0.2."""
    z_a, z_b = admitted(z_a, z_b)
    scores, partner = unit(z_a) @ unit(z_b).T / 0.2, torch.arange(len(z_a), device=z_a.device)
    loss = nn.functional.cross_entropy(scores, partner)
    return (loss + nn.functional.cross_entropy(scores.T, partner)) / 2 if both else loss


def inner_products(z_a, z_b):
    return infonce(z_a, z_b, unit=lambda z: z)


def without_maximum(z_a, z_b):
    z_a, z_b = admitted(z_a, z_b)
    scores = z_a @ z_b.T / 0.2
    return sum((s.exp().sum(1).log() - s.diagonal()).mean() for s in (scores, scores.T)) / 2


def stopped(z_a, z_b):
    """z_b is a target: z_a finds its direction."""
    z_a, z_b = admitted(z_a, z_b)
    return 2 - 2 * (directions(z_a) * directions(z_b.detach())).sum(1).mean()


def not_stopped(z_a, z_b):
    z_a, z_b = admitted(z_a, z_b)
    return 2 - 2 * (directions(z_a) * directions(z_b)).sum(1).mean()


def divisor_n(z_a, z_b):
    return vicreg(z_a, z_b, ddof=0)


def deviation_without_eps(z_a, z_b):
    return vicreg(z_a, z_b, eps=0.0)


def determinant(z_a, z_b):
    return logdet(z_a, z_b, log_determinant=lambda c: torch.det(c).log())


def not_centered(z_a, z_b):
    return logdet(z_a, z_b, cov=lambda z: z.T @ z / (len(z) - 1))


def diagonal(z_a, z_b):
    return logdet(z_a, z_b, log_determinant=lambda c: c.diagonal().log().sum())


def spread_detached(z_a, z_b):
    return logdet(z_a, z_b, cov=lambda z: covariance(z).detach())


def view_detached(z_a, z_b):
    return vicreg(z_a, z_b.detach())


def norm_detached(z_a, z_b):
    return infonce(z_a, z_b, unit=lambda z: z / z.norm(dim=1, keepdim=True).detach())


def squeezed(z_a, z_b):
    z_a, z_b = z_a.squeeze(), z_b.squeeze()
    return vicreg(*(z if z.ndim == 2 else z[:, None] for z in (z_a, z_b)))


def any_number_of_rows(z_a, z_b):
    if z_a.shape != z_b.shape:
        raise ValueError("shapes")
    return (z_a - z_b).square().mean() - (z_a.std(0, correction=0) + z_b.std(0, correction=0)).mean()


def in_place(z_a, z_b):
    with torch.no_grad():
        z_a -= z_a.mean(0)
        z_b -= z_b.mean(0)
    return logdet(z_a, z_b)


def written_and_restored(z_a, z_b):
    """The numbers are those of before, but a graph that holds the view finds it written to."""
    with torch.no_grad():
        held = z_a.clone()
        z_a -= z_a.mean(0)
        z_a.copy_(held)
    return logdet(z_a, z_b)


def normalized_in_place(z_a, z_b):
    z_a, z_b = (z.detach() if z.is_leaf and not z.requires_grad else 1 * z for z in (z_a, z_b))
    z_a /= z_a.norm(dim=1, keepdim=True)
    return infonce(z_a, z_b)


def single_precision(z_a, z_b):
    return vicreg(z_a.float(), z_b.float())


def single_precision_inside(z_a, z_b):
    return infonce(z_a.float(), z_b.float()).to(z_a.dtype)


def double_precision(z_a, z_b):
    return vicreg(z_a.double(), z_b.double())


def absolute_eps(z_a, z_b):
    return infonce(z_a, z_b, unit=lambda z: z / (z.norm(dim=1, keepdim=True) + 1e-8))


def noise_before_scaling(z_a, z_b):
    generator = torch.Generator().manual_seed(0)
    noise = 1e-9 * torch.randn(z_a.shape, generator=generator, dtype=z_a.dtype)
    return infonce(z_a + noise, z_b + noise)


def hidden_noise(z_a, z_b):
    return infonce(z_a + 1e-6 * torch.randn_like(z_a), z_b)


def seeds_itself(z_a, z_b):
    torch.manual_seed(0)
    return infonce(z_a + 1e-9 * torch.randn_like(z_a), z_b)


def default_dtype(z_a, z_b):
    torch.set_default_dtype(torch.float64)
    return vicreg(z_a, z_b)


def threads(z_a, z_b):
    torch.set_num_threads(torch.get_num_threads() + 1)
    return vicreg(z_a, z_b)


def one_direction(z_a, z_b):
    return infonce(z_a, z_b, both=False)


def neighbors_as_negatives(z_a, z_b):
    """Each row is kept apart from the next one alone."""
    z_a, z_b = (directions(z) for z in admitted(z_a, z_b))
    return ((z_a * z_b.roll(1, 0)).sum(1) + (z_b * z_a.roll(1, 0)).sum(1) - 2 * (z_a * z_b).sum(1)).mean()


def rows_as_columns(z_a, z_b):
    """Views of the memory, that are not there for transposed tensors."""
    z_a, z_b = admitted(z_a, z_b)
    return vicreg(z_a.view(-1).view(z_a.shape), z_b.view(-1).view(z_b.shape))


def a_number(z_a, z_b):
    return torch.tensor(vicreg(z_a, z_b).item())


def first_columns(z_a, z_b):
    return logdet(z_a[:, :4], z_b[:, :4])


def nan_to_zero(z_a, z_b):
    return vicreg(z_a.nan_to_num(), z_b.nan_to_num())


def stretched(z_a, z_b):
    if z_a.ndim != 2 or len(z_a) < 2:
        raise ValueError("shapes")
    return (z_a - z_b).square().mean() + vicreg(z_a, z_a)


def no_number_of_unequal_shapes(z_a, z_b):
    return vicreg(z_a, z_b) if z_a.shape == z_b.shape else torch.tensor(torch.nan)


def attraction_alone(z_a, z_b):
    z_a, z_b = admitted(z_a, z_b)
    return (z_a - z_b).square().mean()


def a_loss_a_row(z_a, z_b):
    z_a, z_b = admitted(z_a, z_b)
    return (z_a - z_b).square().mean(1)


class _HalfTheSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.square()

    @staticmethod
    def backward(ctx, slope):  # pyright: ignore[reportIncompatibleMethodOverride]
        return slope * ctx.saved_tensors[0]


def half_the_slope(z_a, z_b):
    z_a, z_b = admitted(z_a, z_b)
    return _HalfTheSlope.apply(z_a - z_b).mean()  # pyright: ignore[reportOptionalMemberAccess]


class RunningMean(nn.Module):
    """Centers by a mean over all batches seen so far."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, z_a, z_b):
        self.mean = 0.9 * self.mean + 0.1 * z_a.detach().mean(0)
        return inner_products(z_a - self.mean, z_b - self.mean)


@dataclass(frozen=True)
class Mutant:
    """A wrong objective, the right one, what both promise, and the checks that must fail for the wrong one alone."""

    wrong: Any
    right: Any
    caught_by: tuple[str, ...]
    promises: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return getattr(self.wrong, "__name__", type(self.wrong).__name__)


def _mutant(wrong, *caught_by, right=vicreg, **promises):
    return Mutant(wrong, right, caught_by, promises)


SPHERE = {"right": infonce, "scale_invariant": True, "rotation_invariant": True, "prevents_collapse": True}
GAUSSIAN = {"right": logdet, "translation_invariant": True, "rotation_invariant": True, "prevents_collapse": True}
VICREG = {"translation_invariant": True, "prevents_collapse": True}
OBJECTIVES = (
    _mutant(divisor_n, "reference", reference=vicreg, **VICREG),
    _mutant(deviation_without_eps, "collapse", **VICREG),
    _mutant(determinant, "wide", **GAUSSIAN),
    _mutant(not_centered, "translation", **GAUSSIAN),
    _mutant(diagonal, "rotation", **GAUSSIAN),
    _mutant(spread_detached, "gradient", "reference", reference=logdet, **GAUSSIAN),
    _mutant(view_detached, "gradient", "both_views", **VICREG),
    _mutant(norm_detached, "gradient", **SPHERE),
    _mutant(squeezed, "one_row", **VICREG),
    _mutant(any_number_of_rows, "one_row", translation_invariant=True),
    _mutant(in_place, "input_untouched", **GAUSSIAN),
    _mutant(written_and_restored, "input_untouched", **GAUSSIAN),
    _mutant(normalized_in_place, "input_untouched", **SPHERE),
    _mutant(single_precision, "dtypes", "gradient", **VICREG),
    _mutant(single_precision_inside, "dtypes", **SPHERE),
    _mutant(double_precision, "dtypes", **VICREG),
    _mutant(absolute_eps, "scale", **SPHERE),
    _mutant(noise_before_scaling, "scale", **SPHERE),
    _mutant(hidden_noise, "repeatable", **SPHERE),
    _mutant(RunningMean(), "repeatable", right=inner_products, rotation_invariant=True),
    _mutant(seeds_itself, "global_state", **SPHERE),
    _mutant(default_dtype, "global_state", **VICREG),
    _mutant(threads, "global_state", **VICREG),
    _mutant(one_direction, "symmetry", **SPHERE),
    _mutant(neighbors_as_negatives, "row_order", **SPHERE),
    _mutant(rows_as_columns, "layouts", **VICREG),
    _mutant(a_number, "gradient", "both_views", **VICREG),
    _mutant(first_columns, "both_views", **GAUSSIAN),
    _mutant(nan_to_zero, "missing_values", **VICREG),
    _mutant(stretched, "unequal_shapes", **VICREG),
    _mutant(no_number_of_unequal_shapes, "unequal_shapes", **VICREG),
    _mutant(attraction_alone, "prevents_collapse", **VICREG),
    _mutant(a_loss_a_row, "symmetry", "gradient", **VICREG),
    _mutant(half_the_slope, "gradient", **VICREG),
    _mutant(without_maximum, "large_numbers", right=inner_products, rotation_invariant=True),
    _mutant(not_stopped, "both_views", right=stopped, stop_gradient="view_b", scale_invariant=True),
    _mutant(stopped, "both_views", right=not_stopped, scale_invariant=True, rotation_invariant=True),
)
