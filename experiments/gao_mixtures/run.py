"""Discrete-continuous mixtures: after Gao, Kannan, Oh & Viswanath (2017), with the zero-inflated truth corrected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import quad
from scipy.special import gammaln

import itssl
from experiments.runner import Cell, experiment
from itssl.estimators.error_bars import value_only
from itssl.estimators.methods import estimator as named_estimator

SHARED = 0.9
AGREE = 0.4
ESTIMATORS = {"mixed_ksg": "mixed KSG", "ksg": "KSG", "binning": "binning"}
SIZES = (250, 500, 1000, 2000, 4000)
P = 0.15


class Question(NamedTuple):
    """A law of pairs and its information in nats; ``printed`` is what the literature prints, where it differs."""

    draw: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
    truth: float
    printed: float | None = None


def gaussian_or_discrete(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Half normal pairs of correlation 0.9; half pairs of ±1 that agree with probability 0.8."""
    z = rng.normal(size=(n, 2)) @ np.linalg.cholesky([[1, SHARED], [SHARED, 1]]).T
    sign = rng.choice([-1.0, 1.0], size=n)
    signs = np.column_stack([sign, np.where(rng.random(n) < 2 * AGREE, sign, -sign)])
    return tuple(np.where(rng.random((n, 1)) < 0.5, signs, z).T[:, :, None])


def two_couples(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """X = (X₁, X₂), Y = (Y₁, Y₂): the first couple is that of discrete_uniform-5, the second zero-inflated counts."""
    first = itssl.tasks()["discrete_uniform-5"].sample(n, rng)
    second = itssl.tasks()[f"zero_inflated_poisson-{P}"].sample(n, rng)
    return tuple(np.hstack(pair) for pair in zip(first, second, strict=True))


def questions() -> dict[str, Question]:
    """By name. A normal or discrete pair tells which it is: log 2, and half the information of either."""
    tasks = itssl.tasks()
    discrete = 2 * AGREE * np.log(2 * AGREE) + (1 - 2 * AGREE) * np.log(1 - 2 * AGREE) + np.log(2)
    counts, steps = tasks[f"zero_inflated_poisson-{P}"], tasks["discrete_uniform-5"]
    none = tasks["zero_inflated_poisson-0.0"].mutual_information.value
    return {
        "steps + uniform noise": Question(steps.sample, steps.mutual_information.value),
        "normal or discrete pairs": Question(
            gaussian_or_discrete, float(np.log(2) + 0.5 * discrete - 0.25 * np.log1p(-(SHARED**2)))
        ),
        "zero-inflated counts": Question(counts.sample, counts.mutual_information.value, (1 - P) * none),
        "steps and counts": Question(
            two_couples, steps.mutual_information.value + counts.mutual_information.value,
            steps.mutual_information.value + (1 - P) * none,
        ),
    }  # fmt: skip


def cells(quick: bool) -> list[Cell]:
    """Question, size and replicate."""
    sizes, replicates = (SIZES[1:3], 3) if quick else (SIZES, 50)
    return [{"question": q, "n": n, "replicate": r} for q in questions() for n in sizes for r in range(replicates)]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """All estimators on the same rows, in nats."""
    x, y = questions()[cell["question"]].draw(cell["n"], rng)
    with value_only():
        return {name: named_estimator(name, "mutual_information").mutual_information(x, y).value for name in ESTIMATORS}


def zero_inflated_by_quadrature(p: float) -> float:
    """I of the zero-inflated counts from its definition: Σ_y ∫ e^{−x} p(y|x) log p(y|x)/p(y) dx, for comparison."""
    marginal = {0: p + (1 - p) / 2, **{y: (1 - p) * 0.5 ** (y + 1) for y in range(1, 60)}}

    def integrand(x: float) -> float:
        total = 0.0
        for y, of_y in marginal.items():
            given = (1 - p) * np.exp(y * np.log(x) - x - gammaln(y + 1)) + (p if y == 0 else 0.0)
            total += given * np.log(given / of_y) if given > 0 else 0.0
        return float(np.exp(-x) * total)

    return sum(quad(integrand, a, b, limit=200)[0] for a, b in ((0, 1), (1, 5), (5, 40)))


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Mean error and deviation by size; the zero-inflated truth three ways."""
    exact = {name: question.truth for name, question in questions().items()}
    printed = {name: question.printed for name, question in questions().items() if question.printed}
    findings: dict[str, Any] = {
        "truth": exact, "printed": printed,
        "zero-inflated counts by quadrature": zero_inflated_by_quadrature(P),
    }  # fmt: skip
    for q in exact:
        for name, title in ESTIMATORS.items():
            values = {n: [r[name] for r in rows if (r["question"], r["n"]) == (q, n)] for n in _sizes(rows)}
            findings[f"{q}, {title}"] = {
                str(n): [round(float(np.mean(v)) - exact[q], 4), round(float(np.std(v, ddof=1)), 4)]
                for n, v in values.items()
            }
    return findings


def _sizes(rows: list[Cell]) -> list[int]:
    return sorted({row["n"] for row in rows})


def draw(rows: list[Cell]) -> Any:
    """One panel a question: mean and deviation against n, the truth, and what is printed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 3.6), layout="constrained")
    asked = questions()
    for axes, (q, question) in zip(figure.subplots(1, len(asked)), asked.items(), strict=True):
        for shift, ((name, title), marker) in enumerate(zip(ESTIMATORS.items(), "os^", strict=True)):
            values = [[r[name] for r in rows if (r["question"], r["n"]) == (q, n)] for n in _sizes(rows)]
            at = np.array(_sizes(rows)) * (1 + 0.05 * (shift - 1))
            axes.errorbar(at, [np.mean(v) for v in values], [np.std(v) for v in values], fmt=f"{marker}--", ms=5,
                          capsize=2, label=title)  # fmt: skip
        axes.axhline(question.truth, color="black", label="truth")
        if question.printed:
            axes.axhline(question.printed, color="gray", linestyle=":", label="as printed")
        axes.set(xscale="log", xlabel="n", title=q)
        axes.set_xticks(_sizes(rows), [str(n) for n in _sizes(rows)])
        axes.minorticks_off()
    figure.axes[0].set_ylabel("I(X; Y) (nats)")
    figure.axes[2].legend(fontsize=8)
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
