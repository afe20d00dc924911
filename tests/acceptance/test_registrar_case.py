"""A12 and A10 by command: released rooms are granted again, a term is closed, each once and across a failover; and
`aulario allocations` says what receipts say (A17)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.process.running_cluster import RunningCluster, aulario
from tests.process.verdict import Journal, events_of, export
from tests.process.wire_client import JSON, Clients, new_id

CLUSTER = ("--faculties", 2, "--restart")  # default timings: the backup must be faster than the restart
WHOLE_TERM = {"programa": "Todo", "salones": 380, "laboratorios": 60}
REASON = "the roof leaks"


def told(done: Any) -> dict[str, Any]:
    """The one JSON object of a command that ended well."""
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def lasting(answer: dict[str, Any]) -> dict[str, Any]:
    """All of it but what may differ the next time: the copies that there are, the time it took, the question's id."""
    receipt = {key: value for key, value in answer["recibo"].items() if key != "copias"}
    volatile = ("elapsed_ms", *(("transaction_id",) if answer["tipo"] == "CER" else ()))
    return {**{key: value for key, value in answer.items() if key not in volatile}, "recibo": receipt}


def allocations(running: RunningCluster, *options: str) -> list[dict[str, Any]]:
    done = aulario("allocations", "--dir", running.directory, "-o", "json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def every_room(result: dict[str, Any]) -> set[str]:
    return {*result["aulas"], *result["laboratorios"], *result["moviles"]}


def test_a12_released_rooms_are_granted_again_and_all_is_done_once_across_a_failover(
    running: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    one, other = running.status()["faculties"]

    def ask(faculty: dict[str, Any], **changed: Any) -> dict[str, Any]:
        request = {**WHOLE_TERM, "semestre": term, "transaction_id": new_id(), **changed}
        return journal.saw(faculty["id"], clients.request(faculty["endpoint"], request, JSON))

    def release(result: dict[str, Any], *options: object) -> Any:
        return aulario("release", result["transaction_id"], "--faculty", one["id"], "--reason", REASON, "-o", "json",
                       "--dir", running.directory, *options)  # fmt: skip

    first = ask(one)
    assert (first["status"], ask(other, salones=1, laboratorios=0)["status"]) == ("ACCEPTED", "DENIED")
    refused = release(first, "--as", f"faculty:{other['id']}")
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (1, "FORBIDDEN")
    assert ask(other, salones=1, laboratorios=0)["status"] == "DENIED"

    released = told(release(first))
    assert (released["status"], released["code"]) == ("CANCELED", "RELEASED")
    second = ask(other)
    assert (second["status"], every_room(second)) == ("ACCEPTED", every_room(first))
    [standing] = allocations(running, "--term", term)
    assert (standing["transaction_id"], standing["seq"], standing["hash"]) == (
        second["transaction_id"], second["recibo"]["seq"], second["recibo"]["hash"],
    )  # fmt: skip

    primary, passive = running.active(), running.passive()
    running.wait_in_sync()
    running.kill(primary["pid"])
    assert lasting(told(release(first))) == lasting(released)
    assert lasting(told(release(first, "--as", f"faculty:{one['id']}"))) == lasting(released)
    close = ("term", "close", term, "--dir", running.directory, "-o", "json")
    closed = told(aulario(*close))
    assert (closed["salones"], closed["laboratorios"], closed["reservas"]) == (380, 60, 0)
    assert closed["recibo"]["epoch"] > primary["epoch"]

    running.wait_ready()
    successor = running.active()
    assert successor["name"] == passive["name"]
    running.kill(successor["pid"])
    assert lasting(told(aulario(*close))) == lasting(closed), "the other server says the same"
    running.wait_ready()

    data = Path(running.active()["data"])
    mine = events_of(data, first["transaction_id"])
    assert [event["type"] for event in mine] == ["Reserved", "Confirmed", "Released"]
    assert (mine[-1]["actor"], mine[-1]["body"]["reason"]) == ("operator:local", REASON)
    closings = [event for event in export(data) if event["type"] == "TermClosed" and event["body"]["term"] == term]
    assert [event["seq"] for event in closings] == [closed["recibo"]["seq"]]
    late = clients.request(one["endpoint"], {**WHOLE_TERM, "semestre": term}, JSON)
    assert (late["status"], late["code"]) == ("INVALID", "TERM_CLOSED")
    ended = allocations(running, "--term", term, "--all")
    assert [(row["state"], row["ended_by"], row["reason"]) for row in ended] == [
        ("released", "operator:local", REASON), ("closed", "operator:local", None),
    ]  # fmt: skip
    assert allocations(running, "--term", term) == []


def test_a10_what_a_closed_term_forgot_no_faculty_remembers(
    running: RunningCluster, clients: Clients, term: str
) -> None:
    faculties = {faculty["pattern"]: (faculty, new_id()) for faculty in running.status()["faculties"]}
    assert set(faculties) == {"async", "lbb"}

    def ask(pattern: str, term: str, classrooms: int = 2) -> tuple[str, str | None]:
        faculty, transaction_id = faculties[pattern]
        request = {"programa": "Química", "salones": classrooms, "laboratorios": 1, "semestre": term}
        result = clients.request(faculty["endpoint"], {**request, "transaction_id": transaction_id}, JSON)
        return result["status"], result.get("code")

    for pattern in faculties:
        assert ask(pattern, term) == ("ACCEPTED", None)
        assert ask(pattern, f"{term}-b") == ask(pattern, term, 3) == ("INVALID", "CONFLICT")
        assert ask(pattern, term) == ("ACCEPTED", None)
    told(aulario("term", "close", term, "--dir", running.directory, "-o", "json"))
    for pattern in faculties:
        assert ask(pattern, term, 3) == ("INVALID", "TERM_CLOSED")
        assert ask(pattern, f"{term}-b") == ("ACCEPTED", None)
        assert ask(pattern, term) == ("INVALID", "CONFLICT"), "the id is the new term's now"


def test_a17_allocations_say_what_the_receipt_says(running: RunningCluster, term: str) -> None:
    ask = ("request", "--dir", running.directory, "--term", term, "-o", "json", "--faculty")
    receipts = [told(aulario(*ask, *whom, 7, 61)) for whom in ((1, "Sistemas"), (2, "Biología"))]
    rows = allocations(running, "--term", term)
    for row, result in zip(rows, receipts, strict=True):
        assert (row["faculty_id"], row["transaction_id"], row["term"], row["state"]) == (
            result["faculty_id"], result["transaction_id"], term, "confirmed",
        )  # fmt: skip
        assert (row["classrooms"], row["labs"], row["mobile"]) == (
            result["aulas"], result["laboratorios"], result["moviles"],
        )  # fmt: skip
        assert {key: row[key] for key in ("epoch", "seq", "hash")} | {"copias": 2} == result["recibo"]
    assert [row["program"] for row in rows] == ["Sistemas", "Biología"]
    assert allocations(running, "--term", term, "--faculty", "2") == rows[1:]
    assert allocations(running, "--term", term, "--room", rows[0]["mobile"][0]) == rows[:1]
