"""A kernel in thirty lines: decides, writes batches, folds. No replication, everything commits at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from es.codec import GENESIS_HASH, Batch, Entry, decode_batch, encode_batch
from es.machine import Accepted, Decision, Event
from es.replication import events as kernel
from projections.rooms.commands import Answer, Proposal, Reserve, Result
from projections.rooms.machine import Rooms

START = kernel.EpochStarted("a", ("a", "b"), "start", silence_ms=0, promote_ms=0)


class Driver:
    """One machine and its log. `now_us` is the log's clock and moves only when told."""

    def __init__(self, machine: Rooms, now_us: int = 1_000_000) -> None:
        self.machine = machine
        self.now_us = now_us
        self.batches: list[Batch] = []

    def do(self, command: Any, *, expire_first: bool = True) -> Any:
        """Decide `command`, commit what it causes, give its answer."""
        return self.decide(command, expire_first=expire_first).answer

    def decide(self, command: Any, *, expire_first: bool = True) -> Decision:
        if expire_first:
            self.expire()
        decision = self.machine.decide(command, self.now_us)
        if isinstance(decision, Accepted):
            self._commit([(self.machine.name, event) for event in decision.events])
        return decision

    def expire(self) -> None:
        """Commit every expiry that is due."""
        while due := self.machine.due(self.now_us, 3):
            self._commit([(self.machine.name, event) for event in due])

    def begin_epoch(self, started: kernel.EpochStarted = START) -> None:
        """Commit that an epoch begins, as every log of a cluster begins."""
        self._commit([(kernel.APPLICATION, kernel.record(started))])

    def extend(self, by_us: int) -> None:
        """Commit that the servers were away."""
        self._commit([(kernel.APPLICATION, kernel.record(kernel.OutageExtended(by_us)))])

    def commit(self, application: str, event: Event) -> None:
        """Commit that event, whoever caused it."""
        self._commit([(application, event)])

    def _commit(self, caused: list[tuple[str, Event]]) -> None:
        entries = [Entry(offset, application, *event) for offset, (application, event) in enumerate(caused)]
        first_seq = self.batches[-1].last_seq + 1 if self.batches else 1
        previous = self.batches[-1].hash if self.batches else GENESIS_HASH
        batch = encode_batch(1, first_seq, previous, self.now_us, entries)
        self.batches.append(decode_batch(batch.data))
        fold(self.machine, batch)

    def events(self, *types: str) -> list[Entry]:
        """Entries of these types, or all."""
        return [entry for batch in self.batches for entry in batch.entries if not types or entry.type in types]

    def reserve(self, transaction_id: str, classrooms: int, labs: int, **other: Any) -> Any:
        return self.do(request(transaction_id, classrooms, labs, **other))

    def accept(self, transaction_id: str, faculty_id: int | None = 1) -> Result:
        result = self.do(Answer(transaction_id, faculty_id, accept=True))
        assert isinstance(result, Result)
        return result

    def reject(self, transaction_id: str, faculty_id: int | None = 1) -> Result:
        result = self.do(Answer(transaction_id, faculty_id, accept=False))
        assert isinstance(result, Result)
        return result

    def allocate(self, transaction_id: str, classrooms: int, labs: int, **other: Any) -> Result:
        """Both steps."""
        assert isinstance(self.reserve(transaction_id, classrooms, labs, **other), Proposal)
        return self.accept(transaction_id, other.get("faculty_id", 1))


def fold(machine: Rooms, batch: Batch) -> None:
    """What every node does with a batch."""
    for entry in batch.entries:
        if entry.application == kernel.APPLICATION:
            event = kernel.read(entry)
            if isinstance(event, kernel.OutageExtended):
                machine.extend(event.by_us)
        else:
            machine.evolve(Event(*entry[2:]), batch.first_seq + entry.offset, batch.ts_us)


def replays(machine: Rooms, batches: list[Batch]) -> Iterator[Rooms]:
    """A fresh machine after each batch, folded from the bytes alone."""
    other = machine.fresh()
    for batch in batches:
        fold(other, decode_batch(batch.data))
        yield other


def request(transaction_id: str, classrooms: int, labs: int, **other: Any) -> Reserve:
    values: dict[str, Any] = {
        "faculty_id": 1, "faculty": "Ingeniería", "program_id": 1, "program": "Sistemas", "term": "2025-2",
        "partial": False,
    } | other  # fmt: skip
    return Reserve(transaction_id=transaction_id, classrooms=classrooms, labs=labs, **values)
