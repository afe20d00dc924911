"""The protocol with one rule broken, to measure the checker: every mutant must be found by the schedules that the
whole protocol passes. The product has no switches; a mutant replaces methods while it is applied.

    with applied(MUTANTS["read without a lease"]):
        schedule.run(…)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from es.replication import leading as leading_module
from es.replication.data_node import DataNode
from es.replication.effects import Answers, RoleChanged
from es.replication.instant import Instant
from es.replication.leading import Leading, Peer, Read
from es.replication.messages import (
    CompareAndSwap,
    Granted,
    Member,
    Prevote,
    Register,
    members,
)
from es.replication.replica import Replica
from es.replication.transitions import Role
from es.replication.witness import Witness, WitnessEffect


class Mutant(NamedTuple):
    """`rule` is what it breaks; `changes` are (class or module, attribute, what takes its place)."""

    rule: str
    sentence: str
    changes: tuple[tuple[Any, str, Any], ...]


@contextmanager
def applied(mutant: Mutant | None) -> Iterator[None]:
    """Break the rule for as long as the block lasts; None breaks nothing. One process, one mutant at a time."""
    changes = mutant.changes if mutant is not None else ()
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in changes]
    try:
        for owner, name, replacement in changes:
            setattr(owner, name, replacement)
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)


# -- who leads

_learn = Replica._learn
_seek = Replica._seek
_on_granted = Replica._on_granted
_node_init = DataNode.__init__


def _own_register(node: DataNode, in_sync: Collection[Member]) -> Register:
    """What the witness would have answered, had it been asked."""
    assert node.register is not None
    return node.register._replace(epoch=node.epoch + 1, primary=node.me, in_sync=members(*in_sync), author=node.life)


def _seek_alone(self: Replica, now: Instant) -> None:
    node, following = self.node, self.following
    if following is None or following.primary is None or following.silent_us(now.boot_us) < node.timing.grace_us:
        _seek(self, now)
        return
    self.role = Role.CLAIMING
    self._learn(_own_register(node, [node.me]), now)


def _seek_resuming(self: Replica, now: Instant) -> None:
    node = self.node
    if node.register is None or node.register.primary != node.me or self.following is None:
        _seek(self, now)
    elif node.fold_up_to(node.chain.head.seq):
        self.role, self.following = Role.OPENING, None
        node.out.append(RoleChanged(Role.FOLLOWING, Role.OPENING, node.epoch, "it led before"))
        self.leading = Leading(node, now, "start", 0, now.boot_us)


def _seek_from_outside(self: Replica, now: Instant) -> None:
    node, following = self.node, self.following
    outside = node.register is not None and node.me not in node.register.in_sync
    if not outside or following is None or self.role is not Role.FOLLOWING:
        _seek(self, now)
    elif following.silent_us(now.boot_us) >= node.timing.grace_us:
        node.tell_witness(Prevote(node.cluster_id, node.epoch, node.me))


_prevote = Witness._prevote
_compare_and_swap = Witness._compare_and_swap


def _prevote_for_anyone(self: Witness, prevote: Prevote, register: Register, now_us: int) -> list[WitnessEffect]:
    return _prevote(self, prevote, register._replace(in_sync=(*register.in_sync, prevote.member)), now_us)


def _swap_for_anyone(self: Witness, swap: CompareAndSwap, register: Register, now_us: int) -> list[WitnessEffect]:
    return _compare_and_swap(self, swap, register._replace(in_sync=(*register.in_sync, swap.member)), now_us)


def _swap_without_compare(self: Witness, swap: CompareAndSwap, register: Register, now_us: int) -> list[WitnessEffect]:
    any_epoch = swap._replace(epoch=register.epoch, said_us=now_us)
    return _compare_and_swap(self, any_epoch, register._replace(primary=swap.member, in_sync=swap.in_sync), now_us)


def _swap_whenever_it_comes(
    self: Witness, swap: CompareAndSwap, register: Register, now_us: int
) -> list[WitnessEffect]:
    return _compare_and_swap(self, swap._replace(said_us=now_us), register, now_us)


def _believe_hint(self: Replica, epoch: int, now: Instant) -> None:
    if self.node.register is not None:
        self._learn(self.node.register._replace(epoch=epoch), now)


def _believe_anybody(self: Replica, sender: str, now: Instant) -> bool:  # noqa: ARG001 - it takes a method's place
    return True


def _claim_before_promise(self: Replica, granted: Granted, now: Instant) -> None:
    following = self.following
    fits = granted.member == self.node.me and granted.epoch == self.node.epoch and self.role is Role.FOLLOWING
    if following is not None and fits and following.silent_us(now.boot_us) >= self.node.timing.grace_us:
        self._cause, self._silence_us, self._promoting_us = "failover", following.silent_us(now.boot_us), now.boot_us
        self._claim("the witness granted again what was promised before", now)


def _nameless_life(self: DataNode, *arguments: Any) -> None:
    _node_init(self, *arguments)
    self.life = self.me.node


def _promise_in_memory(self: DataNode, epoch: int, now_us: int) -> int:
    self.promised = max(self.promised, epoch)
    return self.persist(now_us)


# -- commitment, answers, membership

_advance = Leading._advance
_submit = Leading.submit
_leading_init = Leading.__init__
_change_in_sync = Leading._change_in_sync
_commit_to = DataNode.commit_to


def _answer_when_durable(self: Leading, now: Instant) -> None:
    for flight in self.flights:
        if flight.batch.last_seq <= self.node.chain.durable.seq and flight.answers:
            self.node.out.append(Answers(flight.batch, 1, flight.answers))
            self._waiting -= len(flight.answers)
            flight.answers = []
    _advance(self, now)


def _commit_point_elsewhere(
    me: Member, durable_seq: int, required: Collection[Member], acked: Mapping[Member, int]
) -> int:
    return min((acked.get(member, 0) for member in required if member != me), default=durable_seq)


def _copies_on_both(*arguments: Any) -> int:  # noqa: ARG001 - it takes a function's place
    return 2


def _answer_reads_at_once(self: Leading, waiter: Any, application: str, command: Any, now: Instant) -> Any:
    refused = _submit(self, waiter, application, command, now)
    if self.reads and self.reads[-1].answer.waiter is waiter:
        self._waiting -= 1
        self.node.out.append(Answers(None, 1, [self.reads.pop().answer]))
    return refused


def _read_without_lease(self: Leading, now_us: int) -> bool:  # noqa: ARG001 - it takes a method's place
    return self.opened


def _open_at_once(self: Leading, *arguments: Any) -> None:
    _leading_init(self, *arguments)
    self.opened = True


def _read_before_opening(self: Leading, waiter: Any, application: str, command: Any, now: Instant) -> Any:
    refused = _submit(self, waiter, application, command, now)
    if self.node.commit_seq < self._opening_seq:
        for read in self.reads:
            read.needs_seq = min(read.needs_seq, self.node.commit_seq)
    return refused


def _go_alone(self: Leading, now_us: int) -> None:
    late = [member for member in self.required if member != self.node.me and self._late(member, now_us)]
    if not late:
        _change_in_sync(self, now_us)
        return
    self.on_register(_own_register(self.node, [self.node.me]), Instant(now_us, now_us + self.clock.wall_offset_us))


def _required(self: Leading) -> set[Member]:
    return self.required


def _hear_replaced(self: Leading, member: Member) -> Peer:
    return self.peers.setdefault(member, Peer())


def _pend_at_once(self: Leading, member: Member, now_us: int) -> None:  # noqa: ARG001 - it takes a method's place
    assert self.node.register is not None
    if self.pending is None and self.opened and member not in self.node.register.in_sync:
        self.pending = member


def _always_caught_up(self: Leading, member: Member) -> bool:  # noqa: ARG001 - it takes a method's place
    return True


def _required_without_pending(self: Leading) -> set[Member]:
    assert self.node.register is not None
    growing = {self.pending} if self.__dict__.get("growing") and self.pending is not None else set()
    return {*self.node.register.in_sync, *growing}


def _change_in_sync_growing(self: Leading, now_us: int) -> None:
    self.__dict__["growing"] = True
    _change_in_sync(self, now_us)
    self.__dict__["growing"] = False


def _drop_late_pending(self: Leading, now_us: int) -> None:
    if self.pending is not None and self._late(self.pending, now_us):
        self.pending = None
    _change_in_sync(self, now_us)


def _learn_and_remember(self: Replica, register: Register, now: Instant) -> None:
    before = self.leading
    _learn(self, register, now)
    if before is not None and self.leading is None:
        answers = [answer for flight in before.flights for answer in flight.answers]
        self.node.__dict__["stale_reads"] = [Read(answer.seq or 0, answer) for answer in answers]


def _commit_and_answer_stale(self: DataNode, seq: int) -> None:
    _commit_to(self, seq)
    stale: list[Read] = self.__dict__.get("stale_reads", [])
    ready = [read.answer for read in stale if read.needs_seq <= seq]
    self.__dict__["stale_reads"] = [read for read in stale if read.needs_seq > seq]
    if ready:
        self.out.append(Answers(None, 1, ready))


MUTANTS: dict[str, Mutant] = {
    "self-promotion": Mutant(
        "R5", "a backup that hears nothing leads without asking the witness", ((Replica, "_seek", _seek_alone),)
    ),
    "going alone without the witness": Mutant(
        "R3", "a primary drops a silent backup without asking", ((Leading, "_change_in_sync", _go_alone),)
    ),
    "reply before replication": Mutant(
        "R1", "answers leave once the primary alone is durable", ((Leading, "_advance", _answer_when_durable),)
    ),
    "commit before the own fsync": Mutant(
        "R1", "the backup's acknowledgement alone commits", ((leading_module, "commit_point", _commit_point_elsewhere),)
    ),
    "joining early": Mutant(
        "R4", "a backup is counted in before it has caught up",
        ((Leading, "_consider_pending", _pend_at_once), (Leading, "_caught_up", _always_caught_up)),
    ),
    "pending not required": Mutant(
        "R4", "commits do not wait for a backup that is being counted in",
        (
            (Leading, "required", property(_required_without_pending)),
            (Leading, "_change_in_sync", _change_in_sync_growing),
        ),
    ),
    "pending given up without asking": Mutant(
        "R4", "a primary stops waiting for a backup that it may have counted in already",
        ((Leading, "_change_in_sync", _drop_late_pending),),
    ),
    "compare-and-swap without compare": Mutant(
        "R5", "the witness takes every swap", ((Witness, "_compare_and_swap", _swap_without_compare),)
    ),
    "promotion from outside in_sync": Mutant(
        "R5", "a backup that is not in sync may take over",
        (
            (Replica, "_seek", _seek_from_outside),
            (Witness, "_prevote", _prevote_for_anyone),
            (Witness, "_compare_and_swap", _swap_for_anyone),
        ),
    ),
    "late promise": Mutant(
        "R5", "a backup claims the next epoch while it still acknowledges this one",
        ((Replica, "_on_granted", _claim_before_promise),),
    ),
    "promise not stored": Mutant(
        "R5", "a backup that restarts has forgotten what it promised", ((DataNode, "promise", _promise_in_memory),)
    ),
    "resumed epoch": Mutant(
        "R6", "a restarted primary goes on in its old epoch", ((Replica, "_seek", _seek_resuming),)
    ),
    "swap of an earlier life": Mutant(
        "R6", "a restarted node takes its earlier life's swap for its own", ((DataNode, "__init__", _nameless_life),)
    ),
    "stale pending reply": Mutant(
        "R6b", "those who wait at a primary are answered after another one has led",
        ((Replica, "_learn", _learn_and_remember), (DataNode, "commit_to", _commit_and_answer_stale)),
    ),
    "copies assumed": Mutant(
        "R1", "an answer speaks of a copy that nobody has acknowledged", ((leading_module, "copies", _copies_on_both),)
    ),
    "early duplicate answer": Mutant(
        "R1", "a repetition is answered before what it repeats has committed",
        ((Leading, "submit", _answer_reads_at_once),),
    ),
    "read without a lease": Mutant(
        "R7", "a primary that was cut off still answers reads", ((Leading, "may_read", _read_without_lease),)
    ),
    "late acknowledgement of a replaced disk": Mutant(
        "R1", "what a disk acknowledged that has been replaced since counts as a copy",
        ((Leading, "_hear", _hear_replaced), (Leading, "_heard_beside_required", _required)),
    ),
    "hint believed": Mutant(
        "R15", "a node that is told of a newer epoch follows it without asking the witness",
        ((Replica, "_hint", _believe_hint),),
    ),
    "unconfirmed beacon believed": Mutant(
        "R15", "whoever says that he leads a newer epoch is followed though the witness answers otherwise",
        ((Replica, "_believes", _believe_anybody),),
    ),
    "swap that waited": Mutant(
        "R16", "the witness takes a swap of a node that may long be gone",
        ((Witness, "_compare_and_swap", _swap_whenever_it_comes),),
    ),
    "counted in without a note": Mutant(
        "R10", "a primary asks the witness to count a member in before its own disk knows that it may",
        ((DataNode, "propose", lambda _node, _in_sync, _now_us: 0),),
    ),
    "register not stored": Mutant(
        "R10", "what commits does not wait until the register that lets it is on the own disk",
        ((DataNode, "register_is_durable", True),),
    ),
    "no start barrier": Mutant(
        "R5", "reads are answered before the epoch's first batch has committed",
        ((Leading, "__init__", _open_at_once), (Leading, "submit", _read_before_opening)),
    ),
}  # fmt: skip
"""By name: what a schedule is run with to see it found."""
