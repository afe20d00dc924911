"""What must hold when all is over: the logs are whole, equal, break no rule and bear out what clients saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.audit import broken_rules
from ops.log_reader import committed, opened
from projections.rooms.checker import Observation
from projections.rooms.export import Exporter
from projections.rooms.identity import transaction_id_of
from tests.process.running_cluster import RunningCluster, aulario, wait_for
from tests.process.wire_client import Message

LATER_STATUSES = ("UNAVAILABLE", "UNKNOWN", "INVALID")


class Journal:
    """Every definite result that clients saw. The same id must always bring the same one (A10)."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, str], Message] = {}

    def saw(self, faculty_id: int, result: Message) -> Message:
        """Note a RES and give it back."""
        if result["status"] not in LATER_STATUSES:
            first = self._first.setdefault((faculty_id, result["transaction_id"]), result)
            assert _lasting(first) == _lasting(result), "one transaction, two results"
        return result

    def accepted(self) -> list[Observation]:
        """Every ACCEPTED, for the checker."""
        return [
            Observation(
                transaction_id, faculty_id, res["recibo"]["seq"], res["recibo"]["hash"],
                res["aulas"], res["laboratorios"], res["moviles"], res["recibo"]["epoch"],
            )
            for (faculty_id, transaction_id), res in self._first.items()
            if res["status"] == "ACCEPTED"
        ]  # fmt: skip


def _lasting(result: Message) -> Message:
    """All of a result but how many copies of it there are today."""
    receipt = {key: value for key, value in result.get("recibo", {}).items() if key != "copias"}
    return {**result, "recibo": receipt}


def data_dirs(cluster: RunningCluster) -> list[Path]:
    """The servers' data directories."""
    return [Path(server["data"]) for server in cluster.ready["servers"]]


def wait_at_rest(cluster: RunningCluster) -> int:
    """Every server has the same log, all of it committed and stored as such; up to that seq. What is held may expire
    afterwards."""

    def at_rest() -> int | None:
        ends = set()
        for data in data_dirs(cluster):
            with opened(data) as log:
                ends.add((log.head(), log.commit_seq()))
        is_settled = len(ends) == 1 and all(head.seq == commit_seq for head, commit_seq in ends)
        return ends.pop()[1] if is_settled else None

    return wait_for(at_rest, "equal logs at rest")


def export(data: Path) -> list[dict[str, Any]]:
    """Every committed event, as `aulario log export` prints it."""
    done = aulario("log", "export", data, "-o", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def events_of(data: Path, transaction_id: str) -> list[dict[str, Any]]:
    """A transaction's own committed events, in order, once nothing is under way on that server."""

    def settled() -> bool:
        with opened(data) as log:
            return log.head().seq == log.commit_seq()

    wait_for(settled, f"a commit point at the head of {data}")
    exporter = Exporter()
    events = [event for batch in _batches(data) for event in exporter.feed(batch)]
    return [event for event in events if event["body"].get("transaction_id") == transaction_id]


def is_written(data: Path, transaction_id: str, after_seq: int) -> bool:
    """Whether a server has an event of that transaction, committed or not."""
    with opened(data) as log:
        entries = [entry for batch in log.batches(after_seq + 1) for entry in batch.entries]
    return any(transaction_id_of(entry.request_id) == transaction_id for entry in entries)


def check(cluster: RunningCluster, journal: Journal) -> None:
    """Both logs verified, equal, free of violations, with every ACCEPTED at its seq and hash."""
    cluster.wait_in_sync()
    end = wait_at_rest(cluster)
    for data in data_dirs(cluster):
        verified = aulario("log", "verify", data)
        assert verified.returncode == 0, verified.stderr
    first, *others = [
        [batch.data for batch in _batches(data) if batch.last_seq <= end] for data in data_dirs(cluster)
    ]
    assert all(other == first for other in others), "the servers' logs differ"
    with opened(data_dirs(cluster)[0]) as log:
        assert broken_rules(log, journal.accepted()) == []


def _batches(data: Path) -> list[Any]:
    with opened(data) as log:
        return list(committed(log))
