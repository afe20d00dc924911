"""What waits for peers that do not take what they are sent is bounded, whoever they are and however they connect."""

from __future__ import annotations

import socket as tcp_socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq

from nodes import sockets
from nodes.security import tcp
from nodes.security.curve import Curve
from nodes.security.door import PEER_FULL
from nodes.security.untaken import Untaken
from tests.unit.nodes.test_door import FACULTY, NAMES, OTHER, SERVER, House

BYTES_MAX = 256 << 10
PIECE = bytes(64 << 10)


class Line:
    """A TCP connection on this host: what we write to it goes into the kernel's buffers until its peer reads."""

    def __init__(self) -> None:
        with tcp_socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = tcp_socket.create_connection(listener.getsockname())
            self.ours, _ = listener.accept()
        self.ours.setblocking(False)
        self.fd = self.ours.fileno()

    def fill(self) -> int:
        """Write until the kernel takes no more; the bytes that it took."""
        took = 0
        with suppress(BlockingIOError):
            while True:
                took += self.ours.send(PIECE)
        return took

    def read(self, size: int) -> None:
        while size:
            size -= len(self.peer.recv(min(size, 1 << 20)))

    def close(self) -> None:
        self.ours.close()
        self.peer.close()


Connect = Callable[[], Line]


@pytest.fixture
def connect() -> Iterator[Connect]:
    lines: list[Line] = []

    def made() -> Line:
        lines.append(Line())
        return lines[-1]

    yield made
    for line in lines:
        line.close()


@pytest.fixture
def untaken() -> Untaken:
    return Untaken(sealed=False, bytes_max=BYTES_MAX)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_who_takes_nothing_is_sent_no_more_and_others_are(untaken: Untaken, connect: Connect) -> None:
    line, other = connect(), connect()
    line.fill()  # on its connection nothing moves any more
    untaken.sent(other.fd, "other", [b"x"])
    taken, sent = tcp.taken_bytes(line.fd) or 0, 0
    while untaken.has_room("greedy"):
        untaken.sent(line.fd, "greedy", [PIECE])
        sent += len(PIECE)
    assert BYTES_MAX + taken - len(PIECE) <= sent <= BYTES_MAX + taken + len(PIECE)
    assert untaken.has_room("other")


def test_who_takes_what_waits_is_sent_more(untaken: Untaken, connect: Connect) -> None:
    line = connect()
    written = line.fill()
    while untaken.has_room("slow"):
        untaken.sent(line.fd, "slow", [PIECE])
    line.read(written)
    assert tcp.has_taken_all(line.fd)
    assert untaken.has_room("slow")


def test_who_takes_some_of_it_is_sent_more_once_little_enough_waits(untaken: Untaken, connect: Connect) -> None:
    line = connect()
    written = line.fill()
    untaken.sent(line.fd, "slow", [bytes(written)])
    assert not untaken.has_room("slow")
    while not untaken.has_room("slow"):
        line.read(len(PIECE))
    taken = tcp.taken_bytes(line.fd)
    assert taken is not None and taken >= written - BYTES_MAX


def test_many_connections_of_one_key_have_no_more_than_one(untaken: Untaken, connect: Connect) -> None:
    lines = [connect() for _ in range(4)]
    for line in lines:
        line.fill()
    for _ in range(2 * BYTES_MAX // len(PIECE)):
        for line in lines:
            untaken.sent(line.fd, "greedy", [PIECE])
    refused = [untaken.has_room("greedy") for _ in range(8)]
    assert refused == [False] * 8
    for line in lines:
        untaken.leave(line.fd)
    assert untaken.has_room("greedy"), "what waits for nobody is gone"


def test_the_kernel_is_asked_once_for_as_many_refusals_as_there_are_connections(
    untaken: Untaken, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [connect() for _ in range(10)]
    for line in lines:
        line.fill()
        untaken.sent(line.fd, "greedy", [bytes(16 * BYTES_MAX)])
    asked: list[int] = []

    def answer(fd: int) -> int:
        asked.append(fd)
        return 0

    monkeypatch.setattr(tcp, "taken_bytes", answer)
    assert not any(untaken.has_room("greedy") for _ in range(100))
    assert len(asked) == 100


@pytest.mark.parametrize("size", [0, 1, 200, 222, 223, 255, 256, 1_000, 100_000])
def test_what_a_message_takes_on_the_wire_is_known(house: House, size: int) -> None:
    peer, session = house.heard(FACULTY, b"hello")
    house.turn_until(lambda: tcp.has_taken_all(session.fd))
    counted = Untaken(sealed=True)
    before = tcp.taken_bytes(session.fd)
    for _ in range(10):
        frames = (b"", bytes(size))
        assert house.door.send(session, *frames) is None
        counted.sent(session.fd, "x", frames)
        house.turn_until(lambda: peer.poll(1))
        peer.recv_multipart()
    house.turn_until(lambda: tcp.has_taken_all(session.fd))
    taken = tcp.taken_bytes(session.fd)
    assert before is not None and taken is not None
    assert taken - before == counted.waiting("x")


def test_a_door_sends_no_more_to_who_does_not_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.door, "_untaken", Untaken(sealed=True, bytes_max=BYTES_MAX))
    own = Curve(house.keys, FACULTY, NAMES)
    greedy = house.keep(sockets.request_dealer(house.context, house.endpoint, SERVER, own, messages_max=1))
    house.say(greedy, b"", b"much, please")
    house.turn_until(lambda: house.received)
    session = house.received[-1].session
    sent = 0
    while house.door.send(session, b"", PIECE) is None:
        sent += 1
        assert sent < sockets.ANSWERS_MAX, "nothing bounds what waits but the number of messages"
    _, polite = house.heard(OTHER, b"a little, please")
    assert house.door.send(polite, b"", b"here") is None

    def goes_on() -> bool:
        with suppress(zmq.Again):
            greedy.recv_multipart()
        return house.door.send(session, b"", b"x") != PEER_FULL

    house.turn_until(goes_on)
