"""The table of roles: whole, and kept to also where no sound cluster leads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from es.codec import BatchBuilder
from es.machine import Event, UnknownEvent
from es.replication.effects import Halt
from es.replication.messages import Beacon, Frame, Granted, Registered
from es.replication.transitions import TRANSITIONS, Role
from es.testing.ledger import Ledger
from tests.unit.replication.driver import CLUSTER, TIMING, A, B, Driver, register


class ForgetfulLedger(Ledger):
    """A ledger that does not know the event it caused, once `forgets` is set: a program older than its log."""

    forgets = False

    def fresh(self) -> ForgetfulLedger:
        return self

    def evolve(self, event: Event, seq: int, ts_us: int) -> None:
        if self.forgets:
            raise UnknownEvent(event.type)

    def next_deadline(self) -> int | None:
        return 1 if self.forgets else None

    def due(self, now_us: int, events_max: int) -> list[Event]:
        return [Event("Credited", 1, "es", "", (1,))] if self.forgets else []


def following() -> Driver:
    """Twelve batches behind with its replay, one batch a turn (see `slow_replay`)."""
    driver = Driver(B, machines=[ForgetfulLedger()])
    driver.follow()
    prev_hash = bytes(32)
    for seq in range(1, 13):
        builder = BatchBuilder(3, seq, prev_hash, seq)
        builder.add("ledger", ("Credited", 1, "client", str(seq), (1,)))
        batch = builder.seal()
        prev_hash = batch.hash
        driver.give(Frame(CLUSTER, 3, 0, batch.data))
    driver.fsync()
    driver.give(Beacon(register(3, A, A, B), 12, prev_hash, 12, 12, driver.now_us))
    driver.clear()
    return driver


def promising() -> Driver:
    driver = following()
    driver.tick(TIMING.grace_us / 1_000)
    driver.give(Granted(CLUSTER, 3, B))
    return driver


def claiming() -> Driver:
    driver = promising()
    driver.fsync()
    return driver


def opening() -> Driver:
    driver = claiming()
    driver.grant_swap()
    return driver


def leading() -> Driver:
    driver = opening()
    while not driver.replica.active:
        driver.tick()
        driver.fsync()
    return driver


BY_ROLE: dict[Role, Callable[[], Driver]] = {
    Role.FOLLOWING: following,
    Role.PROMISING: promising,
    Role.CLAIMING: claiming,
    Role.OPENING: opening,
    Role.LEADING: leading,
}


@pytest.fixture(autouse=True)
def slow_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("es.replication.data_node.REPLAY_EVENTS_PER_TURN", 1)


def test_the_table_names_every_role_and_leads_out_of_all_but_one() -> None:
    assert {role for role, _ in TRANSITIONS} == set(Role) - {Role.HALTED}
    assert set(TRANSITIONS.values()) == set(Role)
    assert all(before is not after for (before, _), after in TRANSITIONS.items())


@pytest.mark.parametrize("role", BY_ROLE)
def test_each_role_is_reached(role: Role) -> None:
    assert BY_ROLE[role]().replica.role is role


@pytest.mark.parametrize("role", BY_ROLE)
def test_another_epoch_makes_a_follower(role: Role) -> None:
    driver = BY_ROLE[role]()
    driver.give(Registered(register(9, A, A, B), 0))
    assert driver.replica.role is Role.FOLLOWING
    assert driver.replica.leading is None
    assert driver.epoch == 9


@pytest.mark.parametrize("role", BY_ROLE)
def test_an_older_epoch_changes_nothing(role: Role) -> None:
    driver = BY_ROLE[role]()
    driver.give(Registered(register(2, A, A, B), 0))
    assert driver.replica.role is role


def forget(driver: Driver) -> None:
    [machine] = driver.replica.node.fold.machines.values()
    assert isinstance(machine, ForgetfulLedger)
    machine.forgets = True


def halts(driver: Driver) -> list[str]:
    return [effect.code for effect in driver.effects if isinstance(effect, Halt)]


@pytest.mark.parametrize("role", BY_ROLE)
def test_a_node_that_does_not_know_an_event_halts_whatever_it_is(role: Role) -> None:
    driver = BY_ROLE[role]()
    forget(driver)
    driver.tick(1)
    assert driver.replica.role is Role.HALTED
    assert halts(driver) == ["UNKNOWN_EVENT"]


def test_it_halts_also_when_a_finished_write_lets_it_go_on_folding() -> None:
    driver = promising()
    forget(driver)
    driver.fsync()
    assert driver.replica.role is Role.HALTED
    assert halts(driver) == ["UNKNOWN_EVENT"]
