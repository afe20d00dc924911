"""CP5 and CP8: the primary dies right after a request was sent, and with many under way."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

import pytest

from tests.process.running_cluster import RunningCluster, metrics, wait_for
from tests.process.verdict import Journal, events_of
from tests.process.wire_client import ENCODINGS, LATER, Clients, ack, new_id, sol

CLUSTER = ("--faculties", 4, "--restart")  # default timings: the backup must be faster than the restart
PATTERNS = ("async", "lbb")

per_pattern = pytest.mark.parametrize("pattern", PATTERNS)


@per_pattern
def test_cp05_the_primary_dies_right_after_the_request_was_sent(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str
) -> None:
    faculty, primary = healed.faculty(pattern), healed.active()
    changes = metrics(faculty["http"])["aulario_server_changes_total"]
    program = clients.req(faculty["endpoint"])
    transaction_id = new_id()
    healed.kill(primary["pid"], signal.SIGSTOP)  # it will never read what is sent now
    program.send({"programa": "Derecho", "salones": 7, "laboratorios": 2, "semestre": term,
                  "transaction_id": transaction_id})  # fmt: skip
    wait_for(lambda: _in_flight(faculty["http"]) == 1, "a request that waits at the faculty")
    healed.kill(primary["pid"])

    (res,) = program.answers()
    journal.saw(faculty["id"], res)
    assert (res["transaction_id"], res["status"]) == (transaction_id, "ACCEPTED")
    backup = healed.active()
    assert backup["name"] != primary["name"]
    assert res["recibo"]["epoch"] > primary["epoch"]
    types = [event["type"] for event in events_of(Path(backup["data"]), transaction_id)]
    assert types == ["Reserved", "Confirmed"]
    assert metrics(faculty["http"])["aulario_server_changes_total"] > changes


def _in_flight(http: str) -> float:
    return sum(value for name, value in metrics(http).items() if name.startswith("aulario_inflight"))


@per_pattern
def test_cp08_what_was_proposed_before_the_kill_is_confirmed_after_it(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str
) -> None:
    primary, passive = healed.active(), healed.passive()
    requests = [sol(term, 7, 2) for _ in range(4)]
    proposals = [clients.peer(pattern, primary["requests"]).ask(request) for request in requests]
    assert [proposal["tipo"] for proposal in proposals] == ["PROP"] * 4
    healed.kill(primary["pid"])
    wait_for(lambda: healed.server(passive["name"])["active"], "the backup serves")

    for request, proposal in zip(requests, proposals, strict=True):
        again = clients.peer(pattern, passive["requests"]).ask(request)
        assert {**again, "vence": 0} == {**proposal, "vence": 0}, "the same rooms go on being held"
        assert again["vence"] >= proposal["vence"], "no hold loses time because the servers were away"
        res = clients.peer(pattern, passive["requests"]).ask(ack(request))
        journal.saw(request["faculty_id"], res)
        assert res["status"] == "ACCEPTED"
        assert (res["aulas"], res["laboratorios"]) == (proposal["aulas"], proposal["laboratorios"])
        assert res["recibo"]["epoch"] > primary["epoch"]


def test_cp08_every_program_gets_one_result_when_the_primary_dies_with_requests_in_flight(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    primary = healed.active()
    waiting = []
    for faculty, number in itertools.product(healed.status()["faculties"], range(8)):
        request = {
            "programa": f"Programa {number}", "salones": 7, "laboratorios": 2,
            "semestre": term, "transaction_id": new_id(),
        }  # fmt: skip
        encoding = ENCODINGS[number % 2]
        program = clients.req(faculty["endpoint"], encoding)
        program.send(request)
        waiting.append((faculty, program, request, encoding))
    first = waiting[0][1].answers()  # some are through, most are under way
    healed.kill(primary["pid"])

    results = []
    for i, (faculty, program, request, encoding) in enumerate(waiting):
        (res,) = program.answers() if i else first
        if (res["status"], res.get("code")) in LATER:
            res = clients.request(faculty["endpoint"], request, encoding)
        assert res["transaction_id"] == request["transaction_id"]
        results.append(journal.saw(faculty["id"], res))
    assert {res["status"] for res in results} == {"ACCEPTED"}
    rooms = [room for res in results for room in (*res["aulas"], *res["laboratorios"], *res["moviles"])]
    assert len(rooms) == len(set(rooms)) == 32 * 9
    assert max(res["recibo"]["epoch"] for res in results) > primary["epoch"]
