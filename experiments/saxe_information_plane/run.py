"""Does a layer compress its input during training, or do the bins? After Saxe et al. (2018).

All 4096 inputs in {−1, 1}¹² are equally likely and the network is deterministic: I(X; T) = H(T), which is log 4096 as
long as no two inputs share an activation. What a histogram gives, H(bins of T), is a statement about the bins.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.runner import Cell, experiment
from itssl.estimators.noise_convolved import NoiseConvolved

WIDTHS = (12, 10, 7, 5, 4, 3, 2)
BINS = (10, 30, 100, 1000)
"""Bins over the range of a layer: [−1, 1] for tanh, from 0 to the largest activation of the whole run for ReLU."""
NOISE = 0.02
"""Standard deviation of the noise that gives I(X; T + noise) a meaning, in units of the same range."""
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
LOG_INPUTS = float(np.log(2) * WIDTHS[0])


def cells(quick: bool) -> list[Cell]:
    """Activation and seed."""
    size = {"epochs": 100, "looks": 5, "draws": 256} if quick else {"epochs": 3000, "looks": 24, "draws": 4096}
    return [{"activation": a, "replicate": r, **size} for a in ACTIVATIONS for r in range(1 if quick else 5)]


def task(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All inputs, and whether a random quadratic form exceeds its median."""
    x = 1.0 - 2.0 * ((np.arange(2 ** WIDTHS[0])[:, None] >> np.arange(WIDTHS[0])) & 1)
    form = np.einsum("ni,ij,nj->n", x, rng.normal(size=(WIDTHS[0], WIDTHS[0])), x)
    return x, (form > np.median(form)).astype(np.int64)


def network(activation: str, generator: torch.Generator) -> nn.Sequential:
    """A linear layer and an activation for each width, Glorot's uniform weights; the last layer is linear."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(WIDTHS):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=torch.float64)
        limit = (6 / (fan_in + fan_out)) ** 0.5
        with torch.no_grad():
            layer.weight.uniform_(-limit, limit, generator=generator)
            layer.bias.zero_()
        layers += [layer, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Train by plain stochastic gradient descent and look at every hidden layer at epochs spaced geometrically."""
    x, y = task(rng)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    model = network(cell["activation"], generator)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    rate = 0.05 if cell["activation"] == "tanh" else 0.02
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    epochs = sorted({0, *np.geomspace(1, cell["epochs"], cell["looks"]).round().astype(int).tolist()})
    seen, accuracy = [], []
    for epoch in range(cell["epochs"] + 1):
        if epoch in epochs:
            seen.append(hidden(model, inputs))
            with torch.no_grad():
                accuracy.append(float((model(inputs).argmax(1) == labels).double().mean()))
        for batch in torch.randperm(len(x), generator=generator).split(256):
            loss = nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    looked = [look(layer, cell) for layer in zip(*seen, strict=True)]
    return {"epochs": epochs, "accuracy": accuracy, "layers": looked}


def hidden(model: nn.Sequential, x: torch.Tensor) -> list[np.ndarray]:
    """The activations of all hidden layers."""
    found = []
    with torch.no_grad():
        for layer in model:
            x = layer(x)
            if not isinstance(layer, nn.Linear):
                found.append(x.numpy())
    return found


def look(activations: tuple[np.ndarray, ...], cell: Cell) -> dict[str, Any]:
    """Of one layer over the run, in nats: H(T), H(bins of T) by number of bins, and I(X; T + noise) at few looks."""
    low, high = (-1.0, 1.0) if cell["activation"] == "tanh" else (0.0, max(float(t.max()) for t in activations) or 1.0)
    scaled = [(t - low) / (high - low) for t in activations]
    few = range(0, len(scaled), max(1, len(scaled) // 6))
    return {
        "width": activations[0].shape[1],
        "exact": [discrete_entropy(t) for t in activations],
        "binned": {str(b): [discrete_entropy(np.minimum(np.floor(b * t), b - 1)) for t in scaled] for b in BINS},
        "noisy at": [*few],
        "noisy": [noisy_information(scaled[i], cell["draws"]) for i in few],
    }


def discrete_entropy(rows: np.ndarray) -> float:
    """H of the row of a uniform index: log n less what rows that coincide lose."""
    shares = np.unique(rows, axis=0, return_counts=True)[1] / len(rows)
    return float(-shares @ np.log(shares))


def noisy_information(t: np.ndarray, draws: int) -> float:
    """I(X; T + N) = h(T + N) − h(N), N ~ N(0, NOISE² I): the law of T + N is a mixture around all activations."""
    estimate = NoiseConvolved(var=NOISE**2, draws=draws).entropy(t)
    return estimate.value - t.shape[1] * float(0.5 * np.log(2 * np.pi * np.e * NOISE**2))


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """By activation: accuracy, distinct activations at the end, and the fall from the maximum by layer and bins."""
    findings: dict[str, Any] = {"log of the number of inputs": LOG_INPUTS}
    for activation in ACTIVATIONS:
        runs = [r for r in rows if r["activation"] == activation]
        layers = [[run["layers"][i] for run in runs] for i in range(len(WIDTHS) - 2)]
        findings[activation] = {
            "accuracy at the end": _mean(run["accuracy"][-1] for run in runs),
            "H(T) at the end, by layer": [_mean(run["exact"][-1] for run in layer) for layer in layers],
            "fall of H(bins of T) from its maximum, by layer": {
                str(b): [_mean(_fall(run["binned"][str(b)]) for run in layer) for layer in layers] for b in BINS
            },
            "fall of I(X; T + noise), by layer": [_mean(_fall(run["noisy"]) for run in layer) for layer in layers],
            "runs whose last hidden layer falls by half a nat": {
                str(b): sum(_fall(run["binned"][str(b)]) > 0.5 for run in layers[-1]) for b in BINS
            },
            "runs": len(runs),
        }
    return findings


def _fall(values: list[float]) -> float:
    return max(values) - values[-1]


def _mean(values: Any) -> float:
    return round(float(np.mean([*values])), 4)


def draw(rows: list[Cell]) -> Any:
    """The last hidden layer over training: one panel a activation, one line a number of bins, mean over runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    for axes, activation in zip(figure.subplots(1, 2, sharey=True), ACTIVATIONS, strict=True):
        runs = [r for r in rows if r["activation"] == activation]
        epochs = np.array(runs[0]["epochs"])
        last = [run["layers"][-1] for run in runs]
        for b, style in zip(BINS, (":", "-.", "--", "-"), strict=True):
            values = np.array([run["binned"][str(b)] for run in last])
            axes.plot(epochs + 1, values.mean(0), style, color="C0", label=f"H(T in {b} bins)")
        exact, noisy = np.array([run["exact"] for run in last]), np.array([run["noisy"] for run in last])
        axes.plot(epochs + 1, exact.mean(0), color="black", lw=2, label="H(T) = I(X; T)")
        axes.plot(epochs[last[0]["noisy at"]] + 1, noisy.mean(0), "o-", color="C1", label=f"I(X; T + N(0, {NOISE}²))")
        axes.axhline(LOG_INPUTS, color="gray", lw=0.8)
        axes.set(xscale="log", xlabel="epoch + 1", title=f"{activation}: last hidden layer, mean of {len(runs)} runs")
    figure.axes[0].set_ylabel("nats")
    figure.axes[1].legend(fontsize=8, loc="lower right")
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
