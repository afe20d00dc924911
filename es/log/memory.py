"""An event log in memory: the contract of es.log.base without a disk."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter

from es.codec import Batch
from es.log.base import EMPTY, EventLog, Head, Identity, Write
from es.log.chain import Durable, head_of

_first_seq = attrgetter("first_seq")


class MemoryLog(EventLog):
    """Durable for as long as the object lives: `close` releases nothing, and a simulated restart
    takes up the same object."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._durable = Durable()
        # Grows in place but is replaced by a truncation: a reader on another thread takes the
        # reference once and never sees a list shrink under its index.
        self._batches: list[Batch] = []
        self._bytes_used = 0

    @property
    def identity(self) -> Identity:
        return self._identity

    def head(self) -> Head:
        return self._durable.head

    def commit_seq(self) -> int:
        return self._durable.commit_seq

    def record(self, name: str) -> bytes | None:
        return self._durable.records.get(name)

    def write(self, write: Write) -> Head:
        kept = self._batches
        head = self._durable.head
        if write.truncate_after is not None and write.truncate_after < head.seq:
            kept = kept[: bisect_right(kept, write.truncate_after, key=_first_seq)]
            head = head_of(kept[-1]) if kept else EMPTY
            assert head.seq == write.truncate_after, f"seq {write.truncate_after} is inside a batch"
        durable = self._durable.after(write, head)
        if kept is not self._batches:
            self._bytes_used = sum(len(batch.data) for batch in kept)
            self._batches = kept
        kept.extend(write.batches)
        self._bytes_used += sum(len(batch.data) for batch in write.batches)
        self._durable = durable
        return durable.head

    def batch_at(self, seq: int) -> Batch | None:
        batches = self._batches
        index = bisect_right(batches, seq, key=_first_seq) - 1
        if index < 0 or batches[index].last_seq < seq:
            return None
        return batches[index]

    def batches(self, from_seq: int = 1) -> Iterator[Batch]:
        batches = self._batches
        from_seq = max(from_seq, 1)
        if from_seq > self._durable.head.seq:
            return
        index = bisect_right(batches, from_seq, key=_first_seq) - 1
        while index < len(batches):
            batch = batches[index]
            yield batch
            if self._batches is not batches:  # a truncation replaced the list
                batches = self._batches
                index = bisect_right(batches, batch.last_seq, key=_first_seq) - 1
            index += 1
            if index < len(batches) and batches[index].prev_hash != batch.hash:
                return  # it replaced the history that this iteration had followed

    def bytes_used(self) -> int:
        return self._bytes_used

    def close(self) -> None:
        """Nothing to release."""
