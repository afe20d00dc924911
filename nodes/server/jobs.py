"""What the broker and its workers say to each other: jobs and their results, msgpack arrays.

    broker → worker   [DECODE, job, payload]                  [ENCODE, job, encoding, [[tag, fields …] …]]
    worker → broker   [READY, pid]   [DECODED, job, encoding, is_array, [[tag, fields …] …]]   [ENCODED, job, payload]

A message is its tag and its fields; the decoding side trusts them, for both ends are this program.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from nodes import wire
from nodes.wire.encoding import Encoding, whole
from nodes.wire.schema import Closed, CloseRequest, Dropped, Invalid, Receipt, ReleaseRequest, Res, ServerRequest
from projections.rooms.commands import Answer, Proposal, Reserve

READY: Final = "ready"
DECODE: Final = "decode"
DECODED: Final = "decoded"
ENCODE: Final = "encode"
ENCODED: Final = "encoded"

_TAGS: Final[dict[str, Any]] = {
    "reserve": Reserve,
    "answer": Answer,
    "invalid": Invalid,
    "dropped": Dropped,
    "proposal": Proposal,
    "res": Res,
    "release": ReleaseRequest,
    "close": CloseRequest,
    "closed": Closed,
}
_TAG_OF: Final = {message: tag for tag, message in _TAGS.items()}

pack = msgpack.Packer(use_bin_type=True).pack


def unpack(data: bytes) -> tuple[Any, ...]:
    """A job or a result; lists come back as tuples."""
    unpacked: tuple[Any, ...] = msgpack.unpackb(data, use_list=False)
    return unpacked


def tagged(message: Any) -> tuple[Any, ...]:
    """A message as plain data."""
    return (_TAG_OF[type(message)], *message)


def untagged(plain: tuple[Any, ...]) -> Any:
    """The message again."""
    tag, *fields = plain
    if tag == "res" and fields[7] is not None:
        fields[7] = Receipt(*fields[7])
    elif tag == "closed":
        fields[5] = Receipt(*fields[5])
    return _TAGS[tag](*fields)


def decode_job(payload: bytes) -> tuple[str, bool, list[tuple[Any, ...]]]:
    """A worker's part of taking a request: decode and check. Never raises on what a client sent."""
    decoded: wire.Decoded[ServerRequest] = wire.decode_requests(payload)
    return decoded.encoding.value, decoded.is_array, [tagged(message) for message in decoded.messages]


def encode_job(encoding: str, answers: tuple[tuple[Any, ...], ...]) -> bytes:
    """A worker's part of answering one request: all its answers in one payload."""
    kind = Encoding(encoding)
    return whole([wire.encode(untagged(answer), kind) for answer in answers], kind)
