"""Bounds what waits in this process for peers that do not take what they are sent.

libzmq bounds the messages that wait for a connection, not their bytes, and who takes one now and then is never given
up. But the kernel counts what a connection's peer has acknowledged: what was sent beyond that waits here, or in the
kernel's own buffer. It is counted by owner (nodes.security.crowd), for a key may have many connections; the kernel is
asked only when more seems to wait than may, and then once for as many refusals as the owner has connections, so that
who has thousands costs no more than who has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nodes.security import tcp

UNTAKEN_BYTES_MAX: Final = 64 << 20
"""What may wait for one owner: more than all answers that may be under way for an honest one."""

_SHORT_MAX: Final = 255
_SHORT_HEADER_BYTES: Final = 2
_LONG_HEADER_BYTES: Final = 9
"""Of a frame on the wire (ZMTP 3), by the length of its body."""

_SEALED_BYTES: Final = 33
"""What CURVE adds to a body."""


class _Connection:
    """What waits for it, as far as is known, and what the kernel said when it was last asked."""

    __slots__ = ("owner", "taken", "waiting")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.taken = 0
        self.waiting = 0


class _Owner:
    """The same of all his connections, and how many refusals come before the kernel is asked again."""

    __slots__ = ("connections", "refusals", "waiting")

    def __init__(self) -> None:
        self.connections: dict[int, _Connection] = {}
        self.refusals = 0
        self.waiting = 0


class Untaken:
    """Of one door's connections, by descriptor: what was sent and not taken."""

    def __init__(self, *, sealed: bool, bytes_max: int = UNTAKEN_BYTES_MAX) -> None:
        self._added_bytes = _SEALED_BYTES if sealed else 0
        self._bytes_max = bytes_max
        self._connections: dict[int, _Connection] = {}
        self._owners: dict[str, _Owner] = {}

    def waiting(self, owner: str) -> int:
        """Bytes on the wire that wait for him, as far as is known."""
        his = self._owners.get(owner)
        return 0 if his is None else his.waiting

    def has_room(self, owner: str) -> bool:
        """Whether anything more may be sent to him."""
        his = self._owners.get(owner)
        if his is None or his.waiting <= self._bytes_max:
            return True
        if his.refusals > 0:
            his.refusals -= 1
            return False
        self._look(his)
        his.refusals = len(his.connections) - 1
        return his.waiting <= self._bytes_max

    def sent(self, fd: int, owner: str, frames: Sequence[bytes]) -> None:
        """These went out on a connection, which is the owner's."""
        connection = self._connections.get(fd)
        if connection is None or connection.owner != owner:
            self.leave(fd)
            connection = self._connections[fd] = _Connection(owner)
            self._owners.setdefault(owner, _Owner()).connections[fd] = connection
        size = sum(map(self._wire_bytes, frames))
        connection.waiting += size
        self._owners[owner].waiting += size

    def leave(self, fd: int) -> None:
        """A connection is over: nothing waits for it any more."""
        connection = self._connections.pop(fd, None)
        if connection is None:
            return
        his = self._owners[connection.owner]
        his.waiting -= connection.waiting
        del his.connections[fd]
        if not his.connections:
            del self._owners[connection.owner]

    def _wire_bytes(self, frame: bytes) -> int:
        body = len(frame) + self._added_bytes
        return body + (_SHORT_HEADER_BYTES if body <= _SHORT_MAX else _LONG_HEADER_BYTES)

    def _look(self, his: _Owner) -> None:
        for fd, connection in his.connections.items():
            if connection.waiting:
                taken = tcp.taken_bytes(fd)
                is_free = taken is None or tcp.has_taken_all(fd)  # or it is over, and that was not told yet
                newly = connection.waiting if is_free else max((taken or 0) - connection.taken, 0)
                connection.waiting = max(connection.waiting - newly, 0)
                connection.taken = taken or 0
        his.waiting = sum(connection.waiting for connection in his.connections.values())
