"""The state of the rooms application and its fold: what every event does, and nothing else.

A term stores its occupied rooms, a transaction its hold while it lives and a few bytes when it is
finished. Recording cannot refuse: an event that does not fit the state is a broken invariant and stops
the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from es.codec import Plain
from es.machine import Event
from es.replication.sessions import SessionTable
from projections.rooms import events, outcome
from projections.rooms.catalog import Catalog, Room
from projections.rooms.holds import Hold, Holds
from projections.rooms.identity import session_key
from projections.rooms.outcome import Outcome
from projections.rooms.shares import Shares
from projections.rooms.term import Closure, RoomSet, Term
from projections.rooms.upcast import UPCASTER

Body = tuple[Any, ...]
Recorder = Callable[[Event, Body, int, int], None]


_VERSIONS = events.VERSIONS


class Inventory:
    """The fold. `record` is its only way to change; everything else reads.

    `shares` says who uses how much of what is bounded. It follows from the log as everything here does, but is no part
    of `to_plain`: that must come to what older versions made of older logs.
    """

    def __init__(self) -> None:
        self.catalogs: dict[str, Catalog] = {}
        self.faculties: dict[int, str] = {}
        self.programs: dict[tuple[int, int], str] = {}
        self.terms: dict[str, Term] = {}
        self.closed_terms: dict[str, Closure] = {}
        self.holds = Holds()
        self.sessions = SessionTable()
        self.shares = Shares()
        self._terms_by_number: dict[int, Term] = {}
        self._recorders: dict[str, Recorder] = {
            "CatalogAdopted": self._catalog_adopted,
            "TermOpened": self._term_opened,
            "TermClosed": self._term_closed,
            "FacultyRegistered": self._faculty_registered,
            "ProgramRegistered": self._program_registered,
            "Reserved": self._reserved,
            "Denied": self._denied,
            "Confirmed": self._confirmed,
            "Rejected": self._rejected,
            "Expired": self._expired,
            "Released": self._released,
            "AlertRaised": self._alert_raised,
        }

    @property
    def terms_ever(self) -> int:
        """Terms opened so far, which is also the number of the newest one."""
        return len(self.terms) + len(self.closed_terms)

    def term_numbered(self, number: int) -> Term:
        """An open term."""
        return self._terms_by_number[number]

    def finished(self, faculty_id: int, request_id: str | bytes) -> Outcome | None:
        """How a transaction ended, if it did and its term is still open."""
        packed = self.sessions.get(session_key(faculty_id, request_id))
        return None if packed is None else outcome.unpack(packed)

    def record(self, event: Event, seq: int, ts_us: int) -> None:
        """Record one event. Raises UnknownEvent."""
        name, version, _, _, body = event
        if version != _VERSIONS.get(name):
            body = UPCASTER.current(name, version, body)
        self._recorders[name](event, body, seq, ts_us)

    def _catalog_adopted(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        catalog_id, rooms = body
        catalog = Catalog.of(map(Room._make, rooms))
        assert catalog.catalog_id == catalog_id, "the catalog is not what its id says"
        self.catalogs[catalog_id] = catalog

    def _term_opened(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        opened = events.TermOpened._make(body)
        assert opened.number == self.terms_ever + 1 and opened.term not in self.closed_terms
        term = Term(opened.term, opened.number, self.catalogs[opened.catalog_id])
        self.terms[term.name] = self._terms_by_number[term.number] = term
        self.sessions.open_scope(term.number)

    def _term_closed(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        term = self._terms_by_number.pop(body[0])
        del self.terms[term.name]
        self.closed_terms[term.name] = term.closure(seq)
        for hold in self.holds.end_term(term):
            self.shares.end_hold(hold.reserved.faculty_id)
        self.sessions.close_scope(term.number)
        self.shares.forget(term.number)
        for share in term.opener:
            share.open_terms -= 1

    def _faculty_registered(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        faculty_id, name = body
        self.faculties[faculty_id] = name

    def _program_registered(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        faculty_id, program_id, name = body
        self.programs[faculty_id, program_id] = name
        self.shares.of(faculty_id, program_id)[0].programs += 1

    def _reserved(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        reserved = body if isinstance(body, events.Reserved) else events.Reserved._make(body)
        term = self._terms_by_number[reserved.term]
        rooms = _rooms_of(term, reserved.classrooms, reserved.labs, reserved.mobile)
        term.hold(rooms)
        pair = self.shares.begin(term.number, reserved.faculty_id, reserved.program_id)
        pair[0].held += 1
        term.begin(pair)
        self.holds.begin(event.request_id, reserved, term, rooms, seq, ts_us + reserved.hold_ms * 1_000)

    def _denied(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        denied = events.Denied._make(body)
        pair = self.shares.begin(denied.term, denied.faculty_id, denied.program_id)
        self._terms_by_number[denied.term].begin(pair)
        key = session_key(denied.faculty_id, event.request_id)
        self.sessions.add(denied.term, key, outcome.pack_ended(outcome.DENIED, seq, denied))

    def _confirmed(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        hold = self.holds.end(body[0], event.request_id)
        self.shares.end_hold(body[0])
        hold.term.confirm(hold.rooms)
        key = session_key(body[0], event.request_id)
        self.sessions.add(hold.term.number, key, outcome.pack_confirmed(seq, hold.reserved))

    def _rejected(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        self._drop(self.holds.end(body[0], event.request_id), outcome.REJECTED, seq)

    def _expired(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        self._drop(self.holds.end(body[0], event.request_id), outcome.EXPIRED, seq)

    def _drop(self, hold: Hold, ending: int, seq: int) -> None:
        hold.term.drop_hold(hold.rooms)
        self.shares.end_hold(hold.reserved.faculty_id)
        key = session_key(hold.reserved.faculty_id, hold.request_id)
        self.sessions.add(hold.term.number, key, outcome.pack_ended(ending, seq, hold.reserved))

    def _released(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        kept = self.finished(body[0], event.request_id)
        assert kept is not None and kept.ending == outcome.CONFIRMED and not kept.released_seq
        term = self._terms_by_number[kept.term]
        term.release(_rooms_of(term, kept.classrooms, kept.labs, kept.mobile))
        self.sessions.replace(session_key(body[0], event.request_id), outcome.pack_released(seq, kept))

    def _alert_raised(self, event: Event, body: Body, seq: int, ts_us: int) -> None:
        code, name = body
        term = self.terms.get(name)
        if term is not None:
            term.alerts.add(code)

    def to_plain(self) -> Plain:
        """The whole state, every level sorted: equal for equal histories."""
        return (
            tuple((catalog_id, catalog.rooms) for catalog_id, catalog in sorted(self.catalogs.items())),
            tuple(sorted(self.faculties.items())),
            tuple((*ids, name) for ids, name in sorted(self.programs.items())),
            tuple(term.to_plain() for _, term in sorted(self._terms_by_number.items())),
            tuple((name, *closure) for name, closure in sorted(self.closed_terms.items())),
            self.holds.to_plain(),
            self.sessions.to_plain(),
        )


def _rooms_of(term: Term, classrooms: tuple[int, ...], labs: tuple[int, ...], mobile: tuple[int, ...]) -> RoomSet:
    mask = term.catalog.mask(classrooms + labs + mobile)
    return RoomSet(mask, len(classrooms) + len(mobile), len(labs), len(mobile))


