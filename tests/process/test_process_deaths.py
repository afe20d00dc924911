"""Any one process dies, or is frozen, at a bad moment: service goes on, nothing is lost, nothing is double."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ops.observe import fetch_status
from ops.supervisor import SETTLED_AFTER_S
from tests.process.running_cluster import RunningCluster, metrics, wait_for
from tests.process.verdict import Journal, events_of, is_written
from tests.process.wire_client import LATER, Clients, Dealer, ack, new_id, sol

CLUSTER = ("--faculties", 2, "--restart")
SETTINGS = {
    "AULARIO_TIMING_PROFILE": "slow",
    "AULARIO_TIMING_SHRINK_MS": "1500",
    "AULARIO_TIMING_ACK_TIMEOUT_MS": "4000",
}
PATTERNS = ("async", "lbb")

per_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def _workers(server: dict[str, Any]) -> list[int]:
    """The process ids of a server's workers."""
    pids: list[int] = (fetch_status(server["http"]) or {})["workers"]
    return pids


def _lived_s(pid: int) -> float:
    """How long a process has been there."""
    began_ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / os.sysconf("SC_CLK_TCK")


def _worked(healed: RunningCluster, clients: Clients, journal: Journal, term: str) -> None:
    """A client of each pattern gets its rooms from whoever serves."""
    for pattern in PATTERNS:
        client, request = clients.peer(pattern, healed.active()["requests"]), sol(term, 1, 0)
        assert client.ask(request)["tipo"] == "PROP"
        assert journal.saw(request["faculty_id"], client.ask(ack(request)))["status"] == "ACCEPTED"


# -- workers


@pytest.mark.parametrize("killed", ["one", "all"])
def test_a_request_is_answered_although_its_worker_is_killed(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str, killed: str
) -> None:
    server = healed.active()
    wait_for(lambda: len(_workers(server)) == 2, "both workers")
    workers = _workers(server)
    for pid in workers:
        healed.kill(pid, signal.SIGSTOP)  # whoever is given a request holds it and does nothing
    requests = [sol(term, 7, 2) for _ in workers]
    peers = [clients.req(server["requests"]) for _ in workers]
    for peer, request in zip(peers, requests, strict=True):
        peer.send(request)
    # What a DEALER sends passes the workers by: once it is answered, both requests have been handed out.
    barrier = sol(term, 1, 0)
    assert clients.dealer(server["requests"]).ask(barrier)["tipo"] == "PROP"
    died = metrics(server["http"])['rsm_ignored_total{why="worker died"}']
    doomed = workers if killed == "all" else workers[:1]
    for pid in doomed:
        healed.kill(pid)
    for pid in set(workers) - set(doomed):
        healed.kill(pid, signal.SIGCONT)

    for peer, request in zip(peers, requests, strict=True):
        (proposal,) = peer.answers()
        assert (proposal["tipo"], proposal["transaction_id"]) == ("PROP", request["transaction_id"])
        assert journal.saw(request["faculty_id"], peer.ask(ack(request)))["status"] == "ACCEPTED"
        types = [event["type"] for event in events_of(Path(server["data"]), request["transaction_id"])]
        assert types == ["Reserved", "Confirmed"]
    wait_for(lambda: len(_workers(server)) == 2 and not set(doomed) & set(_workers(server)), "new workers")
    assert metrics(server["http"])['rsm_ignored_total{why="worker died"}'] == died + len(doomed)


def test_a_worker_that_hangs_is_replaced_and_its_request_answered(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    server = healed.active()
    wait_for(lambda: len(_workers(server)) == 2, "both workers")
    for pid in _workers(server):
        healed.kill(pid, signal.SIGSTOP)
    stuck = metrics(server["http"])['rsm_ignored_total{why="worker stuck"}']
    client, request = clients.req(server["requests"]), sol(term, 7, 2)
    assert client.ask(request)["tipo"] == "PROP"
    assert journal.saw(request["faculty_id"], client.ask(ack(request)))["status"] == "ACCEPTED"
    assert metrics(server["http"])['rsm_ignored_total{why="worker stuck"}'] > stuck


# -- a faculty


@per_pattern
@pytest.mark.parametrize("returns", [True, False], ids=["asked again", "never again"])
def test_a_faculty_dies_between_proposal_and_answer(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str, returns: bool
) -> None:
    server, backup, faculty = healed.active(), healed.passive(), healed.faculty(pattern)
    transaction_id = new_id()
    request = {"programa": "Filosofía", "salones": 7, "laboratorios": 2, "semestre": term,
               "transaction_id": transaction_id}  # fmt: skip
    if returns:  # who died a moment ago is started again after a longer pause than the hold lasts
        wait_for(lambda: _lived_s(faculty["pid"]) > 2 * SETTLED_AFTER_S, "the faculty is settled")
    healed.kill(backup["pid"], signal.SIGSTOP)  # no proposal leaves before the backup has it, too
    clients.req(faculty["endpoint"]).send(request)
    data = Path(server["data"])
    wait_for(lambda: is_written(data, transaction_id, after_seq=server["seq"]), "the primary has decided")
    healed.kill(faculty["pid"], signal.SIGSTOP)
    healed.kill(backup["pid"], signal.SIGCONT)
    wait_for(lambda: events_of(data, transaction_id), "the rooms are held")
    healed.kill(faculty["pid"])

    (reserved,) = events_of(data, transaction_id)
    if returns:
        wait_for(lambda: (fetch_status(faculty["http"]) or {}).get("follows") is not None, "the faculty is back")
        res = journal.saw(faculty["id"], clients.request(faculty["endpoint"], request))
        assert res["status"] == "ACCEPTED"
        assert (res["aulas"], res["laboratorios"]) == (reserved["body"]["classrooms"], reserved["body"]["labs"])
        ending = "Confirmed"
    else:
        whole = sol(term, 380, 60)
        waiting = clients.dealer(server["requests"])
        wait_for(lambda: len(events_of(data, transaction_id)) == 2, "the hold has expired")
        assert waiting.ask(whole)["tipo"] == "PROP", "every room is free again"
        journal.saw(whole["faculty_id"], waiting.ask(ack(whole, "REJECT")))
        ending = "Expired"
    assert [event["type"] for event in events_of(data, transaction_id)] == ["Reserved", ending]


# -- the witness


def test_service_goes_on_while_the_witness_is_dead(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    server, witness = healed.active(), healed.ready["witness"]
    healed.kill(healed.status()["witness"]["pid"])
    assert not healed.status()["witness"]["alive"]
    for faculty in healed.ready["faculties"]:
        asked = {"programa": "Teología", "salones": 7, "laboratorios": 2, "semestre": term}
        res = journal.saw(faculty["id"], clients.request(faculty["endpoint"], asked))
        assert (res["status"], res["recibo"]["copias"]) == ("ACCEPTED", 2)
        assert res["recibo"]["epoch"] == server["epoch"], "no role can change without the witness"
    healed.wait_alive(witness["http"])


# -- the primary


def test_a_primary_that_was_frozen_is_fenced_and_each_transaction_has_one_result(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    frozen, passive = healed.active(), healed.passive()
    old = clients.dealer(frozen["requests"])
    held, fresh = sol(term, 7, 2), sol(term, 3, 1)
    proposal = old.ask(held)
    healed.kill(frozen["pid"], signal.SIGSTOP)
    old.send(ack(held, "REJECT"), fresh)  # it will read both when it wakes up
    wait_for(lambda: healed.server(passive["name"])["active"], "the backup serves")
    new = clients.dealer(passive["requests"])
    res = journal.saw(held["faculty_id"], new.ask(ack(held)))
    assert (res["status"], res["aulas"]) == ("ACCEPTED", proposal["aulas"])
    healed.kill(frozen["pid"], signal.SIGCONT)

    healed.wait_ready()
    assert healed.active()["name"] == passive["name"]
    assert healed.server(frozen["name"])["pid"] == frozen["pid"], "it was fenced, not restarted"
    late = clients.dealer(frozen["requests"]).ask(sol(term, 1, 0))
    assert (late["status"], late["code"]) == ("UNAVAILABLE", "NOT_ACTIVE")
    said = [(one["status"], one.get("code")) if one["tipo"] == "RES" else one["tipo"] for one in old.everything()]
    assert set(said) <= {("UNAVAILABLE", "NOT_ACTIVE")}, "nothing it said late counts"
    assert journal.saw(held["faculty_id"], new.ask(held))["status"] == "ACCEPTED"
    assert new.ask(fresh)["tipo"] == "PROP"
    assert journal.saw(fresh["faculty_id"], new.ask(ack(fresh)))["status"] == "ACCEPTED"


def test_everything_accepted_is_there_after_both_servers_were_killed_at_once(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    dealer = clients.dealer(healed.active()["requests"])
    requests = [sol(term, 1, 0) for _ in range(60)]
    _converse(dealer, requests[:40], journal)
    dealer.send_array(requests[40:])  # and these are under way
    dealer.answer(requests[40]["transaction_id"])
    for server in healed.status()["servers"]:
        os.kill(server["pid"], signal.SIGKILL)

    healed.wait_ready()
    serving = clients.dealer(healed.active()["requests"])
    for request in requests[:40]:
        assert journal.saw(request["faculty_id"], serving.ask(request))["status"] == "ACCEPTED"
    for request in requests[40:]:
        assert serving.ask(request)["tipo"] == "PROP"
        assert journal.saw(request["faculty_id"], serving.ask(ack(request)))["status"] == "ACCEPTED"
    _worked(healed, clients, journal, term)


def _converse(dealer: Dealer, requests: list[dict[str, Any]], journal: Journal) -> None:
    """All of them to their ACCEPTED."""
    dealer.send_array(requests)
    for request in requests:
        assert dealer.answer(request["transaction_id"])["tipo"] == "PROP"
    dealer.send_array([ack(request) for request in requests])
    for request in requests:
        res = dealer.answer(request["transaction_id"])
        assert journal.saw(request["faculty_id"], res)["status"] == "ACCEPTED"


def test_any_one_process_killed_in_turn_leaves_every_program_with_one_result(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    victims = ("active", "passive", "witness", "worker", "faculty")
    for victim, faculty in itertools.product(victims, healed.ready["faculties"]):
        healed.wait_ready()
        request = {"programa": victim, "salones": 1, "laboratorios": 0, "semestre": term, "transaction_id": new_id()}
        program = clients.req(faculty["endpoint"])
        program.send(request)
        os.kill(_pid_of(healed, victim, faculty["id"]), signal.SIGKILL)
        res = clients.request(faculty["endpoint"], request)
        assert (res["status"], res.get("code")) not in LATER
        assert journal.saw(faculty["id"], res)["status"] == "ACCEPTED", victim


def _pid_of(healed: RunningCluster, victim: str, faculty_id: int) -> int:
    status = healed.status()
    pids: dict[str, int] = {
        "active": next(server["pid"] for server in status["servers"] if server["active"]),
        "passive": next(server["pid"] for server in status["servers"] if not server["active"]),
        "witness": status["witness"]["pid"],
        "worker": _workers(healed.active())[0],
        "faculty": next(faculty["pid"] for faculty in status["faculties"] if faculty["id"] == faculty_id),
    }
    return pids[victim]
