"""The rooms that exist: stable ids, kind, building, seats (A1).

A catalog is ordered by building, then id; a room's place in that order is its *position*, and sets of
rooms are integers with one bit per position. A building is therefore a contiguous run of bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Final, NamedTuple

import msgpack

from es.limits import ENTRY_BYTES_MAX
from projections.rooms.limits import BUILDINGS_MAX, ROOMS_MAX
from projections.rooms.names import composed, name_fault

CLASSROOM: Final = "classroom"
LAB: Final = "lab"
KINDS: Final = (CLASSROOM, LAB)
SEATS_MAX: Final = 10_000

_CATALOG_BYTES_MAX = ENTRY_BYTES_MAX - 64
"""A catalog is one event; this leaves space for its id."""


class Room(NamedTuple):
    """One named place. `kind` is `classroom` or `lab`."""

    id: str
    kind: str
    building: str
    seats: int


class Building(NamedTuple):
    """A run of positions from `base`; the two sets of rooms are relative to it."""

    name: str
    base: int
    classrooms: int
    labs: int


class CatalogInvalid(ValueError):
    """Rows that do not make a catalog. `problems` holds one sentence for each, in row order."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(slots=True, frozen=True, eq=False)
class Catalog:
    """An immutable catalog with everything a fast search needs. Made by `Catalog.of`.

    `every`, `classrooms` and `labs` are sets of positions, `bits` the set of each position alone, and
    `building_at` the index in `buildings` of each position.
    """

    catalog_id: str
    rooms: tuple[Room, ...]
    ids: tuple[str, ...]
    bits: tuple[int, ...]
    every: int
    classrooms: int
    labs: int
    total: int
    labs_total: int
    buildings: tuple[Building, ...]
    building_at: tuple[int, ...]

    @staticmethod
    def of(rooms: Iterable[Room]) -> Catalog:
        """The catalog of `rooms` in any order. Raises CatalogInvalid. Equal rooms give an equal `catalog_id`."""
        ordered = tuple(sorted(rooms, key=lambda room: (room.building, room.id)))
        data: bytes = msgpack.packb(ordered)
        _check_whole(ordered, len(data))
        bits = tuple(1 << position for position in range(len(ordered)))
        labs = sum(bit for bit, room in zip(bits, ordered, strict=True) if room.kind == LAB)
        every = (1 << len(ordered)) - 1
        buildings = tuple(_buildings(ordered))
        place = {building.name: index for index, building in enumerate(buildings)}
        return Catalog(
            catalog_id=sha256(data).hexdigest()[:32],
            rooms=ordered,
            ids=tuple(room.id for room in ordered),
            bits=bits,
            every=every,
            classrooms=every ^ labs,
            labs=labs,
            total=len(ordered),
            labs_total=labs.bit_count(),
            buildings=buildings,
            building_at=tuple(place[room.building] for room in ordered),
        )

    def names(self, positions: tuple[int, ...]) -> tuple[str, ...]:
        """Room ids at `positions`."""
        return tuple(map(self.ids.__getitem__, positions)) if positions else ()

    def mask(self, positions: Iterable[int]) -> int:
        """The set of rooms at `positions`."""
        bits = self.bits
        rooms = 0
        for position in positions:
            rooms |= bits[position]
        return rooms


def _check_whole(rooms: tuple[Room, ...], size_bytes: int) -> None:
    problems = []
    if not 0 < len(rooms) <= ROOMS_MAX:
        problems.append(f"a catalog has 1 to {ROOMS_MAX} rooms, this one {len(rooms)}")
    seen: set[str] = set()
    for room in rooms:
        if room.id in seen:
            problems.append(f"room id {room.id!r} occurs twice")
        seen.add(room.id)
    if len({room.building for room in rooms}) > BUILDINGS_MAX:
        problems.append(f"a catalog has at most {BUILDINGS_MAX} buildings")
    if size_bytes > _CATALOG_BYTES_MAX:
        problems.append(f"the catalog takes {size_bytes} bytes, at most {_CATALOG_BYTES_MAX} fit one event")
    if problems:
        raise CatalogInvalid(problems)


def _buildings(rooms: tuple[Room, ...]) -> Iterable[Building]:
    base = 0
    for name, group in groupby(rooms, key=lambda room: room.building):
        kinds = [room.kind for room in group]
        labs = sum(1 << place for place, kind in enumerate(kinds) if kind == LAB)
        yield Building(name, base, ((1 << len(kinds)) - 1) ^ labs, labs)
        base += len(kinds)


def parse_rooms(rows: Iterable[Mapping[str, str]]) -> Catalog:
    """A catalog from the rows of a table with the columns id, kind, building, seats (rows count from 1).
    Raises CatalogInvalid with one sentence for every row at fault."""
    rooms: list[Room] = []
    problems: list[str] = []
    for number, row in enumerate(rows, start=1):
        room = _parse_room(row)
        if isinstance(room, Room):
            rooms.append(room)
        else:
            problems.append(f"row {number}: {room}")
    if problems:
        raise CatalogInvalid(problems)
    return Catalog.of(rooms)


def _parse_room(row: Mapping[str, str]) -> Room | str:
    values = {name: composed((row.get(name) or "").strip()) for name in Room._fields}
    for name in ("id", "kind", "building"):
        if fault := name_fault(values[name]):
            return f"{name} {fault}"
    if values["kind"] not in KINDS:
        return f"kind is {values['kind']!r}, it must be one of {', '.join(KINDS)}"
    seats = values["seats"]
    if not (seats.isascii() and seats.isdigit() and len(seats) <= 6 and int(seats) <= SEATS_MAX):
        return f"seats is {seats!r}, it must be a number from 0 to {SEATS_MAX}"
    return Room(values["id"], values["kind"], values["building"], int(seats))


def default_catalog() -> Catalog:
    """380 classrooms and 60 labs in 10 buildings: B01-C01 … B10-C38 and B01-L01 … B10-L06 (A1)."""
    rooms = []
    for building in (f"B{number:02d}" for number in range(1, 11)):
        rooms += [Room(f"{building}-C{number:02d}", CLASSROOM, building, 40) for number in range(1, 39)]
        rooms += [Room(f"{building}-L{number:02d}", LAB, building, 24) for number in range(1, 7)]
    return Catalog.of(rooms)
