"""Results that are kept: read as written, nothing of this host's files in them, and refused if they are not whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.exits import USAGE, Stopped
from ops.prove import records
from ops.prove.outcome import Failure, Outcome
from ops.prove.records import Record

FAILURE = Failure("cut 3: lost", "python -m ops.prove.power_cuts --count 3 --seed 7")
OUTCOME = Outcome("power_cuts", 200, (FAILURE,), 46.5, {"seed": 7})
RECORD = Record(
    "power_cuts", "python -m ops.prove.power_cuts --count 200 --seed 7", 200, 7, "abc", "2026-01-02", {"cores": 2}, "",
    OUTCOME,
)  # fmt: skip


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    records.write(tmp_path, RECORD)
    assert records.read(tmp_path, "power_cuts") == RECORD
    assert records.read_all(tmp_path) == {"power_cuts": RECORD}
    assert records.read(tmp_path, "links") is None


def test_files_kept_on_this_host_are_not_in_it(tmp_path: Path) -> None:
    told = replace(FAILURE, replay=f"{FAILURE.replay} (kept: /tmp/evidence-1/ext4.image)")
    records.write(tmp_path, replace(RECORD, outcome=replace(OUTCOME, failures=(told,))))
    assert records.read(tmp_path, "power_cuts") == RECORD


def changed(tmp_path: Path, name: str = "power_cuts", **fields: Any) -> Path:
    """The record's file with other fields; one that is None is taken away."""
    records.write(tmp_path, RECORD)
    path = tmp_path / "power_cuts.json"
    told = json.loads(path.read_text(encoding="utf-8")) | fields
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not None}), encoding="utf-8")
    return path.rename(tmp_path / f"{name}.json")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"instrument": "tea_leaves"}, "there is no instrument 'tea_leaves'"),
        ({"instrument": "links"}, "it is the result of links"),
        ({"commit": None}, "the field 'commit' is missing"),
        ({"count": "many"}, "the field 'count' is of another type"),
        ({"outcome": {"name": "power_cuts", "runs": 1}}, "the field 'failures' is missing"),
        ({"outcome": {"name": "", "runs": 1, "failures": [{"what": "x"}], "seconds": 1, "details": {}}},
         "the field 'replay' is missing"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused_in_one_sentence(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    changed(tmp_path, **fields)
    with pytest.raises(Stopped) as refused:
        records.read_all(tmp_path)
    assert str(refused.value) == f"power_cuts.json is no result of this proof: {why}"
    assert refused.value.exit_code == USAGE


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "links.json").write_text(text, encoding="utf-8")
    with pytest.raises(Stopped, match=r"^links\.json is no result of this proof: it is not"):
        records.read_all(tmp_path)


def test_a_file_of_another_name_is_no_record(tmp_path: Path) -> None:
    changed(tmp_path, name="copy")
    with pytest.raises(Stopped, match="it is the result of power_cuts"):
        records.read_all(tmp_path)
