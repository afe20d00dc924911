"""The wire schema, message by message (PROTOCOL.md, wire)."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest

from nodes import wire
from nodes.wire.encoding import ARRAY_MESSAGES_MAX, Encoding, join
from nodes.wire.schema import Closed, CloseRequest, Dropped, Invalid, ProgramRequest, Receipt, ReleaseRequest, Res
from projections.rooms.commands import Answer, Proposal, Reserve, Result, TermResult
from projections.rooms.fields import spoken

SOL: dict[str, Any] = {
    "tipo": "SOL",
    "transaction_id": "t1",
    "faculty_id": 3,
    "facultad": "Ingeniería",
    "program_id": 12,
    "programa": "Sistemas",
    "semester": "2025-2",
    "salones": 7,
    "laboratorios": 2,
}
ACK: dict[str, Any] = {"tipo": "ACK", "transaction_id": "t1", "confirm": "ACCEPT", "faculty_id": 3}
LIB: dict[str, Any] = {"tipo": "LIB", "transaction_id": "t1", "faculty_id": 3, "reason": "gotera"}
CIE: dict[str, Any] = {"tipo": "CIE", "transaction_id": "q1", "semester": "2025-2"}
CER: dict[str, Any] = {
    "tipo": "CER", "transaction_id": "q1", "semester": "2025-2", "salones": 2_000, "laboratorios": 60, "reservas": 1,
    "recibo": {"epoch": 2, "seq": 9, "hash": "ab" * 32, "copias": 2},
}  # fmt: skip
RESERVE = Reserve("t1", 3, "Ingeniería", 12, "Sistemas", "2025-2", 7, 2)
PROPOSAL = Proposal("t1", ("C1", "C2"), ("L1",), ("C3",), 1_760_000_000_000_000)
ACCEPTED = Res("t1", "ACCEPTED", None, None, ("C1", "C2"), ("L1",), ("C3",), Receipt(2, 9, "ab" * 32, 2))

both = pytest.mark.parametrize(
    "write", [msgpack.packb, lambda fields: json.dumps(fields).encode()], ids=["msgpack", "json"]
)


def changed(fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (fields | changes).items() if value is not ...}


@both
def test_sol_and_ack_are_the_commands_they_mean(write: Any) -> None:
    assert wire.decode_requests(write(SOL)).messages == [RESERVE]
    assert wire.decode_requests(write(changed(SOL, parcial=True))).messages == [RESERVE._replace(partial=True)]
    assert wire.decode_requests(write(ACK)).messages == [Answer("t1", 3, True)]
    assert wire.decode_requests(write(changed(ACK, confirm="REJECT"))).messages == [Answer("t1", 3, False)]


@both
def test_lib_and_cie_are_what_they_ask_for(write: Any) -> None:
    assert wire.decode_requests(write([LIB, CIE])).messages == [
        ReleaseRequest("t1", 3, "gotera"), CloseRequest("q1", "2025-2"),
    ]  # fmt: skip
    assert wire.decode_requests(write(changed(LIB, reason=""))).messages == [ReleaseRequest("t1", 3, "")]
    assert wire.decode_requests(write(changed(CIE, actor="operator:eva"))).messages == [CloseRequest("q1", "2025-2")]


@both
def test_cer_and_res_answer_a_closing_and_a_res_refuses_it(write: Any) -> None:
    closed = Closed("q1", "2025-2", 2_000, 60, 1, Receipt(2, 9, "ab" * 32, 2))
    assert wire.decode_closing(write(CER)).messages == [closed]
    assert wire.answer_to_closing("q1", TermResult("2025-2", "ACCEPTED", None, None, 2_000, 60, 1), closed[5]) == closed
    refused = Res("q1", "INVALID", "UNKNOWN_TERM", "no such term")
    assert wire.answer_to_closing("q1", TermResult("2025-2", *refused[1:4]), None) == refused
    for encoding in Encoding:
        for answer in (closed, refused):
            assert wire.decode_closing(wire.encode(answer, encoding)).messages == [answer]


@both
def test_a_cer_is_said_to_nobody_who_asked_for_rooms(write: Any) -> None:
    [invalid] = wire.decode_answers(write(CER)).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == "tipo"


def test_the_first_byte_tells_the_encoding_and_an_array() -> None:
    for payload, encoding, is_array in [
        (msgpack.packb(SOL), Encoding.MSGPACK, False),
        (json.dumps(SOL).encode(), Encoding.JSON, False),
        (msgpack.packb([SOL, ACK]), Encoding.MSGPACK, True),
        (json.dumps([SOL, ACK]).encode(), Encoding.JSON, True),
    ]:
        decoded = wire.decode_requests(payload)
        assert (decoded.encoding, decoded.is_array) == (encoding, is_array)
        assert decoded.messages == [RESERVE, Answer("t1", 3, True)][: 1 + is_array]


@both
def test_an_ack_without_faculty_is_the_older_clients(write: Any) -> None:
    assert wire.decode_requests(write(changed(ACK, faculty_id=...))).messages == [Answer("t1", None, True)]


@both
def test_unknown_fields_are_ignored(write: Any) -> None:
    extra = changed(SOL, nota="x", más={"a": [1, 2.5, None]})
    assert wire.decode_requests(write(extra)).messages == [RESERVE]


@both
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"salones": -1}, "salones"),
        ({"salones": 1001}, "salones"),
        ({"salones": True}, "salones"),
        ({"salones": 7.0}, "salones"),
        ({"salones": "7"}, "salones"),
        ({"salones": None}, "salones"),
        ({"salones": ...}, "salones"),
        ({"salones": 0, "laboratorios": 0}, "salones"),
        ({"laboratorios": False}, "laboratorios"),
        ({"faculty_id": -1}, "faculty_id"),
        ({"faculty_id": 1 << 31}, "faculty_id"),
        ({"program_id": True}, "program_id"),
        ({"programa": ""}, "programa"),
        ({"programa": "x" * 201}, "programa"),
        ({"programa": "x" * 20_000}, "programa"),
        ({"facultad": 7}, "facultad"),
        ({"semester": ["2025-2"]}, "semester"),
        ({"parcial": 1}, "parcial"),
        ({"tipo": "XXX"}, "tipo"),
        ({"tipo": ...}, "tipo"),
        ({"tipo": ["SOL"]}, "tipo"),
        ({"nota": "x" * 201}, "nota"),
        ({"nota": {"a": {"b": {"c": {}}}}}, "nota"),
        ({"nota": [[[["deep"]]]]}, "nota"),
        ({"x" * 201: 1}, "message"),
    ],
)
def test_a_bad_field_of_a_sol_is_named(write: Any, changes: dict[str, Any], field: str) -> None:
    [invalid] = wire.decode_requests(write(changed(SOL, **changes))).messages
    assert isinstance(invalid, Invalid)
    assert (invalid.transaction_id, invalid.field) == ("t1", field)
    res = invalid.as_res()
    assert (res.status, res.code) == ("INVALID", "BAD_FIELD")
    assert res.reason is not None
    assert res.reason.startswith(f"{spoken(field)}: ")


@both
def test_the_deepest_nesting_allowed_is_four(write: Any) -> None:
    assert wire.decode_requests(write(changed(SOL, nota={"a": {"b": {"c": 1}}}))).messages == [RESERVE]


@both
@pytest.mark.parametrize(
    ("changes", "field"),
    [({"confirm": "YES"}, "confirm"), ({"confirm": True}, "confirm"), ({"faculty_id": None}, "faculty_id")],
)
def test_a_bad_field_of_an_ack_is_named(write: Any, changes: dict[str, Any], field: str) -> None:
    [invalid] = wire.decode_requests(write(changed(ACK, **changes))).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == field


@both
@pytest.mark.parametrize(
    ("fields", "changes", "field"),
    [
        (LIB, {"faculty_id": ...}, "faculty_id"),
        (LIB, {"faculty_id": None}, "faculty_id"),
        (LIB, {"faculty_id": True}, "faculty_id"),
        (LIB, {"faculty_id": 1 << 31}, "faculty_id"),
        (LIB, {"reason": ...}, "reason"),
        (LIB, {"reason": 7}, "reason"),
        (LIB, {"reason": "x" * 201}, "reason"),
        (LIB, {"nota": [[[["deep"]]]]}, "nota"),
        (CIE, {"semester": ...}, "semester"),
        (CIE, {"semester": ""}, "semester"),
        (CIE, {"semester": "x" * 201}, "semester"),
        (CIE, {"nota": {"a": {"b": {"c": {}}}}}, "nota"),
    ],
)
def test_a_bad_field_of_a_lib_or_a_cie_is_named(
    write: Any, fields: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    [invalid] = wire.decode_requests(write(changed(fields, **changes))).messages
    assert isinstance(invalid, Invalid)
    assert (invalid.transaction_id, invalid.field) == (fields["transaction_id"], field)


@both
@pytest.mark.parametrize(
    ("changes", "field"),
    [({"salones": -1}, "salones"), ({"reservas": True}, "reservas"), ({"recibo": ...}, "recibo"),
     ({"semester": 7}, "semester")],
)  # fmt: skip
def test_a_bad_field_of_a_cer_is_named(write: Any, changes: dict[str, Any], field: str) -> None:
    [invalid] = wire.decode_closing(write(changed(CER, **changes))).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == field


@both
@pytest.mark.parametrize("transaction_id", [..., None, "", 7, "x" * 201, ["t"]])
def test_without_a_readable_transaction_id_it_is_dropped(write: Any, transaction_id: Any) -> None:
    decoded = wire.decode_requests(write(changed(SOL, transaction_id=transaction_id)))
    assert decoded.messages == [Dropped("no_transaction_id")]


@both
def test_what_is_no_map_is_dropped_alone(write: Any) -> None:
    decoded = wire.decode_requests(write([SOL, 7, "x", None, ACK]))
    assert decoded.messages == [RESERVE, *[Dropped("not_a_map")] * 3, Answer("t1", 3, True)]


def test_a_key_that_occurs_twice_is_refused_in_both_encodings() -> None:
    twice_json = json.dumps(SOL)[:-1] + ', "salones": 1}'
    twice_msgpack = bytes([0x80 | 10]) + msgpack.packb(SOL)[1:] + msgpack.packb("salones") + msgpack.packb(1)
    assert msgpack.unpackb(twice_msgpack)["salones"] == 1
    for fields, key in ((LIB, "faculty_id"), (CIE, "semester")):
        twice = (json.dumps(fields)[:-1] + f', "{key}": "2026-1"}}').encode()
        assert wire.decode_requests(twice).messages == [
            Invalid(fields["transaction_id"], "message", "a key occurs twice")
        ]
    for payload in (twice_json.encode(), twice_msgpack):
        assert wire.decode_requests(payload).messages == [Invalid("t1", "message", "a key occurs twice")]
    nested = json.dumps(SOL)[:-1] + ', "nota": {"a": 1, "a": 2}}'
    [invalid] = wire.decode_requests(nested.encode()).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == "nota"


def test_no_number_is_not_a_number() -> None:
    [answered] = wire.decode_requests(json.dumps(changed(SOL, nota=float("nan"))).encode()).messages
    assert isinstance(answered, Invalid)
    assert "NaN" in answered.reason
    [invalid] = wire.decode_requests(msgpack.packb(changed(SOL, nota=float("nan")))).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == "nota"
    [invalid] = wire.decode_requests(msgpack.packb(changed(SOL, salones=float("inf")))).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == "salones"


def test_half_a_surrogate_pair_is_no_text() -> None:
    payload = json.dumps(SOL).replace("Sistemas", "Sis\\ud800temas").encode()
    [invalid] = wire.decode_requests(payload).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == "programa"
    escaped = json.dumps(changed(SOL, programa="🏫é")).encode()
    assert b"\\ud83c" in escaped
    assert wire.decode_requests(escaped).messages == [RESERVE._replace(program="🏫é")]


@pytest.mark.parametrize("value", ['"' + "x" * 201 + '"', '{"\\ud800":1}'], ids=["beside a key", "within a map"])
def test_half_a_surrogate_pair_in_a_key_is_answered_with_text(value: str) -> None:
    payload = (json.dumps(SOL)[:-1] + ',"\\ud800":' + value + "}").encode()
    [invalid] = wire.decode_requests(payload).messages
    assert isinstance(invalid, Invalid)
    [answered] = wire.decode_answers(wire.encode(invalid.as_res(), Encoding.JSON)).messages
    assert answered == invalid.as_res()
    program, encoding = wire.decode_program_request(payload)
    assert isinstance(program, Invalid)
    assert wire.decode_answers(wire.encode(program.as_res(), encoding)).messages == [program.as_res()]


@pytest.mark.parametrize("where", ['"%s"', '["%s"]', '{"more":"%s"}', '{"%s":1}'], ids=["text", "list", "map", "key"])
def test_a_text_that_is_too_long_is_no_text_whatever_is_in_it(where: str) -> None:
    for text in ("x" * 201, "x" * 200 + "\\ud800", "\\ud800" * 201):
        payload = (json.dumps(SOL)[:-1] + ',"note":' + where % text + "}").encode()
        [invalid] = wire.decode_requests(payload).messages
        assert isinstance(invalid, Invalid) and invalid.field == "note"


def test_half_a_surrogate_pair_is_no_room() -> None:
    proposal = wire.encode(PROPOSAL, Encoding.JSON).decode()
    room = PROPOSAL.classrooms[0]
    [invalid] = wire.decode_answers(proposal.replace(room, "\\ud800").encode()).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == "aulas"


@pytest.mark.parametrize("payload", [b"[]", b"\x90", b"\xdc\x00\x00"])
def test_an_empty_array_is_dropped_and_has_a_reason(payload: bytes) -> None:
    assert wire.decode_requests(payload).messages == [Dropped("not_a_map")]
    assert wire.decode_program_request(payload)[0] == Dropped("not_a_map")


@both
def test_a_refusal_keeps_to_the_limits_itself(write: Any) -> None:
    [invalid] = wire.decode_requests(write({**SOL, "x" * 200: "y" * 201})).messages
    assert isinstance(invalid, Invalid)
    assert wire.decode_answers(wire.encode(invalid.as_res(), Encoding.MSGPACK)).messages == [invalid.as_res()]


@both
def test_of_two_wrong_fields_the_first_is_named(write: Any) -> None:
    [invalid] = wire.decode_requests(write({**SOL, **dict.fromkeys(("q", "f", "z", "a"), "y" * 201)})).messages
    assert isinstance(invalid, Invalid)
    assert invalid.field == "q"


@both
@pytest.mark.parametrize(
    ("note", "sentence"),
    [("x" * 70_000, "bytes exceed the bound"), ([[]] * 5_000, "values in one")],
    ids=["too long", "too many nodes"],
)
def test_what_breaks_a_structural_limit_is_answered_if_its_id_can_be_read(write: Any, note: Any, sentence: str) -> None:
    [invalid] = wire.decode_requests(write({"nota": note, **SOL})).messages
    assert isinstance(invalid, Invalid)
    assert (invalid.transaction_id, invalid.field) == ("t1", "message")
    assert sentence in invalid.reason


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "not_encoded"),
        (b"\xc1", "not_encoded"),
        (b"{", "not_encoded"),
        (b"[" * 30_000, "not_encoded"),
        (b"\x91" * 60_000 + b"\xc0", "not_encoded"),
        (b"\x81\xa1", "not_encoded"),
        (b'{"tipo":"SOL"} x', "not_encoded"),
        (msgpack.packb(SOL | {"transaction_id": "t" * 201}) + b"\xc0", "not_encoded"),
        (msgpack.packb([SOL]) + b"\xc0", "not_encoded"),
        (b"\xc0" * 70_000, "too_long"),
        (msgpack.packb([SOL] * (ARRAY_MESSAGES_MAX + 1)), "too_many_messages"),
        (json.dumps([{}] * (ARRAY_MESSAGES_MAX + 1)).encode(), "too_many_messages"),
        (b"[" + b"[]," * 140_000 + b"[]]", "too_many_nodes"),
        (msgpack.packb([{"x": [{}] * 1_000}] * 200), "too_many_nodes"),
        (msgpack.packb([["x" * 600_000, "x" * 600_000]]), "too_long"),
        (b"\xdd\xff\xff\xff\xff", "too_many_messages"),
        (msgpack.packb(7), "not_a_map"),
    ],
)
def test_what_cannot_be_answered_is_dropped_with_a_reason(payload: bytes, why: str) -> None:
    assert wire.decode_requests(payload).messages == [Dropped(why)]
    assert why in wire.WHYS


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize(
    "message",
    [
        PROPOSAL,
        ACCEPTED,
        Res("t1", "DENIED", "NOT_ENOUGH_ROOMS", "three labs are missing"),
        Res("t1", "UNAVAILABLE", "NOT_ACTIVE", "not the primary", active="tcp://127.0.0.1:5565"),
        Res("t1", "CANCELED", "ACK_TIMEOUT", "too late", receipt=Receipt(1, 2, "00" * 32, 1)),
    ],
)
def test_answers_come_back_as_they_were(message: Proposal | Res, encoding: Encoding) -> None:
    decoded = wire.decode_answers(wire.encode(message, encoding))
    assert decoded.messages == [message]
    assert decoded.encoding is encoding


def test_prop_and_res_have_the_documented_fields() -> None:
    prop = json.loads(wire.encode(PROPOSAL, Encoding.JSON))
    assert prop == {
        "tipo": "PROP",
        "transaction_id": "t1",
        "data": {"salones_propuestos": 2, "laboratorios_propuestos": 1, "aulas_moviles": 1},
        "aulas": ["C1", "C2"],
        "laboratorios": ["L1"],
        "moviles": ["C3"],
        "vence": 1_760_000_000_000_000,
    }
    res = json.loads(wire.encode(ACCEPTED, Encoding.JSON))
    assert res == {
        "tipo": "RES",
        "transaction_id": "t1",
        "status": "ACCEPTED",
        "salones_propuestos": 2,
        "laboratorios_propuestos": 1,
        "aulas_moviles": 1,
        "aulas": ["C1", "C2"],
        "laboratorios": ["L1"],
        "moviles": ["C3"],
        "recibo": {"epoch": 2, "seq": 9, "hash": "ab" * 32, "copias": 2},
    }


def test_an_answer_whose_counts_contradict_its_lists_is_refused() -> None:
    for message in (PROPOSAL, ACCEPTED):
        fields = json.loads(wire.encode(message, Encoding.JSON))
        fields["aulas"].append("C9")
        [invalid] = wire.decode_answers(json.dumps(fields).encode()).messages
        assert isinstance(invalid, Invalid)
        assert invalid.field == "salones_propuestos"


@pytest.mark.parametrize(
    "spoil",
    [
        {"status": "FINE"},
        {"recibo": None},
        {"recibo": {"epoch": 1}},
        {"aulas": "C1"},
        {"code": 7},
        {"salones_propuestos": True},
        {"tipo": "SOL"},
    ],
)
def test_a_malformed_res_is_refused(spoil: dict[str, Any]) -> None:
    fields = json.loads(wire.encode(ACCEPTED, Encoding.JSON)) | spoil
    [invalid] = wire.decode_answers(json.dumps(fields).encode()).messages
    assert isinstance(invalid, Invalid)


def test_a_result_of_the_application_becomes_a_res() -> None:
    result = Result("t1", "ACCEPTED", None, None, ("C1", "C2"), ("L1",), ("C3",))
    assert wire.res_of(result, Receipt(2, 9, "ab" * 32, 2)) == ACCEPTED
    assert wire.res_of(Result("t1", "DENIED", "NOT_ENOUGH_ROOMS", "no"), None).receipt is None


@both
def test_a_program_request_needs_neither_term_nor_id(write: Any) -> None:
    asked: dict[str, Any] = {"programa": "Sistemas", "salones": 7, "laboratorios": 2}
    assert wire.decode_program_request(write(asked))[0] == ProgramRequest("Sistemas", 7, 2)
    more = asked | {"semestre": "2026-1", "transaction_id": "t9", "parcial": True}
    request = ProgramRequest("Sistemas", 7, 2, "2026-1", "t9", True)
    assert wire.decode_program_request(write(more))[0] == request
    assert wire.decode_program_request(wire.encode(request, Encoding.JSON)) == (request, Encoding.JSON)


@both
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"programa": ...}, "programa"),
        ({"salones": 1.5}, "salones"),
        ({"salones": 0, "laboratorios": 0}, "salones"),
        ({"semestre": 20252}, "semestre"),
        ({"parcial": "yes"}, "parcial"),
        ({"transaction_id": 7}, "transaction_id"),
        *(
            ({name: text}, name)
            for name in ("programa", "semestre", "transaction_id")
            for text in ("", "  ", " x", "x ", "\xa0x", "x" * 201, "x\u202e-2", "x\nx", "x\x7f", "x\u2028x", "x\u200b")
        ),
    ],
)
def test_a_bad_program_request_names_its_field(write: Any, changes: dict[str, Any], field: str) -> None:
    asked = changed({"programa": "Sistemas", "salones": 7, "laboratorios": 2}, **changes)
    invalid, _ = wire.decode_program_request(write(asked))
    assert isinstance(invalid, Invalid)
    assert invalid.field == field


@both
@pytest.mark.parametrize("name", ["programa", "semestre", "transaction_id"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Biologi\u0301a", "must be composed (Unicode NFC)"),
        ("\u2615\ufe0f", "(U+FE0F VARIATION SELECTOR-16 is not printable)"),
        ("\U0001f9d1\u200d\U0001f3eb", "(U+200D ZERO WIDTH JOINER is not printable)"),
        ("\u3164", "(U+3164 HANGUL FILLER is not printable)"),
        ("\u0301a", "(U+0301 COMBINING ACUTE ACCENT needs a letter before it)"),
    ],
)
def test_a_name_that_deceives_is_refused_with_what_is_wrong_with_it(
    write: Any, name: str, text: str, sentence: str
) -> None:
    asked = {"programa": "Sistemas", "salones": 7, "laboratorios": 2} | {name: text}
    invalid, _ = wire.decode_program_request(write(asked))
    assert isinstance(invalid, Invalid)
    assert invalid.field == name
    assert sentence in (invalid.as_res().reason or "")


@both
def test_a_program_sends_no_arrays(write: Any) -> None:
    assert wire.decode_program_request(write([]))[0] == Dropped("not_a_map")
    asked = {"programa": "Sistemas", "salones": 7, "laboratorios": 2, "transaction_id": "t9"}
    for one in (asked, changed(asked, salones="x")):
        assert wire.decode_program_request(write([one]))[0] == Invalid("t9", "message", "must be one map, not an array")
    for several in ([asked, asked], [7], [changed(asked, transaction_id=...)]):
        assert wire.decode_program_request(write(several))[0] == Dropped("not_a_map")


@both
def test_what_is_longer_than_a_programs_request_may_be_is_not_even_read(write: Any, monkeypatch: Any) -> None:
    long = write([{"programa": "x" * 100}] * 1_000)
    monkeypatch.setattr(wire, "parse", None)
    refused, _ = wire.decode_program_request(long)
    assert refused == Dropped("too_long")


MANY_KEYS = {f"k{i}": i for i in range(200)}


@pytest.mark.parametrize(
    ("payload", "transaction_id"),
    [
        (b'{"transaction_id":"t\\u00e9\\/1","programa":', "té/1"),
        (b'{"nota":{"transaction_id":"other"},"transaction_id" :\t"t1","n":}', "t1"),
        (b'{"nota":["transaction_id"],"n":"\\"transaction_id\\":\\"other\\"","transaction_id":"t1"', "t1"),
        (b'{"n":"transaction_id","transaction_id":"t1"', "t1"),
        (json.dumps({"nota": "x" * 70_000, "transaction_id": "t1"}).encode(), "t1"),
        (json.dumps(MANY_KEYS | {"transaction_id": "t1"}).encode() + b" x", "t1"),
        (msgpack.packb(MANY_KEYS | {"transaction_id": "t1"}) + b"\xc0", "t1"),
        (b"\x82\xaetransaction_id\xdb\x00\x00\x00\x02t1\xa1n\xc1", "t1"),
    ],
    ids=["escapes", "nested", "in a string", "as a value", "too long", "many keys", "many keys msgpack", "str 32"],
)
def test_a_broken_message_is_answered_under_its_own_id(payload: bytes, transaction_id: str) -> None:
    for decoded in (wire.decode_requests(payload).messages[0], wire.decode_program_request(payload)[0]):
        assert isinstance(decoded, Invalid)
        assert (decoded.transaction_id, decoded.field) == (transaction_id, "message")


@pytest.mark.parametrize(
    "payload",
    [
        b'{"nota":{"transaction_id":"other"},"n":}',
        b'{"nota":{"transaction_id":"other"',
        b'{"transaction_id":"\\ud800","n":}',
        b'{"transaction_id":"t1',
        b'{"transaction_id":"t1\\',
        b'{"transaction_id":"t\n1","n":}',
        b'{"transaction_id":7,"n":}',
        b'{"transaction_id":["t1"],"n":}',
        b'{"transaction_id":"","n":}',
        b'{"transaction_id":"' + b"\\u0041" * 201 + b'","n":}',
        b'{"n":"' + b'\\"' * 30_000,
        b"\x81\xaetransaction_id\xdb\x00\x01\x00\x00" + b"t" * 65_536 + b"\xc0",
    ],
)
def test_what_is_no_id_of_a_broken_message_is_not_echoed(payload: bytes) -> None:
    [dropped] = wire.decode_requests(payload).messages
    assert dropped in (Dropped("not_encoded"), Dropped("too_long"))


def test_a_program_that_says_a_key_twice_is_told_so_with_or_without_an_id() -> None:
    asked = b'{"programa":"a","programa":"b","salones":1,"laboratorios":0%s}'
    assert wire.decode_program_request(asked % b"")[0] == Invalid("", "message", "a key occurs twice")
    assert wire.decode_program_request(asked % b',"transaction_id":"t1"')[0] == Invalid(
        "t1", "message", "a key occurs twice"
    )


@pytest.mark.parametrize("encoding", Encoding)
def test_joined_messages_arrive_as_arrays_within_the_limits(encoding: Encoding) -> None:
    one = wire.encode(RESERVE, encoding)
    assert join([], encoding) == []
    assert join([one], encoding) == [one]
    payloads = join([one] * 2_500, encoding)
    counts = [len(wire.decode_requests(payload).messages) for payload in payloads]
    assert counts == [1_000, 1_000, 500]
    large = wire.encode(Proposal("t1", tuple(f"B{n:04}" for n in range(1_000)), (), (), 1), encoding)
    for payload in join([large] * 300, encoding):
        assert len(payload) <= 1 << 20
        assert all(message.transaction_id == "t1" for message in wire.decode_answers(payload).messages)  # type: ignore[union-attr]
