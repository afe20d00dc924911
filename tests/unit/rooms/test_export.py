"""What an export says of every event."""

from __future__ import annotations

import json
import uuid

import pytest

from es.codec import GENESIS_HASH, Entry, encode_batch
from projections.rooms.catalog import default_catalog
from projections.rooms.commands import CloseTerm, Release
from projections.rooms.export import Exporter
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import Driver

TRANSACTION = str(uuid.UUID(int=5))


@pytest.fixture
def lines() -> list[dict[str, object]]:
    driver = Driver(Rooms(default_catalog()))
    driver.allocate(TRANSACTION, 2, 1, faculty_id=3)
    driver.extend(1_000)
    driver.reserve("denied", 900, 0, faculty_id=3)
    driver.reserve("rejected", 1, 0, faculty_id=3)
    driver.reject("rejected", 3)
    driver.reserve("expired", 1, 61, faculty_id=3)
    driver.now_us += 60_000_000
    driver.expire()
    driver.do(Release(TRANSACTION, 3, "operator:registrar", "roof"))
    driver.do(CloseTerm("2025-2", "operator:registrar"))
    exporter = Exporter()
    return [json.loads(json.dumps(line)) for batch in driver.batches for line in exporter.feed(batch)]


def body(lines: list[dict[str, object]], name: str) -> object:
    return next(line["body"] for line in lines if line["type"] == name)


def test_sequence_numbers_have_no_gaps_and_every_line_the_same_fields(lines: list[dict[str, object]]) -> None:
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert {tuple(line) for line in lines} == {("seq", "epoch", "ts", "actor", "type", "hash", "body")}
    assert {len(str(line["hash"])) for line in lines} == {64}


def test_a_reservation_is_spelled_out(lines: list[dict[str, object]]) -> None:
    assert body(lines, "Reserved") == {
        "transaction_id": TRANSACTION, "faculty_id": 3, "program_id": 1, "program": "Sistemas", "term": "2025-2",
        "asked": {"classrooms": 2, "labs": 1}, "partial": False, "policy": "whole-then-mobile/1",
        "classrooms": ["B01-C01", "B01-C02"], "labs": ["B01-L01"], "mobile": [], "deadline": 6_000_000,
    }  # fmt: skip


def test_the_other_events_are_spelled_out(lines: list[dict[str, object]]) -> None:
    assert body(lines, "Confirmed") == {"transaction_id": TRANSACTION, "faculty_id": 3}
    assert body(lines, "Rejected") == {"transaction_id": "rejected", "faculty_id": 3}
    assert body(lines, "Expired") == {"transaction_id": "expired", "faculty_id": 3}
    assert body(lines, "Released") == {"transaction_id": TRANSACTION, "faculty_id": 3, "reason": "roof"}
    assert body(lines, "FacultyRegistered") == {"faculty_id": 3, "faculty": "Ingeniería"}
    assert body(lines, "ProgramRegistered") == {"faculty_id": 3, "program_id": 1, "program": "Sistemas"}
    assert body(lines, "TermClosed") == {"term": "2025-2"}
    assert body(lines, "AlertRaised") == {"code": "NOT_ENOUGH_ROOMS", "term": "2025-2"}
    assert body(lines, "OutageExtended") == {"by_us": 1_000}
    assert body(lines, "Denied") == {
        "transaction_id": "denied", "faculty_id": 3, "program_id": 1, "program": "Sistemas", "term": "2025-2",
        "asked": {"classrooms": 900, "labs": 0}, "partial": False, "policy": "whole-then-mobile/1",
        "code": "NOT_ENOUGH_ROOMS",
    }  # fmt: skip


def test_an_opened_term_lists_its_rooms(lines: list[dict[str, object]]) -> None:
    opened = body(lines, "TermOpened")
    assert isinstance(opened, dict)
    assert opened["term"] == "2025-2"
    assert opened["rooms"][0] == {"id": "B01-C01", "kind": "classroom", "building": "B01", "seats": 40}
    assert len(opened["rooms"]) == 440


def test_every_body_with_a_transaction_names_the_faculty(lines: list[dict[str, object]]) -> None:
    for line in lines:
        assert isinstance(line["body"], dict)
        assert ("transaction_id" in line["body"]) <= ("faculty_id" in line["body"])


def test_a_batch_left_out_is_noticed() -> None:
    driver = Driver(Rooms(default_catalog()))
    driver.allocate("t1", 1, 0)
    with pytest.raises(AssertionError, match="expected seq 1"):
        list(Exporter().feed(driver.batches[1]))


def test_another_applications_events_are_shown_as_they_are() -> None:
    batch = encode_batch(1, 1, GENESIS_HASH, 5, [Entry(0, "groups", "Joined", 1, "x", "", (1, b"\xff", ("a", None)))])
    [line] = Exporter().feed(batch)
    assert line["body"] == [1, "ff", ["a", None]]
