"""The wire protocol: payloads to typed messages and back.

Decoding never raises: what cannot be understood comes back as `Invalid` (answer it with `as_res`) or
`Dropped` (count it by `why`). A command decoded here is within every limit of the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from nodes.wire.encoding import (
    ANSWERS_NODES_MAX,
    ARRAY_NODES_MAX,
    SINGLE_BYTES_MAX,
    UNREADABLE_WHYS,
    Encoding,
    Unreadable,
    check_size,
    encode_map,
    encoding_of,
    parse,
    salvaged_transaction_id,
)
from nodes.wire.schema import (
    DROPPED_WHYS,
    Closed,
    Dropped,
    Invalid,
    Malformed,
    ProgramRequest,
    Receipt,
    Res,
    ServerRequest,
    closing_answer,
    program_request,
    server_answer,
    server_request,
)
from nodes.wire.to_maps import AnyMessage, fields_of
from projections.rooms.commands import ACCEPTED, Proposal, Result, TermResult

M = TypeVar("M")

WHYS = (*UNREADABLE_WHYS, *DROPPED_WHYS)
"""Every reason for which a message is dropped: the labels of its counter."""


class Decoded(NamedTuple, Generic[M]):
    """The messages of one payload, in order, and how to answer them."""

    messages: list[M | Malformed]
    encoding: Encoding
    is_array: bool


class Opened(NamedTuple, Generic[M]):
    """A payload whose structure was read: so many messages, each of which is checked when it is asked for."""

    messages: Iterator[M | Malformed]
    total: int
    encoding: Encoding
    is_array: bool


def open_requests(payload: bytes) -> Opened[ServerRequest]:
    """What a client sends a server: SOL, ACK, LIB and CIE, of which a turn may not have time for all. Never raises."""
    return _open(payload, server_request)


def decode_requests(payload: bytes) -> Decoded[ServerRequest]:
    """What a client sends a server: SOL, ACK, LIB and CIE. Never raises."""
    return _decode(payload, server_request)


def decode_answers(payload: bytes) -> Decoded[Proposal | Res]:
    """What a server sends a client: PROP and RES. Never raises."""
    return _decode(payload, server_answer, ANSWERS_NODES_MAX)


def decode_closing(payload: bytes) -> Decoded[Closed | Res]:
    """What a server sends whoever asked it to close a term: CER and RES. Never raises."""
    return _decode(payload, closing_answer, ANSWERS_NODES_MAX)


def decode_program_request(payload: bytes) -> tuple[ProgramRequest | Malformed, Encoding]:
    """What a program sends its faculty: one map, which is never as long as an array may be. Never raises."""
    try:
        check_size(payload, SINGLE_BYTES_MAX)
    except Unreadable as error:
        error.transaction_id = salvaged_transaction_id(payload)
        return _malformed(error), encoding_of(payload)
    decoded = _decode(payload, program_request)
    if decoded.is_array:
        return _no_lone_map(decoded.messages), decoded.encoding
    return decoded.messages[0], decoded.encoding


def _no_lone_map(messages: list[ProgramRequest | Malformed]) -> Malformed:
    """An array of one has the id of that one; of several there is no telling whose answer it would be."""
    match messages:
        case [ProgramRequest(transaction_id=str(transaction_id)) | Invalid(transaction_id)]:
            return Invalid(transaction_id, "message", "must be one map, not an array")
    return Dropped("not_a_map")


def _decode(
    payload: bytes, from_fields: Callable[[Any], M | Malformed], nodes_max: int = ARRAY_NODES_MAX
) -> Decoded[M]:
    messages, _, encoding, is_array = _open(payload, from_fields, nodes_max)
    return Decoded(list(messages), encoding, is_array)


def _open(
    payload: bytes, from_fields: Callable[[Any], M | Malformed], nodes_max: int = ARRAY_NODES_MAX
) -> Opened[M]:
    try:
        items, encoding, is_array = parse(payload, nodes_max)
    except Unreadable as error:
        return Opened(iter((_malformed(error),)), 1, encoding_of(payload), is_array=False)
    if not items:
        return Opened(iter((Dropped("not_a_map"),)), 1, encoding, is_array)
    return Opened(map(from_fields, items), len(items), encoding, is_array)


def _malformed(error: Unreadable) -> Malformed:
    if error.transaction_id is None:
        return Dropped(error.why)
    return Invalid(error.transaction_id, "message", str(error))


def encode(message: AnyMessage, encoding: Encoding) -> bytes:
    """Encode one message; `nodes.wire.encoding.join` puts several into one payload."""
    return encode_map(fields_of(message), encoding)


def res_of(result: Result, receipt: Receipt | None) -> Res:
    """A server's RES; `receipt` names the event it is, None if it is none."""
    return Res(*result, receipt)


def answer_to_closing(transaction_id: str, result: TermResult, receipt: Receipt | None) -> Closed | Res:
    """A server's CER, with the receipt of its event, or the RES that refuses a CIE."""
    if result.status != ACCEPTED:
        return Res(transaction_id, result.status, result.code, result.reason)
    assert receipt is not None, "a term is closed by an event"
    return Closed(transaction_id, result.term, result.classrooms, result.labs, result.holds, receipt)
