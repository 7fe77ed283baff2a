r"""What a run consists of: checks, comparisons and the chain, and the error rate that each may spend.

If cell i goes wrong with probability at most $\alpha_i$, any of them does with probability at most $\sum_i \alpha_i$,
however they depend on each other (Bonferroni). For a check, $\alpha_i$ supposes that its gaps are shares, or means near
enough to normal. For a stated value it covers only to be said to disagree wrongly: agreement within wide errors says
little. A check within floating-point rounding judges the draws that it made, and no others; it spends nothing.
"""

import importlib
import pkgutil
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from itssl.choices import ParameterError, require_known
from itssl.claims.chain import measure_chain
from itssl.claims.chain_answer import Chain
from itssl.claims.check import check
from itssl.claims.claim import Claim, claims
from itssl.claims.decision import FIRST_LOOK, FloatingPoint
from itssl.claims.stated_values import ERROR_RATE, Comparison, compare, stated_values
from itssl.claims.verdict import MAX_REPLICATES, Verdict, call

Level: TypeAlias = Literal["quick", "default", "full"]
LEVELS: tuple[Level, ...] = get_args(Level)

THEOREM_RATE = 1e-4
FINDING_RATE = 1e-3  # of three trainings, intervals at a tenth of this rate would be three times as wide
FAMILY_WISE_BUDGET = 0.1  # of all that `itssl verify --full` decides
_SECONDS = {"quick": 1.0, "default": 5.0, "full": 20.0, "finding": 20.0}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How cells are run: the seed, the error rates of checks, and the most replicates.

    ``finding_rate`` is that of findings which can only average fewer replicates than the rule first looks at.
    """

    seed: int = 0
    theorem_rate: float = THEOREM_RATE
    finding_rate: float = FINDING_RATE
    max_replicates: int = MAX_REPLICATES

    def rate(self, claim: Claim) -> float:
        """The error rate of each check of the claim and of its controls."""
        few = claim.max_replicates is not None and claim.max_replicates < FIRST_LOOK
        return self.finding_rate if claim.kind == "finding" and few else self.theorem_rate


@dataclass(frozen=True)
class Cell:
    """One check to run: a claim, or one of its controls, in a world; names only."""

    claim: str
    world: str
    control: str | None = None

    def __str__(self) -> str:
        return f"{self.claim} in {self.world!r}" + (f", control {self.control!r}" if self.control is not None else "")

    def measure(self, settings: Settings) -> Verdict:
        """The verdict."""
        return check(self.claim, self.world, **self._options(settings))

    def fits(self, answer: Any, settings: Settings) -> bool:
        """Whether this is a verdict on this check."""
        return isinstance(answer, Verdict) and (
            (answer.claim, answer.world, answer.control, answer.seed)
            == (self.claim, self.world, self.control, settings.seed)
        )

    def spends(self, settings: Settings) -> float:
        """The error rate of this check, 0 for one within floating-point rounding."""
        claim = claims()[self.claim]
        tolerance = claim.world(self.world).tolerance or claim.tolerance
        return 0.0 if isinstance(tolerance, FloatingPoint) else settings.rate(claim)

    @property
    def trained(self) -> tuple[str, str] | None:
        """What cells have in common that train the same networks: findings, in one world."""
        return (self.claim, self.world) if claims()[self.claim].kind == "finding" else None

    @property
    def expected_seconds(self) -> float:
        """A guess where nothing is known; findings train networks."""
        claim = claims()[self.claim]
        return _SECONDS["finding" if claim.kind == "finding" else claim.world(self.world).level]

    def modules(self) -> tuple[str, ...]:
        """The modules that state the claim and its controls; none for a claim that was changed or made elsewhere."""
        claim = claims()[self.claim]
        module = sys.modules.get(claim.sides.__module__)
        if module is None or not any(value is claim for value in vars(module).values()):
            return ()
        return tuple(sorted({f.__module__ for f in (claim.sides, *(c.sides for c in claim.controls))}))

    def shell(self, settings: Settings) -> str:
        """The shell command that repeats exactly this check."""
        control = f" --control {shlex.quote(self.control)}" if self.control is not None else ""
        rate, usual = settings.rate(claims()[self.claim]), Settings().rate(claims()[self.claim])
        options = f" --false-verdict-rate {rate!r}" * (rate != usual)
        options += f" --max-replicates {settings.max_replicates}" * (settings.max_replicates != MAX_REPLICATES)
        return (
            f"itssl check {shlex.quote(self.claim)} {shlex.quote(self.world)}{control} --seed {settings.seed}{options}"
        )

    def python(self, settings: Settings) -> str:
        """Lines of Python that repeat this check."""
        options = {name: value for name, value in self._options(settings).items() if value != MAX_REPLICATES}
        return f"import itssl\nprint({call(self.claim, self.world, **options)})"

    def _options(self, settings: Settings) -> dict[str, Any]:
        rate = settings.rate(claims()[self.claim])
        return {"control": self.control, "seed": settings.seed, "false_verdict_rate": rate,
                "max_replicates": settings.max_replicates}  # fmt: skip


@dataclass(frozen=True)
class StatedCell:
    """One comparison to make: a stated value of a claim."""

    claim: str
    quantity: str

    def __str__(self) -> str:
        return f"stated value {self._name!r}"

    @property
    def _name(self) -> str:
        return f"{self.claim}: {self.quantity}"

    def measure(self, settings: Settings) -> Comparison:
        """The comparison."""
        return compare(self._name, seed=settings.seed)

    def fits(self, answer: Any, settings: Settings) -> bool:
        """Whether this is the comparison of this value."""
        return isinstance(answer, Comparison) and (
            (answer.claim, answer.quantity, answer.seed) == (self.claim, self.quantity, settings.seed)
        )

    def spends(self, settings: Settings) -> float:
        """The error rate of this comparison, 0 for one that draws nothing; it covers wrong disagreement only."""
        value = stated_values()[self._name]
        return ERROR_RATE if value.measure is not None and value.replicates > 1 else 0.0

    @property
    def trained(self) -> tuple[str, str] | None:
        """As of a check: the long ones of a claim train."""
        return (self.claim, "stated") if stated_values()[self._name].level == "full" else None

    @property
    def expected_seconds(self) -> float:
        """A guess where nothing is known."""
        return _SECONDS[stated_values()[self._name].level]

    def modules(self) -> tuple[str, ...]:
        """The module that states the value."""
        package = importlib.import_module("itssl.claims.stated")
        names = [f"{package.__name__}.{m.name}" for m in pkgutil.iter_modules(package.__path__)]
        return tuple(n for n in names if stated_values()[self._name] in importlib.import_module(n).VALUES)

    def shell(self, settings: Settings) -> str:
        """The shell command that repeats exactly this comparison."""
        return f"python -c {shlex.quote(self.python(settings).replace(chr(10), '; '))}"

    def python(self, settings: Settings) -> str:
        """Lines of Python that repeat this comparison."""
        return f"from itssl.claims.stated_values import compare\nprint(compare({self._name!r}, seed={settings.seed}))"


@dataclass(frozen=True)
class ChainCell:
    """The chain from log N to the VICReg loss, measured once."""

    trained: ClassVar[None] = None
    expected_seconds: ClassVar[float] = 20.0

    def __str__(self) -> str:
        return "the chain"

    def measure(self, settings: Settings) -> Chain:
        """The chain."""
        return measure_chain(seed=settings.seed)

    def fits(self, answer: Any, settings: Settings) -> bool:
        """Whether this is a chain of this seed."""
        return isinstance(answer, Chain) and answer.seed == settings.seed

    def spends(self, settings: Settings) -> float:
        """Nothing: the chain is measured, not judged."""
        return 0.0

    def modules(self) -> tuple[str, ...]:
        """The module that measures it."""
        return (measure_chain.__module__,)

    def shell(self, settings: Settings) -> str:
        """The shell command that repeats exactly this measurement."""
        return f"python -c {shlex.quote(self.python(settings).replace(chr(10), '; '))}"

    def python(self, settings: Settings) -> str:
        """Lines of Python that repeat this measurement."""
        return f"from itssl.claims.chain import measure_chain\nprint(measure_chain(seed={settings.seed}))"


@dataclass(frozen=True, kw_only=True)
class CellError:
    """A cell that raised instead of answering."""

    cell: Any
    message: str
    traceback: str


def plan(ids: Iterable[str] | None = None, level: Level = "default") -> tuple[Any, ...]:
    """The cells of the named claims (all claims unless given): each world of the level, then each control.

    A world takes part at its own level and above ("quick" ⊂ "default" ⊂ "full"), where the package that it needs is
    installed; a control with its world.

    Raises UnknownNameError for an unknown claim or level, ParameterError for a string in place of a list, or a claim
    without a world at the level.

    >>> plan(["C17"], "quick")[0].claim
    'C17'
    """
    if isinstance(ids, str):
        raise ParameterError(f"ids: expected a list of identifiers, got the string {ids!r}; write [{ids!r}]")
    require_known("level", level, LEVELS)
    wanted = list(dict.fromkeys(claims() if ids is None else ids))
    cells: list[Any] = []
    for id in wanted:
        require_known("claim", id, claims())
        claim, rank = claims()[id], LEVELS.index(level)
        worlds = [w for w in claim.worlds if LEVELS.index(w.level) <= rank and w.available]
        if not worlds:
            least = min((w.level for w in claim.worlds), key=LEVELS.index)
            raise ParameterError(f"level: {id} has no world at level {level!r}; run it at level {least!r}")
        cells += [Cell(id, w.name) for w in worlds]
        cells += [Cell(id, c.world.name, c.name) for c in claim.controls if LEVELS.index(c.world.level) <= rank]
    return tuple(cells)


def left_out(ids: Iterable[str] | None = None, level: Level = "default") -> tuple[str, ...]:
    """A sentence for each world that would take part if the package that it needs were installed.

    >>> left_out(["C10"], "full")
    ()
    """
    chosen = [claims()[id] for id in (claims() if ids is None else ids)]
    return tuple(
        f"left out: {c.id} in {w.name!r}, which needs the package {w.needs}"
        for c in chosen
        for w in c.worlds
        if LEVELS.index(w.level) <= LEVELS.index(level) and not w.available
    )


def plan_measurements(ids: Iterable[str] | None = None, level: Level = "default") -> tuple[Any, ...]:
    """What is measured beside the claims: their stated values at the level, and for all claims above "quick" the chain.

    >>> [cell.claim for cell in plan_measurements(["C25"], "quick")][:1]
    ['C25']
    """
    rank, wanted = LEVELS.index(level), None if ids is None else set(ids)
    values = [v for v in stated_values().values() if LEVELS.index(v.level) <= rank]
    stated = tuple(StatedCell(v.claim, v.quantity) for v in values if wanted is None or v.claim in wanted)
    return stated + ((ChainCell(),) if wanted is None and level != "quick" else ())


def family_wise_rate(cells: Iterable[Any], settings: Settings = Settings()) -> float:
    """The sum of the cells' error rates: an upper bound on the probability that any goes wrong, as far as they say.

    >>> round(family_wise_rate(plan(["C17"], "quick")), 6) <= FAMILY_WISE_BUDGET
    True
    """
    return sum(cell.spends(settings) for cell in cells)
