"""Whatever one faculty does, another one can still open a term, register a program and reserve; whatever one program
does, so can the others of its faculty."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from projections.rooms.catalog import Catalog, Room
from projections.rooms.commands import Answer, CloseTerm, Proposal
from projections.rooms.limits import Bounds
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import Driver, replays, request

CATALOG = Catalog.of(Room(f"C{n}", "classroom", "B1", 1) for n in range(100))
TIGHT = st.sampled_from([
    Bounds(**{f"{name}_max": 9})
    for name in ("open_terms", "terms_ever", "transactions_per_term", "transactions", "holds", "programs")
])  # fmt: skip
HOSTILE, HONEST = 1, 2

FLOODS = st.lists(
    st.tuples(
        st.integers(1, 16),
        st.sampled_from([1, 4, 20]),
        st.sampled_from(["new", "0", "1"]),
        st.sampled_from(["accept", "reject", "close", "held", "expired"]),
    ),
    max_size=6,
)
"""Requests in a row: how many, of how many programs, in which term (one never named before, or an old one), and what
becomes of each."""


def play(bounds: Bounds, floods: list[tuple[int, int, str, str]], programs_max: int) -> Driver:
    driver = Driver(Rooms(CATALOG, hold_ms=1, bounds=bounds))
    number = 0
    for count, programs, term, ending in floods:
        for _ in range(count):
            number += 1
            program = number % min(programs, programs_max) + 1
            name = f"term {number if term == 'new' else term}"
            asked = request(f"t{number}", 1, 0, program_id=program, term=name)
            driver.do(asked)
            if ending in ("accept", "reject"):
                driver.do(Answer(asked.transaction_id, HOSTILE, ending == "accept"))
            elif ending == "close":
                driver.do(CloseTerm(name, "operator:registrar"))
            elif ending == "expired":
                driver.now_us += 1_000
    return driver


@settings(max_examples=300, deadline=None)
@given(TIGHT, FLOODS)
def test_another_faculty_opens_a_term_registers_a_program_and_reserves(bounds: Bounds, floods: list[Any]) -> None:
    driver = play(bounds, floods, programs_max=20)
    assert isinstance(driver.reserve("mine", 1, 0, faculty_id=HONEST, term="mine"), Proposal)
    for term in list(driver.machine.inventory.terms.values())[:1]:
        asked = request("in theirs", 1, 0, faculty_id=HONEST, term=term.name)
        assert isinstance(driver.do(asked), Proposal)
    *_, replayed = replays(driver.machine, driver.batches)
    assert replayed.inventory.shares.to_plain() == driver.machine.inventory.shares.to_plain()


@settings(max_examples=300, deadline=None)
@given(TIGHT, FLOODS)
def test_another_program_of_the_same_faculty_opens_a_term_and_reserves(bounds: Bounds, floods: list[Any]) -> None:
    driver = play(bounds, floods, programs_max=1)
    driver.now_us += 1_000  # proposals are the faculty's, and end by themselves
    assert isinstance(driver.reserve("mine", 1, 0, program_id=2, term="mine"), Proposal)
