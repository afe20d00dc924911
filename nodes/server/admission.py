"""Who enters a turn: nobody floods others out.

What an identity sends waits in a backlog of its own, and each turn takes of all backlogs in small portions, so that it
stays short whatever waits. The scheduler is surplus round robin with RFC 8290's two lists: whoever comes anew goes
first, once, and then takes its place behind the others. A full house drops from the longest backlog. Pure: time comes
in, and what waits is opaque.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from es.replication.instant import Instant
from nodes.config.cluster import Limits
from nodes.server.token_bucket import TokenBucket

QUANTUM_REQUESTS: Final = 8
"""What one identity gets before the next one's turn."""

TURN_REQUESTS_MAX: Final = 128
"""Requests of one turn: everybody's latency is a few of these, and the loop must not fall silent (R9)."""

BESIDE_NEW_REQUESTS_MAX: Final = 16
"""Of them, for those who wait already, in a turn that somebody new has entered: it is sealed and on its way sooner."""

LITTLE_BYTES: Final = 16 << 10
"""What waits of everybody is little if it has no more bytes, which is about a turn's requests: it is taken at once."""

BULK_UNDER_WAY_MAX: Final = 16
"""Under way of all bulk together, while others are about, and at least one for everybody."""

REQUEST_BYTES: Final = 128
"""About what a request has on the wire."""

ABOUT_US: Final = 1_000_000
"""So long after its last request somebody is about."""

READ_MESSAGES_MAX: Final = 128
READ_BESIDE_MESSAGES_MAX: Final = 32
"""Messages read in one turn, and while more waits already than a turn takes: what is read takes its time, too, and a
socket gives every connection's messages in turn."""

BACKLOG_FRAMES_MAX: Final = 2_048
BACKLOG_BYTES_MAX: Final = 4 << 20
"""What may wait of one identity; the largest frames that a socket lets through fit."""

HOUSE_BYTES_MAX: Final = 32 << 20
"""What may wait in all backlogs together."""

REFUSED_BYTES_PER_S: Final = 64 << 10
"""Of one identity's frames that have to be refused, so much is decoded and answered; the rest is dropped unread."""

REFUSED_BYTES_MIN: Final = 1 << 10
"""As so much counts a smaller one, for it costs no less to answer."""

IDENTITIES_MAX: Final = 10_000
"""Identities remembered with nothing of theirs waiting; the one that was silent longest is forgotten first."""


class Bulk(NamedTuple):
    """Who has more than `bytes` waiting and under way sends bulk: many requests that he does not wait for one by one.
    While others are about, so many a second enter of all bulk together, in portions of `portion`: little of what can be
    done, so that others find processors and disks idle, and between two portions there is time for them."""

    bytes: int
    per_s: int
    portion: int


BULK: Final = Bulk(64 << 10, 500, 8)
"""A server's: hundreds of requests at one time."""

P = TypeVar("P")


def nobody(*sender: object) -> bool:  # noqa: ARG001 - everybody is alike to it, at any time
    """Who is turned away where nobody has a key that could be revoked, or a connection that could be over."""
    return False


class Sender(NamedTuple):
    """Who has sent so much."""

    identity: Hashable
    sent_bytes: int


class Portion(NamedTuple):
    """What was done of a frame: so many requests, at the cost of so many (a frame costs something to open). Nothing at
    all, if something else has to happen first. `is_over`: there is no more in it."""

    requests: int
    cost: int
    is_over: bool


Take = Callable[[P, int, Instant], Portion]
"""(frame, requests at most, now): do some of a frame."""


@dataclass(slots=True)
class _Account(Generic[P]):
    """What is known of one identity. `credit` in requests: below zero is a debt for an expensive frame. `sent_bytes` is
    what it sent in that `tally`."""

    identity: Hashable
    rate: TokenBucket
    refusals: TokenBucket
    backlog: deque[tuple[P, int]] = field(default_factory=deque)
    bytes: int = 0
    credit: int = 0
    in_flight: int = 0
    is_listed: bool = False
    tally: int = 0
    sent_bytes: int = 0
    bulk_until_us: int = 0


class _About(NamedTuple):
    """Who was the last that asked for something and is no bulk, when he last did, and when anybody else last did."""

    identity: Hashable
    last_us: int
    others_us: int


class Admission(Generic[P]):
    """The backlogs in front of one door. `capacity` is how many requests may be under way behind it in all; nobody gets
    more of it than is left free (dynamic thresholds), so that there is always room for one more.

    Whoever has used up his rate or his share waits. `turns_away(frame, now)` is asked about the first one that waits of
    an identity whenever that one's turn comes, and says whether it shall not enter any more, such as for a key that was
    revoked meanwhile: then it has done and counted what is to be, and that costs the identity one request.
    """

    def __init__(
        self,
        limits: Limits,
        capacity: int,
        turns_away: Callable[[P, Instant], bool] = nobody,
        *,
        turn_max: int = TURN_REQUESTS_MAX,
        bulk: Bulk = BULK,
    ) -> None:
        self._limits = limits
        self.capacity = capacity
        self._turns_away = turns_away
        self._turn_max = turn_max
        self._busy: dict[Hashable, _Account[P]] = {}
        self._idle: OrderedDict[Hashable, _Account[P]] = OrderedDict()
        self._new: deque[_Account[P]] = deque()
        self._old: deque[_Account[P]] = deque()
        self._in_flight = 0
        self._bulk = bulk
        self._bulk_rate = TokenBucket(bulk.per_s, BULK_UNDER_WAY_MAX, 0)
        self._due_us: int | None = None
        self._about = _About(None, -ABOUT_US, -ABOUT_US)
        self._tally = 1
        self.bytes = 0

    @property
    def identities(self) -> int:
        """How many are remembered."""
        return len(self._busy) + len(self._idle)

    # -- who sends

    def tally_anew(self) -> None:
        """Count from now on what each identity sends."""
        self._tally += 1

    @property
    def sent_most(self) -> Sender | None:
        """Who has sent the most since `tally_anew`, of those that are remembered; None: nobody has sent anything. It
        looks at each."""
        senders = (one for known in (self._busy, self._idle) for one in known.values() if one.tally == self._tally)
        most = max(senders, key=lambda one: one.sent_bytes, default=None)
        return None if most is None else Sender(most.identity, most.sent_bytes)

    # -- what waits

    @property
    def is_little(self) -> bool:
        """Whether all that waits is about one turn's."""
        return self.bytes <= LITTLE_BYTES

    @property
    def messages_max(self) -> int:
        """How many messages are to be read from the door in this turn."""
        return READ_MESSAGES_MAX if self.is_little else READ_BESIDE_MESSAGES_MAX

    def offer(self, identity: Hashable, frame: P, size_bytes: int, now_us: int) -> list[tuple[Hashable, P, int]]:
        """Let a frame wait. Gives what is refused instead, with whose it is and its size: this one if its identity's
        backlog is full, or the newest of the longest backlogs if the house is."""
        account = self._account(identity, now_us)
        if account.tally == self._tally:
            account.sent_bytes += size_bytes
        else:
            account.tally, account.sent_bytes = self._tally, size_bytes
        if len(account.backlog) >= BACKLOG_FRAMES_MAX or account.bytes + size_bytes > BACKLOG_BYTES_MAX:
            account.bulk_until_us = now_us + ABOUT_US
            self._settle(account)
            return [(identity, frame, size_bytes)]
        account.backlog.append((frame, size_bytes))
        self._weigh(account, size_bytes)
        self._list(account)
        refused = []
        while self.bytes > HOUSE_BYTES_MAX:
            longest = max((one for one in self._busy.values() if len(one.backlog) > 1),
                          key=_bytes_of, default=account)  # fmt: skip
            newest, newest_bytes = longest.backlog.pop()
            longest.bulk_until_us = now_us + ABOUT_US
            self._weigh(longest, -newest_bytes)
            refused.append((longest.identity, newest, newest_bytes))
        return refused

    def resume(self, identity: Hashable, frame: P, size_bytes: int, now_us: int) -> None:
        """What was offered before and went elsewhere meanwhile waits again, first of its identity's."""
        account = self._account(identity, now_us)
        account.backlog.appendleft((frame, size_bytes))
        self._weigh(account, size_bytes)
        self._list(account)

    def may_answer(self, identity: Hashable, size_bytes: int, now_us: int) -> bool:
        """Whether a refused frame of that size is worth an answer; if so, that is counted against its identity."""
        account = self._account(identity, now_us)
        self._settle(account)
        cost_bytes = max(size_bytes, REFUSED_BYTES_MIN)
        if account.refusals.available(now_us) < cost_bytes:
            return False
        account.refusals.take(cost_bytes)
        return True

    def is_answered(self, identity: Hashable, now_us: int) -> bool:
        """Whether he is told whatever is refused: who sends ever more than may wait is not."""
        account = self._busy.get(identity)
        return account is None or account.refusals.available(now_us) >= REFUSED_BYTES_MIN

    def _account(self, identity: Hashable, now_us: int) -> _Account[P]:
        account = self._busy.get(identity)
        if account is None:
            account = self._idle.pop(identity, None)
            if account is None:
                rate = TokenBucket(self._limits.requests_per_s, self._limits.burst_requests, now_us)
                account = _Account(identity, rate, TokenBucket(REFUSED_BYTES_PER_S, REFUSED_BYTES_PER_S, now_us))
            self._busy[identity] = account
        return account

    def _settle(self, account: _Account[P]) -> None:
        """Whoever has nothing here is remembered a while."""
        if account.is_listed or account.in_flight:
            return
        del self._busy[account.identity]
        self._idle[account.identity] = account
        if len(self._idle) > IDENTITIES_MAX:
            self._idle.popitem(last=False)

    def _weigh(self, account: _Account[P], more_bytes: int) -> None:
        account.bytes += more_bytes
        self.bytes += more_bytes

    def _list(self, account: _Account[P]) -> None:
        if not account.is_listed:
            account.is_listed = True
            self._new.append(account)

    # -- what is under way

    def enter(self, identity: Hashable, now_us: int) -> None:
        """One request of that identity is under way."""
        self._account(identity, now_us).in_flight += 1
        self._in_flight += 1

    def leave(self, identity: Hashable) -> None:
        """One was answered. One that entered before `forget_in_flight` does not count."""
        account = self._busy.get(identity)
        if account is not None and account.in_flight:
            account.in_flight -= 1
            self._in_flight -= 1
            self._settle(account)

    def forget_in_flight(self) -> None:
        """Nothing that is under way will be answered."""
        self._in_flight = 0
        for account in list(self._busy.values()):
            account.in_flight = 0
            self._settle(account)

    def _is_bulk(self, account: _Account[P], now_us: int) -> bool:
        """Whether it sends more than it waits for, or lately more than may wait."""
        outstanding_bytes = account.bytes + account.in_flight * REQUEST_BYTES
        return outstanding_bytes > self._bulk.bytes or now_us < account.bulk_until_us

    def _others_us(self, account: _Account[P]) -> int:
        """When anybody else, who is no bulk, last got what he asked for."""
        about = self._about
        return about.others_us if about.identity == account.identity else about.last_us

    def _room(self, account: _Account[P], gives_way: bool, now_us: int) -> int:
        room = min(self._limits.in_flight_max - account.in_flight, account.rate.available(now_us))
        if not gives_way:
            return min(room, self.capacity - self._in_flight - account.in_flight)
        if self._bulk_rate.available(now_us) < self._bulk.portion:
            return 0
        capacity = min(self.capacity, max(BULK_UNDER_WAY_MAX, self._in_flight + 1))
        return min(room, capacity - self._in_flight - account.in_flight, self._bulk.portion)

    # -- a turn

    def deadline(self) -> int | None:
        """Boot time in µs of the next turn that what waits wishes for, if nothing else happens; None: none."""
        return self._due_us

    def admit(self, take: Take[P], now: Instant) -> bool:
        """One turn's portions. True if it ended for its length, and not because nothing more could be taken."""
        budget, idle = self._turn_max, 0
        newcomers: list[Hashable] = []
        self._due_us = None
        is_little = self.is_little
        while budget > 0 and idle < len(self._new) + len(self._old):
            is_first = bool(self._new)
            account = (self._new or self._old).popleft()
            if is_first:
                newcomers.append(account.identity)
            elif newcomers and not is_little and account.identity not in newcomers:
                budget, newcomers = min(budget, BESIDE_NEW_REQUESTS_MAX), []
            if not account.backlog:
                account.is_listed = False
                self._settle(account)
                continue
            is_in_debt = account.credit < 0
            spent = self._serve(account, budget, take, now)
            budget -= spent
            idle = 0 if spent or is_in_debt else idle + 1
            if account.backlog or is_first:
                self._old.append(account)
            else:
                account.is_listed = False
                self._settle(account)
        if budget <= 0:
            self._due_us = now.boot_us
        return budget <= 0

    def _serve(self, account: _Account[P], budget: int, take: Take[P], now: Instant) -> int:
        """What one identity gets of a round. Debts are paid first, and nothing is saved up."""
        account.credit = min(account.credit + QUANTUM_REQUESTS, QUANTUM_REQUESTS)
        spent = 0
        while account.backlog and account.credit > 0 and spent < budget:
            frame, size_bytes = account.backlog[0]
            if self._turns_away(frame, now):
                account.backlog.popleft()
                self._weigh(account, -size_bytes)
                account.credit -= 1
                spent += 1
                continue
            is_bulk, others_us = self._is_bulk(account, now.boot_us), self._others_us(account)
            gives_way = is_bulk and now.boot_us - others_us < ABOUT_US
            allowed = min(account.credit, budget - spent, self._room(account, gives_way, now.boot_us))
            if allowed <= 0:
                self._wish_for_tokens(account, gives_way, now.boot_us)
                break
            if not is_bulk:
                self._about = _About(account.identity, now.boot_us, others_us)
            requests, cost, is_over = take(frame, allowed, now)
            account.rate.take(requests)
            if gives_way:
                self._bulk_rate.take(cost)
            if is_over:
                account.backlog.popleft()
                self._weigh(account, -size_bytes)
            elif not cost:
                break
            account.credit -= cost
            spent += cost
        return spent

    def _wish_for_tokens(self, account: _Account[P], gives_way: bool, now_us: int) -> None:
        ready_us = None
        if account.rate.available(now_us) <= 0:
            ready_us = account.rate.ready_us()
        elif gives_way and self._bulk_rate.available(now_us) < self._bulk.portion:
            ready_us = self._bulk_rate.ready_us(self._bulk.portion)
        if ready_us is not None:
            self._due_us = ready_us if self._due_us is None else min(self._due_us, ready_us)


def _bytes_of(account: _Account[P]) -> int:
    return account.bytes
