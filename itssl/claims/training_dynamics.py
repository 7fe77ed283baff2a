"""What is measured along a training run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from itssl.claims.claim import World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import digits_data, train_on_digits, untrained_digits_encoder
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.evaluation.probes import few_shot_probe
from itssl.evaluation.spectrum import effective_rank
from itssl.kernels.linalg import LOG_2PI, covariance
from itssl.objectives.contrastive import infonce_terms
from itssl.objectives.vicreg import vicreg_terms

if TYPE_CHECKING:
    import itssl.networks.training

SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class DigitsTraining:
    """VICReg on digits, observed every epoch on two views of the held-out images; each replicate is a new seed."""

    temperature: float = 0.1


@claim(
    "C28",
    kind="finding",
    relation=Relation.AT_MOST,
    margin=0.0,
    reference=SHWARTZ_ZIV_2023,
    formula=r"\rho_S\left(L_{\mathrm{VICReg}}, I(Z; Z')\right) \le -0.9",
    uses=("C27", "C37"),
    worlds=(World(name="VICReg (reference, 25/25/1) on digits, 3 seeds", make=DigitsTraining),),
    first_look=SEEDS,
    max_replicates=SEEDS,
)
def loss_falls_as_information_rises(world: DigitsTraining, rng: np.random.Generator) -> Sides:
    r"""Along a VICReg run the held-out loss falls as information between held-out views rises: Spearman ≤ −0.9.

    Information is measured twice: by the InfoNCE bound with the cosine critic on embeddings centered by the training
    mean (VICReg does not see the mean, cosine would), and by the Gaussian plug-in (canonical correlations).
    Three seeds decide only when they agree closely (Student's t with 2 degrees of freedom: 45 standard errors).
    Beside it, not judged: the same InfoNCE without centering, the literal bound Gaussian h + E log N(z; z', I), the
    effective rank and the 10-shot accuracy before and after training.
    """
    run = _observed_run(int(rng.integers(2**31)), world.temperature)
    seen = run.evaluations
    ends = {"before": 0, "after": -1}
    measured = {f"{name}, {when}": float(seen[name][at]) for name in seen for when, at in ends.items()}
    for name in ("InfoNCE, not centered", "literal bound"):
        measured[f"Spearman(loss, {name})"] = _spearman(seen["loss"], seen[name])
    before = untrained_digits_encoder(run.seed)
    measured |= {"10-shot accuracy, before": _ten_shot(before), "10-shot accuracy, after": _ten_shot(run.encoder)}
    return _sides(_correlations(seen["loss"], seen), measured)


@loss_falls_as_information_rises.control("epochs in random order")
def _(world: DigitsTraining, rng: np.random.Generator) -> Sides:
    seen = _observed_run(int(rng.integers(2**31)), world.temperature).evaluations
    shuffled = [_correlations(rng.permutation(seen["loss"]), seen) for _ in range(200)]
    return _sides(np.mean(shuffled, axis=0))


@loss_falls_as_information_rises.control("loss with its sign reversed")
def _(world: DigitsTraining, rng: np.random.Generator) -> Sides:
    seen = _observed_run(int(rng.integers(2**31)), world.temperature).evaluations
    return _sides(_correlations(-seen["loss"], seen))


_PARTS = ("Spearman(loss, InfoNCE)", "Spearman(loss, Gaussian information)")


def _sides(correlations: Float[np.ndarray, " 2"], measured: Mapping[str, float] | None = None) -> Sides:
    left = tuple(float(c) for c in correlations)
    return Sides(left=left, right=(-0.9, -0.9), parts=_PARTS, measured=measured or {})


def _correlations(loss: Float[np.ndarray, " t"], seen: Mapping[str, np.ndarray]) -> Float[np.ndarray, " 2"]:
    return np.array([_spearman(loss, seen[name]) for name in ("InfoNCE", "Gaussian information")])


def _spearman(a: Float[np.ndarray, " t"], b: Float[np.ndarray, " t"]) -> float:
    """Rank correlation: Pearson's of the ranks."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


@lru_cache(maxsize=2 * SEEDS)
def _observed_run(seed: int, temperature: float) -> "itssl.networks.training.TrainingRun":
    """A training run with every quantity of interest observed by epoch."""
    import torch

    from itssl.networks.encoders import embed, torch_generator
    from itssl.networks.views import AffineViews

    data = digits_data()
    held_out = AffineViews()(torch.tensor(data.test_x), torch_generator(seed, "held-out views"))
    view_a, view_b = (view.numpy() for view in held_out)

    def observe(network: torch.nn.Module) -> dict[str, float]:
        z_a, z_b = embed(network, view_a), embed(network, view_b)
        center = embed(network, data.train_x).mean(axis=0)
        cross = -0.5 * (z_a.shape[1] * LOG_2PI + float(((z_a - z_b) ** 2).sum(axis=1).mean()))
        return {
            "loss": float(vicreg_terms(z_a, z_b, normalization="reference").total()),
            "InfoNCE": float(infonce_terms(z_a - center, z_b - center, temperature=temperature).bound.value),
            "InfoNCE, not centered": float(infonce_terms(z_a, z_b, temperature=temperature).bound.value),
            "Gaussian information": GaussianPlugin().mutual_information(z_a, z_b).value,
            "literal bound": GaussianPlugin().entropy(z_a).value + cross,
            "effective rank": effective_rank(covariance(z_a)),
        }

    return train_on_digits("VICReg", seed, observe)


def _ten_shot(network: Any) -> float:
    """10-shot accuracy of the representation (before the projector) on held-out digits."""
    from itssl.networks.encoders import embed

    data, encoder = digits_data(), network.get_submodule("encoder")
    return few_shot_probe(embed(encoder, data.train_x), data.train_y, embed(encoder, data.test_x), data.test_y)
