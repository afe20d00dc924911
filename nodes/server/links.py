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
    sender_of,
    unpack,
)
from nodes import sockets
from nodes.calls import Calls
from nodes.config.cluster import ClusterConfig, ServerConfig
from nodes.security import principals, roles
from nodes.security.authenticator import Authenticator
from nodes.security.door import PEER_FULL, PEER_GONE, Door, Session
from nodes.security.principals import Principal
from nodes.security.refusals import IDENTITY
from nodes.shell import Loop, drain
from nodes.sockets import Context, Socket

TO_FOLLOWER: Final = (Batches, Mismatch, RolledBack)
"""Answers of a primary: they go back over the connection on which the follower asked."""

LINK_WHYS: Final = ("malformed", "link full", PEER_GONE, "bad frames", "not its own", "called again")


class Links:
    """All sockets between servers and to the witness. `deliver(message, sender, now)` takes what arrives; the sender is
    a server's name, WITNESS, or empty where nobody is asked who he is and the message does not say."""

    def __init__(
        self,
        config: ClusterConfig,
        own: ServerConfig,
        loop: Loop,
        context: Context,
        authenticator: Authenticator,
        deliver: Callable[[Message, str, Instant], None],
    ) -> None:
        self._config = config
        self._own = own
        self._loop = loop
        self._context = context
        self._authenticator = authenticator
        self._deliver = deliver
        self.ignored: Counter[str] = Counter(dict.fromkeys(LINK_WHYS, 0))
        self._followers: dict[str, Session] = {}
        self._names = {server.name for server in config.servers}
        self._calls = Calls(loop, context)
        self._peers: dict[str, Socket] = {}
        self._sources: list[Socket] = []
        self._doors: list[Door] = []
        self.open()

    def open(self) -> None:
        """Listen and connect: anew after `close`."""
        context, own, security = self._context, self._own, self._authenticator.security
        self._batches = self._door(roles.BATCHES, sockets.batch_pub(context, own.batches, security))
        self._beacons = self._door(roles.BEACONS, sockets.beacon_pub(context, own.beacons, security))
        self._repair = self._door(roles.REPAIR, sockets.repair_router(context, own.repair, security), self._on_repair)
        witness = sockets.witness_dealer(context, self._config.witness.endpoint, security)
        self._peers[WITNESS] = self._called(witness, roles.WITNESS, principals.WITNESS)
        for other in self._config.servers:
            if other.name != own.name:
                peer = principals.server(other.name)
                self._peers[other.name] = self._called(
                    sockets.repair_dealer(context, other.repair, peer, security), roles.REPAIR, peer
                )
                self._called(sockets.batch_sub(context, other.batches, peer, security), roles.BATCHES, peer)
                self._called(sockets.beacon_sub(context, other.beacons, peer, security), roles.BEACONS, peer)

    def _door(self, name: str, bound: Socket, on_ready: Callable[[Instant], None] | None = None) -> Door:
        door = Door(name, bound, self._authenticator, self._loop, self._context, on_ready)
        self._doors.append(door)
        return door

    def _called(self, source: Socket, door: str, peer: Principal) -> Socket:
        """Hear what comes back on a connection to that door of `peer`."""
        self._loop.register(source, partial(self._on_ready, source, door, peer))
        self._calls.keep(source)
        self._sources.append(source)
        return source

    def tick(self, now: Instant) -> None:
        """Connect anew what libzmq has given up. To be called some times a second."""
        self.ignored["called again"] += self._calls.tick(now)

    def publish(self, effect: Publish) -> None:
        """Send a batch to whoever listens."""
        self._send(self._batches.socket, pack(effect.frame))

    def emit(self, effect: Emit) -> None:
        """Send a beacon to whoever listens."""
        self._send(self._beacons.socket, pack(effect.beacon))

    def tell(self, effect: Tell) -> None:
        """Send to one node's back channel, or to the witness."""
        if isinstance(effect.message, TO_FOLLOWER):
            follower = self._followers.get(effect.node)
            why = PEER_GONE if follower is None else self._repair.send(follower, pack(effect.message))
            if why in (PEER_GONE, PEER_FULL):
                self.ignored["link full" if why is PEER_FULL else PEER_GONE] += 1
        elif (peer := self._peers.get(effect.node)) is not None:
            self._send(peer, pack(effect.message))
        else:
            self.ignored[PEER_GONE] += 1

    def close(self) -> None:
        """Give all sockets back that are open. What is told from now on reaches nobody."""
        for source in self._sources:
            self._loop.unregister(source)
            self._calls.drop(source)
            source.close()
        for door in self._doors:
            door.close()
        for opened in (self._sources, self._doors, self._peers, self._followers):
            opened.clear()

    def _send(self, socket: Socket, frame: bytes) -> None:
        try:
            socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            self.ignored["link full"] += 1

    # The clock is read once more after what is there was drained: a beacon must never count as heard before it was
    # sent, whenever this process was frozen, or its primary's lease would outlast our patience (R5, R7).

    def _on_ready(self, source: Socket, door: str, peer: Principal, _: Instant) -> None:
        sender = WITNESS if peer == principals.WITNESS else peer.name
        messages = drain(source)
        now = self._loop.clock()
        for frames in messages:
            message = self._read(frames)
            if message is None:
                continue
            if roles.may_say_back(door, peer, message):
                self._deliver(message, sender, now)
            else:
                self.ignored["not its own"] += 1

    def _on_repair(self, _: Instant) -> None:
        received = list(self._repair.messages())
        now = self._loop.clock()
        for one in received:
            session, message = one.session, self._read(one.frames)
            if message is None:
                continue
            if session.peer is not None and not roles.may_say(roles.REPAIR, session.peer.principal, message):
                self._repair.refuse(session, IDENTITY, type(message).__name__)
                continue
            self._remember(session, message)
            sender = session.peer.principal.name if session.peer is not None else sender_of(message) or ""
            self._deliver(message, sender, now)

    def _remember(self, session: Session, message: Message) -> None:
        """Where a follower is to be answered: over the connection it spoke on last."""
        if not isinstance(message, Ack | BeaconAck | Fetch) or message.cluster_id != self._config.cluster_id:
            return
        if message.member.node in self._names:
            self._followers[message.member.node] = session

    def _read(self, frames: list[bytes]) -> Message | None:
        if len(frames) != 1:
            self.ignored["bad frames"] += 1
            return None
        try:
            return unpack(frames[0])
        except RemoteProtocolError:
            self.ignored["malformed"] += 1
            return None
