"""What an application gives the kernel: a deterministic state machine.

`decide` checks a command against the state and says which events it causes; `evolve` records an
event and cannot refuse. The kernel calls `decide` only on the primary, `evolve` on every node, in
the same order, with the same arguments: the state is a function of the log alone (I8).

    Accepted   the command causes events; the answer leaves once they are committed (R1)
    Answered   a read: the answer depends on the state but adds nothing to it (a duplicate, a
               conflict, an unknown transaction); it leaves once that state is committed (R1, R7)
    Refused    nothing was done and nothing will be (a bound is met); it leaves at once
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from es.codec import Plain


class Event(NamedTuple):
    """One event as an application states it; the kernel adds its place in the log.

    `body` is plain data (es.codec): the application's own record as a tuple.
    """

    type: str
    version: int
    actor: str
    request_id: str | bytes
    body: Any


@dataclass(slots=True, frozen=True)
class Accepted:
    """The command is taken: `events` go into the log, `answer` leaves when they are committed.
    `reports` is the index of the event that the answer reports; a repetition must name the same one."""

    events: Sequence[Event]
    answer: Any
    reports: int = -1


@dataclass(slots=True, frozen=True)
class Answered:
    """A read. `seq` names the event the answer repeats, or None if it repeats none."""

    answer: Any
    seq: int | None = None


@dataclass(slots=True, frozen=True)
class Refused:
    """Refused before anything was done; safe to retry anywhere."""

    answer: Any


Decision = Accepted | Answered | Refused


class Machine(Protocol):
    """A deterministic state machine with its state. One instance is one state; `fresh` gives an empty one."""

    name: str
    """The `application` of its entries: short, stable, unique in a cluster."""

    def fresh(self) -> Machine:
        """An empty machine of the same kind and configuration."""
        ...

    def decide(self, command: Any, now_us: int) -> Decision:
        """Check `command` at the log's time `now_us`. Changes nothing. The kernel evolves the events
        it returns at once, so that the next command is decided on top of them."""
        ...

    def evolve(self, event: Event, seq: int, ts_us: int) -> None:
        """Record one event. Raises UnknownEvent for a type or version it does not know (the node
        halts rather than skip it); anything else it raises is a broken invariant and halts too."""
        ...

    def next_deadline(self) -> int | None:
        """Log time (µs) at which `due` first has something, or None."""
        ...

    def due(self, now_us: int, events_max: int) -> Sequence[Event]:
        """Events that time alone causes at `now_us` (expiries), oldest deadline first. Changes nothing."""
        ...

    def extend(self, by_us: int) -> None:
        """The servers were away for `by_us` (R13): move every deadline that far."""
        ...

    def to_plain(self) -> Plain:
        """The whole state as plain data, equal for equal histories; its digest compares nodes."""
        ...


class UnknownEvent(Exception):
    """The log holds an event this program does not know. The node must halt, not skip it."""
