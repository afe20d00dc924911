"""Older events are brought to the present; unknown ones stop the machine."""

from __future__ import annotations

import pytest

from es.machine import Event, UnknownEvent
from projections.rooms.catalog import default_catalog
from projections.rooms.machine import Rooms
from projections.rooms.upcast import Upcaster

VERSIONS = {"Painted": 3, "Washed": 1}
STEPS = {("Painted", 1): lambda body: (*body, "white"), ("Painted", 2): lambda body: (body[0], body[1].upper())}


def test_every_step_from_the_stored_version_is_taken() -> None:
    upcaster = Upcaster(VERSIONS, STEPS)
    assert upcaster.current("Painted", 1, ("B01",)) == ("B01", "WHITE")
    assert upcaster.current("Painted", 2, ("B01", "red")) == ("B01", "RED")
    assert upcaster.current("Painted", 3, ("B01", "RED")) == ("B01", "RED")


@pytest.mark.parametrize(("name", "version"), [("Painted", 4), ("Painted", 0), ("Burnt", 1)])
def test_an_unknown_type_or_version_is_an_unknown_event(name: str, version: int) -> None:
    with pytest.raises(UnknownEvent):
        Upcaster(VERSIONS, STEPS).current(name, version, ())


def test_a_table_with_a_hole_or_a_superfluous_step_is_refused() -> None:
    with pytest.raises(AssertionError, match="Painted"):
        Upcaster(VERSIONS, {("Painted", 2): STEPS["Painted", 2]})
    with pytest.raises(AssertionError, match="Washed"):
        Upcaster(VERSIONS, STEPS | {("Washed", 1): STEPS["Painted", 1]})


@pytest.mark.parametrize(("name", "version"), [("Reserved", 2), ("Burnt", 1)])
def test_the_machine_halts_on_what_it_does_not_know(name: str, version: int) -> None:
    machine = Rooms(default_catalog())
    with pytest.raises(UnknownEvent):
        machine.evolve(Event(name, version, "es", "", ()), 1, 0)
