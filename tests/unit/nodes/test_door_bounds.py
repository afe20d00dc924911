"""What nobody gets at a door, on real sockets: the room of others, and more of this process's memory than its share."""

from __future__ import annotations

import os
import socket as tcp
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
import zmq

from nodes import sockets
from nodes.security import overrun, refusals, roles
from nodes.security.crowd import Room
from nodes.security.curve import OPEN, Curve
from nodes.security.door import PARTS_SKIPPED_MAX, Door
from nodes.security.overrun import OverrunWatch, unread_bytes_max
from nodes.sockets import MESSAGE_BYTES_MAX
from tests.unit.nodes.test_door import FACULTY, NAMES, OTHER, SERVER, House
from tests.unit.nodes.zmtp import MORE, connect, frame

Make = Callable[..., House]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[House] = []

    def make(*, security: bool = True, room: Room | None = None) -> House:
        made.append(House(tmp_path, security=security, room=room))
        return made[-1]

    yield make
    for house in made:
        house.close()


def knock(house: House) -> tcp.socket:
    """A TCP connection that says nothing."""
    host, port = house.endpoint.removeprefix("tcp://").split(":")
    return tcp.create_connection((host, int(port)))


def is_ended(peer: tcp.socket) -> bool:
    peer.settimeout(5)
    try:
        while peer.recv(4_096):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True


def is_refused(house: House, reason: str, count: int) -> bool:
    return house.refused().get(reason, 0) == count


def refused_at(house: House, door: str) -> dict[str, int]:
    counts = house.authenticator.refusals.counts
    return {reason: count for (one, reason), count in counts.items() if count and one == door}


def test_strangers_beyond_their_room_are_ended_the_oldest_first(make: Make) -> None:
    house = make(security=False, room=Room(8, 3))
    strangers = []
    for count in range(1, 6):
        strangers.append(connect(house.endpoint))  # libzmq itself ends none of these
        turned_away = max(count - 3, 0)
        house.turn_until(partial(is_refused, house, refusals.TOO_MANY, turned_away))
    assert all(map(is_ended, strangers[:2]))
    assert house.refused() == {refusals.TOO_MANY: 2}, "each is counted once, for what it was ended for"
    for stranger in strangers:
        stranger.close()


def test_strangers_push_no_peer_out_and_keep_none_from_coming_in(make: Make) -> None:
    house = make(room=Room(2, 2))
    first = house.call(FACULTY)
    house.say(first, b"", b"first")
    house.turn_until(lambda: house.received)
    strangers = [knock(house) for _ in range(20)]
    second = house.call(OTHER)
    house.say(second, b"", b"second")
    house.turn_until(lambda: len(house.received) == 2)
    house.say(first, b"", b"again")
    house.turn_until(lambda: len(house.received) == 3)
    assert house.received[2].session == house.received[0].session, "it was never ended"
    assert house.refused()[refusals.TOO_MANY] >= 18
    for stranger in strangers:
        stranger.close()


def test_a_key_with_many_connections_costs_only_its_own(make: Make) -> None:
    house = make(room=Room(4, 16))
    other = house.call(OTHER)
    house.say(other, b"", b"x")
    house.turn_until(lambda: house.received)
    greedy = [house.call(FACULTY) for _ in range(8)]
    for peer in greedy:
        house.say(peer, b"", b"greedy")
    house.turn_until(lambda: house.refused().get(refusals.TOO_MANY, 0) >= 5)
    house.say(other, b"", b"again")
    house.turn_until(lambda: house.received[-1].frames == [b"", b"again"])
    assert house.received[-1].session == house.received[0].session


def test_a_message_without_end_ends_its_connection(make: Make) -> None:
    """libzmq hands on whole messages only, and gathers the parts of this one for ever."""
    house = make(security=False)
    with connect(house.endpoint) as hostile:
        house.turn_until(lambda: flooded(hostile, 16 * frame(bytes(1 << 20), MORE)))
        house.turn_until(lambda: refusals.OVERRUN in house.refused())
    assert house.refused() == {refusals.OVERRUN: 1}
    assert not house.received


def flooded(hostile: tcp.socket, said: bytes) -> bool:
    """Say it once more; true when the other end takes nothing any more."""
    try:
        hostile.settimeout(10)
        hostile.sendall(said)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def test_a_peer_that_is_held_back_is_not_taken_for_a_hostile_one(make: Make) -> None:
    """It fills the queue of its connection and every buffer of the kernel with the longest messages there are."""
    house = make(security=False)
    message = frame(b"", MORE) + frame(bytes(MESSAGE_BYTES_MAX))
    watch, said = OverrunWatch(), 0
    watch.add(house.door)
    with connect(house.endpoint) as peer:
        peer.settimeout(0.3)
        rest = memoryview(message)
        with suppress(TimeoutError):
            while True:
                rest = rest[peer.send(rest) :]
                if not rest:
                    said, rest = said + 1, memoryview(message)
        for _ in range(3):
            watch.look()
        assert said >= sockets.UNREAD_MAX
        peer.setblocking(False)

        def is_all_read() -> bool:
            nonlocal rest
            with suppress(BlockingIOError):
                rest = rest[peer.send(rest) :]
            watch.look()
            return not rest and len(house.received) == said + 1

        house.turn_until(is_all_read)
    watch.close()
    assert not watch.ended
    assert not house.refused()


def test_many_connections_of_one_owner_hold_no_more_than_a_few(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them stays within its own bound."""
    monkeypatch.setattr(overrun, "OWNER_BYTES_MAX", 4 << 20)
    house = make(security=False)
    watch = OverrunWatch()
    watch.add(house.door)
    peers = [connect(house.endpoint) for _ in range(3)]
    for count, peer in enumerate(peers, 1):
        peer.sendall(frame(b"", MORE) + frame(b"hello"))
        house.turn_until(partial(lambda least: len(house.received) >= least, count))
    watch.look()
    for peer, messages in zip(peers, (1, 2, 3), strict=True):
        peer.sendall(messages * (frame(b"", MORE) + frame(bytes(1 << 20))))

    while not watch.ended:
        watch.look()
    watch.close()
    assert is_ended(peers[2]), "it holds the most"
    assert [one.owner for one in watch.ended] == ["127.0.0.1"]
    house.turn_until(lambda: len(house.received) >= 3 + 1 + 2)
    for peer in peers:
        peer.close()


def test_a_message_of_too_many_parts_is_read_over_and_ends_its_connection(make: Make) -> None:
    house = make(security=False)
    parts = frame(b"", MORE) * (3 * PARTS_SKIPPED_MAX) + frame(b"")
    with connect(house.endpoint) as hostile, connect(house.endpoint) as other:
        hostile.sendall(parts)
        other.sendall(frame(b"", MORE) + frame(b"x"))
        house.turn_until(lambda: house.received and house.refused())
        assert is_ended(hostile)
    assert [one.frames for one in house.received] == [[b"", b"x"]]
    assert house.refused() == {refusals.OVERRUN: 1}


def test_who_subscribes_without_end_is_ended_and_others_listen_on(make: Make) -> None:
    """libzmq keeps every subscription, and takes them in within one call for as long as they come."""
    house = make(security=False)
    pub = sockets.heartbeat_pub(house.context, "tcp://127.0.0.1:*", OPEN)
    beats = Door(roles.HEARTBEATS, pub, house.authenticator, house.loop, house.context)
    endpoint = sockets.bound_endpoint(pub)
    honest = house.keep(sockets.heartbeat_sub(house._strangers, endpoint, b"", SERVER, OPEN))

    def flood() -> None:
        with connect(endpoint, b"SUB") as hostile:
            while not flooded(hostile, b"".join(frame(b"\x01" + os.urandom(900)) for _ in range(100))):
                pass

    hostile = Thread(target=flood)
    hostile.start()
    house.turn_until(lambda: refusals.OVERRUN in refused_at(house, roles.HEARTBEATS))
    hostile.join()

    def hears() -> int:
        pub.send(b"beat", zmq.NOBLOCK)
        return honest.poll(1)

    house.turn_until(hears)
    assert refused_at(house, roles.HEARTBEATS) == {refusals.OVERRUN: 1}
    beats.close()


def test_a_door_knows_whose_a_subscription_is(make: Make) -> None:
    house = make()
    pub = sockets.heartbeat_pub(house.context, "tcp://127.0.0.1:*", house.security)
    beats = Door(roles.HEARTBEATS, pub, house.authenticator, house.loop, house.context)
    curve = Curve(house.keys, FACULTY, NAMES)
    house.keep(sockets.heartbeat_sub(house._strangers, sockets.bound_endpoint(pub), b"", SERVER, curve))
    house.turn_until(lambda: any(beats._crowd._owned))
    assert [owner.partition("#")[0] for owner in beats._crowd._owned] == [str(FACULTY)]
    beats.close()


def test_the_last_subscriber_may_go_and_others_come(make: Make) -> None:
    house = make(security=False)
    pub = sockets.heartbeat_pub(house.context, "tcp://127.0.0.1:*", OPEN)
    beats = Door(roles.HEARTBEATS, pub, house.authenticator, house.loop, house.context)
    for _ in range(2):
        with connect(sockets.bound_endpoint(pub), b"SUB") as peer:
            peer.sendall(frame(b"\x01topic"))
            house.turn_until(lambda: beats._crowd._owned)
        house.turn_until(lambda: not beats._crowd._owned)
    house.turn_until(lambda: not pub.poll(0))
    assert not refused_at(house, roles.HEARTBEATS)
    beats.close()


def test_the_bound_follows_from_the_options_of_the_socket(make: Make) -> None:
    house = make()
    least = sockets.UNREAD_MAX * MESSAGE_BYTES_MAX
    assert least < unread_bytes_max(house.door.socket) < 4 * least
