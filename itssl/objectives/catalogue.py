"""The objectives that the comparisons train, by name, with every setting visible."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import nn

from itssl.objectives.contrastive import infonce_terms, nt_xent_terms, spectral_contrastive_terms
from itssl.objectives.entropy_regularized import (
    byol_logdet_terms,
    byol_pairdist_terms,
    corinfomax_terms,
    invariance_logdet_terms,
    invariance_pairdist_terms,
    mec_terms,
    vicreg_logdet_terms,
    vicreg_pairdist_terms,
)
from itssl.objectives.redundancy import barlow_twins_terms, wmse_terms
from itssl.objectives.target_network import BYOL
from itssl.objectives.terms import Objective, minimize
from itssl.objectives.vicreg import Normalization, vicreg_terms

if TYPE_CHECKING:
    Objectives = Mapping[str, Objective | BYOL]
else:
    Objectives = Mapping


def objectives(
    predictor: nn.Module,
    *,
    d: int,
    normalization: Normalization = "reference",
    temperature: float = 0.1,
    noise_var: float = 1.0,
    residual_var: float = 1.0,
    entropy_weight: float = 1.0,
    decay: float = 0.99,
) -> Objectives:
    """Every objective of the package as something ``train`` minimizes, with the weights of the cited sources.

    Parameters
    ----------
    predictor: untrained, (n, d) to (n, d); for BYOL and its kin.
    d: dimension of the embeddings. W-MSE whitens groups of 2d rows; MEC's distortion is √d, the smallest at which the
        spectral radius in its power series never exceeds 1.
    normalization: of VICReg, weights 25, 25, 1.
    temperature: of InfoNCE and NT-Xent.
    noise_var: variance per direction of the noise of all entropies: 1/β of LogDet, σ² of PairDist, ε of CorInfoMax.
    residual_var: of q(z | z') where the invariance is a cross-entropy.
    entropy_weight: of an entropy (in nats) that is added to VICReg or BYOL.
    decay: of BYOL's target.

    >>> list(objectives(nn.Identity(), d=64))[:5]
    ['VICReg', 'VICReg + LogDet', 'VICReg + PairDist', 'BYOL', 'BYOL + LogDet']
    """
    beta, entropy = 1 / noise_var, {"entropy": entropy_weight}

    def byol(**options: object) -> BYOL:
        return BYOL(predictor, decay, **options)  # pyright: ignore[reportArgumentType]

    return MappingProxyType(
        {
            "VICReg": minimize(vicreg_terms, normalization=normalization),
            "VICReg + LogDet": minimize(vicreg_logdet_terms, weights=entropy, normalization=normalization, beta=beta),
            "VICReg + PairDist": minimize(
                vicreg_pairdist_terms, weights=entropy, normalization=normalization, noise_var=noise_var
            ),
            "BYOL": byol(),
            "BYOL + LogDet": byol(function=byol_logdet_terms, options={"beta": beta}, weights=entropy),
            "BYOL + PairDist": byol(function=byol_pairdist_terms, options={"noise_var": noise_var}, weights=entropy),
            "invariance + LogDet": minimize(invariance_logdet_terms, beta=beta, residual_var=residual_var),
            "invariance + PairDist": minimize(
                invariance_pairdist_terms, noise_var=noise_var, residual_var=residual_var
            ),
            "InfoNCE": minimize(infonce_terms, temperature=temperature),
            "SimCLR": minimize(nt_xent_terms, temperature=temperature),
            "Barlow Twins": minimize(barlow_twins_terms),
            "W-MSE": minimize(wmse_terms, group=2 * d),
            "spectral contrastive": minimize(spectral_contrastive_terms),
            "CorInfoMax": minimize(corinfomax_terms, eps=noise_var),
            "MEC": minimize(mec_terms, distortion=d**0.5),
        }
    )
