"""The primary's part: batches, commitment, answers, beacons, who is in sync (R1, R3, R4, R6b, R7, R13).

A `Leading` is one uninterrupted role of one node. It lives through the epochs that this node itself
begins to shrink or grow `in_sync`, and with it live the requests that wait (R6b). When any other node
has led in between, it is thrown away and with it everything speculative.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from es.codec import Batch, BatchBuilder
from es.limits import (
    BATCH_BYTES_MAX,
    BATCH_ENTRIES_MAX,
    DUE_EVENTS_PER_BATCH,
    ENTRY_BYTES_MAX,
    JOIN_WINDOW_BATCHES,
    MEMBERS_MAX,
    PIPELINED_BATCHES,
    TAIL_BATCHES_MAX,
    WAITERS_MAX,
)
from es.machine import Accepted, Event, Refused
from es.replication import events
from es.replication.commit import commit_point, copies
from es.replication.data_node import DataNode
from es.replication.effects import BUSY, Answer, Answers, Emit, Publish, Refusal
from es.replication.events import ClockAnomaly, EpochStarted, InSyncChanged, KernelEvent, OutageExtended
from es.replication.instant import Instant
from es.replication.log_clock import LogClock
from es.replication.messages import (
    Ack,
    Batches,
    Beacon,
    BeaconAck,
    Fetch,
    Frame,
    Member,
    Mismatch,
    Register,
    RolledBack,
    members,
)

DISKS_HEARD_MAX = 4
"""Members of one node that are remembered in one epoch, beside those that are required: its disk replaced as often. For
a further one the oldest is forgotten."""

MEMBERS_HEARD_MAX = 2 * DISKS_HEARD_MAX * MEMBERS_MAX
"""Members of all nodes that are listened to in one epoch."""

BATCH_ROOM_BYTES = 2 * ENTRY_BYTES_MAX
"""A batch with less room than this takes no further request: one request's events must fit."""


@dataclass(slots=True)
class Flight:
    """A sealed batch on its way to being committed, with those who wait for it."""

    batch: Batch
    sealed_us: int
    answers: list[Answer]


@dataclass(slots=True)
class Read:
    """An answer derived from the state after `needs_seq`, with no event of its own."""

    needs_seq: int
    answer: Answer


@dataclass(slots=True)
class Peer:
    """What this primary heard from another member in this epoch."""

    durable_seq: int = 0
    applied_seq: int = 0
    beacon_us: int = 0


class Leading:
    """See the module. `opened` becomes true when the role's first batch has committed."""

    def __init__(self, node: DataNode, now: Instant, cause: str, silence_us: int, promote_began_us: int) -> None:
        assert node.fold.seq == node.chain.head.seq, "a primary's state stands at its head"
        self.node = node
        self.clock = LogClock.start(node.last_ts_us, now)
        self.open_batch: BatchBuilder | None = None
        self.flights: deque[Flight] = deque()
        self.reads: deque[Read] = deque()
        self.peers: dict[Member, Peer] = {}
        self._once_durable: dict[Member, int] = {}
        self._replaced: set[Member] = set()
        self.pending: Member | None = None
        self.opened = False
        self._answers: list[Answer] = []
        self._asked_before = 0
        self._waiting = 0
        self._joined_at_seq = 0
        self._proposed_serial = 0
        self._judged_from_us = now.boot_us
        self._cas_us = -(1 << 62)
        self._next_beacon_us = now.boot_us
        self._stall_counted_us = now.boot_us
        self._ticked_us = now.boot_us
        self._owed_us = 0
        ts_us = self._ts(now)
        away_us = max(ts_us - node.last_ts_us, node.timing.retry_us) if node.last_ts_us else 0
        promote_us = now.boot_us - promote_began_us
        self._start_epoch(now, cause, away_us, silence_us // 1000, promote_us // 1000)

    @property
    def waiting(self) -> int:
        """Requests and reads that were taken and not answered yet."""
        return self._waiting

    # -- requests

    def submit(self, waiter: Any, application: str, command: Any, now: Instant) -> Refusal | Any | None:
        """Take a request; None means that its answer comes when it is allowed to leave. Anything else is
        a refusal that may be said at once: nothing was done."""
        if self._waiting >= WAITERS_MAX:
            return BUSY
        batch = self._batch_with_room(now)
        if batch is None:
            return BUSY
        machine = self.node.fold.machines[application]
        decision = machine.decide(command, batch.ts_us)
        if isinstance(decision, Accepted):
            for event in decision.events:
                self._record(batch, application, event)
            reported = range(batch.last_seq + 1 - len(decision.events), batch.last_seq + 1)[decision.reports]
            self._answers.append(Answer(waiter, decision.answer, reported))
        elif isinstance(decision, Refused):
            return decision.answer
        else:
            self.reads.append(Read(batch.last_seq, Answer(waiter, decision.answer, decision.seq)))
        self._waiting += 1
        return None

    def _batch_with_room(self, now: Instant) -> BatchBuilder | None:
        batch = self.open_batch
        if batch is None:
            return self._open(now)
        if len(batch.entries) < BATCH_ENTRIES_MAX - 64 and batch.bytes < BATCH_BYTES_MAX - BATCH_ROOM_BYTES:
            return batch
        if len(self.flights) >= TAIL_BATCHES_MAX:
            return None
        self._seal(now)
        return self._open(now)

    def _open(self, now: Instant) -> BatchBuilder:
        """A new batch: its time is the `now` of every decision in it; what is due goes first (R13)."""
        node = self.node
        head = node.chain.head
        batch = self.open_batch = BatchBuilder(node.epoch, head.seq + 1, head.hash, self._ts(now))
        node.last_ts_us = batch.ts_us
        jump_us = self.clock.jump_us(now)
        if jump_us:
            self._record_own(batch, ClockAnomaly(jump_us))
        self._owe(self._stalled_for(now.boot_us), now)
        self._extend_deadlines(batch)
        self._expire(batch)
        return batch

    def _extend_deadlines(self, batch: BatchBuilder) -> None:
        """R13: what is owed is given before anything in this batch expires."""
        if self._owed_us:
            self._record_own(batch, OutageExtended(self._owed_us))
            self._owed_us = 0

    def _expire(self, batch: BatchBuilder) -> None:
        events_max = DUE_EVENTS_PER_BATCH + self._asked_before
        for name, machine in self.node.fold.machines.items():
            for event in machine.due(batch.ts_us, events_max):
                self._record(batch, name, event)

    def _record(self, batch: BatchBuilder, application: str, event: Event) -> None:
        batch.add(application, event)
        fold = self.node.fold
        fold.seq += 1
        fold.machines[application].evolve(event, fold.seq, batch.ts_us)

    def _record_own(self, batch: BatchBuilder, event: KernelEvent) -> None:
        self.node.fold.evolve(batch.add(events.APPLICATION, events.record(event)), batch.ts_us)

    # -- batches

    def flush(self, now: Instant) -> None:
        """Seal the open batch unless those before it are still on their way: whatever arrives meanwhile
        joins it (group commit)."""
        batch = self.open_batch
        if batch is None:
            return
        if not batch.entries:
            self.open_batch = None
            self._release_reads(now.boot_us)
        elif not self.node.writing and len(self.flights) < PIPELINED_BATCHES:
            self._seal(now)

    def _seal(self, now: Instant) -> None:
        assert self.open_batch is not None
        batch = self.open_batch.seal()
        node = self.node
        node.chain.append(batch)
        self.flights.append(Flight(batch, now.boot_us, self._answers))
        self.open_batch, self._answers, self._asked_before = None, [], len(self._answers)
        node.persist(now.boot_us, (batch,))
        node.out.append(Publish(Frame(node.cluster_id, node.epoch, node.commit_seq, batch.data)))

    def on_persisted(self, now: Instant) -> None:
        """The disk caught up: commit what that allows, seal what waited."""
        self._advance(now)

    # -- commitment

    @property
    def required(self) -> set[Member]:
        """Whose durable copy a commit needs: in_sync ∪ pending."""
        assert self.node.register is not None
        required = set(self.node.register.in_sync)
        if self.pending is not None:
            required.add(self.pending)
        return required

    def _acked(self) -> dict[Member, int]:
        """What each member holds; who was replaced holds nothing, whatever it said before."""
        return {member: peer.durable_seq for member, peer in self.peers.items() if member not in self._replaced}

    def copies_of(self, seq: int) -> int:
        """How many nodes are known to hold `seq` durably."""
        return copies(self.node.me, seq, self._heard_beside_required(), self._acked())

    def _heard_beside_required(self) -> set[Member]:
        """The required members, and every other one that was heard of their nodes: which of them is the node's present
        disk nobody can tell, so that its copy counts once all of them have acknowledged."""
        required = self.required
        nodes = {member.node for member in required}
        return required | {member for member in self.peers if member.node in nodes}

    def _advance(self, now: Instant) -> None:
        """R1, and R10: what commits by a register that is not on this disk yet would be lost with the witness's.
        Answers leave only here and in `_release_reads`."""
        node = self.node
        acked = self._acked()
        point = commit_point(node.me, node.chain.durable.seq, self.required, acked)
        if point > node.commit_seq and node.register_is_durable:
            self._owe(self._stalled_for(now.boot_us), now)
            node.commit_to(point)
            node.feed()
            while self.flights and self.flights[0].batch.last_seq <= point:
                flight = self.flights.popleft()
                if flight.answers:
                    self._waiting -= len(flight.answers)
                    held_by = self.copies_of(flight.batch.last_seq)
                    node.out.append(Answers(flight.batch, held_by, flight.answers, flight.sealed_us))
            node.chain.release(point)
            if not self.opened and point >= self._opening_seq:
                self.opened = True
        self._release_reads(now.boot_us)
        self.flush(now)

    def _release_reads(self, now_us: int) -> None:
        if not self.reads or self.reads[0].needs_seq > self.node.commit_seq or not self.may_read(now_us):
            return
        answers: list[Answer] = []
        while self.reads and self.reads[0].needs_seq <= self.node.commit_seq:
            answers.append(self.reads.popleft().answer)
        self._waiting -= len(answers)
        self.node.out.append(Answers(None, self.copies_of(self.node.commit_seq), answers))

    def may_read(self, now_us: int) -> bool:
        """R7: no other primary can have been made, or the lease of every required member still runs."""
        if not self.opened:
            return False
        newest = now_us - self.node.timing.lease_us
        return all(
            member == self.node.me or ((peer := self.peers.get(member)) is not None and peer.beacon_us > newest)
            for member in self.required
        )

    # -- what members say

    def _hear(self, member: Member) -> Peer | None:
        """What was heard of a member in this epoch; None if it does not count. A node that speaks as another member
        than in_sync counts has had its disk replaced: an older disk than that could not know of this epoch. Nothing
        counts any more that the replaced one has said or says: it is still under way, the disk is gone (R1)."""
        node = self.node
        assert node.register is not None
        peer = self.peers.get(member)
        if peer is None:
            if len(self.peers) >= MEMBERS_HEARD_MAX:
                node.ignore("too many members")
                return None
            self._forget_oldest_of(member.node)
            peer = self.peers[member] = Peer()
            self._replaced |= {
                one for one in node.register.in_sync if one.node == member.node and one not in (member, node.me)
            }
        if member in self._replaced:
            node.ignore("disk replaced")
            return None
        return peer

    def _forget_oldest_of(self, node: str) -> None:
        """Room for one more member of a node: whoever makes up disks makes only its own forgotten."""
        beside = [member for member in self.peers if member.node == node and member not in self.required]
        if len(beside) >= DISKS_HEARD_MAX:
            del self.peers[beside[0]]

    def on_ack(self, ack: Ack, now: Instant) -> None:
        """R2: count it only if our own chain has that hash there."""
        peer = self._hear(ack.member)
        if peer is not None and self._count(ack.member, peer, ack.durable_seq, ack.hash):
            self._consider_pending(ack.member, now.boot_us)
            self._advance(now)

    def on_beacon_ack(self, ack: BeaconAck, now: Instant) -> None:
        """The lease goes on from when the beacon was sent, which must have been (R7)."""
        if ack.sent_us > now.boot_us:
            self.node.ignore("acknowledged a beacon of the future")
            return
        peer = self._hear(ack.member)
        if peer is None:
            return
        self._count(ack.member, peer, ack.durable_seq, ack.hash)
        peer.beacon_us = max(peer.beacon_us, ack.sent_us)
        peer.applied_seq = max(peer.applied_seq, ack.applied_seq)
        self._consider_pending(ack.member, now.boot_us)
        self._advance(now)

    def _count(self, member: Member, peer: Peer, durable_seq: int, hash_: bytes) -> bool:
        if durable_seq <= peer.durable_seq:
            return False
        if self.node.chain.hash_at(durable_seq) != hash_:
            self.node.ignore("acknowledged another chain")
            return False
        peer.durable_seq = durable_seq
        self._once_durable[member] = max(durable_seq, self._once_durable.get(member, 0))
        return True

    def on_fetch(self, fetch: Fetch) -> None:
        """R8: answer what follows, or where our chains may still be equal. R2: whoever asks for what this role
        counted as durable there has either asked long ago, which it knows itself, or its disk has forgotten."""
        node = self.node
        if self._hear(fetch.member) is None:
            return
        once_durable = self._once_durable.get(fetch.member, 0)
        if fetch.after_seq < once_durable:
            node.ignore("rolled back")
            node.tell(fetch.member.node, RolledBack(node.cluster_id, node.epoch, fetch.member, once_durable))
        elif node.chain.hash_at(fetch.after_seq) == fetch.hash:
            batches = node.chain.slice_after(fetch.after_seq)
            head_seq = node.chain.head.seq
            answer = Batches(
                node.cluster_id, node.epoch, node.commit_seq, fetch.after_seq, fetch.hash, head_seq, batches
            )
            node.tell(fetch.member.node, answer)
        else:
            end = node.chain.end_at_or_below(fetch.after_seq)
            node.tell(fetch.member.node, Mismatch(node.cluster_id, node.epoch, fetch.hash, end.seq, end.hash))

    # -- who is in sync

    def _consider_pending(self, member: Member, now_us: int) -> None:
        """R4: a member that is heard and near the head becomes required, up to the head of that moment; R10: and this
        disk knows of it before the witness does."""
        node = self.node
        assert node.register is not None
        if self.pending is not None or not self.opened or member in node.register.in_sync:
            return
        durable_seq = self.peers[member].durable_seq
        behind = sum(1 for flight in self.flights if flight.batch.last_seq > durable_seq)
        if durable_seq < node.commit_seq or behind > JOIN_WINDOW_BATCHES or self._late(member, now_us):
            return
        self.pending = member
        self._joined_at_seq = node.chain.head.seq
        self._proposed_serial = node.propose(members(*self.required), now_us)

    def _change_in_sync(self, now_us: int) -> None:
        """R3 and R4. Who was replaced is not waited for. A request is repeated until a higher epoch is learnt; pending
        ends only then."""
        node = self.node
        assert node.register is not None
        if now_us - self._cas_us < 2 * node.timing.beacon_us:
            return
        late = {one for one in self.required if one != node.me and (one in self._replaced or self._late(one, now_us))}
        if late:
            target = set(node.register.in_sync) - late
        elif self.pending is not None and self._caught_up(self.pending) and node.is_durable(self._proposed_serial):
            target = self.required
        else:
            return
        self._cas_us = now_us
        node.swap(node.me, members(*target, node.me))

    def _late(self, member: Member, now_us: int) -> bool:
        peer = self.peers.get(member)
        heard_us = max(self._judged_from_us, peer.beacon_us if peer is not None else 0)
        durable_seq = peer.durable_seq if peer is not None else 0
        waiting = next((flight for flight in self.flights if flight.batch.last_seq > durable_seq), None)
        oldest_us = heard_us if waiting is None else min(heard_us, max(waiting.sealed_us, self._judged_from_us))
        return now_us - oldest_us > self.node.timing.shrink_us

    def _caught_up(self, member: Member) -> bool:
        peer = self.peers[member]
        return peer.durable_seq >= self._joined_at_seq and peer.applied_seq >= self._joined_at_seq

    def on_register(self, register: Register, now: Instant) -> None:
        """Our own compare-and-swap took effect: the next epoch begins, and those who wait go on (R6b)."""
        node = self.node
        assert node.register is not None and register.author == node.life and register.epoch == node.epoch + 1
        cause = "grow" if set(register.in_sync) > set(node.register.in_sync) else "shrink"
        if self.open_batch is not None and not self.open_batch.entries:
            self.open_batch = None
        sealed_first = self.open_batch is not None
        node.adopt(register, now.boot_us)
        if sealed_first:
            self._seal(now)
        self._start_epoch(now, cause, 0, 0, 0)

    def _start_epoch(self, now: Instant, cause: str, away_us: int, silence_ms: int, promote_ms: int) -> None:
        node = self.node
        assert node.register is not None and self.open_batch is None
        self.peers = {}
        self._replaced = set()
        self.pending = None
        self._judged_from_us = now.boot_us
        self._owe(max(away_us, self._stalled_for(now.boot_us)), now)
        in_sync = tuple(member.node for member in node.register.in_sync)
        head = node.chain.head
        batch = self.open_batch = BatchBuilder(node.epoch, head.seq + 1, head.hash, self._ts(now))
        node.last_ts_us = batch.ts_us
        self._record_own(batch, EpochStarted(node.me.node, in_sync, cause, silence_ms, promote_ms))
        self._extend_deadlines(batch)
        if cause in ("shrink", "grow"):
            self._record_own(batch, InSyncChanged(in_sync))
        self._opening_seq = batch.last_seq
        self._emit_beacon(now)
        self._seal(now)

    # -- time

    def _ts(self, now: Instant) -> int:
        return max(self.node.last_ts_us + 1, self.clock.ts_us(now))

    def _stalled_for(self, now_us: int) -> int:
        """How long commits, or this process, have stood still beyond what a disk may take, not counted before."""
        still_since_us = min(self._ticked_us, self.flights[0].sealed_us if self.flights else now_us)
        stalled_us = now_us - max(still_since_us, self._stall_counted_us)
        return stalled_us if stalled_us > self.node.timing.stall_us else 0

    def _owe(self, extension_us: int, now: Instant) -> None:
        """Deadlines will be extended by this, before anything expires (R13)."""
        if extension_us:
            self._owed_us += extension_us
            self._stall_counted_us = now.boot_us

    def _emit_beacon(self, now: Instant) -> None:
        """R9: a disk that hangs passes its beacon over. Who hears nothing cannot answer: members are judged by
        what they do after it, or a primary whose disk hangs would drop the backup that is to take over (R3)."""
        node = self.node
        assert node.register is not None
        self._next_beacon_us = now.boot_us + node.timing.beacon_us
        if node.stalled(now.boot_us):
            self._judged_from_us = now.boot_us
            return
        head = node.chain.head
        ts_us = self._ts(now)
        node.out.append(Emit(Beacon(node.register, head.seq, head.hash, node.commit_seq, ts_us, now.boot_us)))

    def _expiry_due(self, now: Instant) -> bool:
        deadline = self.node.fold.next_deadline()
        return deadline is not None and deadline <= self._ts(now) and self._may_expire(now.boot_us)

    def _may_expire(self, now_us: int) -> bool:
        """Nothing expires before this role serves, while a batch is open (it took what was due) or under way (another
        request would have to wait for two), or in a stall."""
        return self.opened and self.open_batch is None and not self.flights and not self._stalled_for(now_us)

    def tick(self, now: Instant) -> None:
        """What time alone brings: expiries, beacons, changes of in_sync, reads whose lease came."""
        self._wake(now)
        if self._expiry_due(now):
            self._open(now)
        self.flush(now)
        if now.boot_us >= self._next_beacon_us:
            self._emit_beacon(now)
        self._change_in_sync(now.boot_us)
        self._release_reads(now.boot_us)
        if not self.flights and self.open_batch is None:
            self.node.save_commit_if_idle(now.boot_us)

    def _wake(self, now: Instant) -> None:
        """After a freeze: nobody could be heard meanwhile, nor expire (R3, R13)."""
        if now.boot_us - self._ticked_us > self.node.timing.stall_us:
            self._owe(self._stalled_for(now.boot_us), now)
            self._judged_from_us = now.boot_us
        self._ticked_us = now.boot_us

    def next_due_us(self, now_us: int) -> int:
        """Boot time at which `tick` next has something to do."""
        deadline = self.node.fold.next_deadline()
        if deadline is None or not self._may_expire(now_us):
            return self._next_beacon_us
        return min(self._next_beacon_us, max(now_us, self.clock.boot_us(deadline)))
