"""What a crash may leave of a file, given the calls that wrote it.

A plain write is pending until the next flush of the file has returned; a synchronous one until it has returned
itself. Whatever is pending at the crash survives in part: each sector of each pending write is on the disk or
is not, in any combination. A sector (512 B) itself is written whole or not at all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ops.prove.recording import Call, Kind

SECTOR_BYTES = 512


class Pending(NamedTuple):
    """Bytes that a call wrote and that nothing has made durable."""

    offset: int
    data: bytes


class CrashPoint(NamedTuple):
    """A moment between two calls or within one: what is durable, what is pending (in the order written), the
    number of the write acknowledged last, and the newest content of the file last_write (es.log.last_write), which
    nothing flushes."""

    durable: bytes
    pending: tuple[Pending, ...]
    acknowledged: int
    noted: bytes


def crash_points(calls: Sequence[Call], *, flushes_lie: bool = False) -> Iterator[CrashPoint]:
    """Every moment from the first acknowledgement on. With `flushes_lie` a flush makes nothing durable."""
    durable = bytearray()
    pending: list[Pending] = []
    acknowledged: int | None = None
    noted = b""
    for call in calls:
        match call.kind:
            case Kind.WRITE:
                pending.append(Pending(call.offset, call.data))
            case Kind.FLUSH if not flushes_lie:
                _write(durable, pending)
                pending.clear()
            case Kind.RESIZE:
                raise AssertionError("the log resizes its file, and the model does not say what a crash leaves of that")
            case Kind.ACKNOWLEDGED:
                acknowledged = int(call.data)
            case Kind.NOTED:
                noted = call.data
        if acknowledged is not None:
            yield CrashPoint(bytes(durable), tuple(pending), acknowledged, noted)
        if call.kind is Kind.WRITE and call.synchronous:
            _write(durable, [pending.pop()])


def image(point: CrashPoint, drawn: random.Random) -> bytearray:
    """One of the files that a crash at `point` may leave."""
    left = bytearray(point.durable)
    survive = drawn.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    torn = drawn.random() < 0.7
    for pending in point.pending:
        parts = _sectors(pending) if torn else [pending]
        _write(left, [part for part in parts if drawn.random() < survive])
    return left


def _sectors(pending: Pending) -> Iterator[Pending]:
    """A write in parts, none of which goes over a sector's border."""
    at, end = pending.offset, pending.offset + len(pending.data)
    while at < end:
        border = min(end, at - at % SECTOR_BYTES + SECTOR_BYTES)
        yield Pending(at, pending.data[at - pending.offset : border - pending.offset])
        at = border


def _write(file: bytearray, parts: Sequence[Pending]) -> None:
    for offset, data in parts:
        if len(file) < offset:
            file.extend(bytes(offset - len(file)))
        file[offset : offset + len(data)] = data
