"""Random histories that are likely to meet every rule: few ids, few rooms, time that jumps to deadlines."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from projections.rooms.catalog import Catalog, Room
from projections.rooms.commands import Answer, CloseTerm, RaiseAlert, Release, Reserve
from projections.rooms.limits import Bounds
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import Driver

CATALOG = Catalog.of(
    Room(f"{building}-{kind[0]}{n}", kind, building, 1)
    for building in ("B1", "B2") for kind, count in (("classroom", 5), ("lab", 2)) for n in range(count)
)  # fmt: skip
HOLD_MS = 5

IDS = st.sampled_from(["a", "b", "c", "d", "00000000-0000-0000-0000-000000000001"])
FACULTIES = st.integers(1, 2)
TERMS = st.sampled_from(["2025-2", "2026-1"])

COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        Reserve, IDS, FACULTIES, st.just("F"), st.integers(1, 2), st.just("P"), TERMS,
        st.integers(0, 8), st.integers(0, 4), st.booleans(),
    ),
    st.builds(Answer, IDS, FACULTIES | st.none(), st.booleans()),
    st.builds(Answer, IDS, FACULTIES, st.just(True)),
    st.builds(Release, IDS, st.just(1), st.sampled_from(["faculty:1", "operator:ana"]), st.just("roof")),
    st.builds(Release, IDS, st.just(2), st.sampled_from(["faculty:2", "operator:ana"]), st.just("roof")),
    st.builds(RaiseAlert, st.just("OVERLOAD"), TERMS | st.none()),
)  # fmt: skip
CLOSINGS = st.builds(CloseTerm, TERMS, st.just("operator:ana"))

STEPS = st.lists(
    st.one_of(
        COMMANDS, COMMANDS, COMMANDS, COMMANDS,
        st.tuples(st.just("advance"), st.sampled_from([1, 1_000, HOLD_MS * 1_000 - 1, HOLD_MS * 1_000])),
        st.tuples(st.just("extend"), st.sampled_from([1_000, 50_000])),
        CLOSINGS,
    ),
    max_size=60,
)  # fmt: skip
"""Commands, and steps of time: ("advance", µs) and ("extend", µs)."""


def machine() -> Rooms:
    bounds = Bounds(open_terms_max=3, transactions_per_term_max=14, holds_max=8)
    return Rooms(CATALOG, hold_ms=HOLD_MS, bounds=bounds)


def play(steps: list[Any]) -> Driver:
    """A driver that has lived through `steps`. Expiries come first in every other batch only, so that late
    answers are decided too."""
    driver = Driver(machine())
    for number, step in enumerate(steps):
        match step:
            case ("advance", by_us):
                driver.now_us += by_us
            case ("extend", by_us):
                driver.extend(by_us)
            case _:
                driver.do(step, expire_first=number % 2 == 0)
    return driver
