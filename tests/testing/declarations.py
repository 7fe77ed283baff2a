"""What each estimator of itssl promises the conformance suite, and how it is made for it: the one table.

All take tensors. Configurations are small where the time of a call depends on them, and a promise does not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from itssl import estimators
from itssl.arrays import as_samples


@dataclass(frozen=True)
class Declaration:
    """An estimator, its promises, and the names of checks that no promise tells what is right there."""

    estimator: Any
    promises: dict[str, Any]
    left_out: tuple[str, ...] = ()


def declared(estimator, *, left_out=(), **promises):
    return Declaration(estimator, {"accepts_tensors": True} | promises, left_out)


def upper_half(x, y):
    """Ross' estimator of labels: on which side of its median the last column of y lies."""
    last = as_samples(y, name="y")[:, -1]
    return estimators.Ross().mutual_information(as_samples(x), (last > np.median(last)).astype(int))


def on_all_of_space(x):
    return estimators.HausdorffEntropy(dimension=x.shape[1]).entropy(x)


def trained(kind, **promises):
    """Weights at the start have signs, so that a mirrored sample is another one; steps make no promise better."""
    made = kind(steps=5, batch=16, hidden=8)
    return declared(made, scale_invariant=False, **OWN_UNITS | promises)


OWN_UNITS = {"marginal_invariant": True}
RIGID = {"rotation_invariant": True}
MODEL = {"symmetric": False}
"""A model or a critic of y given x."""
IN_ITS_UNITS = {"scale_invariant": False}
"""Configured by a variance or a box in the units of x."""

ENTROPY = {
    "binning": declared(estimators.Binning(), **OWN_UNITS),
    "extrapolated_kozachenko_leonenko": declared(estimators.ExtrapolatedKozachenkoLeonenko(), **OWN_UNITS, **RIGID),
    "fitted_mixture": declared(estimators.FittedMixture(max_components=2), **OWN_UNITS, **RIGID),
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
    "barber_agakov": trained(estimators.BarberAgakov, marginal_invariant=False, **MODEL),
    "binning": declared(estimators.Binning(), **OWN_UNITS),
    "club": trained(estimators.CLUB, **MODEL),
    "donsker_varadhan": trained(estimators.DonskerVaradhan, **MODEL),
    # 16 columns have more parameters than the rows of the suite
    "fitted_mixture": declared(estimators.FittedMixture(max_components=2), max_dim=2, **OWN_UNITS),
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
    "log_det": declared(estimators.LogDet(beta=10.0), family="gaussian"),
    "matrix_renyi": declared(estimators.MatrixRenyi()),
    "mixed_ksg": declared(estimators.MixedKSG(), with_k=lambda k: estimators.MixedKSG(k=k), **OWN_UNITS),
    "nwj": trained(estimators.NWJ, **MODEL),
    "pairwise_mixture": declared(estimators.PairwiseMixture(var=1.0), **IN_ITS_UNITS),
    # labels have no columns, and any number of rows
    "ross": declared(upper_half, symmetric=False, **OWN_UNITS),
    "sliced": declared(estimators.Sliced(slices=4)),
    "smile": trained(estimators.SMILE, **MODEL),
}  # fmt: skip
DIVERGENCE = {
    "gaussian_plugin": declared(
        estimators.GaussianPlugin(), family="gaussian", linear_invariant=True, **OWN_UNITS, **RIGID
    ),
    "wang_kulkarni_verdu": declared(
        estimators.WangKulkarniVerdu(), with_k=lambda k: estimators.WangKulkarniVerdu(k=k), **OWN_UNITS
    ),
}
DECLARED = {"entropy": ENTROPY, "mutual_information": INFORMATION, "kl_divergence": DIVERGENCE}
