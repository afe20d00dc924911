"""A door with its authenticator, on real sockets: who gets in, who does not, and what is told of it."""

from __future__ import annotations

import os
import socket as tcp
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from structlog.testing import capture_logs

from es.replication.instant import Instant
from nodes import sockets
from nodes.security import principals, refusals, roles
from nodes.security.authenticator import Authenticator
from nodes.security.crowd import ROOMS, Room
from nodes.security.curve import OPEN, Curve
from nodes.security.door import PEER_GONE, Door, Received, Session
from nodes.security.keys import new_keys, remove_allowed, save_allowed
from nodes.security.principals import Principal
from nodes.security.secret_keys import save_secret
from nodes.security.tcp import UNKNOWN_ADDRESS, address_of
from nodes.shell import Loop
from nodes.sockets import Socket

SERVER = principals.server("a")
FACULTY = principals.faculty(3)
OTHER = principals.faculty(4)
PROGRAM = principals.program(3, 17)
NAMES = ("a", "b")
SOON_US = 1_000_000


class Idle:
    """A process with nothing to do but its door."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self.must_reopen = False

    def deadline(self) -> int:
        return self._authenticator.deadline()

    def on_turn(self, now: Instant) -> None:
        self.must_reopen |= self._authenticator.tick(now)


class House:
    """A server's door, the one for requests or another, and whoever comes to it. `received` is what got through."""

    def __init__(
        self,
        keys: Path,
        *,
        security: bool = True,
        asked: bool = True,
        opens: str = roles.REQUESTS,
        room: Room | None = None,
    ) -> None:
        self.keys, self.opens = keys, opens
        for one in (SERVER, FACULTY, OTHER, PROGRAM):
            self.make(one)
        self.context, self.loop = sockets.context(), Loop()
        self.security = Curve(keys, SERVER, NAMES) if security else OPEN
        rooms = ROOMS if room is None else {opens: room}
        self.authenticator = Authenticator(self.security if asked else OPEN, self.loop, self.context, rooms)
        self.idle = Idle(self.authenticator)
        listen = {roles.REQUESTS: sockets.request_router, roles.REPAIR: sockets.repair_router}[opens]
        router = listen(self.context, "tcp://127.0.0.1:*", self.security)
        self.endpoint = sockets.bound_endpoint(router)
        self.received: list[Received] = []
        self.door = Door(opens, router, self.authenticator, self.loop, self.context, self._on_ready)
        self._made: list[Socket] = []
        self._strangers = sockets.context()

    def make(self, one: Principal) -> None:
        """Keys for somebody, allowed."""
        keys = new_keys(one, "2026-01-31T12:00:00Z")
        save_secret(self.keys, keys)
        save_allowed(self.keys, keys.public)

    def _on_ready(self, now: Instant) -> None:
        self.received += self.door.messages()

    def call(self, own: Principal) -> Socket:
        """A peer with that principal's keys."""
        return self.keep(sockets.request_dealer(self._strangers, self.endpoint, SERVER, Curve(self.keys, own, NAMES)))

    def call_as_server(self, own: Principal) -> Socket:
        """Likewise, at a door where servers come."""
        return self.keep(sockets.repair_dealer(self._strangers, self.endpoint, SERVER, Curve(self.keys, own, NAMES)))

    def stranger(self, kind: int = zmq.DEALER) -> Socket:
        """A peer that is to be prepared by hand, and connected."""
        return self.keep(self._strangers.socket(kind))

    def keep(self, socket: Socket) -> Socket:
        socket.set(zmq.LINGER, 0)
        self._made.append(socket)
        return socket

    def turn_until(self, fact: Callable[[], object]) -> None:
        """Until it is so (pytest's own time limit ends a wait in vain)."""
        while not fact():
            self.loop.turn(self.idle)

    def say(self, peer: Socket, *frames: bytes) -> None:
        self.turn_until(lambda: peer.poll(1, zmq.POLLOUT))
        peer.send_multipart(frames)

    def heard(self, own: Principal, words: bytes) -> tuple[Socket, Session]:
        """A peer with that principal's keys, once it has said this, and the session that it has here."""
        peer, before = self.call(own), len(self.received)
        self.say(peer, b"", words)
        self.turn_until(lambda: len(self.received) > before)
        return peer, self.received[-1].session

    def refused(self) -> dict[str, int]:
        """By reason, what is not zero."""
        counts = self.authenticator.refusals.counts
        return {reason: count for (door, reason), count in counts.items() if count and door == self.opens}

    def close(self) -> None:
        for socket in self._made:
            socket.close()
        self.door.close()
        self.authenticator.close()
        self.loop.close()
        self.context.term()
        self._strangers.term()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_a_message_comes_with_the_principal_whose_key_was_used(house: House) -> None:
    for own in (FACULTY, OTHER):
        house.say(house.call(own), b"", str(own).encode())
    house.turn_until(lambda: len(house.received) == 2)
    for one in house.received:
        session, frames = one.session, one.frames
        assert session.peer is not None
        assert frames == [b"", str(session.peer.principal).encode()]
        assert session.socket_type == "DEALER"
    assert not house.refused()


def test_a_peer_that_chose_its_route_is_refused(house: House) -> None:
    """It could be the one to which another's answers go."""
    peer = house.call(FACULTY)
    peer.disconnect(house.endpoint)
    peer.set(zmq.ROUTING_ID, b"\0abc")
    peer.connect(house.endpoint)
    house.say(peer, b"", b"x")
    house.turn_until(lambda: house.refused().get(refusals.IDENTITY))
    assert not house.received


def test_a_peer_that_comes_again_is_the_same_one(house: House) -> None:
    peer = house.call(FACULTY)
    for _ in range(3):
        house.say(peer, b"", b"x")
    house.turn_until(lambda: len(house.received) == 3)
    assert len({received.session for received in house.received}) == 1


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[House]:
    """The door of a server where other servers come."""
    house = House(tmp_path, opens=roles.REPAIR)
    yield house
    house.close()


def test_a_server_that_the_configuration_names_is_let_in(servers: House) -> None:
    peer = principals.server("b")
    servers.make(peer)
    servers.say(servers.call_as_server(peer), b"x")
    servers.turn_until(lambda: servers.received)
    heard = servers.received[0].session.peer
    assert heard is not None
    assert heard.principal == peer


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (principals.server("zzz"), refusals.NOT_CONFIGURED),
        (SERVER, refusals.WRONG_ROLE),
        (FACULTY, refusals.WRONG_ROLE),
    ],
    ids=str,
)
def test_an_allowed_key_alone_makes_no_server(servers: House, peer: Principal, reason: str) -> None:
    if peer != SERVER:
        servers.make(peer)
    servers.call_as_server(peer)
    servers.turn_until(servers.refused)
    assert servers.refused().keys() == {reason}


@pytest.mark.parametrize("own", [PROGRAM, SERVER], ids=str)
def test_a_key_of_another_role_is_not_let_in(house: House, own: Principal) -> None:
    house.call(own)
    house.turn_until(lambda: house.refused().get(refusals.WRONG_ROLE))
    assert house.refused().keys() == {refusals.WRONG_ROLE}


def curve(house: House, server_key: bytes) -> Socket:
    stranger = house.stranger()
    public, secret = zmq.curve_keypair()
    stranger.set(zmq.CURVE_SERVERKEY, server_key)
    stranger.set(zmq.CURVE_PUBLICKEY, public)
    stranger.set(zmq.CURVE_SECRETKEY, secret)
    return stranger


def server_key(house: House) -> bytes:
    assert isinstance(house.security, Curve)
    newest = house.security.allow_list.newest(SERVER)
    assert newest is not None
    return newest.curve


STRANGERS: dict[str, Callable[[House], Socket]] = {
    refusals.UNKNOWN_KEY: lambda house: curve(house, server_key(house)),
    refusals.HANDSHAKE: lambda house: curve(house, zmq.curve_keypair()[0]),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_stranger_is_refused_and_counted_and_nothing_it_says_arrives(house: House, kind: str) -> None:
    stranger = STRANGERS[kind](house)
    stranger.connect(house.endpoint)
    stranger.send_multipart([b"", b"let me in"])
    house.turn_until(lambda: house.refused().get(kind))
    house.say(house.call(FACULTY), b"", b"x")
    house.turn_until(lambda: house.received)
    assert [received.frames for received in house.received] == [[b"", b"x"]]
    assert house.refused().keys() == {kind}


def test_a_key_that_nobody_allowed_is_told_by_its_fingerprint_and_where_it_came_from(house: House) -> None:
    peer = house.stranger()
    unknown = new_keys(FACULTY, "2026-01-31T12:00:01Z")
    peer.set(zmq.CURVE_SERVERKEY, server_key(house))
    peer.set(zmq.CURVE_PUBLICKEY, unknown.curve_public)
    peer.set(zmq.CURVE_SECRETKEY, unknown.curve_secret)
    peer.connect(house.endpoint)
    with capture_logs() as lines:
        house.turn_until(lambda: house.refused().get(refusals.UNKNOWN_KEY))
    told = [line for line in lines if line["event"] == "peer refused"]
    assert [(line["address"], line["key"]) for line in told] == [("127.0.0.1", unknown.public.fingerprint)]


def greeting(mechanism: bytes) -> bytes:
    """ZMTP 3.0 (RFC 23)."""
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


BYTES = {
    "null": (greeting(b"NULL") + b"\x04\x29\x05READY" + bytes(33), refusals.HANDSHAKE),
    "plain": (greeting(b"PLAIN"), refusals.HANDSHAKE),
    "http": (b"GET / HTTP/1.0\r\n\r\n", refusals.HANDSHAKE),
    "tls": (b"\x16\x03\x01" + bytes(100), refusals.HANDSHAKE),
    "ff": (b"\xff" * 200, refusals.HANDSHAKE),
    "silent": (b"", refusals.SILENT),
    "half a greeting": (b"\xff" + bytes(8) + b"\x7f\x03", refusals.SILENT),
}


@pytest.mark.parametrize("kind", BYTES)
def test_bytes_that_are_no_handshake_are_refused_and_counted(house: House, kind: str) -> None:
    data, reason = BYTES[kind]
    host, port = house.endpoint.removeprefix("tcp://").split(":")
    with tcp.create_connection((host, int(port))) as stranger:
        stranger.sendall(data)
        house.turn_until(lambda: house.refused().get(reason))
    assert house.refused() == {reason: 1}


def test_a_connection_that_is_only_opened_and_closed_is_counted_as_left(house: House) -> None:
    host, port = house.endpoint.removeprefix("tcp://").split(":")
    tcp.create_connection((host, int(port))).close()
    house.turn_until(lambda: house.refused().get(refusals.LEFT))
    assert house.refused() == {refusals.LEFT: 1}


def test_an_honest_peer_that_goes_is_not_counted(house: House) -> None:
    """Not even while somebody else has not greeted yet."""
    host, port = house.endpoint.removeprefix("tcp://").split(":")
    with tcp.create_connection((host, int(port))):
        peer = house.call(FACULTY)
        house.say(peer, b"", b"x")
        house.turn_until(lambda: house.received)
        peer.close()
        house.turn_until(lambda: house.refused())
    assert house.refused() == {refusals.SILENT: 1}


def test_a_revoked_session_ends_and_others_go_on(house: House) -> None:
    revoked, other = house.call(FACULTY), house.call(OTHER)
    for peer in (revoked, other):
        house.say(peer, b"", b"before")
    house.turn_until(lambda: len(house.received) == 2)
    session = {one.session.peer.principal: one.session for one in house.received if one.session.peer}
    remove_allowed(house.keys, FACULTY)
    house.turn_until(lambda: house.refused().get(refusals.UNKNOWN_KEY))  # it was cut off, and came again
    house.say(other, b"", b"after")
    house.turn_until(lambda: len(house.received) == 3)
    assert house.received[2].session == session[OTHER], "it was not cut off"
    assert not revoked.poll(0, zmq.POLLOUT)


def test_what_a_revoked_session_said_before_it_ended_does_not_count(house: House) -> None:
    peer, _ = house.heard(FACULTY, b"before")
    remove_allowed(house.keys, FACULTY)
    assert isinstance(house.security, Curve)
    house.security.allow_list.refresh()
    for _ in range(3):
        peer.send_multipart([b"", b"after"])
    assert house.door.socket.poll(5_000)
    house.door.end_revoked()
    house.turn_until(lambda: house.refused().get(refusals.REVOKED))
    assert len(house.received) == 1


def ended(house: House, session: Session) -> bool:
    """Whether libzmq has closed that connection, whatever has been told of it."""
    try:
        return not stat.S_ISSOCK(os.fstat(session.fd).st_mode)
    except OSError:
        return True


def chosen(house: House, own: Principal, route: bytes) -> Socket:
    """A peer that asks for a route as libzmq draws them."""
    peer = house.stranger()
    Curve(house.keys, own, NAMES).call(peer, SERVER)
    peer.set(zmq.ROUTING_ID, route)
    peer.connect(house.endpoint)
    return peer


def reaches(house: House, route: bytes) -> bool:
    try:
        house.door.socket.send_multipart((route, b"", b"whoever you are"))
    except zmq.ZMQError:
        return False
    return True


def test_an_answer_is_its_sessions_and_goes_to_nobody_who_has_its_route_by_now(house: House) -> None:
    asking = chosen(house, FACULTY, b"\0abcd")
    house.say(asking, b"", b"x")
    house.turn_until(lambda: house.received)
    session = house.received[0].session
    assert house.door.send(session, b"", b"here") is None
    house.turn_until(lambda: asking.poll(1))
    asking.close()
    house.turn_until(lambda: not reaches(house, b"\0abcd"))
    heir = chosen(house, OTHER, b"\0abcd")
    house.turn_until(lambda: reaches(house, b"\0abcd"))
    assert house.door.send(session, b"", b"secret") == PEER_GONE
    assert reaches(house, b"\0abcd")
    for _ in range(2):
        house.turn_until(lambda: heir.poll(1))
        assert heir.recv_multipart() == [b"", b"whoever you are"]


def test_what_is_ready_for_a_revoked_session_is_not_said_and_counted(house: House) -> None:
    peer, _ = house.heard(FACULTY, b"x")
    remove_allowed(house.keys, FACULTY)
    assert isinstance(house.security, Curve)
    house.security.allow_list.refresh()
    house.door.end_revoked()
    assert house.door.send(house.received[0].session, b"", b"secret") == refusals.REVOKED
    assert house.refused() == {refusals.REVOKED: 1}
    assert not peer.poll(100)


def test_a_session_with_the_descriptor_of_one_that_ended_is_answered(house: House) -> None:
    """Though the end of that one is told of after what this one has said was read."""
    assert house.door._watch is not None
    house.loop.unregister(house.door._watch.events)
    first, session = house.heard(FACULTY, b"first")
    first.close()
    house.turn_until(lambda: ended(house, session))
    while house.received[-1].session.fd != session.fd or len(house.received) == 1:  # a lower one may be free, too
        second, _ = house.heard(FACULTY, b"another")
    house.loop.register(house.door._watch.events, house.door._watch.on_ready)
    assert house.door.send(house.received[-1].session, b"", b"answer") is None
    house.turn_until(lambda: second.poll(1))


def test_who_is_read_after_the_end_of_his_connection_is_heard_and_not_answered(house: House) -> None:
    house.loop.unregister(house.door.socket)
    peer = house.call(FACULTY)
    house.say(peer, b"", b"last words")
    house.turn_until(lambda: house.door.socket.poll(1))
    assert house.door._watch is not None
    watch = house.door._watch
    house.turn_until(lambda: watch._open)
    (fd,) = watch._open
    peer.close()
    # libzmq tells of an end a moment before it closes the descriptor.
    house.turn_until(lambda: not watch._open and address_of(fd) == UNKNOWN_ADDRESS)
    house.loop.register(house.door.socket, house._on_ready)
    house.turn_until(lambda: house.received)
    assert house.door.send(house.received[0].session, b"", b"answer") == PEER_GONE
    assert not house.door._sessions


def test_a_new_key_of_its_own_asks_for_sockets_anew_and_astrangers_does_not(house: House) -> None:
    house.make(principals.faculty(5))
    house.heard(principals.faculty(5), b"x")
    assert not house.idle.must_reopen
    house.make(SERVER)
    house.turn_until(lambda: house.idle.must_reopen)


def test_a_door_whose_authenticator_is_dead_lets_nobody_in(tmp_path: Path) -> None:
    house = House(tmp_path, asked=False)
    peer = house.call(FACULTY)
    assert not peer.poll(1_500, zmq.POLLOUT), "longer than a handshake may last"
    assert not house.received
    house.close()


def test_without_security_everybody_is_let_in_and_nobody_is_known(tmp_path: Path) -> None:
    house = House(tmp_path, security=False)
    stranger = house.stranger()
    stranger.connect(house.endpoint)
    stranger.send_multipart([b"", b"x"])
    house.turn_until(lambda: house.received)
    assert house.received[0].session.peer is None
    house.turn_until(lambda: house.authenticator.deadline() > house.loop.clock().boot_us)  # nor does it spin
    house.close()


def test_a_key_that_is_let_in_besides_ends_no_connection(house: House) -> None:
    """Nor one on which nothing was read yet: whoever asks once and waits would wait in vain."""
    quiet, watch = house.call(FACULTY), house.door._watch
    assert watch is not None
    house.turn_until(lambda: quiet.poll(1, zmq.POLLOUT))
    events = sockets.monitor(house._strangers, quiet, zmq.EVENT_DISCONNECTED)
    seventh = principals.faculty(7)
    house.make(seventh)
    house.turn_until(lambda: isinstance(house.security, Curve) and house.security.allow_list.newest(seventh))
    house.say(quiet, b"", b"still there")
    house.turn_until(lambda: house.received)
    assert not events.poll(0)
    quiet.disable_monitor()
    events.close()


def test_a_door_that_rests_is_read_again_when_its_time_has_come(house: House) -> None:
    peer, _ = house.heard(FACULTY, b"first")
    house.door.rest(SOON_US)
    house.door.rest(2 * SOON_US)
    assert house.door.deadline() == 2 * SOON_US
    peer.send_multipart((b"", b"second"))
    while not house.door.socket.poll(1, zmq.POLLIN):
        house.loop.turn(house.idle)
    house.door.tick(Instant(SOON_US, 0))
    house.loop.turn(house.idle)
    assert len(house.received) == 1, "it still rests"
    house.door.tick(Instant(2 * SOON_US, 0))
    house.turn_until(lambda: len(house.received) == 2)
    assert house.door.deadline() is None
    house.door.rest(3 * SOON_US)  # and is closed at rest


class LeftUnread:
    """A frame that a connection left when it ended, as libzmq hands it on: with a descriptor that is another's now."""

    def __init__(self, fd: int) -> None:
        self._told = {zmq.SRCFD: fd, "User-Id": f"{OTHER}#0123456789abcdef", "Socket-Type": "REQ", "Peer-Address": ""}

    def get(self, name: int | str) -> object:
        return self._told[name]


@pytest.mark.parametrize("earlier", [1, 1 << 20])
def test_what_an_ended_connection_left_unread_takes_nobodys_answer(house: House, earlier: int) -> None:
    peer, session = house.heard(FACULTY, b"asked")
    drawn = (int.from_bytes(session.route[1:]) - earlier) % (1 << 32)
    gone = house.door._session(b"\0" + drawn.to_bytes(4), LeftUnread(session.fd))  # type: ignore[arg-type]
    assert house.door.is_over(gone)
    assert house.door.send(session, b"", b"answer") is None
    house.turn_until(lambda: peer.poll(1))
    assert peer.recv_multipart() == [b"", b"answer"]


def test_a_connection_made_later_has_the_descriptor_of_one_whose_last_words_were_read_late(house: House) -> None:
    peer, session = house.heard(FACULTY, b"asked")
    house.door._forget(session.fd)
    drawn = (int.from_bytes(session.route[1:]) - 1) % (1 << 32)
    house.door._session(b"\0" + drawn.to_bytes(4), LeftUnread(session.fd))  # type: ignore[arg-type]
    peer.send_multipart((b"", b"asked again"))
    house.turn_until(lambda: len(house.received) == 2)
    assert house.door.send(session, b"", b"answer") is None
