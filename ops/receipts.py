"""Results as people keep them: what `aulario request -o json` printed, one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from es.codec import Batch
from es.testing.history import BrokenRule
from nodes.wire.schema import Receipt
from projections.rooms.checker import Observation, Transaction
from projections.rooms.commands import ACCEPTED, ACK_TIMEOUT, CANCELED, DENIED, REJECTED, RELEASED
from projections.rooms.export import Exporter

RECEIPT: Final = "receipt"
"""The rule that is broken where a log is not what a client was told."""

_CONFIRMED: Final = "Confirmed"
_REFUSED_BY: Final[Mapping[str, str]] = {
    DENIED: "Denied", REJECTED: "Rejected", ACK_TIMEOUT: "Expired", RELEASED: "Released",
}  # fmt: skip
"""By what a client was told, the event that says so in a log."""


class Refusal(NamedTuple):
    """A DENIED or CANCELED that a client saw, and the type of the event it comes from."""

    transaction: Transaction
    status: str
    event_type: str


class Results(NamedTuple):
    """What a file of results promises: receipts and refusals. The others promise nothing and are counted."""

    receipts: Sequence[Observation] = ()
    refusals: Sequence[Refusal] = ()
    passed_over: int = 0


def read_results(path: Path) -> Results:
    """The results in a file. Raises click's UsageError, with the line, for what is none."""
    receipts, refusals, passed_over = [], [], 0
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line.decode("utf-8"))
            if told["status"] == ACCEPTED:
                receipts.append(_receipt(told))
            elif told["status"] in (DENIED, CANCELED):
                refusals.append(_refusal(told))
            else:
                passed_over += 1
        except (ValueError, KeyError, TypeError, OverflowError):
            raise click.UsageError(f"{path}, line {number}: this is no result of aulario request -o json") from None
    return Results(receipts, refusals, passed_over)


def _receipt(told: Mapping[str, Any]) -> Observation:
    classrooms, labs, mobile = (list(told[rooms]) for rooms in ("aulas", "laboratorios", "moviles"))
    return Observation(
        str(told["transaction_id"]), int(told["faculty_id"]), int(told["recibo"]["seq"]),
        str(told["recibo"]["hash"]), classrooms, labs, mobile,
    )  # fmt: skip


def _refusal(told: Mapping[str, Any]) -> Refusal:
    why = told["code"] if told["status"] == CANCELED else told["status"]
    return Refusal((int(told["faculty_id"]), str(told["transaction_id"])), told["status"], _REFUSED_BY[why])


def receipt_line(receipt: Receipt) -> str:
    """Which event a result is, for people."""
    copies = "1 copy" if receipt.copies == 1 else f"{receipt.copies} copies"
    return f"receipt      epoch {receipt.epoch}, seq {receipt.seq}, {copies}, hash {receipt.hash}"


class Outcomes:
    """What became of each transaction in several logs together, to be held against what clients were told."""

    def __init__(self) -> None:
        self._events: dict[Transaction, dict[str, int]] = {}

    def take(self, batches: Iterable[Batch]) -> None:
        """Add the committed batches of one log, from sequence number 1."""
        exporter = Exporter()
        for batch in batches:
            for event in exporter.feed(batch):
                if event["type"] == _CONFIRMED or event["type"] in _REFUSED_BY.values():
                    transaction = event["body"]["faculty_id"], event["body"]["transaction_id"]
                    self._events.setdefault(transaction, {})[event["type"]] = event["seq"]

    def contradicting(self, refusals: Iterable[Refusal]) -> list[BrokenRule]:
        """The refusals of transactions that a log confirms while none has the refusal. A transaction id may be
        used again once its term is closed (A10), so one that has both stands."""
        broken = []
        for (faculty_id, transaction_id), status, event_type in refusals:
            found = self._events.get((faculty_id, transaction_id), {})
            if _CONFIRMED in found and event_type not in found:
                who = f"transaction {transaction_id} of faculty {faculty_id}"
                broken.append(BrokenRule(found[_CONFIRMED], RECEIPT, f"a client saw {who} {status}; it is confirmed"))
        return broken


def beyond(commit_seq: int, receipts: Iterable[Observation]) -> list[BrokenRule]:
    """The receipts that no log can have, the longest being committed up to `commit_seq`."""
    return [
        BrokenRule(
            seen.seq, RECEIPT,
            f"a client saw transaction {seen.transaction_id} of faculty {seen.faculty_id} accepted there; "
            f"no log is committed beyond seq {commit_seq}",
        )
        for seen in receipts if seen.seq > commit_seq
    ]  # fmt: skip
