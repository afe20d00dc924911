"""What a faculty remembers of transactions after their end: what was asked under an id, and how it ended."""

from __future__ import annotations

from typing import Final, NamedTuple

from nodes.faculty.transaction import Transaction
from nodes.wire.schema import Receipt
from projections.rooms.commands import Reserve

UNSURE_MAX: Final = 10_000
"""Transactions remembered because they ended UNKNOWN: asked again, they never end UNAVAILABLE."""

ENDED_MAX: Final = 20_000
"""Transactions remembered with their requests after their end: far more than end while an answer is under way."""


class Past(NamedTuple):
    """What was asked under an id before, and how it ended: it `stands` if the servers had a result for it, None if
    nobody knows. See Transaction."""

    reserve: Reserve
    stands: bool | None
    unanswered: int
    foreign: int
    stood: tuple[Reserve, Receipt] | None

    @property
    def may_answer(self) -> bool:
        """A result that still comes may be its own: another request could not tell that from one of its own."""
        return self.stands is None or (self.stands and self.unanswered > 0)


class PastTransactions:
    """The latest `UNSURE_MAX` that ended UNKNOWN and the latest `ENDED_MAX` that ended otherwise, by id."""

    def __init__(self) -> None:
        self._unsure: dict[str, Past] = {}
        self._ended: dict[str, Past] = {}

    def of(self, transaction_id: str) -> Past | None:
        """The last asking under an id. What ended in doubt comes before what ended earlier."""
        return self._unsure.get(transaction_id) or self._ended.get(transaction_id)

    def is_in_doubt(self, transaction_id: str) -> bool:
        """An earlier asking ended UNKNOWN, or the servers refused it: then they may know another one."""
        ended = self._ended.get(transaction_id)
        return transaction_id in self._unsure or (ended is not None and not ended.stands)

    def end(self, transaction: Transaction, stands: bool) -> None:
        """The servers had a result for it, or refused it as invalid."""
        self._unsure.pop(transaction.reserve.transaction_id, None)
        _remember(self._ended, ENDED_MAX, transaction, stands)

    def end_unknown(self, transaction: Transaction) -> None:
        """Nobody knows how it ended."""
        _remember(self._unsure, UNSURE_MAX, transaction, stands=None)


def _remember(past: dict[str, Past], past_max: int, transaction: Transaction, stands: bool | None) -> None:
    """The newest last, the oldest forgotten beyond `past_max`."""
    transaction_id = transaction.reserve.transaction_id
    past.pop(transaction_id, None)
    past[transaction_id] = Past(
        transaction.reserve, stands, transaction.unanswered, transaction.foreign, transaction.stood
    )
    if len(past) > past_max:
        del past[next(iter(past))]
