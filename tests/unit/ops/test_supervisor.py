"""Children of a supervisor: real processes, ended and brought back."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from nodes.config.cluster import http_address
from ops.cluster_dir import config_in_force, write_whole
from ops.demo import free_base_port
from ops.exits import Stopped
from ops.observe import fetch_status
from ops.supervisor import NOT_RESTARTED, Supervisor, pause_after
from tests.unit.ops.command import REPOSITORY, aulario

WITHIN_S = 30.0


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    assert aulario("init", "--dir", tmp_path, "--base-port", free_base_port(), "--faculties", 1).returncode == 0
    return tmp_path


class Witnessed:
    """A supervisor whose one child is a cluster's witness."""

    def __init__(self, directory: Path) -> None:
        self.pids: list[Mapping[str, int]] = []
        self.http = config_in_force(directory).witness.http
        self.log = directory / "logs" / "witness.log"
        self.supervisor = Supervisor(self.log.parent, self.pids.append)

    def answers(self) -> str | None:
        status = fetch_status(self.http)
        return None if status is not None and status["pid"] == self.supervisor.pids()["witness"] else "no answer yet"


@pytest.fixture
def witnessed(cluster: Path) -> Iterator[Witnessed]:
    made = Witnessed(cluster)
    made.supervisor.start({"witness": ["witness", "--dir", str(cluster)]})
    yield made
    made.supervisor.stop()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_is_started_seen_to_die_and_revived(witnessed: Witnessed) -> None:
    supervisor = witnessed.supervisor
    supervisor.await_ready(witnessed.answers, WITHIN_S)
    first = supervisor.pids()["witness"]
    os.kill(first, signal.SIGKILL)
    supervisor.revive("witness")
    supervisor.await_ready(witnessed.answers, WITHIN_S)
    assert [started["witness"] for started in witnessed.pids] == [first, supervisor.pids()["witness"]]
    assert supervisor.pids()["witness"] != first


def test_a_dead_child_stays_dead_without_restart_and_ends_the_wait_for_readiness(witnessed: Witnessed) -> None:
    supervisor = witnessed.supervisor
    supervisor.await_ready(witnessed.answers, WITHIN_S)
    os.kill(supervisor.pids()["witness"], signal.SIGKILL)
    with pytest.raises(Stopped, match="witness was ended by SIGKILL") as stopped:
        supervisor.await_ready(lambda: "never", WITHIN_S)
    assert stopped.value.exit_code == 3
    assert supervisor.turn() == []
    assert len(witnessed.pids) == 1


def test_with_restart_it_comes_back(witnessed: Witnessed) -> None:
    supervisor = witnessed.supervisor
    supervisor.await_ready(witnessed.answers, WITHIN_S)
    os.kill(supervisor.pids()["witness"], signal.SIGKILL)
    ended: list[str] = []
    while len(witnessed.pids) == 1:
        ended += supervisor.turn()
        assert supervisor.restart() == []
    assert ended == ["witness"]
    supervisor.await_ready(witnessed.answers, WITHIN_S)


@pytest.mark.parametrize(
    ("ended_with", "needs_a_person"),
    [(-signal.SIGKILL, False), (-signal.SIGSEGV, False), (0, False), (1, False), (2, True), (3, False), (4, True)],
)
def test_what_a_person_must_mend_is_not_for_restarting(ended_with: int, needs_a_person: bool) -> None:
    assert (ended_with in NOT_RESTARTED) == needs_a_person


def test_who_dies_again_and_again_waits_longer_and_longer_and_who_lived_well_is_forgiven() -> None:
    pause_s, pauses_s = 0.0, []
    for _ in range(8):
        pause_s = pause_after(pause_s, lived_s=0.4)
        pauses_s.append(pause_s)
    assert pauses_s == [1, 2, 4, 8, 16, 30, 30, 30]
    assert pause_after(30, lived_s=29) == 30
    assert pause_after(30, lived_s=31) == pause_after(2, lived_s=6) == pause_after(0, lived_s=6) == 1
    assert pause_after(2, lived_s=4) == 4


def test_a_damaged_process_is_left_down_and_the_others_are_brought_back(cluster: Path) -> None:
    (cluster / "server-a" / "data.mdb").write_bytes(b"no log")
    started: list[Mapping[str, int]] = []
    supervisor = Supervisor(cluster / "logs", started.append)
    supervisor.start({name: [*name.split("-"), "--dir", str(cluster)] for name in ("server-a", "witness")})
    try:
        assert until(supervisor.turn) == ["server-a"]
        assert supervisor.failure("server-a").exit_code == 4
        assert supervisor.restarts_in_s("server-a") is None
        witness = config_in_force(cluster).witness.http
        assert until(lambda: [witness] if fetch_status(witness) else []) == [witness]
        os.kill(supervisor.pids()["witness"], signal.SIGKILL)
        assert until(supervisor.turn) == ["witness"]
        assert supervisor.restarts_in_s("witness") == 1
        while len(started) == 1:
            assert supervisor.restart() == []
        assert started[1]["witness"] != started[0]["witness"]
        assert started[1]["server-a"] == started[0]["server-a"], "it was not started again, though it ended before"
        (cluster / "server-a" / "data.mdb").unlink()
        supervisor.revive("server-a")
        assert until(supervisor.turn) == ["server-a"], "who is asked for by name is started"
    finally:
        supervisor.stop()


def test_a_restart_that_the_system_refuses_is_said_and_tried_again(cluster: Path) -> None:
    """A full disk refuses both the child's log and the list of processes."""
    logs, listed = cluster / "logs", cluster / "processes"
    supervisor = Supervisor(logs, lambda pids: write_whole(listed, repr(dict(pids))))
    supervisor.start({"witness": ["witness", "--dir", str(cluster)]})
    partial = listed.with_suffix(f".{os.getpid()}.part")
    try:
        first = supervisor.pids()["witness"]
        os.kill(first, signal.SIGKILL)
        logs.rename(cluster / "elsewhere")
        partial.mkdir()
        ended = until(supervisor.turn)
        assert ended == ["witness"]
        (refused,) = until(supervisor.restart)
        assert refused.startswith("witness cannot be restarted: ") and "No such file" in refused
        assert str(supervisor.failure("witness")) == "witness was ended by SIGKILL"

        logs.mkdir()
        (refused,) = supervisor.restart()
        assert refused.startswith("the list of processes cannot be written: ")
        second = supervisor.pids()["witness"]
        assert second != first
        assert listed.read_text() == repr({"witness": first})

        partial.rmdir()
        assert supervisor.restart() == []
        assert listed.read_text() == repr({"witness": second})
        assert supervisor.pids()["witness"] == second, "a list that waits starts nothing twice"
    finally:
        supervisor.stop()


def until(attempt: Callable[[], list[str]]) -> list[str]:
    """The first result that is not empty."""
    deadline_s = time.monotonic() + WITHIN_S
    while not (found := attempt()):
        assert time.monotonic() < deadline_s
    return found


def test_stop_ends_even_a_frozen_child(witnessed: Witnessed) -> None:
    supervisor = witnessed.supervisor
    supervisor.await_ready(witnessed.answers, WITHIN_S)
    pid = supervisor.pids()["witness"]
    os.kill(pid, signal.SIGSTOP)
    supervisor.stop()
    assert not alive(pid)
    assert "witness stopped" in witnessed.log.read_text(), "it was asked to stop, not only killed"


def test_a_child_that_cannot_start_says_why_in_its_own_words_and_code(cluster: Path) -> None:
    endpoint = config_in_force(cluster).witness.endpoint.removeprefix("tcp://")
    with socket.create_server(http_address(f"http://{endpoint}")):
        supervisor = Supervisor(cluster / "logs", lambda pids: None)
        supervisor.start({"witness": ["witness", "--dir", str(cluster)]})
        try:
            with pytest.raises(Stopped, match=rf"^witness: .*{endpoint}") as stopped:
                supervisor.await_ready(lambda: "never", WITHIN_S)
        finally:
            supervisor.stop()
    assert stopped.value.exit_code == 3
    assert "\n" not in str(stopped.value)


def test_a_child_dies_with_its_parent(cluster: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from ops.supervisor import Supervisor\n"
        "from tests.unit.ops.test_supervisor import WITHIN_S, Witnessed\n"
        "made = Witnessed(Path(sys.argv[1]))\n"
        "made.supervisor.start({'witness': ['witness', '--dir', sys.argv[1]]})\n"
        "made.supervisor.await_ready(made.answers, WITHIN_S)\n"
        "print(made.supervisor.pids()['witness'], flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(cluster)],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watched = os.pidfd_open(child)
        parent.kill()
        assert wait_for_end(watched)


def wait_for_end(pidfd: int) -> bool:
    """Whether the process ends within the time allowed."""
    try:
        return bool(select.select([pidfd], [], [], WITHIN_S)[0])
    finally:
        os.close(pidfd)
