"""Who has which rooms: the read model says what the state says, and remembers what the state forgets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from projections.rooms.allocations import CLOSED, CONFIRMED, RELEASED, Allocations
from projections.rooms.catalog import default_catalog
from projections.rooms.commands import CloseTerm, Release
from projections.rooms.export import Exporter
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import Driver
from tests.unit.rooms.histories import STEPS, play


def folded(driver: Driver) -> Allocations:
    exporter, allocations = Exporter(), Allocations()
    for batch in driver.batches:
        for event in exporter.feed(batch):
            allocations.take(event)
    return allocations


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whoever_has_a_room_has_it_in_the_state(steps: list[Any]) -> None:
    driver = play(steps)
    inventory, allocations = driver.machine.inventory, folded(driver)
    closed = {name for name, term in allocations.terms.items() if term.closed is not None}
    assert allocations.terms.keys() - closed == set(inventory.terms)
    assert closed == set(inventory.closed_terms)
    for name, term in inventory.terms.items():
        standing = [one for one in allocations.terms[name].allocations if one.state == CONFIRMED]
        rooms = [room for one in standing for room in (*one.classrooms, *one.labs, *one.mobile)]
        catalog = term.catalog
        assert len(rooms) == len(set(rooms))
        assert set(rooms) == {room for at, room in enumerate(catalog.ids) if term.confirmed >> at & 1}
        assert all(one.has(room) for one in standing for room in one.mobile)
        assert (allocations.terms[name].classrooms, allocations.terms[name].labs) == (
            catalog.total - catalog.labs_total, catalog.labs_total,
        )  # fmt: skip


@pytest.fixture
def driver() -> Driver:
    driver = Driver(Rooms(default_catalog()))
    driver.begin_epoch()
    return driver


def test_what_was_given_back_and_what_ended_with_its_term_says_when_by_whom_and_why(driver: Driver) -> None:
    kept = driver.allocate("kept", 7, 2)
    confirmation = driver.batches[-1]
    driver.allocate("back", 1, 0)
    driver.now_us += 1_000
    driver.do(Release("back", 1, "operator:ana", "the roof leaks"))
    driver.reserve("held", 1, 0)
    first, second = folded(driver).all()
    assert (first.classrooms, first.labs, first.mobile) == tuple(map(list, kept[4:7]))
    assert (first.seq, first.hash) == (confirmation.last_seq, confirmation.hash.hex())
    assert (first.state, first.ended) == (CONFIRMED, None)
    assert (second.state, second.ended_by, second.reason) == (RELEASED, "operator:ana", "the roof leaks")
    assert second.ended == driver.batches[-2].ts_us > second.confirmed
    driver.do(CloseTerm("2025-2", "operator:eva"))
    allocations = folded(driver)
    assert [(one.state, one.ended_by) for one in allocations.all()] == [
        (CLOSED, "operator:eva"), (RELEASED, "operator:ana"),
    ]  # fmt: skip
    driver.allocate("kept", 3, 0, term="2026-1")
    driver.do(Release("kept", 1, "faculty:1", ""))
    assert [(one.term, one.state) for one in folded(driver).all() if one.transaction_id == "kept"] == [
        ("2025-2", CLOSED), ("2026-1", RELEASED),
    ]  # fmt: skip
