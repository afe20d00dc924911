"""Names that are what they look like, and sentences that name fields so that people and clients know them."""

from __future__ import annotations

from typing import Any

import pytest

from es.machine import Event
from projections.rooms.catalog import default_catalog
from projections.rooms.commands import CloseTerm, Proposal
from projections.rooms.events import FacultyRegistered, ProgramRegistered, TermOpened, event_of
from projections.rooms.limits import TEXT_CHARS_MAX
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import Driver, replays, request

NOT_NAMES = [
    "", " ", "  ", " 2025-2", "2025-2 ", "a\nb", "a\x00b", "\x7f", "a\u202eb", "a\u200bb", "\ufeffa", "a\u2028b",
    "a\u2029b", "a\u00a0b", "\ud800", "x" * 201, "Biologi\u0301a", "\u3164", "\u2615\ufe0f", "\u0301a",
]  # fmt: skip
FIELDS = [("transaction_id", "transaction_id"), ("term", "semester"), ("faculty", "facultad"), ("program", "programa")]


@pytest.fixture
def driver() -> Driver:
    return Driver(Rooms(default_catalog()))


@pytest.mark.parametrize("text", NOT_NAMES)
@pytest.mark.parametrize(("argument", "field"), FIELDS, ids=[field for _, field in FIELDS])
def test_names_that_deceive_are_refused(driver: Driver, argument: str, field: str, text: str) -> None:
    if (argument, text) == ("faculty", ""):
        return  # it need not say its name
    names: dict[str, Any] = {argument: text}
    refused = driver.do(request("t1", 1, 0)._replace(**names))
    assert (refused.status, refused.code) == ("INVALID", "BAD_FIELD")
    assert field in refused.reason
    assert driver.batches == []


def test_a_sentence_names_a_field_in_english_and_as_it_is_on_the_wire(driver: Driver) -> None:
    assert driver.reserve("t1", 1, 0, term=" ").reason.startswith("term (semester) must be ")
    assert driver.reserve("t1", 1, 0, program="\u2615\ufe0f").reason == (
        "program (programa) must be 1 to 200 printable characters without a space at either end "
        "(U+FE0F VARIATION SELECTOR-16 is not printable)"
    )
    assert driver.reserve("t1", 1, 0, term="Oton\u0303o").reason == (
        "term (semester) must be composed (Unicode NFC): what looks the same is spelled the same"
    )
    assert driver.reserve("t1", 1_001, 0).reason.startswith("classrooms (salones) must be 0 to 1000")


def test_a_conflict_says_what_differs(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    held = driver.reserve("t1", 8, 2, program_id=9).reason
    driver.accept("t1")
    ended = driver.reserve("t1", 7, 3, term="2026-1", partial=True).reason
    assert held == "this id came before with another program_id and another number of classrooms (salones)"
    assert ended == (
        "this id came before with another term (semester), another number of labs (laboratorios) "
        "and another value of partial (parcial)"
    )


LONG = "x" * TEXT_CHARS_MAX


def test_a_conflict_in_everything_is_said_in_one_reason(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    conflict = driver.reserve("t1", 8, 3, program_id=2, term="2026-1", partial=True)
    assert conflict.code == "CONFLICT"
    assert len(conflict.reason) <= TEXT_CHARS_MAX


def test_a_refused_term_is_named_and_so_are_those_that_there_are() -> None:
    driver = Driver(Rooms(default_catalog(), terms=frozenset({"2026-1", "2025-2"})))
    assert driver.do(CloseTerm("2025-2", "operator:ana")).reason == "no term (semester) 2025-2 was ever opened"
    driver.reserve("t1", 1, 0)
    assert driver.reserve("t2", 1, 0, term="2025-22").reason == (
        "the term (semester) 2025-22 is none of those listed in the configuration (terms): 2025-2, 2026-1"
    )
    driver.reserve("t3", 1, 0, term="2026-1")
    assert driver.do(CloseTerm("2025-22", "operator:ana")).reason == (
        "no term (semester) 2025-22 was ever opened; open are: 2025-2, 2026-1"
    )
    driver.do(CloseTerm("2025-2", "operator:ana"))
    assert driver.reserve("t4", 1, 0).reason == "the term (semester) 2025-2 is closed"


@pytest.mark.parametrize("terms", [{LONG}, {f"{number:0190}" for number in range(3)}, set(map(str, range(1_000)))])
def test_a_sentence_about_a_term_is_no_longer_than_a_reason(terms: set[str]) -> None:
    driver = Driver(Rooms(default_catalog(), terms=frozenset(terms)))
    for term in (LONG[1:], "y" * 60, "2025-1"):
        reason = driver.reserve("t1", 1, 0, term=term).reason
        assert term[:59] in reason
        assert len(reason) <= TEXT_CHARS_MAX
        assert reason.endswith("…"), "there are more than it has room for"
    driver = Driver(Rooms(default_catalog()))
    for number, term in enumerate(sorted(terms)[:40]):
        driver.reserve(f"t{number}", 1, 0, term=term)
    reason = driver.do(CloseTerm(LONG[1:], "operator:ana")).reason
    assert len(reason) <= TEXT_CHARS_MAX and reason.endswith("…")
    driver.do(CloseTerm(sorted(terms)[0], "operator:ana"))
    assert len(driver.reserve("again", 1, 0, term=sorted(terms)[0]).reason) <= TEXT_CHARS_MAX


def test_an_older_log_with_such_names_folds_and_its_transactions_keep_their_answers(driver: Driver) -> None:
    """What was written before names were looked at goes on: the transaction, its term, its program."""
    first = driver.reserve("t1", 1, 0)
    older = Driver(Rooms(default_catalog()))
    [adopted] = driver.events("CatalogAdopted")
    reserved = driver.machine.inventory.holds.find(1, "t1")
    assert reserved is not None
    for event in (
        Event(*adopted[2:]),
        event_of(TermOpened(" 2025-2", 1, driver.machine.settings.catalog.catalog_id), "faculty:1", " t1"),
        event_of(FacultyRegistered(1, "\u202eF"), "faculty:1", " t1"),
        event_of(ProgramRegistered(1, 1, ""), "faculty:1", " t1"),
        event_of(reserved.reserved, "faculty:1", " t1"),
    ):
        older.commit("rooms", event)
    again = older.reserve(" t1", 1, 0, term=" 2025-2")
    assert isinstance(again, Proposal)
    assert again.classrooms == first.classrooms
    assert older.accept(" t1").status == "ACCEPTED"
    assert older.reserve(" t1", 1, 0, term=" 2025-2").status == "ACCEPTED"
    assert isinstance(older.reserve("t2", 1, 0, term=" 2025-2"), Proposal), "the term is open"
    assert older.reserve(" t3", 1, 0, term=" 2025-2").code == "BAD_FIELD"
    *_, replayed = replays(older.machine, older.batches)
    assert replayed.to_plain() == older.machine.to_plain()
