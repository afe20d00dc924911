"""R13: the log's time. Only the primary reads a clock, and no jump of it moves a deadline."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.codec import BatchBuilder
from es.replication.events import APPLICATION, ClockAnomaly, EpochStarted, OutageExtended, read, record
from es.replication.instant import Instant
from es.replication.log_clock import CLOCK_JUMP_US, LogClock
from es.replication.messages import Batches, Beacon, Granted, Registered
from es.replication.timing import SLOW, Timing
from es.testing.ledger import Credit, Ledger
from tests.unit.replication.driver import CLUSTER, TIMING, A, B, Driver, register


class Deadlines(Ledger):
    """A ledger that remembers by how much its deadlines were moved."""

    def __init__(self) -> None:
        super().__init__()
        self.extended_us: list[int] = []

    def fresh(self) -> Deadlines:
        return Deadlines()

    def extend(self, by_us: int) -> None:
        self.extended_us.append(by_us)


def kernel_events(driver: Driver) -> list[Any]:
    return [read(entry) for batch in driver.published() for entry in batch.entries if entry.application == APPLICATION]


def taken_over(driver: Driver, after_us: int) -> tuple[int, list[Any]]:
    """Its primary is silent for so long, and it leads: the time of its epoch's first batch, and what that says."""
    driver.tick(after_us / 1_000)
    driver.give(Granted(CLUSTER, driver.epoch, driver.me))
    driver.fsync()
    driver.clear()
    driver.tick(2 * TIMING.beacon_us / 1_000)
    driver.grant_swap()
    driver.fsync()
    opened_us = next(batch.ts_us for batch in driver.published() if batch.epoch == driver.epoch)
    return opened_us, kernel_events(driver)


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.lists(st.integers(0, 10**9), max_size=20))
def test_r13_time_starts_after_the_log_and_follows_the_boot_clock(last_us: int, wall_us: int, steps: list[int]) -> None:
    clock = LogClock.start(last_us, Instant(1_000, wall_us))
    boot_us = 1_000
    assert clock.ts_us(Instant(boot_us, wall_us)) == max(last_us + 1, wall_us)
    for step in steps:
        before = clock.ts_us(Instant(boot_us, 0))
        boot_us += step
        assert clock.ts_us(Instant(boot_us, 2**60)) - before == step


@pytest.mark.parametrize(
    ("jump_us", "seen_us"),
    [(0, 0), (CLOCK_JUMP_US, 0), (CLOCK_JUMP_US + 1, CLOCK_JUMP_US + 1), (-3_600_000_000, -3_600_000_000)],
)
def test_r13_a_jump_is_seen_once(jump_us: int, seen_us: int) -> None:
    clock = LogClock.start(0, Instant(5, 1_000_000))
    jumped = Instant(10, 1_000_005 + jump_us)
    assert [clock.jump_us(jumped), clock.jump_us(jumped)] == [seen_us, 0]


@pytest.mark.parametrize("jump_us", [3_600_000_000, -3_600_000_000])
def test_r13_a_jump_of_the_wall_clock_only_logs_an_anomaly(jump_us: int) -> None:
    driver = Driver(machines=[Deadlines()])
    driver.become_primary()
    driver.tick(1)
    driver.ask("before", Credit("x", 1))
    driver.fsync()
    driver.wall_jump_us = jump_us
    driver.tick(100)
    driver.clear()
    driver.ask("after", Credit("y", 1))
    driver.fsync()
    assert kernel_events(driver) == [ClockAnomaly(jump_us)]
    first, second = [batch.ts_us for batch in driver.log.batches()][-2:]
    assert second - first == 100_000
    [machine] = driver.replica.node.fold.machines.values()
    assert isinstance(machine, Deadlines)
    assert machine.extended_us == []


def test_r13_time_rises_strictly_even_when_the_clock_stands() -> None:
    driver = Driver()
    driver.become_primary()
    for number in range(5):
        driver.ask(number, Credit(str(number), 1))
        driver.fsync()
    times = [batch.ts_us for batch in driver.log.batches()]
    assert times == sorted(set(times))


def test_r13_a_new_primary_moves_deadlines_by_the_outage_before_anything_expires() -> None:
    driver = Driver(B, machines=[Deadlines()])
    old = Driver(A)
    old.become_primary()
    old.join()
    driver.follow(old.epoch)
    for batch in old.log.batches():
        driver.replica.node.chain.append(batch)
        driver.replica.node.persist(driver.now_us, (batch,))
    driver.take(driver.replica.flush(driver.now))
    driver.fsync()
    last_us = driver.replica.node.chain.head.ts_us
    driver.replica.node.last_ts_us = last_us
    away_us = 7_000_000
    opened_us, (started, extended) = taken_over(driver, away_us)
    assert isinstance(started, EpochStarted)
    assert extended == OutageExtended(opened_us - last_us)
    assert extended.by_us >= away_us
    [machine] = driver.replica.node.fold.machines.values()
    assert isinstance(machine, Deadlines)
    assert machine.extended_us[-1] == extended.by_us


@pytest.mark.parametrize("said_more", [False, True], ids=["head", "beacon"])
def test_r13_an_outage_counts_from_the_last_primarys_time_not_from_a_deposed_ones(said_more: bool) -> None:
    """Which ran on alone: what its successor promised meanwhile ended later than by that clock."""
    driver = Driver(machines=[Deadlines()])
    driver.become_primary()
    driver.join()
    common = driver.replica.node.chain.head
    driver.tick(3_000)
    driver.ask("nobody else has it", Credit("x", 1))
    driver.fsync()

    successor = register(driver.epoch + 1, B, B, author="b's life")
    driver.give(Registered(successor, 0))
    theirs = BatchBuilder(successor.epoch, common.seq + 1, common.hash, common.ts_us + 1)
    theirs.add(APPLICATION, record(EpochStarted("b", ("b",), "failover", 0, 0)))
    batch = theirs.seal()
    commit_seq, epoch = batch.last_seq, successor.epoch
    driver.give(Batches(CLUSTER, epoch, commit_seq, common.seq, common.hash, batch.last_seq, (batch.data,)))
    grown = register(successor.epoch + 1, B, A, B, author="b's life")
    last_us = batch.ts_us
    if said_more:
        last_us += 1_000_000
        driver.give(Beacon(successor, batch.last_seq, batch.hash, batch.last_seq, last_us, 1))
    driver.give(Registered(grown, 0))
    driver.fsync()

    opened_us, (_, extended) = taken_over(driver, 2_000_000)
    assert extended == OutageExtended(opened_us - last_us)


def test_r13_a_short_outage_counts_as_a_retrys_time() -> None:
    driver = Driver()
    driver.become_primary()
    again = Driver(A, driver.log, now_us=driver.now_us + 10)
    again.hear_the_same()
    again.tick()
    again.grant_swap()
    again.fsync()
    assert kernel_events(again)[1] == OutageExtended(TIMING.retry_us)


def test_r13_a_stall_of_commits_moves_deadlines_too() -> None:
    driver = Driver()
    driver.become_primary()
    driver.ask("w", Credit("x", 1))
    driver.now_us += TIMING.stall_us + 1
    driver.fsync()
    driver.clear()
    driver.ask("next", Credit("y", 1))
    driver.fsync()
    assert kernel_events(driver) == [OutageExtended(TIMING.stall_us + 1)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"beacon_us": 300_000}, "beacon .300 ms. must be less than lease .300 ms."),
        ({"lease_us": 500_000}, "lease .500 ms. must be less than grace .500 ms."),
        ({"shrink_us": 50_000}, "beacon .50 ms. must be less than shrink .50 ms."),
        ({"shrink_us": 501_000}, "shrink .501 ms. must be at most grace .500 ms."),
        ({"stall_us": 500_000}, "stall .500 ms. must be less than grace .500 ms."),
        ({"stall_us": 50_000}, "beacon .50 ms. must be less than stall .50 ms."),
        ({"beacon_us": 0}, "beacon must be more than 0 ms"),
    ],
)
def test_intervals_that_contradict_each_other_are_refused(changes: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Timing(**changes)


def test_shrink_may_be_as_long_as_grace() -> None:
    assert Timing(shrink_us=500_000).shrink_us == SLOW.grace_us - 1_000_000
