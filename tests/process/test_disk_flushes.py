"""What strace sees: on each server a data flush per batch, between the request and its reply."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.process.running_cluster import RunningCluster, wait_for
from tests.process.verdict import Journal
from tests.process.wire_client import Clients, ack, sol

CLUSTER = ("--faculties", 0, "--profile", "slow")
TRANSACTIONS = 15
FLUSHES = "fdatasync|fsync|msync"
CALL = re.compile(rf"^\s*\d+\s+(?P<began>\d+\.\d+) ({FLUSHES})\(.*= 0 <(?P<took>\d+\.\d+)>$")
RESUMED = re.compile(rf"^\s*\d+\s+(?P<ended>\d+\.\d+) <\.\.\. ({FLUSHES}) resumed>\).*= 0 <(?P<took>\d+\.\d+)>$")


class Flush(NamedTuple):
    """One flush of a server, in seconds of the wall clock."""

    began_s: float
    ended_s: float


class Watched:
    """A server under strace."""

    def __init__(self, pid: int, trace: Path) -> None:
        self._trace = trace
        said = trace.with_suffix(".stderr")
        with said.open("wb") as stderr:
            calls = f"trace={FLUSHES.replace('|', ',')}"
            command = ["strace", "-f", "-ttt", "-T", "-e", calls, "-o", str(trace), "-p", str(pid)]
            self._strace = subprocess.Popen(command, stderr=stderr)
        wait_for(lambda: "attached" in said.read_text() or self._strace.poll() is not None, "strace is attached")
        if self._strace.poll() is not None:
            pytest.skip(f"strace may not look at a process here: {said.read_text().strip()}")

    def flushes(self) -> list[Flush]:
        """Every flush that succeeded, in order."""
        found = []
        for line in self._trace.read_text().splitlines():
            if call := CALL.match(line):
                began_s = float(call["began"])
                found.append(Flush(began_s, began_s + float(call["took"])))
            elif resumed := RESUMED.match(line):
                ended_s = float(resumed["ended"])
                found.append(Flush(ended_s - float(resumed["took"]), ended_s))
        return found

    def has_written_up_to(self, at_s: float) -> bool:
        """Whether a flush that ended at or after that time has been written down."""
        return any(flush.ended_s >= at_s for flush in self.flushes())

    def close(self) -> None:
        """Let the server go on unwatched."""
        self._strace.send_signal(signal.SIGINT)
        self._strace.wait()


@pytest.fixture
def watched(running: RunningCluster, tmp_path: Path) -> Iterator[list[Watched]]:
    """Both servers, under strace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    all_watched: list[Watched] = []
    try:
        for server in running.status()["servers"]:
            all_watched.append(Watched(server["pid"], tmp_path / server["name"]))
        yield all_watched
    finally:
        for one in all_watched:
            one.close()


@pytest.mark.parametrize("pattern", ["async", "lbb"])
def test_each_server_has_flushed_the_batch_before_its_reply_is_there(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str, watched: list[Watched]
) -> None:
    client = clients.peer(pattern, running.active()["requests"])
    steps = []
    for _ in range(TRANSACTIONS):
        request = sol(term, 1, 0)
        for message in (request, ack(request)):  # one at a time: each step is a batch of its own
            sent_s = time.time()
            answer = client.ask(message)
            steps.append((sent_s, time.time()))
        assert journal.saw(request["faculty_id"], answer)["status"] == "ACCEPTED"
    assert answer["recibo"]["copias"] == len(watched)
    for server in watched:
        wait_for(partial(server.has_written_up_to, steps[-1][0]), "strace has written it all")
        flushes = server.flushes()
        for sent_s, replied_s in steps:
            assert any(sent_s <= flush.began_s and flush.ended_s <= replied_s for flush in flushes), "not flushed"
