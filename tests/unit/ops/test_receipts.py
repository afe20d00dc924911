"""`aulario audit check --receipts`: every answer that names an event is held against it, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import click
import pytest

from es.log.base import Identity, Write
from es.log.lmdb_log import LmdbLog
from nodes.wire import answer_to_closing, res_of
from nodes.wire.schema import Receipt
from nodes.wire.to_maps import fields_of
from ops.audit import check_logs
from ops.receipts import read_results
from projections.rooms.catalog import default_catalog
from projections.rooms.commands import CloseTerm, Release, TermResult
from projections.rooms.machine import Rooms
from tests.unit.ops.command import aulario, json_lines
from tests.unit.rooms.driver import Driver

NOT_IN_THE_LOG = {"copias", "reason", "elapsed_ms", "tipo"}
"""Nothing says what they were; `tipo` says how a line is read."""

COUNTS = {"aulas": "salones_propuestos", "laboratorios": "laboratorios_propuestos", "moviles": "aulas_moviles"}

Line = dict[str, Any]


class Told:
    """A log, and every line that its clients may have kept of it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._driver = driver = Driver(Rooms(default_catalog()))
        self.lines: dict[str, Line] = {}
        driver.begin_epoch()
        self._keep("accepted", driver.allocate("t1", 7, 62))
        driver.reserve("t2", 1, 0)
        self._keep("rejected", driver.reject("t2"))
        driver.reserve("t3", 1, 0)
        driver.now_us += 60_000_000
        driver.expire()
        self._keep("expired", driver.accept("t3"))
        self._keep("denied", driver.reserve("t4", 400, 0))
        driver.allocate("t5", 2, 0)
        self._keep("released", driver.do(Release("t5", 1, "operator:local", "gotera")))
        driver.reserve("t6", 4, 0)
        self._keep("closed", driver.do(CloseTerm("2025-2", "operator:local")))
        log = LmdbLog.create(data_dir, Identity("campus", "a", "7f3e"))
        log.write(Write(driver.batches, commit_seq=driver.batches[-1].last_seq))
        log.close()

    def _keep(self, name: str, answer: Any) -> None:
        batch = self._driver.batches[-1]
        kinds = ("Confirmed", "Rejected", "Expired", "Denied", "Released", "TermClosed")
        [offset] = [entry.offset for entry in batch.entries if entry.type in kinds]
        receipt = Receipt(batch.epoch, batch.first_seq + offset, batch.hash.hex(), 2)
        if isinstance(answer, TermResult):
            fields = {"semester": answer.term} | fields_of(answer_to_closing("q1", answer, receipt))
        else:
            fields = {"faculty_id": 1} | fields_of(res_of(answer, receipt))
        self.lines[name] = json.loads(json.dumps({**fields, "elapsed_ms": 3.5}))

    def checked(self, *lines: Line, not_here: tuple[str, ...] = ()) -> dict[str, Any]:
        """What the checker finds in them."""
        file = self.data_dir / "results.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return check_logs((self.data_dir,), read_results(file), not_here)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("log"))


def test_answers_of_every_kind_in_one_file_pass(told: Told) -> None:
    for line in told.lines.values():
        assert told.checked(line)["ok"], line
    findings = told.checked(*told.lines.values(), {"faculty_id": 1, "transaction_id": "t9", "status": "UNKNOWN"})
    assert findings["ok"]
    assert findings["receipts"] == {
        "accepted": 1, "refused": 3, "released": 1, "closed": 1, "without_receipt": 0, "passed_over": 1, "beyond": 0,
        "violations": [],
    }  # fmt: skip


def forgeries(told: Told, line: Line) -> Iterator[tuple[str, Line]]:
    """Each field with another value of its type, one at a time; codes and statuses of the others."""
    for field, value in line.items():
        if field in NOT_IN_THE_LOG or (field, line["tipo"]) == ("transaction_id", "CER"):
            continue
        if field == "recibo":
            for part in value.keys() - NOT_IN_THE_LOG:
                for other in ("0" * 64,) if part == "hash" else (value[part] + 1, 999_999):
                    yield part, {**line, "recibo": {**value, part: other}}
            continue
        others: list[Any] = [value + 1] if isinstance(value, int) else ["never-existed"]
        if isinstance(value, list):
            others = [[*value[:-1], "B99-C99"] if value else ["B01-C01"], value[::-1] if len(value) > 1 else ["X"]]
            fewer = value[1:] or ["X"]
            yield field, {**line, field: fewer, COUNTS[field]: len(fewer)}
            yield field, {**line, field: fewer}
        if field == "code":
            others = [one["code"] for one in told.lines.values() if one.get("code", value) != value] + [None]
        if field == "status":
            others = [one for one in ("DENIED", "CANCELED", "UNKNOWN", "INVALID", "UNAVAILABLE") if one != value]
        for other in others:
            yield field, {**line, field: other}


@pytest.mark.parametrize("name", ["accepted", "rejected", "expired", "denied", "released", "closed"])
def test_a_line_in_which_one_thing_is_another_is_found(told: Told, name: str) -> None:
    line = told.lines[name]
    tried = set()
    for field, forged in forgeries(told, deepcopy(line)):
        findings = told.checked(*told.lines.values(), forged)
        assert not findings["ok"], (field, forged)
        assert findings["receipts"]["violations"] and not findings["logs"][0]["violations"]
        tried.add(field)
    expected = {*line, *line["recibo"]} - NOT_IN_THE_LOG - {"recibo"}
    assert tried == expected - ({"transaction_id"} if name == "closed" else set())


@pytest.mark.parametrize("name", ["rejected", "expired", "denied", "released"])
def test_a_refusal_that_was_kept_without_its_receipt_is_looked_for_by_its_id(told: Told, name: str) -> None:
    line = {field: value for field, value in told.lines[name].items() if field != "recibo"}
    findings = told.checked(line)
    assert (findings["ok"], findings["receipts"]["without_receipt"]) == (True, 1)
    forged = {**line, "transaction_id": "never-existed"}
    [violation] = told.checked(forged)["receipts"]["violations"]
    assert "never-existed" in violation
    assert told.checked(forged, not_here=("server-b",))["ok"], "the log that is elsewhere may have it"


@pytest.mark.parametrize("name", ["accepted", "closed"])
def test_what_is_always_said_with_a_receipt_is_no_answer_without(told: Told, name: str) -> None:
    told.checked()
    line = {field: value for field, value in told.lines[name].items() if field != "recibo"}
    file = told.data_dir / "results.jsonl"
    file.write_text(json.dumps(line))
    done = aulario("audit", "check", told.data_dir, "--receipts", file)
    assert (done.returncode, "line 1: this is no result of" in done.stderr) == (2, True), done.stderr


def test_an_answer_as_a_client_of_ones_own_gets_it_lacks_the_faculty_and_that_is_said(told: Told) -> None:
    told.checked({field: value for field, value in told.lines["accepted"].items() if field != "elapsed_ms"})
    raw = {field: value for field, value in told.lines["accepted"].items() if field != "faculty_id"}
    with pytest.raises(click.UsageError, match="line 1: this result lacks faculty_id, the number of the faculty"):
        told.checked(raw)


def test_what_was_checked_is_shown_by_kind_and_a_forged_release_ends_with_4(told: Told) -> None:
    file = told.data_dir / "results.jsonl"
    told.checked(*told.lines.values())
    check = ("audit", "check", told.data_dir, "--receipts", file)
    shown = aulario(*check)
    assert shown.returncode == 0
    assert shown.stdout.endswith(
        "6 receipts (1 accepted, 3 refused, 1 released, 1 closed) checked, 0 other results passed over, no violations\n"
    )
    released = told.lines["released"]
    told.checked({**released, "recibo": {**released["recibo"], "seq": 999_999}})
    forged = aulario(*check, "-o", "json")
    [findings] = json_lines(forged.stdout)
    assert (forged.returncode, findings["receipts"]["beyond"]) == (4, 1)
    [violation] = findings["receipts"]["violations"]
    assert "a client saw transaction t5 of faculty 1 CANCELED (RELEASED) there; no log is committed beyond" in violation


def test_a_line_that_says_one_thing_twice_is_no_answer(told: Told) -> None:
    """Who reads the first would see what was not checked."""
    file = told.data_dir / "results.jsonl"
    line = json.dumps(told.lines["released"])
    file.write_text('{"transaction_id": "t1", ' + line[1:])
    done = aulario("audit", "check", told.data_dir, "--receipts", file)
    assert (done.returncode, "line 1: this is no result of" in done.stderr) == (2, True), done.stderr
