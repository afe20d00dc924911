"""Where nobody is there to ask who may come, nobody comes: at every kind of door, with keys that are allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from es.replication.instant import Instant
from nodes import sockets
from nodes.security import roles
from nodes.security.authenticator import Authenticator
from nodes.security.curve import Curve
from nodes.security.keys import new_keys, save_allowed
from nodes.security.principals import WITNESS, Principal, faculty, program, server
from nodes.security.secret_keys import save_secret
from nodes.shell import Loop
from nodes.sockets import HANDSHAKE_IVL_MS, Context, Socket

A, B, F1, P1 = server("a"), server("b"), faculty(1), program(1)
NAMES = (A.name, B.name)
ANYWHERE = "tcp://127.0.0.1:*"
DOORS: dict[str, tuple[Principal, Callable[[Context, str, Curve], Socket]]] = {
    roles.REQUESTS: (A, sockets.request_router),
    roles.HEARTBEATS: (A, sockets.heartbeat_pub),
    roles.BATCHES: (A, sockets.batch_pub),
    roles.BEACONS: (A, sockets.beacon_pub),
    roles.REPAIR: (A, sockets.repair_router),
    roles.WITNESS: (WITNESS, sockets.witness_router),
    roles.PROGRAMS: (F1, sockets.program_router),
}
"""Whose each is."""

CALLERS: dict[str, tuple[Principal, Callable[[Context, str, Curve], Socket]]] = {
    roles.REQUESTS: (F1, lambda context, endpoint, own: sockets.request_dealer(context, endpoint, A, own)),
    roles.HEARTBEATS: (F1, lambda context, endpoint, own: sockets.heartbeat_sub(context, endpoint, b"", A, own)),
    roles.BATCHES: (B, lambda context, endpoint, own: sockets.batch_sub(context, endpoint, A, own)),
    roles.BEACONS: (B, lambda context, endpoint, own: sockets.beacon_sub(context, endpoint, A, own)),
    roles.REPAIR: (B, lambda context, endpoint, own: sockets.repair_dealer(context, endpoint, A, own)),
    roles.WITNESS: (A, sockets.witness_dealer),
    roles.PROGRAMS: (P1, lambda context, endpoint, own: sockets.program_req(context, endpoint, F1, own)),
}
"""Who may come there."""


class Idle:
    """A process that waits for nothing."""

    def deadline(self) -> int:
        return 0

    def on_turn(self, now: Instant) -> None:
        """Nothing is to be done."""


class Process:
    """What one principal listens with; nobody is asked in it before `begin_to_ask`."""

    def __init__(self, keys: Path, own: Principal, stack: ExitStack) -> None:
        self.security = Curve(keys, own, NAMES)
        self.context, self.loop = sockets.context(), Loop()
        self._stack = stack
        stack.callback(self.context.term)
        stack.callback(self.loop.close)

    def listen(self, door: str) -> str:
        """Open a door and say where it is."""
        socket = DOORS[door][1](self.context, ANYWHERE, self.security)
        self._stack.callback(socket.close)
        return sockets.bound_endpoint(socket)

    def begin_to_ask(self) -> None:
        """From now on somebody says who may come."""
        self._stack.callback(Authenticator(self.security, self.loop, self.context).close)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes everything in the end."""
    with ExitStack() as made:
        yield made


def handshakes(keys: Path, endpoints: Mapping[str, str], stack: ExitStack) -> dict[str, Socket]:
    """Somebody who may come at each door, and what tells that he was let in."""
    context, told = sockets.context(), {}
    stack.callback(context.term)
    for door, (own, call) in CALLERS.items():
        caller = call(context, endpoints[door], Curve(keys, own, NAMES))
        stack.callback(caller.close)
        told[door] = caller.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        stack.callback(told[door].close)
        stack.callback(caller.disable_monitor)
    return told


def test_cp11_a_door_without_an_authenticator_lets_nobody_in(tmp_path: Path, stack: ExitStack) -> None:
    for one in (A, B, WITNESS, F1, P1):
        keys = new_keys(one, "2026-01-31T12:00:00Z")
        save_secret(tmp_path, keys)
        save_allowed(tmp_path, keys.public)
    processes = {own: Process(tmp_path, own, stack) for own in {own for own, _ in DOORS.values()}}
    endpoints = {door: processes[own].listen(door) for door, (own, _) in DOORS.items()}
    assert endpoints.keys() == set(roles.DOORS)
    told = handshakes(tmp_path, endpoints, stack)
    poller = zmq.Poller()
    for events in told.values():
        poller.register(events, zmq.POLLIN)
    assert not poller.poll(HANDSHAKE_IVL_MS + 500), "longer than a handshake may last"
    for process in processes.values():
        process.begin_to_ask()
    while not all(events.poll(0) for events in told.values()):
        for process in processes.values():
            process.loop.turn(Idle())
