"""Messages as the product itself writes them, one of any kind: what hostile frames are made from.

Each kind is drawn from its own type's fields (client messages from nodes.wire.schema, the others from
es.replication.messages), encoded by the product and read back as plain data.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import msgpack

from es.codec import Entry, encode_batch
from es.log.checkpoint import SIGNATURE_BYTES, Checkpoint, SignedCheckpoint, encode
from es.replication.messages import Member, Message, Register, members, pack
from nodes import wire
from nodes.wire.beats import NODE_TOPIC, Beat, encode_node_beat
from nodes.wire.encoding import Encoding
from nodes.wire.schema import (
    STATUSES,
    Closed,
    CloseRequest,
    ProgramRequest,
    Receipt,
    ReleaseRequest,
    Res,
    ServerRequest,
)
from ops.prove.hostile_writing import tree
from projections.rooms.commands import ACCEPTED, Answer, Proposal, Reserve

CLUSTER: Final = "hostile"
"""No cluster of anybody: what is addressed to it concerns nobody."""

ID_PREFIX: Final = "hostile-"
"""Transaction ids of these messages begin so."""


class Sample(NamedTuple):
    """A message as a tree (ops.prove.hostile_writing), how it is usually written, and what stands before it."""

    tree: Any
    encodings: tuple[Encoding, ...]
    prefix: bytes = b""


_BOTH: Final = tuple(Encoding)
_MSGPACK: Final = (Encoding.MSGPACK,)


def draw_sample(drawn: Random) -> Sample:
    """A whole message of any kind, within every limit."""
    return drawn.choice(_KINDS)(drawn)


def draw_request(drawn: Random) -> Sample:
    """What a client sends a server."""
    return drawn.choice((_reserve, _answer, _release, _close))(drawn)


def _client(message: ServerRequest | Proposal | Res | Closed | ProgramRequest) -> Sample:
    return Sample(tree(msgpack.unpackb(wire.encode(message, Encoding.MSGPACK))), _BOTH)


def _id(drawn: Random) -> str:
    return f"{ID_PREFIX}{drawn.getrandbits(32):x}"


def _number(drawn: Random) -> int:
    return drawn.choice((drawn.randrange(1_000), drawn.getrandbits(31)))


def _reserve(drawn: Random) -> Sample:
    rooms, labs = drawn.randint(1, 1_000), drawn.randint(0, 1_000)
    return _client(
        Reserve(_id(drawn), _number(drawn), "Facultad", _number(drawn), "Programa", "2027-1", rooms, labs,
                drawn.random() < 0.3)
    )  # fmt: skip


def _answer(drawn: Random) -> Sample:
    return _client(Answer(_id(drawn), drawn.choice((None, _number(drawn))), drawn.random() < 0.5))


def _release(drawn: Random) -> Sample:
    return _client(ReleaseRequest(_id(drawn), _number(drawn), "ñ" * drawn.randrange(200)))


def _close(drawn: Random) -> Sample:
    return _client(CloseRequest(_id(drawn), f"{ID_PREFIX}{drawn.getrandbits(32):x}"))


def _closed(drawn: Random) -> Sample:
    receipt = Receipt(drawn.getrandbits(20), drawn.getrandbits(20), "ab" * 32, drawn.randint(1, 2))
    return _client(Closed(_id(drawn), "2027-1", _number(drawn), _number(drawn), _number(drawn), receipt))


def _rooms(drawn: Random) -> tuple[str, ...]:
    return tuple(f"B{drawn.randrange(99)}-C{number}" for number in range(drawn.choice((0, 1, 2, 7))))


def _proposal(drawn: Random) -> Sample:
    return _client(Proposal(_id(drawn), _rooms(drawn), _rooms(drawn), _rooms(drawn), drawn.getrandbits(63)))


def _res(drawn: Random) -> Sample:
    status, reason = drawn.choice(STATUSES), drawn.choice((None, "ñ" * drawn.randrange(200)))
    receipt = Receipt(drawn.getrandbits(20), drawn.getrandbits(20), "ab" * 32, drawn.randint(1, 2))
    if status == ACCEPTED:
        return _client(Res(_id(drawn), status, None, reason, _rooms(drawn), _rooms(drawn), _rooms(drawn), receipt))
    kept = receipt if drawn.random() < 0.5 else None
    return _client(Res(_id(drawn), status, "CODE", reason, receipt=kept, active="tcp://127.0.0.1:5555"))


def _program_request(drawn: Random) -> Sample:
    transaction_id, term = drawn.choice((None, _id(drawn))), drawn.choice((None, "2027-1"))
    return _client(ProgramRequest("Programa", drawn.randint(1, 1_000), 2, term, transaction_id, drawn.random() < 0.3))


def _beat(drawn: Random) -> Sample:
    role, names = drawn.choice(("primary", "backup")), ("a", "b")[: drawn.randrange(3)]
    beat = Beat("a", role, drawn.getrandbits(20), drawn.getrandbits(63), role == "primary", "tcp://127.0.0.1:1", names)
    return Sample(tree(json.loads(encode_node_beat(beat)[len(NODE_TOPIC) :])), (Encoding.JSON,), NODE_TOPIC)


def _batch(drawn: Random) -> bytes:
    entries = [
        Entry(offset, "rooms", "Reserved", 1, "faculty:1", drawn.randbytes(16), (offset, "2027-1", (), None))
        for offset in range(drawn.randint(1, 5))
    ]
    return encode_batch(drawn.getrandbits(20), drawn.randint(1, 1 << 40), drawn.randbytes(32), 7, entries).data


def _register(drawn: Random) -> Register:
    first, second = Member("a", "1"), Member("b", "2")
    both = members(first, second)[: drawn.randint(1, 2)]
    return Register(CLUSTER, drawn.getrandbits(20), drawn.choice((first, second)), both, 1, "a/1/2")


def _checkpoint(drawn: Random) -> bytes:
    """Signed by nobody: a decoder does not look at that."""
    seq, digest = drawn.randint(1, 1 << 40), drawn.randbytes(32)
    checkpoint = Checkpoint(CLUSTER, drawn.choice("ab"), "1", drawn.getrandbits(20), seq, digest, drawn.getrandbits(40))
    return encode(SignedCheckpoint(checkpoint, drawn.randbytes(SIGNATURE_BYTES)))


def _field(drawn: Random, kind: Any) -> Any:
    """A value of the type that a replication message's field has."""
    if get_origin(kind) is tuple:
        many = [_field(drawn, get_args(kind)[0]) for _ in range(drawn.randrange(4))]
        return members(*many) if get_args(kind)[0] is Member else tuple(many)
    if kind is Register:
        return _register(drawn)
    if kind is Member:
        return Member(drawn.choice("ab"), drawn.choice("12"))
    if kind is bytes:
        return drawn.randbytes(32) if drawn.random() < 0.7 else _batch(drawn)
    return CLUSTER if kind is str else drawn.getrandbits(drawn.choice((8, 62)))


_MESSAGES: Final = {message: tuple(get_type_hints(message).values()) for message in get_args(Message)}


def _between_nodes(drawn: Random) -> Sample:
    """Bytes are a hash as often as a batch, in either place: about half of these are whole."""
    message, kinds = drawn.choice(tuple(_MESSAGES.items()))
    packed = pack(message(*(_field(drawn, kind) for kind in kinds)))
    return Sample(tree(msgpack.unpackb(packed)), _MSGPACK)


def _stored(drawn: Random) -> Sample:
    packed = drawn.choice((_batch(drawn), _register(drawn).pack(), _checkpoint(drawn)))
    return Sample(tree(msgpack.unpackb(packed)), _MSGPACK)


_KINDS: Final[tuple[Callable[[Random], Sample], ...]] = (
    _reserve, _reserve, _answer, _release, _close, _proposal, _res, _closed, _program_request, _beat,
    _between_nodes, _between_nodes, _stored,
)  # fmt: skip
