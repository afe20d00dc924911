"""Chains of batches to store, made from nothing but their place."""

from collections.abc import Sequence

from es.codec import Batch, Entry, encode_batch
from es.log.base import EMPTY, Head, Identity
from es.log.chain import head_of

IDENTITY = Identity(cluster_id="campus", node="a", incarnation="7f3e")


def chain(count: int, after: Head = EMPTY, *, events: int = 3, body_bytes: int = 40, epoch: int = 1) -> list[Batch]:
    """`count` batches of `events` events each that continue `after`, one millisecond apart."""
    batches: list[Batch] = []
    for _ in range(count):
        entries = [
            Entry(offset, "rooms", "Reserved", 1, "faculty:3", "", (after.seq + offset, bytes([epoch]) * body_bytes))
            for offset in range(events)
        ]
        batch = encode_batch(max(epoch, after.epoch), after.seq + 1, after.hash, after.ts_us + 1_000, entries)
        batches.append(batch)
        after = head_of(batch)
    return batches


def datas(batches: Sequence[Batch]) -> list[bytes]:
    """The bytes of `batches`: what two logs must have in common."""
    return [batch.data for batch in batches]
