"""The HTTP endpoints of a process, over real connections."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from http.server import HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from nodes import exporter as exporter_module
from nodes.config.cluster import http_address
from nodes.exporter import CONNECTIONS_MAX, REQUEST_BYTES_MAX, Exporter
from nodes.sockets import BindFailed

ROOT = Path(__file__).parents[3]

SHORT_OF_MEMORY = """
import http.client, os, threading
from prometheus_client import CollectorRegistry
from nodes.config.cluster import http_address
from nodes.exporter import Exporter

def ask():
    connection = http.client.HTTPConnection(*http_address(exporter.url), timeout=2)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()

exporter = Exporter("127.0.0.1", 0, status=lambda: {}, registry=CollectorRegistry())
name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
begins = getattr(threading, name)
def without_memory(_, *args, **options):  # it is made, and ends before it can do anything
    return begins(lambda *_: None, *args, **options)
setattr(threading, name, without_memory)
ask()
setattr(threading, name, begins)
print("answered" if ask() else "silent", flush=True)
os._exit(0)
"""


class Node:
    def __init__(self) -> None:
        self.serves = True
        self.leads = False
        self.lag_events: int | None = 3

    def is_backup(self, lag_max: int | None) -> bool:
        return self.lag_events is not None and (lag_max is None or self.lag_events <= lag_max)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def exporter(node: Node) -> Iterator[Exporter]:
    registry = CollectorRegistry()
    Gauge("rsm_epoch", "Epoch.", ["node"], registry=registry).labels("a").set(7)
    served = Exporter(
        "127.0.0.1",
        0,
        status=lambda: {"kind": "server", "name": "Año"},
        registry=registry,
        ready=lambda: node.serves,
        primary=lambda: node.leads,
        backup=node.is_backup,
    )
    yield served
    served.close()


def ask(exporter: Exporter, target: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection(*http_address(exporter.url), timeout=5)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def ask_once_there_is_room(exporter: Exporter) -> int:
    """A thread is free soon after its client was told that it is over."""
    while True:
        with suppress(ConnectionError):
            return ask(exporter, "/livez")[0]


def test_metrics_come_from_the_registry_given_and_from_no_other(exporter: Exporter) -> None:
    status, text = ask(exporter, "/metrics")
    assert status == 200
    assert 'rsm_epoch{node="a"} 7.0' in text
    assert "python_info" not in text


def test_status_is_the_object(exporter: Exporter) -> None:
    status, text = ask(exporter, "/status")
    assert (status, json.loads(text)) == (200, {"kind": "server", "name": "Año"})


def test_probes_follow_the_node(exporter: Exporter, node: Node) -> None:
    assert ask(exporter, "/livez")[0] == 200
    assert [ask(exporter, "/readyz")[0], ask(exporter, "/primary")[0]] == [200, 503]
    node.serves, node.leads = False, True
    assert [ask(exporter, "/readyz")[0], ask(exporter, "/primary")[0]] == [503, 200]


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", 200), ("?lag=3", 200), ("?lag=2", 503), ("?lag=x", 400), ("?lag=-1", 400), ("?lag=" + "9" * 30, 400)],
)
def test_backup_answers_by_lag(exporter: Exporter, query: str, expected: int) -> None:
    assert ask(exporter, f"/backup{query}")[0] == expected


def test_only_what_there_is(exporter: Exporter) -> None:
    assert ask(exporter, "/nothing")[0] == 404
    assert ask(exporter, "/backup?" + "a=1&" * 9)[0] == 400


@pytest.mark.parametrize("target", ["/status", "/primary", "/nothing"])
def test_head_is_get_without_the_body(exporter: Exporter, target: str) -> None:
    told = {}
    for method in ("GET", "HEAD"):
        connection = HTTPConnection(*http_address(exporter.url), timeout=5)
        connection.request(method, target)
        response = connection.getresponse()
        told[method] = (response.status, response.headers["Content-Type"], response.headers["Content-Length"])
        assert (response.read() == b"") == (method == "HEAD")
        connection.close()
    assert told["HEAD"] == told["GET"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_any_other_method_is_refused_in_one_plain_sentence(exporter: Exporter, method: str) -> None:
    connection = HTTPConnection(*http_address(exporter.url), timeout=5)
    connection.request(method, "/status")
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert response.headers["Content-Type"].startswith("text/plain")
    assert said == "only GET and HEAD are answered here\n"


def test_a_port_in_use_is_one_sentence(exporter: Exporter) -> None:
    host, port = http_address(exporter.url)
    with pytest.raises(BindFailed, match=f"cannot serve HTTP on {host}:{port}: Address already in use"):
        Exporter(host, port, status=dict[str, Any], registry=CollectorRegistry())


@pytest.mark.parametrize(
    "request_bytes",
    [b"GET /" + b"a" * REQUEST_BYTES_MAX, b"GET /livez HTTP/1.0\r\n" + b"X: y\r\n" * (REQUEST_BYTES_MAX // 6)],
    ids=["request line", "headers"],
)
def test_a_request_that_is_too_long_is_refused(exporter: Exporter, request_bytes: bytes) -> None:
    with socket.create_connection(http_address(exporter.url), timeout=10) as connection:
        connection.sendall(request_bytes)
        assert connection.recv(100).startswith(b"HTTP/1.0 431 ")


def test_a_client_that_sends_a_byte_now_and_then_is_not_waited_for(exporter: Exporter) -> None:
    """However short its pauses are."""
    with socket.create_connection(http_address(exporter.url), timeout=0.05) as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n")
        is_open = True
        while is_open:
            try:
                connection.sendall(b"X")
                is_open = connection.recv(1) != b""
            except TimeoutError:
                continue
            except ConnectionError:
                is_open = False


def test_slow_clients_hold_up_nobody_for_long(exporter: Exporter) -> None:
    address = http_address(exporter.url)
    slow = [socket.create_connection(address, timeout=10) for _ in range(CONNECTIONS_MAX)]
    try:
        for connection in slow:
            connection.sendall(b"GET /livez HTTP/1.0\r\n")
        assert slow[0].recv(1) == b""
        assert ask_once_there_is_room(exporter) == 200
    finally:
        for connection in slow:
            connection.close()


def test_connections_are_bounded_and_those_that_say_nothing_are_ended(exporter: Exporter) -> None:
    address = http_address(exporter.url)
    silent = [socket.create_connection(address, timeout=10) for _ in range(CONNECTIONS_MAX + 4)]
    try:
        assert all(connection.recv(1) == b"" for connection in silent)  # every one is ended by the server
        assert ask_once_there_is_room(exporter) == 200
    finally:
        for connection in silent:
            connection.close()


def test_a_connection_that_the_system_does_not_give_is_not_asked_for_without_rest(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays ready, and a loop that asks at once takes a whole core."""
    rested: list[float] = []

    def refused(_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(exporter_module, "time", SimpleNamespace(sleep=rested.append))
    monkeypatch.setattr(HTTPServer, "get_request", refused)
    with pytest.raises(OSError, match="Too many open files"):
        exporter._server.get_request()
    assert rested == [exporter_module.ACCEPT_AGAIN_S]


def test_a_watcher_is_answered_again_once_there_is_memory(tmp_path: Path) -> None:
    """A thread that was begun without memory never says that it runs, and who began it would wait for ever."""
    program = tmp_path / "program.py"
    program.write_text(SHORT_OF_MEMORY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "answered", done.stderr
