"""A server's disk is full: it says so and ends, the other goes on, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.process.running_cluster import RunningCluster, cluster, wait_for
from tests.process.verdict import Journal, check
from tests.process.wire_client import LATER, Clients, ack, new_id, sol, wire_clients
from tests.process.wire_keys import WireKeys

DISK_MIB = 8
FILL_BYTES = 65_536


@pytest.fixture(params=["primary", "backup"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """The directory of a cluster one of whose servers has a small disk of its own, and where that is mounted."""
    directory = tmp_path / "c"
    disk = directory / ("server-a" if request.param == "primary" else "server-b")
    disk.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "aulario", disk],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield directory, disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; give the file that takes them."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        _write_for_ever(file)
    return ballast


def _write_for_ever(file: IO[bytes]) -> None:
    while True:
        file.write(os.urandom(FILL_BYTES))


def test_a_full_disk_ends_its_server_with_a_sentence_and_nothing_acknowledged_is_lost(
    small: tuple[Path, Path], term: str
) -> None:
    directory, disk = small
    name = disk.name.removeprefix("server-")
    other = "b" if name == "a" else "a"
    journal = Journal()
    options = ("--faculties", 2, "--profile", "slow")
    with cluster(directory, *options) as running, wire_clients(WireKeys(running)) as clients:
        assert _grant(running, clients, journal, term) == 2
        ballast = fill(disk)
        pid = running.server(name)["pid"]
        faculty = running.ready["faculties"][0]
        while running.server(name)["alive"]:  # its log has grown ahead, and its pages are used again for a while
            request = {"programa": "Arte", "salones": 380, "laboratorios": 0, "semestre": new_id()}
            res = clients.request(faculty["endpoint"], request)
            assert (res["status"], res.get("code")) not in LATER
            journal.saw(faculty["id"], res)
        said = wait_for(lambda: next((one for one in running.said().splitlines() if name in one), ""), "its sentence")
        assert said.startswith(f"server-{name}: ") and str(disk) in said
        assert "No space left on device" in said or "full" in said

        wait_for(lambda: running.server(other)["active"], "the other server serves")
        assert _grant(running, clients, journal, term) == 1
        ballast.unlink()
        running.start_process("server", name)
        wait_for(lambda: running.server(name)["pid"] not in (None, pid), "it is back")
        check(running, journal)


def _grant(running: RunningCluster, clients: Clients, journal: Journal, term: str) -> int:
    """A transaction to its ACCEPTED; how many copies of it there are."""
    client, request = clients.dealer(running.active()["requests"]), sol(term, 7, 2)
    assert client.ask(request)["tipo"] == "PROP"
    res = journal.saw(request["faculty_id"], client.ask(ack(request)))
    assert res["status"] == "ACCEPTED"
    copies: int = res["recibo"]["copias"]
    return copies
