"""Names that are what they look like, and sentences that name fields so that people and clients know them."""

from __future__ import annotations

from typing import Any

import pytest

from es.machine import Event
from projections.rooms.catalog import default_catalog
from projections.rooms.commands import Proposal
from projections.rooms.events import FacultyRegistered, ProgramRegistered, TermOpened, event_of
from projections.rooms.fields import is_name
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import Driver, replays, request

NOT_NAMES = [
    "", " ", "  ", " 2025-2", "2025-2 ", "a\nb", "a\x00b", "\x7f", "a\u202eb", "a\u200bb", "\ufeffa", "a\u2028b",
    "a\u2029b", "a\u00a0b", "\ud800", "x" * 201,
]  # fmt: skip
FIELDS = [("transaction_id", "transaction_id"), ("term", "semester"), ("faculty", "facultad"), ("program", "programa")]


@pytest.fixture
def driver() -> Driver:
    return Driver(Rooms(default_catalog()))


@pytest.mark.parametrize("text", ["2025-2", "Ingeniería de Sistemas", "数学", "x" * 200, "a  b", "é\u0301"])
def test_a_name_is_text_that_can_be_seen(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", NOT_NAMES)
@pytest.mark.parametrize(("argument", "field"), FIELDS, ids=[field for _, field in FIELDS])
def test_blank_padded_and_unseen_names_are_refused(driver: Driver, argument: str, field: str, text: str) -> None:
    assert not is_name(text)
    if (argument, text) == ("faculty", ""):
        return  # it need not say its name
    names: dict[str, Any] = {argument: text}
    refused = driver.do(request("t1", 1, 0)._replace(**names))
    assert (refused.status, refused.code) == ("INVALID", "BAD_FIELD")
    assert field in refused.reason
    assert driver.batches == []


def test_a_sentence_names_a_field_in_english_and_as_it_is_on_the_wire(driver: Driver) -> None:
    assert driver.reserve("t1", 1, 0, term=" ").reason.startswith("term (semester) must be ")
    assert driver.reserve("t1", 1_001, 0).reason.startswith("classrooms (salones) must be 0 to 1000")


def test_a_conflict_says_what_differs(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    held = driver.reserve("t1", 8, 2, program_id=9).reason
    driver.accept("t1")
    ended = driver.reserve("t1", 7, 3, term="2026-1", partial=True).reason
    assert held == "this id came before with another program_id, classrooms (salones)"
    assert ended == "this id came before with another term (semester), labs (laboratorios), partial (parcial)"


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
