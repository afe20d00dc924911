"""Catalogs: order, identity, and what is refused in which words."""

from __future__ import annotations

import random

import pytest

from projections.rooms.catalog import Catalog, CatalogInvalid, Room, default_catalog, parse_rooms


def test_the_default_has_ten_buildings_of_38_classrooms_and_6_labs() -> None:
    catalog = default_catalog()
    assert (catalog.classrooms.bit_count(), catalog.labs_total, catalog.total) == (380, 60, 440)
    assert len(catalog.buildings) == 10
    assert {"B03-C12", "B03-L04"} <= set(catalog.ids)
    assert len(set(catalog.ids)) == 440


def test_the_order_of_rooms_does_not_matter() -> None:
    rooms = list(default_catalog().rooms)
    random.Random(5).shuffle(rooms)
    assert Catalog.of(rooms).rooms == default_catalog().rooms
    assert Catalog.of(rooms).catalog_id == default_catalog().catalog_id


def test_one_seat_more_is_another_catalog() -> None:
    rooms = list(default_catalog().rooms)
    rooms[7] = rooms[7]._replace(seats=rooms[7].seats + 1)
    assert Catalog.of(rooms).catalog_id != default_catalog().catalog_id


def test_sets_of_rooms_agree_with_the_rooms() -> None:
    catalog = default_catalog()
    for position, room in enumerate(catalog.rooms):
        building = catalog.buildings[catalog.building_at[position]]
        assert building.name == room.building
        side = building.labs if room.kind == "lab" else building.classrooms
        assert side >> (position - building.base) & 1
        assert bool(catalog.labs & catalog.bits[position]) == (room.kind == "lab")
    assert catalog.mask(range(440)) == catalog.every == catalog.classrooms | catalog.labs


def test_rows_become_a_catalog() -> None:
    rows = [
        {"id": " L1 ", "kind": "lab", "building": "B", "seats": "20"},
        {"id": "C1", "kind": "classroom", "building": "B", "seats": "40"},
    ]
    assert parse_rooms(rows).rooms == (Room("C1", "classroom", "B", 40), Room("L1", "lab", "B", 20))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": ""}, "row 2: id must be 1 to 200 printable characters"),
        ({"kind": "gym"}, "row 2: kind is 'gym', it must be one of classroom, lab"),
        ({"building": "b" * 201}, "row 2: building must be 1 to 200"),
        ({"seats": "-1"}, "row 2: seats is '-1'"),
        ({"seats": "²"}, "row 2: seats is"),
        ({"seats": "10001"}, "row 2: seats is"),
        ({"id": "C1"}, "room id 'C1' occurs twice"),
        ({"id": "C1\ufe0f"}, "row 2: id must be 1 to 200 printable characters without a space at either end (U+FE0F "),
    ],
)
def test_a_row_at_fault_is_named(row: dict[str, str], words: str) -> None:
    good = {"id": "C1", "kind": "classroom", "building": "B", "seats": "40"}
    with pytest.raises(CatalogInvalid) as refused:
        parse_rooms([good, good | {"id": "C2"} | row])
    assert any(problem.startswith(words) for problem in refused.value.problems)


def test_a_room_has_one_spelling() -> None:
    row = {"kind": "lab", "building": "Educacio\u0301n", "seats": "20"}
    [room] = parse_rooms([row | {"id": "Biologi\u0301a"}]).rooms
    assert (room.id, room.building) == ("Biolog\u00eda", "Educaci\u00f3n")
    with pytest.raises(CatalogInvalid, match="occurs twice"):
        parse_rooms([row | {"id": "Biologi\u0301a"}, row | {"id": "Biolog\u00eda"}])


def test_a_missing_column_is_named() -> None:
    with pytest.raises(CatalogInvalid, match="row 1: kind must be 1 to 200 printable characters"):
        parse_rooms([{"id": "C1", "building": "B", "seats": "1"}])


@pytest.mark.parametrize(
    ("rooms", "words"),
    [
        ([], "1 to 2048 rooms"),
        ([Room(f"{n}", "lab", "B", 1) for n in range(2_049)], "1 to 2048 rooms"),
        ([Room(f"{n}", "lab", f"{n}", 1) for n in range(257)], "at most 256 buildings"),
        ([Room(f"{n:0200}", "lab", "B", 1) for n in range(400)], "fit one event"),
    ],
    ids=["none", "rooms", "buildings", "bytes"],
)
def test_a_catalog_beyond_the_bounds_is_refused(rooms: list[Room], words: str) -> None:
    with pytest.raises(CatalogInvalid, match=words):
        Catalog.of(rooms)
