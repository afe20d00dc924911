"""Somebody whose key nobody allowed, at every door of a cluster: what comes of that (CP11)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final, NamedTuple

import zmq

from nodes import sockets, wire
from nodes.config.cluster import ClusterConfig, FacultyConfig, ServerConfig
from nodes.security import principals, roles
from nodes.security.allow_list import AllowList
from nodes.security.principals import Principal
from nodes.shell import read_clock
from nodes.sockets import Context, Security, Socket
from nodes.wire.beats import NODE_TOPIC
from nodes.wire.encoding import Encoding
from nodes.wire.schema import ProgramRequest
from projections.rooms.commands import Reserve

PATIENCE_US: Final = 1_000_000
"""How long an answer is waited for: a handshake takes a few ms."""

POLL_MS: Final = 50
_PROGRAM: Final = ProgramRequest("stranger", 1, 0, "stranger", "stranger")
_SOL: Final = Reserve("stranger", 1, "stranger", 1, "stranger", "stranger", 1, 0)
_ANYTHING: Final = b"\x00"


class Knock(NamedTuple):
    """A door that was tried, the HTTP endpoint of the process behind it, and whether anything came back."""

    door: str
    http: str
    is_answered: bool


class Stranger:
    """Knows everybody's public key, as anybody may, and has one of his own that is on no list."""

    def __init__(self, allow_list: AllowList) -> None:
        self._allow_list = allow_list
        self._public, self._secret = zmq.curve_keypair()

    def listen(self, socket: Socket, door: str) -> None:
        """Nobody connects to a stranger."""
        raise AssertionError("a stranger listens nowhere")

    def call(self, socket: Socket, peer: Principal) -> None:
        """See nodes.security.curve.Security."""
        known = self._allow_list.newest(peer)
        assert known is not None, f"{peer} has a key"
        socket.set(zmq.CURVE_SERVERKEY, known.curve)
        socket.set(zmq.CURVE_PUBLICKEY, self._public)
        socket.set(zmq.CURVE_SECRETKEY, self._secret)


def knock(config: ClusterConfig, server: ServerConfig, faculty: FacultyConfig, context: Context) -> list[Knock]:
    """Try every door of one server, the witness and one faculty of a cluster with keys, all at once; take what comes
    within PATIENCE_US."""
    stranger = Stranger(AllowList(config.keys))
    owner = principals.server(server.name)
    tried: list[tuple[str, str, Callable[[Security], Socket], list[bytes]]] = [
        (roles.PROGRAMS, faculty.http,
         lambda s: sockets.program_req(context, faculty.endpoint, principals.faculty(faculty.id), s),
         [wire.encode(_PROGRAM, Encoding.JSON)]),
        (roles.REQUESTS, server.http, lambda s: sockets.request_dealer(context, server.requests, owner, s),
         [b"", wire.encode(_SOL, Encoding.MSGPACK)]),
        (roles.REPAIR, server.http, lambda s: sockets.repair_dealer(context, server.repair, owner, s), [_ANYTHING]),
        (roles.WITNESS, config.witness.http, lambda s: sockets.witness_dealer(context, config.witness.endpoint, s),
         [_ANYTHING]),
        (roles.HEARTBEATS, server.http,
         lambda s: sockets.heartbeat_sub(context, server.heartbeats, NODE_TOPIC, owner, s), []),
        (roles.BATCHES, server.http, lambda s: sockets.batch_sub(context, server.batches, owner, s), []),
        (roles.BEACONS, server.http, lambda s: sockets.beacon_sub(context, server.beacons, owner, s), []),
    ]  # fmt: skip
    with ExitStack() as stack:
        poller = zmq.Poller()
        called: dict[Socket, tuple[str, str]] = {}
        for door, http, connect, said in tried:
            socket = connect(stranger)
            stack.callback(socket.close)
            poller.register(socket, zmq.POLLIN)
            called[socket] = door, http
            if said:
                with suppress(zmq.Again):  # it takes nothing before somebody has let it in
                    socket.send_multipart(said, zmq.NOBLOCK)
        answered: set[Socket] = set()
        until_us = read_clock().boot_us + PATIENCE_US
        while read_clock().boot_us < until_us:
            answered |= {socket for socket, _ in poller.poll(POLL_MS)}
        return [Knock(door, http, socket in answered) for socket, (door, http) in called.items()]
