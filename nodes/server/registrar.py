"""What the registrar asks outside a transaction, releases and the closing of terms: from the wire to the application
and back."""

from __future__ import annotations

from nodes import wire
from nodes.security.principals import Principal
from nodes.wire.schema import Closed, CloseRequest, Receipt, ReleaseRequest, Res
from projections.rooms.commands import CloseTerm, Release, Result, TermResult
from projections.rooms.events import OPERATOR_ACTOR, faculty_actor


def command_of(message: ReleaseRequest | CloseRequest, peer: Principal | None) -> Release | CloseTerm:
    """What is asked for outside a transaction, in the name of whose key it was asked with."""
    if isinstance(message, CloseRequest):
        return CloseTerm(message.term, OPERATOR_ACTOR if peer is None else str(peer))
    actor = faculty_actor(message.faculty_id) if peer is None else str(peer)
    return Release(message.transaction_id, message.faculty_id, actor, message.reason)


def answer_of(transaction_id: str, answer: Result | TermResult, receipt: Receipt | None) -> Res | Closed:
    """What is said to that; `receipt` names the event it is, None if it is none."""
    if isinstance(answer, TermResult):
        return wire.answer_to_closing(transaction_id, answer, receipt)
    return wire.res_of(answer, receipt)
