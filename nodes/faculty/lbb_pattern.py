"""A faculty of the load-balancing broker pattern (A4): a fresh REQ socket for each transaction.

A REQ socket takes one answer for one message, so SOL and ACK of a transaction share it while all goes
well; a retry closes it and opens a new one to whichever server is active.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import Final, NamedTuple

import zmq

from es.replication.instant import Instant
from nodes import sockets, wire
from nodes.config.cluster import ClusterConfig
from nodes.faculty.shell import FacultyShell, run_faculty
from nodes.security import principals
from nodes.sockets import Socket
from nodes.wire.encoding import Encoding
from projections.rooms.commands import Answer, Reserve

PATTERN: Final = "lbb"

CONNECTIONS_MAX: Final = 512
"""Transactions with a socket at one time; the rest of those in flight wait for one, oldest first."""


class _Connection(NamedTuple):
    server: str
    socket: Socket
    is_asked: bool


class ReqUplink:
    """One connection for each transaction, at most `connections_max` at one time."""

    def __init__(self, shell: FacultyShell, connections_max: int = CONNECTIONS_MAX) -> None:
        self._shell = shell
        self._connections_max = connections_max
        self._connections: dict[str, _Connection] = {}
        self._waiting: dict[str, tuple[str, Reserve | Answer]] = {}

    def submit(self, transaction_id: str, server: str, message: Reserve | Answer) -> None:
        """See Uplink."""
        connection = self._connections.get(transaction_id)
        if connection is not None and (connection.is_asked or connection.server != server):
            self.abandon(transaction_id)
        self._waiting[transaction_id] = (server, message)

    def abandon(self, transaction_id: str) -> None:
        """See Uplink."""
        self._waiting.pop(transaction_id, None)
        connection = self._connections.pop(transaction_id, None)
        if connection is not None:
            self._shell.loop.unregister(connection.socket)
            connection.socket.close()

    def flush(self) -> None:
        """See Uplink."""
        for transaction_id, (server, message) in list(self._waiting.items()):
            connection = self._connections.get(transaction_id)
            if connection is None and len(self._connections) >= self._connections_max:
                continue
            try:
                socket = connection.socket if connection else self._connect(transaction_id, server)
                socket.send(wire.encode(message, Encoding.MSGPACK), zmq.NOBLOCK)
            except zmq.ZMQError as error:
                if error.errno not in (zmq.EAGAIN, errno.EMFILE):
                    raise
                self._shell.metrics.ignored["server_full"] += 1
                self.abandon(transaction_id)  # the core's retry tries again, on a new socket
                continue
            self._connections[transaction_id] = _Connection(server, socket, is_asked=True)
            del self._waiting[transaction_id]

    def close(self) -> None:
        """See Uplink."""
        for transaction_id in list(self._connections):
            self.abandon(transaction_id)

    def _connect(self, transaction_id: str, server: str) -> Socket:
        shell = self._shell
        socket = sockets.request_req(shell.context, shell.servers[server], principals.server(server), shell.security)
        self._shell.loop.register(socket, partial(self._on_answer, transaction_id))
        return socket

    def _on_answer(self, transaction_id: str, now: Instant) -> None:
        server, socket, _ = self._connections[transaction_id]
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        self._connections[transaction_id] = _Connection(server, socket, is_asked=False)
        if len(frames) == 1:
            self._shell.on_payload(server, frames[0], now)
        else:
            self._shell.metrics.ignored["bad_frames"] += 1
        if not self._shell.core.waits_for(transaction_id):
            self.abandon(transaction_id)


def run(config: ClusterConfig, faculty_id: int) -> None:
    """Run the faculty until SIGTERM or SIGINT; see run_faculty for what it raises."""
    run_faculty(config, faculty_id, PATTERN, ReqUplink)
