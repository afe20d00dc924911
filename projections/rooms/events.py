"""Events of the rooms application as the log stores them: `Event.body` is the tuple itself.

The transaction id is not in the body: it is the entry's request id. Terms, policies and rooms are
numbers that earlier events explain (`TermOpened.number`, `policy.POLICIES`, positions in the term's
catalog), so that an event costs few bytes; `export` spells them out.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from es.machine import Event

SYSTEM_ACTOR: Final = "es"
OPERATOR_ACTOR: Final = "operator"
"""What every operator's name begins with (`operator:ana`), and the whole of it where nobody is asked who he is."""
"""Actor of what no client asked for: expiries and alerts."""


class CatalogAdopted(NamedTuple):
    """A catalog was used for the first time. `rooms` are (id, kind, building, seats), in catalog order."""

    catalog_id: str
    rooms: tuple[tuple[str, str, str, int], ...]


class TermOpened(NamedTuple):
    """A term came into being with all rooms of a catalog free (A1). Numbers count from 1 and are never reused."""

    term: str
    number: int
    catalog_id: str


class TermClosed(NamedTuple):
    """A term ended; its holds ended with it and its transactions are forgotten (A10)."""

    number: int


class FacultyRegistered(NamedTuple):
    """A faculty asked for the first time (A21)."""

    faculty_id: int
    faculty: str


class ProgramRegistered(NamedTuple):
    """A program asked for the first time (A21). Its number is scoped by its faculty."""

    faculty_id: int
    program_id: int
    program: str


class Reserved(NamedTuple):
    """Rooms are held until `hold_ms` after the event's time (A7, A9). `mobile` are classrooms lent as labs."""

    faculty_id: int
    program_id: int
    term: int
    asked_classrooms: int
    asked_labs: int
    partial: bool
    policy: int
    hold_ms: int
    classrooms: tuple[int, ...]
    labs: tuple[int, ...]
    mobile: tuple[int, ...]


class Denied(NamedTuple):
    """A request could not be met; nothing is held (A7)."""

    faculty_id: int
    program_id: int
    term: int
    asked_classrooms: int
    asked_labs: int
    partial: bool
    policy: int
    code: str


class Confirmed(NamedTuple):
    """The faculty took what was held for it (A8)."""

    faculty_id: int


class Rejected(NamedTuple):
    """The faculty left what was held for it; the rooms are free (A8)."""

    faculty_id: int


class Expired(NamedTuple):
    """No answer came in time; the rooms are free (A9)."""

    faculty_id: int


class Released(NamedTuple):
    """A confirmed allocation was given back; the rooms are free (A12)."""

    faculty_id: int
    reason: str


class AlertRaised(NamedTuple):
    """Something an operator should know (A13). `term` is its name, or None if it concerns none."""

    code: str
    term: str | None


Record = (
    CatalogAdopted | TermOpened | TermClosed | FacultyRegistered | ProgramRegistered
    | Reserved | Denied | Confirmed | Rejected | Expired | Released | AlertRaised
)  # fmt: skip

TYPES: Final[dict[str, type[Record]]] = {
    record.__name__: record
    for record in (
        CatalogAdopted, TermOpened, TermClosed, FacultyRegistered, ProgramRegistered,
        Reserved, Denied, Confirmed, Rejected, Expired, Released, AlertRaised,
    )
}  # fmt: skip

VERSIONS: Final[dict[str, int]] = dict.fromkeys(TYPES, 1)
"""Version of each type that this program writes; `upcast` brings older ones here."""


def event_of(record: Record, actor: str, request_id: str | bytes) -> Event:
    """`record` as the kernel takes it, at the version this program writes."""
    name = type(record).__name__
    return Event(name, VERSIONS[name], actor, request_id, record)


def faculty_actor(faculty_id: int) -> str:
    """The actor of what a faculty causes."""
    return f"faculty:{faculty_id}"


def is_operator(actor: str) -> bool:
    """Whether that is an operator's name."""
    return actor.partition(":")[0] == OPERATOR_ACTOR
