"""Cost and memory against the number of rows."""

from typing import Any

from experiments.benchmarks.goals import series
from experiments.benchmarks.ours import VALUE
from experiments.benchmarks.rounds import exponent
from experiments.benchmarks.workloads import Cell

COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7")


def draw(rows: list[Cell]) -> Any:
    """Left: seconds of a call against N with the fitted exponents. Right: memory over the data of itssl's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    lines = series(rows)
    colors = dict(zip(dict.fromkeys(name for name, _ in lines), COLORS * len(lines), strict=False))
    for (name, method), line in lines.items():
        sizes, own = [e["n"] for e in line], method == VALUE
        costs = [e["seconds"] for e in line]
        label = f"{name}: {method}, N^{exponent(sizes, costs):.2f}"
        style = {"color": colors[name], "linestyle": "-" if own else ":", "marker": "o" if own else "s"}
        left.loglog(sizes, costs, label=label, **style)
        held = [(e["n"], e["bytes"] / 2**20) for e in line if e.get("bytes")]
        if held and own:
            right.loglog(*zip(*held, strict=True), label=name, **style)
    left.set_ylabel("seconds of a call, one thread")
    right.set_ylabel("memory of a call over the data, MiB")
    for axes in (left, right):
        axes.set_xlabel("N")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0, 1))
    return figure
