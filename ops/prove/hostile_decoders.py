"""Every decoder that takes what others send, and what it must never do with it.

It gives a value or raises its documented error. What it accepts is within the limits, and is the same again when it
is encoded and decoded once more; what it refuses can be answered or counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from es.codec import Batch, decode_batch, encode_batch, is_canonical
from es.errors import RemoteProtocolError
from es.log import checkpoint
from es.replication.messages import Message, Register, pack, unpack, unpack_register
from es.unpacking import unpack_whole
from nodes import wire
from nodes.server import jobs as worker_jobs
from nodes.wire import beats as wire_beats
from nodes.wire import encoding as wire_encoding
from nodes.wire import fields as wire_fields
from nodes.wire import schema as wire_schema
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Closed, Dropped, Invalid, Malformed, ProgramRequest, ReleaseRequest
from ops.prove.hostile_limits import COUNTS, IDS, TEXT_CHARS, field_broken, limit_broken
from projections.rooms.commands import Proposal, Reserve

M = TypeVar("M")

CRASH: Final = "crash: "
"""How the sentence of a fault begins where a decoder raised what it should not have raised."""


class Decoder(NamedTuple):
    """`decode` gives a value or raises `refuses`; `fault` says what is wrong with that value, if anything."""

    name: str
    decode: Callable[[bytes], Any]
    fault: Callable[[bytes, Any], str | None]
    refuses: tuple[type[Exception], ...] = ()


def judged(decoder: Decoder, frame: bytes) -> str | None:
    """What is wrong with how it takes the frame, if anything, in a sentence that is the same for the same mistake."""
    try:
        value = decoder.decode(frame)
    except decoder.refuses:
        return None
    except Exception as error:  # noqa: BLE001 - whatever else it raises would have ended a process
        return f"{CRASH}{decoder.name} raises {_where(error)}"
    try:
        fault = decoder.fault(frame, value)
    except Exception as error:  # noqa: BLE001 - so would this, when the process goes on with what it accepted
        return f"{CRASH}{decoder.name} accepts what raises {_where(error)}"
    return f"{decoder.name}: {fault}" if fault else None


def _where(error: BaseException) -> str:
    """Its type, and the line of the product that it came through last."""
    place, trace = "nowhere", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith(("es.", "nodes.", "projections.")):
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}"


# --- clients

_NUMBERS: Final[dict[type, tuple[str, ...]]] = {
    Reserve: COUNTS + IDS, ReleaseRequest: IDS, Proposal: ("vence",), Closed: ("reservas",),
}  # fmt: skip


def _requests_fault(frame: bytes, decoded: wire.Decoded[Any]) -> str | None:
    tagged = [worker_jobs.tagged(message) for message in decoded.messages]
    if [worker_jobs.untagged(one) for one in worker_jobs.unpack(worker_jobs.pack(tagged))] != decoded.messages:
        return "a worker hands on something else"
    return _messages_fault(frame, decoded, wire.decode_requests)


def _answers_fault(frame: bytes, decoded: wire.Decoded[Any]) -> str | None:
    return _messages_fault(frame, decoded, wire.decode_answers)


def _closing_fault(frame: bytes, decoded: wire.Decoded[Any]) -> str | None:
    return _messages_fault(frame, decoded, wire.decode_closing)


def _messages_fault(
    frame: bytes, decoded: wire.Decoded[Any], again: Callable[[bytes], wire.Decoded[Any]]
) -> str | None:
    if not decoded.messages:
        return "nothing in it is answered or counted"
    accepted: dict[int, tuple[str, ...]] = {}
    for at, message in enumerate(decoded.messages):
        if isinstance(message, Dropped | Invalid):
            if fault := _refusal_fault(message, decoded.encoding):
                return fault
            continue
        accepted[at] = _NUMBERS.get(type(message), ())
        if again(wire.encode(message, decoded.encoding)).messages != [message]:
            return f"a {type(message).__name__} does not come back as it was"
    return limit_broken(frame, accepted) if accepted else None


def _refusal_fault(message: Malformed, encoding: Encoding) -> str | None:
    """A refusal is counted under a known reason, or answered with something that a client can read."""
    if isinstance(message, Dropped):
        return None if message.why in wire.WHYS else f"there is no counter for {message.why!r}"
    answer = message.as_res()
    answered = wire.decode_answers(wire.encode(answer, encoding)).messages
    if message.transaction_id == "":  # a program's, which need not have one
        return None if len(answer.reason or "") <= TEXT_CHARS else "its refusal breaks a limit"
    return None if answered == [answer] else "its refusal is none that a client could read"


def _program_request_fault(frame: bytes, decoded: tuple[ProgramRequest | Malformed, Encoding]) -> str | None:
    message, encoding = decoded
    if isinstance(message, Dropped | Invalid):
        return _refusal_fault(message, encoding)
    if wire.decode_program_request(wire.encode(message, encoding)) != (message, encoding):
        return "a request does not come back as it was"
    return limit_broken(frame, {0: COUNTS})


# --- heartbeats


def _beat_fault(frame: bytes, beat: wire_beats.Beat | None) -> str | None:
    if beat is None:
        return None
    if wire_beats.decode_node_beat(wire_beats.encode_node_beat(beat)) != beat:
        return "a beat does not come back as it was"
    if len(frame) > wire_beats.BEAT_BYTES_MAX or any(len(text) > TEXT_CHARS for text in (beat.node, *beat.in_sync)):
        return "a beat breaks a limit"
    return None


# --- between nodes


def _message_fault(_frame: bytes, message: Message) -> str | None:
    if unpack(pack(message)) != message:
        return "a message does not come back as it was"
    return field_broken(tuple(message))


def _register_fault(_frame: bytes, register: Register) -> str | None:
    if unpack_register(register.pack()) != register:
        return "a register does not come back as it was"
    return field_broken(tuple(register))


def _batch_fault(_frame: bytes, batch: Batch) -> str | None:
    if not is_canonical(batch):
        return None  # a verification refuses it
    again = encode_batch(batch.epoch, batch.first_seq, batch.prev_hash, batch.ts_us, batch.entries)
    return None if again.data == batch.data else "a batch does not come back as it was"


def _checkpoint_fault(frame: bytes, signed: checkpoint.SignedCheckpoint) -> str | None:
    if checkpoint.encode(signed) != frame:
        return "a checkpoint does not come back as it was"
    return field_broken(tuple(signed.checkpoint))


DECODERS: Final = (
    Decoder("decode_requests", wire.decode_requests, _requests_fault),
    Decoder("decode_answers", wire.decode_answers, _answers_fault),
    Decoder("decode_closing", wire.decode_closing, _closing_fault),
    Decoder("decode_program_request", wire.decode_program_request, _program_request_fault),
    Decoder("decode_node_beat", wire_beats.decode_node_beat, _beat_fault),
    Decoder("unpack", unpack, _message_fault, (RemoteProtocolError,)),
    Decoder("unpack_register", unpack_register, _register_fault, (RemoteProtocolError,)),
    Decoder("decode_batch", decode_batch, _batch_fault, (RemoteProtocolError,)),
    Decoder("checkpoint.decode", checkpoint.decode, _checkpoint_fault, (RemoteProtocolError,)),
)
"""All of them; each takes every frame, whomever it is meant for."""

SOURCES: Final = frozenset(
    function.__code__.co_filename
    for function in (
        wire.encode, wire_encoding.parse, wire_fields.is_nonempty, wire_schema.program_request,
        wire_beats.decode_node_beat, unpack, unpack_whole, decode_batch, checkpoint.decode,
    )
)  # fmt: skip
"""Files of the code under test, for those who watch which of its lines run."""
