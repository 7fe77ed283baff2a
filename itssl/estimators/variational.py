"""Variational estimators of mutual information: a critic is trained on some rows, its bound measured on others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples, SamplesLike, as_paired_samples, refuse_constant_columns
from itssl.choices import ParameterError, require_positive
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators import variational_bounds as bounds
from itssl.estimators.critics import ConditionalGaussian, Critic, critic, torch_generator
from itssl.estimators.diagnosis import ceiling_warnings, pair_warnings
from itssl.estimators.nearest_neighbors import KozachenkoLeonenko
from itssl.estimators.protocols import EntropyEstimator
from itssl.estimators.standardization import canonical_order
from itssl.estimators.variational_evaluation import (
    HeldOut,
    batches,
    effective_weights,
    held_out,
    held_out_mean,
    training_warnings,
    variance_warnings,
)
from itssl.estimators.variational_training import (
    LARGEST_BATCH,
    CriticConfig,
    Pairs,
    Split,
    Trained,
    TrainingConfig,
    maximize,
    one_thread,
    split,
)


@dataclass(frozen=True, kw_only=True)
class DonskerVaradhan(CriticConfig):
    """Mutual information by the Donsker–Varadhan representation with a trained critic (MINE [1]).

    The supremum over critics of E s − log E⊗ e^s is I. The held-out value has no direction: the critic falls
    short of the supremum, but the logarithm of the mean exponential is underestimated, so the value can be too
    large, and is where few weights carry the mean (warning ``high_variance``). The diagnostic ``lower_bound_nats``
    repairs this: the normalizer is taken from the validation rows, which gives an NWJ bound of the same critic,
    LOWER in expectation. Unlike MINE, the training gradient is that of the batch, without a running normalizer.

    Options and errors as in :class:`CriticConfig`.

    References
    ----------
    [1] Belghazi et al. (2018). Mutual information neural estimation. ICML.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> x, y = linear_gaussian_views([0.9]).sample(500, np.random.default_rng(0))
    >>> DonskerVaradhan(steps=50, hidden=8).mutual_information(x, y).bias
    <Bias.UNKNOWN: 'unknown'>
    """

    REFERENCE = bounds.BELGHAZI_2018

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """The bound of the trained critic on held-out rows of x, shape (n, d_x), and y, shape (n, d_y), in nats.

        The standard error is that over test rows for this critic (see :func:`held_out`). Invariant under the order
        of the rows, units and exchange of x and y. Warnings: ``overfit``, ``not_converged``, ``high_variance``,
        ``ties``, ``singular_support``, ``deterministic``.
        Raises SampleError for fewer than 16 training or held-out rows, constant columns and inadmissible samples.
        """
        bound = bounds.lower_bound_donsker_varadhan
        return _critic_estimate(self, x, y, bound, bound, Bias.UNKNOWN, self.REFERENCE)


@dataclass(frozen=True, kw_only=True)
class NWJ(CriticConfig):
    """Mutual information by the bound of Nguyen, Wainwright & Jordan [1] with a trained critic.

    1 + E s − E⊗ e^s ≤ I for every critic s, with equality for s = log p(x, y)/(p(x) p(y)). Linear in the laws, so the
    held-out value is LOWER in expectation, also for finite n. Its variance is of order e^{2I}/n²: values beyond
    log n are not to be had (warning ``high_variance``), and there the mean is made of rare, hugely negative values
    while the typical one lies above I.

    Options and errors as in :class:`CriticConfig`.

    References
    ----------
    [1] Nguyen, Wainwright & Jordan (2010). Estimating divergence functionals and the likelihood ratio by convex risk
        minimization. IEEE Trans. Inf. Theory 56(11).

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> x, y = linear_gaussian_views([0.9]).sample(500, np.random.default_rng(0))
    >>> NWJ(steps=50, hidden=8).mutual_information(x, y).bias
    <Bias.LOWER: 'lower'>
    """

    REFERENCE = bounds.NGUYEN_2010

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """The bound on held-out rows, in nats; all else as in :meth:`DonskerVaradhan.mutual_information`."""
        bound = bounds.lower_bound_jensen_shannon  # NWJ of 1 + scores: the critic is the log-ratio
        return _critic_estimate(self, x, y, bound, bound, Bias.LOWER, self.REFERENCE)


@dataclass(frozen=True, kw_only=True)
class InfoNCE(CriticConfig):
    """Mutual information by contrast of each pair with the other rows of a batch [1], with a trained critic.

    LOWER in expectation for every critic that has not seen the batch, and at most log(batch): the evaluation uses
    the largest batch that the test rows allow (2048 at most) and warns ``ceiling`` near its logarithm. Low variance.

    Options and errors as in :class:`CriticConfig`.

    References
    ----------
    [1] van den Oord, Li & Vinyals (2018). Representation learning with contrastive predictive coding.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> x, y = linear_gaussian_views([0.9]).sample(500, np.random.default_rng(0))
    >>> found = InfoNCE(steps=50, hidden=8).mutual_information(x, y)
    >>> print(f"{found.diagnostics['ceiling_nats']:.3f} = log {found.diagnostics['evaluation_batch']:.0f}")
    4.605 = log 100
    """

    REFERENCE = bounds.VAN_DEN_OORD_2018

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """The bound on held-out rows, in nats, with the warning ``ceiling`` in place of ``high_variance``.

        All else as in :meth:`DonskerVaradhan.mutual_information`.
        """
        bound = bounds.lower_bound_info_nce
        return _critic_estimate(self, x, y, bound, bound, Bias.LOWER, self.REFERENCE, contrast=True)


@dataclass(frozen=True, kw_only=True)
class JensenShannon(CriticConfig):
    """Mutual information by NWJ with a critic trained to tell pairs of the joint law from the product's [1].

    Training maximizes −E log(1 + e^{−s}) − E⊗ log(1 + e^s), which has low variance; the held-out value 1 + E s − E⊗ e^s
    is NWJ of that critic, LOWER in expectation, with the variance of NWJ. Since training does not heed the exponential,
    single large scores can ruin the value (warning ``high_variance``), and an additive error of the critic costs more
    than it has to; ``lower_bound_nats`` is free of it, as in :class:`DonskerVaradhan`.

    Options and errors as in :class:`CriticConfig`.

    References
    ----------
    [1] Poole, Ozair, van den Oord, Alemi & Tucker (2019). On variational bounds of mutual information. ICML.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> x, y = linear_gaussian_views([0.9]).sample(500, np.random.default_rng(0))
    >>> JensenShannon(steps=50, hidden=8).mutual_information(x, y).bias
    <Bias.LOWER: 'lower'>
    """

    REFERENCE = bounds.POOLE_2019

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """The bound on held-out rows, in nats; all else as in :meth:`DonskerVaradhan.mutual_information`."""
        objective, bound = bounds.jensen_shannon_objective, bounds.lower_bound_jensen_shannon
        return _critic_estimate(self, x, y, objective, bound, Bias.LOWER, self.REFERENCE)


@dataclass(frozen=True, kw_only=True)
class SMILE(CriticConfig):
    """Mutual information by Donsker–Varadhan with clipped scores: *not a bound* [1].

    E s − log E⊗ e^{c(s)}, c(s) the scores clipped to ±``clip``, of a critic trained as :class:`JensenShannon`'s. That
    bounds the variance and gives up the direction: large information comes out too large, for the clipped tail
    would have carried the normalizer. Bias UNKNOWN; ``lower_bound_nats`` as in :class:`DonskerVaradhan`.

    Options and errors as in :class:`CriticConfig`; ParameterError unless ``clip`` > 0.

    References
    ----------
    [1] Song & Ermon (2020). Understanding the limitations of variational mutual information estimators. ICLR.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> x, y = linear_gaussian_views([0.9]).sample(500, np.random.default_rng(0))
    >>> SMILE(steps=50, hidden=8).mutual_information(x, y).bias
    <Bias.UNKNOWN: 'unknown'>
    """

    clip: float = 5.0

    REFERENCE = bounds.SONG_2020

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "clip", require_positive("clip", self.clip))

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """The value on held-out rows, in nats; all else as in :meth:`DonskerVaradhan.mutual_information`."""
        objective = bounds.jensen_shannon_objective
        return _critic_estimate(
            self, x, y, objective, lambda s: bounds.smile(s, self.clip), Bias.UNKNOWN, self.REFERENCE, clip=self.clip
        )


@dataclass(frozen=True, kw_only=True)
class CLUB(TrainingConfig):
    """Contrastive log-ratio of a trained Gaussian conditional density q(y|x) [1].

    E log q(y|x) − E⊗ log q(y|x). An UPPER bound of I if q is the true conditional density, which data cannot show;
    with a q that is too wide the value falls below I, so the bias is stated as UNKNOWN. Not symmetric in x and
    y, seldom tight: ρ²/(1−ρ²) nats for a Gaussian pair, 1.78 where I = 0.51.

    Options and errors as in :class:`TrainingConfig`. q(y|x) has independent coordinates given x.

    References
    ----------
    [1] Cheng, Hao, Dai, Liu, Gan & Carin (2020). CLUB: a contrastive log-ratio upper bound of mutual information. ICML.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> x, y = linear_gaussian_views([0.9]).sample(500, np.random.default_rng(0))
    >>> CLUB(steps=50, hidden=8).mutual_information(x, y).bias
    <Bias.UNKNOWN: 'unknown'>
    """

    REFERENCE = bounds.CHENG_2020

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """The value on held-out rows of x (n, d_x) and y (n, d_y) in nats; errors and warnings as
        :meth:`DonskerVaradhan.mutual_information`.
        """
        x, y = _admitted(x, y)
        parts = split(x, y, self, exchangeable=False)
        network, run = _conditional_density(self, parts)
        scores = _scores(network, run)
        train, test = (held_out(bounds.upper_bound_club, scores, pairs) for pairs in _training_and_test(parts))
        return _estimate(self, x, y, parts, run, train, test, Bias.UNKNOWN, self.REFERENCE)


@dataclass(frozen=True, kw_only=True)
class BarberAgakov(TrainingConfig):
    """h(Y) plus the held-out log-likelihood of a trained Gaussian conditional density q(y|x) [1].

    E log q(y|x) ≤ −h(Y|X) for every density q, so the value is LOWER if h(Y) is exact. ``entropy_y`` says where h(Y)
    comes from: a number (taken as exact, in nats and in the units of y), an Estimate, an entropy estimator, or None
    for :class:`KozachenkoLeonenko`. The bias is LOWER when the entropy is EXACT, UNBIASED or LOWER, otherwise
    UNKNOWN; the errors of both parts are added, since they come from the same rows. Not symmetric in x and y.

    Other options and errors as in :class:`TrainingConfig`. q(y|x) has independent coordinates given x.

    References
    ----------
    [1] Barber & Agakov (2003). The IM algorithm: a variational approach to information maximization. NIPS 16.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> task = linear_gaussian_views([0.9])
    >>> x, y = task.sample(500, np.random.default_rng(0))
    >>> BarberAgakov(entropy_y=task.y.entropy.value, steps=50, hidden=8).mutual_information(x, y).bias
    <Bias.LOWER: 'lower'>
    """

    entropy_y: float | Estimate | EntropyEstimator | None = None

    REFERENCE = bounds.BARBER_2003

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.entropy_y
        if isinstance(given, Estimate) and given.units != "nats":
            raise ParameterError(f"entropy_y: expected nats, got {given}; pass the estimate before .in_bits()")
        if isinstance(given, Estimate) and not np.isfinite(given.value):
            raise ParameterError(f"entropy_y: expected a finite entropy, got {given}; without a density there is none")
        if given is None or isinstance(given, Estimate | EntropyEstimator):
            return
        if isinstance(given, bool) or not isinstance(given, int | float | np.number) or not np.isfinite(given):
            raise ParameterError(
                f"entropy_y: expected a finite number of nats, an Estimate or an entropy estimator, got {given!r}"
            )

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """The bound on held-out rows of x (n, d_x) and y (n, d_y) in nats; errors and warnings as
        :meth:`DonskerVaradhan.mutual_information`.
        """
        x, y = _admitted(x, y)
        entropy = self._entropy(y[canonical_order(x, y)])
        if not np.isfinite(entropy.value):
            raise SampleError(
                f"y: expected a finite entropy, got {entropy}; rows that repeat have no density. "
                "Pass entropy_y=..., or swap x and y"
            )
        parts = split(x, y, self, exchangeable=False)
        network, run = _conditional_density(self, parts)
        to_units = -float(np.log(parts.std_y).sum())  # the density of y from that of its standardized form
        train, test = (
            held_out_mean(entropy.value + to_units + _log_density(network, run, pairs))
            for pairs in _training_and_test(parts)
        )
        test = test._replace(standard_error=test.standard_error + entropy.standard_error)
        known = entropy.bias in (Bias.EXACT, Bias.UNBIASED, Bias.LOWER)
        return _estimate(
            self, x, y, parts, run, train, test, Bias.LOWER if known else Bias.UNKNOWN, self.REFERENCE,
            warnings=entropy.warnings, diagnostics={"entropy_y_nats": entropy.value},
        )  # fmt: skip

    def _entropy(self, y: Samples) -> Estimate:
        """h(Y) in nats as an Estimate, whatever the user gave."""
        given = self.entropy_y
        if isinstance(given, Estimate):
            return given
        if given is None or isinstance(given, EntropyEstimator):
            return (given or KozachenkoLeonenko()).entropy(y)
        return Estimate(value=given, standard_error=0.0, n=0, bias=Bias.EXACT, method="stated")


def _critic_estimate(
    config: CriticConfig, x: SamplesLike, y: SamplesLike, objective: Callable, bound: Callable, bias: Bias,
    reference: Reference, *, contrast: bool = False, clip: float = np.inf,
) -> Estimate:  # fmt: skip
    """Train a critic by ``objective`` of its scores and measure ``bound`` of its scores on other rows."""
    x, y = _admitted(x, y)
    parts = split(x, y, config, exchangeable=True)
    network = critic(
        config.critic, parts.train.x.shape[1], parts.train.y.shape[1], hidden=config.hidden, layers=config.layers
    )
    run = _trained(config, network, parts, lambda weights, a, b: objective(network.scores(weights, a, b)))
    scores = _scores(network, run)
    train, test = (held_out(bound, scores, pairs) for pairs in _training_and_test(parts))
    if contrast:
        ceiling = float(np.log(test.batch))
        blocks = batches(parts.test, config.batch)
        diagnostics = {
            "evaluation_batch": test.batch, "ceiling_nats": ceiling,
            "training_batch": len(blocks[0].x),
            "value_at_training_batch": float(np.mean([bound(scores(block)) for block in blocks])),
        }  # fmt: skip
        warnings = ceiling_warnings(test.value, ceiling, f"log {test.batch} of the rows contrasted")
    else:
        block = batches(parts.test, test.batch)[0]
        matrix = np.clip(scores(block), -clip, clip)
        weights = effective_weights(matrix)
        diagnostics = {"effective_weights": weights, "largest_score": float(matrix.max())}
        warnings = variance_warnings(weights, test.value, len(parts.test.x))
        lower = _self_normalized_lower_bound(scores, parts)
        diagnostics |= {"lower_bound_nats": lower.value, "lower_bound_standard_error": lower.standard_error}
    return _estimate(config, x, y, parts, run, train, test, bias, reference, warnings=warnings, diagnostics=diagnostics)


def _estimate(
    config: TrainingConfig, x: Samples, y: Samples, parts: Split, run: Trained, train: HeldOut, test: HeldOut,
    bias: Bias, reference: Reference, *, warnings: tuple[EstimateWarning, ...] = (),
    diagnostics: Mapping[str, float] = MappingProxyType({}),
) -> Estimate:  # fmt: skip
    """The estimate from the test rows, with the course of training as diagnostics."""
    return Estimate(
        value=test.value, standard_error=test.standard_error, degrees_of_freedom=test.degrees_of_freedom, n=len(x),
        bias=bias, method=repr(config), reference=reference,
        warnings=(*warnings, *training_warnings(run, train, test), *pair_warnings(x, y)),
        diagnostics={
            "training_value": train.value, "gap": train.value - test.value, "best_step": run.best_step,
            "steps": run.steps, "training_rows": len(parts.train.x), "test_rows": len(parts.test.x), **diagnostics,
        },
    )  # fmt: skip


def _admitted(x: SamplesLike, y: SamplesLike) -> tuple[Samples, Samples]:
    x, y = as_paired_samples(x, y)
    refuse_constant_columns(x)
    refuse_constant_columns(y, name="y")
    return x, y


def _trained(config: TrainingConfig, network: Any, parts: Split, objective: Callable) -> Trained:
    weights = network.initial(torch_generator(config.seed, "variational", "weights", parts.key))
    return maximize(objective, weights, parts.train, parts.validation, config, key=parts.key)


def _conditional_density(config: TrainingConfig, parts: Split) -> tuple[ConditionalGaussian, Trained]:
    """q(y|x) of largest likelihood."""
    d_x, d_y = parts.train.x.shape[1], parts.train.y.shape[1]
    network = ConditionalGaussian(d_x, d_y, config.hidden, config.layers)
    return network, _trained(config, network, parts, lambda w, a, b: network.log_density(w, a, b).mean())


def _scores(network: Critic, run: Trained) -> Callable[[Pairs], Float[np.ndarray, "n n"]]:
    """The trained critic as a function of pairs, in float64."""
    return lambda pairs: _without_gradient(network.scores, run, pairs)


def _log_density(network: ConditionalGaussian, run: Trained, pairs: Pairs) -> Float[np.ndarray, " n"]:
    return np.concatenate([_without_gradient(network.log_density, run, block) for block in batches(pairs, 2**14)])


def _without_gradient(function: Callable, run: Trained, pairs: Pairs) -> np.ndarray:
    import torch

    with torch.no_grad(), one_thread():
        return function(run.weights.double(), torch.from_numpy(pairs.x), torch.from_numpy(pairs.y)).numpy()


def _training_and_test(parts: Split) -> tuple[Pairs, Pairs]:
    """As many training rows as there are test rows (or all), so that both values have one ceiling; and the test."""
    n = len(parts.test.x)
    return Pairs(parts.train.x[:n], parts.train.y[:n]), parts.test


def _self_normalized_lower_bound(scores: Callable[[Pairs], np.ndarray], parts: Split) -> HeldOut:
    """NWJ of the critic minus the logarithm of its mean exponential on the validation rows."""
    blocks = batches(parts.validation, LARGEST_BATCH)
    normalizer = _log_mean_exponential(scores(blocks[0]))
    return held_out(bounds.lower_bound_jensen_shannon, lambda pairs: scores(pairs) - normalizer, parts.test)


def _log_mean_exponential(scores: Float[np.ndarray, "n n"]) -> float:
    """log of the mean of e^s off the diagonal."""
    return float(scores.diagonal().mean() - bounds.lower_bound_donsker_varadhan(scores))
