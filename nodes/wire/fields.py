"""What each field of a client's message may be: its check, and the sentence for a value that fails it.

A message's table has the fields that must be there; its names are those that mean something in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from projections.rooms.limits import ID_MAX, ROOMS_PER_REQUEST_MAX, TEXT_CHARS_MAX

Check: TypeAlias = Callable[[Any], bool]
Schema: TypeAlias = tuple[tuple[str, Check, str], ...]

_NUMBER_MAX: Final = (1 << 63) - 1


def is_nonempty(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= TEXT_CHARS_MAX


def is_text(value: Any) -> bool:
    return type(value) is str and len(value) <= TEXT_CHARS_MAX


def is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= ID_MAX


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= ROOMS_PER_REQUEST_MAX


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _NUMBER_MAX


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_confirm(value: Any) -> bool:
    return type(value) is str and value in ("ACCEPT", "REJECT")


def _is_map(value: Any) -> bool:
    return type(value) is dict


def _are_rooms(value: Any) -> bool:
    return type(value) is list and len(value) <= ROOMS_PER_REQUEST_MAX and all(map(is_nonempty, value))


NONEMPTY = f"must be text of 1 to {TEXT_CHARS_MAX} characters"
TEXT = f"must be text of at most {TEXT_CHARS_MAX} characters"
ID = f"must be an integer from 0 to {ID_MAX}"
_COUNT = f"must be an integer from 0 to {ROOMS_PER_REQUEST_MAX}"
_NUMBER = "must be an integer from 0 up"
BOOL = "must be true or false"
MAP = "must be a map"
BOTH_ZERO = "salones and laboratorios are both zero"
REPEATED = "a key occurs twice"
_ROOMS = f"must be a list of at most {ROOMS_PER_REQUEST_MAX} room ids"

SOL: Schema = (
    ("faculty_id", is_id, ID),
    ("facultad", is_text, TEXT),
    ("program_id", is_id, ID),
    ("programa", is_nonempty, NONEMPTY),
    ("semester", is_nonempty, NONEMPTY),
    ("salones", _is_count, _COUNT),
    ("laboratorios", _is_count, _COUNT),
)
ACK: Schema = (("confirm", _is_confirm, "must be ACCEPT or REJECT"),)
LIB: Schema = (("faculty_id", is_id, ID), ("reason", is_text, TEXT))
CIE: Schema = (("semester", is_nonempty, NONEMPTY),)
CER: Schema = (
    ("semester", is_nonempty, NONEMPTY),
    ("salones", _is_number, _NUMBER),
    ("laboratorios", _is_number, _NUMBER),
    ("reservas", _is_number, _NUMBER),
)
COUNTS: Schema = (
    ("salones_propuestos", _is_count, _COUNT),
    ("laboratorios_propuestos", _is_count, _COUNT),
    ("aulas_moviles", _is_count, _COUNT),
)
LISTS: Schema = (
    ("aulas", _are_rooms, _ROOMS),
    ("laboratorios", _are_rooms, _ROOMS),
    ("moviles", _are_rooms, _ROOMS),
)
PROP: Schema = (("data", _is_map, MAP), *LISTS, ("vence", _is_number, _NUMBER))
RECEIPT: Schema = (
    ("epoch", _is_number, _NUMBER),
    ("seq", _is_number, _NUMBER),
    ("hash", is_nonempty, NONEMPTY),
    ("copias", _is_number, _NUMBER),
)
PROGRAM: Schema = (
    ("salones", _is_count, _COUNT),
    ("laboratorios", _is_count, _COUNT),
)


def _names(schema: Schema, *more: str) -> frozenset[str]:
    return frozenset(name for name, _, _ in schema) | {*more}


SOL_NAMES = _names(SOL, "tipo", "transaction_id", "parcial")
ACK_NAMES = _names(ACK, "tipo", "transaction_id", "faculty_id")
LIB_NAMES = _names(LIB, "tipo", "transaction_id")
CIE_NAMES = _names(CIE, "tipo", "transaction_id")
CER_NAMES = _names(CER, "tipo", "transaction_id", "recibo")
COUNT_NAMES = _names(COUNTS)
PROP_NAMES = _names(PROP, "tipo", "transaction_id")
RES_NAMES = _names((), "tipo", "transaction_id", "status", "code", "reason", "activo", "recibo")
ACCEPTED_NAMES = RES_NAMES | _names((*COUNTS, *LISTS))
RECEIPT_NAMES = _names(RECEIPT)
PROGRAM_NAMES = _names(PROGRAM, "programa", "semestre", "transaction_id", "parcial")
