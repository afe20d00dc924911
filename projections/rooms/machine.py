"""The rooms application as the kernel runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from es.codec import Plain
from es.machine import Decision, Event
from projections.rooms import decide, registrar
from projections.rooms.catalog import Catalog
from projections.rooms.commands import Answer, CloseTerm, RaiseAlert, Release, Reserve
from projections.rooms.decide import Settings
from projections.rooms.inventory import Inventory
from projections.rooms.limits import Bounds
from projections.rooms.policy import POLICIES, WHOLE_THEN_MOBILE

NAME = "rooms"
"""The `application` of this machine's entries."""

HOLD_MS = 5_000
"""How long a proposal waits for its answer unless configured otherwise (A9)."""


class Rooms:
    """es.machine.Machine for rooms. `catalog` is what new terms open with; a term keeps the one it opened with. `terms`
    are all that may be asked for (None: any)."""

    name = NAME

    def __init__(
        self,
        catalog: Catalog,
        *,
        hold_ms: int = HOLD_MS,
        policy: str = WHOLE_THEN_MOBILE,
        bounds: Bounds = Bounds(),  # noqa: B008 - immutable
        terms: frozenset[str] | None = None,
    ) -> None:
        assert hold_ms > 0, "a hold lasts some time"
        self.settings = Settings(catalog, hold_ms, POLICIES[policy], bounds, terms)
        self.inventory = Inventory()

    def fresh(self) -> Rooms:
        """An empty machine of the same configuration."""
        settings = self.settings
        return Rooms(
            settings.catalog,
            hold_ms=settings.hold_ms,
            policy=settings.policy.name,
            bounds=settings.bounds,
            terms=settings.terms,
        )

    def decide(self, command: Any, now_us: int) -> Decision:
        """See `es.machine.Machine.decide`. `command` is one of `commands.Command`; never raises on its content."""
        match command:
            case Reserve():
                return decide.reserve(self.inventory, self.settings, command, now_us)
            case Answer():
                return decide.answer(self.inventory, command, now_us)
            case Release():
                return registrar.release(self.inventory, command)
            case CloseTerm():
                return registrar.close_term(self.inventory, command)
            case RaiseAlert():
                return registrar.raise_alert(self.inventory, command)
        raise AssertionError(f"not a command of the rooms application: {command!r}")

    def evolve(self, event: Event, seq: int, ts_us: int) -> None:
        """See `es.machine.Machine.evolve`. Conservation (A14) is asserted after every event."""
        self.inventory.record(event, seq, ts_us)

    def next_deadline(self) -> int | None:
        """Log time (µs) of the earliest hold's deadline, or None."""
        return self.inventory.holds.next_deadline_us()

    def due(self, now_us: int, events_max: int) -> Sequence[Event]:
        """One Expired for each hold whose deadline is reached, earliest first (A9)."""
        return [decide.expiry_of(hold) for hold in self.inventory.holds.due(now_us, events_max)]

    def extend(self, by_us: int) -> None:
        """Move every deadline `by_us` into the future (R13)."""
        self.inventory.holds.extend(by_us)

    def to_plain(self) -> Plain:
        """The whole state; equal for equal histories, whatever the hash seed (R14)."""
        return self.inventory.to_plain()
