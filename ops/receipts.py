"""Answers as people keep them: what `aulario request`, `release` and `term close` print with `-o json`, a line each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from es.codec import Batch
from es.testing.history import BrokenRule
from nodes.wire.fields import ACCEPTED_NAMES, CER_NAMES, COUNTS, LISTS, is_id
from nodes.wire.schema import UNKNOWN, Closed, Receipt, Res, closing_answer
from projections.rooms.checker import EVENTS_OF_ENDINGS, Closing, Ending, Observation, Seen, Transaction, sentence_of
from projections.rooms.commands import ACCEPTED, DENIED, INVALID, NOT_ENOUGH_ROOMS, RELEASED, UNAVAILABLE
from projections.rooms.export import Exporter

RECEIPT: Final = "receipt"
"""The rule that is broken where a log is not what a client was told."""

PROMISE_NOTHING: Final = (INVALID, UNAVAILABLE, UNKNOWN)
"""Statuses that come from no event, and so without a receipt."""

_CONFIRMED: Final = "Confirmed"
_KNOWN: Final = ACCEPTED_NAMES | CER_NAMES


class Refusal(NamedTuple):
    """A DENIED or CANCELED that was kept without its receipt, and the type of the event it comes from."""

    transaction: Transaction
    status: str
    event_type: str


class _NoFaculty(Exception):
    """A result as it comes over the wire: whoever asked knows which faculty gave it, the line does not."""


class Results(NamedTuple):
    """What a file of answers promises: those with a receipt, refusals without one, and what contradicts itself. The
    others promise nothing and are counted."""

    seen: Sequence[Seen] = ()
    refusals: Sequence[Refusal] = ()
    passed_over: int = 0
    broken: Sequence[BrokenRule] = ()

    def counts(self) -> dict[str, int]:
        """How many of each."""
        kinds = Counter(map(_kind, self.seen))
        return {
            **{kind: kinds[kind] for kind in ("accepted", "refused", "released", "closed")},
            "without_receipt": len(self.refusals),
            "passed_over": self.passed_over,
        }


def read_results(path: Path) -> Results:
    """The answers in a file. Raises click's UsageError, with the line, for what is none."""
    seen: list[Seen] = []
    refusals: list[Refusal] = []
    broken: list[BrokenRule] = []
    passed_over = 0
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line.decode("utf-8"), object_pairs_hook=_without_repetition)
            if told.get("status") in PROMISE_NOTHING and "recibo" not in told:
                passed_over += 1
                continue
            answer = _answer(told)
            if isinstance(answer, Refusal):
                refusals.append(answer)
                continue
        except _NoFaculty:
            what = "this result lacks faculty_id, the number of the faculty that gave it: add it to the line"
            raise click.UsageError(f"{path}, line {number}: {what}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            what = "this is no result of aulario request, release or term close -o json"
            raise click.UsageError(f"{path}, line {number}: {what}") from None
        seen.append(answer)
        if any(told.get(count, length) != length for count, length in _lengths(told).items()):
            broken.append(BrokenRule(answer.seq, RECEIPT, f"{sentence_of(answer)} with counts that are not its rooms'"))
    return Results(seen, refusals, passed_over, broken)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A map that says one thing: who reads the first of two equal keys would not see what was checked."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _answer(told: Mapping[str, Any]) -> Seen | Refusal:
    """What a line says. Raises ValueError or KeyError for what is no answer."""
    known = {name: told[name] for name in told if name in _KNOWN}
    match closing_answer({"tipo": "RES"} | known | _lengths(told)):  # counts that contradict them are told apart
        case Closed(_, term, classrooms, labs, holds, receipt):
            return Closing(term, receipt.seq, receipt.hash, classrooms, labs, holds, receipt.epoch)
        case Res() if "faculty_id" not in told:
            raise _NoFaculty
        case Res() as res if is_id(told["faculty_id"]):
            return _result(told["faculty_id"], res)
    raise ValueError("no answer")


def _lengths(told: Mapping[str, Any]) -> dict[str, int]:
    """The counts that a line's lists of rooms should have beside them."""
    pairs = ((count, told.get(rooms)) for (count, _, _), (rooms, _, _) in zip(COUNTS, LISTS, strict=True))
    return {count: len(rooms) for count, rooms in pairs if isinstance(rooms, list)}


def _result(faculty_id: int, res: Res) -> Seen | Refusal:
    if res.receipt is None:
        code = NOT_ENOUGH_ROOMS if res.status == DENIED else res.code
        return Refusal((faculty_id, res.transaction_id), res.status, EVENTS_OF_ENDINGS[res.status, code])
    epoch, seq, digest, _ = res.receipt
    if (res.status, res.code) == (ACCEPTED, None):
        return Observation(res.transaction_id, faculty_id, seq, digest, res.classrooms, res.labs, res.mobile, epoch)
    return Ending(res.transaction_id, faculty_id, seq, digest, res.status, res.code, epoch)


def _kind(seen: Seen) -> str:
    match seen:
        case Closing():
            return "closed"
        case Observation():
            return "accepted"
        case Ending():
            return "released" if seen.code == RELEASED else "refused"


def receipt_line(receipt: Receipt) -> str:
    """Which event a result is, for people."""
    copies = "1 copy" if receipt.copies == 1 else f"{receipt.copies} copies"
    return f"receipt      epoch {receipt.epoch}, seq {receipt.seq}, {copies}, hash {receipt.hash}"


class Outcomes:
    """What became of each transaction in several logs together, to be held against what clients were told."""

    def __init__(self) -> None:
        self._events: dict[Transaction, dict[str, int]] = {}
        self._last_seq = 0

    def take(self, batches: Iterable[Batch]) -> None:
        """Add the committed batches of one log, from sequence number 1."""
        exporter = Exporter()
        for batch in batches:
            self._last_seq = max(self._last_seq, batch.last_seq)
            for event in exporter.feed(batch):
                if event["type"] == _CONFIRMED or event["type"] in EVENTS_OF_ENDINGS.values():
                    transaction = event["body"]["faculty_id"], event["body"]["transaction_id"]
                    self._events.setdefault(transaction, {})[event["type"]] = event["seq"]

    def contradicting(self, refusals: Iterable[Refusal], *, are_all: bool) -> list[BrokenRule]:
        """The refusals that no log has: of transactions that one confirms, and, where `are_all` the logs there are, of
        others. A transaction id may be used again once its term is closed (A10), so one that has both stands."""
        broken = []
        for (faculty_id, transaction_id), status, event_type in refusals:
            found = self._events.get((faculty_id, transaction_id), {})
            told = f"a client saw transaction {transaction_id} of faculty {faculty_id} {status}"
            if event_type in found:
                continue
            if _CONFIRMED in found:
                broken.append(BrokenRule(found[_CONFIRMED], RECEIPT, f"{told}; it is confirmed"))
            elif are_all:
                broken.append(BrokenRule(self._last_seq, RECEIPT, f"{told}; no log says so up to there"))
        return broken


def beyond(commit_seq: int, seen_all: Iterable[Seen]) -> list[BrokenRule]:
    """The receipts that no log can have, the longest being committed up to `commit_seq`."""
    return [
        BrokenRule(seen.seq, RECEIPT, f"{sentence_of(seen)} there; no log is committed beyond seq {commit_seq}")
        for seen in seen_all if seen.seq > commit_seq
    ]  # fmt: skip
