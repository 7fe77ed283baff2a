"""What each estimator and objective of itssl promises the conformance suite, and how it is made for it: the one table.

All estimators take tensors and DataFrames, and compute in double precision. Configurations are small where the time of
a call depends on them, and a promise does not. After a comma the name of a method may say which configuration of it is
meant.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from objective_twins import EVERY

from itssl import estimators
from itssl.arrays import as_samples
from itssl.networks.encoders import mlp
from itssl.objectives import BYOL
from itssl.objectives.catalogue import objectives
from itssl.testing import from_target_network


@dataclass(frozen=True)
class Declaration:
    """An estimator, its promises, and the names of checks that no promise tells what is right there."""

    estimator: Any
    promises: dict[str, Any]
    left_out: tuple[str, ...] = ()


KINDS_OF_ARRAYS = ("accepts_tensors", "accepts_frames", "promotes")


def declared(estimator, *, left_out=(), **promises):
    return Declaration(estimator, dict.fromkeys(KINDS_OF_ARRAYS, True) | promises, left_out)


def upper_half(x, y):
    """Ross' estimator of labels: on which side of its median the last column of y lies."""
    last = as_samples(y, name="y")[:, -1]
    return estimators.Ross().mutual_information(as_samples(x), (last > np.median(last)).astype(int))


def on_all_of_space(x):
    return estimators.HausdorffEntropy(dimension=x.shape[1]).entropy(x)


def trained(kind, **promises):
    """Weights at the start have signs, so that a mirrored sample is another one; steps make no promise better.

    Of 50 rows, the fewest in the suite, the 16 that must be held out are.
    """
    made = kind(steps=2, batch=16, hidden=4, held_out=0.33)
    return declared(made, scale_invariant=False, **OWN_UNITS | promises)


OWN_UNITS = {"marginal_invariant": True}
UNITS_APART = {"apart_invariant": True}
RIGID = {"rotation_invariant": True}
MODEL = {"symmetric": False}
"""A model or a critic of y given x."""
IN_ITS_UNITS = {"scale_invariant": False}
"""Configured by a variance or a box in the units of x."""

ENTROPY = {
    "binning": declared(estimators.Binning(), **OWN_UNITS),
    "extrapolated_kozachenko_leonenko": declared(estimators.ExtrapolatedKozachenkoLeonenko(), **OWN_UNITS, **RIGID),
    "fitted_mixture": declared(estimators.FittedMixture(components=1), **OWN_UNITS, **RIGID),
    "gaussian_plugin": declared(estimators.GaussianPlugin(), family="gaussian", **OWN_UNITS, **RIGID),
    # few rows do not tell the dimension, which it then refuses to guess
    "hausdorff_entropy": declared(on_all_of_space, **RIGID),
    "kozachenko_leonenko": declared(
        estimators.KozachenkoLeonenko(), with_k=lambda k: estimators.KozachenkoLeonenko(k=k), **RIGID
    ),
    "log_det": declared(estimators.LogDet(beta=10.0), family="gaussian", **RIGID),
    # not Shannon's: unchanged by a common factor, see `test_invariances`
    "matrix_renyi": declared(estimators.MatrixRenyi(), scale_invariant=False, **RIGID),
    # h(X + N), finite where X has atoms, by draws that are not rotated with the rows
    "noise_convolved": declared(
        estimators.NoiseConvolved(var=1.0, draws=256), left_out=("constant_column", "atom"), **IN_ITS_UNITS
    ),
    "pairwise_mixture": declared(estimators.PairwiseMixture(var=1.0), **IN_ITS_UNITS, **RIGID),
    "truncated_kozachenko_leonenko": declared(
        estimators.TruncatedKozachenkoLeonenko(lower=-40.0, upper=40.0), translation_invariant=False, **IN_ITS_UNITS
    ),
    "weighted_kozachenko_leonenko": declared(estimators.WeightedKozachenkoLeonenko(), **OWN_UNITS, **RIGID),
}  # fmt: skip
INFORMATION = {
    "barber_agakov": trained(estimators.BarberAgakov, marginal_invariant=False, **UNITS_APART, **MODEL),
    "binning": declared(estimators.Binning(), **OWN_UNITS),
    "club": trained(estimators.CLUB, **MODEL),
    "donsker_varadhan": trained(estimators.DonskerVaradhan, **MODEL),
    # 16 columns have more parameters than the rows of the suite
    "fitted_mixture": declared(estimators.FittedMixture(components=1), max_dim=2, **OWN_UNITS),
    "gaussian_copula": declared(estimators.GaussianCopula(), **OWN_UNITS),
    "gaussian_plugin": declared(estimators.GaussianPlugin(), family="gaussian", **OWN_UNITS),
    "info_nce": trained(estimators.InfoNCE, **MODEL),
    "jensen_shannon": trained(estimators.JensenShannon, **MODEL),
    "kozachenko_leonenko": declared(
        estimators.KozachenkoLeonenko(), with_k=lambda k: estimators.KozachenkoLeonenko(k=k), **OWN_UNITS
    ),
    "ksg": declared(estimators.KSG(), with_k=lambda k: estimators.KSG(k=k), **OWN_UNITS),
    # fewer columns than k = 5 neighbors
    "lnc": declared(estimators.LNC(), max_dim=2, **OWN_UNITS),
    "log_det": declared(estimators.LogDet(beta=10.0), family="gaussian", **UNITS_APART),
    "matrix_renyi": declared(estimators.MatrixRenyi(), **UNITS_APART),
    "mixed_ksg": declared(estimators.MixedKSG(), with_k=lambda k: estimators.MixedKSG(k=k), **OWN_UNITS),
    "nwj": trained(estimators.NWJ, **MODEL),
    "pairwise_mixture": declared(estimators.PairwiseMixture(var=1.0), **IN_ITS_UNITS),
    # labels have no columns, and any number of rows; a copy of x tells its half, log 2 nats and no more
    "ross": declared(upper_half, left_out=("own_copy",), symmetric=False, **OWN_UNITS),
    "sliced": declared(estimators.Sliced(slices=2), **UNITS_APART),
    "smile": trained(estimators.SMILE, **MODEL),
}  # fmt: skip
DIVERGENCE = {
    "gaussian_plugin": declared(
        estimators.GaussianPlugin(),
        family="gaussian",
        linear_invariant=True,
        **OWN_UNITS,
        **RIGID,
    ),
    "wang_kulkarni_verdu": declared(
        estimators.WangKulkarniVerdu(), with_k=lambda k: estimators.WangKulkarniVerdu(k=k), **OWN_UNITS
    ),
    "wang_kulkarni_verdu, in its units": declared(estimators.WangKulkarniVerdu(standardize=False), **RIGID),
}
SEARCHING = {
    "entropy": declared(estimators.FittedMixture(max_components=2), **OWN_UNITS, **RIGID),
    "mutual_information": declared(estimators.FittedMixture(max_components=2), max_dim=2, **OWN_UNITS),
}
"""Mixtures whose components are counted take as long as all the rest together."""

D = 6
MOVED = {"translation_invariant": True}
ANYWHERE = MOVED | RIGID
ON_SPHERE = {"scale_invariant": True, "rotation_invariant": True}
# the predictor has a width and biases, and an untrained one may fit a single point better than a spread out batch
TARGETS = {"stop_gradient": "targets", "columns": D, "prevents_collapse": False}
# constants of the shape of the views, one for each row of each view
CONSTANTS = {"order_invariant": False, "symmetric": False, "prevents_collapse": False}
WIDE = {"rows": 5, "columns": 9}
# conduct is that of other batches
SAME = ("global_state", "unequal_shapes", "missing_values", "one_row", "repeatable", "wide")
# groups of consecutive rows; nothing to whiten at collapse, or with fewer rows than columns
GROUPS = {
    "scale_invariant": True, "order_invariant": False, "takes_wide": False, "finite_at_collapse": False,
    "prevents_collapse": True,
}  # fmt: skip
KEPT = {
    "VICReg": MOVED,
    "BYOL": CONSTANTS,
    "invariance": ANYWHERE,
    "InfoNCE": ON_SPHERE,
    "InfoNCE, inner product": RIGID,
    "SimCLR": ON_SPHERE,
    "NT-Xent": ON_SPHERE,
    "Barlow Twins": MOVED,
    # equal views lose nothing, wherever they are
    "W-MSE": MOVED | {"prevents_collapse": False},
    "spectral": RIGID,
    "CorInfoMax": ANYWHERE,
    "MEC": ON_SPHERE,
}
"""By the first words of a name: an entropy that is added to an objective keeps what that keeps."""


def kept(name):
    """The promises of the longest beginning of the name that has any."""
    return {"prevents_collapse": True} | KEPT[max(filter(name.startswith, KEPT), key=len)]


def of_catalogue(name, objective):
    if isinstance(objective, BYOL):
        return Declaration(from_target_network(objective), TARGETS)
    return Declaration(objective, kept(name) | (GROUPS if name == "W-MSE" else {}))


def total(terms):
    return lambda z_a, z_b: terms(z_a, z_b).total()


CATALOGUE = objectives(mlp((D, 8, D), seed=1), d=D)
OBJECTIVE = {
    **{f"catalogue, {name}": of_catalogue(name, objective) for name, objective in CATALOGUE.items()},
    **{name: Declaration(total(entry.terms), kept(name)) for name, entry in EVERY.items()},
}
FEWER_ROWS = {
    # singles of length 10³, which have no whitening there, are refused
    name: Declaration(total(entry.terms), kept(name) | WIDE, (*SAME, *["large_numbers"] * name.startswith("W-MSE")))
    for name, entry in EVERY.items()
}
"""Than columns: routines may work in the smaller of both."""
DECLARED = {"entropy": ENTROPY, "mutual_information": INFORMATION, "kl_divergence": DIVERGENCE, "objective": OBJECTIVE}
