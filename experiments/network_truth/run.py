"""Every estimator behind every network whose output law is known: how far off, and does it say so?"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.network_truth.show import draw, table
from experiments.runner import Cell, experiment
from itssl.arrays import SampleError
from itssl.estimate import Estimate
from itssl.networks.encoders import embed
from itssl.networks.truth_catalogue import TruthNetwork
from itssl.networks.truth_networks import truth_networks

ROWS = 1000
REPLICATES = 10
CRITIC_REPLICATES = 2
CRITICS_BEHIND = (
    "orthogonal-4", "leaky_relu-5", "additive_coupling-6", "affine_coupling-6", "radial-2", "raising_leaky-2-6",
    "saturating-4", "folding-2", "relu-2", "noisy_relu-4",
)  # fmt: skip
"""Trained critics take a second or two each: twice behind one network of each family."""

EXCLUDED = {
    "entropy": {"matrix_renyi": "another quantity"},
    "mutual_information": {
        "matrix_renyi": "another quantity",
        "sliced": "another quantity",
        "ross": "needs labels",
        "pairwise_mixture": "needs the noise of z, and bounds another mixture",
    },
}
"""Methods of the library that do not answer the question, and why."""

BOXES = {"saturating": (-1.0, 1.0), "folding": (0.0, np.inf)}
"""Family → the box that holds Z: where the truncated estimator applies."""


def estimators(net: TruthNetwork, quantity: str, part: str) -> dict[str, Any]:
    """Label → estimator of ``quantity`` that applies to the outputs of the network, trained critics being a part."""
    from itssl import estimators as e

    if part == "critics":
        return {
            "Barber–Agakov": e.BarberAgakov(), "CLUB": e.CLUB(), "Donsker–Varadhan": e.DonskerVaradhan(),
            "InfoNCE": e.InfoNCE(), "Jensen–Shannon": e.JensenShannon(), "NWJ": e.NWJ(), "SMILE": e.SMILE(),
        }  # fmt: skip
    if quantity == "mutual_information":
        return {
            "Gaussian": e.GaussianPlugin(), "Gaussian (OAS)": e.GaussianPlugin(shrinkage="oas"),
            "Gaussian copula": e.GaussianCopula(), "LogDet": e.LogDet(beta=100.0),
            "fitted mixture": e.FittedMixture(), "binning": e.Binning(), "KL, three entropies": e.KozachenkoLeonenko(),
            "KSG": e.KSG(), "mixed KSG": e.MixedKSG(), "LNC": e.LNC(),
        }  # fmt: skip
    chosen = {
        "Gaussian": e.GaussianPlugin(), "Gaussian (OAS)": e.GaussianPlugin(shrinkage="oas"),
        "LogDet": e.LogDet(beta=100.0), "fitted mixture": e.FittedMixture(), "binning": e.Binning(),
        "Kozachenko–Leonenko": e.KozachenkoLeonenko(), "weighted kNN": e.WeightedKozachenkoLeonenko(),
        "extrapolated kNN": e.ExtrapolatedKozachenkoLeonenko(), "Hausdorff kNN": e.HausdorffEntropy(),
    }  # fmt: skip
    if net.family in BOXES:
        low, high = BOXES[net.family]
        chosen["truncated kNN"] = e.TruncatedKozachenkoLeonenko(lower=low, upper=high)
    if net.noise_std:
        var = net.noise_std**2
        chosen |= {
            "noise-convolved": e.NoiseConvolved(var=var), "pairwise lower": e.PairwiseMixture(var=var),
            "pairwise upper": e.PairwiseMixture(var=var, bound="upper"),
        }  # fmt: skip
    return chosen


SEES_THE_SIGNAL = ("noise-convolved", "pairwise lower", "pairwise upper")
"""These are given f(X) before the noise, and the variance of the noise."""


def cells(quick: bool) -> list[Cell]:
    """One cell per network, quantity and part, in which all estimators see the same draws; critics come last."""
    names = ["folding-2", "noisy_relu-1"] if quick else list(truth_networks())
    informed = [name for name in names if truth_networks()[name].known_information is not None]
    kinds = [("entropy", "plain", names), ("mutual_information", "plain", informed)]
    kinds += [] if quick else [("mutual_information", "critics", list(CRITICS_BEHIND))]
    return [
        {"network": name, "quantity": quantity, "part": part, "quick": quick}
        for quantity, part, group in kinds
        for name in group
    ]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Bias, root mean square error, coverage, warnings and verdicts of each estimator over replicates."""
    net, quantity, quick = truth_networks()[cell["network"]], cell["quantity"], cell["quick"]
    replicates = 2 if quick else CRITIC_REPLICATES if cell["part"] == "critics" else REPLICATES
    truth = net.entropy if quantity == "entropy" else net.mutual_information
    assert truth is not None
    data, signals = [], []
    for _ in range(replicates):
        signals.append((embed(net.network, net.law.sample(ROWS, rng)),))
        data.append((net.sample(ROWS, rng),) if quantity == "entropy" else net.sample_task(ROWS, rng))
    measured = {}
    for label, estimator in estimators(net, quantity, cell["part"]).items():
        seen = signals if label in SEES_THE_SIGNAL else data
        target = net.hausdorff_entropy or truth if label == "Hausdorff kNN" else truth
        measured[label] = score(getattr(estimator, quantity), seen, target.value)
    surface = net.hausdorff_entropy.value if quantity == "entropy" and net.hausdorff_entropy else None
    return {
        "family": net.family, "d_in": net.d_in, "d_out": net.d_out, "hard_for": net.hard_for,
        "truth": _plain(truth.value), "truth_error": truth.standard_error, "on_its_surface": surface,
        "estimators": measured,
    }  # fmt: skip


def score(ask: Any, data: list[tuple], truth: float) -> dict[str, Any]:
    """What the estimator did over the data: its error, and how many of its answers were what (see :func:`verdict`)."""
    start, found, refusals = time.perf_counter(), [], []
    for samples in data:
        try:
            found.append(ask(*samples))
        except SampleError as refusal:
            refusals.append(str(refusal))
    verdicts = [verdict(estimate, truth) for estimate in found] + ["refused"] * len(refusals)
    counts = {"replicates": len(data), "shares": {v: verdicts.count(v) / len(data) for v in VERDICTS}}
    if not found:
        return counts | {"refusal": refusals[0]}
    values = np.array([estimate.value for estimate in found])
    finite = np.isfinite(values).all() and np.isfinite(truth)
    error = values - truth if finite else np.full(len(values), np.nan)
    covers = [low <= truth <= high for low, high in (estimate.interval() for estimate in found)]
    return counts | {
        "mean": _plain(float(values.mean())),
        "bias": float(error.mean()) if finite else None,
        "root_mean_square_error": float(np.sqrt((error**2).mean())) if finite else None,
        "covered": float(np.mean(covers)), "direction": found[0].bias.value,
        "warnings": sorted(set().union(*map(_codes, found))),
        "warned": float(np.mean([bool(_codes(estimate)) for estimate in found])),
        "seconds": (time.perf_counter() - start) / len(data),
    }  # fmt: skip


VERDICTS = ("right", "as stated", "warned", "silent", "refused")


def verdict(estimate: Estimate, truth: float) -> str:
    """What an answer is worth.

    - right: its 95 % interval holds the truth, or it misses by less than 3 standard errors and 20 % (without a
      standard error: by less than 20 % or 0.05 nats); for an infinite truth, that very value;
    - as stated: off, but on the side of the truth that its stated direction says;
    - warned: off, and it carries a warning (``no_error_bar`` does not count);
    - silent: off, and nothing says so.
    """
    error = estimate.value - truth
    if not np.isfinite(truth):
        off = estimate.value != truth
    elif np.isnan(estimate.standard_error):
        off = abs(error) > max(0.05, 0.2 * abs(truth))
    else:
        low, high = estimate.interval()
        off = not low <= truth <= high and abs(error) > min(3 * estimate.standard_error, 0.2 * abs(truth))
    if not off:
        return "right"
    if {"lower": error < 0, "upper": error > 0}.get(estimate.bias.value, False):
        return "as stated"
    return "warned" if _codes(estimate) else "silent"


def _codes(estimate: Estimate) -> set[str]:
    return {warning.code for warning in estimate.warnings} - {"no_error_bar"}


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """The table of the README; for each estimator the networks behind which most of its answers are silently off."""
    silent: dict[str, dict[str, list[str]]] = {"entropy": {}, "mutual_information": {}}
    for row in rows:
        for label, m in row["estimators"].items():
            silent[row["quantity"]].setdefault(label, [])
            if m["shares"]["silent"] > 0.5:
                silent[row["quantity"]][label].append(row["network"])
    return {"table": table(rows), "silently off behind": silent}


def _plain(value: float) -> float | str:
    return value if np.isfinite(value) else str(value)


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
