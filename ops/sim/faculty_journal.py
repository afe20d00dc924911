"""The journal of what programs and faculties say and are told: every hop of an answer is held against the others."""

from __future__ import annotations

from typing import Any

from es.log.base import EventLog
from es.testing.checker import Violation
from nodes.wire_schema import NOT_ACTIVE, UNKNOWN, ProgramRequest, Receipt, Res
from ops.sim.journal import Journal
from projections.rooms import commands
from projections.rooms.checker import Transaction
from projections.rooms.commands import Answer, Proposal, Reserve, Result
from projections.rooms.identity import transaction_id_of
from projections.rooms.machine import NAME


class FacultyJournal(Journal):
    """A transaction's answers are seen three times: as a server's kernel releases them, as they reach the faculty on
    the wire, and as the faculty tells its program. `own_term` is meant where a program names none."""

    def __init__(self, own_term: str) -> None:
        super().__init__()
        self.own_term = own_term
        self.requests: dict[Transaction, ProgramRequest] = {}
        self.contradicted: set[Transaction] = set()
        self.contradictions: dict[Transaction, Reserve] = {}
        self.accepts: dict[Transaction, bool] = {}
        self.receipts: dict[int, Receipt] = {}
        self.in_doubt: set[Transaction] = set()
        self.untouched: set[Transaction] = set()

    # -- what is asked

    def requested(self, transaction: Transaction, request: ProgramRequest) -> None:
        """A program is about to ask this, for the first time or again."""
        if self.requests.setdefault(transaction, request) != request:
            self.contradicted.add(transaction)
        self.untouched.discard(transaction)

    def submitted(self, message: Reserve | Answer) -> bool:
        """A faculty sends this. True if it is the first time. Raises Violation for what no program asked, for another
        request than the first one's and for another answer to the proposal."""
        assert message.faculty_id is not None
        transaction = message.faculty_id, message.transaction_id
        if isinstance(message, Answer):
            is_first = transaction not in self.accepts
            if transaction not in self.proposals:
                raise Violation("I5", f"{message} answers nothing")
            if self.accepts.setdefault(transaction, message.accept) != message.accept:
                self._expect_contradiction(transaction, message)
        else:
            is_first = transaction not in self.reserves
            if transaction not in self.requests:
                raise Violation("I5", f"{message} is what no program asked")
            if is_first and not self._is_asked_by(message, self.requests[transaction]):
                raise Violation("I5", f"{message} is not what {self.requests[transaction]} asks")
            if not is_first and message != self.reserves[transaction]:
                if self._is_asked_by(message, self.requests[transaction]):
                    raise Violation("I5", f"{message} was {self.reserves[transaction]} before")
                self.contradictions[transaction] = message
        if is_first:
            self.asked(message)
        return is_first

    def _is_asked_by(self, reserve: Reserve, request: ProgramRequest) -> bool:
        """Whether a faculty's SOL is what its program asked."""
        term = self.own_term if request.term is None else request.term
        return (reserve.program, reserve.classrooms, reserve.labs, reserve.term, reserve.partial) == (
            request.program, request.classrooms, request.labs, term, request.partial,
        )  # fmt: skip

    def _expect_contradiction(self, transaction: Transaction, message: Answer) -> None:
        """A late PROP may be taken for the answer to another request with its id, if the program asks such a thing:
        once the first has ended, what is said to it then has no consequence."""
        if transaction not in self.contradicted or transaction not in self.results:
            raise Violation("I5", f"{message} is not the first answer")

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
            self.left_in_doubt(transaction)
        elif res.status == commands.UNAVAILABLE:
            if transaction in self.proposals and transaction not in self.in_doubt and not is_known:
                raise Violation("I5", f"{res} was told of a transaction that had its proposal")
            if transaction not in self.in_doubt and not is_known:
                self.untouched.add(transaction)
        elif res.status == commands.INVALID:
            if res.code != commands.CONFLICT or request == self.requests[transaction]:
                raise Violation("I5", f"{request} was told {res}")
        elif not is_known:
            raise Violation("I5", f"{res} was told, but no server released it")
        else:
            self._check_res(transaction, res)
            self.in_doubt.discard(transaction)

    def left_in_doubt(self, transaction: Transaction) -> None:
        """A program was told nothing definite: whatever happens later is no surprise."""
        self.in_doubt.add(transaction)

    def _check_res(self, transaction: Transaction, res: Res) -> None:
        if res.status == commands.UNAVAILABLE:
            if res.code not in (commands.BUSY, NOT_ACTIVE):
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
                return self.contradictions.get(transaction, self.reserves[transaction])
            if answer.status == commands.ACCEPTED or answer.code == commands.REJECTED:
                accept = answer.status == commands.ACCEPTED
                if self.accepts.get(transaction) is not accept:
                    raise Violation("I5", f"{answer} of {transaction}, whose faculty did not answer so")
                return Answer(transaction[1], transaction[0], accept)
        return self.reserves[transaction]

    # -- the log

    def check_log(self, log: EventLog) -> None:
        """As Journal; then every receipt's epoch and hash, and that nothing was done of what was UNAVAILABLE."""
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
                if transaction in self.untouched:
                    raise Violation("I5", f"{transaction} was told UNAVAILABLE, but {entry.type} stands in the log")
