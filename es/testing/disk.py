"""A simulated disk: what is durable, what is under way, and the ways in which a disk fails (verification.md §2, §3)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

from es.codec import Batch, decode_batch, is_canonical
from es.errors import RemoteProtocolError
from es.log.base import EMPTY, Identity, Write
from es.log.chain import broken_link, head_of
from es.log.memory import MemoryLog


class StoredLog(MemoryLog):
    """A log whose bytes can rot."""

    def copy(self) -> StoredLog:
        """The same log, which goes its own way from here."""
        other = StoredLog(self.identity)
        other._durable = self._durable
        other._batches = list(self._batches)
        other._bytes_used = self._bytes_used
        return other

    def holds(self, batch: Batch) -> bool:
        """Whether this very batch is durable here."""
        stored = self.batch_at(batch.last_seq)
        return stored is not None and stored.hash == batch.hash

    def flip_bit(self, draw: random.Random) -> bool:
        """One bit of one stored batch turns over; False if there is none."""
        if not self._batches:
            return False
        place = draw.randrange(len(self._batches))
        data = bytearray(self._batches[place].data)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        self._batches[place] = self._batches[place]._replace(data=bytes(data))
        return True

    def damage(self) -> str | None:
        """What the log's own rules find wrong with the stored bytes, as es.log.verify walks them; None if nothing."""
        head = EMPTY
        for stored in self._batches:
            try:
                batch = decode_batch(stored.data)
            except RemoteProtocolError as error:
                return f"after seq {head.seq}: {error}"
            if (broken := broken_link(head, batch)) or not is_canonical(batch):
                return broken or f"the batch at seq {batch.first_seq} is not encoded canonically"
            head = head_of(batch)
        return None if head == self.head() else f"the chain does not end at seq {self.head().seq}"


class SimulatedDisk:
    """One node's disk; it outlives the process. Times are the cluster's, in µs.

    `log` is what a process reads. `under_way` are writes that nobody was told are durable. While the disk lies,
    what it calls durable is only in its cache: a loss of power leaves a prefix of that.
    """

    def __init__(self, cluster_id: str, node: str) -> None:
        self.cluster_id = cluster_id
        self.node = node
        self.incarnations = 0
        self.replaced: tuple[StoredLog, ...] = ()
        """What every incarnation before had called durable."""
        self.log = self._empty_log()
        self._begin()

    def replace(self) -> None:
        """An empty disk in its place: another incarnation."""
        self.replaced = (*self.replaced, *self._called_durable())
        self.log = self._empty_log()
        self._begin()

    def _empty_log(self) -> StoredLog:
        self.incarnations += 1
        return StoredLog(Identity(self.cluster_id, self.node, f"{self.node}{self.incarnations}"))

    def _begin(self) -> None:
        self.under_way: deque[tuple[int, Write]] = deque()
        self.free_us = 0
        self.fails_next = False
        self.failing_until_us = 0
        self.refused = ""
        """Why no process can run on it: it was found damaged, or to have forgotten."""
        self.rotten = False
        self.forgotten: StoredLog | None = None
        """What it had called durable when it last forgot some of it, if ever."""
        self._lies_until_us = 0
        self._flushed: StoredLog | None = None
        self._cached: list[Write] = []

    @property
    def forgot(self) -> bool:
        """Whether it has lost anything that it had called durable."""
        return self.forgotten is not None

    def held(self, batch: Batch, or_before: bool) -> bool:
        """Whether it calls this very batch durable, or did before it forgot. With `or_before` also before it was
        replaced, however often: its node said so, and that may be under way, or wait for the primary's own disk, for
        longer than it takes to begin anew."""
        return any(log.holds(batch) for log in (*self._called_durable(), *(self.replaced if or_before else ())))

    def _called_durable(self) -> tuple[StoredLog, ...]:
        return (self.log,) if self.forgotten is None else (self.log, self.forgotten)

    # -- writes

    def write(self, write: Write, now_us: int) -> None:
        """What the process will call durable."""
        if now_us < self._lies_until_us:
            if self._flushed is None:
                self._flushed = self.log.copy()
            self._cached.append(write)
        elif self._flushed is not None:
            self._flushed = None
            self._cached = []
        self.log.write(write)

    def fails(self, now_us: int) -> bool:
        """Whether the write that is about to be durable fails."""
        failing = self.fails_next or now_us < self.failing_until_us
        self.fails_next = False
        return failing

    def is_well(self, now_us: int) -> bool:
        """Whether it neither hangs nor is about to fail a write."""
        return self.free_us <= now_us and not self.fails_next and now_us >= self.failing_until_us

    @property
    def at_risk(self) -> int:
        """Writes that a loss of power may undo: those under way, and those a lying disk only cached."""
        return len(self._cached) + len(self.under_way)

    def lose_power(self, kept: int) -> None:
        """Of the writes at risk the first `kept` are on the disk, the others are gone."""
        at_risk = [*self._cached, *(write for _, write in self.under_way)]
        if self._flushed is not None:
            if kept < len(self._cached):
                self.forgotten = self.log
            self.log = self._flushed
        self._apply(at_risk[:kept])
        self._lies_until_us, self._flushed, self._cached = 0, None, []
        self.under_way.clear()

    def reached_when_failed(self, reached: int) -> int:
        """How many of the writes at risk are on the disk when the oldest one under way fails."""
        return len(self._cached) + reached

    def _apply(self, writes: Iterable[Write]) -> None:
        for write in writes:
            self.log.write(write)

    # -- failures

    def lie(self, until_us: int) -> None:
        """Until then a flush returns before anything is on the disk."""
        self._lies_until_us = until_us

    def rot(self, draw: random.Random) -> bool:
        """A bit flips where nobody reads until the next start."""
        self.rotten = self.log.flip_bit(draw) or self.rotten
        return self.rotten

    def recover(self) -> None:
        """It fails no more, and what it had only cached is on the disk."""
        self.fails_next, self.failing_until_us = False, 0
        self._lies_until_us, self._flushed, self._cached = 0, None, []

    def refusal(self) -> str:
        """What a process that starts on this disk finds wrong with it; empty if nothing."""
        if self.rotten and not self.refused:
            self.refused = self.log.damage() or ""
        return self.refused
