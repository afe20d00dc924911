"""Whatever arrives: decoding never raises and never lets through what exceeds the limits."""

from __future__ import annotations

import json
from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from nodes import wire
from nodes.wire.beats import decode_node_beat
from nodes.wire.encoding import Encoding, join
from nodes.wire.schema import (
    STATUSES,
    Closed,
    CloseRequest,
    Dropped,
    Invalid,
    ProgramRequest,
    Receipt,
    ReleaseRequest,
    Res,
    ServerRequest,
)
from projections.rooms.commands import Answer, Proposal, Reserve
from projections.rooms.names import composed, is_name

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ids = st.integers(0, (1 << 31) - 1)
numbers = st.integers(0, (1 << 63) - 1)
counts = st.integers(1, 1_000)
rooms = st.lists(names, max_size=12).map(tuple)
reserves = st.builds(Reserve, names, ids, texts, ids, names, names, counts, counts, st.booleans())
answers = st.builds(Answer, names, st.none() | ids, st.booleans())
releases = st.builds(ReleaseRequest, names, ids, texts)
closings = st.builds(CloseRequest, names, names)
requests = reserves | answers | releases | closings
proposals = st.builds(Proposal, names, rooms, rooms, rooms, numbers)
receipts = st.builds(Receipt, numbers, numbers, names, numbers)
nothing, no_rooms = st.none(), st.just(())
refusals = st.builds(
    Res,
    names,
    st.sampled_from(STATUSES[1:]),
    nothing | texts,
    nothing | texts,
    no_rooms,
    no_rooms,
    no_rooms,
    nothing | receipts,
    nothing | texts,
)
accepted = st.builds(Res, names, st.just("ACCEPTED"), nothing, nothing, rooms, rooms, rooms, receipts, nothing)
encodings = st.sampled_from(Encoding)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | texts | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)
sol_names = st.sampled_from(
    ["tipo", "transaction_id", "faculty_id", "facultad", "program_id", "programa", "semester", "salones", "parcial",
     "reason"]
)


def check_requests(payload: bytes) -> None:
    decoded = wire.decode_requests(payload)
    assert len(decoded.messages) <= 1_000
    for message in decoded.messages:
        match message:
            case Dropped(why):
                assert why in wire.WHYS
            case Invalid(transaction_id):
                assert 0 < len(transaction_id) <= 200
                answered = wire.decode_answers(wire.encode(message.as_res(), decoded.encoding)).messages
                assert answered == [message.as_res()]
            case Reserve():
                assert 0 <= message.classrooms <= 1_000
                assert 0 <= message.labs <= 1_000
                assert message.classrooms + message.labs > 0
                assert type(message.classrooms) is type(message.labs) is type(message.faculty_id) is int
                assert all(len(text) <= 200 for text in (message.program, message.faculty, message.term))
                message.program.encode()
            case Answer():
                assert type(message.accept) is bool
            case ReleaseRequest():
                assert type(message.faculty_id) is int
                assert len(message.reason) <= 200
                message.reason.encode()
            case CloseRequest():
                assert 0 < len(message.term) <= 200
                message.term.encode()


@given(st.binary(max_size=300))
def test_random_bytes(payload: bytes) -> None:
    check_requests(payload)
    wire.decode_answers(payload)
    wire.decode_closing(payload)
    wire.decode_program_request(payload)
    decode_node_beat(payload)
    decode_node_beat(b"NODE " + payload)


@given(st.text(max_size=200), st.sampled_from("{["))
def test_random_text_that_looks_like_json(text: str, first: str) -> None:
    check_requests((first + text).encode(errors="surrogatepass"))


@given(requests, encodings, st.data())
def test_a_valid_message_with_some_bytes_changed(message: ServerRequest, encoding: Encoding, data: Any) -> None:
    payload = bytearray(wire.encode(message, encoding))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(payload) - 1))
        payload[position] = data.draw(st.integers(0, 255))
    check_requests(bytes(payload))
    check_requests(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


@given(requests, st.dictionaries(sol_names | texts, values, max_size=4))
def test_a_valid_message_with_some_fields_changed(message: ServerRequest, changes: dict[str, Any]) -> None:
    fields = msgpack.unpackb(wire.encode(message, Encoding.MSGPACK)) | changes
    check_requests(msgpack.packb(fields))
    check_requests(json.dumps(fields, default=str).encode())


@given(st.lists(values, max_size=8))
def test_any_array(items: list[Any]) -> None:
    check_requests(msgpack.packb(items))
    check_requests(json.dumps(items, default=str).encode())


@given(st.lists(requests, min_size=1, max_size=8), encodings)
def test_requests_come_back_alone_and_in_arrays(messages: list[ServerRequest], encoding: Encoding) -> None:
    encoded = [wire.encode(message, encoding) for message in messages]
    assert [wire.decode_requests(one).messages[0] for one in encoded] == messages
    [payload] = join(encoded, encoding)
    decoded = wire.decode_requests(payload)
    assert decoded.messages == messages
    assert decoded.is_array == (len(messages) > 1)


@given(proposals | refusals | accepted, encodings)
def test_answers_come_back(message: Proposal | Res, encoding: Encoding) -> None:
    assert wire.decode_answers(wire.encode(message, encoding)).messages == [message]


@given(refusals | accepted | st.builds(Closed, names, names, numbers, numbers, numbers, receipts), encodings)
def test_answers_to_a_closing_come_back(message: Closed | Res, encoding: Encoding) -> None:
    assert wire.decode_closing(wire.encode(message, encoding)).messages == [message]


seen = st.characters(categories=("L", "M", "N", "P", "S"))
plain = st.text(seen, min_size=1, max_size=200).map(composed).filter(is_name)


@given(st.builds(ProgramRequest, plain, counts, counts, st.none() | plain, st.none() | plain, st.booleans()), encodings)
def test_program_requests_come_back(request: ProgramRequest, encoding: Encoding) -> None:
    assert wire.decode_program_request(wire.encode(request, encoding)) == (request, encoding)
