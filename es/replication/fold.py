"""The state of every application at one position of the log: a fold of events, nothing else (I8)."""

from __future__ import annotations

from collections.abc import Iterable

from es.codec import Batch, Entry
from es.machine import Event, Machine, UnknownEvent
from es.replication import events
from es.replication.events import OutageExtended


class Fold:
    """Applications' states after event `seq`. On a primary `seq` runs ahead of the commit point."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        self.machines = {machine.name: machine.fresh() for machine in machines}
        self.seq = 0

    def fresh(self) -> Fold:
        """The same applications before the first event."""
        return Fold(self.machines.values())

    def apply(self, batch: Batch) -> None:
        """Fold a whole batch. Raises UnknownEvent; the node must halt then."""
        assert batch.first_seq == self.seq + 1, "a fold has no gaps"
        for entry in batch.entries:
            self.evolve(entry, batch.ts_us)

    def evolve(self, entry: Entry, ts_us: int) -> None:
        """Fold the next event."""
        self.seq += 1
        if entry.application == events.APPLICATION:
            event = events.read(entry)
            if isinstance(event, OutageExtended):
                for machine in self.machines.values():
                    machine.extend(event.by_us)
            return
        machine_ = self.machines.get(entry.application)
        if machine_ is None:
            raise UnknownEvent(f"no application is called {entry.application!r}")
        machine_.evolve(Event(*entry[2:]), self.seq, ts_us)

    def next_deadline(self) -> int | None:
        """Earliest log time at which any application has something due."""
        deadlines = [at for machine in self.machines.values() if (at := machine.next_deadline()) is not None]
        return min(deadlines, default=None)
