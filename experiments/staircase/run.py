"""The staircase of correlated Gaussians: what variational bounds read when the information climbs from 2 to 10 nats.

Every training step and every evaluation sees fresh pairs of gaussian_task_with_information(nats, 20) in batches of 64.
One critic is trained by each objective, on through all stairs; beside it the exact log-ratio serves as critic, which
separates what the bound cannot do from what training did not reach.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.runner import Cell, experiment
from itssl.distributions.tasks import Task, gaussian_task_with_information
from itssl.estimators import variational_bounds as bounds
from itssl.estimators.critics import ConditionalGaussian, critic, torch_generator
from itssl.estimators.variational_training import one_thread

STAIRS = (2.0, 4.0, 6.0, 8.0, 10.0)
DIMENSION = 20
BATCH = 64
BLOCK = 50
"""Training steps averaged in one point of the trace."""
OBJECTIVES = {
    "donsker_varadhan": bounds.lower_bound_donsker_varadhan,
    "nwj": bounds.lower_bound_jensen_shannon,  # NWJ of 1 + scores
    "info_nce": bounds.lower_bound_info_nce,
    "jensen_shannon": bounds.jensen_shannon_objective,
}
READINGS = {
    "donsker_varadhan": {"donsker_varadhan": bounds.lower_bound_donsker_varadhan},
    "nwj": {"nwj": bounds.lower_bound_jensen_shannon},
    "info_nce": {"info_nce": bounds.lower_bound_info_nce},
    "jensen_shannon": {
        "jensen_shannon": bounds.lower_bound_jensen_shannon,
        "smile_1": lambda scores: bounds.smile(scores, 1.0),
        "smile_5": lambda scores: bounds.smile(scores, 5.0),
    },
}
TITLES = {
    "info_nce": "InfoNCE", "nwj": "NWJ", "donsker_varadhan": "Donsker–Varadhan", "jensen_shannon": "Jensen–Shannon",
    "smile_1": "SMILE, clip 1", "smile_5": "SMILE, clip 5", "club": "CLUB",
    "barber_agakov": "Barber–Agakov, h(Y) known",
}  # fmt: skip


def cells(quick: bool) -> list[Cell]:
    """One training per objective, one for the conditional density, and the exact critic."""
    size = (
        {"hidden": 32, "steps": 100, "evaluations": 50} if quick else {"hidden": 128, "steps": 3000, "evaluations": 500}
    )
    trained = [{"critic": "trained", "objective": name, **size} for name in (*OBJECTIVES, "likelihood")]
    return [*trained, {"critic": "exact", "evaluations": 200 if quick else 4000}]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Mean and standard deviation of each reading over fresh batches, per stair, and the trace of training."""
    if cell["critic"] == "exact":
        return _table([_readings(_exact_scores(nats), READINGS, nats, cell["evaluations"], rng) for nats in STAIRS])
    with one_thread():
        return _trained(cell, rng)


def _trained(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    likelihood = cell["objective"] == "likelihood"
    network: Any = (
        ConditionalGaussian(DIMENSION, DIMENSION, cell["hidden"], 2)
        if likelihood
        else critic("separable", DIMENSION, DIMENSION, hidden=cell["hidden"], layers=2)
    )
    weights = network.initial(torch_generator(int(rng.integers(2**31)), "staircase")).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=1e-3)
    stairs: list[dict[str, list]] = []
    trace: dict[str, list] = {
        name: [] for name in (["barber_agakov", "club"] if likelihood else READINGS[cell["objective"]])
    }
    for nats in STAIRS:
        task = gaussian_task_with_information(nats, DIMENSION)
        block = {name: [] for name in trace}
        for step in range(cell["steps"]):
            x, y = (torch.from_numpy(z.astype(np.float32)) for z in task.sample(BATCH, rng))
            scores = network.scores(weights, x, y)
            objective = scores.diagonal().mean() if likelihood else OBJECTIVES[cell["objective"]](scores)
            for name, value in _values(scores.detach().double().numpy(), cell["objective"], task).items():
                block[name].append(value)
            optimizer.zero_grad()
            (-objective).backward()
            torch.nn.utils.clip_grad_norm_([weights], 1.0)
            optimizer.step()
            if (step + 1) % BLOCK == 0:
                for name, values in block.items():
                    trace[name].append(float(np.mean(values)))
                    values.clear()

        def scores_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return network.scores(weights.double(), torch.from_numpy(x), torch.from_numpy(y)).numpy()

        drawn = [task.sample(BATCH, rng) for _ in range(cell["evaluations"])]
        values = [_values(scores_of(x, y), cell["objective"], task) for x, y in drawn]
        stairs.append({name: [value[name] for value in values] for name in trace})
    return {**_table(stairs), "trace": trace}


def _values(scores: np.ndarray, objective: str, task: Task) -> dict[str, float]:
    """What is read off one score matrix; for a conditional density the scores are log q(y_j|x_i)."""
    if objective == "likelihood":
        agakov = bounds.lower_bound_barber_agakov(scores.diagonal(), task.y.entropy.value)
        return {"barber_agakov": float(agakov), "club": float(bounds.upper_bound_club(scores))}
    return {name: float(reading(scores)) for name, reading in READINGS[objective].items()}


def _exact_scores(nats: float) -> Any:
    """The log-ratio of all pairs: I − ½(xᵀAx + yᵀBy + 2xᵀCy) with A, B, C from the difference of the precisions."""
    d, joint = DIMENSION, gaussian_task_with_information(nats, DIMENSION).joint
    cov = joint.cov
    precision = np.linalg.inv(cov)
    a, b = precision[:d, :d] - np.linalg.inv(cov[:d, :d]), precision[d:, d:] - np.linalg.inv(cov[d:, d:])

    def scores(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        own = np.einsum("ij,jk,ik->i", x, a, x)[:, None] + np.einsum("ij,jk,ik->i", y, b, y)
        return nats - 0.5 * own - x @ precision[:d, d:] @ y.T

    return scores


def _readings(scores: Any, readings: dict, nats: float, evaluations: int, rng: np.random.Generator) -> dict[str, list]:
    """Every reading of the exact critic on fresh batches."""
    task = gaussian_task_with_information(nats, DIMENSION)
    found: dict[str, list] = {}
    for _ in range(evaluations):
        x, y = task.sample(BATCH, rng)
        matrix = scores(x, y)
        values = {name: v for objective in readings for name, v in _values(matrix, objective, task).items()}
        values |= _values(matrix + task.y.log_density(y), "likelihood", task)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return found


def _table(stairs: list[dict[str, list]]) -> dict[str, Any]:
    """Mean, standard deviation and quantiles over the batches, per reading a list over the stairs."""
    statistics = {
        "mean": np.mean, "sd": lambda v: np.std(v, ddof=1), "median": np.median, "least": np.min, "largest": np.max,
    }  # fmt: skip
    return {
        name: {what: [float(f(stair[name])) for stair in stairs] for what, f in statistics.items()}
        for name in stairs[0]
    }


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """The three statements of the literature, and whether each came out, with the numbers they rest on."""
    trained, exact = _by_critic(rows)
    n = {"trained": rows[0]["evaluations"], "exact": rows[-1]["evaluations"]}
    log_batch = float(np.log(BATCH))
    findings: dict[str, Any] = {"stairs_nats": list(STAIRS), "batch": BATCH, "log_batch": log_batch, "d": DIMENSION}
    for name, table in (("trained", trained), ("exact", exact)):
        nce, nwj = table["info_nce"]["mean"], table["nwj"]["sd"]
        excess = {s: table[s]["mean"][-1] - STAIRS[-1] for s in ("smile_1", "smile_5")}
        error = {s: table[s]["sd"][-1] / n[name] ** 0.5 for s in excess}
        findings[name] = {
            "info_nce_saturates_at_log_batch": max(table["info_nce"]["largest"]) <= log_batch
            and nce[-1] > 0.9 * log_batch and nce[-1] - nce[-2] < 0.2,
            "info_nce_mean": nce,
            "nwj_variance_explodes": nwj[-1] ** 2 > 100 * nwj[0] ** 2,
            "nwj_sd": nwj, "nwj_mean": table["nwj"]["mean"], "nwj_least": table["nwj"]["least"],
            "smile_overshoots_at_10_nats": {s: excess[s] > 4 * error[s] for s in excess},
            "smile_excess_at_10_nats": excess,
            "smile_excess_standard_error": error,
            "table": {bound: {"mean": table[bound]["mean"], "sd": table[bound]["sd"]} for bound in TITLES},
        }  # fmt: skip
    pairs = BATCH * (BATCH - 1)
    findings["exact"]["nwj_sd_in_theory"] = [_nwj_deviation(nats, pairs) for nats in STAIRS]
    findings["exact"]["nwj_median"] = exact["nwj"]["median"]
    findings["exact"]["club_in_theory"] = [DIMENSION * float(np.expm1(2 * nats / DIMENSION)) for nats in STAIRS]
    return findings


def _nwj_deviation(nats: float, pairs: int) -> float:
    """√(Var of the mean positive score + Var r over the pairs), Var r = e^{2I} − 1, Var log r = d ρ²."""
    rho2 = -np.expm1(-2 * nats / DIMENSION)
    return float(np.sqrt(DIMENSION * rho2 / BATCH + np.expm1(2 * nats) / pairs))


def _by_critic(rows: list[Cell]) -> tuple[dict[str, Any], dict[str, Any]]:
    trained = {name: row[name] for row in rows for name in TITLES if row["critic"] == "trained" and name in row}
    return trained, rows[-1]


def draw(rows: list[Cell]) -> Any:
    """One panel a bound: truth, log batch, the trace of training, and mean ± deviation with the exact critic."""
    from matplotlib.figure import Figure

    _, exact = _by_critic(rows)
    traces = {name: row["trace"][name] for row in rows if row["critic"] == "trained" for name in row["trace"]}
    figure = Figure(figsize=(14, 6.5), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True)
    for panel, (name, title) in zip(panels.ravel(), TITLES.items(), strict=True):
        points = len(traces[name]) // len(STAIRS)
        panel.step(np.arange(len(STAIRS) + 1), [*STAIRS, STAIRS[-1]], where="post", color="black", label="truth")
        panel.axhline(np.log(BATCH), color="gray", linestyle=":", label="log batch")
        panel.plot((np.arange(len(traces[name])) + 0.5) / points, traces[name], color="C0", label="trained critic")
        panel.errorbar(
            np.arange(len(STAIRS)) + 0.5, exact[name]["mean"], exact[name]["sd"], fmt="o", color="C1", capsize=3,
            label="exact critic, ± 1 sd of a batch",
        )  # fmt: skip
        panel.set_title(title)
        panel.set_xticks(np.arange(len(STAIRS)) + 0.5, [f"{nats:g}" for nats in STAIRS])
        panel.set_ylim((0, 40) if name == "club" else (-2, 14))
    for panel in panels[1]:
        panel.set_xlabel("information of the stair (nats)")
    for panel in panels[:, 0]:
        panel.set_ylabel("reading (nats)")
    panels[0, 0].legend(loc="upper left", fontsize="small")
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
