"""A cable that can be cut: TCP connections through a port of this process, without the network's help."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

CHUNK_BYTES = 65_536
BACKLOG = 64


class Way(Enum):
    """Whose words a direction carries: those of who connects, or of who listens."""

    UP = "up"
    DOWN = "down"


Tap: TypeAlias = Callable[[Way, bytes], bytes]
"""Given what one end said, what the other one is told."""


def _nobody(_way: Way, said: bytes) -> bytes:
    return said


class Relay:
    """Passes connections on to a port of this host, until it is cut. Close it after use. `tap`, of whoever sits in
    between, is called by a thread of each direction of each connection."""

    def __init__(self, target_port: int, tap: Tap = _nobody) -> None:
        self._tap = tap
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._is_cut = False
        self._mute_after: bytes | None = None
        self.muted = threading.Event()
        self._passing = {way: threading.Event() for way in Way}
        for passing in self._passing.values():
            passing.set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def mute_after(self, mark: bytes) -> None:
        """Once a client has said `mark`, and that is passed on, nothing comes back to any client."""
        self._mute_after = mark

    def hold(self, *ways: Way) -> None:
        """From now on nothing gets through in these directions and all in the others. As on a network whose
        packets vanish no connection breaks, and what was held arrives when its direction is no longer."""
        for way, passing in self._passing.items():
            if way in ways:
                passing.clear()
            else:
                passing.set()

    def cut(self) -> None:
        """Break every connection; new ones are broken at once."""
        self._is_cut = True
        self._break_all()

    def restore(self) -> None:
        """From now on connections are passed on again, both ways; those that had lost something are broken."""
        self._mute_after = None
        self.muted.clear()
        self._break_all()
        self._is_cut = False

    def close(self) -> None:
        """Break everything and end every thread; idempotent."""
        if self._listener.fileno() < 0:
            return
        self.cut()
        self.hold()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _break_all(self) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket()
            with self._lock:
                refused = self._is_cut or server.connect_ex(self._target) != 0
                if not refused:
                    self._connections |= {client, server}
            if refused:
                client.close()
                server.close()
                continue
            link = _Link(client, server)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for way in Way:
                thread = threading.Thread(target=self._run, args=(way, link), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _run(self, way: Way, link: _Link) -> None:
        with contextlib.suppress(OSError):
            self._pump(way, link)
        for end in (link.client, link.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if link.has_both_ended():
            with self._lock:
                self._connections -= {link.client, link.server}
                link.client.close()
                link.server.close()

    def _pump(self, way: Way, link: _Link) -> None:
        source, target = (link.client, link.server) if way is Way.UP else (link.server, link.client)
        while chunk := source.recv(CHUNK_BYTES):
            if way is Way.UP and self._mute_after is not None and self._mute_after in chunk:
                self.muted.set()
            self._passing[way].wait()
            if way is Way.UP or not self.muted.is_set():
                target.sendall(self._tap(way, chunk))


class _Link:
    """Both ends of one connection, and how many of its two directions are over."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self._lock = threading.Lock()
        self._ended = 0

    def has_both_ended(self) -> bool:
        """Call once per direction: true for the second."""
        with self._lock:
            self._ended += 1
            return self._ended == 2
