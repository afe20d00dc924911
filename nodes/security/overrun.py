"""Ends connections on which more comes in than any honest peer can have under way, on one or on all of its own.

libzmq bounds the parts of a message one by one and counts whole messages: a message of endless parts it gathers for
ever, and a publisher keeps every subscription. But the kernel counts what a connection has received. An honest peer is
held back: what it sent beyond the last message that was read here fits into the queue of its connection and the buffers
of the kernel. A subscriber says who it is, and a topic.

It looks from a thread of its own, at every descriptor of the process: subscriptions are taken in by libzmq within the
loop's own calls, which do not end while they keep coming.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from threading import Event, Thread
from typing import Final, NamedTuple, Protocol

import zmq

from es.descriptors import with_reserve
from nodes.security import tcp
from nodes.sockets import Socket, bound_endpoint

LOOK_S: Final = 0.25
"""So long a connection may exceed its bound."""

SUBSCRIBER_BYTES_MAX: Final = 8 << 10
"""A handshake takes less than 1 KiB, a subscription less than 100 bytes."""

OWNER_BYTES_MAX: Final = 256 << 20
"""What may have come on all connections of one owner (nodes.security.crowd) since something was last read on each."""

COUNTED_BYTES: Final = 16 << 10
"""Connections on which less has come count for nothing: there is no room for so many that it would matter."""

ENDED_MAX: Final = 10_000
"""Ends that are remembered until they are told."""

_DESCRIPTORS: Final = "/proc/self/fd"
_KERNEL_MAX: Final = Path("/proc/sys/net/ipv4/tcp_rmem")
_KERNEL_BYTES: Final = 64 << 20
"""Taken for what the kernel may buffer of one connection, where it does not say."""

_ENVELOPE_BYTES: Final = 256
"""Of a message besides its one large frame: an empty frame, and what CURVE and ZMTP add to both."""

_UNCOUNTED: Final = 3
"""Messages that a connection may have under way besides those of a full queue: one read ahead by the socket, one in
the decoder, one in part."""


class Watched(Protocol):
    """A door, as far as it is looked at. `is_read`: whether it is there for more than subscriptions, and then `heard`
    are descriptors on which something was read."""

    name: str
    socket: Socket
    is_read: bool
    heard: set[int]

    def owner_of(self, fd: int) -> str | None: ...


class Ended(NamedTuple):
    """A connection that was shut: at which door, to which address, of which key as far as it is known."""

    door: str
    address: str
    owner: str | None


def unread_bytes_max(socket: Socket) -> int:
    """What an honest connection to a socket that is read may have received since something was last read on it."""
    messages, frame = int(socket.get(zmq.RCVHWM)), int(socket.get(zmq.MAXMSGSIZE))
    assert messages > 0 and frame > 0, "a door has bounds"
    return (messages + _UNCOUNTED) * (frame + _ENVELOPE_BYTES) + _kernel_bytes_max()


def _kernel_bytes_max() -> int:
    try:
        return int(_KERNEL_MAX.read_text().split()[2])
    except (OSError, ValueError, IndexError):
        return _KERNEL_BYTES


class OverrunWatch:
    """Looks after the doors of one process from `start` until `close`. `ended` are those that it has shut, to be taken
    from the left by whoever tells of them."""

    def __init__(self) -> None:
        self.ended: deque[Ended] = deque(maxlen=ENDED_MAX)
        self._doors: dict[int, tuple[Watched, int]] = {}
        self._bases: dict[int, int] = {}
        self._closed = Event()
        self._thread: Thread | None = None

    def add(self, door: Watched) -> None:
        """Look after this door, too. Only TCP is looked at."""
        port = _port_of(door.socket)
        if port is not None:
            bound = unread_bytes_max(door.socket) if door.is_read else SUBSCRIBER_BYTES_MAX
            self._doors = {**self._doors, port: (door, bound)}
        if self._thread is None:
            self._thread = Thread(target=self._run, name="overrun", daemon=True)
            self._thread.start()

    def drop(self, door: Watched) -> None:
        """No longer."""
        self._doors = {port: one for port, one in self._doors.items() if one[0] is not door}

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Shut what exceeds its bound now."""
        doors, heard = self._doors, set[int]()
        for door, _ in doors.values():
            was_heard, door.heard = door.heard, set()
            heard |= was_heard
        least = min((COUNTED_BYTES, *(bound for _, bound in doors.values())))
        bases: dict[int, int] = {}
        unread: dict[tuple[str, str | None], list[tuple[int, int, Watched]]] = {}
        for fd in _descriptors():
            received = tcp.received_bytes(fd)
            if received is None:
                continue
            base = bases[fd] = received if fd in heard else min(self._bases.get(fd, 0), received)
            if received - base <= least:
                continue
            found = doors.get(tcp.local_port(fd) or 0)
            if found is None:
                continue
            door, bound = found
            if received - (base if door.is_read else 0) > bound:
                self._shut(fd, door)
            elif door.is_read:
                unread.setdefault((door.name, door.owner_of(fd)), []).append((received - base, fd, door))
        self._bases = bases
        for of_one in unread.values():
            total = sum(size for size, _, _ in of_one)
            for size, fd, door in sorted(of_one, key=lambda one: one[0], reverse=True):
                if total <= OWNER_BYTES_MAX:
                    break
                self._shut(fd, door)
                total -= size

    def _shut(self, fd: int, door: Watched) -> None:
        address, owner = tcp.address_of(fd), door.owner_of(fd)
        if tcp.shut(fd, address):
            self.ended.append(Ended(door.name, address, owner))

    def _run(self) -> None:
        while not self._closed.wait(LOOK_S):
            self.look()


def _descriptors() -> Iterable[int]:
    try:
        return map(int, with_reserve(lambda: os.listdir(_DESCRIPTORS)))
    except OSError:  # not one is left to look with: at the next time
        return ()


def _port_of(socket: Socket) -> int | None:
    scheme, _, rest = bound_endpoint(socket).partition("://")
    return int(rest.rpartition(":")[2]) if scheme == "tcp" else None
