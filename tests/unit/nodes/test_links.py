"""The links of two servers, on real sockets: what is heard is never heard before it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import zmq

from es.codec import GENESIS_HASH
from es.replication.effects import Emit, Tell
from es.replication.instant import Instant
from es.replication.messages import Ack, Beacon, Member, Message, Mismatch, Register, pack
from nodes import sockets
from nodes.config.cluster import one_host
from nodes.security import principals
from nodes.security.authenticator import Authenticator
from nodes.security.curve import OPEN
from nodes.server.links import Links
from nodes.shell import Loop
from nodes.shell import drain as sockets_drain
from ops.demo import free_base_port

REGISTER = Register("c", 1, Member("a", "a1"), (Member("a", "a1"),), 1)


class Heard:
    """The messages of one server's links, and the clock reading that each came with."""

    def __init__(self) -> None:
        self.at: list[tuple[Message, int]] = []

    def __call__(self, message: Message, sender: str, now: Instant) -> None:
        self.at.append((message, now.boot_us))


class Idle:
    """A participant that does nothing."""

    def deadline(self) -> int | None:
        return None

    def on_turn(self, now: Instant) -> None:
        """It has nothing to say."""


@pytest.fixture
def readings() -> Iterator[int]:
    return count()


def test_a_beacon_is_heard_by_a_clock_that_was_read_after_it_was_received(
    tmp_path: Path, readings: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = one_host(tmp_path, cluster_id="c", faculties=0, base_port=free_base_port())
    context, heard = sockets.context(), Heard()
    loop = Loop(clock=lambda: Instant(next(readings), 0))
    authenticator = Authenticator(OPEN, loop, context)
    links = {name: Links(config, config.server(name), loop, context, authenticator, heard) for name in "ab"}
    drained_at: list[int] = []

    def drain(socket: sockets.Socket) -> list[list[bytes]]:
        drained_at.append(next(readings))
        return sockets_drain(socket)

    monkeypatch.setattr("nodes.server.links.drain", drain)
    sent_us = 0
    while not heard.at:
        sent_us += 1
        links["a"].emit(Emit(Beacon(REGISTER, 0, GENESIS_HASH, 0, 0, sent_us)))
        loop.turn(Idle())
    assert isinstance(heard.at[0][0], Beacon)
    assert heard.at[0][1] > drained_at[-1]
    for one in links.values():
        one.close()
    loop.close()
    context.term()


def test_a_follower_of_another_cluster_is_told_nothing(tmp_path: Path) -> None:
    config = one_host(tmp_path, cluster_id="c", faculties=0, base_port=free_base_port())
    context, loop, heard = sockets.context(), Loop(), Heard()
    links = Links(config, config.server("a"), loop, context, Authenticator(OPEN, loop, context), heard)
    caller = sockets.repair_dealer(context, config.server("a").repair, principals.server("b"), OPEN)

    def is_told_after(cluster_id: str) -> bool:
        caller.poll(10_000, zmq.POLLOUT)
        caller.send(pack(Ack(cluster_id, 1, Member("b", "b1"), 1, GENESIS_HASH)))
        before = len(heard.at)
        while len(heard.at) == before:
            loop.turn(Idle())
        gone = links.ignored["peer gone"]
        links.tell(Tell("b", Mismatch("c", 1, GENESIS_HASH, 1, GENESIS_HASH)))
        return links.ignored["peer gone"] == gone

    assert not is_told_after("another")
    assert is_told_after("c")
    caller.close()
    links.close()
    loop.close()
    context.term()
