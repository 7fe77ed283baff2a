"""Which packages are asked, at which versions, and what each of their estimators promises.

A promise that is taken back is one whose opposite the package documents or shows in a signature (units, one column
only, clipping, normal laws), so that nobody is called to differ on what was never said. What the documentation leaves
open is what a user takes for granted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from itssl.testing.subjects import Quantity

ROOT = Path(__file__).parents[2]
SUITE = ("numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl", "jaxtyping", "lazy-loader", "tqdm")
"""What itssl.testing needs of itssl's requirements, at the versions of constraints.txt or those that a peer pins."""


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """A function of adapters.py: what it estimates, by which method, and what it does not promise.

    ``note`` says where the package says so. ``seeded``: draws from numpy's global generator, which exact checks seed.
    """

    function: str
    called: str
    quantity: Quantity
    method: str
    promises: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    seeded: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A distribution on the package index with its version; ``pins`` where it cannot live with those of itssl.

    ``also``: what it imports without saying so in its metadata. ``why``: why it has no estimators here, beyond what pip
    says. ``inside``: required by itssl, so that it is asked in
    itssl's own environment, at the version found there.
    """

    package: str
    version: str
    estimators: tuple[Estimator, ...] = ()
    pins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    also: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    why: str = ""
    inside: bool = False

    @property
    def groups(self) -> list[dict[str, str]]:
        """First what the suite needs, then the package, so that pip's reason is about the package."""
        return [constrained() | dict(self.pins) | dict(self.also), {self.package: self.version}]

    @property
    def bounds(self) -> list[str]:
        """All of constraints.txt but the package itself; for a peer with pins those alone."""
        if self.pins:
            return [f"{name}=={version}" for name, version in self.pins.items()]
        return [line for line in _lines() if line.partition("==")[0].lower() != self.package.lower()]


@lru_cache
def _lines() -> tuple[str, ...]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return tuple(line for line in lines if "==" in line and line[0] != "#")


def constrained() -> dict[str, str]:
    """What the suite needs, name → version."""
    versions = dict(line.split("==") for line in _lines())
    return {name: versions[name] for name in SUITE}


def _mi(function: str, called: str, method: str = "KSG", *, seeded: bool = False, note: str = "", **promises: Any):
    return Estimator(
        function=function, called=called, quantity="mutual_information", method=method, promises=promises,
        seeded=seeded, note=note,
    )  # fmt: skip


def _h(function: str, called: str, method: str = "neighbors", *, seeded: bool = False, note: str = "", **promises: Any):
    return Estimator(
        function=function, called=called, quantity="entropy", method=method, promises=promises, seeded=seeded, note=note
    )


def _kl(function: str, called: str, *, note: str = "", **promises: Any) -> Estimator:
    return Estimator(
        function=function, called=called, quantity="kl_divergence", method="neighbors", promises=promises, note=note
    )


ONE: dict[str, Any] = {"max_dim": 1}
GAUSS: dict[str, Any] = {"family": "gaussian", "units": "bits"}
NOISE = "adds noise drawn from numpy's global generator"

PEERS = (
    Peer(package="scikit-learn", version="", inside=True, estimators=(
        _mi("scikit_learn_mi", "mutual_info_regression", clips_at_zero=True, marginal_invariant=True, **ONE,
            note="one column; documented: scales, adds noise by random_state; clips"),
    )),
    Peer(package="scipy", version="", inside=True, estimators=(
        _h("scipy_auto", "differential_entropy", "spacings", **ONE, note="one sample along an axis"),
        _h("scipy_vasicek", "differential_entropy(method='vasicek')", "spacings", **ONE),
        _h("scipy_van_es", "differential_entropy(method='van es')", "spacings", **ONE),
        _h("scipy_ebrahimi", "differential_entropy(method='ebrahimi')", "spacings", **ONE),
        _h("scipy_correa", "differential_entropy(method='correa')", "spacings", **ONE),
    )),
    Peer(package="npeet-plus", version="0.2.0", estimators=(
        _mi("npeet_mi", "mi", units="bits", seeded=True, note=f"base=2; {NOISE}"),
        _h("npeet_entropy", "entropy", units="bits", seeded=True, note=f"base=2; {NOISE}"),
        _kl("npeet_divergence", "kldiv", units="bits", note="base=2"),
    )),
    Peer(package="infomeasure", version="0.6.3", estimators=(
        _mi("infomeasure_mi", "mutual_information(approach='ksg')", note="noise_level=0 turns its noise off"),
        _h("infomeasure_entropy", "entropy(approach='metric')", note="noise_level=0 turns its noise off"),
    )),
    Peer(package="ennemi", version="1.5.0", estimators=(
        _mi("ennemi_mi", "estimate_mi", marginal_invariant=True, **ONE,
            note="a pair of columns; documented: scales to unit variance, adds noise of fixed seed"),
        _h("ennemi_entropy", "estimate_entropy"),
    )),
    Peer(package="nn-info", version="0.0.7", also={"sympy": "1.14.0"}, estimators=(
        _mi("nn_info_mi", "KSG", clips_at_zero=True, note="clips"),
        _h("nn_info_entropy_1", "entropy(k=1)", clips_at_zero=True, rotation_invariant=True, note="clips"),
        _h("nn_info_entropy_4", "entropy(k=4)", clips_at_zero=True, rotation_invariant=True, note="clips"),
        _kl("nn_info_divergence", "WMI", clips_at_zero=True, rotation_invariant=True, note="clips"),
    )),
    Peer(package="infopy-estimators", version="0.1.3", estimators=(
        _mi("infopy_mi", "CCMIEstimator", clips_at_zero=True, seeded=True, note=f"clips; {NOISE}"),
        _h("infopy_entropy", "ContinuousEntropyEstimator", clips_at_zero=True, note="clips"),
    )),
    Peer(package="syntropyx", version="0.0.2", estimators=(
        _mi("syntropy_mi_1", "mutual_information(algorithm=1)"),
        _mi("syntropy_mi_2", "mutual_information(algorithm=2)"),
        _h("syntropy_entropy", "differential_entropy"),
    )),
    Peer(package="normi", version="0.3.0", estimators=(
        _mi("normi_mi", "NormalizedMI().mi_", clips_at_zero=True, marginal_invariant=True,
            note="the unnormalized value; standardizes, clips"),
    )),
    Peer(package="libksg", version="0.0.4", estimators=(
        _mi("libksg_mi", "KSG().mi", units="bits", marginal_invariant=True, **ONE,
            note="pairs of features; bits and z-scores by its source"),
    )),
    Peer(package="tigramite", version="5.2.10.1", also={"numba": "0.68.1"}, estimators=(
        _mi("tigramite_mi", "CMIknn", marginal_invariant=True, note="documented: ranks of each column; adds noise"),
        _mi("tigramite_mi_standardized", "CMIknn(transform='standardize')", marginal_invariant=True,
            note="documented: standardizes; adds noise"),
    )),
    Peer(package="dit", version="2.3", estimators=(
        _mi("dit_mi", "total_correlation_ksg", units="bits", note="documented: bits; noise=0 turns its noise off"),
        _h("dit_entropy", "differential_entropy_knn", units="bits", note="documented: bits; noise=0"),
    )),
    Peer(package="entropy-estimators", version="0.0.2", estimators=(
        _mi("brodersen_mi", "get_mi"),
        _h("brodersen_entropy", "get_h"),
        _h("brodersen_entropy_euclidean", "get_h(norm='euclidean')", rotation_invariant=True),
    )),
    Peer(package="unite-toolbox", version="0.2.1", estimators=(
        _mi("unite_mi", "calc_knn_mutual_information"),
        _h("unite_entropy", "calc_knn_entropy", rotation_invariant=True),
        _kl("unite_divergence", "calc_knn_kld", clips_at_zero=True, rotation_invariant=True, note="clips"),
    )),
    Peer(package="causationentropy", version="1.1.0", estimators=(
        _mi("causation_mi", "knn_mutual_information"),
        _mi("causation_mi_chebyshev", "knn_mutual_information(metric='chebyshev')"),
    )),
    Peer(package="mutual-info", version="0.31", estimators=(
        _mi("gist_mi", "mutual_information", "entropies", note="H(X) + H(Y) − H(X, Y)"),
        _h("gist_entropy", "entropy", rotation_invariant=True),
    )),
    Peer(package="copent", version="0.5.7", estimators=(
        _mi("copent_mi", "copent", "entropies", marginal_invariant=True, **ONE,
            note="of two columns: minus the entropy of their ranks"),
    )),
    Peer(package="hoi", version="0.0.7", estimators=(
        _mi("hoi_mi", "get_mi('knn')", units="bits", note="documented: bits; single precision"),
        _h("hoi_entropy", "get_entropy('knn')", units="bits", clips_at_zero=True, rotation_invariant=True,
           note="documented: bits; clips; single precision"),
    )),
    Peer(package="frites", version="0.4.6", estimators=(
        _mi("frites_mi_copula", "gcmi_1d_cc", "Gaussian", marginal_invariant=True, **GAUSS,
            note="documented: Gaussian copula, bits"),
        _mi("frites_mi_gauss", "mi_nd_gg", "Gaussian", **GAUSS, note="documented: Gaussian, bits"),
        _h("frites_entropy_1d", "ent_1d_g", "Gaussian", rotation_invariant=True, **GAUSS,
           note="documented: Gaussian, bits"),
        _h("frites_entropy_nd", "ent_nd_g", "Gaussian", rotation_invariant=True, **GAUSS,
           note="documented: bits; Gaussian by its name"),
    )),
    Peer(package="benchmark-mi", version="0.1.3", pins={
        "numpy": "1.26.4", "scipy": "1.12.0", "scikit-learn": "1.4.2", "pydantic": "1.10.21", "jax": "0.4.26",
        "jaxlib": "0.4.26",
    }, estimators=(
        _mi("bmi_mi", "KSGEnsembleFirstEstimator", clips_at_zero=True, marginal_invariant=True,
            note="documented: standardizes; clips"),
    )),
    *(Peer(package=name, version="") for name in ("npeet", "idtxl", "gcmi", "knnie", "ite-in-python", "kldest")),
    Peer(package="infopaths", version="0.1", why="requires scikit-learn by its retired name sklearn"),
    Peer(package="giefstat", version="1.0.0", why="names no requirements, and imports pyitlib, minepy and others"),
)  # fmt: skip
"""Those without estimators are asked for only to name why they are not here."""

ESTIMATORS = {made.function: (peer, made) for peer in PEERS for made in peer.estimators}
