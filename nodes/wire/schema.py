"""Messages as types, from maps and to maps (PROTOCOL.md, wire); what their fields may be stands in nodes.wire.fields.

    SOL  → Reserve     PROP → Proposal     ACK → Answer     RES → Res     a program's request → ProgramRequest
    LIB  → ReleaseRequest                  CIE → CloseRequest             CER → Closed

A map that is no such message becomes `Invalid` if its transaction id can be read, `Dropped` if not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from nodes.wire.encoding import DEPTH_MAX, RepeatedKeys
from nodes.wire.fields import (
    ACCEPTED_NAMES,
    ACK,
    ACK_NAMES,
    BOOL,
    BOTH_ZERO,
    CER,
    CER_NAMES,
    CIE,
    CIE_NAMES,
    COUNT_NAMES,
    COUNTS,
    ID,
    LIB,
    LIB_NAMES,
    LISTS,
    MAP,
    PROGRAM,
    PROGRAM_NAMES,
    PROP,
    PROP_NAMES,
    RECEIPT,
    RECEIPT_NAMES,
    REPEATED,
    RES_NAMES,
    SOL,
    SOL_NAMES,
    TEXT,
    Schema,
    is_id,
    is_nonempty,
    is_text,
)
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
from projections.rooms.fields import spoken
from projections.rooms.limits import TEXT_CHARS_MAX
from projections.rooms.names import NAME_RULE, is_name, name_fault

UNKNOWN: Final = "UNKNOWN"
STATUSES: Final = (ACCEPTED, DENIED, CANCELED, INVALID, UNAVAILABLE, UNKNOWN)
"""Every status of a RES."""

SERVER_STATUSES: Final = STATUSES[:-1]
"""Servers never say UNKNOWN; faculties do."""

NOT_ACTIVE: Final = "NOT_ACTIVE"
"""Code of UNAVAILABLE from a server that does not lead."""

FORBIDDEN: Final = "FORBIDDEN"
"""Code of INVALID for what a key may not say."""


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


class ReleaseRequest(NamedTuple):
    """Give the confirmed rooms of a faculty's transaction back (A12). Who asks is told by its key."""

    transaction_id: str
    faculty_id: int
    reason: str


class CloseRequest(NamedTuple):
    """End a term (A10). The id is that of the question; it stands in the answer, and nowhere else."""

    transaction_id: str
    term: str


class Closed(NamedTuple):
    """A term is closed: what ended with it (projections.rooms.commands.TermResult), and the receipt of its event."""

    transaction_id: str
    term: str
    classrooms: int
    labs: int
    holds: int
    receipt: Receipt


class Invalid(NamedTuple):
    """A malformed message that can be answered: `field` is what is wrong with it, by its wire name."""

    transaction_id: str
    field: str
    reason: str

    def as_res(self) -> Res:
        """The answer to it. A field's name may be as long as a whole reason: what is too long is cut."""
        return Res(self.transaction_id, INVALID, BAD_FIELD, f"{spoken(self.field)}: {self.reason}"[:TEXT_CHARS_MAX])


class Dropped(NamedTuple):
    """A message that cannot be answered; `why` is the label it is counted under."""

    why: str


ServerRequest: TypeAlias = Reserve | Answer | ReleaseRequest | CloseRequest
Malformed: TypeAlias = Invalid | Dropped

DROPPED_WHYS: Final = ("not_a_map", "no_transaction_id")
"""Every `why` of a Dropped map; a whole payload may also be dropped for one of UNREADABLE_WHYS."""


M = TypeVar("M")


def _is_status(value: Any) -> bool:
    return type(value) is str and value in STATUSES


_RES: Schema = (("status", _is_status, f"must be one of {', '.join(STATUSES)}"),)


def server_request(fields: Any) -> ServerRequest | Malformed:
    """A SOL or an ACK as the command it is; a LIB or a CIE."""
    return _by_kind(fields, _SERVER_REQUESTS, "must be SOL, ACK, LIB or CIE")


def server_answer(fields: Any) -> Proposal | Res | Malformed:
    """A PROP or a RES."""
    return _by_kind(fields, _SERVER_ANSWERS, "must be PROP or RES")


def closing_answer(fields: Any) -> Closed | Res | Malformed:
    """A CER, or the RES that a refused CIE gets."""
    return _by_kind(fields, _CLOSING_ANSWERS, "must be CER or RES")


def _by_kind(fields: Any, kinds: Mapping[str, Callable[[Any], M | Malformed]], sentence: str) -> M | Malformed:
    """One of several messages, told apart by `tipo`."""
    malformed = _identify(fields)
    if malformed:
        return malformed
    kind = fields.get("tipo")
    read = kinds.get(kind) if type(kind) is str else None
    return Invalid(fields["transaction_id"], "tipo", sentence) if read is None else read(fields)


def program_request(fields: Any) -> ProgramRequest | Malformed:
    """What a program asks. Its transaction id is optional; an unreadable one is an answerable fault."""
    if type(fields) is RepeatedKeys:
        repeated: Any = fields.get("transaction_id")
        return Invalid(repeated if is_nonempty(repeated) else "", "message", REPEATED)
    if type(fields) is not dict:
        return Dropped("not_a_map")
    get = fields.get
    transaction_id = get("transaction_id")
    if transaction_id is not None and (invalid := _bad_name(fields, "transaction_id", "")):
        return invalid
    echoed = transaction_id or ""
    term, partial = get("semestre"), get("parcial", False)
    if invalid := _bad_name(fields, "programa", echoed) or _first_fault(fields, PROGRAM, echoed):
        return invalid
    if term is not None and (invalid := _bad_name(fields, "semestre", echoed)):
        return invalid
    if type(partial) is not bool:
        return Invalid(echoed, "parcial", BOOL)
    program, classrooms, labs = fields["programa"], fields["salones"], fields["laboratorios"]
    if not classrooms and not labs:
        return Invalid(echoed, "salones", BOTH_ZERO)
    request = ProgramRequest(program, classrooms, labs, term, transaction_id, partial)
    return _extra_fault(fields, PROGRAM_NAMES, echoed) or request


def _identify(fields: Any) -> Malformed | None:
    if type(fields) is not dict:
        return _not_a_plain_map(fields)
    if not is_nonempty(fields.get("transaction_id")):
        return Dropped("no_transaction_id")
    return None


def _not_a_plain_map(fields: Any) -> Malformed:
    if type(fields) is not RepeatedKeys:
        return Dropped("not_a_map")
    transaction_id: Any = fields.get("transaction_id")
    if not is_nonempty(transaction_id):
        return Dropped("no_transaction_id")
    return Invalid(transaction_id, "message", REPEATED)


def _first_fault(fields: Mapping[str, Any], schema: Schema, transaction_id: str) -> Invalid | None:
    for name, fits, sentence in schema:
        if not fits(fields.get(name)):
            return Invalid(transaction_id, name, sentence if name in fields else "is missing")
    return None


def _bad_name(fields: Mapping[str, Any], name: str, transaction_id: str) -> Invalid | None:
    value = fields.get(name)
    if type(value) is not str:
        return Invalid(transaction_id, name, NAME_RULE if name in fields else "is missing")
    fault = None if is_name(value) else name_fault(value)
    return None if fault is None else Invalid(transaction_id, name, fault)


def _extra_fault(
    fields: Mapping[Any, Any], known: frozenset[str], transaction_id: str, depth_left: int = DEPTH_MAX
) -> Invalid | None:
    """Fields that are not `known` mean nothing, but the limits of a message hold for them too."""
    if fields.keys() <= known:
        return None
    for name in fields:  # in their order: a message is always refused with the same words
        if name in known:
            continue
        if not is_text(name):
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
        if kind is dict and not all(is_text(key) for key in value):
            return False
        return all(_fits_limits(one, depth_left - 1) for one in (value if kind is list else value.values()))
    return kind is not RepeatedKeys


def _reserve(fields: Mapping[str, Any]) -> Reserve | Invalid:
    transaction_id = fields["transaction_id"]
    if invalid := _first_fault(fields, SOL, transaction_id):
        return invalid
    partial = fields.get("parcial", False)
    if type(partial) is not bool:
        return Invalid(transaction_id, "parcial", BOOL)
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
        return Invalid(transaction_id, "salones", BOTH_ZERO)
    return _extra_fault(fields, SOL_NAMES, transaction_id) or reserve


def _answer(fields: Mapping[str, Any]) -> Answer | Invalid:
    transaction_id = fields["transaction_id"]
    if invalid := _first_fault(fields, ACK, transaction_id):
        return invalid
    faculty_id = fields.get("faculty_id")
    if "faculty_id" in fields and not is_id(faculty_id):
        return Invalid(transaction_id, "faculty_id", ID)
    answer = Answer(transaction_id, faculty_id, fields["confirm"] == "ACCEPT")
    return _extra_fault(fields, ACK_NAMES, transaction_id) or answer


def _release(fields: Mapping[str, Any]) -> ReleaseRequest | Invalid:
    transaction_id = fields["transaction_id"]
    return (
        _first_fault(fields, LIB, transaction_id)
        or _extra_fault(fields, LIB_NAMES, transaction_id)
        or ReleaseRequest(transaction_id, fields["faculty_id"], fields["reason"])
    )


def _close(fields: Mapping[str, Any]) -> CloseRequest | Invalid:
    transaction_id = fields["transaction_id"]
    return (
        _first_fault(fields, CIE, transaction_id)
        or _extra_fault(fields, CIE_NAMES, transaction_id)
        or CloseRequest(transaction_id, fields["semester"])
    )


def _proposal(fields: Mapping[str, Any]) -> Proposal | Invalid:
    transaction_id = fields["transaction_id"]
    invalid = _first_fault(fields, PROP, transaction_id) or _count_fault(fields["data"], fields, transaction_id)
    if invalid:
        return invalid
    classrooms, labs, mobile = _rooms(fields)
    proposal = Proposal(transaction_id, classrooms, labs, mobile, fields["vence"])
    return (
        _extra_fault(fields, PROP_NAMES, transaction_id)
        or _extra_fault(fields["data"], COUNT_NAMES, transaction_id, DEPTH_MAX - 1)
        or proposal
    )


def _res(fields: Mapping[str, Any]) -> Res | Invalid:
    transaction_id = fields["transaction_id"]
    get = fields.get
    if invalid := _first_fault(fields, _RES, transaction_id):
        return invalid
    for name in ("code", "reason", "activo"):
        if get(name) is not None and not is_text(fields[name]):
            return Invalid(transaction_id, name, TEXT)
    status = fields["status"]
    receipt = _receipt(get("recibo"), transaction_id) if status == ACCEPTED or "recibo" in fields else None
    if isinstance(receipt, Invalid):
        return receipt
    if invalid := _extra_fault(fields, ACCEPTED_NAMES if status == ACCEPTED else RES_NAMES, transaction_id):
        return invalid
    if status != ACCEPTED:
        return Res(transaction_id, status, get("code"), get("reason"), receipt=receipt, active=get("activo"))
    if invalid := _first_fault(fields, LISTS, transaction_id) or _count_fault(fields, fields, transaction_id):
        return invalid
    return Res(transaction_id, status, get("code"), get("reason"), *_rooms(fields), receipt, get("activo"))


def _closed(fields: Mapping[str, Any]) -> Closed | Invalid:
    transaction_id = fields["transaction_id"]
    receipt = _receipt(fields.get("recibo"), transaction_id)
    if isinstance(receipt, Invalid):
        return receipt
    return (
        _first_fault(fields, CER, transaction_id)
        or _extra_fault(fields, CER_NAMES, transaction_id)
        or Closed(
            transaction_id, fields["semester"], fields["salones"], fields["laboratorios"], fields["reservas"], receipt
        )
    )


def _receipt(fields: Any, transaction_id: str) -> Receipt | Invalid:
    if type(fields) is not dict:
        return Invalid(transaction_id, "recibo", MAP)
    return (
        _first_fault(fields, RECEIPT, transaction_id)
        or _extra_fault(fields, RECEIPT_NAMES, transaction_id, DEPTH_MAX - 1)
        or Receipt(fields["epoch"], fields["seq"], fields["hash"], fields["copias"])
    )


def _count_fault(counts: Mapping[str, Any], lists: Mapping[str, Any], transaction_id: str) -> Invalid | None:
    if invalid := _first_fault(counts, COUNTS, transaction_id):
        return invalid
    for (count, _, _), (rooms, _, _) in zip(COUNTS, LISTS, strict=True):
        if counts[count] != len(lists[rooms]):
            return Invalid(transaction_id, count, f"must be the length of {rooms}")
    return None


def _rooms(fields: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return tuple(fields["aulas"]), tuple(fields["laboratorios"]), tuple(fields["moviles"])


_SERVER_REQUESTS: Final[Mapping[str, Callable[[Any], ServerRequest | Malformed]]] = {
    "SOL": _reserve, "ACK": _answer, "LIB": _release, "CIE": _close,
}  # fmt: skip
_SERVER_ANSWERS: Final[Mapping[str, Callable[[Any], Proposal | Res | Malformed]]] = {"PROP": _proposal, "RES": _res}
_CLOSING_ANSWERS: Final[Mapping[str, Callable[[Any], Closed | Res | Malformed]]] = {"CER": _closed, "RES": _res}
