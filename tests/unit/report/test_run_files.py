"""What a run keeps is read again as it was; files that are none are refused; the tables as files have their columns."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ops.report.facts import PROGRAMS_FILE, RUN_FILE, NotARun, read_run, read_told, write_run
from ops.report.files import LEG_COLUMNS, PAGE, USAGE_COLUMNS, write_files
from projections.timings import COLUMNS
from tests.unit.ops.command import aulario
from tests.unit.report.a_run import RUN, a_report, everything_told, model


def test_a_run_is_read_again_as_it_was(tmp_path: Path) -> None:
    assert (read_run(tmp_path), read_told(tmp_path)) == (None, [])
    write_run(tmp_path, RUN, everything_told())
    read = read_run(tmp_path)
    assert read is not None
    assert replace(read, rounds=tuple(read.rounds), steps=tuple(read.steps), cases=tuple(read.cases),
                   usage=tuple(read.usage)) == RUN  # fmt: skip
    assert read_told(tmp_path) == everything_told()


@pytest.mark.parametrize("name", [RUN_FILE, PAGE])
def test_a_run_does_not_begin_over_what_is_there(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("important")
    refused = aulario("report", "--run", tmp_path)
    assert (refused.returncode, refused.stderr) == (
        1, f"Error: {tmp_path} holds a run already: name another directory\n"
    )  # fmt: skip
    assert (tmp_path / name).read_text() == "important"


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2}', '{"format": 1}', "[]"])
def test_what_is_no_run_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / RUN_FILE).write_text(content)
    with pytest.raises(NotARun, match="is not a run's"):
        read_run(tmp_path)


def test_a_run_of_another_format_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, RUN, [])
    path = tmp_path / RUN_FILE
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(NotARun, match="its format is another"):
        read_run(tmp_path)


def test_what_no_program_was_told_is_refused(tmp_path: Path) -> None:
    (tmp_path / PROGRAMS_FILE).write_text("faculty_id\nx\n")
    with pytest.raises(NotARun, match=PROGRAMS_FILE):
        read_told(tmp_path)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_have_their_shapes(tmp_path: Path) -> None:
    figures = a_report(tmp_path)
    write_files(tmp_path / "out", figures, model(), "en")
    out = tmp_path / "out"
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(figures))
    assert [tuple(row) for row in rows(out / "legs.csv")] == [LEG_COLUMNS] * 4
    assert [tuple(row) for row in rows(out / "usage.csv")] == [USAGE_COLUMNS] * 6
    requests = rows(out / "requests.csv")
    assert tuple(requests[0]) == (*COLUMNS, "status")
    assert len(requests) == len(everything_told())
    assert {row["status"] for row in requests} == {"ACCEPTED", "DENIED", "UNKNOWN"}
    assert len(rows(out / "table3.csv")) == 8
