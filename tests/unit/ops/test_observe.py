"""When a cluster is ready, and what a process that is silent or a stranger looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodes.config.cluster import ClusterConfig, one_host
from ops.observe import assemble, label, process_names, unreadiness

Answers = dict[str, dict[str, Any] | None]


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    return one_host(tmp_path, cluster_id="c", faculties=2, base_port=20_000)


@pytest.fixture
def answers() -> Answers:
    server = {"kind": "server", "cluster_id": "c", "epoch": 2, "seq": 9, "commit": 9, "in_sync": ["a", "b"]}
    faculty = {"kind": "faculty", "follows": "a", "epoch": 2}
    return {
        "server-a": {**server, "name": "a", "pid": 11, "role": "primary", "active": True},
        "server-b": {**server, "name": "b", "pid": 12, "role": "backup", "active": False},
        "witness": {"kind": "witness", "pid": 13, "epoch": 2, "primary": "a", "in_sync": ["a", "b"]},
        "faculty-1": {**faculty, "id": 1, "pid": 14},
        "faculty-2": {**faculty, "id": 2, "pid": 15},
    }


def test_the_object_is_the_contract_of_the_ready_line(config: ClusterConfig, answers: Answers, tmp_path: Path) -> None:
    ready = assemble(config, answers)
    assert [server["name"] for server in ready["servers"]] == ["a", "b"]
    promised = {"name", "pid", "requests", "heartbeats", "data", "http", "role", "epoch", "seq", "in_sync"}
    assert promised <= ready["servers"][0].keys()
    assert ready["servers"][0]["data"] == str(tmp_path / "server-a")
    assert {"pid", "data", "endpoint", "http"} <= ready["witness"].keys()
    assert [faculty["pattern"] for faculty in ready["faculties"]] == ["async", "lbb"]
    assert {"id", "pid", "pattern", "endpoint", "http"} <= ready["faculties"][0].keys()
    assert [label(process) for process in (*ready["servers"], ready["witness"], *ready["faculties"])] == [
        *process_names(config)
    ]


def test_ready_means_one_active_all_in_sync_and_followed(config: ClusterConfig, answers: Answers) -> None:
    assert unreadiness(assemble(config, answers)) is None


@pytest.mark.parametrize(
    ("process", "changed", "why"),
    [
        ("server-a", {"active": False}, "0 active servers"),
        ("server-b", {"active": True}, "2 active servers"),
        ("server-a", {"in_sync": ["a"]}, "not in sync: b"),
        ("faculty-2", {"follows": "b"}, "do not follow a yet: faculty-2"),
        ("faculty-1", {"follows": None}, "do not follow a yet: faculty-1"),
        ("witness", {"kind": "server"}, "no answer from witness"),
        ("server-b", {"name": "z"}, "no answer from server-b"),
        ("server-b", {"cluster_id": "other"}, "no answer from server-b"),
        ("faculty-1", {"id": 2}, "no answer from faculty-1"),
    ],
)
def test_what_is_missing_is_named(
    config: ClusterConfig, answers: Answers, process: str, changed: dict[str, Any], why: str
) -> None:
    answers[process] = {**(answers[process] or {}), **changed}
    assert unreadiness(assemble(config, answers)) == why


def test_a_silent_process_is_not_alive_and_has_no_pid(config: ClusterConfig, answers: Answers) -> None:
    observed = assemble(config, {**answers, "server-a": None})
    assert (observed["servers"][0]["alive"], observed["servers"][0]["pid"]) == (False, None)
    assert unreadiness(observed) == "no answer from server-a"
