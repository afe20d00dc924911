"""Decisions on what a registrar, a faculty or the node itself asks for outside a transaction: giving
rooms back, closing a term, recording an alert."""

from __future__ import annotations

from es.machine import Accepted, Answered, Decision
from projections.rooms import commands, events, outcome
from projections.rooms.commands import CloseTerm, RaiseAlert, Release, Result, TermResult
from projections.rooms.decide import bad_field_result, bad_name_result
from projections.rooms.events import event_of, faculty_actor
from projections.rooms.fields import is_text, term_reason
from projections.rooms.identity import request_id_of
from projections.rooms.inventory import Inventory
from projections.rooms.limits import ID_MAX
from projections.rooms.names import is_name
from projections.rooms.term import Closure


def release(state: Inventory, command: Release) -> Decision:
    """Free a confirmed allocation; its own result stays what it was (A10, A12). A repetition gets the
    first answer again, whatever its reason."""
    field = _bad_release_field(command)
    if field is not None:
        return Answered(bad_field_result(command.transaction_id, field))
    request_id = request_id_of(command.transaction_id)
    kept = state.finished(command.faculty_id, request_id)
    if kept is None or kept.ending != outcome.CONFIRMED:
        return Answered(
            Result(
                command.transaction_id, commands.INVALID, commands.UNKNOWN_TRANSACTION,
                "no confirmed allocation with this id is known",
            )
        )  # fmt: skip
    done = Result(command.transaction_id, commands.CANCELED, commands.RELEASED, "the rooms were given back")
    if kept.released_seq:
        return Answered(done, kept.released_seq)
    needs_reason = command.actor != faculty_actor(command.faculty_id)
    if not is_name(command.reason) and (needs_reason or command.reason):
        return Answered(bad_name_result(command.transaction_id, "reason", command.reason))
    return Accepted((event_of(events.Released(command.faculty_id, command.reason), command.actor, request_id),), done)


def close_term(state: Inventory, command: CloseTerm) -> Decision:
    """End a term: its holds end with it and its transactions are forgotten (A10). Closing it again changes nothing and
    gets the first answer."""
    if not is_text(command.actor) or not is_text(command.term):
        return Answered(TermResult(command.term, commands.INVALID, commands.BAD_FIELD, "term or actor is too long"))
    term = state.terms.get(command.term)
    if term is not None:
        event = event_of(events.TermClosed(term.number), command.actor, "")
        return Accepted((event,), _closed(command.term, term.closure(0)))
    closure = state.closed_terms.get(command.term)
    if closure is not None:
        return Answered(_closed(command.term, closure), closure.seq)
    never = "was ever opened; open are" if state.terms else "was ever opened"
    reason = term_reason("no term (semester)", command.term, never, state.terms)
    return Answered(TermResult(command.term, commands.INVALID, commands.UNKNOWN_TERM, reason))


def raise_alert(state: Inventory, command: RaiseAlert) -> Decision:
    """Record an alert of the node's own, at most one per code and term until rooms become free (A13);
    one that concerns no term is recorded as often as it is asked for."""
    term = None if command.term is None else state.terms.get(command.term)
    if term is not None and command.code in term.alerts:
        return Answered(None)
    return Accepted((event_of(events.AlertRaised(command.code, command.term), events.SYSTEM_ACTOR, ""),), None)


def _closed(term: str, closure: Closure) -> TermResult:
    return TermResult(term, commands.ACCEPTED, None, None, closure.classrooms, closure.labs, closure.holds)


def _bad_release_field(command: Release) -> str | None:
    if not 0 <= command.faculty_id <= ID_MAX:
        return "faculty_id"
    if not command.transaction_id or not is_text(command.transaction_id):
        return "transaction_id"
    if not command.actor or not is_text(command.actor):
        return "actor"
    return None
