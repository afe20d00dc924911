"""Who may do what: door × kind of principal × verb, and whom a message may speak for. What is not said here is denied.

A door is one listening socket. Subscribers say nothing; they are admitted or not. Everything here is judged by the
key that a connection was made with, never by what a message says of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from es.replication.messages import (
    Ack,
    Batches,
    Beacon,
    BeaconAck,
    Checkpointed,
    CompareAndSwap,
    Fetch,
    Frame,
    Granted,
    Heartbeat,
    Message,
    Mismatch,
    Outdated,
    Prevote,
    Registered,
    RolledBack,
    sender_of,
)
from nodes.security.principals import EVERY_PROGRAM, Principal
from nodes.wire.schema import CloseRequest, ReleaseRequest, ServerRequest
from projections.rooms.commands import Answer, Reserve

REQUESTS: Final = "requests"
HEARTBEATS: Final = "heartbeats"
BATCHES: Final = "batches"
BEACONS: Final = "beacons"
REPAIR: Final = "repair"
WITNESS: Final = "witness"
PROGRAMS: Final = "programs"

Verbs: TypeAlias = tuple[type, ...]

_NOTHING: Final[Verbs] = ()

MATRIX: Final[Mapping[str, Mapping[str, Verbs]]] = {
    REQUESTS: {"faculty": (Reserve, Answer, ReleaseRequest), "operator": (ReleaseRequest, CloseRequest)},
    HEARTBEATS: dict.fromkeys(("server", "faculty", "operator", "auditor"), _NOTHING),
    BATCHES: {"server": _NOTHING},
    BEACONS: {"server": _NOTHING},
    REPAIR: {"server": (Ack, BeaconAck, Fetch, Outdated, Checkpointed)},
    WITNESS: {"server": (Heartbeat, Prevote, CompareAndSwap, Checkpointed)},
    PROGRAMS: {"program": _NOTHING},
}
"""By door and kind of peer: the types of what it may say there. At PROGRAMS there is but one thing to say."""

DOORS: Final = tuple(MATRIX)

_DOES: Final[Mapping[type, str]] = {
    Reserve: "ask for rooms",
    Answer: "answer a proposal",
    ReleaseRequest: "release an allocation",
    CloseRequest: "close a term",
}

BACK: Final[Mapping[str, Verbs]] = {
    BATCHES: (Frame,),
    BEACONS: (Beacon,),
    REPAIR: (Batches, Mismatch, RolledBack),
    WITNESS: (Registered, Granted, Checkpointed),
}
"""By door: what whoever holds it may say to a data node that called there."""


def admits(door: str, peer: Principal, own: Principal) -> bool:
    """Whether a peer like that may connect to that door of `own`: a faculty serves its own programs only, and no
    server connects to itself."""
    if peer.kind not in MATRIX[door] or peer == own:
        return False
    return door != PROGRAMS or peer.name.partition("/")[0] == own.name


def is_configured(peer: Principal, servers: Collection[str]) -> bool:
    """Whether the configuration, which has servers of these names, knows of that peer. It names every server: an
    allowed key makes no further one. Faculties may be others' own programs, and have nothing but their keys."""
    return peer.kind != "server" or peer.name in servers


def why_forbidden(peer: Principal, request: ServerRequest, faculty_id: int | None) -> str | None:
    """Why a client may not ask that of a server, in one sentence; None: it may. `faculty_id`: whose transaction it
    concerns, if any; a faculty speaks for its own."""
    if not isinstance(request, MATRIX[REQUESTS].get(peer.kind, _NOTHING)):
        return f"the key of {f'{peer.kind} {peer.name}'.rstrip()} may not {_DOES[type(request)]}"
    if peer.kind == "faculty" and str(faculty_id) != peer.name:
        return f"the key of faculty {peer.name} does not speak for faculty {faculty_id}"
    return None


def may_say(door: str, peer: Principal, message: Message) -> bool:
    """Whether a data node may send that there, in its own name."""
    claimed = sender_of(message)
    return isinstance(message, MATRIX[door].get(peer.kind, _NOTHING)) and claimed in (None, peer.name)


def may_say_back(door: str, peer: Principal, message: Message) -> bool:
    """Whether the data node or witness that was called at that door may send this back, in its own name."""
    return isinstance(message, BACK[door]) and sender_of(message) in (None, peer.name)


def program_id_of(peer: Principal) -> int | None:
    """The one program that a program's key speaks for; None if it speaks for all of its faculty."""
    _, _, program_id = peer.name.partition("/")
    return None if program_id == EVERY_PROGRAM else int(program_id)
