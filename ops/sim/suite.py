"""The suite that proves the protocol and is measured by mutants: directed schedules, then a seed after another,
each with the ledger and with the rooms application."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from es.machine import Machine
from es.testing import schedule
from es.testing.cluster import Load
from es.testing.directed import DIRECTED
from es.testing.ledger import Ledger
from es.testing.ledger_load import LedgerLoad
from es.testing.mutants import applied
from es.testing.scenario import play
from ops.sim.mutants import MUTANTS
from ops.sim.rooms_load import RoomsLoad, machine

LEDGER = "ledger"
ROOMS = "rooms"

LOADS: dict[str, tuple[Callable[[], Sequence[Machine]], Callable[[int], Load]]] = {
    LEDGER: (lambda: (Ledger(),), LedgerLoad),
    ROOMS: (lambda: (machine(),), RoomsLoad),
}
"""By name: the application, and the clients of one seed."""

SEEDS_PER_TASK = 20


class Failure(NamedTuple):
    """What broke, and where: `name` is the load's, or the directed schedule's (then `seed` is None)."""

    name: str
    seed: int | None
    sentence: str

    def __str__(self) -> str:
        where = f"directed schedule {self.name!r}" if self.seed is None else f"seed {self.seed} of {self.name}"
        return f"{where}: {self.sentence}"

    def replay(self, mutant: str | None) -> str:
        """The command that shows this failure again, with what led to it."""
        breaking = f' --mutant "{mutant}"' if mutant else ""
        if self.seed is None:
            return f"python -m ops.sim --seeds 0{breaking}"
        return f"python -m ops.sim --load {self.name} --first {self.seed} --seeds 1 --trace{breaking}"


class Tally(NamedTuple):
    """What a number of schedules met; `failure` is the first one in order of seeds."""

    schedules: int
    commands: int
    faults: int
    counts: Counter[str]
    failure: Failure | None

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        return Tally(
            self.schedules + other.schedules, self.commands + other.commands, self.faults + other.faults,
            self.counts + other.counts, self.failure or other.failure,
        )  # fmt: skip


NOTHING = Tally(0, 0, 0, Counter(), None)


def run_seed(name: str, seed: int, trace: list[str] | None = None) -> schedule.Outcome:
    """One schedule of one load. Raises what schedule.run raises."""
    machines, load = LOADS[name]
    return schedule.run(seed, machines, load(seed), trace=trace)


def run_seeds(names: Sequence[str], seeds: Sequence[int], mutant: str | None = None) -> Tally:
    """Every load at every seed, up to the first failure."""
    tally = NOTHING
    with applied(MUTANTS[mutant] if mutant else None):
        for seed in seeds:
            for name in names:
                try:
                    met = run_seed(name, seed)
                except Exception as error:  # noqa: BLE001 - whatever a schedule raises is what it found
                    return tally._replace(failure=Failure(name, seed, _sentence(error)))
                tally += Tally(1, met.commands, met.faults, met.counts, None)
    return tally


def run_directed(mutant: str | None = None) -> Failure | None:
    """Every directed schedule, up to the first failure."""
    with applied(MUTANTS[mutant] if mutant else None):
        for name, script in DIRECTED.items():
            try:
                play(script)
            except Exception as error:  # noqa: BLE001 - whatever a schedule raises is what it found
                return Failure(name, None, _sentence(error))
    return None


def _sentence(error: Exception) -> str:
    return str(error) if type(error).__name__ == "Violation" else f"{type(error).__name__}: {error}"


def run_parallel(names: Sequence[str], seeds: range, mutant: str | None, jobs: int) -> Tally:
    """As `run_seeds`, on `jobs` processes; ends soon after the first failure."""
    tasks = [seeds[at : at + SEEDS_PER_TASK] for at in range(0, len(seeds), SEEDS_PER_TASK)]
    tally = NOTHING
    with ProcessPoolExecutor(jobs) as pool:
        for part in pool.map(run_seeds, [names] * len(tasks), tasks, [mutant] * len(tasks)):
            tally += part
            if tally.failure is not None:
                pool.shutdown(cancel_futures=True)
                break
    return tally


def find(mutant: str, seeds: range) -> Failure | None:
    """The first place at which the suite finds a mutant, or None: it survives."""
    return run_directed(mutant) or run_seeds((LEDGER, ROOMS), seeds, mutant).failure
