r"""The argument of the paper as one chain of numbers, from log N to the VICReg loss: :func:`measure_chain`.

The law is the data model: T uniform on N prototypes x_n, two views X, X' | T = n ~ N(x_n, σ²I) independent given T.
While X stays in the region of its prototype, where f(x) = A_n x + b_n, f(X) | T = n is N(f(x_n), σ²A_nA_nᵀ). Z is drawn
from the mixture of these, which the law of f(X) is up to its certificate in total variation. All densities and moments
of Z are known, hence all information; for augmented pictures, the views of training, they are not. Z = A_T X + b_T is
a function of X and T, not of X: it may know T better than X does, by at most H(T|X) ≤ h₂(q) + q log(N − 1) nats, where
q bounds the probability that X names another prototype (A2) and h₂ is the binary entropy. Networks are exact maps here
(float64): the noise is far below what float32 resolves in an output.

Information of the network itself is bounded by Fano's inequality [1]: f(X) names T with an error of at most
p = P(exit) + E(1 − max_n P(n|Z)), so log N − 2(h₂(p) + p log(N − 1)) ≤ I(f(X); f(X')) ≤ log N. The mean in p is that
of n draws: the floor is an estimate, with a standard error by the delta method, not a confidence bound. That is 0 where
no draw is in doubt, which bounds the mean by 3/n at a level of 95 %, not by 0.

References
----------
[1] T. Cover, J. Thomas (2006). Elements of Information Theory, 2nd edition. Wiley.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, SamplesLike, as_samples, stream
from itssl.choices import require_count, require_positive
from itssl.claims.chain_answer import INFORMATION, Chain, Link, Quantity
from itssl.claims.labeled_populations import Population
from itssl.claims.prototype_law import Draws, PrototypeLaw
from itssl.claims.worlds import digits_data, digits_encoder, train_on_digits, untrained_digits_encoder
from itssl.estimate import Bias, Estimate
from itssl.evaluation.bound_surrogates import direction
from itssl.evaluation.decomposition import Decomposition, decompose
from itssl.kernels.linalg import LOG_2PI
from itssl.objectives.population_losses import vicreg
from itssl.objectives.vicreg import WEIGHTS
from itssl.objectives.view_moments import ViewMoments
from itssl.progress import progress_bar

INPUT_STD = 1e-5
"""σ in units of a pixel's range: the widest power of ten at which 99 % of the noise stays in its region on digits."""
NAMED = 1e-6
"""The largest probability of a wrong prototype at which X is said to name its own: H(T|X) ≤ 2.2e-5 nats at N = 500."""
DRAWS = 1024
TEMPERATURES = (0.01, 0.03, 0.1, 0.3, 1.0)
_GAMMA, _EPS = 1.0, 1e-4


def measure_chain(*, seed: int = 0, input_std: float = INPUT_STD, draws: int = DRAWS) -> Chain:
    """The chain from log N to the VICReg loss on the digits encoder, at initialization and after training with VICReg.

    Prototypes are the held-out digits. Each line of either waterfall follows from the one before in the direction
    said and for the reason named, see :func:`measure_links`; both see the same draws. Beside them: the premises; the
    bound on the error of a probe that is said to follow; and the same steps for augmented pictures as views, where
    information is only bounded (InfoNCE, from below).

    Parameters
    ----------
    seed: of the network, its training and all draws; training with another seed than 0 is not kept for the next call.
    input_std: σ of the views. Premises fail as it grows: a tenfold σ has some tenfold exit probability.
    draws: of the pair of views, at least 2.

    Raises ParameterError for a bad σ or count, LawError where a local map loses rank.
    """
    from itssl.networks.encoders import as_double

    require_count("draws", draws, minimum=2)
    stream(seed)
    start, std = as_double(untrained_digits_encoder(seed)), require_positive("input_std", input_std)
    with progress_bar("chain", 5, unit="stage") as bar:
        end = digits_encoder() if seed == 0 else as_double(train_on_digits("VICReg", seed).encoder)
        bar.update(note="lines")
        x = digits_data().test_x
        laws = [PrototypeLaw(prototypes=x, network=network, std=std) for network in (start, end)]
        before, after = (_links(law, Draws.of(law, draws, seed)) for law in laws)
        bar.update(note="augmented pictures")
        views_before, views_after = (_augmented(network, seed) for network in (start, end))
        bar.update(note="premises")
        premises = _premises(*laws, draws=draws, seed=seed)
        bar.update(note="probes")
        consequences = _probes(start, end, draws=draws, seed=seed)
        bar.update()
    return Chain(
        before=before, after=after, premises=premises, consequences=consequences, views_before=views_before,
        views_after=views_after, prototypes=len(x), dim=laws[0].dim, input_std=float(input_std), draws=draws, seed=seed,
    )  # fmt: skip


def measure_links(
    network: Any, prototypes: SamplesLike, *, input_std: float, draws: int = DRAWS, seed: int = 0
) -> tuple[Link, ...]:
    r"""One waterfall: from log N to the population VICReg loss (reference, 25/25/1) of narrow noise through a network.

    With C the total covariance of Z, R its correlations, W the mean of σ²A_nA_nᵀ, so that E‖Z − Z'‖² = 2 tr W:

    - log N ≥ I(X;X') ≥ I(Z;X') ≥ I(Z;Z'): the views are independent given T; data processing, each step up to H(T|X)
      nats, for Z is a function of (X, T). "≥" where X names T, wrongly with probability 1e-6 at most: then H(T|X) is at
      most 1.5e-5 + 1e-6 log N nats. "≈" elsewhere.
    - *bound, best scale*: h(Z) + E log N(Z; Z', s²I) = h(Z) − (K/2) log 2πes², s² = 2 tr W/K. ≥, loses
      E KL(p(z|z')‖N(z', s²I)).
    - *bound, h of the law*: h(Z) + E log N(Z; Z', I) = h(Z) − (K/2) log 2π − tr W. ≥, for s is the best scale.
    - *bound, Gaussian h*: ½ log|2πeC| for h(Z). ≤, by the negentropy. From here on no line bounds I.
    - *Hadamard* ... *VICReg* as in :func:`itssl.evaluation.decomposition.decompose`, of the law's moments.

    Parameters
    ----------
    network: piecewise affine, (n, D) to (n, K), K ≤ D.
    prototypes: shape (N, D), N ≥ 2.

    Raises LawError where some A_n has rank below K (Z has no density), ParameterError, NetworkError, SampleError.

    >>> from itssl.networks.encoders import mlp
    >>> x = stream(0, "prototypes").standard_normal((20, 4))
    >>> links = measure_links(mlp((4, 32, 2), seed=0), x, input_std=1e-3)
    >>> print(" ".join(f"{link.relation} {link.value:.2f}" for link in links[:7]).strip())
    3.00 ≥ 3.00 ≥ 3.00 ≥ 3.00 ≥ 1.84 ≥ -10.17 ≤ 0.25
    """
    require_count("draws", draws, minimum=2)
    x = as_samples(prototypes, name="prototypes")
    law = PrototypeLaw(prototypes=x, network=network, std=require_positive("input_std", input_std))
    return _links(law, Draws.of(law, draws, seed))


def _links(law: PrototypeLaw, draws: Draws) -> tuple[Link, ...]:
    of_x, of_x_pair = (law.input_log_densities(x) for x in (draws.x, draws.x_pair))
    of_z, of_z_pair = (law.log_densities(z) for z in (draws.z, draws.z_pair))
    k, log_n, half = law.dim, math.log(len(law.prototypes)), float(np.trace(law.within))
    cov = law.within + law.between
    c = np.diagonal(cov)
    entropies = -_log_mean(of_z)
    off = ~np.eye(k, dtype=bool)
    products, squares = np.outer(c, c)[off], np.square(cov)[off]
    logs, hinges = 0.5 * np.log(c), -np.maximum(0, _GAMMA - np.sqrt(c + _EPS))
    hadamard = k / 2 - half + float(logs.sum())
    second, covariances = -0.25 * float((squares / products).sum()), -0.25 * float(squares.sum())
    hinge = k / 2 - half + float(hinges.sum()) + covariances
    factor = k / 2 / WEIGHTS[0]
    loss = vicreg(normalization="reference", eps=_EPS)(ViewMoments(cov, law.between), np.eye(k))
    share_v, share_c = factor * WEIGHTS[1] / k, 8 * factor * WEIGHTS[2] / k
    weighed = np.array([(share_v - 1) * float(hinges.sum()), (share_c - 1) * covariances])
    log_det = float(np.linalg.slogdet(cov)[1])
    processed = "≥" if law.confused <= NAMED else "≈"
    blurred = f"up to H(T|X) ≲ {_fano(law.confused, len(law.prototypes)):.2g} nats"
    lines = [
        ("log N", log_n, "", ("C14",), f"H(T), T uniform on {len(law.prototypes)} prototypes"),
        ("I(X;X')", _information(of_x, of_x_pair), "≥", ("C14",), "views that are independent given T share at most T"),
        ("I(Z;X')", _information(of_z, of_x_pair), processed, ("C08",), f"data processing, Z = A_T X + b_T: {blurred}"),
        (INFORMATION, _information(of_z, of_z_pair), processed, ("C08",), f"the same for Z' = A_T X' + b_T: {blurred}"),
        ("bound, best scale", entropies - k / 2 * (LOG_2PI + 1 + math.log(2 * half / k)), "≥", ("C08", "C09", "C10"),
         "h(Z) + E log N(Z; Z', s²I), s² = E‖Z − Z'‖²/K: loses E KL(p(z|z')‖N(z', s²I))"),
        ("bound, h of the law", entropies - k / 2 * LOG_2PI - half, "≥", ("C13",), "h(Z) + E log N(Z; Z', I): costs "
         "(K/2)(s² − 1 − log s²), to which information is blind"),
        ("bound, Gaussian h", 0.5 * log_det + k / 2 - half, "≤", ("C17",), "½ log|2πeC| for h(Z): adds the negentropy"),
        ("Hadamard", hadamard, "≤", ("C18",), "½ Σ log C_jj for ½ log|C|: adds −½ log|R|"),
        ("second order of log|R|", hadamard + second, "≥", ("C19", "C20"), "−¼ Σ R_ij² over i ≠ j, for ½ log|R|"),
        ("covariance term", hadamard + covariances, direction(1 - products), ("C20",), "C_ij for R_ij; the same at "
         f"unit variance; C_ii C_jj > 1 for {np.mean(products > 1):.0%} of the pairs"),
        ("hinge", hinge, direction(hinges - logs), ("C21",), "−Σ max(0, 1 − √(C_jj + ε)) for ½ Σ log C_jj; "
         f"above it for {int((hinges >= logs).sum())} of {k}"),
        ("VICReg", k / 2 - factor * loss, direction(weighed), ("C27",), f"K/2 − {factor:.4g} · loss {loss:.6g}: "
         f"variance weighs {share_v:.3g} and covariance {share_c:.3g} of the step before"),
    ]  # fmt: skip
    return _linked(lines, len(draws.x))


def _linked(lines: list[tuple[str, Any, str, tuple[str, ...], str]], n: int) -> tuple[Link, ...]:
    """Values with errors, and gaps with paired ones: numbers, or means over the same n draws."""
    links: list[Link] = []
    last = np.full(n, np.nan)
    for name, found, relation, claims, why in lines:
        values = np.broadcast_to(np.asarray(found, dtype=float), n)
        value = float(values.mean()) if np.ndim(found) else float(found)
        gap = value - links[-1].value if links else math.nan
        gap_error = _error(values - last) if links else math.nan
        links.append(Link(name, value, _error(values), relation, gap, gap_error, claims, why))
        last = values
    return tuple(links)


def _error(values: Float[np.ndarray, " n"]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if np.ptp(values) > 0 else 0.0


def _log_mean(given: Float[np.ndarray, "n N"]) -> Float[np.ndarray, " n"]:
    """log (1/N) Σ_n p(·|n)."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(given, axis=1)) - math.log(given.shape[1])


def _information(first: Float[np.ndarray, "n N"], second: Float[np.ndarray, "n N"]) -> Float[np.ndarray, " n"]:
    """log p(a, b)/(p(a) p(b)) of each draw, for views independent given T."""
    return _log_mean(first + second) - _log_mean(first) - _log_mean(second)


def _premises(before: PrototypeLaw, after: PrototypeLaw, *, draws: int, seed: int) -> tuple[Quantity, ...]:
    rows = zip(*(_rests_on(law, Draws.of(law, draws, seed)) for law in (before, after)), strict=True)
    return tuple(
        Quantity(name, a, a_error, b, b_error, claims, why)
        for (name, a, a_error, claims, why), (_, b, b_error, *_) in rows
    )


def _rests_on(law: PrototypeLaw, draws: Draws) -> list[tuple[str, float, float, tuple[str, ...], str]]:
    from itssl.networks.encoders import embed
    from itssl.networks.regions import activation_pattern, exit_probability

    n, (k, d) = len(law.prototypes), law.local.matrix.shape[1:]
    exits = float(exit_probability(law.network, law.prototypes, law.std**2).upper.mean())
    off = np.square(embed(law.network, draws.x) - draws.z).sum(axis=1) / float(np.trace(law.within))
    left = (
        activation_pattern(law.network, draws.x) != activation_pattern(law.network, law.prototypes)[draws.labels]
    ).any(axis=1)
    posterior, posterior_x = (
        given - _log_mean(given)[:, None] - math.log(n)
        for given in (law.log_densities(draws.z), law.input_log_densities(draws.x))
    )
    own = np.arange(len(draws.x)), draws.labels
    change = posterior_x[own] - posterior[own] if k == d else np.full(len(draws.x), math.nan)
    if k == d and left.any():
        outside = PrototypeLaw(prototypes=draws.x[left], network=law.network, std=law.std)
        change[left] += outside.log_volumes - law.log_volumes[draws.labels[left]]
    wrong = -np.expm1(posterior.max(axis=1))
    p = min(1 - 1 / n, exits + float(wrong.mean()))
    slope = math.log((1 - p) * (n - 1) / p) if p > 0 else 0.0
    return [
        ("A2: P(n(X) ≠ T) ≤", law.confused, 0.0, ("C04", "C06"), "Σ Φ(−r/2σ) over the other prototypes, averaged"),
        ("A1: P(exit) ≤", exits, 0.0, ("C01", "C03"), "also bounds the total variation between the law of f(X) and Z"),
        ("E‖f(X) − Z‖²/tr W", float(off.mean()), _error(off), ("C02",), "total variation bounds no moments: measured"),
        ("h(f(X)) − h(Z) ≤", float(change.mean()), _error(change) if k == d else math.nan, ("C07",),
         "nats; E log|det A(X)| − E log|det A_T| + I(X;T) − I(Z;T), the last two together at most H(T|Z); equal where "
         "outputs of different regions do not meet" if k == d else "no such formula where K < D"),
        ("I(f(X);f(X')) ≥", math.log(n) - 2 * _fano(p, n), 2 * slope * _error(wrong), ("C03", "C14"),
         f"nats; Fano, p = P(exit) + E(1 − max P(n|Z)), the mean over draws, whose standard error the delta method "
         f"gives here: 0 where no draw is in doubt, the mean then at most {3 / len(wrong):.2g} at 95 %; at most "
         f"log N = {math.log(n):.5g}"),
    ]  # fmt: skip


def _fano(p: float, n: int) -> float:
    """h₂(p) + p log(n − 1), the most that is unknown of n equally likely names told wrongly with probability p."""
    p = min(1 - 1 / n, p)
    return -p * math.log(p) - (1 - p) * math.log1p(-p) + p * math.log(n - 1) if p > 0 else 0.0


def _probes(start: Any, end: Any, *, draws: int, seed: int) -> tuple[Quantity, ...]:
    """Minimum-norm probes of the representation (before the projector), both networks on the same rows and pairs."""
    from itssl.networks.encoders import embed

    data = digits_data()
    populations = [Population(z=embed(f.get_submodule("encoder"), data.test_x), y=data.test_y) for f in (start, end)]
    a, b = (population.bound(draws, draws, stream(seed, "probes of the chain")) for population in populations)
    assert a.error is not None
    assert b.error is not None
    return (
        Quantity("E‖W_S f(x) − y‖", a.error.value, 0.0, b.error.value, 0.0, ("C39",),
                 f"over all held-out digits, W_S from {draws} draws with labels; 1 for W = 0"),
        Quantity("that ≤", a.total.value, a.total.standard_error, b.total.value, b.total.standard_error, ("C39",),
                 f"the bound of {draws} pairs of a class, at 95 %; it says nothing from 1 on"),
    )  # fmt: skip


def _augmented(network: Any, seed: int, *, n: int = 2048) -> Decomposition:
    """The steps for n pairs of augmented held-out digits; I by InfoNCE, which bounds it from below.

    Cosine critic, embeddings centered by the mean of the training pictures; the temperature is chosen on one half of
    the pairs, the bound is that of the other.
    """
    import torch

    from itssl.networks.encoders import embed, torch_generator
    from itssl.networks.views import AffineViews

    x = digits_data().test_x
    x = x[stream(seed, "pictures of the chain").integers(len(x), size=n)]
    views = AffineViews()(torch.tensor(x), torch_generator(seed, "views of the chain"))
    a, b = (embed(network, view.numpy()) for view in views)
    center = embed(network, digits_data().train_x).mean(axis=0)
    u, v = ((z - center) / np.linalg.norm(z - center, axis=1, keepdims=True) for z in (a, b))
    first, rest = slice(n // 2), slice(n // 2, n)
    chosen = max(TEMPERATURES, key=lambda tau: float(_infonce(u[first], v[first], tau).mean()))
    found = _infonce(u[rest], v[rest], chosen)
    bound = Estimate(
        value=float(found.mean()), standard_error=_error(found), n=len(found), bias=Bias.LOWER,
        method=f"InfoNCE, cosine, τ = {chosen:g}",
    )  # fmt: skip
    return decompose(a, b, normalization="reference", information=bound)


def _infonce(u: Samples, v: Samples, temperature: float) -> Float[np.ndarray, " n"]:
    """log n + log softmax of the positive, in the mean of both directions, by row."""
    from scipy.special import logsumexp

    scores = u @ v.T / temperature
    partition = np.asarray(logsumexp(scores, axis=0)) / 2 + np.asarray(logsumexp(scores, axis=1)) / 2
    return np.diagonal(scores) - partition + math.log(len(u))
