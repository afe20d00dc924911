"""What schedules stand on: machines' clocks, the witness's disk, and checks that must find what they are there for."""

from __future__ import annotations

from typing import Any

import pytest

from es.machine import Answered, Decision
from es.replication.effects import WITNESS
from es.replication.timing import Timing
from es.testing import schedule
from es.testing.checker import Checker, Violation
from es.testing.clock import SimulatedClock
from es.testing.cluster import Cluster
from es.testing.faults import CALM, FaultProfile
from es.testing.faulty_cluster import FaultyCluster
from es.testing.ledger import Credit, Ledger, Total
from es.testing.ledger_load import LedgerLoad

SEED = 3
SECOND_US = 1_000_000


class Quiet:
    """A load of nobody."""

    commands = 0

    def start(self, cluster: Cluster) -> None: ...

    def stop(self) -> None: ...

    def idle(self) -> bool:
        return True

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        raise AssertionError("nobody asked")

    def check(self, cluster: Cluster) -> None: ...


def cluster(profile: FaultProfile = CALM, seed: int = SEED) -> FaultyCluster:
    return FaultyCluster(seed, lambda: (Ledger(),), Quiet(), Timing(), profile)


# --- clocks


def test_no_two_machines_have_the_same_boot_clock() -> None:
    made = cluster()
    readings = [made.clock(process) for process in ("a", "b", WITNESS, "faculty 1")]
    assert len({reading.boot_us for reading in readings}) == 4
    assert min(reading.boot_us for reading in readings) >= 0
    assert len({reading.wall_us for reading in readings}) == 1, "wall clocks of a calm cluster agree"
    faulty = cluster(FaultProfile.drawn(SEED))
    assert len({faulty.clock(process).wall_us for process in ("a", "b", WITNESS)}) == 3


def test_time_goes_equally_fast_everywhere() -> None:
    made = cluster()
    before = [made.clock(process) for process in ("a", "b")]
    made.run_for(SECOND_US)
    after = [made.clock(process) for process in ("a", "b")]
    assert [(a.boot_us - b.boot_us, a.wall_us - b.wall_us) for a, b in zip(after, before, strict=True)] == [
        (SECOND_US, SECOND_US)
    ] * 2


def test_a_wall_clock_jumps_on_one_machine_or_on_all() -> None:
    made = cluster()
    before = [made.clock(process) for process in ("a", "b")]
    made.jump_clock(-SECOND_US, "b")
    made.jump_clock(3 * SECOND_US)
    after = [made.clock(process) for process in ("a", "b")]
    assert [a.wall_us - b.wall_us for a, b in zip(after, before, strict=True)] == [3 * SECOND_US, 2 * SECOND_US]
    assert [a.boot_us - b.boot_us for a, b in zip(after, before, strict=True)] == [0, 0]


def test_a_loss_of_power_begins_the_boot_clock_anew_and_leaves_the_wall_clock() -> None:
    clock = SimulatedClock(SEED, "a", skewed=True)
    before = clock.read(SECOND_US)
    clock.reboot(SECOND_US)
    after = clock.read(SECOND_US)
    assert (after.boot_us != before.boot_us, after.wall_us) == (True, before.wall_us)
    made = cluster()
    running = [made.clock(name).boot_us for name in ("a", "b")]
    made.crash("a")
    assert [made.clock(name).boot_us == boot for name, boot in zip(("a", "b"), running, strict=True)] == [False, True]


# --- the witness's disk


def died_saving(seed: int) -> tuple[FaultyCluster, int]:
    """A cluster whose witness died while it saved what b had asked for, and the epoch before."""
    made = cluster(seed=seed)
    made.run_until(made.in_sync, 2 * SECOND_US, "in sync")
    epoch = made.register.epoch
    made.crash_witness_saving(down_us=SECOND_US)
    made.crash("a")
    made.run_until(lambda: made.witness is None, 2 * SECOND_US, "a register to save")
    return made, epoch


@pytest.mark.parametrize("seed", range(8))
def test_a_witness_that_dies_saving_has_told_nobody_and_takes_up_what_is_on_its_disk(seed: int) -> None:
    made, epoch = died_saving(seed)
    replica, kept = made.nodes["b"].replica, made.register
    assert replica is not None
    assert replica.node.epoch == epoch
    made.run_until(lambda: made.witness is not None, 2 * SECOND_US, "the witness is back")
    assert made.witness is not None
    assert made.witness.register == kept
    made.run_until(lambda: made.active() == ["b"], 2 * SECOND_US, "b serves")


def test_what_a_witness_was_saving_when_it_died_may_be_on_its_disk_or_not() -> None:
    died = [died_saving(seed) for seed in range(8)]
    assert {made.register.epoch - epoch for made, epoch in died} == {0, 1}


# --- checks


class LateLedger(Ledger):
    """Its sum is that before the last credit."""

    def fresh(self) -> LateLedger:
        return LateLedger()

    def decide(self, command: Credit | Total, now_us: int) -> Decision:
        if isinstance(command, Total):
            return Answered(max((total for _, total in self.credited.values() if total < self.total), default=0))
        return super().decide(command, now_us)


class WrongLedger(Ledger):
    """Its sum is none there ever was."""

    def fresh(self) -> WrongLedger:
        return WrongLedger()

    def decide(self, command: Credit | Total, now_us: int) -> Decision:
        return Answered(-1) if isinstance(command, Total) else super().decide(command, now_us)


@pytest.mark.parametrize("ledger", [LateLedger, WrongLedger])
def test_a_sum_that_is_not_the_logs_is_found(ledger: type[Ledger]) -> None:
    with pytest.raises(Violation, match="I6"):
        schedule.run(SEED, lambda: (ledger(),), LedgerLoad(SEED))


@pytest.mark.parametrize(("copies", "needed", "holders"), [(1, 2, 2), (2, 1, 1), (3, 2, 2)])
def test_copies_that_are_not_there_are_found(copies: int, needed: int, holders: int) -> None:
    with pytest.raises(Violation, match="I5"):
        Checker().on_copies("a", copies, needed, holders)


def test_a_malformed_message_is_found() -> None:
    made = cluster()
    made.run_until(made.in_sync, 2 * SECOND_US, "in sync")
    replica = made.nodes["b"].replica
    assert replica is not None
    made.checker.on_process_end("b", replica)
    replica.node.ignore("malformed")
    with pytest.raises(Violation, match="wire"):
        made.crash("b")
