"""The rules of a chain of batches, as every store enforces them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from es.codec import Batch
from es.log.base import EMPTY, Head, Write


def head_of(batch: Batch) -> Head:
    """The end of a chain whose last batch is `batch`."""
    return Head(batch.last_seq, batch.epoch, batch.hash, batch.ts_us)


def broken_link(head: Head, batch: Batch) -> str | None:
    """Why `batch` cannot follow `head`, or None if it does (I2, I3, R13). Equal epochs and equal
    times may follow one another; lower ones may not."""
    if batch.first_seq != head.seq + 1:
        return f"seq {batch.first_seq} follows seq {head.seq}"
    if batch.prev_hash != head.hash:
        return f"the batch at seq {batch.first_seq} names another predecessor ({batch.prev_hash.hex()[:16]})"
    if batch.epoch < head.epoch:
        return f"the epoch falls from {head.epoch} to {batch.epoch} at seq {batch.first_seq}"
    if batch.ts_us < head.ts_us:
        return f"time falls from {head.ts_us} to {batch.ts_us} µs at seq {batch.first_seq}"
    return None


def extend(head: Head, batches: Sequence[Batch]) -> Head:
    """The head after `batches`. AssertionError if one does not continue the chain."""
    for batch in batches:
        broken = broken_link(head, batch)
        assert broken is None, broken
        head = head_of(batch)
    return head


class Durable(NamedTuple):
    """What a store knows by heart: the end of its chain, its commit point and its records."""

    head: Head = EMPTY
    commit_seq: int = 0
    records: Mapping[str, bytes] = MappingProxyType({})

    def after(self, write: Write, kept: Head) -> Durable:
        """This state once `write` is durable; `kept` is the head that its truncation leaves.

        AssertionError if the write breaks the chain, cuts committed batches off (I4) or commits what
        is not there.
        """
        assert kept.seq >= self.commit_seq, f"truncating to seq {kept.seq} below the commit point {self.commit_seq}"
        head = extend(kept, write.batches)
        commit_seq = self.commit_seq if write.commit_seq is None else max(self.commit_seq, write.commit_seq)
        assert commit_seq <= head.seq, f"committing seq {commit_seq} past the head {head.seq}"
        records = {**self.records, **dict(write.records)} if write.records else self.records
        return Durable(head, commit_seq, records)
