"""Watches who comes to a door: libzmq's monitor tells of those that never get so far as to be asked who they are."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

import zmq
from zmq.backend import zmq_poll
from zmq.utils.monitor import parse_monitor_message

from es.replication.instant import Instant
from nodes.security import refusals, tcp
from nodes.security.crowd import Crowd, Going
from nodes.shell import drain, read_clock
from nodes.sockets import HANDSHAKE_IVL_MS, Context, Socket, monitor


class _Connection(NamedTuple):
    address: str
    accepted_us: int


class Refuse(Protocol):
    """Counts and logs a refusal; `key` is the principal and the fingerprint, as far as they are known."""

    def __call__(self, reason: str, address: str, key: str | None = None) -> None: ...


class DoorWatch:
    """The connections of one listening socket, by descriptor.

    `refuse` is called for each that fails before it is authenticated or has no room (`crowd`), `on_end(fd)` for each
    that is over: it tells whether a message came on it. A connection that ends without a word why is either an
    authenticated one, or one whose key was refused (which is counted where that happens), or one that said what is no
    handshake with this door: libzmq tells neither the descriptor when a handshake succeeds, nor that it gave one up. It
    is taken for the last if some connection has not finished its handshake, and this one has not spoken and is younger
    than a handshake may last: a refused one is held until then.
    """

    def __init__(
        self, context: Context, socket: Socket, crowd: Crowd, refuse: Refuse, on_end: Callable[[int], bool]
    ) -> None:
        self._watched = socket
        self.events = monitor(context, socket)
        self._told = [(self.events, int(zmq.POLLIN))]
        self._refuse = refuse
        self._told_end = on_end
        self._crowd = crowd
        self._open: dict[int, _Connection] = {}
        self._turned_away: set[int] = set()
        self._greeting = 0
        self._why: str | None = None

    def on_ready(self, now: Instant) -> None:
        """Take what libzmq tells. One thread of it serves a socket, so a failure and the end it leads to are told one
        after the other."""
        for frames in drain(self.events):
            told = parse_monitor_message(frames)
            event, value = told["event"], told["value"]
            if event == zmq.EVENT_ACCEPTED:
                self._open[value] = _Connection(tcp.address_of(value), now.boot_us)
                self._greeting += 1
                self._turn_away(self._crowd.come(value, now.boot_us))
            elif event in (zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_HANDSHAKE_FAILED_AUTH):
                self._greeting = max(self._greeting - 1, 0)
            elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._why = refusals.SILENT if value == errno.EAGAIN else refusals.LEFT
            else:
                self._on_end(value, now)

    def take_told(self) -> None:
        """Take it now, and not when the loop comes to it."""
        while zmq_poll(self._told, 0):
            self.on_ready(read_clock())

    def is_open(self, fd: int) -> bool:
        """Whether there is such a connection: one may have come before anybody watched."""
        return fd in self._open or tcp.address_of(fd) != tcp.UNKNOWN_ADDRESS

    def _on_end(self, fd: int, now: Instant) -> None:
        ended, has_spoken = self._open.pop(fd, None), self._told_end(fd)
        why, self._why = self._why, None
        self._crowd.leave(fd)
        if fd in self._turned_away:
            self._turned_away.discard(fd)
            if why is not None:
                self._greeting = max(self._greeting - 1, 0)
            return
        if why is None:
            if has_spoken or ended is None:
                return
            is_young = now.boot_us - ended.accepted_us < HANDSHAKE_IVL_MS * 1_000
            if not self._greeting or not is_young:
                return
            why = refusals.HANDSHAKE
        self._greeting = max(self._greeting - 1, 0)
        self._refuse(why, ended.address if ended is not None else tcp.UNKNOWN_ADDRESS)

    def heard(self, fd: int, owner: str) -> None:
        """A connection has spoken, and whose it is."""
        self._turn_away(self._crowd.speak(fd, owner))

    def end(self, fd: int) -> None:
        """End one connection, if it is there; it may have been heard before it was told of."""
        if fd not in self._open:
            self.take_told()
        connection = self._open.get(fd)
        if connection is not None:
            tcp.shut(fd, connection.address)

    def end_all_but(self, spared: Collection[int]) -> None:
        """End the connections that are there, except those. Honest peers come back at once."""
        for fd, connection in self._open.items():
            if fd not in spared:
                tcp.shut(fd, connection.address)

    def _turn_away(self, going: Iterable[Going]) -> None:
        for fd, owner in going:
            connection = self._open.get(fd)
            if connection is not None:
                self._turned_away.add(fd)
                tcp.shut(fd, connection.address)
                self._refuse(refusals.TOO_MANY, connection.address, owner)

    def close(self) -> None:
        """Before the watched socket is closed."""
        self._watched.disable_monitor()
        self.events.close()
