"""A connection that libzmq would give up for ever is made again, whatever came instead of a peer."""

from __future__ import annotations

import socket as tcp
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from es.replication.instant import Instant
from nodes import sockets
from nodes.calls import Calls
from nodes.security import principals
from nodes.security.authenticator import Authenticator
from nodes.security.curve import Curve
from nodes.security.keys import new_keys, save_allowed
from nodes.security.secret_keys import save_secret
from nodes.shell import Loop
from ops.prove.tcp_relay import Relay, Way

NAMES = ("a", "b")
SERVER, OTHER = map(principals.server, NAMES)
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"


class Caller:
    """A process that listens to one server; `again` counts how often it had to be made to."""

    def __init__(self, keys: Path, stack: ExitStack) -> None:
        for own in (SERVER, OTHER):
            made = new_keys(own, "2026-01-31T12:00:00Z")
            save_secret(keys, made)
            save_allowed(keys, made.public)
        self._keys, self._stack = keys, stack
        self.loop, self.context = Loop(), sockets.context()
        stack.callback(self.context.term)
        stack.callback(self.loop.close)
        self.calls = Calls(self.loop, self.context)
        self.heard: list[list[bytes]] = []
        self.again = 0

    def call(self, port: int) -> None:
        """Subscribe to whoever is there."""
        sub = sockets.beacon_sub(self.context, f"tcp://127.0.0.1:{port}", SERVER, Curve(self._keys, OTHER, NAMES))
        self._stack.callback(sub.close)
        self.loop.register(sub, lambda now: self.heard.append(sub.recv_multipart()))
        self.calls.keep(sub)
        self._stack.callback(self.calls.drop, sub)

    def serve(self, port: int | None = None) -> sockets.Socket:
        """The server's beacons, and somebody who lets the caller in."""
        context, security = sockets.context(), Curve(self._keys, SERVER, NAMES)
        self._stack.callback(context.term)
        self._stack.callback(Authenticator(security, self.loop, context).close)
        pub = sockets.beacon_pub(context, f"tcp://127.0.0.1:{port or '*'}", security)
        self._stack.callback(pub.close)
        return pub

    def deadline(self) -> int:
        return 0

    def on_turn(self, now: Instant) -> None:
        self.again += self.calls.tick(now)

    def turn_until(self, fact: Callable[[], object]) -> None:
        """Until it is so (pytest's own time limit ends a wait in vain)."""
        while not fact():
            self.loop.turn(self)

    def was_made_to(self, again: int) -> bool:
        """Call so often."""
        return self.again >= again

    def hears(self, pub: sockets.Socket) -> bool:
        """Whether something came in this turn. Ask again until it does: what is said now may come later."""
        self.heard.clear()
        pub.send(b"beat")
        self.loop.turn(self)
        return bool(self.heard)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def caller(tmp_path: Path, stack: ExitStack) -> Caller:
    return Caller(tmp_path, stack)


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.0 400 Bad Request\r\n\r\n" * 9, GREETING + b"NULL".ljust(52, b"\0"),
     GREETING + b"CURVE".ljust(52, b"\0") + b"\x04\x0a\x05ERROR\x03400"],
    ids=["http", "null", "refused for ever"],
)  # fmt: skip
def test_a_port_that_somebody_else_had_is_called_again(caller: Caller, said: bytes) -> None:
    """As in a restart, when another program takes the port for a moment."""
    with tcp.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        caller.call(port)
        for again in (1, 2):
            listener.settimeout(0.01)
            stranger = None
            while stranger is None:
                caller.loop.turn(caller)
                try:
                    stranger, _ = listener.accept()
                except TimeoutError:
                    continue
            with stranger:
                stranger.sendall(said)
                caller.turn_until(partial(caller.was_made_to, again))
    pub = caller.serve(port)
    caller.turn_until(lambda: caller.hears(pub))


def test_a_connection_on_which_a_byte_was_changed_is_made_again(caller: Caller, stack: ExitStack) -> None:
    pub = caller.serve()
    is_changed: list[bool] = []

    def change_a_byte(way: Way, said: bytes) -> bytes:
        if way is Way.UP or not caller.heard or is_changed:
            return said
        is_changed.append(True)
        return said[:-1] + bytes([said[-1] ^ 1])

    relay = Relay(int(sockets.bound_endpoint(pub).rpartition(":")[2]), change_a_byte)
    stack.callback(relay.close)
    caller.call(relay.port)
    caller.turn_until(lambda: caller.hears(pub))

    def is_made_again() -> bool:
        pub.send(b"changed")  # until one is: what finds the queue full is dropped
        return caller.was_made_to(1)

    caller.turn_until(is_made_again)
    caller.turn_until(lambda: caller.hears(pub))
    assert (len(is_changed), caller.again) == (1, 1)


def test_a_connection_that_only_breaks_is_left_to_libzmq(caller: Caller, stack: ExitStack) -> None:
    pub = caller.serve()
    relay = Relay(int(sockets.bound_endpoint(pub).rpartition(":")[2]))
    stack.callback(relay.close)
    caller.call(relay.port)
    for _ in range(3):
        caller.turn_until(lambda: caller.hears(pub))
        relay.cut()
        relay.restore()
    caller.turn_until(lambda: caller.hears(pub))
    assert caller.again == 0
