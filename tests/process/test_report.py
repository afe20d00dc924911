"""`aulario report` on a real cluster: what it tells follows from the raw timings, reckoned here once more."""

from __future__ import annotations

import csv
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.process.running_cluster import aulario

Rows = list[dict[str, str]]
PERCENTS = (50, 95, 99)
PROGRAMS = 25
LOADS = (("async", 7, 2), ("async", 10, 4), ("lbb", 7, 2), ("lbb", 10, 4))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of everything, each load once."""
    directory = tmp_path_factory.mktemp("r") / "run"
    done = aulario("report", directory, "--run", "--all", "--repeat", 1, within_s=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Table 3" in done.stdout
    return directory


def rows(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def told(directory: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((directory / "report.json").read_text())
    return figures


def of_table3(directory: Path) -> Rows:
    """The requests of Table 3's loads."""
    terms = {f"{pattern}-{classrooms}-{labs}-1" for pattern, classrooms, labs in LOADS}
    return [row for row in rows(directory / "requests.csv") if row["term"] in terms]


def percentile_ms(durations_us: list[int], percent: int) -> Decimal:
    """By the definition of the nearest rank: the smallest that at least `percent` of all do not exceed."""
    for us in sorted(durations_us):
        if sum(other <= us for other in durations_us) * 100 >= percent * len(durations_us):
            return Decimal(us) / 1_000
    raise AssertionError("nothing was measured")


def test_every_leg_of_every_request_was_measured_and_told_exactly(run: Path) -> None:
    requests = rows(run / "requests.csv")
    legs = {
        (leg["pattern"], leg["classrooms"], leg["labs"], leg["measured_by"], leg["leg"]): leg
        for leg in rows(run / "legs.csv")
    }
    columns = {
        ("server", "sol_prop"): "server_sol_prop_us", ("server", "ack_res"): "server_ack_res_us",
        ("server", "sol_res"): "server_sol_res_us", ("faculty", "sol_prop"): "faculty_sol_prop_us",
        ("faculty", "ack_res"): "faculty_ack_res_us", ("faculty", "sol_res"): "faculty_sol_res_us",
        ("faculty", "program"): "faculty_us", ("program", "program"): "program_us",
    }  # fmt: skip
    assert len(legs) == len(LOADS) * len(columns)
    for pattern, classrooms, labs in LOADS:
        own = [row for row in requests if row["term"] == f"{pattern}-{classrooms}-{labs}-1"]
        assert len(own) == PROGRAMS
        for (who, leg), column in columns.items():
            durations = [int(row[column]) for row in own]
            summary = legs[pattern, str(classrooms), str(labs), who, leg]
            assert int(summary["measured"]) == len(durations)
            assert Decimal(summary["min_ms"]) == Decimal(min(durations)) / 1_000
            assert Decimal(summary["max_ms"]) == Decimal(max(durations)) / 1_000
            for percent in PERCENTS:
                assert Decimal(summary[f"p{percent}_ms"]) == percentile_ms(durations, percent)


def test_legs_lie_within_one_another(run: Path) -> None:
    for row in of_table3(run):
        took = {name: int(value) for name, value in row.items() if name.endswith("_us") and value}
        assert took["server_sol_prop_us"] + took["server_ack_res_us"] <= took["server_sol_res_us"]
        assert took["faculty_sol_prop_us"] + took["faculty_ack_res_us"] <= took["faculty_sol_res_us"]
        assert took["faculty_sol_res_us"] <= took["faculty_us"] <= took["program_us"]


def test_table3_counts_what_each_program_was_told(run: Path) -> None:
    figures = told(run)
    statuses = Counter(row["term"] for row in of_table3(run) if row["told"] == "ACCEPTED")
    for load, (pattern, classrooms, labs) in zip(figures["loads"], LOADS, strict=True):
        assert (load["pattern"], load["classrooms"], load["labs"]) == (pattern, classrooms, labs)
        assert load["satisfied"] == statuses[f"{pattern}-{classrooms}-{labs}-1"] == PROGRAMS
        assert (load["unsatisfied"], load["requests"], load["seen_by"]) == (0, PROGRAMS, "program")
    asked = [load for program in figures["programs"] for load in program["loads"]]
    assert Counter((load["satisfied"], load["unsatisfied"]) for load in asked) == {(1, 0): 4 * PROGRAMS}
    assert {"server-a", "server-b", "witness", "faculty-1"} <= {one["process"] for one in figures["usage"]}


def test_the_kill_the_stress_and_every_case_are_told(run: Path) -> None:
    figures = told(run)
    assert [case["name"] for case in figures["cases"]] == [f"CP{number}" for number in range(1, 12)]
    assert all(case["is_met"] for case in figures["cases"]), figures["cases"]
    strike, first = figures["strike"], figures["recoveries"][0]
    assert strike["satisfied"] == strike["requests"] == len(strike["timeline"]) == 600
    assert first["primary"] != strike["server"]
    assert 0 < first["promote_ms"] < strike["first_reply_ms"]
    assert [step["in_flight"] for step in figures["steps"]] == [10, 50, 200, 500]
    assert all(step["answered"] == step["requests"] >= step["in_flight"] for step in figures["steps"])


def test_a_finished_run_is_told_again_without_changing(run: Path) -> None:
    before, timings = told(run), (run / "timings.json").read_text()
    again = aulario("report", run, "--language", "es", "-o", "json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == before == told(run)
    assert (run / "timings.json").read_text() == timings
    assert "Tabla 3" in (run / "report.html").read_text(encoding="utf-8")
    assert aulario("report", run, "--run").returncode == 1, "a run is never overwritten"


def test_any_cluster_directory_is_told_from_what_its_processes_kept(run: Path) -> None:
    done = aulario("report", run / "cluster", "-o", "csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "Measure,async,lbb"
    figures = told(run / "cluster" / "report")
    assert [(one["pattern"], one["seen_by"]) for one in figures["loads"]] == [("async", "faculty"), ("lbb", "faculty")]
    assert Counter(row["status"] for row in of_table3(run / "cluster" / "report")) == {"ACCEPTED": 4 * PROGRAMS}


def test_what_is_no_run_and_no_cluster_is_said_in_one_sentence(tmp_path: Path) -> None:
    nothing = aulario("report", tmp_path / "nothing")
    assert nothing.returncode == 2
    assert nothing.stderr.count("\n") == 1
    for options in (("--all",), ("--mirrored",), ("--repeat", 3)):
        assert "says what --run does" in aulario("report", tmp_path, *options).stderr
