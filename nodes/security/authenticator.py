"""Says who may connect: libzmq asks it about every new peer (ZAP, RFC 27), and it follows the allow-list while it runs.

A session's User-Id is its principal and the fingerprint of its key, so that what it says can be held against the
allow-list as that is now, and not as it was when the session began.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

import zmq
from zmq.utils import z85

from es.replication.instant import Instant
from nodes.logs import logger
from nodes.security import roles
from nodes.security.crowd import ROOMS, Room
from nodes.security.curve import Curve, Open
from nodes.security.keys import fingerprint_of
from nodes.security.overrun import OverrunWatch, Watched
from nodes.security.principals import Principal, principal
from nodes.security.refusals import NOT_CONFIGURED, OVERRUN, UNKNOWN_KEY, WRONG_ROLE, Refusals
from nodes.shell import Loop, drain, read_clock
from nodes.sockets import Context, authentication_router

CHECK_US: Final = 250_000
"""How often the keys on disk are looked at: about so long does a revoked session last."""

PEERS_MAX: Final = 10_000
"""User-Ids whose reading is remembered."""

VERSION: Final = b"1.0"
TRY_LATER: Final = b"300"
"""RFC 27's temporary failure: the peer is cut off when the time for a handshake is over, and may come again. One that
was told 400 never would, though its key may be allowed the next moment."""

CURVE: Final = b"CURVE"
ENVELOPE_FRAMES: Final = 2
"""The question's way back: a route and an empty frame."""


class Peer(NamedTuple):
    """Whom a session belongs to, and the fingerprint of the key it was made with. `str` is its User-Id."""

    principal: Principal
    key: str

    def __str__(self) -> str:
        return f"{self.principal}#{self.key}"


class Guarded(Watched, Protocol):
    """A door, as far as it is told of changes and looked after."""

    def end_revoked(self) -> None: ...


class Authenticator:
    """One per process and context. With `Open` it is never asked, and lets everybody in. `rooms`: how many connections
    each door may have."""

    def __init__(
        self, security: Curve | Open, loop: Loop, context: Context, rooms: Mapping[str, Room] = ROOMS
    ) -> None:
        self.security = security
        self.rooms = rooms
        self.refusals = Refusals()
        self._loop = loop
        self._doors: list[Guarded] = []
        self._peers: dict[str, Peer] = {}
        self._check_us = 0
        self._overrun = OverrunWatch()
        self._zap = None
        if isinstance(security, Curve):
            self._zap = authentication_router(context)
            loop.register(self._zap, self._on_asked)
        else:
            logger().warning("NO SECURITY: whoever reaches a port is believed, and everything is sent in the clear")

    @property
    def is_asked(self) -> bool:
        """Whether peers must say who they are."""
        return self._zap is not None

    def guards(self, door: Guarded) -> None:
        """Tell this door when keys are revoked, and look after its connections."""
        self._doors.append(door)
        self._overrun.add(door)

    def leaves(self, door: Guarded) -> None:
        """No longer."""
        self._overrun.drop(door)
        self._doors.remove(door)

    def peer_of(self, user_id: str) -> Peer:
        """Whom a User-Id names. It was given by this process."""
        peer = self._peers.get(user_id)
        if peer is None:
            name, _, key = user_id.rpartition("#")
            peer = Peer(principal(name), key)
            if len(self._peers) < PEERS_MAX:
                self._peers[user_id] = peer
        return peer

    def is_allowed(self, peer: Peer) -> bool:
        """Whether that key is still that principal's."""
        assert isinstance(self.security, Curve)
        return self.security.allow_list.is_allowed(peer.principal, peer.key)

    def refuse(self, door: str, reason: str, *, address: str, key: str | None = None, why: str = "") -> None:
        """Count and log a refusal."""
        self.refusals.add(door, reason, read_clock().boot_us, address=address, key=key, why=why)

    def deadline(self) -> int:
        """Boot time in µs at which `tick` wants to be called."""
        return self._check_us

    def tick(self, now: Instant) -> bool:
        """Follow the keys on disk; sessions of revoked keys end. True if every socket must be opened anew, for a key
        that this process uses, its own or that of somebody whom it calls, was replaced."""
        if now.boot_us < self._check_us:
            return False
        self._check_us = now.boot_us + CHECK_US
        while self._overrun.ended:
            ended = self._overrun.ended.popleft()
            self.refuse(ended.door, OVERRUN, address=ended.address, key=ended.owner if self.is_asked else None)
        if not isinstance(self.security, Curve):
            return False
        change = self.security.refresh()
        if change.is_allow_list:
            logger().info("keys changed", allowed=len(self.security.allow_list.all()))
        if change.is_revocation:
            for door in self._doors:
                door.end_revoked()
        return change.must_reopen

    def close(self) -> None:
        """After the doors."""
        self._overrun.close()
        if self._zap is not None:
            self._loop.unregister(self._zap)
            self._zap.close()

    def _on_asked(self, now: Instant) -> None:
        assert self._zap is not None
        for frames in drain(self._zap):
            envelope, question = frames[:ENVELOPE_FRAMES], frames[ENVELOPE_FRAMES:]
            answer = self._answer(question, now)
            with suppress(zmq.Again):  # it asked and is gone: nobody waits for an answer
                self._zap.send_multipart((*envelope, *answer), zmq.NOBLOCK)

    def _answer(self, question: list[bytes], now: Instant) -> tuple[bytes, ...]:
        """RFC 27: version, request id, domain, address, identity, mechanism, credentials → version, request id,
        status, text, user id, metadata. The identity is the peer's own word and means nothing."""
        version, request_id, domain, address, _, mechanism, *credentials = question
        assert (version, mechanism, len(credentials)) == (VERSION, CURVE, 1), "every door speaks CURVE"
        door, curve = domain.decode(), z85.encode(credentials[0])
        key = fingerprint_of(credentials[0])
        assert isinstance(self.security, Curve)
        known = self.security.allow_list.principal_of(curve)
        reason = UNKNOWN_KEY if known is None else self._refusal_of(known, door)
        if known is not None and reason is None:
            return VERSION, request_id, b"200", b"OK", str(Peer(known, key)).encode(), b""
        assert reason is not None
        shown = key if known is None else str(Peer(known, key))
        self.refusals.add(door, reason, now.boot_us, address=address.decode(), key=shown)
        return VERSION, request_id, TRY_LATER, b"not allowed", b"", b""

    def _refusal_of(self, peer: Principal, door: str) -> str | None:
        """Why a peer whose key is allowed may not connect there; None if it may."""
        assert isinstance(self.security, Curve)
        if not roles.admits(door, peer, self.security.own):
            return WRONG_ROLE
        return None if roles.is_configured(peer, self.security.servers) else NOT_CONFIGURED
