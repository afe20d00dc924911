"""What is due enters the log by itself, in portions (R13): requests must not have to wait for all of it."""

from __future__ import annotations

from collections.abc import Sequence

from es.limits import DUE_EVENTS_PER_BATCH
from es.machine import Event
from es.testing.ledger import Credit, Ledger
from tests.unit.replication.driver import Driver

WAVE = 3 * DUE_EVENTS_PER_BATCH


class Wave(Ledger):
    """A ledger to which more is due at once than one batch takes."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    def fresh(self) -> Wave:
        return Wave()

    def next_deadline(self) -> int | None:
        return 0 if self.left else None

    def due(self, now_us: int, events_max: int) -> Sequence[Event]:
        return [Event("Credited", 1, "es", f"due {self.left - n}", (1,)) for n in range(min(events_max, self.left))]

    def evolve(self, event: Event, seq: int, ts_us: int) -> None:
        super().evolve(event, seq, ts_us)
        self.left -= event.actor == "es"


def leading() -> tuple[Driver, Wave]:
    driver = Driver(machines=[Wave()])
    driver.become_primary()
    driver.tick(1)
    [machine] = driver.replica.node.fold.machines.values()
    assert isinstance(machine, Wave)
    driver.clear()
    return driver, machine


def published(driver: Driver) -> list[list[str]]:
    """Who caused what is in each batch."""
    return [[entry.actor for entry in batch.entries] for batch in driver.published()]


def test_what_is_due_enters_in_portions_one_under_way_at_a_time() -> None:
    driver, machine = leading()
    machine.left = WAVE
    for number in range(1, 4):
        driver.tick(1)
        driver.tick(1)
        assert published(driver) == [["es"] * DUE_EVENTS_PER_BATCH] * number
        driver.fsync()
    assert machine.left == 0


def test_a_request_waits_for_one_portion() -> None:
    driver, machine = leading()
    machine.left = WAVE
    driver.tick(1)
    driver.ask("w", Credit("x", 1))
    driver.fsync()
    assert published(driver)[1] == ["es"] * DUE_EVENTS_PER_BATCH + ["client"]


def test_what_is_due_keeps_pace_with_what_is_asked() -> None:
    driver, machine = leading()
    machine.left = WAVE
    asked = DUE_EVENTS_PER_BATCH // 2
    for number in range(asked):
        driver.replica.submit(number, "ledger", Credit(f"x{number}", 1), driver.now)
    driver.take(driver.replica.flush(driver.now))
    driver.fsync()
    driver.tick(1)
    assert published(driver) == [
        ["es"] * DUE_EVENTS_PER_BATCH + ["client"] * asked,
        ["es"] * (DUE_EVENTS_PER_BATCH + asked),
    ]
