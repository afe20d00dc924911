"""CP6: the history of requests and allocations is complete in the log after a restart, and traceable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.process.fixtures import SLOW
from tests.process.running_cluster import aulario, cluster
from tests.process.verdict import Journal, check, export, wait_at_rest
from tests.process.wire_client import ack, new_id, sol, wire_clients
from tests.process.wire_keys import WireKeys


@pytest.mark.parametrize("pattern", ["async", "lbb"])
def test_cp06_history_is_complete_after_a_restart_and_every_transaction_can_be_traced(
    tmp_path: Path, term: str, pattern: str
) -> None:
    journal, directory = Journal(), tmp_path / "c"
    granted, denied = ({"transaction_id": new_id(), "programa": "Historia", "semestre": term,
                        "salones": salones, "laboratorios": 2} for salones in (7, 900))  # fmt: skip
    straight = sol(term, 8, 2)
    with cluster(directory, *SLOW) as first, wire_clients(WireKeys(first)) as clients:
        faculty = first.faculty(pattern)
        results = [journal.saw(faculty["id"], clients.request(faculty["endpoint"], one)) for one in (granted, denied)]
        assert [res["status"] for res in results] == ["ACCEPTED", "DENIED"]
        client = clients.peer(pattern, first.active()["requests"])
        client.ask(straight)
        canceled = journal.saw(straight["faculty_id"], client.ask(ack(straight, "REJECT")))
        assert (canceled["status"], canceled["code"]) == ("CANCELED", "REJECTED")
        wait_at_rest(first)
        before = [export(Path(server["data"])) for server in first.ready["servers"]]
        assert first.stop() == 0
    assert before[0] == before[1]
    assert export(Path(first.ready["servers"][0]["data"])) == before[0], "a stopped node's log is read as well"

    with cluster(directory, *SLOW) as second, wire_clients(WireKeys(second)) as clients:
        assert second.ready["cluster_id"] == first.ready["cluster_id"]
        faculty = second.faculty(pattern)
        for request, res in zip((granted, denied), results, strict=True):
            assert journal.saw(faculty["id"], clients.request(faculty["endpoint"], request))["status"] == res["status"]
        check(second, journal)
        after = export(Path(second.ready["servers"][0]["data"]))
    assert after[: len(before[0])] == before[0], "nothing of the history has changed"
    assert [event["seq"] for event in after] == list(range(1, len(after) + 1)), "no gap"

    traces = {
        one["transaction_id"]: [e for e in after if e["body"].get("transaction_id") == one["transaction_id"]]
        for one in (granted, denied, straight)
    }
    assert [[event["type"] for event in trace] for trace in traces.values()] == [
        ["Reserved", "Confirmed"], ["Denied"], ["Reserved", "Rejected"],
    ]  # fmt: skip
    reserved, confirmed = traces[granted["transaction_id"]]
    assert (reserved["body"]["classrooms"], confirmed["hash"]) == (results[0]["aulas"], results[0]["recibo"]["hash"])
    assert reserved["actor"] == f"faculty:{faculty['id']}"
    assert all(trace[0]["ts"] > 0 and trace[0]["epoch"] > 0 for trace in traces.values())
    registered = Counter(event["type"] for event in after)
    assert (registered["FacultyRegistered"], registered["ProgramRegistered"]) == (2, 2)
    assert registered["TermOpened"] == 1
    shown = aulario("log", "show", second.ready["servers"][1]["data"], confirmed["seq"])
    assert shown.returncode == 0 and confirmed["hash"] in shown.stdout
