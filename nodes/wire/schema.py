"""Messages as types, and what each of their fields may be (PROTOCOL.md, wire).

    SOL  → Reserve     PROP → Proposal     ACK → Answer     RES → Res     a program's request → ProgramRequest

A map that is no such message becomes `Invalid` if its transaction id can be read, `Dropped` if not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from nodes.wire.encoding import DEPTH_MAX, RepeatedKeys
from projections.rooms.commands import (
    ACCEPTED,
    BAD_FIELD,
    CANCELED,
    DENIED,
    INVALID,
    UNAVAILABLE,
    Answer,
    Proposal,
    Reserve,
)
from projections.rooms.fields import NAME_RULE, is_name
from projections.rooms.limits import ID_MAX, ROOMS_PER_REQUEST_MAX, TEXT_CHARS_MAX

UNKNOWN: Final = "UNKNOWN"
STATUSES: Final = (ACCEPTED, DENIED, CANCELED, INVALID, UNAVAILABLE, UNKNOWN)
"""Every status of a RES."""

SERVER_STATUSES: Final = STATUSES[:-1]
"""Servers never say UNKNOWN; faculties do."""

NOT_ACTIVE: Final = "NOT_ACTIVE"
"""Code of UNAVAILABLE from a server that does not lead."""

FORBIDDEN: Final = "FORBIDDEN"
"""Code of INVALID for what a key may not say."""

_NUMBER_MAX: Final = (1 << 63) - 1


class Receipt(NamedTuple):
    """Which event a result is: `hash` is its batch's SHA-256 in hex, `copies` how many nodes hold it."""

    epoch: int
    seq: int
    hash: str
    copies: int


class Res(NamedTuple):
    """The end of a transaction as clients see it: a Result, the receipt of its event if it has one (always
    with ACCEPTED), and with NOT_ACTIVE the endpoint of the active server if known. The first seven
    fields are Result's."""

    transaction_id: str
    status: str
    code: str | None = None
    reason: str | None = None
    classrooms: tuple[str, ...] = ()
    labs: tuple[str, ...] = ()
    mobile: tuple[str, ...] = ()
    receipt: Receipt | None = None
    active: str | None = None


class ProgramRequest(NamedTuple):
    """What a program asks of its faculty. None means: the faculty's own term, an id the faculty draws."""

    program: str
    classrooms: int
    labs: int
    term: str | None = None
    transaction_id: str | None = None
    partial: bool = False


class Invalid(NamedTuple):
    """A malformed message that can be answered: `field` is what is wrong with it, by its wire name."""

    transaction_id: str
    field: str
    reason: str

    def as_res(self) -> Res:
        """The answer to it. A field's name may be as long as a whole reason: what is too long is cut."""
        return Res(self.transaction_id, INVALID, BAD_FIELD, f"{self.field}: {self.reason}"[:TEXT_CHARS_MAX])


class Dropped(NamedTuple):
    """A message that cannot be answered; `why` is the label it is counted under."""

    why: str


Malformed: TypeAlias = Invalid | Dropped
_Check: TypeAlias = Callable[[Any], bool]
_Schema: TypeAlias = tuple[tuple[str, _Check, str], ...]

DROPPED_WHYS: Final = ("not_a_map", "no_transaction_id")
"""Every `why` of a Dropped map; a whole payload may also be dropped for one of UNREADABLE_WHYS."""


# --- what a value may be


def _is_name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= TEXT_CHARS_MAX


def _is_plain(value: Any) -> bool:
    return type(value) is str and is_name(value)


def _is_text(value: Any) -> bool:
    return type(value) is str and len(value) <= TEXT_CHARS_MAX


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= ID_MAX


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= ROOMS_PER_REQUEST_MAX


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _NUMBER_MAX


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_confirm(value: Any) -> bool:
    return type(value) is str and value in ("ACCEPT", "REJECT")


def _is_status(value: Any) -> bool:
    return type(value) is str and value in STATUSES


def _is_map(value: Any) -> bool:
    return type(value) is dict


def _are_rooms(value: Any) -> bool:
    return type(value) is list and len(value) <= ROOMS_PER_REQUEST_MAX and all(map(_is_name, value))


_NAME = f"must be text of 1 to {TEXT_CHARS_MAX} characters"
_TEXT = f"must be text of at most {TEXT_CHARS_MAX} characters"
_ID = f"must be an integer from 0 to {ID_MAX}"
_COUNT = f"must be an integer from 0 to {ROOMS_PER_REQUEST_MAX}"
_NUMBER = "must be an integer from 0 up"
_BOOL = "must be true or false"
_MAP = "must be a map"
_BOTH_ZERO = "salones and laboratorios are both zero"
_REPEATED = "a key occurs twice"
_ROOMS = f"must be a list of at most {ROOMS_PER_REQUEST_MAX} room ids"

_SOL: _Schema = (
    ("faculty_id", _is_id, _ID),
    ("facultad", _is_text, _TEXT),
    ("program_id", _is_id, _ID),
    ("programa", _is_name, _NAME),
    ("semester", _is_name, _NAME),
    ("salones", _is_count, _COUNT),
    ("laboratorios", _is_count, _COUNT),
)
_ACK: _Schema = (("confirm", _is_confirm, "must be ACCEPT or REJECT"),)
_COUNTS: _Schema = (
    ("salones_propuestos", _is_count, _COUNT),
    ("laboratorios_propuestos", _is_count, _COUNT),
    ("aulas_moviles", _is_count, _COUNT),
)
_LISTS: _Schema = (
    ("aulas", _are_rooms, _ROOMS),
    ("laboratorios", _are_rooms, _ROOMS),
    ("moviles", _are_rooms, _ROOMS),
)
_PROP: _Schema = (("data", _is_map, _MAP), *_LISTS, ("vence", _is_number, _NUMBER))
_RES: _Schema = (("status", _is_status, f"must be one of {', '.join(STATUSES)}"),)
_RECEIPT: _Schema = (
    ("epoch", _is_number, _NUMBER),
    ("seq", _is_number, _NUMBER),
    ("hash", _is_name, _NAME),
    ("copias", _is_number, _NUMBER),
)
_PROGRAM: _Schema = (
    ("programa", _is_plain, NAME_RULE),
    ("salones", _is_count, _COUNT),
    ("laboratorios", _is_count, _COUNT),
)


def _names(schema: _Schema, *more: str) -> frozenset[str]:
    return frozenset(name for name, _, _ in schema) | {*more}


_SOL_NAMES = _names(_SOL, "tipo", "transaction_id", "parcial")
_ACK_NAMES = _names(_ACK, "tipo", "transaction_id", "faculty_id")
_COUNT_NAMES = _names(_COUNTS)
_PROP_NAMES = _names(_PROP, "tipo", "transaction_id")
_RES_NAMES = _names(_RES, "tipo", "transaction_id", "code", "reason", "activo", "recibo")
_ACCEPTED_NAMES = _RES_NAMES | _names((*_COUNTS, *_LISTS))
_RECEIPT_NAMES = _names(_RECEIPT)
_PROGRAM_NAMES = _names(_PROGRAM, "semestre", "transaction_id", "parcial")


# --- from maps


def server_request(fields: Any) -> Reserve | Answer | Malformed:
    """A SOL or an ACK as the command it is."""
    malformed = _identify(fields)
    if malformed:
        return malformed
    kind = fields.get("tipo")
    if kind == "SOL":
        return _reserve(fields)
    if kind == "ACK":
        return _answer(fields)
    return Invalid(fields["transaction_id"], "tipo", "must be SOL or ACK")


def server_answer(fields: Any) -> Proposal | Res | Malformed:
    """A PROP or a RES."""
    malformed = _identify(fields)
    if malformed:
        return malformed
    kind = fields.get("tipo")
    if kind == "PROP":
        return _proposal(fields)
    if kind == "RES":
        return _res(fields)
    return Invalid(fields["transaction_id"], "tipo", "must be PROP or RES")


def program_request(fields: Any) -> ProgramRequest | Malformed:
    """What a program asks. Its transaction id is optional; an unreadable one is an answerable fault."""
    if type(fields) is RepeatedKeys:
        repeated: Any = fields.get("transaction_id")
        return Invalid(repeated if _is_name(repeated) else "", "message", _REPEATED)
    if type(fields) is not dict:
        return Dropped("not_a_map")
    get = fields.get
    transaction_id = get("transaction_id")
    if transaction_id is not None and not _is_plain(transaction_id):
        return Invalid("", "transaction_id", NAME_RULE)
    echoed = transaction_id or ""
    term, partial = get("semestre"), get("parcial", False)
    if invalid := _first_fault(fields, _PROGRAM, echoed):
        return invalid
    if term is not None and not _is_plain(term):
        return Invalid(echoed, "semestre", NAME_RULE)
    if type(partial) is not bool:
        return Invalid(echoed, "parcial", _BOOL)
    program, classrooms, labs = fields["programa"], fields["salones"], fields["laboratorios"]
    if not classrooms and not labs:
        return Invalid(echoed, "salones", _BOTH_ZERO)
    request = ProgramRequest(program, classrooms, labs, term, transaction_id, partial)
    return _extra_fault(fields, _PROGRAM_NAMES, echoed) or request


def _identify(fields: Any) -> Malformed | None:
    if type(fields) is not dict:
        return _not_a_plain_map(fields)
    if not _is_name(fields.get("transaction_id")):
        return Dropped("no_transaction_id")
    return None


def _not_a_plain_map(fields: Any) -> Malformed:
    if type(fields) is not RepeatedKeys:
        return Dropped("not_a_map")
    transaction_id: Any = fields.get("transaction_id")
    if not _is_name(transaction_id):
        return Dropped("no_transaction_id")
    return Invalid(transaction_id, "message", _REPEATED)


def _first_fault(fields: Mapping[str, Any], schema: _Schema, transaction_id: str) -> Invalid | None:
    for name, fits, sentence in schema:
        if not fits(fields.get(name)):
            return Invalid(transaction_id, name, sentence if name in fields else "is missing")
    return None


def _extra_fault(
    fields: Mapping[Any, Any], known: frozenset[str], transaction_id: str, depth_left: int = DEPTH_MAX
) -> Invalid | None:
    """Fields that are not `known` mean nothing, but the limits of a message hold for them too."""
    if fields.keys() <= known:
        return None
    for name in fields:  # in their order: a message is always refused with the same words
        if name in known:
            continue
        if not _is_text(name):
            return Invalid(transaction_id, "message", f"a key is no text of at most {TEXT_CHARS_MAX} characters")
        if not _fits_limits(fields[name], depth_left):
            return Invalid(transaction_id, name, f"text over {TEXT_CHARS_MAX}, depth over {DEPTH_MAX} or no number")
    return None


def _fits_limits(value: Any, depth_left: int) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) <= TEXT_CHARS_MAX
    if kind is float:
        return bool(value - value == 0)  # neither NaN nor infinite
    if kind is list or kind is dict:
        if depth_left == 1:
            return False
        if kind is dict and not all(_is_text(key) for key in value):
            return False
        return all(_fits_limits(one, depth_left - 1) for one in (value if kind is list else value.values()))
    return kind is not RepeatedKeys


def _reserve(fields: Mapping[str, Any]) -> Reserve | Invalid:
    transaction_id = fields["transaction_id"]
    if invalid := _first_fault(fields, _SOL, transaction_id):
        return invalid
    partial = fields.get("parcial", False)
    if type(partial) is not bool:
        return Invalid(transaction_id, "parcial", _BOOL)
    reserve = Reserve(
        transaction_id,
        fields["faculty_id"],
        fields["facultad"],
        fields["program_id"],
        fields["programa"],
        fields["semester"],
        fields["salones"],
        fields["laboratorios"],
        partial,
    )
    if not reserve.classrooms and not reserve.labs:
        return Invalid(transaction_id, "salones", _BOTH_ZERO)
    return _extra_fault(fields, _SOL_NAMES, transaction_id) or reserve


def _answer(fields: Mapping[str, Any]) -> Answer | Invalid:
    transaction_id = fields["transaction_id"]
    if invalid := _first_fault(fields, _ACK, transaction_id):
        return invalid
    faculty_id = fields.get("faculty_id")
    if "faculty_id" in fields and not _is_id(faculty_id):
        return Invalid(transaction_id, "faculty_id", _ID)
    answer = Answer(transaction_id, faculty_id, fields["confirm"] == "ACCEPT")
    return _extra_fault(fields, _ACK_NAMES, transaction_id) or answer


def _proposal(fields: Mapping[str, Any]) -> Proposal | Invalid:
    transaction_id = fields["transaction_id"]
    invalid = _first_fault(fields, _PROP, transaction_id) or _count_fault(fields["data"], fields, transaction_id)
    if invalid:
        return invalid
    classrooms, labs, mobile = _rooms(fields)
    proposal = Proposal(transaction_id, classrooms, labs, mobile, fields["vence"])
    return (
        _extra_fault(fields, _PROP_NAMES, transaction_id)
        or _extra_fault(fields["data"], _COUNT_NAMES, transaction_id, DEPTH_MAX - 1)
        or proposal
    )


def _res(fields: Mapping[str, Any]) -> Res | Invalid:
    transaction_id = fields["transaction_id"]
    get = fields.get
    if invalid := _first_fault(fields, _RES, transaction_id):
        return invalid
    for name in ("code", "reason", "activo"):
        if get(name) is not None and not _is_text(fields[name]):
            return Invalid(transaction_id, name, _TEXT)
    status = fields["status"]
    receipt = _receipt(get("recibo"), transaction_id) if status == ACCEPTED or "recibo" in fields else None
    if isinstance(receipt, Invalid):
        return receipt
    if invalid := _extra_fault(fields, _ACCEPTED_NAMES if status == ACCEPTED else _RES_NAMES, transaction_id):
        return invalid
    if status != ACCEPTED:
        return Res(transaction_id, status, get("code"), get("reason"), receipt=receipt, active=get("activo"))
    if invalid := _first_fault(fields, _LISTS, transaction_id) or _count_fault(fields, fields, transaction_id):
        return invalid
    return Res(transaction_id, status, get("code"), get("reason"), *_rooms(fields), receipt, get("activo"))


def _receipt(fields: Any, transaction_id: str) -> Receipt | Invalid:
    if type(fields) is not dict:
        return Invalid(transaction_id, "recibo", _MAP)
    return (
        _first_fault(fields, _RECEIPT, transaction_id)
        or _extra_fault(fields, _RECEIPT_NAMES, transaction_id, DEPTH_MAX - 1)
        or Receipt(fields["epoch"], fields["seq"], fields["hash"], fields["copias"])
    )


def _count_fault(counts: Mapping[str, Any], lists: Mapping[str, Any], transaction_id: str) -> Invalid | None:
    if invalid := _first_fault(counts, _COUNTS, transaction_id):
        return invalid
    for (count, _, _), (rooms, _, _) in zip(_COUNTS, _LISTS, strict=True):
        if counts[count] != len(lists[rooms]):
            return Invalid(transaction_id, count, f"must be the length of {rooms}")
    return None


def _rooms(fields: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return tuple(fields["aulas"]), tuple(fields["laboratorios"]), tuple(fields["moviles"])


# --- to maps


def reserve_fields(reserve: Reserve) -> dict[str, Any]:
    """SOL."""
    fields = {
        "tipo": "SOL",
        "transaction_id": reserve.transaction_id,
        "faculty_id": reserve.faculty_id,
        "facultad": reserve.faculty,
        "program_id": reserve.program_id,
        "programa": reserve.program,
        "semester": reserve.term,
        "salones": reserve.classrooms,
        "laboratorios": reserve.labs,
    }
    if reserve.partial:
        fields["parcial"] = True
    return fields


def answer_fields(answer: Answer) -> dict[str, Any]:
    """ACK."""
    fields: dict[str, Any] = {
        "tipo": "ACK",
        "transaction_id": answer.transaction_id,
        "confirm": "ACCEPT" if answer.accept else "REJECT",
    }
    if answer.faculty_id is not None:
        fields["faculty_id"] = answer.faculty_id
    return fields


def proposal_fields(proposal: Proposal) -> dict[str, Any]:
    """PROP."""
    transaction_id, classrooms, labs, mobile, deadline_us = proposal
    return {
        "tipo": "PROP",
        "transaction_id": transaction_id,
        "data": {
            "salones_propuestos": len(classrooms),
            "laboratorios_propuestos": len(labs),
            "aulas_moviles": len(mobile),
        },
        "aulas": classrooms,
        "laboratorios": labs,
        "moviles": mobile,
        "vence": deadline_us,
    }


def res_fields(res: Res) -> dict[str, Any]:
    """RES. Optional fields that are None are left out."""
    transaction_id, status, code, reason, classrooms, labs, mobile, receipt, active = res
    fields: dict[str, Any] = {"tipo": "RES", "transaction_id": transaction_id, "status": status}
    if code is not None:
        fields["code"] = code
    if reason is not None:
        fields["reason"] = reason
    if active is not None:
        fields["activo"] = active
    if status == ACCEPTED:
        fields["salones_propuestos"] = len(classrooms)
        fields["laboratorios_propuestos"] = len(labs)
        fields["aulas_moviles"] = len(mobile)
        fields["aulas"] = classrooms
        fields["laboratorios"] = labs
        fields["moviles"] = mobile
    if receipt is not None:
        epoch, seq, digest, copies = receipt
        fields["recibo"] = {"epoch": epoch, "seq": seq, "hash": digest, "copias": copies}
    return fields


def program_request_fields(request: ProgramRequest) -> dict[str, Any]:
    """A program's request."""
    fields: dict[str, Any] = {
        "programa": request.program,
        "salones": request.classrooms,
        "laboratorios": request.labs,
    }
    if request.term is not None:
        fields["semestre"] = request.term
    if request.transaction_id is not None:
        fields["transaction_id"] = request.transaction_id
    if request.partial:
        fields["parcial"] = True
    return fields
