"""Decisions on requests and answers: which events a command causes, or why it causes none.

Nothing here changes the state, and nothing raises: what a client sends can only be refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from es.machine import Accepted, Answered, Decision, Event, Refused
from projections.rooms import commands, events, outcome
from projections.rooms.capacity import NOT_EXPIRED_YET, lack_for
from projections.rooms.catalog import Catalog
from projections.rooms.commands import Answer, Proposal, Reserve, Result
from projections.rooms.events import event_of, faculty_actor
from projections.rooms.fields import (
    bad_field,
    bad_field_reason,
    bad_name_reason,
    conflict_reason,
    is_text,
    term_reason,
)
from projections.rooms.holds import Hold
from projections.rooms.identity import request_id_of
from projections.rooms.inventory import Inventory
from projections.rooms.limits import ID_MAX, Bounds
from projections.rooms.names import is_name
from projections.rooms.outcome import Outcome
from projections.rooms.policy import Policy, Selection
from projections.rooms.term import Term

_Compared: TypeAlias = tuple[int, str, int, int, bool]
_COMPARED: Final = ("program_id", "semester", "salones", "laboratorios", "parcial")
"""The fields of `_compared`, on the wire."""


@dataclass(slots=True, frozen=True)
class Settings:
    """What a primary decides by; recorded in the events where it matters, so no replay needs it. `terms` are those
    that may be asked for; None: any, and the first request opens it."""

    catalog: Catalog
    hold_ms: int
    policy: Policy
    bounds: Bounds
    terms: frozenset[str] | None = None


def reserve(state: Inventory, settings: Settings, command: Reserve, now_us: int) -> Decision:
    """SOL: a repetition gets its proposal while it is held, its result afterwards (A10), whatever older versions and
    configurations allowed; anything else becomes a hold on named rooms or a denial (A7)."""
    field = bad_field(command)
    if field is not None:
        return Answered(bad_field_result(command.transaction_id, field))
    request_id = request_id_of(command.transaction_id)
    hold = state.holds.find(command.faculty_id, request_id)
    if hold is not None:
        return _repeat_hold(state, command, hold, now_us)
    kept = state.finished(command.faculty_id, request_id)
    if kept is not None:
        return _repeat_finished(state, command, kept)
    if command.term in state.closed_terms:
        closed = term_reason("the term (semester)", command.term, "is closed")
        return Answered(_invalid(command.transaction_id, commands.TERM_CLOSED, closed))
    term = state.terms.get(command.term)
    is_known = (command.faculty_id, command.program_id) in state.programs
    if term is None or not is_known or isinstance(request_id, str):
        bad_name = _bad_new_name(state, command, request_id)
        if bad_name is not None:
            return Answered(bad_name_result(command.transaction_id, *bad_name))
    if settings.terms is not None and command.term not in settings.terms:
        after = "is none of those listed in the configuration (terms)"
        unknown = term_reason("the term (semester)", command.term, after, _in_order(settings.terms))
        return Answered(_invalid(command.transaction_id, commands.UNKNOWN_TERM, unknown))
    lack = lack_for(state, settings.bounds, settings.catalog.catalog_id, command, term, is_known)
    if lack is not None:
        return Refused(Result(command.transaction_id, commands.UNAVAILABLE, *lack))
    return _propose(state, settings, command, request_id, now_us)


def answer(state: Inventory, command: Answer, now_us: int) -> Decision:
    """ACK: confirm or free what is held (A8); at or after the deadline it is too late even if the expiry
    has not been processed (A9); a repeated or differing one gets the first result (A10)."""
    transaction_id = command.transaction_id
    request_id = request_id_of(transaction_id)
    if command.faculty_id is None:
        holds = state.holds.find_all(request_id)
        if len(holds) > 1:
            return Answered(_invalid(transaction_id, commands.AMBIGUOUS, "several faculties hold under this id"))
        hold = holds[0] if holds else None
    else:
        hold = state.holds.find(command.faculty_id, request_id)
    if hold is not None:
        return _end_hold(state, hold, transaction_id, command.accept, now_us)
    if not is_text(transaction_id) or not 0 <= (command.faculty_id or 0) <= ID_MAX:
        return Answered(_unknown(transaction_id))
    asked = state.faculties if command.faculty_id is None else (command.faculty_id,)
    ended = [kept for faculty_id in asked if (kept := state.finished(faculty_id, request_id)) is not None]
    if len(ended) > 1:
        return Answered(_invalid(transaction_id, commands.AMBIGUOUS, "several faculties had this id"))
    if not ended:
        return Answered(_unknown(transaction_id))
    kept = ended[0]
    return Answered(_result_of(state, transaction_id, kept), kept.seq)


def timed_out(transaction_id: str) -> Result:
    """The result of a hold that expired (A9); also what is pushed when its `Expired` has committed."""
    return Result(transaction_id, commands.CANCELED, commands.ACK_TIMEOUT, "no answer came before the deadline")


def expiry_of(hold: Hold) -> Event:
    """The event that ends a hold whose deadline is reached."""
    return event_of(events.Expired(hold.reserved.faculty_id), events.SYSTEM_ACTOR, hold.request_id)


def _bad_new_name(state: Inventory, command: Reserve, request_id: str | bytes) -> tuple[str, str] | None:
    """The first name that a new transaction would write down and may not, behind its field. A name that is known is
    written no more, and a faculty need not say its own."""
    if isinstance(request_id, str) and not is_name(request_id):
        return "transaction_id", request_id
    if command.term not in state.terms and not is_name(command.term):
        return "semester", command.term
    if command.faculty and command.faculty_id not in state.faculties and not is_name(command.faculty):
        return "facultad", command.faculty
    if (command.faculty_id, command.program_id) not in state.programs and not is_name(command.program):
        return "programa", command.program
    return None


def bad_field_result(transaction_id: str, field: str) -> Result:
    """INVALID BAD_FIELD for one field, by its name on the wire."""
    return _invalid(transaction_id, commands.BAD_FIELD, bad_field_reason(field))


def bad_name_result(transaction_id: str, field: str, value: str) -> Result:
    """INVALID BAD_FIELD for a field whose value is no name."""
    return _invalid(transaction_id, commands.BAD_FIELD, bad_name_reason(field, value))


def _invalid(transaction_id: str, code: str, reason: str) -> Result:
    return Result(transaction_id, commands.INVALID, code, reason)


def _unknown(transaction_id: str) -> Result:
    return _invalid(transaction_id, commands.UNKNOWN_TRANSACTION, "no transaction with this id is known")


@lru_cache(maxsize=8)
def _in_order(terms: frozenset[str]) -> tuple[str, ...]:
    """For sentences: there may be a thousand, and a client may name a wrong one as often as it likes."""
    return tuple(sorted(terms))


def _conflict(command: Reserve, first: _Compared) -> Answered:
    pairs = zip(_COMPARED, first, _compared(command), strict=True)
    reason = conflict_reason(field for field, one, other in pairs if one != other)
    return Answered(_invalid(command.transaction_id, commands.CONFLICT, reason))


def _repeat_hold(state: Inventory, command: Reserve, hold: Hold, now_us: int) -> Decision:
    r = hold.reserved
    first = (r.program_id, hold.term.name, r.asked_classrooms, r.asked_labs, r.partial)
    if first != _compared(command):
        return _conflict(command, first)
    deadline_us = state.holds.deadline_us(hold)
    if now_us >= deadline_us:
        return Accepted((expiry_of(hold),), timed_out(command.transaction_id))
    names = hold.term.catalog.names
    return Answered(
        Proposal(command.transaction_id, names(r.classrooms), names(r.labs), names(r.mobile), deadline_us), hold.seq
    )


def _repeat_finished(state: Inventory, command: Reserve, kept: Outcome) -> Decision:
    term = state.term_numbered(kept.term).name
    first = (kept.program_id, term, kept.asked_classrooms, kept.asked_labs, kept.partial)
    if first != _compared(command):
        return _conflict(command, first)
    return Answered(_result_of(state, command.transaction_id, kept), kept.seq)


def _compared(command: Reserve) -> _Compared:
    """What a repetition must have in common with the first; the faculty is part of its identity."""
    return command.program_id, command.term, command.classrooms, command.labs, command.partial


def _result_of(state: Inventory, transaction_id: str, kept: Outcome) -> Result:
    if kept.ending == outcome.CONFIRMED:
        names = state.term_numbered(kept.term).catalog.names
        return _accepted(transaction_id, names(kept.classrooms), names(kept.labs), names(kept.mobile))
    if kept.ending == outcome.DENIED:
        return _denied(transaction_id)
    return _rejected(transaction_id) if kept.ending == outcome.REJECTED else timed_out(transaction_id)


def _accepted(
    transaction_id: str, classrooms: tuple[str, ...], labs: tuple[str, ...], mobile: tuple[str, ...]
) -> Result:
    return Result(transaction_id, commands.ACCEPTED, None, None, classrooms, labs, mobile)


def _denied(transaction_id: str) -> Result:
    return Result(transaction_id, commands.DENIED, commands.NOT_ENOUGH_ROOMS, "not enough rooms are free")


def _rejected(transaction_id: str) -> Result:
    return Result(transaction_id, commands.CANCELED, commands.REJECTED, "the faculty rejected the proposal")


def _end_hold(state: Inventory, hold: Hold, transaction_id: str, accept: bool, now_us: int) -> Accepted:
    if now_us >= state.holds.deadline_us(hold):
        return Accepted((expiry_of(hold),), timed_out(transaction_id))
    faculty_id = hold.reserved.faculty_id
    if not accept:
        rejected = event_of(events.Rejected(faculty_id), faculty_actor(faculty_id), hold.request_id)
        return Accepted((rejected,), _rejected(transaction_id))
    confirmed = event_of(events.Confirmed(faculty_id), faculty_actor(faculty_id), hold.request_id)
    names = hold.term.catalog.names
    r = hold.reserved
    return Accepted((confirmed,), _accepted(transaction_id, names(r.classrooms), names(r.labs), names(r.mobile)))


def _propose(
    state: Inventory, settings: Settings, command: Reserve, request_id: str | bytes, now_us: int
) -> Accepted | Refused:
    """New rooms for it, or none for good. What falls short while holds whose time is over still stand (R13: they end in
    portions) is not decided yet: their rooms are free by A9."""
    actor = faculty_actor(command.faculty_id)
    caused = _registrations(state, command, actor, request_id)
    term = state.terms.get(command.term)
    if term is None:
        term = Term(command.term, state.terms_ever + 1, settings.catalog)
        caused += _opening(state, term, actor, request_id)
    catalog = term.catalog
    policy = settings.policy
    _, faculty_id, _, program_id, _, _, classrooms, labs, partial = command
    chosen = policy.choose(catalog, term.free, classrooms, labs, partial)
    if _shortages(command, chosen) and state.holds.are_overdue(now_us):
        return Refused(Result(command.transaction_id, commands.UNAVAILABLE, *NOT_EXPIRED_YET))
    asked = faculty_id, program_id, term.number, classrooms, labs, partial, policy.number
    reply: Proposal | Result
    if chosen is None:
        caused.append(event_of(events.Denied(*asked, commands.NOT_ENOUGH_ROOMS), actor, request_id))
        reply = _denied(command.transaction_id)
    else:
        caused.append(event_of(events.Reserved(*asked, settings.hold_ms, *chosen), actor, request_id))
        names = catalog.names
        reply = Proposal(
            command.transaction_id, names(chosen.classrooms), names(chosen.labs), names(chosen.mobile),
            now_us + settings.hold_ms * 1_000,
        )  # fmt: skip
    decided = len(caused) - 1
    for code in _shortages(command, chosen):
        if code not in term.alerts:
            caused.append(event_of(events.AlertRaised(code, term.name), events.SYSTEM_ACTOR, request_id))
    return Accepted(caused, reply, reports=decided)


def _registrations(state: Inventory, command: Reserve, actor: str, request_id: str | bytes) -> list[Event]:
    """Faculty and program are registered by their first request (A21)."""
    caused = []
    if command.faculty_id not in state.faculties:
        caused.append(event_of(events.FacultyRegistered(command.faculty_id, command.faculty), actor, request_id))
    if (command.faculty_id, command.program_id) not in state.programs:
        registered = events.ProgramRegistered(command.faculty_id, command.program_id, command.program)
        caused.append(event_of(registered, actor, request_id))
    return caused


def _opening(state: Inventory, term: Term, actor: str, request_id: str | bytes) -> list[Event]:
    """A term is opened by the first request that names it, a catalog adopted by the first term that uses it."""
    catalog = term.catalog
    caused = []
    if catalog.catalog_id not in state.catalogs:
        caused.append(event_of(events.CatalogAdopted(catalog.catalog_id, catalog.rooms), actor, request_id))
    caused.append(event_of(events.TermOpened(term.name, term.number, catalog.catalog_id), actor, request_id))
    return caused


def _shortages(command: Reserve, chosen: Selection | None) -> tuple[str, ...]:
    """The alerts that a choice gives reason for (A13); each stands until rooms of the term become free."""
    if chosen is None:
        return (commands.NOT_ENOUGH_ROOMS,)
    missing_labs = command.labs - len(chosen.labs)
    if not missing_labs and len(chosen.classrooms) == command.classrooms:
        return ()
    labs_exhausted = (commands.LABS_EXHAUSTED,) if missing_labs else ()
    whole = len(chosen.classrooms) == command.classrooms and len(chosen.mobile) == missing_labs
    return labs_exhausted if whole else (*labs_exhausted, commands.NOT_ENOUGH_ROOMS)
