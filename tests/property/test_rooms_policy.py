"""What every allocation policy must hold to, and what the first one promises besides."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from projections.rooms.catalog import Catalog, Room
from projections.rooms.policy import POLICIES, WHOLE_THEN_MOBILE, Selection

choose = POLICIES[WHOLE_THEN_MOBILE].choose

ROOMS = st.lists(
    st.tuples(st.sampled_from(["classroom", "lab"]), st.sampled_from(["B1", "B2", "B3"])), min_size=1, max_size=40
)
CATALOGS = ROOMS.map(
    lambda rooms: Catalog.of(Room(f"R{n:02d}", kind, building, 1) for n, (kind, building) in enumerate(rooms))
)
FREE = st.lists(st.booleans(), min_size=40, max_size=40).map(lambda bits: sum(bit << n for n, bit in enumerate(bits)))
ASKED = st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(any)
CAMPUS = Catalog.of(
    Room(f"{building}-{kind[0]}{n}", kind, building, 1)
    for building in ("B1", "B2") for kind, count in (("classroom", 4), ("lab", 2)) for n in range(count)
)  # fmt: skip


def positions(catalog: Catalog, rooms: int) -> set[int]:
    return {position for position in range(len(catalog.ids)) if rooms >> position & 1}


@given(CATALOGS, FREE, ASKED, st.booleans())
@example(CAMPUS, CAMPUS.every, (4, 2), False)
@example(CAMPUS, CAMPUS.every, (5, 9), True)
def test_a_choice_is_free_disjoint_of_the_right_kind_and_whole_if_and_only_if_it_fits(
    catalog: Catalog, free: int, asked: tuple[int, int], partial: bool
) -> None:
    free &= catalog.every
    classrooms, labs = asked
    open_classrooms, open_labs = positions(catalog, free & catalog.classrooms), positions(catalog, free & catalog.labs)
    missing_labs = max(0, labs - len(open_labs))
    fits = classrooms + missing_labs <= len(open_classrooms)
    chosen = choose(catalog, free, classrooms, labs, partial)
    if chosen is None:
        assert not fits
        assert not partial or not ((open_classrooms and classrooms + missing_labs) or (open_labs and labs))
        return
    everything = [*chosen.classrooms, *chosen.labs, *chosen.mobile]
    assert len(set(everything)) == len(everything)
    assert {*chosen.classrooms, *chosen.mobile} <= open_classrooms
    assert set(chosen.labs) <= open_labs
    assert len(chosen.labs) == min(labs, len(open_labs))
    if fits:
        assert (len(chosen.classrooms), len(chosen.mobile)) == (classrooms, missing_labs)
    else:
        assert partial
        assert len(chosen.classrooms) == min(classrooms, len(open_classrooms))
        assert len(chosen.classrooms) + len(chosen.mobile) == len(open_classrooms)


@given(CATALOGS, FREE, ASKED)
def test_one_building_if_one_can_hold_it_all_and_the_lowest_of_them(
    catalog: Catalog, free: int, asked: tuple[int, int]
) -> None:
    free &= catalog.every
    chosen = choose(catalog, free, *asked, False)
    if chosen is None:
        return
    needed, labs = len(chosen.classrooms) + len(chosen.mobile), len(chosen.labs)
    able = []
    for building in catalog.buildings:
        inside = catalog.mask(p for p, room in enumerate(catalog.rooms) if room.building == building.name) & free
        classrooms_here = len(positions(catalog, inside & catalog.classrooms))
        if classrooms_here >= needed and len(positions(catalog, inside & catalog.labs)) >= labs:
            able.append(building.name)
    used = [catalog.rooms[p].building for group in chosen for p in group]
    if able:
        assert set(used) == {able[0]}
    else:
        lowest = sorted(positions(catalog, free & catalog.classrooms))
        assert [*chosen.classrooms, *chosen.mobile] == lowest[:needed]


def test_a_program_moves_to_the_next_building_rather_than_be_split() -> None:
    first = choose(CAMPUS, CAMPUS.every, 3, 1, False)
    assert first == Selection((0, 1, 2), (4,), ())
    second = choose(CAMPUS, CAMPUS.every ^ CAMPUS.mask((0, 1, 2, 4)), 2, 1, False)
    assert second == Selection((6, 7), (10,), ())


def test_a_request_too_large_for_any_building_takes_the_lowest_rooms() -> None:
    assert choose(CAMPUS, CAMPUS.every, 5, 3, False) == Selection((0, 1, 2, 3, 6), (4, 5, 10), ())


def test_the_names_and_numbers_of_policies_are_theirs_alone() -> None:
    assert [(policy.number, name) for name, policy in POLICIES.items()] == [(1, "whole-then-mobile/1")]
