"""The fields of a request: what each may be, and what sentences call it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from projections.rooms.commands import Reserve
from projections.rooms.limits import ID_MAX, ROOMS_PER_REQUEST_MAX, TEXT_CHARS_MAX
from projections.rooms.names import NAME_RULE, name_fault

_ENGLISH: Final = {
    "salones": "classrooms",
    "laboratorios": "labs",
    "semester": "term",
    "semestre": "term",
    "facultad": "faculty",
    "programa": "program",
    "parcial": "partial",
}
"""Fields on the wire that bear the seed's names."""

_QUANTITIES: Final = {"salones": "number of ", "laboratorios": "number of ", "parcial": "value of "}
"""Fields of which there is not one or another, but so many or so much."""

_NAME_CHARS_MAX: Final = 60
"""So much of a term's name is said where the sentence says more."""

_MORE_CHARS: Final = len(", …")

_COUNT_RULE: Final = f"must be 0 to {ROOMS_PER_REQUEST_MAX}, and not zero together with the other one"
_ID_RULE: Final = f"must be 0 to {ID_MAX}"
_RULES: Final = {
    "salones": _COUNT_RULE,
    "laboratorios": _COUNT_RULE,
    "faculty_id": _ID_RULE,
    "program_id": _ID_RULE,
}


def spoken(field: str) -> str:
    """A field, by its name on the wire, as a sentence calls it: in English, too."""
    english = _ENGLISH.get(field)
    return field if english is None else f"{english} ({field})"


def bad_field_reason(field: str) -> str:
    """The sentence about a field that is not what it may be."""
    return f"{spoken(field)} {_RULES.get(field, NAME_RULE)}"


def bad_name_reason(field: str, value: str) -> str:
    """The sentence about a field whose value is no name."""
    return f"{spoken(field)} {name_fault(value)}"


def conflict_reason(fields: Iterable[str]) -> str:
    """The sentence about a request whose id came before with other values of these fields."""
    *others, last = [f"another {_QUANTITIES.get(field, '')}{spoken(field)}" for field in fields]
    return f"this id came before with {', '.join(others)}{' and ' if others else ''}{last}"


def term_reason(before: str, term: str, after: str, terms: Iterable[str] = ()) -> str:
    """A sentence about a term by its name, and which there are instead, in their order, as far as a reason is long. A
    name that is too long for it is cut."""
    name = term if len(term) <= _NAME_CHARS_MAX else f"{term[: _NAME_CHARS_MAX - 1]}…"
    reason, separator = f"{before} {name} {after}", ": "
    assert len(reason) + _MORE_CHARS <= TEXT_CHARS_MAX, "a sentence leaves room"
    for one in terms:
        if len(reason) + len(separator) + len(one) + _MORE_CHARS > TEXT_CHARS_MAX:
            return f"{reason}{separator}…"
        reason, separator = f"{reason}{separator}{one}", ", "
    return reason


def is_text(value: str) -> bool:
    """True if the log can hold it: short, and no half of a surrogate pair."""
    if len(value) > TEXT_CHARS_MAX:
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def bad_field(command: Reserve) -> str | None:
    """The first field that no event can hold, by its name on the wire, or None."""
    if not 0 <= command.classrooms <= ROOMS_PER_REQUEST_MAX or not (command.classrooms or command.labs):
        return "salones"
    if not 0 <= command.labs <= ROOMS_PER_REQUEST_MAX:
        return "laboratorios"
    if not 0 <= command.faculty_id <= ID_MAX:
        return "faculty_id"
    if not 0 <= command.program_id <= ID_MAX:
        return "program_id"
    if not command.transaction_id or not is_text(command.transaction_id):
        return "transaction_id"
    if not command.term or not is_text(command.term):
        return "semester"
    if not is_text(command.faculty):
        return "facultad"
    return None if is_text(command.program) else "programa"
