"""A failing schedule made small enough to read: ever fewer faults, as long as the same invariant breaks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from es.testing.faults import RATES, FaultProfile
from es.testing.mutants import applied
from ops.sim.mutants import MUTANTS
from ops.sim.suite import Failure, Schedule, run_schedule

RUNS_MAX = 2_000
SECONDS_MAX = 60.0
DRAWS = 16
"""A schedule without a fault is another one from there on: its messages get so many chances to meet again."""


class Seen(NamedTuple):
    """One schedule: what broke, if anything; its trace and the numbers of the faults that struck until then."""

    schedule: Schedule
    failure: Failure | None
    trace: tuple[str, ...]
    struck: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Smaller is easier to read: faults that struck, then rates that are not calm."""
        return len(self.struck), len(_rates(self.schedule))


class Shrunk(NamedTuple):
    """A failure as it was met and as it became, and how many schedules that took."""

    before: Seen
    after: Seen
    runs: int


def watch(schedule: Schedule, mutant: str | None) -> Seen:
    """Run a schedule and tell everything; a trace ends with what is violated."""
    trace: list[str] = []
    struck: list[int] = []
    failure: Failure | None = None
    with applied(MUTANTS[mutant] if mutant else None):
        try:
            run_schedule(schedule, trace, struck)
        except Exception as error:  # noqa: BLE001 - whatever a schedule raises is what it found
            failure = Failure.of(schedule, error)
            trace.append(f"VIOLATION {failure.sentence}")
    return Seen(schedule, failure, tuple(trace), tuple(struck))


def shrink(
    schedule: Schedule, mutant: str | None, runs_max: int = RUNS_MAX, seconds_max: float = SECONDS_MAX
) -> Shrunk:
    """The same invariant broken with as few faults as greed finds (after ddmin: halves, quarters … single ones; Zeller
    and Hildebrandt, TSE 2002), within both bounds. Raises ValueError if nothing fails there."""
    before = watch(schedule, mutant)
    if before.failure is None:
        raise ValueError(f"nothing fails at {schedule}")
    search = _Search(before, before.failure.invariant, mutant, runs_max, time.monotonic() + seconds_max)
    search.calm()
    search.leave_out()
    search.calm()
    return Shrunk(before, search.best, search.runs)


def _rates(schedule: Schedule) -> list[str]:
    """The rates that are not zero in it."""
    profile = FaultProfile.drawn(schedule.seed).calmed(schedule.calm)
    return [rate for rate in RATES if getattr(profile, rate) > 0]


class _Search:
    """`best` is the smallest schedule so far that breaks the invariant."""

    def __init__(self, before: Seen, invariant: str, mutant: str | None, runs_max: int, until_s: float) -> None:
        self.best = before
        self.runs = 0
        self._invariant = invariant
        self._mutant = mutant
        self._runs_max = runs_max
        self._until_s = until_s

    def calm(self) -> None:
        """All rates at once, or else one by one."""
        rates = _rates(self.best.schedule)
        if not self._calm(rates):
            for rate in rates:
                self._calm([rate])

    def _calm(self, rates: Sequence[str]) -> bool:
        schedule = self.best.schedule
        return bool(rates) and self._try_draws(schedule._replace(calm=schedule.calm.union(rates)))

    def leave_out(self) -> None:
        """Neighbouring faults: all, then ever fewer at a time, until every single one is needed."""
        length = len(self.best.struck)
        while length:
            left_out = self._leave_out(length)
            if length == 1 and not left_out:
                return
            length = max(1, length // 2)

    def _leave_out(self, length: int) -> bool:
        at, left_out = 0, False
        while at < len(self.best.struck):
            schedule, faults = self.best.schedule, self.best.struck[at : at + length]
            if self._try_draws(schedule._replace(without=schedule.without.union(faults))):
                left_out = True
            else:
                at += length
        return left_out

    def _try_draws(self, schedule: Schedule) -> bool:
        draws = (self.best.schedule.draw, *range(DRAWS))
        return any(self._try(schedule._replace(draw=draw)) for draw in dict.fromkeys(draws))

    def _try(self, schedule: Schedule) -> bool:
        if self.runs >= self._runs_max or time.monotonic() >= self._until_s:
            return False
        self.runs += 1
        seen = watch(schedule, self._mutant)
        same = seen.failure is not None and seen.failure.invariant == self._invariant
        if not same or seen.size >= self.best.size:
            return False
        self.best = seen
        return True
