"""A server's links to the other data nodes and to the witness: messages in, effects out.

Per peer: a SUB on its batches, a SUB on its beacons, a DEALER to its repair port. Own: a PUB for each of
the first two, a ROUTER for the third. What a link cannot take now is lost; the protocol repairs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import zmq

from es.errors import RemoteProtocolError
from es.replication.effects import WITNESS, Emit, Publish, Tell
from es.replication.instant import Instant
from es.replication.messages import (
    Ack,
    Batches,
    BeaconAck,
    Fetch,
    Message,
    Mismatch,
    RolledBack,
    pack,
    unpack,
)
from nodes import sockets
from nodes.config import ClusterConfig, ServerConfig
from nodes.shell import Loop, drain
from nodes.sockets import Context, Socket

TO_FOLLOWER: Final = (Batches, Mismatch, RolledBack)
"""Answers of a primary: they go back over the connection on which the follower asked."""

LINK_WHYS: Final = ("malformed", "link full", "peer gone", "bad frames")


class Links:
    """All sockets between servers and to the witness. `deliver(message, now)` takes what arrives."""

    def __init__(
        self,
        config: ClusterConfig,
        own: ServerConfig,
        loop: Loop,
        context: Context,
        deliver: Callable[[Message, Instant], None],
    ) -> None:
        self._loop = loop
        self._deliver = deliver
        self.ignored: Counter[str] = Counter(dict.fromkeys(LINK_WHYS, 0))
        self._followers: dict[str, bytes] = {}
        self._names = {server.name for server in config.servers}
        self._batches = sockets.batch_pub(context, own.batches)
        self._beacons = sockets.beacon_pub(context, own.beacons)
        self._repair = sockets.repair_router(context, own.repair)
        self._peers: dict[str, Socket] = {WITNESS: sockets.witness_dealer(context, config.witness.endpoint)}
        self._sources: list[Socket] = [self._repair, self._peers[WITNESS]]
        for peer in config.servers:
            if peer.name != own.name:
                self._peers[peer.name] = sockets.repair_dealer(context, peer.repair)
                self._sources += (
                    self._peers[peer.name],
                    sockets.batch_sub(context, peer.batches),
                    sockets.beacon_sub(context, peer.beacons),
                )
        loop.register(self._repair, self._on_repair)
        for source in self._sources[1:]:
            loop.register(source, partial(self._on_ready, source))

    def publish(self, effect: Publish) -> None:
        """Send a batch to whoever listens."""
        self._send(self._batches, [pack(effect.frame)])

    def emit(self, effect: Emit) -> None:
        """Send a beacon to whoever listens."""
        self._send(self._beacons, [pack(effect.beacon)])

    def tell(self, effect: Tell) -> None:
        """Send to one node's back channel, or to the witness."""
        if isinstance(effect.message, TO_FOLLOWER):
            route = self._followers.get(effect.node)
            if route is None:
                self.ignored["peer gone"] += 1
            else:
                self._send(self._repair, [route, pack(effect.message)])
        elif (peer := self._peers.get(effect.node)) is not None:
            self._send(peer, [pack(effect.message)])
        else:
            self.ignored["peer gone"] += 1

    def close(self) -> None:
        """Give all sockets back."""
        for source in self._sources:
            self._loop.unregister(source)
            source.close()
        self._batches.close()
        self._beacons.close()

    def _send(self, socket: Socket, frames: list[bytes]) -> None:
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self.ignored["link full"] += 1
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.ignored["peer gone"] += 1

    # The clock is read once more after what is there was drained: a beacon must never count as heard before it was
    # sent, whenever this process was frozen, or its primary's lease would outlast our patience (R5, R7).

    def _on_ready(self, source: Socket, _: Instant) -> None:
        messages = drain(source)
        now = self._loop.clock()
        for frames in messages:
            self._take(frames, now)

    def _on_repair(self, _: Instant) -> None:
        messages = drain(self._repair)
        now = self._loop.clock()
        for route, *frames in messages:
            self._take(frames, now, before=partial(self._remember, route))

    def _remember(self, route: bytes, message: Message) -> None:
        """Where a follower is to be answered: over the connection it spoke on last."""
        if isinstance(message, Ack | BeaconAck | Fetch) and message.member.node in self._names:
            self._followers[message.member.node] = route

    def _take(self, frames: list[bytes], now: Instant, before: Callable[[Message], None] | None = None) -> None:
        if len(frames) != 1:
            self.ignored["bad frames"] += 1
            return
        try:
            message = unpack(frames[0])
        except RemoteProtocolError:
            self.ignored["malformed"] += 1
            return
        if before is not None:
            before(message)
        self._deliver(message, now)
