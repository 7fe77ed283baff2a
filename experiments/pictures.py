"""The pictures of the README: `python -m experiments.pictures` draws them anew (a minute: an encoder is trained)."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "pictures"


def floors() -> list[list[str]]:
    """The packages by floor, the lowest first, as the linter of imports is told; without the front of the front."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [
        [name.strip() for name in layer.replace(":", "|").split("|")]
        for layer in reversed(layers)
        if layer != "__main__"
    ]


def house() -> Any:
    """The floors as rows of boxes; an import goes to a lower row only."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    rows = floors()
    figure = Figure(figsize=(9, 0.62 * len(rows) + 0.4), layout="constrained")
    axes = figure.add_subplot()
    for floor, names in enumerate(rows):
        width = 10 / len(names)
        for i, name in enumerate(names):
            corner, size = (i * width + 0.08, floor + 0.05), (width - 0.16, 0.7)
            box = FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.12", fc="#DDE6ED", ec="#0072B2")
            axes.add_patch(box)
            axes.text(corner[0] + size[0] / 2, floor + 0.4, name, ha="center", va="center", family="monospace")
    axes.annotate("", (10.4, 0.1), (10.4, len(rows) - 0.2), arrowprops={"arrowstyle": "->", "color": "0.4"})
    axes.text(10.55, len(rows) / 2, "imports", rotation=270, va="center", color="0.4")
    axes.set(xlim=(-0.1, 11), ylim=(-0.1, len(rows)))
    axes.set_axis_off()
    return figure


def chain() -> Any:
    """The waterfall from log N to VICReg's loss, before and after training."""
    from itssl.claims.chain import measure_chain
    from itssl.reports import waterfall_figure

    return waterfall_figure(measure_chain())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for draw in (house, chain):
        draw().savefig(FOLDER / f"{draw.__name__}.png", dpi=110, bbox_inches="tight")
