"""What is asked of a divergence alone: zero for equal laws, no symmetry, data processing, sums, infinite truths."""

from collections.abc import Callable, Iterator

import numpy as np

from itssl.arrays import Samples
from itssl.claims.decision import Relation
from itssl.distributions.gaussian import Gaussian
from itssl.testing.checks.divergence_worlds import ROWS_OF_Q, equal_laws, lopsided, of_laws
from itssl.testing.checks.statistics import AVERAGED, SMALL
from itssl.testing.checks.trial import Trial, check, outcome_of
from itssl.testing.checks.worlds import gaussian_rows, ordinary
from itssl.testing.findings import Case

BOOK = "Cover & Thomas (2006), Elements of Information Theory"
N = 240


@check(
    "second_column",
    laws={"kl_divergence": "D depends on the joint laws of the columns, of P and of Q"},
    source=f"{BOOK}, theorem 2.5.3",
    kind="contract",
)
def second_column(trial: Trial) -> Iterator[Case]:
    """Two columns that depend on each other, until the second one is shuffled: in x, then in y."""
    trial.needs(2 in trial.promises.dims(1, 2), "max_dim=1")
    x, y = (_tied(trial.rng("sample", name), n) for name, n in (("x", N), ("y", 2 * N)))
    before = trial.value(f"{N} and {2 * N} rows", x, y)
    for name, samples in (("x", (_shuffled(trial, x), y)), ("y", (x, _shuffled(trial, y)))):
        world = f"{N} and {2 * N} rows, the second column of {name} shuffled"
        after = trial.value(world, *samples)
        yield Case(
            world=world, expected=f"another number than {before:.9g}", arrived=f"{after:.9g}",
            outcome=outcome_of(abs(after - before) > 1e-3),
        )  # fmt: skip


def _tied(rng: np.random.Generator, n: int) -> Samples:
    z, noise = rng.standard_normal((2, n, 1))
    return np.hstack([z, z + 0.3 * noise])


def _shuffled(trial: Trial, x: Samples) -> Samples:
    return np.hstack([x[:, :1], x[trial.rng("order").permutation(len(x)), 1:]])


@check(
    "equal_laws",
    laws={"kl_divergence": "P = Q ⇒ D = 0, and E D̂ = 0"},
    source=f"{BOOK}, theorem 2.6.3; Wang, Kulkarni & Verdú (2009)",
    kind="statistical",
)
def equal(trial: Trial) -> Iterator[Case]:
    """Few rows, where a bias shows: zero within 0.2/√n; within 1/√n where the estimator clips or promises no zero."""
    loose = trial.promises.clips_at_zero or not trial.promises.unbiased_when_equal
    margin = (1.0 if loose else 0.2) / SMALL**0.5
    place = equal_laws(1)
    yield trial.decided(
        place.name, lambda rng: (trial.value(place.name, *place.draw(SMALL, rng)), 0.0),
        Relation.AT_MOST if loose else Relation.EQUAL, margin, worlds=1,
        what=f"a mean answer to {SMALL} and {int(ROWS_OF_Q * SMALL)} rows of", replicates=4,
        averaged=AVERAGED,
    )  # fmt: skip


@check(
    "asymmetry",
    laws={"kl_divergence": "D(Q‖P) − D(P‖Q) is what it is, not zero and not its negative"},
    source=f"{BOOK}, section 2.3",
    kind="statistical",
)
def asymmetry(trial: Trial) -> Iterator[Case]:
    """Both directions from the same draws. A quarter of the difference is enough: where Q lies, rows of P are few, and
    right estimators find 0.4 of the larger divergence less the smaller one."""
    n, (place, gap) = trial.profile.rows, lopsided(gaussian=trial.promises.family == "gaussian")

    def sides(rng: np.random.Generator) -> tuple[float, float]:
        x, y = place.draw(n, rng)
        return trial.value(place.name, y, x) - trial.value(place.name, x, y), gap / 4

    what = "a mean D̂(Q‖P) − D̂(P‖Q) of"
    yield trial.decided(place.name, sides, Relation.AT_LEAST, 0.0, worlds=1, what=what, truth=gap / 4)


@check(
    "additivity",
    laws={"kl_divergence": "D(P₁ × P₂ ‖ Q₁ × Q₂) = D(P₁‖Q₁) + D(P₂‖Q₂)"},
    source=f"{BOOK}, theorem 2.5.3",
    kind="statistical",
)
def additivity(trial: Trial) -> Iterator[Case]:
    """Three estimates from the same draws of independent columns, in one and two dimensions."""
    trial.needs(2 in trial.promises.dims(1, 2), "max_dim=1")
    n, world = trial.profile.rows, "independent normal columns, those of Q wider"
    laws = Gaussian(np.ones(2), 0.25 * np.eye(2)), Gaussian(np.zeros(2), 2.25 * np.eye(2))

    def sides(rng: np.random.Generator) -> tuple[float, float]:
        x, y = laws[0].sample(n, rng), laws[1].sample(int(ROWS_OF_Q * n), rng)
        parts = sum(trial.value(world, x[:, [j]], y[:, [j]]) for j in range(2))
        return trial.value(world, x, y), parts

    margin = of_laws(world, *laws, gaussian=True).margin(trial.promises, n)
    yield trial.decided(world, sides, Relation.EQUAL, margin, worlds=1, what="a mean D̂(X‖Y) − Σ_j D̂(X_j‖Y_j) of")


@check(
    "data_processing",
    laws={"kl_divergence": "D(f(X)‖f(Y)) ≤ D(X‖Y), and D(X + N‖Y + N') ≤ D(X‖Y), N and N' of one law"},
    source=f"{BOOK}, theorem 2.8.1",
    kind="statistical",
)
def data_processing(trial: Trial) -> Iterator[Case]:
    """A column dropped, and noise added to both: neither tells the laws better apart."""
    n = trial.profile.rows
    maps: list[tuple[str, int, Callable[[Samples, np.random.Generator], Samples]]] = [
        ("with noise", 1, lambda x, rng: x + 2 * rng.standard_normal(x.shape))
    ]
    if 2 in trial.promises.dims(1, 2):
        maps.append(("without the second column", 2, lambda x, rng: x[:, :1]))
    for name, d, processed in maps:

        def sides(
            rng: np.random.Generator, name: str = name, d: int = d,
            processed: Callable[[Samples, np.random.Generator], Samples] = processed,
        ) -> tuple[float, float]:  # fmt: skip
            x, y = (gaussian_rows(rng, m, d) for m in (n, int(ROWS_OF_Q * n)))
            x, y = x + np.where(np.arange(d) == 0, 1.5, 0.0), 1.5 * y
            return trial.value(name, processed(x, rng), processed(y, rng)), trial.value("X and Y", x, y)

        what = "a mean D̂(f(X)‖f(Y)) − D̂(X‖Y) of"
        yield trial.decided(f"X and Y {name}", sides, Relation.AT_MOST, 0.0, worlds=len(maps), what=what)


@check(
    "unequal_columns",
    laws={"kl_divergence": "P and Q are laws on one space"},
    source="a sample of other columns is one of another variable",
    kind="contract",
)
def unequal_columns(trial: Trial) -> Iterator[Case]:
    """One column beside two, which broadcasting would stretch."""
    trial.needs(trial.promises.guards_input, "guards_input=False")
    trial.needs(2 in trial.promises.dims(1, 2), "max_dim=1")
    x, y = ordinary("kl_divergence", trial.rng("sample"), N, 2)
    for world, samples in {
        "two columns of x, one of y": (x, y[:, :1]), "one column of x, two of y": (x[:, :1], y),
    }.items():  # fmt: skip
        yield trial.refused(world, *samples, truth=np.nan, usual=(x, y))


@check(
    "disjoint_support",
    laws={"kl_divergence": "P(q = 0) > 0 ⇒ D(P‖Q) = ∞"},
    source=f"{BOOK}, section 8.5",
    kind="contract",
)
def disjoint_support(trial: Trial) -> Iterator[Case]:
    """All of P where Q is zero: an estimate that can warn does so."""
    trial.needs(trial.promises.family == "any", 'family="gaussian": such laws are not of it')
    x, y = (trial.rng(name).uniform(size=(n, 1)) for name, n in (("x", N), ("y", 2 * N)))
    usual = trial.answer("uniform on one interval", x, y)
    trial.needs(usual.estimate is not None, "answers are plain numbers, which cannot warn")
    yield trial.refused("uniform on [0, 1] and on [5, 6]", x, y + 5, truth=np.inf)
