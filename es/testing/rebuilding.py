"""R10 in the simulator: whichever disks the register is made anew from, nothing that was committed is lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from es.codec import Batch
from es.replication.data_node import PROPOSED, REGISTER
from es.replication.messages import Member, Register
from es.replication.witness import Known, known_by, may_have_changed, newest_known
from es.testing.checker import Violation
from es.testing.disk import SimulatedDisk, StoredLog


class Rebuilding:
    """What a register would be made from, kept until a disk knows of another one."""

    def __init__(self) -> None:
        self._stored: list[tuple[str, bytes | None, bytes | None]] = []
        self._led: list[tuple[Member, Register]] = []

    def on_commit(self, disks: Sequence[SimulatedDisk], batch: Batch) -> None:
        """A batch has just committed: whoever might lead by a register that is made now must hold it."""
        sound = {_owner(disk.log): disk.log for disk in disks if not disk.forgot}
        stored = [(log.identity.incarnation, log.record(REGISTER), log.record(PROPOSED)) for log in sound.values()]
        if stored != self._stored:
            self._stored, self._led = stored, _led_by(dict(map(known_by, sound.values())))
        for member, register in self._led:
            if not sound[member].holds(batch):
                after = f"a register made from that of epoch {register.epoch}"
                raise Violation("R10", f"after {after}, {member.node} may lead without committed seq {batch.last_seq}")


def _led_by(known: dict[Member, Known]) -> list[tuple[Member, Register]]:
    """Who may lead by a register made from some of these disks, and from which one it is made."""
    led: list[tuple[Member, Register]] = []
    for size in range(1, len(known) + 1):
        for here in combinations(known, size):
            disks = [known[member] for member in here]
            newest = newest_known(disks)
            if newest is not None and may_have_changed(disks) <= set(here):
                led += ((member, newest) for member in newest.in_sync)
    return led


def _owner(log: StoredLog) -> Member:
    return Member(log.identity.node, log.identity.incarnation)
