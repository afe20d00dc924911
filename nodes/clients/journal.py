"""What the clients of a load saw."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from es.testing.real_time import Span
from nodes.shell import read_clock
from nodes.wire.schema import Res
from projections.rooms.checker import Observation
from projections.rooms.commands import ACCEPTED, INVALID


class NewResult(NamedTuple):
    """The first result seen of an event that a later epoch brought about."""

    epoch: int
    boot_us: int


class Journal:
    """Every definite result once, and whatever should not have been said."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.begun = 0
        self.accepted: list[Observation] = []
        self.spans: list[Span] = []
        self.contradictions: list[str] = []
        self.new_result: NewResult | None = None
        self._awaited_epoch: int | None = None

    def await_epoch_after(self, epoch: int) -> None:
        """From now on note the first result of an event of a higher epoch in `new_result`."""
        self.new_result = None
        self._awaited_epoch = epoch

    def saw(self, faculty_id: int, res: Res, began_us: int) -> None:
        """A definite result has come, for the first time; what asked for it was first sent at `began_us`."""
        ended_us = read_clock().boot_us  # not the turn's: it may have come later than that
        self.statuses[res.status] += 1
        receipt = res.receipt
        if res.status == INVALID:
            self._contradict(faculty_id, res, "nothing invalid was asked")
        if receipt is None:
            return
        self.spans.append(Span(began_us, ended_us, receipt.seq))
        if res.status == ACCEPTED:
            rooms = res.classrooms, res.labs, res.mobile
            seen = Observation(res.transaction_id, faculty_id, receipt.seq, receipt.hash, *rooms, receipt.epoch)
            self.accepted.append(seen)
        if self._awaited_epoch is not None and receipt.epoch > self._awaited_epoch and self.new_result is None:
            self.new_result = NewResult(receipt.epoch, ended_us)

    def saw_again(self, faculty_id: int, first: Res, second: Res) -> None:
        """What ended with `first` has been asked again and told the second time."""
        if not _same(first, second):
            self._contradict(faculty_id, second, f"it was {first.status} before")

    def _contradict(self, faculty_id: int, res: Res, why: str) -> None:
        """A client was told what it must not be told."""
        self.contradictions.append(f"faculty {faculty_id}, {res.transaction_id}: {why}: {res.status} {res.reason}")


def _same(first: Res, second: Res) -> bool:
    """Equal in all but today's number of copies (A10)."""
    if first.receipt is None or second.receipt is None:
        return first == second
    return first._replace(receipt=first.receipt._replace(copies=0)) == second._replace(
        receipt=second.receipt._replace(copies=0)
    )
