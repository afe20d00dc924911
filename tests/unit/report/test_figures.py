"""From requests to figures: what belongs to which load, who was satisfied, what each leg took."""

from __future__ import annotations

from pathlib import Path

from ops.report.figures import figures
from ops.report.statistics import nearest_rank
from ops.report.tables import OUTCOMES
from projections.timings import RequestTimings, Source, Timing
from tests.unit.report.a_run import ASYNC, ROUNDS, a_report, config, everything_told, told


def test_a_load_is_all_its_rounds_and_nothing_else(tmp_path: Path) -> None:
    first, second = a_report(tmp_path)["loads"]
    assert (first["pattern"], first["classrooms"], first["labs"]) == ("async", 7, 2)
    assert (second["pattern"], second["classrooms"], second["labs"]) == ("lbb", 10, 4)
    for load in (first, second):
        assert (load["rounds"], load["requests"], load["satisfied"], load["unsatisfied"]) == (2, 20, 18, 2)
        assert (load["denied"], load["canceled"], load["refused"], load["unanswered"]) == (2, 0, 0, 0)
        assert load["per_second"] == 20.0


def test_who_was_refused_has_his_answer(tmp_path: Path) -> None:
    made = RequestTimings()
    statuses = ("ACCEPTED", "DENIED", "CANCELED", "UNAVAILABLE", "UNAVAILABLE", "INVALID", "UNKNOWN")
    for number, status in enumerate(statuses):
        made.tell(told(number, "stress-0", ASYNC, status))
    made.take(Source("server", "a", 1), Timing(1, "sol_res", "async", "", 1, 0, "nobody knows more", 9, 9))
    [load] = figures(config(tmp_path), made, None, [])["loads"]
    assert [load[outcome] for outcome in OUTCOMES] == [1, 1, 1, 3, 2]
    assert (load["satisfied"], load["unsatisfied"], load["requests"]) == (1, 7, 8)


def test_durations_are_those_of_the_load(tmp_path: Path) -> None:
    load = a_report(tmp_path)["loads"][0]
    terms = {one.term for one in ROUNDS if one.load.pattern == "async"}
    own = sorted(one.us for one in everything_told() if one.term in terms)
    assert load["program"]["p95_ms"] == nearest_rank(own, 95) / 1_000
    assert load["server"]["max_ms"] == max(own) / 2_000
    assert load["distribution"]["program"][94] == load["program"]["p95_ms"]
    assert len(load["distribution"]["program"]) == 100


def test_every_program_has_its_satisfied_and_its_other_requests(tmp_path: Path) -> None:
    programs = a_report(tmp_path)["programs"]
    told = {
        (program["faculty"], program["program"]): [(one["satisfied"], one["unsatisfied"]) for one in program["loads"]]
        for program in programs
    }
    assert told == {
        ("Facultad 1", "Álgebra"): [(10, 0)], ("Facultad 1", "Física"): [(8, 2)],
        ("Facultad 2", "Álgebra"): [(10, 0)], ("Facultad 2", "Física"): [(8, 2)],
    }  # fmt: skip


def test_the_legs_are_those_somebody_measured(tmp_path: Path) -> None:
    legs = [(leg["pattern"], leg["measured_by"], leg["leg"], leg["measured"]) for leg in a_report(tmp_path)["legs"]]
    assert legs == [
        ("async", "server", "sol_res", 20), ("async", "program", "program", 20),
        ("lbb", "server", "sol_res", 20), ("lbb", "program", "program", 20),
    ]  # fmt: skip


def test_the_kill_and_the_steps_have_their_own_requests(tmp_path: Path) -> None:
    found = a_report(tmp_path)
    assert (found["strike"]["first_reply_ms"], found["strike"]["requests"], found["strike"]["satisfied"]) == (450, 4, 4)
    assert found["strike"]["timeline"][0] == (-9.9, 100.0, "async")
    first, second = found["steps"]
    assert (first["requests"], first["answered"], first["refused"], first["per_second"]) == (2, 1, 1, 4.0)
    assert (second["requests"], second["program"]) == (0, None)


def test_without_a_run_requests_are_told_by_pattern(tmp_path: Path) -> None:
    found = a_report(tmp_path, run=None)
    assert [(load["pattern"], load["classrooms"]) for load in found["loads"]] == [("async", None), ("lbb", None)]
    assert sum(load["requests"] for load in found["loads"]) == len(everything_told())
    assert (found["strike"], found["steps"], found["cases"]) == (None, [], [])
