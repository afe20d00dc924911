"""The journal of what programs and faculties say and are told: every hop of an answer is held against the others."""

from __future__ import annotations

from typing import Any, TypeAlias

from es.log.base import EventLog
from es.testing.checker import Violation
from nodes.wire.schema import NOT_ACTIVE, UNKNOWN, ProgramRequest, Receipt, Res
from ops.sim.journal import Journal
from projections.rooms import commands, events
from projections.rooms.checker import Transaction
from projections.rooms.commands import Answer, Proposal, Reserve, Result
from projections.rooms.identity import transaction_id_of
from projections.rooms.machine import NAME

Asked: TypeAlias = tuple[Transaction, ProgramRequest]
"""One request under an id. A program that contradicts itself asks several."""


class FacultyJournal(Journal):
    """A transaction's answers are seen three times: as a server's kernel releases them, as they reach the faculty on
    the wire, and as the faculty tells its program. `own_term` is meant where a program names none."""

    def __init__(self, own_term: str) -> None:
        super().__init__()
        self.own_term = own_term
        self.requests: dict[Transaction, list[ProgramRequest]] = {}
        self.submissions: dict[Transaction, list[Reserve]] = {}
        self.accepts: dict[Transaction, bool] = {}
        self.receipts: dict[int, Receipt] = {}
        self.stands: dict[Transaction, ProgramRequest] = {}
        self.conflicts: set[Asked] = set()
        self.in_doubt: set[Asked] = set()
        self.untouched: set[Asked] = set()

    # -- what is asked

    def requested(self, transaction: Transaction, request: ProgramRequest) -> None:
        """A program is about to ask this, for the first time or again, or to contradict what was asked."""
        requests = self.requests.setdefault(transaction, [])
        if request not in requests:
            requests.append(request)
        self.untouched.discard((transaction, request))

    def submitted(self, message: Reserve | Answer) -> bool:
        """A faculty sends this. True if it is the first time. Raises Violation for what no program asked, for a
        request that was another one before, and for a second answer to the proposal."""
        assert message.faculty_id is not None
        transaction = message.faculty_id, message.transaction_id
        if isinstance(message, Answer):
            is_first = transaction not in self.accepts
            if transaction not in self.proposals:
                raise Violation("I5", f"{message} answers nothing")
            if self.accepts.setdefault(transaction, message.accept) != message.accept:
                raise Violation("I5", f"{message} is not the first answer")
        else:
            is_first = transaction not in self.reserves
            self._check_reserve(transaction, message)
        if is_first:
            self.asked(message)
        return is_first

    def _check_reserve(self, transaction: Transaction, reserve: Reserve) -> None:
        """What a program asks under this id is one SOL for ever."""
        submissions = self.submissions.setdefault(transaction, [])
        if reserve in submissions:
            return
        asked = [request for request in self.requests.get(transaction, []) if self._is_asked_by(reserve, request)]
        if not asked:
            raise Violation("I5", f"{reserve} is what no program asked")
        for earlier in submissions:
            if self._is_asked_by(earlier, asked[0]):
                raise Violation("I5", f"{reserve} was {earlier} before")
        submissions.append(reserve)

    def _is_asked_by(self, reserve: Reserve, request: ProgramRequest) -> bool:
        """Whether a faculty's SOL is what its program asked."""
        term = self.own_term if request.term is None else request.term
        return (reserve.program, reserve.classrooms, reserve.labs, reserve.term, reserve.partial) == (
            request.program, request.classrooms, request.labs, term, request.partial,
        )  # fmt: skip

    # -- what is told

    def said(self, faculty_id: int, answer: Any, seq: int | None) -> None:
        """A server's kernel lets an answer go."""
        self.check(self._command_of((faculty_id, answer.transaction_id), answer), answer, seq)

    def delivered(self, faculty_id: int, message: Proposal | Res) -> None:
        """A PROP or a RES has reached the faculty: it is what was released."""
        transaction = faculty_id, message.transaction_id
        if isinstance(message, Res):
            self._check_res(transaction, message)
        elif transaction not in self.proposals:
            raise Violation("I5", f"{message} was never released to faculty {faculty_id}")
        else:
            self.check(self.reserves[transaction], message, self.proposals[transaction][1])

    def told(self, faculty_id: int, request: ProgramRequest, res: Res) -> None:
        """A program has its result, or the word that there is none."""
        transaction = faculty_id, res.transaction_id
        is_known = transaction in self.results
        if res.status == UNKNOWN:
            self.left_in_doubt(transaction, request)
        elif res.status == commands.UNAVAILABLE:
            if (transaction, request) not in self.in_doubt and not is_known:
                self._check_untouched(transaction, request, res)
        elif res.status == commands.INVALID:
            if res.code != commands.CONFLICT or len(self.requests[transaction]) == 1:
                raise Violation("I5", f"{request} was told {res}")
            self.conflicts.add((transaction, request))
        elif not is_known:
            raise Violation("I5", f"{res} was told, but no server released it")
        else:
            self._check_res(transaction, res)
            self.in_doubt.discard((transaction, request))
            if self.stands.setdefault(transaction, request) != request:
                raise Violation("A10", f"{request} was told {res}, the result of {self.stands[transaction]}")
        if self.stands.get(transaction) == request and (transaction, request) in self.conflicts:
            raise Violation("A10", f"{request} was told its result, and that it contradicts another one")

    def left_in_doubt(self, transaction: Transaction, request: ProgramRequest) -> None:
        """A program was told nothing definite: whatever happens later is no surprise."""
        self.in_doubt.add((transaction, request))

    def _check_untouched(self, transaction: Transaction, request: ProgramRequest, res: Res) -> None:
        if transaction in self.proposals and len(self.requests[transaction]) == 1:
            raise Violation("I5", f"{res} was told of a transaction that had its proposal")
        self.untouched.add((transaction, request))

    def _check_res(self, transaction: Transaction, res: Res) -> None:
        if res.status == commands.UNAVAILABLE:
            if res.code not in (commands.BUSY, commands.LIMIT_REACHED, NOT_ACTIVE):
                raise Violation("I5", f"{res} has no code of its status")
            return
        seq = None if res.receipt is None else res.receipt.seq
        result = Result(*res[:7])
        self.check(self._command_of(transaction, result), result, seq)
        if res.receipt is not None:
            first = self.receipts.setdefault(res.receipt.seq, res.receipt)
            if res.receipt[:3] != first[:3] or not 1 <= res.receipt.copies <= 2:
                raise Violation("I5", f"{res} has another receipt than {first}")

    def _command_of(self, transaction: Transaction, answer: Any) -> Reserve | Answer:
        """What this is the answer to: an ACK ends a hold, a contradicting SOL makes a conflict."""
        if transaction not in self.reserves:
            raise Violation("I5", f"{answer} was told about a transaction {transaction} that nobody began")
        if isinstance(answer, Result):
            if answer.code == commands.CONFLICT:
                return self.submissions[transaction][-1]
            if answer.status == commands.ACCEPTED or answer.code == commands.REJECTED:
                accept = answer.status == commands.ACCEPTED
                if self.accepts.get(transaction) is not accept:
                    raise Violation("I5", f"{answer} of {transaction}, whose faculty did not answer so")
                return Answer(transaction[1], transaction[0], accept)
        return self.reserves[transaction]

    # -- the log

    def check_log(self, log: EventLog) -> None:
        """As Journal; then every receipt's epoch and hash, and that the request in the log is the one whose result
        was told: none that was UNAVAILABLE, none that was a conflict (A10)."""
        super().check_log(log)
        for receipt in self.receipts.values():
            batch = log.batch_at(receipt.seq)
            if batch is None or (batch.epoch, batch.hash.hex()) != (receipt.epoch, receipt.hash):
                raise Violation("I5", f"{receipt} is not in the log")
        for batch in log.batches():
            for entry in batch.entries:
                if entry.application != NAME or entry.type not in ("Reserved", "Denied"):
                    continue
                transaction = entry.body[0], transaction_id_of(entry.request_id)
                kind = events.Reserved if entry.type == "Reserved" else events.Denied
                self._check_request(transaction, kind._make(entry.body))

    def _check_request(self, transaction: Transaction, event: events.Reserved | events.Denied) -> None:
        in_log = event.asked_classrooms, event.asked_labs, event.partial
        for request in self.requests[transaction]:
            stands = (request.classrooms, request.labs, request.partial) == in_log
            if stands and (transaction, request) in self.untouched:
                raise Violation("I5", f"{transaction} was told UNAVAILABLE, but {event} stands in the log")
            if stands and (transaction, request) in self.conflicts:
                raise Violation("A10", f"{request} was told it contradicts another one, but {event} stands in the log")
            if not stands and self.stands.get(transaction) == request:
                raise Violation("A10", f"{request} was told a result, but {event} stands in the log")
