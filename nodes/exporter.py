"""What a process tells those who watch it, over HTTP on a port of its own.

    /metrics      Prometheus text, from an explicit registry
    /livez        200 while the process runs its loop
    /readyz       200 if it can serve, else 503
    /status       JSON, one object
    /primary      200 if this node is the active server, else 503 (for load balancers)
    /backup?lag=  200 if it is a backup at most `lag` events behind (default: any), else 503

A daemon thread answers, so a scrape never waits for the loop and the loop never for a scrape. GET and HEAD alone:
any other method gets 405. Connections, request size and time are bounded, and a client that is slow is not waited for
(A20).
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import SimpleQueue
from socket import SO_REUSEADDR, SOL_SOCKET
from socket import socket as tcp_socket
from threading import BoundedSemaphore, Thread
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from nodes.sockets import BindFailed

CONNECTIONS_MAX = 16
REQUEST_TIMEOUT_S = 2.0
"""A request must be there, and an answer be taken, within so long: it is not enough to send a byte now and then."""

REQUEST_BYTES_MAX = 8 << 10
"""Request line and headers together."""

BACKLOG = 64
ACCEPT_AGAIN_S = 0.1
"""A connection that the system does not give (EMFILE) is asked for again after so long: it stays ready meanwhile."""

POLL_S = 0.1
QUERY_FIELDS_MAX = 8

Answer = tuple[HTTPStatus, str, bytes]
METHODS = ("GET", "HEAD")
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
_NOT_ALLOWED = b"only GET and HEAD are answered here\n"


def _always() -> bool:
    return True


def _never() -> bool:
    return False


def _no_backup(_lag_events: int | None) -> bool:
    return False


def registry_of(*collectors: Collector) -> CollectorRegistry:
    """A registry of one process: its own metrics, and its memory, CPU time and open files as the host sees them."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    return registry


class Exporter:
    """Serves one process's endpoints from construction until `close`.

    status   the object of /status; called from the exporter's thread, so it must only read
    ready    /readyz; live: /livez; primary: /primary
    backup   given the allowed lag in events (None: any), whether this node is a backup that close
    Raises BindFailed. `port` 0 takes a free one; `url` says which.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        status: Callable[[], Mapping[str, Any]],
        registry: CollectorRegistry,
        ready: Callable[[], bool] = _always,
        live: Callable[[], bool] = _always,
        primary: Callable[[], bool] = _never,
        backup: Callable[[int | None], bool] = _no_backup,
    ) -> None:
        self._status = status
        self._registry = registry
        self._ready = ready
        self._live = live
        self._primary = primary
        self._backup = backup
        try:
            self._server = _BoundedServer((host, port), _handler_of(self))
        except OSError as error:
            raise BindFailed(f"cannot serve HTTP on {host}:{port}: {error.strerror or error}") from None
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve, name="exporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and give the port back; idempotent."""
        self._server.stop()
        self._thread.join(REQUEST_TIMEOUT_S)

    def answer(self, target: str) -> Answer:
        """Status, content type and body for `target`; for HEAD the body is left out."""
        try:
            parts = urlsplit(target)
            query = parse_qs(parts.query, max_num_fields=QUERY_FIELDS_MAX)
        except ValueError as error:
            return HTTPStatus.BAD_REQUEST, TEXT, f"{error}\n".encode()
        match parts.path:
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
            case "/status":
                return HTTPStatus.OK, JSON, json.dumps(self._status(), ensure_ascii=False, default=str).encode()
            case "/livez":
                return _verdict(self._live())
            case "/readyz":
                return _verdict(self._ready())
            case "/primary":
                return _verdict(self._primary())
            case "/backup":
                return self._answer_backup(query["lag"][-1] if "lag" in query else None)
        return HTTPStatus.NOT_FOUND, TEXT, b"no such endpoint\n"

    def _answer_backup(self, lag: str | None) -> Answer:
        if lag is not None and not (lag.isascii() and lag.isdigit() and len(lag) <= 18):
            return HTTPStatus.BAD_REQUEST, TEXT, b"lag is a number of events\n"
        return _verdict(self._backup(None if lag is None else int(lag)))


def _verdict(holds: bool) -> Answer:
    if holds:
        return HTTPStatus.OK, TEXT, b"ok\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, b"no\n"


class _Request(io.RawIOBase):
    """The bytes of one request: TimeoutError once its time is over, an end after REQUEST_BYTES_MAX."""

    def __init__(self, connection: tcp_socket) -> None:
        self._connection = connection
        self._deadline_s = time.monotonic() + REQUEST_TIMEOUT_S
        self._bytes_left = REQUEST_BYTES_MAX

    @property
    def is_too_long(self) -> bool:
        """Whether there may be more than is read."""
        return self._bytes_left == 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.is_too_long:
            return 0
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request is not there in time")
        self._connection.settimeout(left_s)
        count = self._connection.recv_into(memoryview(buffer)[: self._bytes_left])
        self._bytes_left -= count
        return count


def _handler_of(exporter: Exporter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request, one answer, then the connection ends."""

        server_version = "aulario"
        sys_version = ""

        def setup(self) -> None:
            super().setup()
            self.rfile.close()
            self._request = _Request(self.connection)
            self.rfile = io.BufferedReader(self._request)

        def parse_request(self) -> bool:
            is_read = super().parse_request()
            self.connection.settimeout(REQUEST_TIMEOUT_S)
            if is_read and self._request.is_too_long:
                self.request_version = self.protocol_version  # what was cut off may have no version
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return False
            if is_read and self.command not in METHODS:
                self._say(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, _NOT_ALLOWED, {"Allow": ", ".join(METHODS)})
                return False
            return is_read

        def do_GET(self) -> None:
            self._say(*exporter.answer(self.path))

        def do_HEAD(self) -> None:
            self.do_GET()

        def _say(
            self, status: HTTPStatus, content_type: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
            """A scrape a second is no news."""

    return Handler


class _BoundedServer(HTTPServer):
    """A connection for each of CONNECTIONS_MAX threads; one more is closed unanswered.

    The threads are there from the beginning. Where memory is short a new one may die before it says that it runs, and
    who began it would wait for that for ever.
    """

    request_queue_size = BACKLOG
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._slots = BoundedSemaphore(CONNECTIONS_MAX)
        self._accepted: SimpleQueue[tuple[Any, Any] | None] = SimpleQueue()
        self._is_closing = False
        super().__init__(address, handler)
        for _ in range(CONNECTIONS_MAX):
            Thread(target=self._work, name="exporter-connection", daemon=True).start()

    def server_bind(self) -> None:
        """Bind without looking up the host's name: a slow resolver must not delay a start."""
        self.socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def serve(self) -> None:
        """Accept connections until `stop`, also after there was no memory to do so."""
        while not self._is_closing:
            with suppress(MemoryError):
                self.serve_forever(POLL_S)

    def stop(self) -> None:
        """End `serve`, which runs in another thread, and the connections' threads."""
        self._is_closing = True
        self.shutdown()
        self.server_close()
        for _ in range(CONNECTIONS_MAX):
            self._accepted.put(None)

    def get_request(self) -> tuple[Any, Any]:
        """Accept. Raises OSError."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(ACCEPT_AGAIN_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Leave it to a thread that is free."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            self._accepted.put((request, client_address))
        except MemoryError:
            self._slots.release()
            raise

    def _work(self) -> None:
        while True:
            with suppress(MemoryError):
                accepted = self._accepted.get()
                if accepted is None:
                    return
                self._answer(*accepted)

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # the watcher went away; it will ask again
        except Exception:  # noqa: BLE001 - told on stderr; the next watcher is answered all the same
            self.handle_error(request, client_address)
        finally:
            try:
                self.shutdown_request(request)
            finally:
                self._slots.release()
