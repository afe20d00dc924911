"""The witness: keeper of the register, judge of silence. It stores nothing else and decides nothing else.

    keeper = Witness(stored_register, timing, now_us, names)
    for effect in keeper.step(message, now_us): ...

The shell's duty: a `Save` is durable before the effects after it are carried out, and a `Halt` ends the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from es.log.base import EventLog
from es.replication.data_node import PROPOSED, REGISTER
from es.replication.effects import Halt
from es.replication.messages import (
    CompareAndSwap,
    Granted,
    Heartbeat,
    Member,
    Message,
    Prevote,
    Register,
    Registered,
    unpack_register,
)
from es.replication.timing import Timing

WitnessWhy: TypeAlias = Literal[
    "another cluster", "empty witness", "not for a witness",
    "prevote for another epoch", "prevote of a node not in sync", "prevote of the primary",
    "prevote while the primary lives",
    "swap of another epoch", "swap of a node not in sync", "swap for another primary",
    "swap without its primary in sync", "swap that counts in a stranger", "swap while the primary lives",
    "swap that waited",
]  # fmt: skip
WITNESS_WHYS: tuple[WitnessWhy, ...] = get_args(WitnessWhy)
"""Every reason for which the witness refuses or drops a message."""


@dataclass(slots=True, frozen=True)
class Save:
    """Store the register durably, replacing the old one."""

    register: Register


@dataclass(slots=True, frozen=True)
class Reply:
    """Answer the node that asked."""

    node: str
    message: Message


WitnessEffect: TypeAlias = Save | Reply | Halt


class Witness:
    """`register` is None in an empty witness, which grants nothing (R10). `names` are the cluster's data nodes."""

    def __init__(self, register: Register | None, timing: Timing, now_us: int, names: Collection[str]) -> None:
        self.register = register
        self.names = frozenset(names)
        self.timing = timing
        self.started_us = now_us
        self.heard_us: dict[Member, int] = {}
        self.ignored: Counter[str] = Counter()
        self.changes = 0

    def step(self, message: Message, now_us: int) -> list[WitnessEffect]:
        """Take one message of a data node; the answer to everything is the register as it then is."""
        register = self.register
        if register is None:
            return self._ignore("empty witness")
        if not isinstance(message, Heartbeat | Prevote | CompareAndSwap):
            return self._ignore("not for a witness")
        if message.cluster_id != register.cluster_id:
            return self._ignore("another cluster")
        if message.epoch > register.epoch:
            return [_rolled_back(register, message)]
        self._hear(message.member, now_us)
        effects: list[WitnessEffect] = []
        if isinstance(message, Prevote):
            effects += self._prevote(message, register, now_us)
        elif isinstance(message, CompareAndSwap):
            effects += self._compare_and_swap(message, register, now_us)
        assert self.register is not None
        return [*effects, Reply(message.member.node, Registered(self.register, now_us))]

    def _hear(self, member: Member, now_us: int) -> None:
        """Remember only who the register names: strangers cannot fill the table."""
        assert self.register is not None
        known = {self.register.primary, *self.register.in_sync}
        self.heard_us = {one: at_us for one, at_us in self.heard_us.items() if one in known}
        if member in known:
            self.heard_us[member] = now_us

    def _prevote(self, prevote: Prevote, register: Register, now_us: int) -> list[WitnessEffect]:
        """R5: yes if the asker is in sync and the primary has been silent here for `grace`, too."""
        refusal: WitnessWhy | None = (
            "prevote for another epoch" if prevote.epoch != register.epoch
            else "prevote of a node not in sync" if prevote.member not in register.in_sync
            else "prevote of the primary" if prevote.member == register.primary
            else "prevote while the primary lives" if self._lives(register.primary, now_us)
            else None
        )  # fmt: skip
        if refusal is not None:
            return self._ignore(refusal)
        return [Reply(prevote.member.node, Granted(register.cluster_id, register.epoch, prevote.member))]

    def _lives(self, primary: Member, now_us: int) -> bool:
        """Whether it may be alive: who has just started cannot tell how long another has been silent."""
        heard_us = max(self.started_us, self.heard_us.get(primary, self.started_us))
        return now_us - heard_us < self.timing.grace_us

    def _compare_and_swap(self, swap: CompareAndSwap, register: Register, now_us: int) -> list[WitnessEffect]:
        """Epoch by epoch. Only a member in sync may change the register, to one with itself as primary, and only what
        it says after it has heard this witness, within `grace`: a swap that waited longer may be that of a node which
        has since gone, with its disk (R16). A backup takes over from whom this witness does not hear either (R5)."""
        is_takeover = swap.member != register.primary
        refusal: WitnessWhy | None = (
            "swap of another epoch" if swap.epoch != register.epoch
            else "swap of a node not in sync" if swap.member not in register.in_sync
            else "swap for another primary" if swap.primary != swap.member
            else "swap without its primary in sync" if swap.primary not in swap.in_sync
            else "swap that counts in a stranger" if not {one.node for one in swap.in_sync} <= self.names
            else "swap that waited" if not 0 <= now_us - swap.said_us < self.timing.grace_us
            else "swap while the primary lives" if is_takeover and self._lives(register.primary, now_us)
            else None
        )  # fmt: skip
        if refusal is not None:
            return self._ignore(refusal)
        self.register = Register(
            register.cluster_id,
            register.epoch + 1,
            swap.primary,
            swap.in_sync,
            register.witness_generation,
            swap.author,
        )
        self.changes += 1
        return [Save(self.register)]

    def _ignore(self, why: WitnessWhy) -> list[WitnessEffect]:
        self.ignored[why] += 1
        return []


def _rolled_back(register: Register, message: Heartbeat | Prevote | CompareAndSwap) -> Halt:
    """R17: every epoch was durable here before any node could know it, so that this register is not the last one. What
    it would grant has been granted before, maybe to another node."""
    return Halt(
        "ROLLED_BACK",
        f"server {message.member.node} knows epoch {message.epoch}, and this register is of epoch {register.epoch}: it "
        "was put back from an older copy, or its disk has forgotten the newer one; only the newest may be served",
    )


class Known(NamedTuple):
    """What the disk of a data node knows: its register, and the one it may have asked for, to count somebody in."""

    register: Register | None
    proposed: Register | None


def known_by(log: EventLog) -> tuple[Member, Known]:
    """The data node whose log it is, and what it knows."""
    records = (log.record(name) for name in (REGISTER, PROPOSED))
    known = Known(*(None if record is None else unpack_register(record) for record in records))
    return Member(log.identity.node, log.identity.incarnation), known


def newest_known(known: Iterable[Known]) -> Register | None:
    """The newest register that any of these has stored."""
    registers = (one.register for one in known if one.register is not None)
    return max(registers, key=lambda register: register.epoch, default=None)


def may_have_changed(known: Collection[Known]) -> set[Member]:
    """R10: who may have changed the newest register that these know: those who are in sync by it, and those whom one of
    these may have had counted in since."""
    newest = newest_known(known)
    if newest is None:
        return set()
    proposed = (one.proposed for one in known if one.proposed is not None and one.proposed.epoch > newest.epoch)
    return {member for register in (newest, *proposed) for member in register.in_sync}


def seeded(known: Collection[Register]) -> Register:
    """R10: the first register of a witness that lost its own, from those that data nodes know, and its old one if there
    is any. Whoever may have changed the newest must be among those nodes: what none of them has stored nobody has acted
    on. It is a new epoch, so that nothing of the witness before is taken for this one's. Raises ValueError if two of
    one epoch differ: then there were two histories."""
    newest = max(known, key=lambda register: register.epoch)
    if any(register.epoch == newest.epoch and register != newest for register in known):
        raise ValueError(f"there are two registers of epoch {newest.epoch}")
    generation = max(register.witness_generation for register in known) + 1
    return newest._replace(epoch=newest.epoch + 1, witness_generation=generation, author="")
