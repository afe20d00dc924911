"""The rooms part of the checker: is this log a history in which nothing was lost and nothing granted twice?

Written apart from `inventory` on purpose, with plain sets of room ids and no cleverness, so that a mistake
there cannot hide here. It reads only committed batches and what clients say they saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from es.codec import Batch, Entry
from es.replication import events as kernel
from es.testing.history import BrokenRule
from projections.rooms import commands, events
from projections.rooms.identity import transaction_id_of
from projections.rooms.machine import NAME
from projections.rooms.upcast import UPCASTER

Transaction = tuple[int, str]
"""(faculty id, transaction id)"""

VIOLATIONS_MAX = 1_000
"""A broken log is reported up to here; more tells nobody more."""


class Observation(NamedTuple):
    """An ACCEPTED that a client saw: its receipt (`epoch` None: not noted) and its rooms."""

    transaction_id: str
    faculty_id: int
    seq: int
    hash: str
    classrooms: Sequence[str]
    labs: Sequence[str]
    mobile: Sequence[str]
    epoch: int | None = None


class Ending(NamedTuple):
    """Another result of a transaction that a client saw, or its release: its receipt, and what came of it."""

    transaction_id: str
    faculty_id: int
    seq: int
    hash: str
    status: str
    code: str | None
    epoch: int | None = None


class Closing(NamedTuple):
    """A closed term that a client saw: its receipt, and what ended with it, classrooms with mobile labs among them."""

    term: str
    seq: int
    hash: str
    classrooms: int
    labs: int
    holds: int
    epoch: int | None = None


Seen: TypeAlias = Observation | Ending | Closing
"""What a client saw with a receipt."""

EVENTS_OF_ENDINGS: Final[Mapping[tuple[str, str | None], str]] = {
    (commands.DENIED, commands.NOT_ENOUGH_ROOMS): "Denied",
    (commands.CANCELED, commands.REJECTED): "Rejected",
    (commands.CANCELED, commands.ACK_TIMEOUT): "Expired",
    (commands.CANCELED, commands.RELEASED): "Released",
}
"""By what an Ending says (status, code), the event that says so in a log. Nothing else comes from an event."""


@dataclass(slots=True)
class _Allocation:
    term: int
    classrooms: tuple[str, ...]
    labs: tuple[str, ...]
    mobile: tuple[str, ...]
    deadline_us: int

    def every_room(self) -> list[str]:
        return [*self.classrooms, *self.labs, *self.mobile]

    def by_kind(self) -> tuple[tuple[str, ...], ...]:
        return self.classrooms, self.labs, self.mobile


@dataclass(slots=True)
class _Term:
    name: str
    number: int
    order: list[str]
    labs: set[str]
    free: set[str]
    held: dict[Transaction, _Allocation] = field(default_factory=dict)
    confirmed: dict[Transaction, _Allocation] = field(default_factory=dict)
    ended: set[Transaction] = field(default_factory=set)


class _Named(NamedTuple):
    """What a receipt names, and what a client may have seen of it: which event of whom (a transaction, or a term by
    its name), with which rooms or counts."""

    event_type: str | None
    whose: Transaction | str
    what: tuple[Any, ...] = ()


class _Stands(NamedTuple):
    """An event that a receipt names, as the log has it."""

    epoch: int
    hash: str
    named: _Named


def check_rooms(batches: Iterable[Batch], observed: Iterable[Seen] = ()) -> list[BrokenRule]:
    """Every broken rule in a committed log (points 1, 2, 3, 4, 9 and 10 of the checker's list), in log order,
    those of clients last; empty if there is none. Rules: conservation, double-grant, one-outcome, receipt,
    expiry, actor, reference."""
    seen_all = list(observed)
    sweep = _Sweep({seen.seq for seen in seen_all})
    for batch in batches:
        for entry in batch.entries:
            sweep.take(batch, entry)
            if len(sweep.violations) >= VIOLATIONS_MAX:
                return sweep.violations
    for seen in seen_all:
        sweep.check_seen(seen)
    return sweep.violations


class _Sweep:
    def __init__(self, receipts: Set[int]) -> None:
        self.violations: list[BrokenRule] = []
        self._catalogs: dict[str, list[tuple[str, str]]] = {}
        self._terms: dict[int, _Term] = {}
        self._names: set[str] = set()
        self._term_of: dict[Transaction, _Term] = {}
        self._receipts = receipts
        self._standing: dict[int, _Stands] = {}
        self._seq = 0

    def take(self, batch: Batch, entry: Entry) -> None:
        self._seq = batch.first_seq + entry.offset
        if entry.application == kernel.APPLICATION:
            if entry.type == "OutageExtended":
                self._extend(entry.body[0])
            return
        if entry.application != NAME:
            return
        record = events.TYPES[entry.type]._make(UPCASTER.current(entry.type, entry.version, entry.body))
        try:
            self._take(record, entry, batch)
        except (KeyError, IndexError) as missing:
            self._broken("reference", f"{entry.type} refers to {missing}, which no earlier event explains")

    def _take(self, record: events.Record, entry: Entry, batch: Batch) -> None:
        if not _may_cause(entry.actor, record):
            self._broken("actor", f"{entry.type} was caused by {entry.actor!r}, whose it is not to cause")
        match record:
            case events.CatalogAdopted():
                self._catalogs[record.catalog_id] = [(row[0], row[1]) for row in record.rooms]
            case events.TermOpened():
                self._open(record)
            case events.TermClosed():
                self._close_term(record, batch)
            case events.FacultyRegistered() | events.ProgramRegistered() | events.AlertRaised():
                pass
            case _:
                self._transaction(record, entry, batch)

    def _open(self, opened: events.TermOpened) -> None:
        rooms = self._catalogs[opened.catalog_id]
        if opened.term in self._names:
            self._broken("one-outcome", f"term {opened.term!r} is opened twice")
        self._names.add(opened.term)
        order = [room for room, _ in rooms]
        labs = {room for room, kind in rooms if kind == "lab"}
        self._terms[opened.number] = _Term(opened.term, opened.number, order, labs, set(order))

    def _close_term(self, closed: events.TermClosed, batch: Batch) -> None:
        term = self._terms.pop(closed.number)
        for transaction in [t for t, one in self._term_of.items() if one is term]:
            del self._term_of[transaction]
        standing = term.confirmed.values()
        classrooms = sum(len(one.classrooms) + len(one.mobile) for one in standing)
        counts = classrooms, sum(len(one.labs) for one in standing), len(term.held)
        self._stands(batch, _Named("TermClosed", term.name, counts))

    def _transaction(self, record: Any, entry: Entry, batch: Batch) -> None:
        transaction = record.faculty_id, transaction_id_of(entry.request_id)
        if isinstance(record, events.Reserved | events.Denied):
            if transaction in self._term_of:
                self._broken("one-outcome", f"{_name(transaction)} is decided a second time")
            term = self._term_of[transaction] = self._terms[record.term]
        else:
            term = self._term_of[transaction]
        match record:
            case events.Denied():
                self._end(term, transaction)
                self._stands(batch, _Named("Denied", transaction))
            case events.Reserved():
                self._reserve(term, transaction, record, batch.ts_us + record.hold_ms * 1_000)
            case events.Released():
                given_back = term.confirmed.pop(transaction, None)
                if given_back is None:
                    self._broken("one-outcome", f"{_name(transaction)} is released but not confirmed")
                else:
                    term.free.update(given_back.every_room())
                    self._stands(batch, _Named("Released", transaction))
            case _:
                self._close_hold(term, transaction, record, batch)
        self._conserve(term)

    def _reserve(self, term: _Term, transaction: Transaction, reserved: events.Reserved, deadline_us: int) -> None:
        if any(position < 0 for position in (*reserved.classrooms, *reserved.labs, *reserved.mobile)):
            raise IndexError("a negative position")
        allocation = _Allocation(
            term.number,
            tuple(term.order[position] for position in reserved.classrooms),
            tuple(term.order[position] for position in reserved.labs),
            tuple(term.order[position] for position in reserved.mobile),
            deadline_us,
        )
        for room in allocation.every_room():
            if room not in term.free:
                self._broken("double-grant", f"room {room} is granted to {_name(transaction)} but not free")
            term.free.discard(room)
        for room in allocation.every_room():
            if (room in term.labs) != (room in allocation.labs):
                self._broken("conservation", f"room {room} is granted as another kind than it is")
        self._check_counts(transaction, reserved)
        term.held[transaction] = allocation

    def _check_counts(self, transaction: Transaction, reserved: events.Reserved) -> None:
        labs = len(reserved.labs) + len(reserved.mobile)
        exact = len(reserved.classrooms) == reserved.asked_classrooms and labs == reserved.asked_labs
        fewer = len(reserved.classrooms) <= reserved.asked_classrooms and labs <= reserved.asked_labs
        if not exact and not (reserved.partial and fewer):
            self._broken("conservation", f"{_name(transaction)} is given other counts than it asked for")

    def _close_hold(self, term: _Term, transaction: Transaction, record: Any, batch: Batch) -> None:
        allocation = term.held.pop(transaction, None)
        if allocation is None:
            self._broken("one-outcome", f"{_name(transaction)} is {type(record).__name__} but holds nothing")
            return
        self._end(term, transaction)
        expired = isinstance(record, events.Expired)
        if expired != (batch.ts_us >= allocation.deadline_us):
            late = "before" if expired else "at or after"
            self._broken("expiry", f"{_name(transaction)} is {type(record).__name__} {late} its deadline")
        if isinstance(record, events.Confirmed):
            term.confirmed[transaction] = allocation
            self._stands(batch, _Named("Confirmed", transaction, allocation.by_kind()))
        else:
            term.free.update(allocation.every_room())
            self._stands(batch, _Named(type(record).__name__, transaction))

    def _end(self, term: _Term, transaction: Transaction) -> None:
        if transaction in term.ended:
            self._broken("one-outcome", f"{_name(transaction)} ends a second time")
        term.ended.add(transaction)

    def _conserve(self, term: _Term) -> None:
        live = [*term.held.values(), *term.confirmed.values()]
        free_labs = len(term.free & term.labs)
        used_labs = sum(len(allocation.labs) for allocation in live)
        if free_labs + used_labs != len(term.labs):
            self._broken("conservation", f"{free_labs} free labs and {used_labs} in use are not {len(term.labs)}")
        classrooms = len(term.order) - len(term.labs)
        free = len(term.free) - free_labs
        used = sum(len(allocation.classrooms) + len(allocation.mobile) for allocation in live)
        if free + used != classrooms:
            self._broken("conservation", f"{free} free classrooms and {used} in use are not {classrooms}")

    def _extend(self, by_us: int) -> None:
        for term in self._terms.values():
            for allocation in term.held.values():
                allocation.deadline_us += by_us

    def _stands(self, batch: Batch, named: _Named) -> None:
        """The present event is what it says; it is kept if a receipt names it."""
        if self._seq in self._receipts:
            self._standing[self._seq] = _Stands(batch.epoch, batch.hash.hex(), named)

    def check_seen(self, seen: Seen) -> None:
        """What a client saw with a receipt stands at that seq, under that epoch and hash (point 4)."""
        self._seq = seen.seq
        stands = self._standing.get(seen.seq)
        named, told = _named(seen), sentence_of(seen)
        if stands is None or stands.named[:2] != named[:2]:
            self._broken("receipt", f"{told} there; the log does not say so")
        elif stands.hash != seen.hash:
            self._broken("receipt", f"{told} under another hash")
        elif seen.epoch not in (None, stands.epoch):
            self._broken("receipt", f"{told} under another epoch")
        elif stands.named.what != named.what:
            self._broken("receipt", f"{told} with other {'counts' if isinstance(seen, Closing) else 'rooms'}")

    def _broken(self, rule: str, sentence: str) -> None:
        self.violations.append(BrokenRule(self._seq, rule, sentence))


def _named(seen: Seen) -> _Named:
    match seen:
        case Closing():
            return _Named("TermClosed", seen.term, (seen.classrooms, seen.labs, seen.holds))
        case Observation():
            rooms = tuple(map(tuple, (seen.classrooms, seen.labs, seen.mobile)))
            return _Named("Confirmed", (seen.faculty_id, seen.transaction_id), rooms)
        case Ending():
            event_type = EVENTS_OF_ENDINGS.get((seen.status, seen.code))
            return _Named(event_type, (seen.faculty_id, seen.transaction_id))


def sentence_of(seen: Seen) -> str:
    """What a client saw, to be gone on with."""
    if isinstance(seen, Closing):
        return f"a client saw term {seen.term} closed"
    what = "accepted"
    if isinstance(seen, Ending):
        what = seen.status if seen.code is None else f"{seen.status} ({seen.code})"
    return f"a client saw {_name((seen.faculty_id, seen.transaction_id))} {what}"


def _may_cause(actor: str, record: events.Record) -> bool:
    """Whether an event is that actor's to cause (A18)."""
    match record:
        case events.TermClosed():
            return events.is_operator(actor)
        case events.Released():
            return actor == events.faculty_actor(record.faculty_id) or events.is_operator(actor)
        case events.Expired() | events.AlertRaised():
            return actor == events.SYSTEM_ACTOR
        case events.CatalogAdopted() | events.TermOpened():
            return True  # with the first request for it: whose that is stands in the events beside it
        case _:
            return actor == events.faculty_actor(record.faculty_id)


def _name(transaction: Transaction) -> str:
    return f"transaction {transaction[1]} of faculty {transaction[0]}"
