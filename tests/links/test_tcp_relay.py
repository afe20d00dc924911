"""A relay holds one direction and lets the other pass; what was held arrives later, in order."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from ops.prove.tcp_relay import Relay, Way

WITHIN_S = 10.0


class Line(NamedTuple):
    relay: Relay
    client: socket.socket
    server: socket.socket


@pytest.fixture
def line() -> Iterator[Line]:
    """A connection through a relay, from both ends."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(WITHIN_S)
        relay = Relay(listener.getsockname()[1])
        stack.callback(relay.close)
        client = stack.enter_context(socket.create_connection(("127.0.0.1", relay.port), WITHIN_S))
        server = stack.enter_context(listener.accept()[0])
        server.settimeout(WITHIN_S)
        yield Line(relay, client, server)


@pytest.mark.parametrize("way", list(Way))
def test_one_direction_is_held_and_the_other_passes(line: Line, way: Way) -> None:
    held, passing = (line.client, line.server) if way is Way.UP else (line.server, line.client)
    line.relay.hold(way)
    held.sendall(b"later")
    passing.sendall(b"now")
    assert held.recv(100) == b"now"
    passing.setblocking(False)
    with pytest.raises(BlockingIOError):
        passing.recv(100)
    passing.settimeout(WITHIN_S)
    line.relay.hold()
    assert passing.recv(100) == b"later"


def test_a_cut_breaks_the_connection(line: Line) -> None:
    line.relay.cut()
    assert line.client.recv(100) == b""
    assert line.server.recv(100) == b""


def test_closing_ends_what_is_held(line: Line) -> None:
    line.relay.hold(*Way)
    line.client.sendall(b"never mind")
    line.relay.close()
    assert line.client.recv(100) == b""
