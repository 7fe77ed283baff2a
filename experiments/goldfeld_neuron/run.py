"""Does the estimate of I(X; tanh(wX + b) + noise) follow the truth as the neuron saturates? (Goldfeld et al. 2019)"""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import Cell, experiment
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.noise_convolved import noisy_channel_information

INPUTS = np.array([-3.0, -1.0, 1.0, 3.0])
VAR = 0.01
BIASES = {"b = 0": 0.0, "b = -2w": -2.0}
"""b as a multiple of w: two inputs a side, or one of four cut off."""


def cells(quick: bool) -> list[Cell]:
    """The curve against w at many draws, then the error against n at one w for many repetitions."""
    weights = [0.03, 0.3, 3.0] if quick else [round(float(w), 4) for w in np.geomspace(0.01, 10, 31)]
    n = 100_000 if quick else 2_000_000
    curve = [{"part": "curve", "bias": bias, "w": w, "n": n, "repetitions": 1} for bias in BIASES for w in weights]
    counts = [100, 1000] if quick else [30, 100, 300, 1000, 3000, 10_000, 100_000]
    return curve + [
        {"part": "draws", "bias": "b = -2w", "w": 0.3, "n": count, "repetitions": 100 if quick else 400}
        for count in counts
    ]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, float]:
    """Truth by quadrature over the four atoms; mean, spread and stated error of the estimates from n draws of X."""
    w, shift = cell["w"], cell["w"] * BIASES[cell["bias"]]
    truth = information(w, shift)
    found = []
    for _ in range(cell["repetitions"]):
        z = np.tanh(w * rng.choice(INPUTS, size=cell["n"]) + shift)
        found.append(noisy_channel_information(z[:, None], var=VAR))
    values = np.array([f.value for f in found])
    intervals = np.array([f.interval(0.95) for f in found])
    return {
        "truth": truth, "value": float(values.mean()), "error": float(values.mean() - truth),
        "spread": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "stated": float(np.sqrt(np.mean([f.standard_error**2 for f in found]))),
        "coverage": float(np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))),
        "first_order_bias": float(np.mean([f.diagnostics["first_order_bias_nats"] for f in found])),
        "pairwise_lower": float(np.mean([f.diagnostics["pairwise_lower_nats"] for f in found])),
        "pairwise_upper": float(np.mean([f.diagnostics["pairwise_upper_nats"] for f in found])),
    }  # fmt: skip


def information(w: float, shift: float) -> float:
    """h(T) − h(noise) of the mixture of four normals, by quadrature: the truth, from the law and not the estimator."""
    law = GaussianMixture.isotropic(np.tanh(w * INPUTS + shift)[:, None], VAR)
    return law.entropy.value - 0.5 * float(np.log(2 * np.pi * np.e * VAR))


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """The largest error along the curve and its size in stated errors; where the information peaks and ends."""
    curve, draws = ([row for row in rows if row["part"] == part] for part in ("curve", "draws"))
    ends = {}
    for bias in BIASES:
        own = [row for row in curve if row["bias"] == bias]
        peak = max(own, key=lambda row: row["truth"])
        ends[bias] = {"peak_nats": peak["truth"], "peak_w": peak["w"], "last_nats": own[-1]["truth"]}
    return {
        "draws_per_point": curve[0]["n"],
        "largest_error_nats": max(abs(row["error"]) for row in curve),
        "criterion_nats": 1e-3,
        "curve_within_criterion": max(abs(row["error"]) for row in curve) < 1e-3,
        "largest_error_in_stated_errors": max(abs(row["error"]) / max(row["stated"], 1e-12) for row in curve),
        "pairwise_interval_contains_truth": float(
            np.mean([row["pairwise_lower"] - 1e-3 <= row["truth"] <= row["pairwise_upper"] + 1e-3 for row in curve])
        ),
        "widest_pairwise_interval_nats": max(row["pairwise_upper"] - row["pairwise_lower"] for row in curve),
        "curves": ends,
        "bias_at_w_0.3": {str(row["n"]): [row["error"], row["first_order_bias"]] for row in draws},
        "coverage_at_w_0.3": {str(row["n"]): row["coverage"] for row in draws},
    }


def draw(rows: list[Cell]) -> Any:
    """Left: information against w, truth, estimate and pairwise interval. Right: bias and spread against n."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for color, bias in zip(("C0", "C1"), BIASES, strict=True):
        own = [row for row in rows if row["part"] == "curve" and row["bias"] == bias]
        w = [row["w"] for row in own]
        left.fill_between(
            w, [row["pairwise_lower"] for row in own], [row["pairwise_upper"] for row in own], color=color, alpha=0.2
        )
        left.plot(w, [row["truth"] for row in own], color=color, label=f"truth, {bias}")
        left.plot(w, [row["value"] for row in own], "o", color=color, ms=3, label=f"estimate, {bias}")
    for level, name in ((np.log(4), "log 4"), (np.log(2), "log 2")):
        left.axhline(level, color="0.7", lw=0.8)
        left.text(0.011, level + 0.01, name, color="0.5")
    left.set_xscale("log")
    left.set_xlabel("weight w")
    left.set_ylabel("I(X; tanh(wX + b) + N(0, 0.01)), nats")
    left.legend()
    own = [row for row in rows if row["part"] == "draws"]
    n = [row["n"] for row in own]
    right.loglog(n, [-row["error"] for row in own], "o-", label="truth − mean estimate")
    right.loglog(n, [-row["first_order_bias"] for row in own], "k:", label="first-order bias χ²/(2n)")
    right.loglog(n, [row["spread"] for row in own], "s-", label="spread of the estimates")
    right.loglog(n, [row["stated"] for row in own], "k--", label="stated standard error")
    right.set_xlabel("draws n (b = −2w, w = 0.3)")
    right.set_ylabel("nats")
    right.legend()
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
