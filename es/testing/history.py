"""What a committed log alone must show, whatever application wrote it: one primary an epoch, epochs that never fall,
a chain without gaps. `python -m es.log.verify` reads whether its bytes are sound; here is whether its story is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from es.codec import Batch, Entry
from es.log.base import EMPTY
from es.log.chain import broken_link, head_of
from es.replication import events
from es.replication.events import EpochStarted


class BrokenRule(NamedTuple):
    """A rule that a log breaks, at an event of it. `rule` names it."""

    seq: int
    rule: str
    sentence: str


def check_history(batches: Iterable[Batch]) -> Iterator[BrokenRule]:
    """Every broken rule of a committed log from its beginning (points 6 and 7 of the checker's list), in order:
    `chain` (I2), `epoch` (I1, I3)."""
    head = EMPTY
    for batch in batches:
        if broken := broken_link(head, batch):
            yield BrokenRule(batch.first_seq, "chain", broken)
        begins = batch.epoch != head.epoch
        for entry in batch.entries:
            yield from _check_entry(batch, entry, begins=begins and entry.offset == 0)
        head = head_of(batch)


def _check_entry(batch: Batch, entry: Entry, *, begins: bool) -> Iterator[BrokenRule]:
    """An epoch's first event, and no other one, says who leads it."""
    seq = batch.first_seq + entry.offset
    starts = entry.application == events.APPLICATION and entry.type == EpochStarted.__name__
    if starts != begins:
        what = "begins without saying who leads it" if begins else "begins a second time"
        yield BrokenRule(seq, "epoch", f"epoch {batch.epoch} {what}")
    elif starts:
        started = events.read(entry)
        assert isinstance(started, EpochStarted)
        if started.primary not in started.in_sync:
            yield BrokenRule(seq, "epoch", f"epoch {batch.epoch} is led by {started.primary}, which is not in sync")
