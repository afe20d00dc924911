"""What a data node is, whatever its role: its chain, its state, its register, and the effects it asks for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from es.codec import Batch
from es.limits import REPLAY_EVENTS_PER_TURN
from es.log.base import EventLog, Head, Write
from es.machine import Machine
from es.replication.chain import Chain
from es.replication.effects import WITNESS, Committed, Effect, Persist, Tell
from es.replication.fold import Fold
from es.replication.instant import Instant
from es.replication.messages import CompareAndSwap, Member, Message, Register, unpack_register
from es.replication.timing import Timing

NodeWhy: TypeAlias = Literal[
    "acknowledged a beacon of the future", "acknowledged another chain", "another cluster", "another register",
    "beacon overtaken", "beacon while stalled", "disk replaced", "epoch not confirmed yet", "epoch not known yet",
    "fetched batches do not fit", "frame diverges", "frame known", "grant after the primary spoke",
    "grant not asked for", "malformed", "mismatch of a chain that is no longer ours", "not following",
    "not for a data node", "not from the primary", "not leading", "outdated", "rolled back", "rolled back no longer",
    "stale epoch", "stash full", "tail full", "too many members",
]  # fmt: skip
NODE_WHYS: tuple[NodeWhy, ...] = get_args(NodeWhy)
"""Every reason for which a data node drops a message."""

REGISTER = "register"
PROMISED = "promised"
PROPOSED = "proposed"


class DataNode:
    """Shared by both roles; a role object is thrown away with its role, this stays.

    `register` is the newest configuration this node knows, `promised` the highest epoch it will follow
    (never below the register's). `commit_seq` never falls; what is folded beyond it is speculative. `last_ts_us` is the
    log's time as far as it is known here: of the head, or what the primary has said since (R13).
    `witness_said_us` is when, by its own clock, the witness said the newest that this life has heard of it.
    """

    def __init__(self, log: EventLog, machines: Sequence[Machine], timing: Timing, now: Instant) -> None:
        identity = log.identity
        self.cluster_id = identity.cluster_id
        self.me = Member(identity.node, identity.incarnation)
        self.life = f"{self.me.node}.{now.wall_us:x}.{now.boot_us:x}"
        self.timing = timing
        self.chain = Chain(log)
        self.fold = Fold(machines)
        self.commit_seq = log.commit_seq()
        self.fed_seq = 0
        stored = log.record(REGISTER)
        self.register: Register | None = unpack_register(stored) if stored is not None else None
        promised = log.record(PROMISED)
        known = max(self.chain.head.epoch, self.register.epoch if self.register else 0)
        self.promised = max(known, int.from_bytes(promised, "big") if promised is not None else 0)
        self.last_ts_us = self.chain.head.ts_us
        self.witness_said_us: int | None = None
        self.out: list[Effect] = []
        self.ignored: Counter[str] = Counter()
        self._serial = 0
        self._register_serial = 0
        self._persisting: deque[tuple[int, int, Head]] = deque()
        self._asked_us = 0
        self._stored_commit = self.commit_seq

    @property
    def epoch(self) -> int:
        """Epoch of the newest register this node knows; 0 if it knows none."""
        return self.register.epoch if self.register is not None else 0

    def swap(self, primary: Member, in_sync: tuple[Member, ...]) -> None:
        """Ask the witness to replace the register we know."""
        assert self.witness_said_us is not None, "who asks for a swap has heard what it replaces"
        said_us = self.witness_said_us
        self.tell_witness(CompareAndSwap(self.cluster_id, self.epoch, self.me, primary, in_sync, self.life, said_us))

    def tell(self, node: str, message: Message) -> None:
        """Send to a node's back channel."""
        self.out.append(Tell(node, message))

    def tell_witness(self, message: Message) -> None:
        """Send to the witness."""
        self.out.append(Tell(WITNESS, message))

    def ignore(self, why: NodeWhy) -> None:
        """Drop a message by name, and count it."""
        self.ignored[why] += 1

    # -- durability

    def persist(
        self,
        now_us: int,
        batches: Sequence[Batch] = (),
        truncate_after: int | None = None,
        records: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Ask for a durable write; gives its serial, which comes back through `persisted`."""
        self._serial += 1
        self._persisting.append((self._serial, now_us, self.chain.head))
        self._asked_us = now_us
        self._stored_commit = self.commit_seq
        write = Write(tuple(batches), truncate_after, min(self.commit_seq, self.chain.head.seq), tuple(records))
        self.out.append(Persist(self._serial, write))
        return self._serial

    def persisted(self, serial: int) -> None:
        """Every write up to `serial` is durable."""
        while self._persisting and self._persisting[0][0] <= serial:
            self.chain.durable = self._persisting.popleft()[2]

    def is_durable(self, serial: int) -> bool:
        """Whether the write of that serial is."""
        return not self._persisting or self._persisting[0][0] > serial

    def truncate_after(self, seq: int) -> None:
        """Cut the chain (R8). Writes still under way that went further now count up to the cut."""
        self.chain.truncate_after(seq)
        cut = self.chain.head
        self.last_ts_us = cut.ts_us
        self._persisting = deque((serial, at_us, min(head, cut)) for serial, at_us, head in self._persisting)

    @property
    def writing(self) -> bool:
        """True while a write is under way."""
        return bool(self._persisting)

    def stalled(self, now_us: int) -> bool:
        """R9: a write has been under way for longer than `stall`; this node must seem dead."""
        return bool(self._persisting) and now_us - self._persisting[0][1] > self.timing.stall_us

    def save_commit(self, now_us: int) -> None:
        """Make the commit point durable if it has moved."""
        if self._stored_commit < self.commit_seq:
            self.persist(now_us)

    def save_commit_if_idle(self, now_us: int) -> None:
        """Likewise, once the disk has been idle for a beacon interval: a busy log carries it with every batch."""
        if not self._persisting and now_us - self._asked_us >= self.timing.beacon_us:
            self.save_commit(now_us)

    # -- configuration

    def adopt(self, register: Register, now_us: int) -> None:
        """Take over a newer configuration; epochs never fall (I3). Durable before any later write is."""
        assert register.epoch > self.epoch, "a register is only ever replaced by a newer one (I3)"
        if register.primary != self.me and not self._is_continued_by(register):
            self.last_ts_us = self.chain.head.ts_us  # the clock of a deposed primary, maybe this node, ran on alone
        self.register = register
        self.promised = max(self.promised, register.epoch)
        records = (REGISTER, register.pack()), (PROMISED, self.promised.to_bytes(8, "big"))
        self._register_serial = self.persist(now_us, records=records)

    @property
    def register_is_durable(self) -> bool:
        """Whether this node would still know its register after a crash."""
        return self.is_durable(self._register_serial)

    def propose(self, in_sync: tuple[Member, ...], now_us: int) -> int:
        """R10: note whom the next register may count in, before the witness can be asked for it; the serial says when
        that is durable."""
        assert self.register is not None
        proposed = self.register._replace(epoch=self.epoch + 1, primary=self.me, in_sync=in_sync, author=self.life)
        return self.persist(now_us, records=((PROPOSED, proposed.pack()),))

    def _is_continued_by(self, register: Register) -> bool:
        """Whether the same life leads on, and nobody else did in between."""
        known = self.register
        return known is not None and (register.epoch, register.author) == (known.epoch + 1, known.author)

    def promise(self, epoch: int, now_us: int) -> int:
        """Never again follow an epoch below `epoch`; the serial says when that is durable (R5)."""
        self.promised = max(self.promised, epoch)
        return self.persist(now_us, records=((PROMISED, self.promised.to_bytes(8, "big")),))

    # -- commitment and state

    def commit_to(self, seq: int) -> None:
        """Move the commit point; it never falls and never passes the head."""
        assert self.commit_seq <= seq <= self.chain.head.seq, "the commit point never falls (I4)"
        self.commit_seq = seq

    def feed(self) -> None:
        """Give committed batches to read models, each once, in order. Before anything is released."""
        if self.fed_seq >= self.commit_seq:
            return
        batches: list[Batch] = []
        events = 0
        for batch in self.chain.after(self.fed_seq):
            if batch.last_seq > self.commit_seq or events >= REPLAY_EVENTS_PER_TURN:
                break
            events += len(batch.entries)
            batches.append(batch)
        if batches:
            self.fed_seq = batches[-1].last_seq
            self.out.append(Committed(batches))

    def fold_up_to(self, seq: int) -> bool:
        """Fold batches up to `seq`, a bounded number a call; True when the state stands there."""
        if self.fold.seq >= seq:
            return True
        events = 0
        for batch in self.chain.after(self.fold.seq):
            if batch.last_seq > seq:
                break
            self.fold.apply(batch)
            events += len(batch.entries)
            if events >= REPLAY_EVENTS_PER_TURN:
                break
        return self.fold.seq >= seq

    @property
    def lagging(self) -> bool:
        """True while committed events are not yet folded or not yet fed."""
        return self.fold.seq < self.commit_seq or self.fed_seq < self.commit_seq

    def drop_speculation(self) -> None:
        """Speculative state goes with the role: start over from the log if any was folded."""
        if self.fold.seq > self.commit_seq:
            self.fold = self.fold.fresh()
