"""The backup's part: store what the primary sends, acknowledge what is durable, notice its silence, and
mend the chain where it is short or differs (R2, R5, R8). A `Following` lasts for one epoch."""

from __future__ import annotations

from es.codec import Batch, decode_batch
from es.errors import RemoteProtocolError
from es.limits import STASH_FRAMES_MAX, TAIL_BATCHES_MAX
from es.log.base import EMPTY, Head
from es.log.chain import broken_link, head_of
from es.replication.data_node import DataNode
from es.replication.effects import Halt
from es.replication.messages import NUMBER_END, Ack, Batches, Beacon, BeaconAck, Fetch, Frame, Mismatch

FOLLOWED_BATCHES_MAX = 2 * TAIL_BATCHES_MAX
"""Batches that are not yet both durable and known to be committed here; the primary has half as many under way."""


class Following:
    """`matched` is the end of the longest prefix known to equal the primary's chain in this epoch; nothing
    beyond it is acknowledged or committed here. None until the first comparison. `level_us` is when this node last
    had all that the primary said it has."""

    def __init__(self, node: DataNode, now_us: int) -> None:
        self.node = node
        self.heard_us = now_us
        self.matched: Head | None = None
        self.primary_head_seq = 0
        self.level_us = now_us
        self._primary_commit = 0
        self._beacon_sent_us = 0
        self._stash: dict[int, Batch] = {}
        self._fetch_us: int | None = None
        self._asked = EMPTY
        self._gap_us: int | None = None
        if self.primary is not None:
            self._fetch(node.chain.head, now_us)

    @property
    def primary(self) -> str | None:
        """Who leads this epoch; None if that is this node itself or unknown."""
        register = self.node.register
        return register.primary.node if register is not None and register.primary != self.node.me else None

    # -- the stream

    def on_frame(self, frame: Frame, now_us: int) -> None:
        """R2: store what continues the chain, keep what came early, ignore what is known."""
        node = self.node
        batch = self._decoded(frame.batch)
        head = node.chain.head
        if batch.first_seq > head.seq + 1:
            self._keep(batch, now_us)
        elif batch.first_seq == head.seq + 1 and batch.prev_hash == head.hash:
            if not self._has_room:
                node.ignore("tail full")
                return
            _check_chain(head, [batch])
            self._extend([batch], now_us)
        elif node.chain.hash_at(batch.last_seq) == batch.hash:
            node.ignore("frame known")
        else:
            node.ignore("frame diverges")
            self._gap_us = now_us if self._gap_us is None else self._gap_us
        self._primary_commit = max(self._primary_commit, frame.commit_seq)
        self._commit(now_us)

    def _decoded(self, data: bytes) -> Batch:
        """A batch of the primary, who makes none of an epoch to come: it would outlive every primary after him."""
        batch = decode_batch(data)
        if batch.epoch > self.node.epoch or batch.ts_us >= NUMBER_END:
            raise RemoteProtocolError("a batch of an epoch to come, or of no time")
        return batch

    def _keep(self, batch: Batch, now_us: int) -> None:
        """A frame from beyond a gap: wait for repair, within bounds."""
        if len(self._stash) < STASH_FRAMES_MAX:
            self._stash[batch.first_seq] = batch
        else:
            self.node.ignore("stash full")
        self._gap_us = now_us if self._gap_us is None else self._gap_us

    def _extend(self, batches: list[Batch], now_us: int, truncate_after: int | None = None) -> None:
        """Append and ask for the write; then whatever the stash holds next. Linking to our head proves
        that the whole prefix is equal, for the hash covers it."""
        node = self.node
        for batch in batches:
            node.chain.append(batch)
        while (stashed := self._stash.pop(node.chain.head.seq + 1, None)) is not None:
            if broken_link(node.chain.head, stashed) is not None:
                break
            node.chain.append(stashed)
            batches.append(stashed)
        if self._stash:
            self._stash = {seq: batch for seq, batch in self._stash.items() if seq > node.chain.head.seq}
        self.matched = node.chain.head
        self._gap_us = None
        node.last_ts_us = max(node.last_ts_us, node.chain.head.ts_us)
        node.persist(now_us, batches, truncate_after)

    def on_beacon(self, beacon: Beacon, now_us: int) -> None:
        """The primary lives. Notice what was lost; acknowledge, unless our own disk is stuck (R3)."""
        node = self.node
        if beacon.sent_us <= self._beacon_sent_us:
            node.ignore("beacon overtaken")
            return
        self._beacon_sent_us = beacon.sent_us
        self.heard_us = now_us
        node.last_ts_us = max(node.last_ts_us, beacon.ts_us)
        self.primary_head_seq = beacon.head_seq
        head = node.chain.head
        if beacon.head_seq <= head.seq:
            self.level_us = now_us
        if (beacon.head_seq, beacon.head_hash) == (head.seq, head.hash):
            self.matched = head
        elif beacon.head_seq > head.seq:
            self._gap_us = now_us if self._gap_us is None else self._gap_us
        self._primary_commit = max(self._primary_commit, beacon.commit_seq)
        self._commit(now_us)
        if node.stalled(now_us):
            node.ignore("beacon while stalled")
            return
        seq, hash_ = self._acknowledgeable()
        register = beacon.register
        ack = BeaconAck(node.cluster_id, register.epoch, node.me, beacon.sent_us, seq, hash_, node.fold.seq)
        node.tell(register.primary.node, ack)

    @property
    def _has_room(self) -> bool:
        """Whether more may be kept: a disk that hangs or is slow is not asked for ever more."""
        return len(self.node.chain.recent) < FOLLOWED_BATCHES_MAX

    # -- acknowledgement and commitment

    def _acknowledgeable(self) -> tuple[int, bytes]:
        """End of what is both durable here and equal to the primary's chain."""
        if self.matched is None:
            return 0, self.node.chain.hash_at(0) or b""
        end = min(self.matched, self.node.chain.durable, key=lambda one: one.seq)
        return end.seq, end.hash

    def on_persisted(self, now_us: int) -> None:
        """R2: acknowledge only what is fsynced."""
        node = self.node
        if self.primary is not None and self.matched is not None and node.promised == node.epoch:
            node.tell(self.primary, Ack(node.cluster_id, node.epoch, node.me, *self._acknowledgeable()))
        self._commit(now_us)

    def _commit(self, now_us: int) -> None:
        """Take over the primary's commit point as far as our chains are known to be equal; fold and feed."""
        node = self.node
        if self.matched is not None:
            point = min(self._primary_commit, self.matched.seq)
            if point > node.commit_seq:
                node.commit_to(point)
        node.fold_up_to(node.commit_seq)
        node.feed()
        node.chain.release(node.commit_seq)

    # -- repair

    def _fetch(self, after: Head, now_us: int) -> None:
        """Ask for what follows `after`; one question is outstanding."""
        if self.primary is None:
            return
        node = self.node
        self._fetch_us, self._asked = now_us, after
        node.tell(self.primary, Fetch(node.cluster_id, node.epoch, node.me, after.seq, after.hash))

    def on_batches(self, answer: Batches, now_us: int) -> None:
        """R8: skip what we have, cut where we differ, append what follows. Cutting and appending are one write."""
        node = self.node
        if answer.hash == self._asked.hash:
            self._fetch_us = None
        if node.chain.hash_at(answer.after_seq) != answer.hash:
            node.ignore("fetched batches do not fit")
            return
        batches = [self._decoded(data) for data in answer.batches]
        at = (answer.after_seq, answer.hash)
        for batch in batches:
            if (batch.first_seq - 1, batch.prev_hash) != at:
                raise RemoteProtocolError("fetched batches are no chain")
            at = (batch.last_seq, batch.hash)
        fresh = [batch for batch in batches if node.chain.hash_at(batch.last_seq) != batch.hash]
        if fresh:
            self._splice(fresh, now_us)
        else:
            end = node.chain.end_at_or_below(batches[-1].last_seq if batches else answer.after_seq)
            if self.matched is None or end.seq > self.matched.seq:
                self.matched = end
        self._primary_commit = max(self._primary_commit, answer.commit_seq)
        self._commit(now_us)
        if self.matched is not None and self.matched.seq < answer.head_seq:
            self._gap_us = now_us
            if fresh and self._has_room:
                self._fetch(node.chain.head, now_us)

    def _splice(self, fresh: list[Batch], now_us: int) -> None:
        node = self.node
        cut = fresh[0].first_seq - 1
        assert node.chain.hash_at(cut) == fresh[0].prev_hash, "what precedes a fresh batch is in our chain"
        _check_chain(node.chain.end_at_or_below(cut), fresh)
        if cut == node.chain.head.seq:
            self._extend(fresh, now_us)
            return
        if cut < node.commit_seq:
            self._diverged_below_commit(cut)
            return
        node.truncate_after(cut)
        self._extend(fresh, now_us, truncate_after=cut)

    def on_mismatch(self, answer: Mismatch, now_us: int) -> None:
        """Our chain differs where we asked: compare again at the primary's batch end, or one further back."""
        node = self.node
        asked = self._asked
        if answer.asked_hash != asked.hash or node.chain.hash_at(asked.seq) != asked.hash:
            node.ignore("mismatch of a chain that is no longer ours")
            return
        end = node.chain.end_at_or_below(answer.seq)
        if end.seq == answer.seq and end.hash != answer.hash and end.seq > 0:
            batch = node.chain.batch_at(end.seq)
            assert batch is not None, "a chain has no holes"
            end = node.chain.end_at_or_below(batch.first_seq - 1)
        if end.seq < node.commit_seq:
            self._diverged_below_commit(end.seq)
            return
        self._fetch(end, now_us)

    def _diverged_below_commit(self, seq: int) -> None:
        node = self.node
        sentence = (
            f"the primary's history differs from this node's below its commit point "
            f"(equal up to {seq} at most, committed up to {node.commit_seq})"
        )
        node.out.append(Halt("HISTORY_DIVERGED", sentence))

    # -- time

    def tick(self, now_us: int) -> None:
        """Repair a gap that outlived a beacon; ask again when a question went unanswered; catch up folding."""
        node = self.node
        beacon_us = node.timing.beacon_us
        if self.primary is not None and node.promised == node.epoch:
            unanswered = self._fetch_us is not None and now_us - self._fetch_us > 4 * beacon_us
            gap = self._fetch_us is None and self._gap_us is not None and now_us - self._gap_us > beacon_us
            if self.matched is None:  # without a comparison nothing commits, and so nothing would ever make room
                is_due = unanswered or self._fetch_us is None
            else:
                is_due = (unanswered or gap) and self._has_room
            if is_due:
                self._fetch(node.chain.head, now_us)
        if node.lagging:
            self._commit(now_us)
        node.save_commit_if_idle(now_us)

    def silent_us(self, now_us: int) -> int:
        """For how long no beacon of this epoch has come."""
        return now_us - self.heard_us


def _check_chain(head: Head, batches: list[Batch]) -> None:
    """That these batches may follow `head`. Raises RemoteProtocolError before anything is changed."""
    for batch in batches:
        if (broken := broken_link(head, batch)) is not None:
            raise RemoteProtocolError(broken)
        head = head_of(batch)
