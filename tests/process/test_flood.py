"""Who floods a server neither stops nor starves the others, and what they send does not pile up in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodes.clients.flood import FLOODING, GARBAGE, REQUESTS
from nodes.security import principals, roles
from nodes.security.cluster_keys import ensure_keys
from ops.cluster_dir import run_directory
from tests.process.running_cluster import REPOSITORY, WITHIN_S, RunningCluster, environ, metrics, wait_for
from tests.process.verdict import Journal
from tests.process.wire_client import Clients, ack, sol

FLOODERS = 3
FIRST = 601
"""Faculty of the first flooder."""

TRANSACTIONS = 25
GROWTH_MIB_MAX = 256
"""What a server may grow by while it is flooded; what is sent meanwhile is more than that by far."""


@contextmanager
def flooding(running: RunningCluster, server: str, kind: str) -> Iterator[list[dict[str, Any]]]:
    """Flooders at work in the block; afterwards what each sent and got is in the list."""
    said: list[dict[str, Any]] = []
    ensure_keys(running.config, (principals.faculty(FIRST + number) for number in range(FLOODERS)))
    command = (*("nice", "-n", "19"), sys.executable, "-m", "nodes.clients.flood")
    flooders = [
        subprocess.Popen(
            command, cwd=REPOSITORY, env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(FLOODERS)
    ]
    try:
        for number, flooder in enumerate(flooders):
            assert flooder.stdin is not None
            target = {"config_file": str(run_directory(running.directory) / "cluster.toml"),
                      "root": str(running.directory), "door": roles.REQUESTS, "name": server,
                      "own": str(principals.faculty(FIRST + number))}  # fmt: skip
            settings = {"target": target, "kind": kind, "pattern": "async", "run": kind}
            flooder.stdin.write(json.dumps(settings) + "\n")
            flooder.stdin.flush()
        for flooder in flooders:
            assert flooder.stdout is not None
            assert flooder.stdout.readline().strip() == FLOODING
        yield said
        assert [flooder.poll() for flooder in flooders] == [None] * FLOODERS, "they flooded all the while"
        said += [json.loads(flooder.communicate(timeout=WITHIN_S)[0]) for flooder in flooders]
    finally:
        for flooder in flooders:
            flooder.kill()
            flooder.communicate()


def resident_mib(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) >> 10


def dropped(http: str, kind: str) -> float:
    """Frames that were dropped for what they are, or for want of room."""
    whys = ("backlog full",) if kind == REQUESTS else ("not_encoded", "not_a_map")
    return sum(metrics(http).get(f'rsm_ignored_total{{why="{why}"}}', 0.0) for why in whys)


@pytest.mark.parametrize("kind", [REQUESTS, GARBAGE])
def test_a_polite_client_is_served_while_others_flood(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, kind: str
) -> None:
    server = running.active()
    before_mib, before = resident_mib(server["pid"]), dropped(server["http"], kind)
    polite = clients.dealer(server["requests"])
    with flooding(running, server["name"], kind) as said:
        wait_for(lambda: dropped(server["http"], kind) > before, f"a flood of {kind}")
        for _ in range(TRANSACTIONS):
            request = sol(term, 1, 0)
            assert polite.ask(request)["tipo"] == "PROP"
            assert journal.saw(request["faculty_id"], polite.ask(ack(request)))["status"] == "ACCEPTED"
    assert running.active()["pid"] == server["pid"]
    assert resident_mib(server["pid"]) - before_mib < GROWTH_MIB_MAX
    assert all(flooder["frames"] for flooder in said)
    if kind == REQUESTS:
        assert all(flooder["answers"].get("PROP", 0) for flooder in said), "each has its share"
