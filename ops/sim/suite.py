"""The suite that proves the protocol and is measured by mutants: directed schedules, then a seed after another,
each with every load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from es.machine import Machine
from es.testing import schedule
from es.testing.checker import Violation
from es.testing.cluster import Load
from es.testing.coverage import NOT_COVERED, Coverage
from es.testing.directed import DIRECTED
from es.testing.faults import FaultProfile
from es.testing.ledger import Ledger
from es.testing.ledger_load import LedgerLoad
from es.testing.mutants import applied
from es.testing.scenario import play
from ops.sim.faculties_load import FacultiesLoad
from ops.sim.mutants import MUTANTS
from ops.sim.pool import Pool
from ops.sim.rooms_load import RoomsLoad
from ops.sim.small_rooms import machine

LEDGER = "ledger"
ROOMS = "rooms"
FACULTIES = "faculties"

LOADS: dict[str, tuple[Callable[[], Sequence[Machine]], Callable[[int], Load]]] = {
    LEDGER: (lambda: (Ledger(),), LedgerLoad),
    ROOMS: (lambda: (machine(),), RoomsLoad),
    FACULTIES: (lambda: (machine(),), FacultiesLoad),
}
"""By name: the application, and the clients of one seed."""

SEEDS_PER_TASK = 20


class Schedule(NamedTuple):
    """A seed of a load; without the faults of these numbers, with these rates of its profile at zero, and with another
    draw of what befalls single messages."""

    load: str
    seed: int
    without: frozenset[int] = frozenset()
    calm: frozenset[str] = frozenset()
    draw: int = 0

    def __str__(self) -> str:
        return f"seed {self.seed} of {self.load}"

    def options(self) -> str:
        """What `aulario sim` is told to run it."""
        without = f" --without {','.join(map(str, sorted(self.without)))}" if self.without else ""
        calm = f" --calm {','.join(sorted(self.calm))}" if self.calm else ""
        draw = f" --draw {self.draw}" if self.draw else ""
        return f"--load {self.load} --seed {self.seed}{without}{calm}{draw}"


class Failure(NamedTuple):
    """What broke, and where: in a schedule, or in the directed schedule of that name. `invariant` is the
    violation's name, or the type of what a production assertion raised."""

    where: Schedule | str
    invariant: str
    sentence: str

    @classmethod
    def of(cls, where: Schedule | str, error: Exception) -> Failure:
        """What a schedule raised is what it found."""
        if isinstance(error, Violation):
            return cls(where, error.name, str(error))
        return cls(where, type(error).__name__, f"{type(error).__name__}: {error}")

    def __str__(self) -> str:
        where = f"directed schedule {self.where!r}" if isinstance(self.where, str) else str(self.where)
        return f"{where}: {self.sentence}"

    def replay(self, mutant: str | None) -> str:
        """The command that shows this failure again, with what led to it."""
        options = "--seeds 0" if isinstance(self.where, str) else f"{self.where.options()} --trace"
        return f"aulario sim {options}" + (f' --mutant "{mutant}"' if mutant else "")


class Tally(NamedTuple):
    """What a number of schedules met; `failure` is the first one in order of seeds."""

    schedules: int
    commands: int
    faults: int
    counts: Counter[str]
    coverage: Coverage
    failure: Failure | None

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        return Tally(
            self.schedules + other.schedules, self.commands + other.commands, self.faults + other.faults,
            self.counts + other.counts, self.coverage + other.coverage, self.failure or other.failure,
        )  # fmt: skip


NOTHING = Tally(0, 0, 0, Counter(), NOT_COVERED, None)


def run_schedule(one: Schedule, trace: list[str] | None = None, struck: list[int] | None = None) -> schedule.Outcome:
    """One schedule of one load. Raises what schedule.run raises."""
    machines, load = LOADS[one.load]
    profile = FaultProfile.drawn(one.seed).calmed(one.calm)
    return schedule.run(
        one.seed, machines, load(one.seed), profile=profile, trace=trace, without=one.without, draw=one.draw,
        struck=struck,
    )  # fmt: skip


def run_schedules(schedules: Sequence[Schedule], mutant: str | None = None) -> Tally:
    """One after another, up to the first failure."""
    tally = NOTHING
    with applied(MUTANTS[mutant] if mutant else None):
        for one in schedules:
            try:
                met = run_schedule(one)
            except Exception as error:  # noqa: BLE001 - whatever a schedule raises is what it found
                return tally._replace(failure=Failure.of(one, error))
            tally += Tally(1, met.commands, met.faults, met.counts, met.coverage, None)
    return tally


def chunks(loads: Sequence[str], seeds: range) -> Iterator[list[Schedule]]:
    """Every load at every seed, in order, in pieces worth sending to another process."""
    for at in range(0, len(seeds), SEEDS_PER_TASK):
        yield [Schedule(load, seed) for seed in seeds[at : at + SEEDS_PER_TASK] for load in loads]


def run_parallel(pool: Pool, loads: Sequence[str], seeds: range, mutant: str | None) -> Iterator[Tally]:
    """Every load at every seed: what has been met so far, again and again until the first failure or the end."""
    tally = NOTHING
    for part in pool.in_order(run_schedules, ((chunk, mutant) for chunk in chunks(loads, seeds))):
        tally += part
        yield tally
        if tally.failure is not None:
            return


def run_directed(mutant: str | None = None) -> list[Failure]:
    """Every directed schedule; those that fail."""
    failures = []
    with applied(MUTANTS[mutant] if mutant else None):
        for name, script in DIRECTED.items():
            try:
                play(script)
            except Exception as error:  # noqa: BLE001 - whatever a schedule raises is what it found
                failures.append(Failure.of(name, error))
    return failures
