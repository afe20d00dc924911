"""Faculties, programs and a server's door with one rule broken (es.testing.mutants says how)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from es.codec import Batch
from es.replication import leading as leading_module
from es.replication.instant import Instant
from es.replication.messages import Member
from es.testing.mutants import Mutant
from nodes.clients.program import Asking
from nodes.faculty.core import FacultyCore, _Seen
from nodes.faculty.effects import Effect, SavePrograms
from nodes.faculty.transaction import Transaction
from nodes.server.frontend_core import FrontendCore
from nodes.wire.schema import ProgramRequest, Res
from projections.rooms.commands import DENIED, NOT_ENOUGH_ROOMS

_retry = FacultyCore._retry
_follow = FacultyCore._follow
_on_request = FacultyCore.on_request
_push_expiry = FrontendCore._push_expiry


def _retry_under_a_new_id(self: FacultyCore, now: Instant) -> list[Effect]:
    for transaction_id, transaction in list(self._in_flight.items()):
        if now.boot_us >= transaction.retry_at_us:
            del self._in_flight[transaction_id]
            transaction.reserve = transaction.reserve._replace(transaction_id=self._draw_id())
            transaction.answer = None
            self._in_flight[transaction.reserve.transaction_id] = transaction
    return _retry(self, now)


def _guess(self: FacultyCore, transaction_id: str) -> Res:  # noqa: ARG001 - it takes a method's place
    return Res(transaction_id, DENIED, NOT_ENOUGH_ROOMS, "no rooms were found in time")


def _follow_any_active(self: FacultyCore, now: Instant) -> list[Effect]:
    seen = self._seen
    self._seen = {name: _Seen(beat._replace(epoch=1), boot_us) for name, (beat, boot_us) in seen.items()}
    effects = _follow(self, now)
    self._seen = seen
    return effects


def _forget_doubt(self: FacultyCore, transaction: Transaction) -> bool:  # noqa: ARG001 - likewise
    return transaction.attempts == transaction.refusals


def _save_programs_last(self: FacultyCore, route: object, request: ProgramRequest, now: Instant) -> list[Effect]:
    return sorted(_on_request(self, route, request, now), key=lambda effect: isinstance(effect, SavePrograms))


def _push_to_the_oldest(
    self: FrontendCore[bytes],
    batch: Batch,
    seq: int,
    request_id: str | bytes,  # noqa: ARG001 - likewise
    faculty_id: int,
) -> None:
    oldest = next((one for one in self._pushes if one[0] == faculty_id), None)
    if oldest is not None:
        _push_expiry(self, batch, seq, oldest[1], faculty_id)


def _believe(self: Asking, res: Res) -> Res:  # noqa: ARG001 - likewise
    return res


def _copies_of_all(
    me: Member,
    seq: int,
    required: Collection[Member],  # noqa: ARG001 - likewise
    acked: Mapping[Member, int],
) -> int:
    return 1 + sum(1 for member, acknowledged in acked.items() if member != me and acknowledged >= seq)


FACULTY_MUTANTS: dict[str, Mutant] = {
    "new id at a retry": Mutant(
        "A10", "a faculty that hears nothing asks under another transaction id",
        ((FacultyCore, "_retry", _retry_under_a_new_id),),
    ),
    "unknown told as denied": Mutant(
        "A10", "a faculty that could not learn a result makes one up", ((FacultyCore, "_unknown", _guess),)
    ),
    "epoch of a beat ignored": Mutant(
        "A6", "a faculty stays with any server that says it is active", ((FacultyCore, "_follow", _follow_any_active),)
    ),
    "doubt forgotten": Mutant(
        "A10", "what ended UNKNOWN may end UNAVAILABLE later", ((FacultyCore, "_is_untouched", _forget_doubt),)
    ),
    "programs saved last": Mutant(
        "A21", "a request leaves before its program's number is durable",
        ((FacultyCore, "on_request", _save_programs_last),),
    ),
    "expiry pushed to the oldest": Mutant(
        "A9", "an expiry is pushed for another hold of its faculty",
        ((FrontendCore, "_push_expiry", _push_to_the_oldest),),
    ),
    "refusal of one attempt believed": Mutant(
        "A3", "a program takes the UNAVAILABLE of a later attempt for all of them", ((Asking, "_in_doubt", _believe),)
    ),
    "replaced disk counted": Mutant(
        "R1", "a receipt counts the copy of a disk that was replaced", ((leading_module, "copies", _copies_of_all),)
    ),
}  # fmt: skip
