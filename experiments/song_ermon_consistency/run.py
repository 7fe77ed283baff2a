"""Are estimates of mutual information consistent with themselves? The tests of Song & Ermon (2020), on digits.

X is a picture with noise, Y the first rows of another noisy copy. More rows tell no less (monotone); a part of Y shown
twice adds nothing (data processing); two independent pictures have twice the information of one (additive). No truth is
needed.
"""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import Cell, experiment
from itssl.estimators.error_bars import value_only
from itssl.estimators.methods import estimator as named_estimator
from itssl.networks.datasets import digits

SIDE = 8
NOISE = 0.1
"""Standard deviation of the noise, in units of a pixel's range: with it every information is finite."""
METHODS: dict[str, dict[str, Any]] = {
    "ksg": {}, "gaussian_plugin": {"shrinkage": "oas"}, "gaussian_copula": {}, "info_nce": {}, "nwj": {}, "smile": {},
}  # fmt: skip
TITLES = {
    "ksg": "KSG", "gaussian_plugin": "Gaussian (OAS)", "gaussian_copula": "Gaussian copula", "info_nce": "InfoNCE",
    "nwj": "NWJ", "smile": "SMILE",
}  # fmt: skip
SHOWN = (1, 2, 4, 6, 8)
"""Rows of the picture in Y."""
LESS = 3
"""Rows by which the part that is shown twice is smaller."""


def cells(quick: bool) -> list[Cell]:
    """Method and replicate."""
    names = ["ksg", "gaussian_plugin"] if quick else list(METHODS)
    return [{"method": m, "n": 300 if quick else 880, "replicate": r} for m in names for r in range(1 if quick else 4)]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """The informations that the three tests compare, in nats."""
    data = digits()
    pictures = rng.permutation(np.concatenate([data.train_x, data.test_x]).reshape(-1, SIDE**2))
    n = cell["n"]
    x = pictures + NOISE * rng.normal(size=pictures.shape)
    y = (pictures + NOISE * rng.normal(size=pictures.shape)).reshape(-1, SIDE, SIDE)

    def seen(rows: int) -> np.ndarray:
        return y[:, :rows].reshape(len(y), -1)

    def information(a: np.ndarray, b: np.ndarray) -> float:
        with value_only():
            method = named_estimator(cell["method"], "mutual_information", **METHODS[cell["method"]])
            return method.mutual_information(a, b).value

    def both(part: np.ndarray) -> np.ndarray:
        return np.hstack([part[:n], part[n : 2 * n]])  # two independent pictures

    twice = {t: np.hstack([seen(t), seen(t - LESS)]) for t in SHOWN if t > LESS}
    return {
        "one": {str(t): information(x[:n], seen(t)[:n]) for t in SHOWN},
        "part shown twice": {str(t): information(x[:n], shown[:n]) for t, shown in twice.items()},
        "two": {str(t): information(both(x), both(seen(t))) for t in SHOWN},
    }


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """By method: the curve, and the ratios that should be 1 and 2."""
    findings: dict[str, Any] = {}
    for method in dict.fromkeys(r["method"] for r in rows):
        curve = _mean(rows, method, "one")
        findings[TITLES[method]] = {
            "I by rows shown": curve,
            "monotone": bool(np.all(np.diff(list(curve.values())) >= 0)),
            "data processing, 1 is right": _ratio(rows, method, "part shown twice"),
            "additive, 2 is right": _ratio(rows, method, "two"),
        }
    return findings


def _mean(rows: list[Cell], method: str, what: str) -> dict[str, float]:
    mine = [r[what] for r in rows if r["method"] == method]
    return {t: round(float(np.mean([values[t] for values in mine])), 3) for t in mine[0]}


def _ratio(rows: list[Cell], method: str, what: str) -> dict[str, float]:
    one, other = _mean(rows, method, "one"), _mean(rows, method, what)
    return {t: round(value / one[t], 3) for t, value in other.items()}


def draw(rows: list[Cell]) -> Any:
    """Three panels: the curve, and both ratios, by rows shown."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    for method, marker in zip(dict.fromkeys(r["method"] for r in rows), "osd^vx", strict=False):
        curves = _mean(rows, method, "one"), _ratio(rows, method, "part shown twice"), _ratio(rows, method, "two")
        for axes, curve in zip(panels, curves, strict=True):
            axes.plot([int(t) for t in curve], list(curve.values()), f"{marker}-", label=TITLES[method])
    panels[0].set(ylabel="I (nats)", title="more rows tell no less")
    panels[1].set(ylabel="ratio", title="a part shown twice adds nothing (1)")
    panels[2].set(ylabel="ratio", title="two pictures have twice as much (2)", ylim=(0, 4))
    for axes, goal in zip(panels[1:], (1, 2), strict=True):
        axes.axhline(goal, color="gray", lw=0.8)
    for axes in panels:
        axes.set_xlabel("rows shown")
    panels[0].legend(fontsize=8)
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
