"""Two views of one batch, admitted; under torch.distributed the rows of all processes, with gradients."""

import sys
from functools import cache
from types import ModuleType
from typing import Any

from jaxtyping import Float

from itssl.arrays import SampleError, as_matching_matrices, is_torch


def as_views(
    z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], *, gather: bool = True
) -> tuple[ModuleType, Float[Any, "N d"], Float[Any, "N d"]]:
    """(namespace, z_a, z_b); tensors are first gathered over all processes where a process group exists.

    Every process then computes the loss of the whole batch. The gradient that reaches its own rows is summed over the
    processes, so that averaging the gradients of the weights, as DistributedDataParallel does, gives the gradient of a
    single process with all rows. Each process must hold as many rows.

    Raises SampleError and SampleTypeError as :func:`itssl.arrays.as_matching_matrices`, SampleError for unequal
    batches.
    """
    if gather and is_torch(z_a) and is_torch(z_b) and _group_exists():
        z_a, z_b = gathered(z_a), gathered(z_b)
    return as_matching_matrices(z_a, z_b)


def gathered(z: Float[Any, "n d"]) -> Float[Any, "N d"]:
    """The rows of z of all processes in the order of their ranks; z itself where there is no process group.

    Raises SampleError when the processes hold different shapes (on every process).

    >>> import torch
    >>> gathered(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    if not _group_exists():
        return z
    import torch
    import torch.distributed as dist

    shape = torch.tensor([z.ndim, *z.shape, -1, -1][:3], device=z.device)
    found = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(found, shape)
    shapes = [tuple(other.tolist()) for other in found]
    if len(set(shapes)) > 1 or z.ndim != 2:
        held = ", ".join(str(tuple(sizes)) if axes == 2 else f"{axes} axes" for axes, *sizes in shapes)
        raise SampleError(
            f"z: expected one shape (n, d) on all processes, got {held}; drop the last, incomplete batch of an epoch"
        )
    return _rows_of_all().apply(z)


def _group_exists() -> bool:
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and dist.is_initialized()


@cache
def _rows_of_all() -> Any:
    """The differentiable gathering; made when needed, so that numpy users never load torch.

    torch's own (torch.distributed.nn.functional.all_gather) is deprecated and its successor is not in torch 2.2.
    """
    import torch
    import torch.distributed as dist

    class RowsOfAll(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
            ctx.rows = len(z)
            parts = [torch.empty_like(z, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
            dist.all_gather(parts, z.contiguous())
            return torch.cat(parts)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
            total = gradients[0].clone(memory_format=torch.contiguous_format)
            dist.all_reduce(total)
            return total[dist.get_rank() * ctx.rows : (dist.get_rank() + 1) * ctx.rows]

    return RowsOfAll
