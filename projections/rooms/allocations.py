"""Who has which rooms, and who had them: a read model of the log (A17), fed with its exported events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CONFIRMED: Final = "confirmed"
RELEASED: Final = "released"
CLOSED: Final = "closed"
"""An allocation stands, was given back, or ended with its term."""

Transaction = tuple[int, str]
"""Faculty id and transaction id, which may be used again once its term is closed (A10)."""


@dataclass(slots=True)
class Allocation:
    """Rooms that were confirmed for a program, by their ids; the three lists are disjoint. Times are log times in µs;
    `epoch`, `seq` and `hash` (of the batch, hex) are the confirmation's, as its receipt has them. `ended`, `ended_by`
    and `reason` are None while the allocation stands; a reason is a release's."""

    term: str
    faculty_id: int
    faculty: str
    program_id: int
    program: str
    transaction_id: str
    classrooms: list[str]
    labs: list[str]
    mobile: list[str]
    confirmed: int
    epoch: int
    seq: int
    hash: str
    state: str = CONFIRMED
    ended: int | None = None
    ended_by: str | None = None
    reason: str | None = None

    def has(self, room: str) -> bool:
        """Whether that room is one of its rooms."""
        return room in self.classrooms or room in self.labs or room in self.mobile


@dataclass(slots=True)
class TermState:
    """A term: when it was opened and closed (log times in µs; None: it is open), its rooms, how many of them are
    classrooms and labs, and its allocations in the order in which they were confirmed."""

    term: str
    opened: int
    rooms: frozenset[str]
    classrooms: int
    labs: int
    closed: int | None = None
    closed_by: str | None = None
    allocations: list[Allocation] = field(default_factory=list)


class Allocations:
    """The fold. `take` is its only way to change."""

    def __init__(self) -> None:
        self.terms: dict[str, TermState] = {}
        """By name, in the order in which they were opened."""
        self._faculties: dict[int, str] = {}
        self._held: dict[Transaction, Mapping[str, Any]] = {}
        self._standing: dict[Transaction, Allocation] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Add the next event, from sequence number 1 on, as projections.rooms.export.Exporter gives it."""
        body = event["body"]
        match event["type"]:
            case "TermOpened":
                kinds = [room["kind"] for room in body["rooms"]]
                labs, rooms = kinds.count("lab"), frozenset(room["id"] for room in body["rooms"])
                self.terms[body["term"]] = TermState(body["term"], event["ts"], rooms, len(kinds) - labs, labs)
            case "TermClosed":
                self._close(self.terms[body["term"]], event)
            case "FacultyRegistered":
                self._faculties[body["faculty_id"]] = body["faculty"]
            case "Reserved":
                self._held[_transaction(body)] = body
            case "Confirmed":
                self._confirm(self._held.pop(_transaction(body)), event)
            case "Rejected" | "Expired":
                del self._held[_transaction(body)]
            case "Released":
                _end(self._standing.pop(_transaction(body)), RELEASED, event, body["reason"])

    def all(self) -> Iterator[Allocation]:
        """Every allocation there ever was, term by term."""
        for term in self.terms.values():
            yield from term.allocations

    def _confirm(self, held: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        confirmed = Allocation(
            held["term"], held["faculty_id"], self._faculties[held["faculty_id"]], held["program_id"], held["program"],
            held["transaction_id"], held["classrooms"], held["labs"], held["mobile"],
            event["ts"], event["epoch"], event["seq"], event["hash"],
        )  # fmt: skip
        self._standing[_transaction(held)] = confirmed
        self.terms[confirmed.term].allocations.append(confirmed)

    def _close(self, term: TermState, event: Mapping[str, Any]) -> None:
        term.closed, term.closed_by = event["ts"], event["actor"]
        for one in term.allocations:
            if one.state == CONFIRMED:
                _end(one, CLOSED, event, None)
                del self._standing[one.faculty_id, one.transaction_id]
        self._held = {transaction: held for transaction, held in self._held.items() if held["term"] != term.term}


def _transaction(body: Mapping[str, Any]) -> Transaction:
    return body["faculty_id"], body["transaction_id"]


def _end(allocation: Allocation, state: str, event: Mapping[str, Any], reason: str | None) -> None:
    allocation.state, allocation.ended, allocation.ended_by = state, event["ts"], event["actor"]
    allocation.reason = reason
