"""Raw peers that come to a door with whatever keys they have, or none. Each tries once and does not come again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

import zmq

from tests.process.running_cluster import RunningCluster
from tests.process.wire_keys import WireKeys
from tests.security.doors import GARBAGE, SUBSCRIBED, Place

Socket: TypeAlias = "zmq.Socket[bytes]"
Prepare: TypeAlias = Callable[[Socket, Place, WireKeys], None]


def _null(socket: Socket, place: Place, keys: WireKeys) -> None:
    """It speaks the mechanism NULL."""


def _plain(socket: Socket, place: Place, keys: WireKeys) -> None:
    socket.set(zmq.PLAIN_USERNAME, place.admitted.encode())
    socket.set(zmq.PLAIN_PASSWORD, b"secret")


def _with_new_keys(socket: Socket, server_key: bytes) -> None:
    public, secret = zmq.curve_keypair()
    socket.set(zmq.CURVE_SERVERKEY, server_key)
    socket.set(zmq.CURVE_PUBLICKEY, public)
    socket.set(zmq.CURVE_SECRETKEY, secret)


def _unknown(socket: Socket, place: Place, keys: WireKeys) -> None:
    _with_new_keys(socket, keys.public(place.owner).encode())


def _misled(socket: Socket, place: Place, keys: WireKeys) -> None:
    _with_new_keys(socket, zmq.curve_keypair()[0])


def _revoked(socket: Socket, place: Place, keys: WireKeys) -> None:
    kind = place.admitted.partition(":")[0]
    keys.give(socket, place.owner, {"program": "program:1/66", "faculty": "faculty:666"}.get(kind, "server:gone"))


def _half_known(socket: Socket, place: Place, keys: WireKeys) -> None:
    """It shows the public key of somebody who is admitted, and does not have the other half."""
    _with_new_keys(socket, keys.public(place.owner).encode())
    socket.set(zmq.CURVE_PUBLICKEY, keys.secret(place.admitted)["curve_public"].encode())


STRANGERS: Final[Mapping[str, tuple[Prepare, set[str]]]] = {
    "NULL": (_null, {"handshake", "left"}),
    "PLAIN": (_plain, {"handshake", "left"}),
    "unknown key": (_unknown, {"unknown_key"}),
    "revoked key": (_revoked, {"unknown_key"}),
    "key of another server": (_misled, {"handshake"}),
    "somebody's public key": (_half_known, {"handshake"}),
}
"""How somebody may come who is not known, and why he is refused. Who does not speak CURVE may see first that the other
end does, and leave."""


class Visitors:
    """Makes raw peers; closes them all in the end."""

    def __init__(self, running: RunningCluster) -> None:
        self._keys = WireKeys(running)
        self._context: zmq.Context[Socket] = zmq.Context()
        self._made: list[Socket] = []

    def stranger(self, kind: str, place: Place) -> Socket:
        """One of STRANGERS at a door. It says there what would be answered, and what is no message."""
        return self._visit(place, STRANGERS[kind][0])

    def come_as(self, principal: str, place: Place, *payloads: bytes) -> Socket:
        """Somebody with that principal's keys. It says these payloads, or else what a stranger says."""
        return self._visit(place, partial(_as, principal), payloads)

    def close(self) -> None:
        """Nobody is left."""
        for socket in self._made:
            socket.close()
        self._context.term()

    def _visit(self, place: Place, prepare: Prepare, payloads: tuple[bytes, ...] = ()) -> Socket:
        socket = self._context.socket(place.socket_type)
        self._made.append(socket)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.RECONNECT_IVL, -1)
        prepare(socket, place, self._keys)
        if place.door in SUBSCRIBED:
            socket.set(zmq.SUBSCRIBE, b"")
        socket.connect(place.endpoint)
        if place.door not in SUBSCRIBED:
            *delimiter, payload = place.said
            with suppress(zmq.Again):  # it has been refused already
                for one in payloads or (payload, GARBAGE):
                    socket.send_multipart([*delimiter, one], zmq.NOBLOCK)
        return socket


def _as(principal: str, socket: Socket, place: Place, keys: WireKeys) -> None:
    keys.give(socket, place.owner, principal)
