"""`aulario up`, `status`, `request` and `demo` as other programs rely on them: a whole cluster of real processes."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ops.cluster_dir import read_processes
from ops.demo import free_base_port
from tests.unit.ops.command import REPOSITORY, aulario, json_lines

READY_WITHIN_S = 60
STOPPED_WITHIN_S = 30


@contextmanager
def up(directory: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A cluster that is up, with its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "up", "--dir", str(directory), "-o", "json", "--profile", "slow", *options],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], READY_WITHIN_S)[0], "no ready line in time"
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield process, json.loads(line)
        finally:
            process.terminate()
            process.wait(STOPPED_WITHIN_S)


def status(directory: Path) -> dict[str, Any]:
    (found,) = json_lines(aulario("status", "--dir", directory, "-o", "json").stdout)
    assert isinstance(found, dict)
    return found


def pids(cluster: dict[str, Any]) -> list[int | None]:
    return [process["pid"] for process in (*cluster["servers"], cluster["witness"], *cluster["faculties"])]


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_up_serves_status_tells_the_living_from_the_dead_and_stopping_leaves_nothing(tmp_path: Path) -> None:
    base = free_base_port()
    with up(tmp_path, "--base-port", str(base), "--faculties", "2") as (process, ready):
        assert [server["requests"] for server in ready["servers"]] == [f"tcp://127.0.0.1:{base + i}" for i in (0, 1)]
        assert [faculty["pattern"] for faculty in ready["faculties"]] == ["async", "lbb"]
        assert [server["role"] for server in ready["servers"]] == ["primary", "backup"]
        assert pids(status(tmp_path)) == pids(ready)

        granted = aulario("request", "--dir", tmp_path, "--faculty", 1, "Biología", 7, 2, "-o", "json")
        assert granted.returncode == 0
        assert json.loads(granted.stdout)["recibo"]["copias"] == 2
        denied = aulario("request", "--dir", tmp_path, "--faculty", 2, "Biología", 500, 0)
        assert (denied.returncode, denied.stdout.split()[0]) == (1, "DENIED")

        for option in ([], ["-o", "json"]):
            lost = granted_in_vain(tmp_path, *option)
            again = aulario("request", *lost, "-o", "json")
            assert (again.returncode, json.loads(again.stdout)["transaction_id"] in lost) == (0, True)

        copy = tmp_path / "copy"
        shutil.copytree(tmp_path, copy, ignore=shutil.ignore_patterns("workers", "copy"))
        refused = aulario("up", "--dir", copy)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (3, "", 1), refused.stderr
        assert "in use" in refused.stderr, "what answers on its ports is not what it started"

        second = aulario("up", "--dir", tmp_path)
        assert (second.returncode, second.stderr) == (1, f"Error: a cluster is already running in {tmp_path}\n")

        faculty = ready["faculties"][1]["pid"]
        dead = os.pidfd_open(faculty)
        os.kill(faculty, signal.SIGKILL)
        assert select.select([dead], [], [], STOPPED_WITHIN_S)[0]
        os.close(dead)
        assert pids(status(tmp_path)) == [*pids(ready)[:-1], None]

        process.send_signal(signal.SIGINT)
        assert process.wait(STOPPED_WITHIN_S) == 0
        assert [pid for pid in pids(ready) if pid is not None and exists(pid)] == []
    assert aulario("status", "--dir", tmp_path).returncode == 3


def granted_in_vain(directory: Path, *option: str) -> list[str]:
    """Ask for rooms with a full disk for a stdout: what the command says to ask again with."""
    command = ["request", "--dir", str(directory), "--faculty", "1", "Historia del Arte", "1", "0", *option]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "ops.cli", *command], cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    said = "Error: the output was lost: stdout: No space left on device; the outcome is ACCEPTED"
    assert (ended.returncode, ended.stderr.startswith(said)) == (3, True), ended.stderr
    assert ended.stderr.count("\n") == 1
    return shlex.split(ended.stderr.partition(": aulario request ")[2])


def test_a_cluster_continues_from_its_directory(tmp_path: Path) -> None:
    options = ("--base-port", str(free_base_port()), "--faculties", "1")
    asked = ("request", "--dir", tmp_path, "--faculty", 1, "Física", 9, 3, "--transaction-id", "again", "-o", "json")
    with up(tmp_path, *options):
        first = json.loads(aulario(*asked).stdout)
    with up(tmp_path):
        second = json.loads(aulario(*asked).stdout)
    assert first["status"] == "ACCEPTED"
    assert (second["aulas"], second["recibo"]["seq"]) == (first["aulas"], first["recibo"]["seq"])


def test_a_child_dies_with_up_even_when_up_is_killed(tmp_path: Path) -> None:
    with up(tmp_path, "--base-port", str(free_base_port()), "--faculties", "1") as (process, ready):
        ended = [os.pidfd_open(pid) for pid in pids(ready) if pid is not None]
        process.kill()
        for pidfd in ended:
            assert select.select([pidfd], [], [], STOPPED_WITHIN_S)[0]
            os.close(pidfd)


def test_a_restart_that_cannot_be_written_down_ends_nothing_and_is_written_down_later(tmp_path: Path) -> None:
    with up(tmp_path, "--base-port", str(free_base_port()), "--faculties", "1", "--restart") as (process, ready):
        assert process.stderr is not None
        in_the_way = tmp_path / "run" / f"processes.{process.pid}.part"
        in_the_way.mkdir()
        faculty = ready["faculties"][0]["pid"]
        os.kill(faculty, signal.SIGKILL)
        said = lines_up_to(process.stderr, "; trying again")
        assert said[0] == "faculty-1 was ended by SIGKILL; restarting it in 1 s"
        assert said[1].startswith("the list of processes cannot be written: ")
        assert read_processes(tmp_path)["faculty-1"] == faculty

        in_the_way.rmdir()
        deadline_s = time.monotonic() + STOPPED_WITHIN_S
        while read_processes(tmp_path)["faculty-1"] == faculty:
            assert time.monotonic() < deadline_s
        assert pids(status(tmp_path))[:3] == pids(ready)[:3], "nothing else was stopped"
        process.send_signal(signal.SIGINT)
        assert process.wait(STOPPED_WITHIN_S) == 0
        assert process.stderr.read() == "", "a trouble that lasts is said once"


def test_up_ends_when_every_process_has(tmp_path: Path) -> None:
    with up(tmp_path, "--base-port", str(free_base_port()), "--faculties", "0") as (process, ready):
        for pid in (*pids(ready)[:-1], ready["witness"]["pid"]):
            if pid is not None and exists(pid):
                os.kill(pid, signal.SIGKILL)
        assert process.wait(STOPPED_WITHIN_S) == 3
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == "Error: every process of the cluster has ended"


def test_a_ready_line_that_is_lost_stops_no_cluster(tmp_path: Path) -> None:
    command = ["up", "--dir", str(tmp_path), "--base-port", str(free_base_port()), "--faculties", "0"]
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", *command], cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE, text=True
        )
    with process:
        try:
            assert process.stderr is not None
            said = lines_up_to(process.stderr, "; the cluster runs")
            assert said == ["the ready line was lost: stdout: No space left on device; the cluster runs"]
            assert aulario("status", "--dir", tmp_path).returncode == 0
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(STOPPED_WITHIN_S) == 0


def lines_up_to(stream: IO[str], ending: str) -> list[str]:
    """What is written up to a line that ends so, in time."""
    written = ""
    while not written.endswith(f"{ending}\n"):
        assert select.select([stream], [], [], STOPPED_WITHIN_S)[0], written
        piece = os.read(stream.fileno(), 65_536).decode()
        assert piece, written
        written += piece
    return written.splitlines()


def test_demo_keeps_every_promise_through_a_killed_primary(tmp_path: Path) -> None:
    finished = aulario("demo", "--seed", 7, "--dir", tmp_path, "-o", "json")
    assert finished.returncode == 0, finished.stderr
    (summary,) = json_lines(finished.stdout)
    assert summary["programs"] == 50
    assert sum(summary[name] for name in ("accepted", "denied", "canceled", "unknown")) == 50
    assert (summary["conservation"], summary["logs_equal"]) == (True, True)
    assert (summary["lost"], summary["duplicates"], summary["unknown"]) == (0, 0, 0)
    assert summary["failover_ms"] > 0
    assert summary["seconds"] > 0
    assert summary["seed"] == 7
    assert aulario("audit", "check", "--dir", tmp_path).returncode == 0

    again = aulario("demo", "--dir", tmp_path)
    refusal = f"{tmp_path} is a cluster's own directory: the demo makes one in a new directory"
    assert (again.returncode, again.stderr.splitlines()[-1]) == (1, f"Error: {refusal}")
