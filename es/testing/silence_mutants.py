"""The protocol with one rule about time broken: how long somebody is silent, what a lease covers, what a freeze or a
stall means (es.testing.mutants says how)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from es.replication.data_node import DataNode
from es.replication.effects import Emit
from es.replication.following import Following
from es.replication.instant import Instant
from es.replication.leading import Leading
from es.replication.messages import Beacon, BeaconAck, Granted, Member, Register
from es.replication.replica import Replica
from es.replication.transitions import Role
from es.replication.witness import Witness
from es.testing.faulty_cluster import FrozenTurn
from es.testing.mutants import Mutant

LONG_AGO_US = -(1 << 60)

_replica_init = Replica.__init__
_on_granted = Replica._on_granted
_on_beacon = Following.on_beacon
_on_beacon_ack = Leading.on_beacon_ack
_adopt = DataNode.adopt
_truncate_after = DataNode.truncate_after


def _start_in_silence(self: Replica, *arguments: Any) -> None:
    _replica_init(self, *arguments)
    assert self.following is not None
    self.following.heard_us = LONG_AGO_US


def _take_late_grant(self: Replica, granted: Granted, now: Instant) -> None:
    if self.following is not None and granted.epoch == self.node.epoch and self.role is Role.FOLLOWING:
        self.following.heard_us = min(self.following.heard_us, now.boot_us - self.node.timing.grace_us)
    _on_granted(self, granted, now)


def _hear_by_their_clock(self: Following, beacon: Beacon, now_us: int) -> None:
    before_us = self._beacon_sent_us
    _on_beacon(self, beacon, now_us)
    if self._beacon_sent_us > before_us:
        self.heard_us = beacon.sent_us


def _lives_if_heard(self: Witness, primary: Member, now_us: int) -> bool:
    return now_us - self.heard_us.get(primary, LONG_AGO_US) < self.timing.grace_us


def _never_lives(self: Witness, primary: Member, now_us: int) -> bool:  # noqa: ARG001 - it takes a method's place
    return False


def _lease_from_arrival(self: Leading, ack: BeaconAck, now: Instant) -> None:
    _on_beacon_ack(self, ack._replace(sent_us=now.boot_us), now)


def _lease_of(self: Leading, required: Collection[Member], now_us: int) -> bool:
    newest = now_us - self.node.timing.lease_us
    beacons = {member: peer.beacon_us for member, peer in self.peers.items()}
    others = [member for member in required if member != self.node.me]
    return self.opened and all(beacons.get(member, LONG_AGO_US) > newest for member in others)


def _read_without_pending(self: Leading, now_us: int) -> bool:
    assert self.node.register is not None
    return _lease_of(self, self.node.register.in_sync, now_us)


def _emit_in_a_stall(self: Leading, now: Instant) -> None:
    node = self.node
    assert node.register is not None
    self._next_beacon_us = now.boot_us + node.timing.beacon_us
    head = node.chain.head
    beacon = Beacon(node.register, head.seq, head.hash, node.commit_seq, self._ts(now), now.boot_us)
    node.out.append(Emit(beacon))


def _speak_unless_halted(self: Replica, now: Instant) -> bool:  # noqa: ARG001 - it takes a method's place
    return self.role is not Role.HALTED


def _never_stalled(self: DataNode, now_us: int) -> bool:  # noqa: ARG001 - likewise
    return False


def _always_old(self: FrozenTurn, source: str, now_us: int) -> bool:  # noqa: ARG001 - likewise
    return True


def _owe_nothing(self: Leading, extension_us: int, now: Instant) -> None:
    """Nothing is ever given back."""


def _adopt_and_keep_time(self: DataNode, register: Register, now_us: int) -> None:
    known_us = self.last_ts_us
    _adopt(self, register, now_us)
    self.last_ts_us = known_us


def _cut_and_keep_time(self: DataNode, seq: int) -> None:
    known_us = self.last_ts_us
    _truncate_after(self, seq)
    self.last_ts_us = known_us


SILENCE_MUTANTS: dict[str, Mutant] = {
    "no grace after the own start": Mutant(
        "R5", "a backup that has just started takes its primary for silent", ((Replica, "__init__", _start_in_silence),)
    ),
    "grant after the primary spoke": Mutant(
        "R5", "a grant counts though the primary was heard since it was asked for",
        ((Replica, "_on_granted", _take_late_grant),),
    ),
    "silence by the primary's clock": Mutant(
        "R5", "a backup counts silence from the time that a beacon bears",
        ((Following, "on_beacon", _hear_by_their_clock),),
    ),
    "witness grants without silence": Mutant(
        "R5", "the witness grants a prevote though it hears the primary", ((Witness, "_lives", _never_lives),)
    ),
    "no start barrier of the witness": Mutant(
        "R5", "a witness that has just started takes the primary for silent", ((Witness, "_lives", _lives_if_heard),)
    ),
    "lease from the arrival": Mutant(
        "R7", "a lease runs from when the acknowledgement came, not from when the beacon was sent",
        ((Leading, "on_beacon_ack", _lease_from_arrival),),
    ),
    "read without the lease of pending": Mutant(
        "R7", "a read needs the leases of in_sync alone", ((Leading, "may_read", _read_without_pending),)
    ),
    "clock read once a turn": Mutant(
        "R7", "what a process drains after a freeze is judged by the time before it",
        ((FrozenTurn, "is_old_for", _always_old),),
    ),
    "speaks while stalled": Mutant(
        "R9", "a primary whose disk hangs goes on sending beacons and heartbeats",
        ((Leading, "_emit_beacon", _emit_in_a_stall), (Replica, "speaks", _speak_unless_halted)),
    ),
    "stall never noticed": Mutant("R9", "no write ever takes too long", ((DataNode, "stalled", _never_stalled),)),
    "outage never extended": Mutant(
        "R13", "holds run on through outages, for none is ever logged", ((Leading, "_owe", _owe_nothing),)
    ),
    "time of a deposed primary": Mutant(
        "R13", "an outage counts from what the clock of a deposed primary came to, not from what its successor's did",
        ((DataNode, "adopt", _adopt_and_keep_time), (DataNode, "truncate_after", _cut_and_keep_time)),
    ),
}  # fmt: skip
"""By name: what a schedule is run with to see it found."""
