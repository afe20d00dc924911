"""A node's chain of batches: what the log holds durably, and the recent end of it in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from es.codec import GENESIS_HASH, Batch, Stamp
from es.limits import FETCH_BATCHES_MAX, FETCH_BYTES_MAX
from es.log.base import EMPTY, EventLog, Head
from es.log.chain import broken_link, head_of


class Chain:
    """`head` includes batches whose write is still under way; `durable` does not (its owner moves it).

    `recent` holds the batches after min(durable, committed), so that neither repair nor folding has to
    wait for the disk. Its length is bounded by whoever appends (TAIL_BATCHES_MAX).
    """

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.head = self.durable = log.head()
        self.recent: deque[Batch] = deque()
        self._ends: dict[int, Batch] = {}

    def append(self, batch: Batch) -> None:
        """Extend the chain in memory; the caller asks for the write."""
        broken = broken_link(self.head, batch)
        assert broken is None, broken
        self.recent.append(batch)
        self._ends[batch.last_seq] = batch
        self.head = head_of(batch)

    def truncate_after(self, seq: int) -> None:
        """Forget everything after the batch that ends at `seq` (R8). The caller asks for the write."""
        hash_ = self.hash_at(seq)
        assert hash_ is not None, "a chain is cut between batches"
        while self.recent and self.recent[-1].last_seq > seq:
            del self._ends[self.recent.pop().last_seq]
        before = self._batch_ending_at(seq)
        self.head = head_of(before) if before is not None else EMPTY
        if self.durable.seq > seq:
            self.durable = self.head

    def release(self, committed_seq: int) -> None:
        """Let go of batches that are durable and committed."""
        floor = min(self.durable.seq, committed_seq)
        recent = self.recent
        while recent and recent[0].last_seq <= floor:
            del self._ends[recent.popleft().last_seq]

    def hash_at(self, seq: int) -> bytes | None:
        """Hash of the batch that ends exactly at `seq`; None if none does (0 is the beginning)."""
        if seq == self.head.seq:
            return self.head.hash
        if seq == 0:
            return GENESIS_HASH
        batch = self._batch_ending_at(seq)
        return None if batch is None else batch.hash

    def end_at_or_below(self, seq: int) -> Head:
        """The nearest batch end at or below `seq`."""
        if seq >= self.head.seq:
            return self.head
        batch = self.batch_at(seq) if seq > 0 else None
        if batch is not None and batch.last_seq > seq:
            batch = self.batch_at(batch.first_seq - 1) if batch.first_seq > 1 else None
        return EMPTY if batch is None else head_of(batch)

    def batch_at(self, seq: int) -> Batch | None:
        """The batch that holds `seq`, durable or not."""
        if self._in_memory(seq):
            return next((batch for batch in reversed(self.recent) if batch.first_seq <= seq <= batch.last_seq), None)
        return self.log.batch_at(seq)

    def stamp_at(self, seq: int) -> Stamp | None:
        """What a receipt says of the batch that holds `seq`, which has committed."""
        if self._in_memory(seq):
            batch = self.batch_at(seq)
            return None if batch is None else batch.stamp
        return self.log.stamp_at(seq)

    def after(self, seq: int) -> Iterator[Batch]:
        """Batches after `seq` in order; the log's part is read in steps of its own."""
        if not self.recent or seq + 1 < self.recent[0].first_seq:
            until = self.recent[0].first_seq if self.recent else self.head.seq + 1
            for batch in self.log.batches(seq + 1):
                if batch.first_seq >= until:
                    break
                yield batch
        yield from [batch for batch in self.recent if batch.first_seq > seq]

    def slice_after(self, seq: int) -> tuple[bytes, ...]:
        """What answers a FETCH: bytes of the batches after `seq`, within the bounds, at least one if any."""
        found: list[bytes] = []
        size = 0
        for batch in self.after(seq):
            size += len(batch.data)
            if found and (size > FETCH_BYTES_MAX or len(found) == FETCH_BATCHES_MAX):
                break
            found.append(batch.data)
        return tuple(found)

    def _batch_ending_at(self, seq: int) -> Batch | None:
        if self._in_memory(seq):
            return self._ends.get(seq)
        batch = self.log.batch_at(seq) if seq > 0 else None
        return batch if batch is not None and batch.last_seq == seq else None

    def _in_memory(self, seq: int) -> bool:
        """True where the log must not be asked: it still holds what was cut off until the cut is written."""
        return seq > self.head.seq or (bool(self.recent) and seq >= self.recent[0].first_seq)
