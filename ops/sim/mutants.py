"""The rooms application with one rule broken (es.testing.mutants says how), and all mutants by name."""

from __future__ import annotations

from typing import Any

from es.codec import BatchBuilder
from es.limits import DUE_EVENTS_PER_BATCH
from es.machine import Answered, Decision
from es.replication.instant import Instant
from es.replication.leading import Leading
from es.replication.log_clock import LogClock
from es.testing import mutants as kernel
from es.testing.chain_mutants import CHAIN_MUTANTS
from es.testing.mutants import Mutant
from es.testing.silence_mutants import SILENCE_MUTANTS
from ops.sim.faculty_mutants import FACULTY_MUTANTS
from projections.rooms import decide, inventory
from projections.rooms.commands import Reserve
from projections.rooms.holds import Holds
from projections.rooms.identity import request_id_of
from projections.rooms.inventory import Inventory
from projections.rooms.machine import Rooms
from projections.rooms.outcome import Outcome
from projections.rooms.term import RoomSet, Term

_decide = Rooms.decide


def _expire_silently(self: Leading, batch: BatchBuilder) -> None:
    fold = self.node.fold
    for machine in fold.machines.values():
        for event in machine.due(batch.ts_us, DUE_EVENTS_PER_BATCH):
            machine.evolve(event, fold.seq, batch.ts_us)


def _decide_afresh(self: Rooms, command: Any, now_us: int) -> Decision:
    if isinstance(command, Reserve) and command.term not in self.inventory.closed_terms:
        return decide._propose(self.inventory, self.settings, command, request_id_of(command.transaction_id), now_us)
    return _decide(self, command, now_us)


def _wall_ts(self: LogClock, now: Instant) -> int:  # noqa: ARG001 - it takes a method's place
    return now.wall_us


def _rooms_without_mobile(
    term: Term, classrooms: tuple[int, ...], labs: tuple[int, ...], mobile: tuple[int, ...]
) -> RoomSet:
    return RoomSet(term.catalog.mask(classrooms + labs), len(classrooms), len(labs), len(mobile))


def _extend_nothing(self: Holds, by_us: int) -> None:
    """Deadlines stay."""


def _repeat_without_compare(state: Inventory, command: Reserve, kept: Outcome) -> Decision:
    return Answered(decide._result_of(state, command.transaction_id, kept), kept.seq)


ROOMS_MUTANTS: dict[str, Mutant] = {
    "expiry not logged": Mutant(
        "A9", "a hold ends on the primary without an event", ((Leading, "_expire", _expire_silently),)
    ),
    "no duplicate table": Mutant("A10", "a repetition is decided afresh", ((Rooms, "decide", _decide_afresh),)),
    "conflict taken for a repetition": Mutant(
        "A10", "another request under a known id gets the first one's result",
        ((decide, "_repeat_finished", _repeat_without_compare),),
    ),
    "mobile lab counted twice": Mutant(
        "A14", "a classroom lent as a lab stays free as a classroom",
        ((inventory, "_rooms_of", _rooms_without_mobile),),
    ),
    "deadline by wall clock": Mutant("R13", "the log's time is the wall clock's", ((LogClock, "ts_us", _wall_ts),)),
    "deadlines not extended": Mutant(
        "R13", "holds run on while nobody serves", ((Holds, "extend", _extend_nothing),)
    ),
}  # fmt: skip

MUTANTS: dict[str, Mutant] = kernel.MUTANTS | CHAIN_MUTANTS | SILENCE_MUTANTS | ROOMS_MUTANTS | FACULTY_MUTANTS
"""Every mutant by name."""
