"""The smallest application worth replicating: credits with ids, and the sum of them. For tests of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from es.codec import Plain
from es.machine import Accepted, Answered, Decision, Event, Refused, UnknownEvent

CREDIT_MAX = 1_000_000


class Credit(NamedTuple):
    """Add `amount` once, however often it is asked under this id."""

    request_id: str
    amount: int


class Total(NamedTuple):
    """Read the sum."""


class Credited(NamedTuple):
    """Answer to Credit: the sum right after it, the same for every repetition."""

    request_id: str
    total: int


class Ledger:
    """A Machine (es.machine)."""

    name = "ledger"

    def __init__(self) -> None:
        self.total = 0
        self.credited: dict[str, tuple[int, int]] = {}

    def fresh(self) -> Ledger:
        return Ledger()

    def decide(self, command: Credit | Total, now_us: int) -> Decision:
        if isinstance(command, Total):
            return Answered(self.total)
        if not 0 <= command.amount <= CREDIT_MAX:
            return Refused("amount out of range")
        known = self.credited.get(command.request_id)
        if known is not None:
            seq, total = known
            return Answered(Credited(command.request_id, total), seq)
        event = Event("Credited", 1, "client", command.request_id, (command.amount,))
        return Accepted((event,), Credited(command.request_id, self.total + command.amount))

    def evolve(self, event: Event, seq: int, ts_us: int) -> None:
        if (event.type, event.version) != ("Credited", 1):
            raise UnknownEvent(f"{event.type} version {event.version}")
        assert isinstance(event.request_id, str) and event.request_id not in self.credited
        self.total += event.body[0]
        self.credited[event.request_id] = (seq, self.total)

    def next_deadline(self) -> int | None:
        return None

    def due(self, now_us: int, events_max: int) -> Sequence[Event]:
        return ()

    def extend(self, by_us: int) -> None:
        """A ledger has no deadlines."""

    def to_plain(self) -> Plain:
        return (self.total, tuple(sorted((key, *value) for key, value in self.credited.items())))
