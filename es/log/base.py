"""What every event log must do. `tests/contract` runs one suite against each store.

A log is a gap-free chain of commit batches from sequence number 1, plus the few records a data node
must not forget. Writes come from one thread (the writer), reads from any; a read sees only what a
finished write made durable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from es.codec import GENESIS_HASH, Batch, Stamp


class Head(NamedTuple):
    """The end of a chain of batches: last sequence number, epoch, hash and time of its last batch."""

    seq: int
    epoch: int
    hash: bytes
    ts_us: int


EMPTY = Head(0, 0, GENESIS_HASH, 0)


@dataclass(slots=True, frozen=True)
class Identity:
    """Whose directory this is. `incarnation` is drawn when the directory is created: a wiped disk is
    a new incarnation and is no longer the node that the register may name."""

    cluster_id: str
    node: str
    incarnation: str


@dataclass(slots=True, frozen=True)
class Write:
    """One atomic, durable write: all of it is on disk when `EventLog.write` returns, or none of it.

    truncate_after  remove every batch after this sequence number first (R8); None removes nothing.
                    The caller has exported what it removes.
    batches         append these; the first one continues the chain, each one the one before.
    commit_seq      highest sequence number known to be committed; never falls below what is stored.
    records         small named values (`promised`, `proposed`, `register`), replaced whole.
    """

    batches: Sequence[Batch] = ()
    truncate_after: int | None = None
    commit_seq: int | None = None
    records: Sequence[tuple[str, bytes]] = ()


class EventLog(ABC):
    """A durable chain of batches. Opening one verifies nothing beyond its own structure: see
    es.log.verify, which a node runs before it serves."""

    @property
    @abstractmethod
    def identity(self) -> Identity: ...

    @abstractmethod
    def head(self) -> Head:
        """End of the durable chain; `EMPTY` for a new log."""

    @abstractmethod
    def commit_seq(self) -> int:
        """Highest sequence number stored as committed; 0 for a new log. At most `head().seq`."""

    @abstractmethod
    def record(self, name: str) -> bytes | None:
        """A named value as last written."""

    @abstractmethod
    def write(self, write: Write) -> Head:
        """Apply `write` atomically and durably; give the new head.

        AssertionError if a batch does not continue the chain (an invariant of ours: nothing was
        written). LogWriteFailed if the disk refused; the log is unusable from then on.
        """

    @abstractmethod
    def batch_at(self, seq: int) -> Batch | None:
        """The batch that holds `seq`, or None past the head or below 1. Raises LogDamaged if its
        bytes cannot be decoded."""

    def stamp_at(self, seq: int) -> Stamp | None:
        """The stamp of that batch; it may be had without decoding it."""
        batch = self.batch_at(seq)
        return None if batch is None else batch.stamp

    @abstractmethod
    def batches(self, from_seq: int = 1) -> Iterator[Batch]:
        """Batches in order, from the one that holds `from_seq` (none past the head), as of the call
        or later; a concurrent truncation ends the iteration. Checks that each continues the one
        before; raises LogDamaged if not. Does not pin storage between two items for longer than it must."""

    @abstractmethod
    def bytes_used(self) -> int:
        """Bytes of batches stored (an estimate is good enough for a metric)."""

    @abstractmethod
    def close(self) -> None:
        """Release the store; idempotent."""
