"""When a cluster is ready, and what a process that is silent or a stranger looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodes.config.cluster import ClusterConfig, one_host
from ops.cluster_dir import config_in_force
from ops.demo import free_base_port
from ops.observe import assemble, fetch_status, label, not_ours, process_names, unreadiness
from tests.process.running_cluster import aulario, spawn, wait_for

Answers = dict[str, dict[str, Any] | None]


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    return one_host(tmp_path, cluster_id="c", faculties=2, base_port=20_000)


@pytest.fixture
def answers() -> Answers:
    server = {"kind": "server", "cluster_id": "c", "epoch": 2, "seq": 9, "commit": 9, "in_sync": ["a", "b"]}
    faculty = {"kind": "faculty", "cluster_id": "c", "follows": "a", "epoch": 2}
    return {
        "server-a": {**server, "name": "a", "pid": 11, "role": "primary", "active": True},
        "server-b": {**server, "name": "b", "pid": 12, "role": "backup", "active": False},
        "witness": {"kind": "witness", "cluster_id": "c", "pid": 13, "epoch": 2, "primary": "a", "in_sync": ["a", "b"]},
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
        ("witness", {"kind": "server"}, "witness's port is another's: server of cluster 'c'"),
        ("server-b", {"name": "z"}, "server-b's port is another's: server 'z' of cluster 'c'"),
        ("server-b", {"cluster_id": "other"}, "server-b's port is another's: server 'b' of cluster 'other'"),
        ("faculty-1", {"id": 2}, "faculty-1's port is another's: faculty 2 of cluster 'c'"),
        ("faculty-1", {"cluster_id": "other"}, "faculty-1's port is another's: faculty 1 of cluster 'other'"),
        ("faculty-1", {"cluster_id": None}, "faculty-1's port is another's: faculty 1"),
        ("witness", {"kind": None, "cluster_id": ["c"]}, "witness's port is another's: no process of Aulario"),
    ],
)
def test_what_is_missing_is_named(
    config: ClusterConfig, answers: Answers, process: str, changed: dict[str, Any], why: str
) -> None:
    answers[process] = {**(answers[process] or {}), **changed}
    assert unreadiness(assemble(config, answers)) == why


def test_an_answer_of_another_process_than_the_one_that_was_started_is_told(
    config: ClusterConfig, answers: Answers
) -> None:
    observed = assemble(config, answers)
    pids = {name: answer["pid"] for name, answer in answers.items() if answer is not None}
    assert not_ours(observed, pids) is None
    http = observed["faculties"][0]["http"]
    said = not_ours(observed, pids | {"faculty-1": 4_000_000})
    assert said == f"faculty-1's port is another's: process {pids['faculty-1']} answers at {http}"


def test_a_stranger_is_no_process_of_the_cluster(config: ClusterConfig, answers: Answers) -> None:
    assert answers["faculty-1"] is not None
    del answers["faculty-1"]["cluster_id"]
    observed = assemble(config, answers)
    one, two = observed["faculties"]
    assert (one["alive"], one["pid"], one["follows"], one["foreign"]) == (False, None, None, "faculty 1")
    assert (two["alive"], two["foreign"]) == (True, None)


def test_status_shows_another_clusters_process_on_the_same_port_as_foreign(tmp_path: Path) -> None:
    base_port, said = free_base_port(), tmp_path / "said"
    for name in ("one", "two"):
        assert aulario("init", "--dir", tmp_path / name, "--base-port", base_port, "--faculties", 1).returncode == 0
    other = config_in_force(tmp_path / "one")
    process = spawn("faculty", 1, "--dir", tmp_path / "one", stderr=said)
    try:
        wait_for(lambda: fetch_status(other.faculty(1).http), "the faculty answers")
        own = aulario("status", "--dir", tmp_path / "one", "-o", "csv")
        assert (own.returncode, own.stdout.splitlines()[-1].split(",")[:2]) == (0, ["faculty-1", "up"])
        shown = aulario("status", "--dir", tmp_path / "two", "-o", "csv")
        assert (shown.returncode, shown.stdout.splitlines()[-1].split(",")[:3]) == (3, ["faculty-1", "foreign", ""])
        who = f"faculty 1 of cluster '{other.cluster_id}'"
        assert f"faculty-1's port is another's: {who} answers at {other.faculty(1).http}\n" in shown.stderr
    finally:
        process.terminate()
        process.communicate()


def test_a_silent_process_is_not_alive_and_has_no_pid(config: ClusterConfig, answers: Answers) -> None:
    observed = assemble(config, {**answers, "server-a": None})
    assert (observed["servers"][0]["alive"], observed["servers"][0]["pid"]) == (False, None)
    assert unreadiness(observed) == "no answer from server-a"
