"""The forms of the textbook, in numpy and torch: what one writes down first."""

import numpy as np

from experiments.benchmarks.methods import Call, Register
from experiments.benchmarks.workloads import Cell

METHODS = Register()
Data = dict[str, np.ndarray]
LOG_2PI_E = float(np.log(2 * np.pi) + 1)


@METHODS.add("np.cov, slogdet", "gaussian")
def _(cell: Cell, data: Data, threads: int) -> Call:
    d = cell["d"]
    return lambda: 0.5 * (d * LOG_2PI_E + np.linalg.slogdet(np.cov(data["x"], rowvar=False))[1])


@METHODS.add(
    "torch n × n, float32",
    "pairs",
    needs=("torch",),
    refuses=lambda cell: "n × n takes 10 GB" if cell["n"] > 20_000 else "",
)
def _(cell: Cell, data: Data, threads: int) -> Call:
    import torch

    z, var = torch.tensor(data["x"], dtype=torch.float32), cell["var"]
    d = z.shape[1]

    def value() -> list[float]:
        squares = torch.cdist(z, z) ** 2
        component = d / 2 * (LOG_2PI_E + np.log(var))
        bounds = (torch.exp(-squares / (scale * var)).mean(1).log().mean() for scale in (8, 2))
        return [component - float(found) for found in bounds]

    return value


@METHODS.add("torch logsumexp, chunks, float32", "pairs", needs=("torch",), once=lambda cell: cell["n"] > 20_000)
def _(cell: Cell, data: Data, threads: int) -> Call:
    import torch

    z, var = torch.tensor(data["x"], dtype=torch.float32), cell["var"]
    n, d = z.shape

    def value() -> list[float]:
        totals = np.zeros(2)
        for rows in z.split(1000):
            squares = torch.cdist(rows, z) ** 2
            totals += [float(torch.logsumexp(-squares / (scale * var), 1).double().sum()) for scale in (8, 2)]
        component = d / 2 * (LOG_2PI_E + np.log(var))
        return list(component + np.log(n) - totals / n)

    return value


@METHODS.add("torch d × d", "vicreg", needs=("torch",))
def _(cell: Cell, data: Data, threads: int) -> Call:
    import torch

    z_a, z_b = (torch.tensor(data[name], requires_grad=True) for name in ("z_a", "z_b"))
    n, d = z_a.shape

    def value() -> list[float]:
        loss = 25 * torch.nn.functional.mse_loss(z_a, z_b)
        for z in (z_a, z_b):
            centered = z - z.mean(dim=0)
            loss = loss + 25 * torch.relu(1 - torch.sqrt(centered.var(dim=0) + 1e-4)).mean() / 2
            cov = centered.T @ centered / (n - 1)
            loss = loss + (cov.square().sum() - cov.diagonal().square().sum()) / d
        return [float(loss.detach()), *(float(g.norm()) for g in torch.autograd.grad(loss, (z_a, z_b)))]

    return value


@METHODS.add("torch.func vmap(jacrev), tiles of 50", "jacobian", needs=("torch",))
def _(cell: Cell, data: Data, threads: int) -> Call:
    import torch
    from torch.func import jacrev, vmap

    from itssl.networks.encoders import mlp

    network, x = mlp((784, 256, 256, 128), seed=0), torch.tensor(data["x"])
    single = vmap(jacrev(lambda row: network(row[None])[0]))
    return lambda: float(torch.linalg.norm(torch.cat([single(part).detach() for part in x.split(50)])))
