"""Where the suite finds each mutant: by which directed schedules, and at the first of which seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ops.sim.mutants import MUTANTS
from ops.sim.pool import Pool
from ops.sim.suite import Failure, Schedule, Tally, chunks, run_directed, run_schedules


class Found(NamedTuple):
    """What found a mutant: the directed schedules that failed, and the first seed that did (None: none of those
    that were tried)."""

    mutant: str
    directed: tuple[Failure, ...]
    seeded: Failure | None

    @property
    def survives(self) -> bool:
        """Nothing found it: the suite has a hole."""
        return not self.directed and self.seeded is None

    def row(self) -> dict[str, Any]:
        """For a table or JSON. `invariant` is what was violated at the seed, or else in the first directed schedule."""
        failures = [failure for failure in (self.seeded, *self.directed) if failure is not None]
        at = self.seeded.where if self.seeded is not None else None
        return {
            "mutant": self.mutant,
            "rule": MUTANTS[self.mutant].rule,
            "load": at.load if isinstance(at, Schedule) else None,
            "seed": at.seed if isinstance(at, Schedule) else None,
            "invariant": failures[0].invariant if failures else None,
            "directed": [str(failure.where) for failure in self.directed],
        }


def search(
    pool: Pool, names: Sequence[str], loads: Sequence[str], seeds: range, tell: Callable[[int], None]
) -> list[Found]:
    """Every mutant under the settings of a long run, each until it is found; `tell` hears how many are."""
    seeded: dict[str, Failure] = {}

    def wanted() -> Iterator[tuple[str, list[Schedule]]]:
        for chunk in chunks(loads, seeds):
            yield from ((name, chunk) for name in names if name not in seeded)

    for name, tally in pool.in_order(_run, wanted()):
        if tally.failure is not None and name not in seeded:
            seeded[name] = tally.failure
            tell(len(seeded))
    return [Found(name, tuple(run_directed(name)), seeded.get(name)) for name in names]


def _run(mutant: str, schedules: Sequence[Schedule]) -> tuple[str, Tally]:
    return mutant, run_schedules(schedules, mutant)
