"""What leaves an information as it is, or moves an entropy by a known amount: exactly, on one sample.

The maps are exact in floating point (permutations, integers added to multiples of 2⁻³⁰, powers of two), so that a
right answer moves by rounding alone; a rotation rounds its own result.
"""

from collections.abc import Iterator

import numpy as np

from itssl.estimate import NATS_PER_BIT
from itssl.testing.checks.trial import Trial, check, outcome_of, unit_hint
from itssl.testing.checks.worlds import ordinary
from itssl.testing.findings import Case

N = 240
BOOK = "Cover & Thomas (2006), Elements of Information Theory"


def _samples(trial: Trial, d: int) -> tuple[np.ndarray, ...]:
    return ordinary(trial.check.quantity, trial.rng("sample", d), N, d)


def _world(d: int, change: str = "") -> str:
    return f"{N} correlated normal rows of {d} column{'s' * (d > 1)}{', ' * bool(change)}{change}"


@check(
    "row_order",
    laws={
        "entropy": "ĥ(x_π) = ĥ(x) for every order π of the rows",
        "mutual_information": "Î(x_π, y_π) = Î(x, y)",
        "kl_divergence": "D̂(x_π, y_σ) = D̂(x, y) for all orders π, σ",
    },
    source="independent rows have no order",
    kind="exact",
)
def row_order(trial: Trial) -> Iterator[Case]:
    """The rows shuffled, and backwards; of two samples that are no pairs, first one and then the other."""
    trial.needs(trial.promises.order_invariant, "order_invariant=False")
    for d in trial.promises.dims(1, 2):
        samples = _samples(trial, d)
        expected = trial.value(_world(d), *samples)
        for name, order in (("shuffled", lambda n: trial.rng("order").permutation(n)), ("backwards", _backwards)):
            if trial.check.quantity == "kl_divergence":
                x, y = samples
                moved = {f"x {name}": (x[order(len(x))], y), f"y {name}": (x, y[order(len(y))])}
            else:
                moved = {name: tuple(x[order(N)] for x in samples)}
            for change, given in moved.items():
                world = _world(d, change)
                yield trial.same(world, expected, trial.value(world, *given))


def _backwards(n: int) -> np.ndarray:
    return np.arange(n)[::-1]


@check(
    "translation",
    laws={
        "entropy": "h(X + b) = h(X)",
        "mutual_information": "I(X + a; Y + b) = I(X; Y)",
        "kl_divergence": "D is the same for x + b and y + b",
    },
    source=f"{BOOK}, theorem 8.6.3",
    kind="exact",
)
def translation(trial: Trial) -> Iterator[Case]:
    """Rows moved away from the origin by a hundred standard deviations."""
    trial.needs(trial.promises.translation_invariant, "translation_invariant=False")
    for d in trial.promises.dims(1, 2):
        samples = _samples(trial, d)
        expected = trial.value(_world(d), *samples)
        for shift in (128.0, -37.0):
            world = _world(d, f"each number + {shift:g}")
            yield trial.same(world, expected, trial.value(world, *(x + shift for x in samples)))


@check(
    "scale",
    laws={
        "entropy": "h(aX) = h(X) + d log|a|",
        "mutual_information": "I(aX; aY) = I(X; Y)",
        "kl_divergence": "D is the same for a x and a y, a ≠ 0",
    },
    source=f"{BOOK}, theorem 8.6.4",
    kind="exact",
)
def scale(trial: Trial) -> Iterator[Case]:
    """Units from 2⁻⁴⁰ to 2⁴⁰, and a mirror; 16 columns, where a determinant would leave the range of floats.

    A clipped entropy is left out where the law says that it is negative.
    """
    trial.needs(trial.promises.scale_invariant, "scale_invariant=False")
    entropy = trial.check.quantity == "entropy"
    for d in trial.promises.dims(1, 2, 16):
        samples = _samples(trial, d)
        base = trial.value(_world(d), *samples)
        for power, sign in ((-40, 1), (40, 1), (3, -1)):
            growth = d * power * NATS_PER_BIT if entropy else 0.0
            if entropy and trial.promises.clips_at_zero and (base + growth <= 0 or base <= 0):
                continue
            world = _world(d, f"each number times {'-' * (sign < 0)}2^{power}")
            found = trial.value(world, *(x * (sign * 2.0**power) for x in samples))
            case = trial.same(world, base + growth, found)
            hint = unit_hint(growth, found - base, 1e-6 * abs(growth))
            yield Case(world=world, expected=case.expected, arrived=case.arrived + hint, outcome=case.outcome)


@check(
    "own_units",
    laws={
        "entropy": "h(DX) = h(X) + Σ log|D_jj|, D diagonal",
        "mutual_information": "I(DX; EY) = I(X; Y), D, E diagonal, or multiples of I",
        "kl_divergence": "D is the same for D x and D y, D diagonal",
    },
    source=f"{BOOK}, theorem 8.6.4 and its corollary",
    kind="exact",
)
def own_units(trial: Trial) -> Iterator[Case]:
    """Every column in units of its own, or where ``apart_invariant`` alone is promised, every variable."""
    columns = trial.promises.marginal_invariant
    trial.needs(columns or getattr(trial.promises, "apart_invariant", False), "marginal_invariant=False")
    for d in trial.promises.dims(1, 2):
        samples = _samples(trial, d)
        base = trial.value(_world(d), *samples)
        sign = 1 if trial.check.quantity == "kl_divergence" else -1
        powers = [(31.0 * np.arange(d) * columns - 20.0) * sign**i for i in range(len(samples))]
        growth = NATS_PER_BIT * powers[0].sum() if trial.check.quantity == "entropy" else 0.0
        world = _world(d, "columns times " + " and ".join(str([f"2^{p:g}" for p in power]) for power in powers))
        found = trial.value(world, *(x * 2.0**power for x, power in zip(samples, powers, strict=True)))
        yield trial.same(world, base + growth, found)


@check(
    "rotation",
    laws={"entropy": "h(QX) = h(X), QᵀQ = I", "kl_divergence": "D is the same for Q x and Q y, QᵀQ = I"},
    source=f"{BOOK}, corollary of theorem 8.6.4",
    kind="exact",
)
def rotation(trial: Trial) -> Iterator[Case]:
    """A random rotation of 2, 3 and 5 columns."""
    trial.needs(trial.promises.rotation_invariant, "rotation_invariant=False")
    dims = [d for d in trial.promises.dims(2, 3, 5) if d > 1]
    trial.needs(bool(dims), "max_dim=1: nothing to rotate")
    for d in dims:
        samples = _samples(trial, d)
        q = np.linalg.qr(trial.rng("rotation", d).standard_normal((d, d)))[0]
        world = _world(d, "rotated")
        yield trial.same(world, trial.value(_world(d), *samples), trial.value(world, *(x @ q for x in samples)))


@check(
    "linear_map",
    laws={"kl_divergence": "D is the same for A x and A y, A invertible"},
    source=f"{BOOK}, theorem 2.8.1 for the map and for its inverse",
    kind="exact",
)
def linear_map(trial: Trial) -> Iterator[Case]:
    """Triangular maps of integers, whose inverses are of integers too."""
    trial.needs(trial.promises.linear_invariant, "linear_invariant=False")
    for d in trial.promises.dims(1, 2, 3):
        samples, a = _samples(trial, d), np.tril(np.full((d, d), 2.0), -1) - np.eye(d)
        world = _world(d, "times an invertible matrix")
        yield trial.same(world, trial.value(_world(d), *samples), trial.value(world, *(x @ a for x in samples)))


@check(
    "symmetry",
    laws={"mutual_information": "I(X; Y) = I(Y; X)"},
    source=f"{BOOK}, eq. 2.46",
    kind="exact",
)
def symmetry(trial: Trial) -> Iterator[Case]:
    """The two variables exchanged."""
    trial.needs(trial.promises.symmetric, "symmetric=False")
    for d in trial.promises.dims(1, 2):
        x, y = _samples(trial, d)
        yield trial.same(_world(d, "x and y exchanged"), trial.value(_world(d), x, y), trial.value(_world(d), y, x))


@check(
    "second_column",
    laws={
        "entropy": "h(X₁, X₂) = h(X₁) + h(X₂|X₁): the second column counts",
        "mutual_information": "I(X₁, X₂; Y) ≥ I(X₁; Y): the second column counts",
    },
    source=f"{BOOK}, theorems 8.6.2 and 2.5.2",
    kind="contract",
)
def second_column(trial: Trial) -> Iterator[Case]:
    """All that is to be known is in the last column, in turn of each variable; then its rows are shuffled."""
    trial.needs(2 in trial.promises.dims(1, 2), "max_dim=1")
    rng = trial.rng("sample")
    noise, z = rng.standard_normal((2, N, 1))
    order = rng.permutation(N)
    told = np.hstack([noise, z])
    if trial.check.quantity == "entropy":
        pairs = [((np.hstack([z, z + 0.1 * noise]),), (np.hstack([z, (z + 0.1 * noise)[order]]),), "x")]
    else:
        near = z + 0.3 * rng.standard_normal((N, 1))
        shuffled = np.hstack([noise, z[order]])
        pairs = [((told, near), (shuffled, near), "x"), ((near, told), (near, shuffled), "y")]
    for samples, changed, name in pairs:
        world = f"{N} rows, the second column of {name} shuffled"
        before, after = trial.value(f"{N} rows", *samples), trial.value(world, *changed)
        yield Case(
            world=world, expected=f"another number than {before:.9g}", arrived=f"{after:.9g}",
            outcome=outcome_of(abs(after - before) > 1e-3),
        )  # fmt: skip


@check(
    "reference",
    laws={
        "entropy": "the same formula, written twice, gives one number",
        "mutual_information": "the same formula, twice",
        "kl_divergence": "the same formula, twice",
    },
    source="differential testing: the definition beside the routine",
    kind="exact",
)
def reference(trial: Trial) -> Iterator[Case]:
    """Against the estimator in ``reference``, on small and larger samples."""
    other = trial.promises.reference
    trial.needs(other is not None, "no reference given")
    for d in trial.promises.dims(1, 3):
        for n in (30, N):
            samples = ordinary(trial.check.quantity, trial.rng("sample", n, d), n, d)
            world = f"{n} correlated normal rows of {d} column{'s' * (d > 1)}"
            yield trial.same(world, trial.value(world, *samples, estimator=other), trial.value(world, *samples))


@check(
    "k_counts",
    laws={
        "entropy": "ĥ with k and with k' ≠ k neighbors differ",
        "mutual_information": "Î with k and with k' differ",
        "kl_divergence": "D̂ with k and with k' differ",
    },
    source="Kozachenko & Leonenko (1987); Kraskov, Stögbauer & Grassberger (2004); Wang, Kulkarni & Verdú (2009)",
    kind="contract",
)
def k_counts(trial: Trial) -> Iterator[Case]:
    """k = 2, 4 and 8 neighbors give three numbers, and k neighbors need more than k rows."""
    made = trial.promises.with_k
    trial.needs(made is not None, "with_k not given")
    samples = _samples(trial, 1)
    values = {k: trial.value(f"k = {k}", *samples, estimator=made(k)) for k in (2, 4, 8)}
    for k, other in ((2, 4), (4, 8)):
        yield Case(
            world=_world(1, f"k = {other}"), expected=f"another number than with k = {k}, {values[k]:.9g}",
            arrived=f"{values[other]:.9g}", outcome=outcome_of(abs(values[k] - values[other]) > 1e-6),
        )  # fmt: skip
    for n in (8, 5) if trial.promises.guards_input else ():
        few = [x[:n] for x in samples]
        yield trial.refused(f"k = 8 neighbors among {n} rows", *few, truth=np.nan, estimator=made(8))
