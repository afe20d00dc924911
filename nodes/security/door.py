"""A listening socket, and who is connected to it: every message comes with its sender."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

import zmq

from es.replication.instant import Instant
from nodes.security.authenticator import Authenticator, Peer
from nodes.security.crowd import Crowd
from nodes.security.door_watch import DoorWatch
from nodes.security.refusals import IDENTITY, OVERRUN, REVOKED
from nodes.security.untaken import Untaken
from nodes.shell import DRAIN_MESSAGES_MAX, Loop
from nodes.sockets import MESSAGE_BYTES_MAX, Context, Socket
from nodes.wire.payload import SMALL_BYTES, Payload

SESSIONS_MAX: Final = 10_000
"""Sessions remembered by their route; one that was forgotten is met again with its next message."""

DRAWN_BYTES: Final = 5

PARTS_MAX: Final = 16
"""Frames of a message that are kept; no honest one has more than three."""

PARTS_SKIPPED_MAX: Final = 4_096
"""Of a message of more, those that a turn reads over."""

READ_BYTES_MAX: Final = 8 * MESSAGE_BYTES_MAX
"""What is read of a socket in one turn. A client that sends little waits while what others sent is read before it."""

PEER_GONE: Final = "peer gone"
PEER_FULL: Final = "peer full"


class Session(NamedTuple):
    """One connection, and where its answers go. `peer` is None where nobody is asked who he is; `why` is why nothing it
    says counts, if so."""

    route: bytes
    peer: Peer | None
    user_id: str
    socket_type: str
    address: str
    fd: int
    why: str | None = None


class Received(NamedTuple):
    """One message, and the session it came on."""

    route: bytes
    session: Session
    parts: list[zmq.Frame]

    @property
    def frames(self) -> list[bytes]:
        """All of it, copied."""
        return [part.bytes for part in self.parts]

    def content(self, number: int) -> Payload:
        """One frame, which is not copied if it is large: perhaps it is dropped unread."""
        part = self.parts[number]
        return part.bytes if len(part) <= SMALL_BYTES else part.buffer


class Door:
    """One bound socket of a process, by its name in nodes.security.roles. `on_ready` is for a socket that is read; one
    that publishes has none, and takes in who subscribes by itself."""

    def __init__(
        self,
        name: str,
        socket: Socket,
        authenticator: Authenticator,
        loop: Loop,
        context: Context,
        on_ready: Callable[[Instant], None] | None = None,
    ) -> None:
        self.name = name
        self.socket = socket
        self._authenticator = authenticator
        self._loop = loop
        self.is_read = on_ready is not None
        self.heard: set[int] = set()
        self._is_skipping = False
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._speaking: dict[int, bytes] = {}
        self._crowd = Crowd(authenticator.rooms[name])
        self._untaken = Untaken(sealed=authenticator.is_asked)
        self._watch = DoorWatch(context, socket, self._crowd, self._refuse_peer, self._on_end)
        self._on_ready = on_ready or self._on_subscribed
        self._rests_until_us: int | None = None
        loop.register(socket, self._on_ready)
        loop.register(self._watch.events, self._watch.on_ready)
        authenticator.guards(self)

    def messages(
        self, messages_max: int = DRAIN_MESSAGES_MAX, bytes_max: int = READ_BYTES_MAX
    ) -> Iterator[Received]:
        """What is there already, at most so many messages, of which the last may exceed `bytes_max`. What comes on a
        revoked session is counted and left out. The socket gives every connection's messages in turn, and TCP holds
        back what is not read: to read ahead would only help who floods."""
        read_bytes = 0
        for _ in range(messages_max):
            if read_bytes >= bytes_max or self._skips():
                return
            try:
                route = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            parts = self._parts()
            session = self._session(route, parts[0])
            self.heard.add(session.fd)
            if self._is_skipping:
                self.refuse(session, OVERRUN, "a message of too many parts")
                self._watch.end(session.fd)
                continue
            read_bytes += sum(map(len, parts))
            if session.why is None:
                yield Received(route, session, parts)
            else:
                self.refuse(session, session.why)

    def rest(self, until_us: int) -> None:
        """Read nothing until that boot time, in µs: TCP holds back who sends ever more."""
        if self._rests_until_us is None:
            self._loop.unregister(self.socket)
        self._rests_until_us = until_us

    def deadline(self) -> int | None:
        """Boot time in µs at which `tick` has something to do."""
        return self._rests_until_us

    def tick(self, now: Instant) -> None:
        """A rest may be over."""
        if self._rests_until_us is not None and now.boot_us >= self._rests_until_us:
            self._rests_until_us = None
            self._loop.register(self.socket, self._on_ready)

    def _parts(self) -> list[zmq.Frame]:
        """The parts of a message after its route: at most PARTS_MAX, and then there is something to skip."""
        parts = [self.socket.recv(zmq.NOBLOCK, copy=False)]
        while parts[-1].more and len(parts) < PARTS_MAX:
            parts.append(self.socket.recv(zmq.NOBLOCK, copy=False))
        self._is_skipping = parts[-1].more
        return parts

    def _skips(self) -> bool:
        """Read over the rest of a message of too many parts; true if there is still more of it than a turn takes."""
        for _ in range(PARTS_SKIPPED_MAX):
            if not self._is_skipping:
                return False
            self._is_skipping = self.socket.recv(zmq.NOBLOCK, copy=False).more
        return self._is_skipping

    def _on_subscribed(self, now: Instant) -> None:
        """What a subscriber says is libzmq's to judge; here it only tells whose a connection is."""
        for _ in range(DRAIN_MESSAGES_MAX):
            try:
                said = self.socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            with suppress(zmq.ZMQError):  # it came on no connection: one is over, and nobody listens to that any more
                fd = int(said.get(zmq.SRCFD))
                self._watch.heard(fd, _told(said, "User-Id") or _told(said, "Peer-Address"))

    def send(self, session: Session, *frames: bytes) -> str | None:
        """Answer a session: nobody else, whoever has its route by now. Gives why that cannot be: PEER_GONE, PEER_FULL,
        or REVOKED, which is counted and logged."""
        if not self._is_there(session):
            if not self.is_revoked(session):
                return PEER_GONE
            self.refuse(session, REVOKED, "an answer")
            return REVOKED
        owner = _owner_of(session)
        if not self._untaken.has_room(owner):
            return PEER_FULL
        try:
            self.socket.send_multipart((session.route, *frames), zmq.NOBLOCK)
        except zmq.Again:
            return PEER_FULL
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return PEER_GONE
        self._untaken.sent(session.fd, owner, frames)
        return None

    def is_over(self, session: Session) -> bool:
        """Whether nobody hears any more what is said on it, as far as the loop has heard. Where nobody is asked who he
        is, a route is all there is to know, and never over."""
        return self._authenticator.is_asked and self._sessions.get(session.route) != session

    def is_revoked(self, session: Session) -> bool:
        """Whether its key is no longer allowed, be the session over or not."""
        return session.peer is not None and not self._authenticator.is_allowed(session.peer)

    def refuse(self, session: Session, reason: str, why: str = "") -> None:
        """What was said on that session was not its sender's to say: count and log it."""
        key = None if session.peer is None else str(session.peer)
        self._authenticator.refuse(self.name, reason, address=session.address, key=key, why=why)

    def end_revoked(self) -> None:
        """A key was revoked. Nothing counts any more that a revoked session says, and all sessions end that are
        not known to be an allowed peer's: those of honest peers, too, which have never said anything here, and which
        come back at once."""
        for route, session in self._sessions.items():
            self._sessions[route] = self._judged(session)
        self._watch.end_all_but({one.fd for one in self._sessions.values() if one.why is None})

    def owner_of(self, fd: int) -> str | None:
        """Whose a connection is: its key's principal and fingerprint, or its host where nobody has a key; None as long
        as nobody knows. From any thread."""
        return self._crowd.owner_of(fd)

    def close(self) -> None:
        """Give the socket back."""
        self._authenticator.leaves(self)
        self._loop.unregister(self._watch.events)
        self._watch.close()
        if self._rests_until_us is None:
            self._loop.unregister(self.socket)
        self.socket.close()

    def _session(self, route: bytes, first: zmq.Frame) -> Session:
        """Whose message this is. libzmq hands on with every one what it knows of the connection it came on; the route
        alone proves nothing, for a peer may have chosen it, and another one after it."""
        fd = int(first.get(zmq.SRCFD))
        user_id = _told(first, "User-Id") if self._authenticator.is_asked else ""
        session = self._sessions.get(route)
        if session is not None and session.fd == fd and session.user_id == user_id:
            return session
        return self._meet(route, first, user_id, fd)

    def _is_there(self, session: Session) -> bool:
        """Whether that session still has its route, and may hear. libzmq tells that a connection is over before it lets
        another one have its route."""
        if self._authenticator.is_asked:
            self._watch.take_told()
        return not self.is_over(session)

    def _meet(self, route: bytes, first: zmq.Frame, user_id: str, fd: int) -> Session:
        """A session's first message. Who must say who he is does not choose his route besides: it could be the one that
        another's answers go to."""
        peer = self._authenticator.peer_of(user_id) if self._authenticator.is_asked else None
        session = Session(route, peer, user_id, _told(first, "Socket-Type"), _told(first, "Peer-Address"), fd)
        session = self._judged(session)
        if peer is not None and not _is_drawn(route):
            session = session._replace(why=IDENTITY)
        if not self._is_open(fd, route):
            return session
        self._sessions[route] = session
        self._speaking[fd] = route
        self._watch.heard(fd, _owner_of(session))
        if len(self._sessions) > SESSIONS_MAX:
            forgotten, gone = self._sessions.popitem(last=False)
            if self._speaking.get(gone.fd) == forgotten:
                del self._speaking[gone.fd]
        return session

    def _is_open(self, fd: int, route: bytes) -> bool:
        """Whether a session that is new here may still be there: what it said can be read after its end, which is told
        once, and when another one has its descriptor already. Of two with the same the later made is the one that
        is there. What is told by now may also be the end of one that had this descriptor before."""
        if not self._authenticator.is_asked:
            return True
        self._speaking.setdefault(fd, route)
        self._watch.take_told()
        speaking = self._speaking.get(fd)
        if speaking is not None and speaking != route and not _is_later(route, speaking):
            return False
        self._forget(fd)
        return self._watch.is_open(fd)

    def _on_end(self, fd: int) -> bool:
        """A connection is over. True if it has spoken."""
        has_spoken = fd in self._speaking
        self._untaken.leave(fd)
        self._forget(fd)
        return has_spoken

    def _forget(self, fd: int) -> None:
        route = self._speaking.pop(fd, None)
        if route is not None and (session := self._sessions.get(route)) is not None and session.fd == fd:
            del self._sessions[route]

    def _judged(self, session: Session) -> Session:
        return session._replace(why=REVOKED) if self.is_revoked(session) else session

    def _refuse_peer(self, reason: str, address: str, key: str | None = None) -> None:
        known = key if self._authenticator.is_asked else None
        self._authenticator.refuse(self.name, reason, address=address, key=known)


def _owner_of(session: Session) -> str:
    """The key that speaks on it, or its host where nobody has one."""
    return session.user_id or session.address


def _is_drawn(route: bytes) -> bool:
    """Whether libzmq drew this route (a zero byte and four others), as it does for a peer that asks for none."""
    return len(route) == DRAWN_BYTES and route[0] == 0


def _is_later(route: bytes, other: bytes) -> bool:
    """Whether libzmq drew this route after that one: it counts, and begins anew after 2³²."""
    if not _is_drawn(route):
        return False
    return 0 < (int.from_bytes(route[1:]) - int.from_bytes(other[1:])) % (1 << 32) < 1 << 31


def _told(frame: zmq.Frame, name: str) -> str:
    """A property of the connection that a frame came on; a peer of an old ZMTP version does not tell all."""
    try:
        told = frame.get(name)
    except zmq.ZMQError:
        return ""
    assert isinstance(told, str)
    return told
