"""Both patterns' uplinks on the virtual network: what nodes.faculty's async_pattern and lbb_pattern do with sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from nodes import wire
from nodes.wire.encoding import Encoding, join
from ops.sim.virtual_servers import ENDPOINTS
from projections.rooms.commands import Answer, Reserve

Send = Callable[[str, bytes, bytes], None]
"""(server, route, payload)"""


class VirtualUplink(Protocol):
    """nodes.faculty.shell.Uplink, and what it does with a payload that arrives."""

    def __init__(self, name: str, send: Send) -> None: ...

    def submit(self, transaction_id: str, server: str, message: Reserve | Answer) -> None: ...

    def abandon(self, transaction_id: str) -> None: ...

    def flush(self) -> None: ...

    def takes(self, route: bytes) -> bool:
        """Whether the connection of that name is open and waits for a payload."""
        ...

    def close_unless(self, route: bytes, waits_for: Callable[[str], bool]) -> None:
        """A payload of that connection has been dealt with."""
        ...


class DealerUplink:
    """The asynchronous pattern: one lasting connection to each server, what a turn has to say in one array."""

    def __init__(self, name: str, send: Send) -> None:
        self._route = name.encode()
        self._send = send
        self._outbox: dict[str, dict[str, Reserve | Answer]] = {server: {} for server in ENDPOINTS}

    def submit(self, transaction_id: str, server: str, message: Reserve | Answer) -> None:
        """See Uplink."""
        self.abandon(transaction_id)
        self._outbox[server][transaction_id] = message

    def abandon(self, transaction_id: str) -> None:
        """See Uplink."""
        for outbox in self._outbox.values():
            outbox.pop(transaction_id, None)

    def flush(self) -> None:
        """See Uplink."""
        for server, outbox in self._outbox.items():
            if outbox:
                messages = [wire.encode(message, Encoding.MSGPACK) for message in outbox.values()]
                outbox.clear()
                for payload in join(messages, Encoding.MSGPACK):
                    self._send(server, self._route, payload)

    def takes(self, route: bytes) -> bool:
        """See VirtualUplink."""
        return route == self._route

    def close_unless(self, route: bytes, waits_for: Callable[[str], bool]) -> None:
        """It stays open."""


class _Connection(NamedTuple):
    server: str
    route: bytes
    is_asked: bool


class ReqUplink:
    """The broker's pattern: a connection for each transaction, one question on it at a time; who does not want its
    answer any more closes it."""

    def __init__(self, name: str, send: Send) -> None:
        self._name = name
        self._send = send
        self._opened = 0
        self._connections: dict[str, _Connection] = {}
        self._transactions: dict[bytes, str] = {}
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
            del self._transactions[connection.route]

    def flush(self) -> None:
        """See Uplink."""
        for transaction_id, (server, message) in self._waiting.items():
            connection = self._connections.get(transaction_id) or self._open(transaction_id, server)
            self._connections[transaction_id] = connection._replace(is_asked=True)
            self._send(server, connection.route, wire.encode(message, Encoding.MSGPACK))
        self._waiting.clear()

    def takes(self, route: bytes) -> bool:
        """See VirtualUplink."""
        transaction_id = self._transactions.get(route)
        if transaction_id is None or not self._connections[transaction_id].is_asked:
            return False
        self._connections[transaction_id] = self._connections[transaction_id]._replace(is_asked=False)
        return True

    def close_unless(self, route: bytes, waits_for: Callable[[str], bool]) -> None:
        """See VirtualUplink."""
        transaction_id = self._transactions.get(route)
        if transaction_id is not None and not waits_for(transaction_id):
            self.abandon(transaction_id)

    def _open(self, transaction_id: str, server: str) -> _Connection:
        self._opened += 1
        route = f"{self._name}, connection {self._opened}".encode()
        self._transactions[route] = transaction_id
        return _Connection(server, route, is_asked=False)
