"""A node whose whole directory was put back to an old state: found by what others know of it, and stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nodes.checkpoints.files import HEADS_BYTES_MAX, head_path, read
from ops.cluster_dir import config_in_force
from ops.log_reader import opened
from tests.process.running_cluster import RunningCluster, aulario, spawn, wait_for

INTEGRITY = 4
SOCKETS = shutil.ignore_patterns("workers", "run")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a cluster that was stopped, with `server-a` and `witness` as they were after half of its
    history beside them."""
    directory = tmp_path_factory.mktemp("r") / "c"
    running = RunningCluster(directory, "--faculties", 1, "--profile", "slow")
    for _ in range(2):
        if (directory / "server-a").exists():
            for node in ("server-a", "witness"):
                shutil.copytree(directory / node, directory / f"old-{node}", ignore=SOCKETS)
            assert verification(directory / "server-a")[0] == 0
        running.start()
        try:
            for number in range(3):
                result = aulario("request", "--dir", directory, "--faculty", 1, f"P{number}", 3, 1, "-o", "json")
                seq = json.loads(result.stdout)["recibo"]["seq"]
            for keeper in ("server-a", "server-b", "witness"):
                covers = partial(_keeps, directory / keeper, seq)
                wait_for(covers, f"a checkpoint of a at {keeper}")
        finally:
            running.stop()
    return directory


@pytest.fixture
def rolled_back(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it in which the old directory of server a, checkpoints and all, stands in the place of the new one."""
    return _with_old(stopped, "server-a", tmp_path / "c")


def _with_old(stopped: Path, node: str, directory: Path) -> Path:
    shutil.copytree(stopped, directory, ignore=SOCKETS)
    shutil.rmtree(directory / node)
    (directory / f"old-{node}").rename(directory / node)
    return directory


@pytest.fixture
def running(rolled_back: Path) -> Iterator[RunningCluster]:
    cluster = RunningCluster(rolled_back, "--profile", "slow")
    yield cluster
    while cluster._own:
        cluster.stop_process()


def _keeps(data: Path, seq: int) -> bool:
    """Whether a checkpoint of server a that reaches so far is kept there."""
    records = read(head_path(data, "a"), HEADS_BYTES_MAX)
    return records is not None and any(one.checkpoint.seq >= seq for one in records.signed)


def verification(data: Path) -> tuple[int, dict[str, Any]]:
    verified = aulario("log", "verify", data, "-o", "json")
    return verified.returncode, json.loads(verified.stdout)


def test_log_verify_says_what_and_where(rolled_back: Path) -> None:
    code, told = verification(rolled_back / "server-a")
    assert code == INTEGRITY
    (finding,) = told["findings"]
    assert f"the log ends at seq {told['head_seq']}, but server a had signed seq " in finding
    assert "rolled back (a checkpoint kept by " in finding
    shown = aulario("log", "verify", rolled_back / "server-a")
    assert f"finding: {finding}" in shown.stdout and shown.stderr.endswith("is not what was signed\n")
    assert verification(rolled_back / "server-b")[0] == 0, "the other one is what it was"


def test_a_saved_checkpoint_convicts_whoever_controls_every_keeper(stopped: Path, rolled_back: Path) -> None:
    saved = rolled_back / "saved.json"
    saved.write_text(aulario("log", "checkpoint", stopped / "server-a").stdout)
    for keeper in ("server-b", "witness"):
        shutil.rmtree(rolled_back / keeper / "heads")
    assert aulario("log", "verify", rolled_back / "server-a").returncode == 0, "nobody is left to say so"
    convicted = aulario("log", "verify", rolled_back / "server-a", "--against", saved)
    assert convicted.returncode == INTEGRITY
    assert str(saved) in convicted.stdout


@pytest.mark.parametrize("keeper", ["witness", "server-b"])
def test_the_server_is_told_by_whoever_keeps_it_and_stops(
    rolled_back: Path, running: RunningCluster, tmp_path: Path, keeper: str
) -> None:
    other = "server-b" if keeper == "witness" else "witness"
    shutil.rmtree(rolled_back / other / "heads")
    if keeper == "witness":
        running.start_process("witness")
    else:
        running.start_process("server", "b")
    process = spawn("server", "a", "--dir", rolled_back, stderr=tmp_path / "a.stderr")
    code, said = _end_of(process, tmp_path / "a.stderr")
    last = said.splitlines()[-1]
    assert code == INTEGRITY, last
    assert "rolled back" in last and "kept by another node" in last and "aulario init" in last
    assert '"leading"' not in said, "it never led"


def _end_of(process: subprocess.Popen[str], said: Path) -> tuple[int, str]:
    """Exit status of a process that ends by itself, and its stderr."""
    assert process.stdout is not None
    try:
        code = wait_for(lambda: process.poll() is not None, f"its end: {said.read_text()}") and process.returncode
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return code, said.read_text()


def test_r17_an_old_register_is_served_no_longer_than_until_a_server_speaks(stopped: Path, tmp_path: Path) -> None:
    """Server b was in sync then, and would be let lead without what came after it."""
    directory = _with_old(stopped, "witness", tmp_path / "c")
    witness = spawn("witness", "--dir", directory, stderr=tmp_path / "w.stderr")
    server = spawn("server", "b", "--dir", directory, stderr=tmp_path / "b.stderr")
    try:
        code, said = _end_of(witness, tmp_path / "w.stderr")
    finally:
        server.terminate()
        assert _end_of(server, tmp_path / "b.stderr")[0] == 0
    last = said.splitlines()[-1]
    assert (code, "Traceback" in said) == (INTEGRITY, False), said
    assert "server b knows epoch " in last and str(directory / "witness") in last and "older copy" in last
    assert '"leading"' not in (tmp_path / "b.stderr").read_text(), "it never led"
    _goes_on_with_a_register_made_anew(directory)


def _goes_on_with_a_register_made_anew(directory: Path) -> None:
    """R10, with all that had been confirmed."""
    before = aulario("log", "export", directory / "server-a", "-o", "json").stdout.splitlines()
    running = RunningCluster(directory, "--profile", "slow")
    running.start_process("witness", "--rebuild")
    running.wait_alive(config_in_force(directory).witness.http)
    assert running.stop_process() == 0
    running.start()
    try:
        running.wait_in_sync()
    finally:
        running.stop()
    for name in ("server-a", "server-b"):
        after = aulario("log", "export", directory / name, "-o", "json").stdout.splitlines()
        assert before and after[: len(before)] == before
    assert aulario("audit", "check", "--dir", directory).returncode == 0


def test_a_log_put_back_beside_its_own_checkpoints_is_refused_at_the_start(stopped: Path, tmp_path: Path) -> None:
    directory = tmp_path / "c"
    shutil.copytree(stopped, directory, ignore=SOCKETS)
    for file in ("data.mdb", "last_write"):
        shutil.copy(directory / "old-server-a" / file, directory / "server-a" / file)
    refused = aulario("server", "a", "--dir", directory)
    assert refused.returncode == INTEGRITY
    assert "rolled back (a checkpoint of its own)" in refused.stderr.splitlines()[-1]


def test_a_directory_made_anew_is_filled_from_the_peer_and_signs_again(
    rolled_back: Path, running: RunningCluster
) -> None:
    shutil.rmtree(rolled_back / "server-a")
    assert aulario("init", "--dir", rolled_back).returncode == 0
    running.start()
    try:
        running.wait_in_sync()
    finally:
        running.stop()
    code, told = verification(rolled_back / "server-a")
    assert (code, told["findings"]) == (0, [])
    with opened(rolled_back / "server-a") as log:
        newest = json.loads(aulario("log", "checkpoint", rolled_back / "server-a").stdout)
        assert newest["incarnation"] == log.identity.incarnation
