"""The kernel's own events. They stand in the same log, under the application name `es`."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from es.codec import Entry
from es.machine import Event, UnknownEvent

APPLICATION = "es"
ACTOR = "es"


class EpochStarted(NamedTuple):
    """First event of every epoch. `cause` is `start`, `failover`, `shrink` or `grow`; `silence_ms` is how
    long no beacon had come when the new primary acted, `promote_ms` from then to its first batch (R5)."""

    primary: str
    in_sync: tuple[str, ...]
    cause: str
    silence_ms: int
    promote_ms: int


class OutageExtended(NamedTuple):
    """Every deadline moved by `by_us`: no hold expires because the servers were away (R13)."""

    by_us: int


class InSyncChanged(NamedTuple):
    """The nodes whose acknowledgement a commit now needs."""

    in_sync: tuple[str, ...]


class ClockAnomaly(NamedTuple):
    """The primary's wall clock moved by `jump_us` against its boot clock. Nothing depends on it (R13)."""

    jump_us: int


KernelEvent: TypeAlias = EpochStarted | OutageExtended | InSyncChanged | ClockAnomaly

TYPES: dict[tuple[str, int], type[Any]] = {
    (event.__name__, 1): event for event in (EpochStarted, OutageExtended, InSyncChanged, ClockAnomaly)
}


def record(event: KernelEvent) -> Event:
    """The event as the log keeps it."""
    return Event(type(event).__name__, 1, ACTOR, "", tuple(event))


def read(entry: Entry) -> KernelEvent:
    """The event an entry holds. Raises UnknownEvent."""
    known = TYPES.get((entry.type, entry.version))
    if known is None:
        raise UnknownEvent(f"{entry.application}/{entry.type} version {entry.version}")
    return known(*entry.body)  # type: ignore[no-any-return]
