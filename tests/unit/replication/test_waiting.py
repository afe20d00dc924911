"""A node that neither leads nor follows anybody says what it waits for."""

from __future__ import annotations

import pytest

from es.log.base import Identity
from es.log.memory import MemoryLog
from es.replication.effects import WITNESS
from es.replication.instant import Instant
from es.replication.messages import Beacon, Member, Register, Registered, members
from es.replication.replica import Replica
from es.replication.timing import Timing
from es.testing.ledger import Ledger

A, B = Member("a", "a1"), Member("b", "b1")
LATER = Instant(10_000_000, 10_000_000)


def replica(register: Register | None) -> Replica:
    made = Replica(MemoryLog(Identity("c", "b", "b1")), [Ledger()], Timing(), Instant(0, 0))
    if register is not None:
        made.step(Registered(register, 0), WITNESS, Instant(0, 0))
    return made


@pytest.mark.parametrize(
    ("in_sync", "said"),
    [
        (members(A), "that is a: bring it back"),
        (members(A, Member("b", "b0")), "made anew"),
        (members(A, B), "the witness has not agreed"),
    ],
)
def test_it_says_why_nobody_leads(in_sync: tuple[Member, ...], said: str) -> None:
    waiting = replica(Register("c", 5, A, in_sync, 1)).waits_for(LATER)
    assert waiting is not None
    assert said in waiting


def test_without_a_register_it_waits_for_the_witness() -> None:
    assert replica(None).waits_for(LATER) == "the witness has not answered yet"


def test_who_hears_a_primary_waits_for_nothing() -> None:
    register = Register("c", 5, A, members(A, B), 1)
    backup = replica(register)
    backup.step(Beacon(register, 0, bytes(32), 0, 1, 1), "a", LATER)
    assert backup.waits_for(LATER) is None
    assert backup.waits_for(Instant(LATER.boot_us + Timing().grace_us, 0)) is not None
