"""Which rooms a request gets: pure, named, versioned functions.

A policy sees the catalog, the free rooms and what was asked, nothing else, and its name is recorded with
its decision. A name's behaviour never changes: a better policy gets a new name and a new number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from projections.rooms.catalog import Catalog


class Selection(NamedTuple):
    """Positions of the rooms chosen, each ascending, disjoint. `mobile` are classrooms lent as labs."""

    classrooms: tuple[int, ...]
    labs: tuple[int, ...]
    mobile: tuple[int, ...]


Choose = Callable[[Catalog, int, int, int, bool], Selection | None]
"""(catalog, set of free rooms, classrooms asked, labs asked, partial welcome) -> rooms, or None for a denial."""


class Policy(NamedTuple):
    """A policy with the number that events carry for its name."""

    number: int
    name: str
    choose: Choose


def whole_then_mobile(catalog: Catalog, free: int, classrooms: int, labs: int, partial: bool) -> Selection | None:
    """Labs first; missing labs become mobile labs out of the free classrooms; what cannot be met whole is
    denied, unless a part is welcome: then as many rooms as there are, asked classrooms before mobile labs (A7).

    All rooms come from the lowest building that holds them all; if none does, the lowest free rooms are taken.
    """
    free_classrooms = free & catalog.classrooms
    free_labs = free & catalog.labs
    classrooms_left = free_classrooms.bit_count()
    real_labs = min(labs, free_labs.bit_count())
    mobile = labs - real_labs
    if classrooms + mobile > classrooms_left:
        classrooms = min(classrooms, classrooms_left)
        mobile = min(mobile, classrooms_left - classrooms)
        if not partial or classrooms + mobile + real_labs == 0:
            return None
    needed = classrooms + mobile
    # No building before that of the lowest free room of the scarcer kind can do.
    scarce = free_labs if real_labs else free_classrooms
    first = catalog.building_at[(scarce & -scarce).bit_length() - 1]
    for _, base, building_classrooms, building_labs in catalog.buildings[first:]:
        window = free >> base
        here = window & building_classrooms
        labs_here = window & building_labs
        if labs_here.bit_count() >= real_labs and here.bit_count() >= needed:
            chosen = _lowest(here, needed, base)
            return Selection(chosen[:classrooms], _lowest(labs_here, real_labs, base), chosen[classrooms:])
    chosen = _lowest(free_classrooms, needed, 0)
    return Selection(chosen[:classrooms], _lowest(free_labs, real_labs, 0), chosen[classrooms:])


def _lowest(rooms: int, count: int, base: int) -> tuple[int, ...]:
    """The `count` lowest positions in `rooms`, which holds at least as many, shifted up by `base`."""
    if not count:
        return ()
    start = (rooms & -rooms).bit_length() - 1
    run = (1 << count) - 1
    if rooms >> start & run == run:
        return tuple(range(base + start, base + start + count))
    positions = []
    base -= 1
    for _ in range(count):
        lowest = rooms & -rooms
        positions.append(base + lowest.bit_length())
        rooms ^= lowest
    return tuple(positions)


WHOLE_THEN_MOBILE: Final = "whole-then-mobile/1"

POLICIES: Final[dict[str, Policy]] = {
    policy.name: policy
    for policy in (Policy(1, WHOLE_THEN_MOBILE, whole_then_mobile),)
}  # fmt: skip

POLICY_NAMES: Final[dict[int, str]] = {policy.number: policy.name for policy in POLICIES.values()}
