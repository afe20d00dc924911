"""The writes of a seed, what a log must hold after each, and whether a log holds it.

A history is what a server asks of its log: batches of any size, moving commit points, records replaced,
uncommitted suffixes cut off. Its n-th write stores n in a record, so that a log says itself how far it came.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from es.codec import Batch, Entry, encode_batch
from es.errors import LogDamaged, LogError, LogMissing
from es.log.base import EMPTY, EventLog, Head, Identity, Write
from es.log.chain import Durable, head_of
from es.log.lmdb_log import LmdbLog
from es.log.verify import verify_in_child

IDENTITY = Identity(cluster_id="proof", node="a", incarnation="5eed")
WRITES_RECORD = "writes"

BODY_BYTES = (8, 60, 200, 3_000)
"""Bodies are drawn up to one of these: a batch above about 2 kB fills pages of its own."""

TRUNCATING_SHARE = 0.08
BATCHES_A_WRITE_MAX = 3
EVENTS_A_BATCH_MAX = 5


class Step(NamedTuple):
    """A write and what a log holds once it is durable."""

    write: Write
    durable: Durable
    chain: tuple[Batch, ...]


class History:
    """The writes of one seed, as many as asked for; the same seed gives the same bytes."""

    def __init__(self, seed: int) -> None:
        self._drawn = random.Random(f"history {seed}")
        self._steps = [Step(Write(), Durable(), ())]

    def step(self, number: int) -> Step:
        """Write `number`, from 1; step 0 is the log as it was created."""
        while len(self._steps) <= number:
            self._steps.append(self._next())
        return self._steps[number]

    def _next(self) -> Step:
        drawn, last = self._drawn, self._steps[-1]
        commit_seq = last.durable.commit_seq
        cut = [batch for batch in last.chain if batch.last_seq >= commit_seq][:-1]
        kept = last.chain
        truncate_after = None
        if cut and drawn.random() < TRUNCATING_SHARE:
            truncate_after = drawn.choice(cut).last_seq
            kept = tuple(batch for batch in last.chain if batch.last_seq <= truncate_after)
        kept_head = head_of(kept[-1]) if kept else EMPTY
        batches = tuple(_batches(drawn, kept_head, drawn.randint(0, BATCHES_A_WRITE_MAX)))
        chain = kept + batches
        ends = [batch.last_seq for batch in chain if batch.last_seq > commit_seq]
        committed = drawn.choice(ends) if ends and drawn.random() < 0.6 else None
        records = [(WRITES_RECORD, b"%d" % len(self._steps))]
        if drawn.random() < 0.3:
            records.append(("register", drawn.randbytes(drawn.randint(20, 120))))
        write = Write(batches, truncate_after, committed, tuple(records))
        return Step(write, last.durable.after(write, kept_head), chain)


def _batches(drawn: random.Random, head: Head, count: int) -> Iterator[Batch]:
    for _ in range(count):
        size = drawn.choice(BODY_BYTES)
        entries = [
            Entry(offset, "rooms", "Reserved", 1, "faculty:3", "", drawn.randbytes(drawn.randint(1, size)))
            for offset in range(drawn.randint(1, EVENTS_A_BATCH_MAX))
        ]
        batch = encode_batch(head.epoch + (drawn.random() < 0.1), head.seq + 1, head.hash, head.ts_us + 900, entries)
        yield batch
        head = head_of(batch)


def writes_in(log: EventLog) -> int:
    """How many writes of a history this log says it holds."""
    return int(log.record(WRITES_RECORD) or b"0")


class Fault(NamedTuple):
    """What is wrong with a log after a crash. `kind`: "lost" (an acknowledged write is gone), "altered" (it
    holds what was never written to it) or the code of the error with which it refused (`LOG_DAMAGED`)."""

    kind: str
    what: str


def fault(log: EventLog, history: History, acknowledged: int, begun: int) -> Fault | None:
    """Why `log` is not what a crash may leave of a history of which `begun` writes had begun and
    `acknowledged` were acknowledged; None if it is. It must hold exactly the first n, with n in between."""
    written = writes_in(log)
    if written < acknowledged:
        return Fault("lost", f"it holds {written} writes of {acknowledged} acknowledged ones")
    if written > begun:
        return Fault("altered", f"it holds {written} writes of {begun} begun ones")
    step = history.step(written)
    if (log.head(), log.commit_seq()) != (step.durable.head, step.durable.commit_seq):
        return Fault("altered", f"after write {written} it ends at seq {log.head().seq}, not {step.durable.head.seq}")
    for name, value in step.durable.records.items():
        if log.record(name) != value:
            return Fault("altered", f"after write {written} its record {name} is another")
    if [batch.data for batch in log.batches()] != [batch.data for batch in step.chain]:
        return Fault("altered", f"after write {written} its batches are others")
    return None


def fault_at(path: Path, history: History, acknowledged: int, begun: int) -> Fault | None:
    """`fault` of the log in `path`; one that does not open is refused with the code of its error."""
    try:
        with closing(LmdbLog.open(path)) as log:
            return fault(log, history, acknowledged, begun)
    except LogError as error:
        return Fault(error.code, str(error))


def fault_on_start(path: Path, history: History, acknowledged: int) -> Fault | None:
    """`fault_at`, for a log that a single writer left, and verified first as a server does. With `acknowledged`
    -1 not even its creation was: then there may be none."""
    try:
        verify_in_child(path)
    except LogMissing as missing:
        return None if acknowledged < 0 else Fault("lost", str(missing))
    except LogDamaged as damage:
        return Fault(damage.code, str(damage))
    return fault_at(path, history, max(acknowledged, 0), max(acknowledged, 0) + 1)
