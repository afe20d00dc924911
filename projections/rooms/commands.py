"""What can be asked of the rooms application, and what it answers.

Room ids in answers are strings, so that an answer can be encoded without any state.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ACCEPTED: Final = "ACCEPTED"
DENIED: Final = "DENIED"
CANCELED: Final = "CANCELED"
INVALID: Final = "INVALID"
UNAVAILABLE: Final = "UNAVAILABLE"

NOT_ENOUGH_ROOMS: Final = "NOT_ENOUGH_ROOMS"
LABS_EXHAUSTED: Final = "LABS_EXHAUSTED"
REJECTED: Final = "REJECTED"
ACK_TIMEOUT: Final = "ACK_TIMEOUT"
RELEASED: Final = "RELEASED"
BAD_FIELD: Final = "BAD_FIELD"
CONFLICT: Final = "CONFLICT"
UNKNOWN_TRANSACTION: Final = "UNKNOWN_TRANSACTION"
AMBIGUOUS: Final = "AMBIGUOUS"
TERM_CLOSED: Final = "TERM_CLOSED"
UNKNOWN_TERM: Final = "UNKNOWN_TERM"
BUSY: Final = "BUSY"
"""A bound that is met for now: ask again."""

LIMIT_REACHED: Final = "LIMIT_REACHED"
"""A bound that stays met until a registrar or an operator acts: asking again does not help."""


class Reserve(NamedTuple):
    """Propose rooms (SOL). `partial`: less than all of it is welcome too (A7)."""

    transaction_id: str
    faculty_id: int
    faculty: str
    program_id: int
    program: str
    term: str
    classrooms: int
    labs: int
    partial: bool = False


class Answer(NamedTuple):
    """Take or leave a proposal (ACK). Without `faculty_id` the only hold with that id is meant."""

    transaction_id: str
    faculty_id: int | None
    accept: bool


class Release(NamedTuple):
    """Give confirmed rooms back (A12). An actor other than the faculty itself must give a reason."""

    transaction_id: str
    faculty_id: int
    actor: str
    reason: str


class CloseTerm(NamedTuple):
    """End a term: its holds end with it, its transactions are forgotten, its name is never reused (A10)."""

    term: str
    actor: str


class RaiseAlert(NamedTuple):
    """Record an alert that the node itself noticed, e.g. overload (A13). `term` is None if it concerns none."""

    code: str
    term: str | None


Command = Reserve | Answer | Release | CloseTerm | RaiseAlert


class Proposal(NamedTuple):
    """Named rooms held until `deadline_us` (PROP); the three tuples of room ids are disjoint."""

    transaction_id: str
    classrooms: tuple[str, ...]
    labs: tuple[str, ...]
    mobile: tuple[str, ...]
    deadline_us: int


class Result(NamedTuple):
    """The end of a transaction (RES). Rooms are named only with ACCEPTED."""

    transaction_id: str
    status: str
    code: str | None = None
    reason: str | None = None
    classrooms: tuple[str, ...] = ()
    labs: tuple[str, ...] = ()
    mobile: tuple[str, ...] = ()


class TermResult(NamedTuple):
    """Answer to CloseTerm: ACCEPTED, or INVALID with a code. With ACCEPTED it says what ended with the term: how many
    classrooms (mobile labs among them) and labs were confirmed, and how many proposals held rooms."""

    term: str
    status: str
    code: str | None = None
    reason: str | None = None
    classrooms: int = 0
    labs: int = 0
    holds: int = 0
