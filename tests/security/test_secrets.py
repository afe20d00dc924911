"""Secret keys stay in their files: nothing that a running cluster writes, says or shows holds one, and nobody else may
enter where they lie. HTTP is for this host alone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from stat import S_IMODE, S_ISSOCK

import pytest

from nodes.config.cluster import http_address
from ops.cluster_dir import read_processes
from ops.observe import process_names
from tests.process.running_cluster import RunningCluster, aulario, wait_for
from tests.process.wire_client import ack, sol, wire_clients
from tests.process.wire_keys import WireKeys
from tests.security.doors import Place, places
from tests.security.secret_texts import found_in, secret_texts
from tests.security.visitors import STRANGERS, Visitors

TARGETS = ("/metrics", "/status", "/livez", "/readyz", "/primary", "/backup", "/nothing")


@pytest.fixture
def secrets(running: RunningCluster) -> frozenset[bytes]:
    """What must not be found."""
    return secret_texts(running.directory / "keys")


@pytest.fixture(scope="module")
def disturbed(running: RunningCluster) -> RunningCluster:
    """The cluster once it had reason to speak of keys: strangers came, a key was rotated, rooms were granted."""
    with closing(Visitors(running)) as visitors, wire_clients(WireKeys(running)) as clients:
        for place in places(running).values():
            before = sum(place.refused().values())
            for kind in STRANGERS:
                visitors.stranger(kind, place)
            wait_for(partial(_has_refused, place, before + len(STRANGERS)), f"strangers refused at {place.door}")
        assert aulario("keys", "rotate", "operator:ana", "--dir", running.directory).returncode == 0
        client, request = clients.dealer(running.active()["requests"]), sol("2025-2", 1, 1)
        client.ask(request)
        assert client.ask(ack(request))["status"] == "ACCEPTED"
    return running


def _has_refused(place: Place, count: int) -> bool:
    return sum(place.refused().values()) >= count


def processes(running: RunningCluster) -> Iterator[int]:
    """Of everything that runs: `up` itself, what it started, and the workers of the servers."""
    started: set[int] = set(read_processes(running.directory).values())
    yield from started
    yield from {_parent(pid) for pid in started}
    for server in running.status()["servers"]:
        yield from _children(server["pid"])


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def get(http: str, target: str) -> bytes:
    connection = HTTPConnection(*http_address(http), timeout=5)
    try:
        connection.request("GET", target)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_no_secret_is_in_any_file_but_its_own(disturbed: RunningCluster, secrets: frozenset[bytes]) -> None:
    """Logs, data directories and everything else below the cluster's directory."""
    files = [path for path in disturbed.directory.rglob("*") if path.is_file()]
    holding = {path for path in files if found_in(path.read_bytes(), secrets)}
    assert holding == set((disturbed.directory / "keys" / "secret").glob("*.toml"))
    assert {"server-a.log", "witness.log", "faculty-1.log"} <= {path.name for path in files}
    assert not found_in(disturbed.said().encode(), secrets)


def test_no_secret_is_shown(disturbed: RunningCluster, secrets: frozenset[bytes]) -> None:
    """Over HTTP, and by the commands that speak of configuration and keys."""
    for http in process_names(disturbed.config).values():
        for target in TARGETS:
            assert not found_in(get(http, target), secrets)
    shown = [
        aulario(*command, "--dir", disturbed.directory, "-o", output)
        for command, output in (
            (("config", "show"), "toml"), (("config", "show"), "json"), (("keys", "list"), "json"),
            (("keys", "list"), "csv"), (("status",), "json"),
        )
    ]  # fmt: skip
    for done in shown:
        assert done.returncode == 0, done.stderr
        assert not found_in((done.stdout + done.stderr).encode(), secrets)


def test_no_secret_is_in_arguments_or_environment(disturbed: RunningCluster, secrets: frozenset[bytes]) -> None:
    """Other users may read the arguments of a process, its children inherit its environment."""
    pids = list(processes(disturbed))
    assert len(pids) == 1 + 5 + 2 * disturbed.config.workers, "up, what it started, and the servers' workers"
    for pid in pids:
        for file in ("cmdline", "environ"):
            assert not found_in(Path(f"/proc/{pid}/{file}").read_bytes(), secrets)


def test_nobody_else_may_enter_where_secrets_and_logs_of_events_lie(running: RunningCluster) -> None:
    config = running.config
    data = config.witness.data, *(one.data for one in config.servers), *(one.data for one in config.faculties)
    private = [config.keys / "secret", *data]
    assert {S_IMODE(path.stat().st_mode) for path in private} == {0o700}
    assert {S_IMODE(path.stat().st_mode) for path in (config.keys / "secret").iterdir()} == {0o600}


def test_the_workers_socket_is_its_users_alone(running: RunningCluster) -> None:
    """Whoever could write to it would take a worker's place, which has no key."""
    for server in running.config.servers:
        status = (server.data / "workers").stat()
        assert S_ISSOCK(status.st_mode)
        assert S_IMODE(status.st_mode) == 0o600


def test_http_is_served_to_this_host_alone(running: RunningCluster) -> None:
    """A socket that is bound to any address at all would answer on every other one of the loopback network."""
    for http in process_names(running.config).values():
        _, port = http_address(http)
        assert get(http, "/livez") == b"ok\n"
        with socket.socket() as elsewhere:
            assert elsewhere.connect_ex(("127.0.0.2", port)) != 0
