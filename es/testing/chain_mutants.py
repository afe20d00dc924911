"""The protocol with one rule about chains broken: what may be acknowledged, what counts as a copy, what a cut leaves
(es.testing.mutants says how)."""

from __future__ import annotations

from es.codec import Batch
from es.replication.chain import Chain
from es.replication.data_node import DataNode
from es.replication.fold import Fold
from es.replication.following import Following
from es.replication.instant import Instant
from es.replication.leading import Leading, Peer
from es.replication.messages import Ack, Beacon, Fetch, Member, Mismatch
from es.replication.replica import Replica
from es.testing.mutants import Mutant

_on_beacon = Following.on_beacon
_on_mismatch = Following.on_mismatch
_count = Leading._count
_extend = Following._extend
_on_fetch = Leading.on_fetch


def _follow_any_epoch(
    self: Replica,
    epoch: int,  # noqa: ARG001 - it takes a method's place
    sender: str,  # noqa: ARG001 - likewise
) -> Following | None:
    return self.following if self.following is not None and self.following.primary is not None else None


def _hear_any_beacon(self: Replica, beacon: Beacon, sender: str, now: Instant) -> None:
    self._learn(beacon.register, now)
    if (following := self._follows(beacon.register.epoch, sender)) is not None:
        following.on_beacon(beacon, now.boot_us)


def _count_any_epoch(self: Replica, epoch: int) -> Leading | None:  # noqa: ARG001 - it takes a method's place
    return self.leading


def _match_by_number(self: Following, beacon: Beacon, now_us: int) -> None:
    head = self.node.chain.head
    _on_beacon(self, beacon._replace(head_hash=head.hash) if beacon.head_seq == head.seq else beacon, now_us)


def _count_by_number(self: Leading, member: Member, peer: Peer, durable_seq: int, hash_: bytes) -> bool:
    return _count(self, member, peer, durable_seq, self.node.chain.hash_at(durable_seq) or hash_)


def _take_late_mismatch(self: Following, answer: Mismatch, now_us: int) -> None:
    _on_mismatch(self, answer._replace(asked_hash=self._asked.hash), now_us)


def _ending_at_as_logged(self: Chain, seq: int) -> Batch | None:
    batch = self._ends.get(seq) or self.log.batch_at(seq)
    return batch if batch is not None and batch.last_seq == seq else None


def _cut_only_the_chain(self: DataNode, seq: int) -> None:
    self.chain.truncate_after(seq)


def _acknowledge_early(self: Following, batches: list[Batch], now_us: int, truncate_after: int | None = None) -> None:
    _extend(self, batches, now_us, truncate_after)
    assert self.primary is not None
    node = self.node
    node.tell(self.primary, Ack(node.cluster_id, node.epoch, node.me, node.chain.head.seq, node.chain.head.hash))


def _acknowledgeable_undurable(self: Following) -> tuple[int, bytes]:
    end = self.matched
    return (end.seq, end.hash) if end is not None else (0, self.node.chain.hash_at(0) or b"")


def _mend_in_silence(self: Leading, fetch: Fetch) -> None:
    self._once_durable.pop(fetch.member, None)
    _on_fetch(self, fetch)


def _apply_part(self: Fold, batch: Batch) -> None:
    for entry in batch.entries[:-1] or batch.entries:
        self.evolve(entry, batch.ts_us)
    self.seq = batch.last_seq


CHAIN_MUTANTS: dict[str, Mutant] = {
    "acknowledgement before fsync": Mutant(
        "R2", "a backup acknowledges what it has only received",
        ((Following, "_extend", _acknowledge_early), (Following, "_acknowledgeable", _acknowledgeable_undurable)),
    ),
    "no epoch fence": Mutant(
        "R2", "frames and beacons of an older primary count",
        ((Replica, "_follows", _follow_any_epoch), (Replica, "_on_beacon", _hear_any_beacon)),
    ),
    "hash not checked": Mutant(
        "R2", "chains are compared by sequence number alone",
        ((Following, "on_beacon", _match_by_number), (Leading, "_count", _count_by_number)),
    ),
    "forgetful disk mended": Mutant(
        "R2", "a backup that lost what it acknowledged is filled up again and stays counted in",
        ((Leading, "on_fetch", _mend_in_silence),),
    ),
    "acknowledgement of any epoch": Mutant(
        "R1", "acknowledgements count by their number, in whatever epoch they were given",
        ((Replica, "_leads", _count_any_epoch), (Leading, "_count", _count_by_number)),
    ),
    "late repair answer": Mutant(
        "R8", "an answer to an earlier question counts for the present one",
        ((Following, "on_mismatch", _take_late_mismatch),),
    ),
    "cut batch read from the log": Mutant(
        "R8", "what a chain has cut off still counts until the cut is durable",
        ((Chain, "_batch_ending_at", _ending_at_as_logged),),
    ),
    "write counted beyond a cut": Mutant(
        "R8", "what was under way before a cut counts as durable beyond it",
        ((DataNode, "truncate_after", _cut_only_the_chain),),
    ),
    "partial batch applied": Mutant(
        "R2", "the last event of a batch is not folded", ((Fold, "apply", _apply_part),)
    ),
}  # fmt: skip
"""By name: what a schedule is run with to see it found."""
