"""One transaction of a faculty while it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from es.replication.instant import Instant
from nodes.faculty.effects import Timed
from nodes.wire.schema import Receipt, Res
from projections.rooms.commands import ACK_TIMEOUT, Answer, Proposal, Reserve


@dataclass(slots=True)
class Transaction:
    """One asking, of the servers in `asked`. `rivals` ask something else under its id. `unanswered` messages may still
    be answered, those of earlier askings included; the first `foreign` refusals may mean another request. `stood`:
    which request last had a result under the id, and the receipt of that."""

    reserve: Reserve
    routes: list[object]
    rivals: list[object]
    began_us: int
    retry_at_us: int
    retry_after_us: int
    answer: Answer | None = None
    sol_sent_us: int | None = None
    ack_sent_us: int | None = None
    server: str | None = None
    asked: set[str] = field(default_factory=set)
    was_hinted: bool = False
    attempts: int = 0
    refusals: int = 0
    unanswered: int = 0
    foreign: int = 0
    stood: tuple[Reserve, Receipt] | None = None
    refusal: Res | None = field(default=None, repr=False)

    def timed(self, leg: str, began_us: int, now: Instant, status: str = "", code: str | None = None) -> Timed:
        """One of its legs ends now."""
        reserve = self.reserve
        us = now.boot_us - began_us
        return Timed(leg, us, reserve.transaction_id, reserve.program_id, now.boot_us, status, code or "")


def may_be_pushed(transaction: Transaction, message: Proposal | Res) -> bool:
    """A server told it of its own accord, when the proposal's time was up: the ACK has its answer still to come."""
    return isinstance(message, Res) and message.code == ACK_TIMEOUT and transaction.ack_sent_us is not None


def is_anothers(receipt: Receipt | None, transaction: Transaction) -> bool:
    """Whether a result is known as that of another request under the id; the number of copies is that of the day."""
    if receipt is None or transaction.stood is None:
        return False
    reserve, stood = transaction.stood
    return receipt[:3] == stood[:3] and reserve != transaction.reserve
