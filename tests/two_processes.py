"""What each of two processes does in tests/objectives/test_gathering.py; also, with all rows, a single one."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from objective_twins import EVERY, views
from torch import nn

from itssl.arrays import SampleError
from itssl.networks.encoders import mlp
from itssl.objectives import BYOL, byol_logdet_terms, byol_pairdist_terms, byol_terms

ROWS, D = 10, 3
BYOLS = {
    "BYOL": BYOL(mlp((D, 4, D), seed=5)),
    "BYOL + LogDet": BYOL(mlp((D, 4, D), seed=5), function=byol_logdet_terms, options={"beta": 3.0}),
    "BYOL + PairDist": BYOL(mlp((D, 4, D), seed=5), function=byol_pairdist_terms, options={"noise_var": 0.4}),
}
NAMES = [name for name in EVERY if "BYOL" not in name] + list(BYOLS)


def evaluated(name: str, rows: slice, *, gather: bool = True) -> tuple[torch.Tensor, list[nn.Parameter]]:
    """The loss of an encoder on these rows of a fixed batch, and what is trained."""
    x_a, x_b = (torch.tensor(x[rows]) for x in views(ROWS, 5, seed=3))
    encoder = nn.Sequential(nn.Linear(5, D, dtype=torch.float64), nn.Tanh())
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(torch.linspace(-1, 1.3, parameter.numel()).sin().reshape(parameter.shape))
    if name in BYOLS:
        config = BYOLS[name]
        state = BYOL(config.predictor, function=config.function, options={**config.options, "gather": gather}).start(
            mlp((5, D), seed=7)
        )
        return state.loss(encoder, x_a, x_b)[0], [*encoder.parameters(), *state.predictor.parameters()]
    return EVERY[name].terms(encoder(x_a), encoder(x_b), gather=gather).total(), list(encoder.parameters())


def refusal(call: Callable[[], Any]) -> str:
    try:
        call()
    except SampleError as error:
        return str(error)
    return "not refused"


def work(rank: int, folder: str) -> None:
    """Losses and gradients with and without gathering, and what is refused, written to a file."""
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    half = slice(rank * ROWS // 2, (rank + 1) * ROWS // 2)
    found: dict[str, Any] = {}
    for name in NAMES:
        loss, parameters = evaluated(name, half)
        gradients = torch.autograd.grad(loss, parameters)
        for gradient in gradients:  # as DistributedDataParallel does
            dist.all_reduce(gradient)
        local, _ = evaluated(name, half, gather=False)
        found[name] = {"loss": loss.detach(), "gradients": [g / 2 for g in gradients], "local": local.detach()}
        uneven = slice(0, 4) if rank else slice(0, 5)
        found[name]["uneven"] = refusal(lambda name=name, rows=uneven: evaluated(name, rows))
    for name in ("VICReg solo", "InfoNCE", "MEC"):
        z = torch.tensor(views(4, D)[0])
        bad, terms = z * (float("nan") if rank else 1.0), EVERY[name].terms
        found[name]["nan"] = refusal(lambda terms=terms, z=z, bad=bad: terms(z, bad))
        found[name]["axes"] = refusal(lambda terms=terms, z=z: terms(*[z[None] if rank else z] * 2))
        single = [torch.tensor(v[rank : rank + 1]) for v in views(2, D)]
        found[name]["one row each"] = terms(*single).total()
    identity = nn.Identity()
    found["BYOL"]["nan"] = refusal(
        lambda: byol_terms(bad, z, target_a=z, target_b=z, predictor=identity)  # only one process has the NaN
    )
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
