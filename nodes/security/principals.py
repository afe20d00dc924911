"""Who a key speaks for: a kind and, where there are several of it, a name.

    server:a   witness   faculty:3   program:3/17   program:3/*   operator:ana   auditor:eva

`program:3/*` is the key of a faculty's coordinators: it speaks for every program of that faculty, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from es.replication.messages import NAME_CHARS_MAX
from projections.rooms.limits import ID_MAX

EVERY_PROGRAM: Final = "*"


class Principal(NamedTuple):
    """One party of the protocol. `str` gives the text that `principal` reads."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


WITNESS: Final = Principal("witness")


def principal(text: str) -> Principal:
    """The principal of that text. Raises ValueError with one sentence."""
    kind, colon, name = text.partition(":")
    is_name = _NAMES.get(kind)
    if is_name is None:
        raise ValueError(f"{text!r} is no principal: it begins with none of {', '.join(KINDS)}")
    if bool(colon) != bool(name) or not is_name(name):
        raise ValueError(f"{text!r} is no principal: {_FORMS[kind]} is expected")
    return Principal(kind, name)


def server(name: str) -> Principal:
    """A data node, by the name that the configuration gives it."""
    return Principal("server", name)


def faculty(faculty_id: int) -> Principal:
    """A faculty's process."""
    return Principal("faculty", str(faculty_id))


def program(faculty_id: int, program_id: int | None = None) -> Principal:
    """A program of a faculty; None: whoever speaks for all of them."""
    return Principal("program", f"{faculty_id}/{EVERY_PROGRAM if program_id is None else program_id}")


def _is_plain(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARS_MAX and not name.startswith(".") and all(
        character.isascii() and (character.isalnum() or character in "-_.") for character in name
    )  # fmt: skip


def _is_id(name: str) -> bool:
    """One spelling for each number, so that two texts are never one principal."""
    return name.isascii() and name.isdigit() and str(int(name[:20])) == name and int(name) <= ID_MAX


def _is_program(name: str) -> bool:
    faculty_id, _, program_id = name.partition("/")
    return _is_id(faculty_id) and (program_id == EVERY_PROGRAM or _is_id(program_id))


_NAMES: Final[Mapping[str, Callable[[str], bool]]] = {
    "server": _is_plain,
    "witness": lambda name: not name,
    "faculty": _is_id,
    "program": _is_program,
    "operator": _is_plain,
    "auditor": _is_plain,
}

_FORMS: Final = {
    "server": "server:NAME",
    "witness": "witness",
    "faculty": "faculty:ID",
    "program": "program:FACULTY/ID or program:FACULTY/*",
    "operator": "operator:NAME",
    "auditor": "auditor:NAME",
}

KINDS: Final = tuple(_NAMES)
