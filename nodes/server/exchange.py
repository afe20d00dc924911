"""What is under way at a server's door: a payload of a client, and where its answers go."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

from nodes.security.principals import Principal
from nodes.wire.encoding import Encoding
from nodes.wire.payload import Payload
from nodes.wire.schema import Closed, Res
from projections.rooms.commands import Proposal

S = TypeVar("S", bound=Hashable)
"""A session: the connection that something came on, and to which its answers go. The core only tells them apart."""


class Exchange(Generic[S]):
    """One payload of a client and where its answers go. A REQ peer gets all of them in one payload."""

    __slots__ = (
        "answers", "awaited", "began_us", "encoding", "faculty_id", "identity", "is_array", "pattern", "peer",
        "session",
    )  # fmt: skip

    def __init__(self, session: S, pattern: str, peer: Principal | None, identity: Hashable, now_us: int) -> None:
        self.session = session
        self.identity = identity
        self.pattern = pattern
        self.peer = peer
        self.faculty_id = int(peer.name) if peer is not None and peer.kind == "faculty" else None
        self.began_us = now_us
        self.encoding = Encoding.MSGPACK
        self.is_array = False
        self.awaited = 0
        self.answers: list[Proposal | Res | Closed] = []


class Parcel(Generic[S]):
    """One payload on its way in, not copied yet if it is large. `messages` is what is left of it once its structure was
    read."""

    __slots__ = ("exchange", "messages", "payload")

    def __init__(self, exchange: Exchange[S], payload: Payload, messages: Iterator[Any] | None = None) -> None:
        self.exchange = exchange
        self.payload = payload
        self.messages = messages
