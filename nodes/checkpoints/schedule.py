"""When a server signs where its committed log stands. Pure: clocks and the durable end are arguments."""

from __future__ import annotations

from typing import Final, NamedTuple

from es.log.base import EMPTY, Head

SPACING_EVENTS: Final = 1_000
"""A batch that passes a multiple of this is signed at once, and its checkpoint is kept for ever."""

DELAY_US: Final = 1_000_000
"""Nothing stays committed and unsigned for longer, on a node that is in sync."""

INTERVAL_US: Final = 100_000
"""Never more often, whatever the load: signing, sending and checking stay far below a percent of a core."""


class Due(NamedTuple):
    """Sign this; `lasting` if it belongs into the history, not only in the place of the newest."""

    head: Head
    lasting: bool


class CheckpointSchedule:
    """`signed` is the newest checkpoint of this log, `kept` the last one of its history; EMPTY if there is none."""

    def __init__(self, signed: Head = EMPTY, kept: Head = EMPTY) -> None:
        self._signed = signed
        self._kept = kept
        self._newest = signed
        self._uncovered_us = 0
        self._signed_us = -INTERVAL_US

    def committed(self, head: Head, now_us: int) -> None:
        """The log is committed up to `head`, the end of a batch."""
        if head.seq <= self._newest.seq:
            return
        if self._newest == self._signed:
            self._uncovered_us = now_us
        self._newest = head

    def begin_again(self, now_us: int) -> None:
        """Nothing counts as signed: the key is another one."""
        self._signed = self._kept = EMPTY
        self._uncovered_us = now_us

    def due_us(self, durable_seq: int) -> int | None:
        """Boot time (µs) at which the next signature is due; None if nothing can be signed until more is committed or
        durable. What is not durable here is not signed: a node that is not in sync may learn that a batch is
        committed before its own disk has it."""
        if self._newest == self._signed or self._newest.seq > durable_seq:
            return None
        at_us = self._uncovered_us if self._lasting() else self._uncovered_us + DELAY_US
        return max(at_us, self._signed_us + INTERVAL_US)

    def due(self, durable_seq: int, now_us: int, *, last: bool = False) -> Due | None:
        """What must be signed now, if anything; it counts as signed. `last` does not wait."""
        due_us = self.due_us(durable_seq)
        if due_us is None or (now_us < due_us and not last):
            return None
        due = Due(self._newest, self._lasting())
        self._signed, self._signed_us = self._newest, now_us
        if due.lasting:
            self._kept = self._newest
        return due

    def _lasting(self) -> bool:
        newest, kept = self._newest, self._kept
        return newest.epoch > kept.epoch or newest.seq // SPACING_EVENTS > kept.seq // SPACING_EVENTS
