"""One replica driven by hand: its disk writes when told, its peer and the witness are the test itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

from es.codec import Batch, decode_batch
from es.log.base import Identity
from es.log.memory import MemoryLog
from es.machine import Machine
from es.replication.effects import WITNESS, Answer, Answers, Effect, Emit, Persist, Publish, Refusal, Tell
from es.replication.instant import Instant
from es.replication.messages import (
    Ack,
    Beacon,
    BeaconAck,
    CompareAndSwap,
    Granted,
    Member,
    Message,
    Register,
    Registered,
    members,
    sender_of,
)
from es.replication.replica import Replica
from es.replication.timing import Timing
from es.testing.ledger import Credit, Ledger, Total

CLUSTER = "test"
A, B = Member("a", "a1"), Member("b", "b1")
TIMING = Timing()
BOOT_US = 5_000_000
WALL_US = 1_700_000_000_000_000

Kind = TypeVar("Kind")


def register(epoch: int, primary: Member, *in_sync: Member, author: str = "") -> Register:
    return Register(CLUSTER, epoch, primary, members(*in_sync), 1, author)


class Driver:
    """Node `a` unless told otherwise. What it asks for is kept in `effects` until `clear`."""

    def __init__(
        self, me: Member = A, log: MemoryLog | None = None, now_us: int = BOOT_US, machines: Sequence[Machine] = ()
    ) -> None:
        self.me = me
        self.log = log or MemoryLog(Identity(CLUSTER, me.node, me.incarnation))
        self.now_us = now_us
        self.wall_jump_us = 0
        self.effects: list[Effect] = []
        self.writes: deque[Persist] = deque()
        self.replica = Replica(self.log, machines or [Ledger()], TIMING, self.now)

    @property
    def now(self) -> Instant:
        return Instant(self.now_us, WALL_US + self.now_us + self.wall_jump_us)

    # -- inputs

    def take(self, effects: Sequence[Effect]) -> None:
        self.effects += effects
        self.writes += [effect for effect in effects if isinstance(effect, Persist)]

    def give(self, message: Message, sender: str | None = None) -> None:
        """From whom it says it comes; the witness says what only it does, and everything else comes from the other
        node."""
        if sender is None:
            other = B.node if self.me.node == A.node else A.node
            sender = WITNESS if isinstance(message, Registered | Granted) else sender_of(message) or other
        self.take(self.replica.step(message, sender, self.now))

    def tick(self, after_ms: float = 0) -> None:
        """Time passes in which the process does not run, then it does."""
        self.now_us += int(after_ms * 1_000)
        self.take(self.replica.tick(self.now))

    def live(self, ms: float) -> None:
        """Time passes; the process runs all the while, and its disk works."""
        until_us = self.now_us + int(ms * 1_000)
        while self.now_us < until_us:
            self.tick(min(until_us - self.now_us, TIMING.beacon_us) / 1_000)
            self.fsync()

    def fsync(self, writes_max: int = 1_000) -> None:
        """What was asked for is written, also what that leads to."""
        while self.writes and writes_max:
            writes_max -= 1
            persist = self.writes.popleft()
            self.log.write(persist.write)
            self.take(self.replica.persisted(persist.serial, self.now))

    def ask(self, waiter: Any, command: Credit | Total) -> Any:
        """Submit and flush; a refusal comes back at once."""
        refused = self.replica.submit(waiter, Ledger.name, command, self.now)
        self.take(self.replica.flush(self.now))
        return refused

    # -- what it did

    def clear(self) -> None:
        self.effects = []

    def told(self, kind: type[Kind], node: str | None = None) -> list[Kind]:
        """Messages of one kind, to one node or to anyone."""
        tells = [effect for effect in self.effects if isinstance(effect, Tell)]
        return [tell.message for tell in tells if isinstance(tell.message, kind) and node in (None, tell.node)]

    def asked_witness(self) -> CompareAndSwap | None:
        swaps = self.told(CompareAndSwap, WITNESS)
        return swaps[-1] if swaps else None

    def beacons(self) -> list[Beacon]:
        return [effect.beacon for effect in self.effects if isinstance(effect, Emit)]

    def published(self) -> list[Batch]:
        return [decode_batch(effect.frame.batch) for effect in self.effects if isinstance(effect, Publish)]

    def answers(self) -> list[Answer]:
        return [answer for effect in self.effects if isinstance(effect, Answers) for answer in effect.answers]

    def copies(self) -> list[int]:
        return [effect.copies for effect in self.effects if isinstance(effect, Answers)]

    @property
    def head_seq(self) -> int:
        return self.replica.node.chain.head.seq

    @property
    def epoch(self) -> int:
        return self.replica.node.epoch

    # -- whole steps of the protocol

    def grant_swap(self) -> None:
        """The witness takes the swap asked for last and says so."""
        swap = self.asked_witness()
        assert swap is not None, "it has asked for no swap"
        self.give(Registered(register(swap.epoch + 1, swap.primary, *swap.in_sync, author=swap.author), 0))

    def hear_the_same(self, said_us: int = 0) -> None:
        """The witness repeats the register that this node knows."""
        known = self.replica.node.register
        assert known is not None, "it knows none"
        self.give(Registered(known, said_us))

    def become_primary(self) -> None:
        """Named by the register, it claims and opens epoch 2 alone (R6)."""
        self.give(Registered(register(1, self.me, A, B), 0))
        self.fsync()
        self.tick()
        self.grant_swap()
        self.fsync()
        assert self.replica.active
        self.clear()

    def ack(
        self, member: Member = B, seq: int | None = None, epoch: int | None = None, hash_: bytes | None = None
    ) -> None:
        """`member` has made everything up to `seq` durable."""
        seq = self.head_seq if seq is None else seq
        found = self.replica.node.chain.hash_at(seq) or bytes(32)
        self.give(Ack(CLUSTER, self.epoch if epoch is None else epoch, member, seq, hash_ or found))

    def ack_beacon(self, member: Member = B, sent_us: int | None = None, seq: int | None = None) -> None:
        """`member` answers a beacon sent at `sent_us`, with everything durable and folded up to `seq`."""
        seq = self.head_seq if seq is None else seq
        hash_ = self.replica.node.chain.hash_at(seq) or bytes(32)
        self.give(BeaconAck(CLUSTER, self.epoch, member, self.now_us if sent_us is None else sent_us, seq, hash_, seq))

    def join(self) -> None:
        """`b` is heard, becomes pending, is counted in; the next epoch opens with both."""
        self.ack_beacon()
        self.fsync()
        self.tick(1)
        self.grant_swap()
        self.fsync()
        self.ack()
        self.ack_beacon()
        self.clear()

    def follow(self, epoch: int = 3) -> None:
        """It follows the other node, both in sync."""
        other = B if self.me == A else A
        self.give(Registered(register(epoch, other, A, B), 0))
        self.fsync()
        self.clear()


def credited(driver: Driver) -> dict[Any, Any]:
    """Answers by waiter."""
    return {answer.waiter: answer.answer for answer in driver.answers()}


def refused(answer: Any) -> str:
    assert isinstance(answer, Refusal)
    return answer.code
