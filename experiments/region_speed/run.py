"""How long do local maps, faces and certificates take, beside Jacobians by torch.func?"""

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import jacrev, vmap

from experiments.runner import Cell, experiment
from itssl.networks.encoders import cnn, mlp
from itssl.networks.regions import exit_probability, face_distances, local_affine

VAR = 1e-4


class Residual(nn.Module):
    """784 numbers, two blocks of two layers of 256 units around which the values pass, 128 outputs."""

    def __init__(self) -> None:
        super().__init__()
        whole = mlp((784, 256, 256, 256, 256, 256, 128), seed=0)
        self.stem, self.a, self.b, self.c, self.d, self.out = (whole[i] for i in range(0, 11, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.stem(x)
        h = h + self.b(torch.relu(self.a(torch.relu(h))))
        h = h + self.d(torch.relu(self.c(torch.relu(h))))
        return self.out(torch.relu(h))


NETWORKS = {
    "MLP 784-256-256-128": lambda: mlp((784, 256, 256, 128), seed=0),
    "residual 784-256-128": Residual,
    "CNN 28x28, 8 and 16 channels, 64 outputs": lambda: cnn((8, 16), image=(1, 28, 28), out=64, seed=0),
}
GOAL = "MLP 784-256-256-128"


def cells(quick: bool) -> list[Cell]:
    """Jacobians beside those of torch.func for each network, the certificates of one, and an example of theory."""
    n, repetitions = (20, 2) if quick else (200, 5)
    networks = [GOAL] if quick else list(NETWORKS)
    jacobians = [{"part": "jacobians", "network": name, "n": n, "repetitions": repetitions} for name in networks]
    certificates = {"part": "certificates", "network": GOAL, "n": 50 if quick else 1000, "repetitions": repetitions}
    example = [
        {"part": "example", "initialization": kind, "networks": 2 if quick else 20, "n": 50 if quick else 200}
        for kind in ("torch", "itssl")
    ]
    return [*jacobians, certificates, *example]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Seconds of wall clock and of the processor (medians), peak memory; or bounds on the exit probability."""
    if cell["part"] == "example":
        return _example(cell, rng)
    network = NETWORKS[cell["network"]]()
    x = rng.standard_normal((cell["n"], 784))
    if cell["part"] == "certificates":
        work = {
            "maps": lambda: local_affine(network, x),
            "faces": lambda: face_distances(network, x),
            "certificates": lambda: exit_probability(network, x, VAR),
            "certificates_of_single_faces": lambda: exit_probability(network, x, VAR, nearest=0),
        }
    else:
        work = {"itssl": lambda: local_affine(network, x).matrix}
        work |= {f"torch_{size}": lambda size=size: _by_torch(network, x, size) for size in (16, 50)}
    seconds = _alternately(work, cell["repetitions"])
    found = {"seconds": seconds, "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
    if cell["part"] == "jacobians":
        found["largest_difference"] = float(np.abs(work["itssl"]() - _by_torch(network, x, 50)).max())
    return found


def _by_torch(network: nn.Module, x: np.ndarray, size: int) -> np.ndarray:
    """Jacobians (n, K, D) by vmap(jacrev), so many points at once."""
    single = vmap(jacrev(lambda row: network(row[None])[0]))
    return torch.cat([single(part).detach() for part in torch.tensor(x).split(size)]).numpy()


def _alternately(work: dict[str, Any], repetitions: int) -> dict[str, dict[str, float]]:
    """Medians over rounds in which each is run once, after a round that does not count."""
    times = {name: [] for name in work}
    for _ in range(repetitions + 1):
        for name, job in work.items():
            start = time.perf_counter(), time.process_time()
            job()
            times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    medians = {name: np.median(found[1:], axis=0) for name, found in times.items()}
    return {name: {"wall": float(wall), "processor": float(own)} for name, (wall, own) in medians.items()}


def _example(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """16 inputs, two layers of 64, σ = 0.03: mean exit probability and its bounds, range over random networks."""
    rows = []
    for seed in range(cell["networks"]):
        network = mlp((16, 64, 64, 8), seed=seed)
        if cell["initialization"] == "torch":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = nn.Sequential(
                    nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)
                ).double()
        x = rng.standard_normal((cell["n"], 16))
        simple = exit_probability(network, x, 0.03**2, nearest=0)
        sharp = exit_probability(network, x, 0.03**2)
        rows.append([b.mean() for b in (simple.lower, sharp.lower, _exits(network, x, rng), sharp.upper, simple.upper)])
    names = ("simple_lower", "lower", "exit", "upper", "simple_upper")
    return {
        name: [float(v) for v in (min(c), np.median(c), max(c))]
        for name, c in zip(names, np.transpose(rows), strict=True)
    }


def _exits(network: nn.Module, x: np.ndarray, rng: np.random.Generator, draws: int = 200) -> np.ndarray:
    from itssl.networks.regions import activation_pattern

    here = activation_pattern(network, x)
    moved = (x[:, None] + 0.03 * rng.standard_normal((len(x), draws, x.shape[1]))).reshape(-1, x.shape[1])
    return (activation_pattern(network, moved).reshape(len(x), draws, -1) != here[:, None]).any(axis=2).mean(axis=1)


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Seconds against the goals: 10 s for all of 1000 points, 1.5 times as fast as torch.func at its better tile."""
    jacobians = {row["network"]: row for row in rows if row["part"] == "jacobians"}
    (certificates,) = (row for row in rows if row["part"] == "certificates")
    spent = certificates["seconds"]
    return {
        "threads": torch.get_num_threads(),
        "jacobians": {
            name: {
                "times_as_fast_as_torch": {
                    clock: min(row["seconds"][f"torch_{size}"][clock] for size in (16, 50))
                    / row["seconds"]["itssl"][clock]
                    for clock in ("wall", "processor")
                },
                "goal": 1.5,
                "milliseconds_a_point": 1e3 * row["seconds"]["itssl"]["processor"] / row["n"],
                "largest_difference": row["largest_difference"],
                "peak_gigabytes": row["peak_gigabytes"],
            }
            for name, row in jacobians.items()
        },
        "certificates": {
            "network": certificates["network"], "points": certificates["n"],
            "seconds": spent,
            "maps_faces_and_certificates_seconds": {
                clock: sum(spent[part][clock] for part in ("maps", "faces", "certificates"))
                for clock in ("wall", "processor")
            },
            "goal_seconds": 10,
            "pairs_cost_times": spent["certificates"]["processor"] / spent["certificates_of_single_faces"]["processor"],
            "peak_gigabytes": certificates["peak_gigabytes"],
        },
        "example": {row["initialization"]: {k: v for k, v in row.items() if isinstance(v, list)}
                    for row in rows if row["part"] == "example"},
    }  # fmt: skip


def draw(rows: list[Cell]) -> Any:
    """Left: milliseconds a point of each Jacobian. Right: seconds of each part of the certificates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    jacobians = [row for row in rows if row["part"] == "jacobians"]
    for i, name in enumerate(("itssl", "torch_16", "torch_50")):
        heights = [1e3 * row["seconds"][name]["processor"] / row["n"] for row in jacobians]
        left.bar(
            np.arange(len(jacobians)) + 0.27 * i, heights, 0.25, label=name.replace("torch_", "vmap(jacrev), tiles of ")
        )
    left.set_xticks(
        np.arange(len(jacobians)) + 0.27, [row["network"].partition(",")[0].replace(" ", "\n") for row in jacobians]
    )
    left.set_ylabel("milliseconds of the processor a point")
    left.legend()
    (certificates,) = (row for row in rows if row["part"] == "certificates")
    names = list(certificates["seconds"])
    right.barh(
        [name.replace("_", " ") for name in names], [certificates["seconds"][name]["processor"] for name in names]
    )
    right.set_xlabel(f"seconds of the processor, {certificates['n']} points, {certificates['network']}")
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
