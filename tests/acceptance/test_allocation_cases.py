"""CP1 to CP4: basic request, concurrency, exact fit, shortage; through faculties of both patterns."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.process.running_cluster import RunningCluster, aulario
from tests.process.verdict import Journal, events_of, export
from tests.process.wire_client import ENCODINGS, JSON, Clients, ack, new_id, sol

CLUSTER = ("--faculties", 4, "--profile", "slow")
PATTERNS = ("async", "lbb")

per_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def every_room(*results: dict[str, Any]) -> list[str]:
    """All rooms of some ACCEPTED results."""
    return [room for res in results for room in (*res["aulas"], *res["laboratorios"], *res["moviles"])]


def counts(res: dict[str, Any]) -> tuple[int, int, int]:
    """Classrooms, labs, mobile labs, as counted by the server; each must be the length of its list."""
    lists = len(res["aulas"]), len(res["laboratorios"]), len(res["moviles"])
    assert lists == (res["salones_propuestos"], res["laboratorios_propuestos"], res["aulas_moviles"])
    return lists


@per_pattern
def test_cp01_three_programs_of_one_faculty_get_exactly_what_they_asked(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str
) -> None:
    faculty = running.faculty(pattern)
    results = []
    for program, encoding in (("Ing. Sistemas", "json"), ("Ing. Electrónica", "msgpack"), ("Ing. Industrial", "json")):
        request = {"programa": program, "salones": 7, "laboratorios": 2, "semestre": term}
        results.append(journal.saw(faculty["id"], clients.request(faculty["endpoint"], request, encoding)))

    assert [res["status"] for res in results] == ["ACCEPTED"] * 3
    assert [counts(res) for res in results] == [(7, 2, 0)] * 3
    assert len(set(every_room(*results))) == 3 * (7 + 2)
    data = Path(running.active()["data"])
    for res in results:
        reserved, confirmed = events_of(data, res["transaction_id"])
        assert (reserved["type"], confirmed["type"]) == ("Reserved", "Confirmed")
        body = reserved["body"]
        assert (body["classrooms"], body["labs"], body["mobile"]) == (res["aulas"], res["laboratorios"], [])
        assert (body["faculty_id"], body["term"]) == (faculty["id"], term)
        receipt = res["recibo"]
        assert receipt == {**{key: confirmed[key] for key in ("epoch", "seq", "hash")}, "copias": 2}


@per_pattern
def test_cp01_the_command_tells_granted_from_denied_by_its_exit_code(
    running: RunningCluster, term: str, pattern: str
) -> None:
    ask = ("request", "--dir", running.directory, "--faculty", running.faculty(pattern)["id"], "--term", term)
    assert aulario(*ask, "Biología", 7, 2, "-o", "json").returncode == 0
    assert aulario(*ask, "Biología", 1000, 0, "-o", "json").returncode == 1


def test_cp02_faculties_of_both_patterns_at_once_are_all_answered_and_nothing_is_mixed_up(
    running: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    asked = {}
    for faculty, number in itertools.product(running.status()["faculties"], range(5)):
        program = clients.req(faculty["endpoint"], ENCODINGS[number % 2])
        transaction_id = new_id()
        asked[transaction_id] = (faculty["id"], program, 7 + number % 2)
        program.send({
            "programa": f"Programa {number}", "salones": 7 + number % 2, "laboratorios": 2,
            "semestre": term, "transaction_id": transaction_id,
        })  # fmt: skip
    straight = {pattern: clients.peer(pattern, running.active()["requests"], JSON) for pattern in PATTERNS}
    for client in straight.values():
        request = sol(term, 3, 1)
        proposal = client.ask(request)
        assert proposal["tipo"] == "PROP"
        res = journal.saw(request["faculty_id"], client.ask(ack(request)))
        assert every_room(res) == every_room(proposal)

    results = []
    for transaction_id, (faculty_id, program, classrooms) in asked.items():
        (res,) = program.answers()
        assert (res["transaction_id"], res["status"]) == (transaction_id, "ACCEPTED")
        assert counts(res) == (classrooms, 2, 0)
        results.append(journal.saw(faculty_id, res))
    assert len(results) == 20
    assert len(set(every_room(*results))) == sum(sum(counts(res)) for res in results)


@per_pattern
@pytest.mark.parametrize("requests", [1, 6])
def test_cp03_exactly_the_sixty_labs_are_granted_without_mobile_labs(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str, requests: int
) -> None:
    faculty = running.faculty(pattern)
    asked = {"programa": "Física", "salones": 0, "laboratorios": 60 // requests, "semestre": term}
    results = [
        journal.saw(faculty["id"], clients.request(faculty["endpoint"], asked, JSON)) for _ in range(requests)
    ]
    assert [res["status"] for res in results] == ["ACCEPTED"] * requests
    assert [counts(res) for res in results] == [(0, 60 // requests, 0)] * requests
    assert len(set(every_room(*results))) == 60


@per_pattern
def test_cp04_mobile_labs_cover_a_shortage_then_requests_are_denied_with_an_alert_and_service_goes_on(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str
) -> None:
    faculty = running.faculty(pattern)

    def ask(classrooms: int, labs: int) -> dict[str, Any]:
        request = {"programa": "Química", "salones": classrooms, "laboratorios": labs, "semestre": term}
        return journal.saw(faculty["id"], clients.request(faculty["endpoint"], request))

    assert counts(ask(0, 50)) == (0, 50, 0)
    assert counts(ask(0, 20)) == (0, 10, 10)
    assert counts(ask(300, 30)) == (300, 0, 30)
    denied = ask(30, 11)
    assert (denied["status"], denied["code"]) == ("DENIED", "NOT_ENOUGH_ROOMS")
    assert counts(ask(40, 0)) == (40, 0, 0)
    assert ask(1, 0)["status"] == "DENIED"

    alerts = [
        event["body"]["code"] for event in export(Path(running.active()["data"]))
        if event["type"] == "AlertRaised" and event["body"]["term"] == term
    ]  # fmt: skip
    assert alerts == ["LABS_EXHAUSTED", "NOT_ENOUGH_ROOMS"]
