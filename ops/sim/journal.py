"""What clients of the rooms application were told, held against itself and in the end against the log."""

from __future__ import annotations

from typing import Any

from es.log.base import EventLog
from es.testing.checker import Checker, Violation
from projections.rooms import commands, events
from projections.rooms.checker import Observation, Transaction, check_rooms
from projections.rooms.commands import Answer, CloseTerm, Proposal, Release, Reserve, Result, TermResult
from projections.rooms.identity import transaction_id_of
from projections.rooms.machine import NAME

ENDINGS = {
    (commands.ACCEPTED, None): "Confirmed",
    (commands.DENIED, commands.NOT_ENOUGH_ROOMS): "Denied",
    (commands.CANCELED, commands.REJECTED): "Rejected",
    (commands.CANCELED, commands.ACK_TIMEOUT): "Expired",
}
"""Which event stands in the log for which result."""

FORGOTTEN = {commands.TERM_CLOSED, commands.UNKNOWN_TRANSACTION}
"""What may be said of a transaction once its term is being closed, and not before."""


class Journal:
    """Every transaction by (faculty id, transaction id). Raises Violation as soon as an answer contradicts
    an earlier one (I5), or an order in real time (I6)."""

    def __init__(self) -> None:
        self.checker: Checker
        self.reserves: dict[Transaction, Reserve] = {}
        self.proposals: dict[Transaction, tuple[Proposal, int | None]] = {}
        self.results: dict[Transaction, tuple[Result, int | None]] = {}
        self.released: dict[Transaction, int | None] = {}
        self.closing: set[str] = set()
        self._closed: dict[str, tuple[TermResult, int | None]] = {}
        self._opened: dict[str, bool] = {}
        self._floors: dict[tuple[type[Any], Transaction], int] = {}

    def asked(self, command: commands.Command) -> None:
        """A client is about to send this for the first time."""
        if isinstance(command, CloseTerm):
            self.closing.add(command.term)
            known = (*self.proposals, *self.results)
            self._opened[command.term] = any(self.reserves[one].term == command.term for one in known)
        elif isinstance(command, Reserve | Answer | Release):
            transaction = _transaction(command)
            self._floors.setdefault((type(command), transaction), self.checker.acknowledged_seq)
            if isinstance(command, Reserve):
                self.reserves.setdefault(transaction, command)

    # -- answers

    def check(self, command: commands.Command, answer: Any, seq: int | None) -> None:
        """Hold one answer against all others."""
        if isinstance(command, CloseTerm):
            self._check_closing(command, answer, seq)
            return
        assert isinstance(command, Reserve | Answer | Release)
        transaction = _transaction(command)
        if isinstance(answer, Result) and answer.code in FORGOTTEN:
            _expect(self.reserves[transaction].term in self.closing, command, answer)
        elif isinstance(answer, Result) and answer.code in (commands.BUSY, commands.LIMIT_REACHED):
            _expect(isinstance(command, Reserve), command, answer)
        elif isinstance(command, Reserve) and command != self.reserves[transaction]:
            _expect(isinstance(answer, Result) and answer.code == commands.CONFLICT, command, answer)
        elif isinstance(command, Release):
            _expect(isinstance(answer, Result) and answer.code == commands.RELEASED, command, answer)
            self._check_seq(command, transaction, seq)
            _expect(self.released.setdefault(transaction, seq) == seq, command, answer)
        elif isinstance(answer, Proposal):
            _expect(isinstance(command, Reserve), command, answer)
            self._check_proposal(command, transaction, answer, seq)
        else:
            self._check_result(command, transaction, answer, seq)

    def _check_closing(self, command: CloseTerm, answer: Any, seq: int | None) -> None:
        """Closed for good and once, unless nobody had been given anything in it when that was asked for."""
        assert isinstance(answer, TermResult)
        if answer.status == commands.ACCEPTED:
            first = self._closed.setdefault(command.term, (answer, seq))
            _expect((answer, seq) == first, command, (answer, seq), first)
        unknown = answer.code == commands.UNKNOWN_TERM and not self._opened[command.term]
        _expect(unknown or answer.status == commands.ACCEPTED, command, answer)

    def _check_proposal(self, command: Any, transaction: Transaction, proposal: Proposal, seq: int | None) -> None:
        """A repetition names the same rooms; its deadline may only have moved away."""
        self._check_seq(command, transaction, seq)
        first, first_seq = self.proposals.setdefault(transaction, (proposal, seq))
        _expect((proposal[:4], seq) == (first[:4], first_seq), command, proposal, first)

    def _check_result(self, command: Any, transaction: Transaction, result: Any, seq: int | None) -> None:
        """One result for ever, made of the proposal's rooms."""
        _expect(isinstance(result, Result) and (result.status, result.code) in ENDINGS, command, result)
        if ENDINGS[result.status, result.code] in ("Confirmed", "Rejected") and isinstance(command, Answer):
            self._check_seq(command, transaction, seq)
        first = self.results.setdefault(transaction, (result, seq))
        _expect((result, seq) == first, command, (result, seq), first)
        if result.status == commands.ACCEPTED and transaction in self.proposals:
            proposal, _ = self.proposals[transaction]
            _expect(result[4:] == proposal[1:4], command, result, proposal)

    def _check_seq(self, command: Any, transaction: Transaction, seq: int | None) -> None:
        """If one request ended before another began, their sequence numbers are in that order."""
        _expect(seq is not None and seq > self._floors[type(command), transaction], command, f"seq {seq}")

    # -- the log

    def check_log(self, log: EventLog) -> None:
        """I9 by the domain's own checker, then every receipt, then every hold's length in real time."""
        observed = [
            Observation(transaction_id, faculty_id, seq, self.checker.promises[seq].hex(), *result[4:])
            for (faculty_id, transaction_id), (result, seq) in self.results.items()
            if result.status == commands.ACCEPTED and seq is not None
        ]
        for violation in check_rooms(log.batches(), observed):
            raise Violation("I9", f"{violation.rule} at seq {violation.seq}: {violation.sentence}")
        self._check_receipts(log)
        self._check_holds(log)

    def _check_receipts(self, log: EventLog) -> None:
        """I5: what was told stands in the log, as the event that was named."""
        told = {seq: ("Reserved", transaction) for transaction, (_, seq) in self.proposals.items()}
        told |= {seq: ("Released", transaction) for transaction, seq in self.released.items()}
        for transaction, (result, seq) in self.results.items():
            told[seq] = (ENDINGS[result.status, result.code], transaction)
        for batch in log.batches():
            for entry in batch.entries:
                expected = told.pop(batch.first_seq + entry.offset, None)
                if expected is None:
                    continue
                found = (entry.type, (entry.body[0], transaction_id_of(entry.request_id)))
                if found != expected:
                    raise Violation("I5", f"a client was told {expected}, the log has {found} there")
        if told:
            raise Violation("I5", f"clients were told of events that are not in the log: {told}")

    def _check_holds(self, log: EventLog) -> None:
        """A9 by a clock of its own: a hold that expired had lasted `hold_ms` in real time. It began no earlier than
        the clock was read that the batch before its own was sealed by, and was over at the reading that sealed the
        batch that says so."""
        held: dict[tuple[int, str | bytes], tuple[int, int]] = {}
        before_us = 0
        for batch in log.batches():
            read_us = self.checker.born_us[batch.hash]
            for entry in batch.entries:
                if entry.application != NAME or not entry.request_id:
                    continue
                key = entry.body[0], entry.request_id
                if entry.type == "Reserved":
                    held[key] = (before_us, events.Reserved._make(entry.body).hold_ms)
                elif entry.type == "Expired":
                    began_us, hold_ms = held.pop(key)
                    if read_us - began_us < hold_ms * 1_000:
                        raise Violation("A9", f"{key} expired {(read_us - began_us) // 1_000} ms after it began")
            before_us = read_us


def _transaction(command: Reserve | Answer | Release) -> Transaction:
    assert command.faculty_id is not None
    return command.faculty_id, command.transaction_id


def _expect(holds: bool, command: Any, *told: Any) -> None:
    if not holds:
        raise Violation("I5", f"{command} was answered {' after '.join(map(str, told))}")
