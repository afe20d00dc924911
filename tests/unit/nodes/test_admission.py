"""Who enters a turn: portions, order, bounds. What waits here is a number of requests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from itertools import repeat

import pytest

from es.replication.instant import Instant
from nodes.config.cluster import Limits
from nodes.server import admission
from nodes.server.admission import (
    ABOUT_US,
    BACKLOG_BYTES_MAX,
    BACKLOG_FRAMES_MAX,
    BESIDE_NEW_REQUESTS_MAX,
    BULK,
    BULK_UNDER_WAY_MAX,
    HOUSE_BYTES_MAX,
    QUANTUM_REQUESTS,
    READ_BESIDE_MESSAGES_MAX,
    READ_MESSAGES_MAX,
    REFUSED_BYTES_MIN,
    REFUSED_BYTES_PER_S,
    TURN_REQUESTS_MAX,
    Admission,
    Portion,
    Sender,
)
from nodes.server.token_bucket import TokenBucket

SECOND_US = 1_000_000
FRAME_BYTES = 100_000
REQUEST_BYTES = 100
PLENTY = 1_000_000


class Frame:
    """So many requests of somebody, and what the frame costs to open."""

    def __init__(self, who: str, requests: int, opening: int = 0, key: str = "") -> None:
        self.who = who
        self.key = key
        self.left = requests
        self.opening = opening


class Turns:
    """Takes what is admitted; `order` is whose requests, in order. What `answers_at_once` does not stay under way."""

    def __init__(
        self,
        limits: Limits | None = None,
        capacity: int = PLENTY,
        *,
        answers_at_once: bool = True,
    ) -> None:
        self.admission: Admission[Frame] = Admission(limits or Limits(), capacity, self._turns_away)
        self.answers_at_once = answers_at_once
        self.now_us = 0
        self.order: list[str] = []
        self.stuck: str | None = None
        self.barred: set[str] = set()
        self.turned_away: list[str] = []

    def come(
        self, who: str, requests: int, *, frames: int = 1, opening: int = 0, size: int | None = None, key: str = ""
    ) -> int:
        """How many frames were refused, whoever's. One that waits for its turn is turned away if its key is barred."""
        size = requests * REQUEST_BYTES if size is None else size
        return sum(
            len(self.admission.offer(who, Frame(who, requests, opening, key), size, self.now_us))
            for _ in range(frames)
        )

    def _turns_away(self, frame: Frame, now: Instant) -> bool:
        is_barred = frame.key in self.barred
        self.turned_away += [frame.key] * is_barred
        return is_barred

    def turn(self) -> Counter[str]:
        """Whose requests entered in one turn."""
        before = len(self.order)
        self.admission.admit(self._take, Instant(self.now_us, self.now_us))
        return Counter(self.order[before:])

    def turns(self, who: str, turns_max: int) -> int:
        """Turns until one of theirs enters."""
        return next(count for count in range(1, turns_max + 1) if self.turn()[who])

    def _take(self, frame: Frame, requests_max: int, now: Instant) -> Portion:
        if frame.who == self.stuck:
            return Portion(0, 0, is_over=False)
        taken = min(requests_max, frame.left)
        frame.left -= taken
        self.order += repeat(frame.who, taken)
        for _ in range(taken):
            self.admission.enter(frame.who, now.boot_us)
            if self.answers_at_once:
                self.admission.leave(frame.who)
        cost, frame.opening = frame.opening + max(taken, 1), 0
        return Portion(taken, cost, frame.left == 0)


def flooders(count: int = 10) -> Iterable[str]:
    return (f"flooder {number}" for number in range(count))


def test_nobody_else_means_whole_turns() -> None:
    turns = Turns()
    turns.come("a", 1_000)
    assert [turns.turn()["a"] for _ in range(3)] == [TURN_REQUESTS_MAX] * 3


def test_who_comes_anew_enters_the_next_turn_first_whatever_waits() -> None:
    turns = Turns()
    for who in flooders():
        turns.come(who, 1_000, frames=4)
    for _ in range(5):
        turns.turn()
    turns.come("polite", 1)
    before = len(turns.order)
    entered = turns.turn()
    assert turns.order[before] == "polite"
    assert entered.total() <= 1 + BESIDE_NEW_REQUESTS_MAX, "its turn is short"


def test_what_little_waits_is_taken_in_one_turn() -> None:
    """Nobody has to wait for a next turn, then: a turn is only short for the sake of whoever would wait behind it."""
    turns = Turns()
    for who in flooders(3):
        turns.come(who, 1, frames=50)
    assert turns.turn().total() == TURN_REQUESTS_MAX
    turns.come("polite", 1)
    assert turns.turn().total() == 3 * 50 + 1 - TURN_REQUESTS_MAX
    for who in flooders(3):
        turns.come(who, 1, frames=100)
    turns.turn()
    turns.come("polite too", 1)
    assert turns.turn().total() <= 1 + BESIDE_NEW_REQUESTS_MAX, "it is much, and they were here before"


def test_little_is_read_ahead_of_what_waits_already() -> None:
    turns = Turns()
    turns.come("a", 1, frames=TURN_REQUESTS_MAX)
    assert turns.admission.messages_max == READ_MESSAGES_MAX
    turns.come("a", 1, frames=TURN_REQUESTS_MAX)
    assert turns.admission.messages_max == READ_BESIDE_MESSAGES_MAX
    turns.turn()
    assert turns.admission.messages_max == READ_MESSAGES_MAX


def test_who_may_not_enter_any_more_is_turned_away_and_others_of_that_identity_are_not() -> None:
    turns = Turns()
    turns.come("faculty", 1, frames=3, key="old")
    turns.come("faculty", 1, frames=3, key="new")
    turns.come("another", 1, frames=3, key="other")
    turns.barred.add("old")
    assert turns.turn() == {"faculty": 3, "another": 3}
    assert turns.turned_away == ["old"] * 3
    assert turns.admission.bytes == 0


def test_what_is_left_of_a_frame_is_turned_away_too_even_if_nothing_could_be_taken_now() -> None:
    turns = Turns(Limits(requests_per_s=1, burst_requests=5))
    turns.come("revoked", 1_000, key="revoked")
    assert turns.turn()["revoked"] == 5
    turns.barred.add("revoked")
    assert turns.turn()["revoked"] == 0
    assert turns.admission.bytes == 0
    assert turns.admission.deadline() is None
    assert turns.turned_away == ["revoked"]


def test_who_asks_again_and_again_waits_for_everybodys_round_at_most() -> None:
    turns = Turns()
    for who in flooders():
        turns.come(who, 1_000, frames=10)
    turns.turn()
    rounds = -(-10 * QUANTUM_REQUESTS // BESIDE_NEW_REQUESTS_MAX) + 1
    for _ in range(50):
        turns.come("polite", 1)
        assert turns.turns("polite", rounds) <= rounds


def test_shares_are_equal_whatever_the_frames_are() -> None:
    turns = Turns()
    turns.come("arrays", 1_000, frames=5)
    turns.come("lone", 1, frames=BACKLOG_FRAMES_MAX)
    turns.come("arrays of nine", 9, frames=300)
    for _ in range(30):
        turns.turn()
    entered = Counter(turns.order)
    assert max(entered.values()) - min(entered.values()) <= TURN_REQUESTS_MAX


def test_an_expensive_frame_is_paid_for_by_its_sender() -> None:
    turns = Turns()
    turns.come("expensive", 1, frames=100, opening=10 * QUANTUM_REQUESTS, size=1_000)
    turns.come("cheap", 1, frames=2_000)
    for _ in range(20):
        turns.turn()
    entered = Counter(turns.order)
    assert entered["expensive"] > 1
    assert entered["cheap"] >= 9 * QUANTUM_REQUESTS * (entered["expensive"] - 1)


def test_two_who_are_in_debt_do_not_waste_turns() -> None:
    turns = Turns()
    turns.come("a", 1, frames=5, opening=TURN_REQUESTS_MAX)
    turns.come("b", 1, frames=5, opening=TURN_REQUESTS_MAX)
    assert [turns.turn().total() for _ in range(10)] == [1] * 10
    assert turns.turn().total() == 0
    assert turns.admission.deadline() is None


def test_a_backlog_is_bounded_in_frames_and_in_bytes_and_is_its_identitys_alone() -> None:
    turns = Turns()
    assert turns.come("many", 1, frames=BACKLOG_FRAMES_MAX + 3, size=1) == 3
    assert turns.come("large", 1, frames=BACKLOG_BYTES_MAX // FRAME_BYTES + 2, size=FRAME_BYTES) == 2
    assert turns.come("polite", 1) == 0


def test_a_full_house_drops_the_newest_of_the_longest_backlog() -> None:
    turns = Turns()
    each = BACKLOG_BYTES_MAX // FRAME_BYTES
    for who in flooders(HOUSE_BYTES_MAX // BACKLOG_BYTES_MAX + 1):
        turns.come(who, 1, frames=each, size=FRAME_BYTES)
    assert turns.admission.bytes <= HOUSE_BYTES_MAX
    refused = turns.admission.offer("polite", Frame("polite", 1), 10, 0)
    refused += turns.admission.offer("polite", Frame("polite", 1), FRAME_BYTES, 0)
    assert refused
    assert not any(who == "polite" for who, _, _ in refused)
    assert turns.admission.bytes <= HOUSE_BYTES_MAX
    assert turns.turns("polite", 2) == 1, "a turn has room for a portion of everybody's"


def test_what_cannot_be_taken_yet_holds_up_its_own_identity_only() -> None:
    turns = Turns()
    turns.come("stuck", 5)
    turns.come("free", 5)
    turns.stuck = "stuck"
    assert turns.turn() == {"free": 5}
    assert turns.admission.deadline() is None, "whatever it waits for brings a turn of its own"
    turns.stuck = None
    assert turns.turn() == {"stuck": 5}


def test_a_rate_lets_a_burst_in_and_then_so_many_a_second() -> None:
    turns = Turns(Limits(requests_per_s=100, burst_requests=30))
    turns.come("a", 1_000)
    assert turns.turn()["a"] == 30
    assert turns.turn()["a"] == 0
    assert turns.admission.deadline() == SECOND_US // 100
    turns.now_us = SECOND_US // 10
    assert turns.turn()["a"] == 10
    turns.now_us = 10 * SECOND_US
    assert turns.turn()["a"] == 30, "nothing is saved up beyond the burst"


def test_who_is_out_of_tokens_does_not_hold_up_others() -> None:
    turns = Turns(Limits(requests_per_s=1, burst_requests=5))
    turns.come("flooder", 1_000)
    turns.turn()
    turns.come("polite", 1)
    assert turns.turn() == {"polite": 1}


def test_nobody_has_more_under_way_than_is_left_free() -> None:
    turns = Turns(capacity=110, answers_at_once=False)
    for who in flooders():
        turns.come(who, 1, frames=100)
    for _ in range(50):
        turns.turn()
    entered = Counter(turns.order)
    assert entered.total() < 110
    assert max(entered.values()) <= 2 * QUANTUM_REQUESTS
    turns.come("polite", 3)
    assert turns.turn() == {"polite": 3}
    for _ in range(10):
        turns.admission.leave("flooder 0")
    assert turns.turn()["flooder 0"] > 0, "what is answered makes room"


def test_bulk_has_little_under_way_while_others_are_about() -> None:
    turns = Turns(capacity=1_000, answers_at_once=False)
    for who in flooders():
        turns.come(who, 1_000)
    for _ in range(50):
        turns.turn()
    alone = len(turns.order)
    assert alone > 500, "nobody is there who would have to wait"
    turns.come("polite", 1)
    turns.turn()
    for who in turns.order[:alone]:
        turns.admission.leave(who)
    turns.turn()
    for _ in range(50):
        turns.now_us += ABOUT_US // 100
        turns.turn()
    assert len(turns.order) - alone - 1 < BULK_UNDER_WAY_MAX + 10, "the last of ten may still have one"
    turns.now_us += ABOUT_US
    turns.turn()
    assert len(turns.order) - alone - 1 > BULK_UNDER_WAY_MAX + 10, "they are gone"


def beside_somebody(turns: Turns, seconds: int) -> Counter[str]:
    """Who enters within that time, while somebody asks for something now and then; a turn comes when wished for."""
    before, until_us, next_us = len(turns.order), turns.now_us + seconds * SECOND_US, turns.now_us
    while turns.now_us < until_us:
        if turns.now_us >= next_us:
            turns.come("polite", 1)
            next_us += SECOND_US // 50
        entered = turns.turn()
        assert sum(entered[who] for who in entered if who != "polite") <= BULK_UNDER_WAY_MAX
        due_us = turns.admission.deadline()
        turns.now_us = next_us if due_us is None else min(max(due_us, turns.now_us + 1), next_us)
    return Counter(turns.order[before:])


def test_bulk_enters_in_portions_at_a_rate_while_others_are_about() -> None:
    turns = Turns()
    beside_somebody(turns, 1)
    for who in flooders():
        turns.come(who, 1_000)
    beside_somebody(turns, 1)
    entered = beside_somebody(turns, 4)
    assert entered.pop("polite") == 200
    assert 0.9 * BULK.per_s < entered.total() / 4 <= BULK.per_s
    assert min(entered.values()) > 0.7 * max(entered.values())


def test_who_is_alone_does_not_give_way_to_what_he_sent_himself_before() -> None:
    turns = Turns()
    turns.come("other", 1)
    turns.turn()
    turns.now_us += ABOUT_US
    turns.come("alone", 1)
    turns.turn()
    turns.come("alone", 1_000)
    assert turns.turn()["alone"] == TURN_REQUESTS_MAX
    turns.come("other", 1)
    turns.turn()
    assert sum(turns.turn()["alone"] for _ in range(10)) <= BULK_UNDER_WAY_MAX


def test_what_is_under_way_counts_as_bulk_too() -> None:
    """Somebody may be read so slowly that little of his ever waits."""
    turns = Turns(Limits(in_flight_max=1_000), answers_at_once=False)
    turns.come("busy", 1, frames=BULK.bytes // admission.REQUEST_BYTES + 1)
    for _ in range(5):
        turns.turn()
    assert not turns.admission.bytes
    turns.come("polite", 1)
    turns.come("busy", 1, frames=100)
    for _ in range(10):
        turns.turn()
    assert turns.order.count("polite") == 1
    assert turns.order.count("busy") <= BULK.bytes // admission.REQUEST_BYTES + 2


def test_who_had_to_be_refused_is_bulk_for_a_while_whatever_waits() -> None:
    turns = Turns(capacity=1_000)
    turns.come("flooder", 1, frames=BACKLOG_FRAMES_MAX + 1, size=1)
    for _ in range(BACKLOG_FRAMES_MAX):
        turns.turn()
    turns.come("polite", 1)
    turns.come("flooder", 1, frames=100, size=1)
    assert sum(turns.turn()["flooder"] for _ in range(10)) <= BULK_UNDER_WAY_MAX
    turns.now_us += ABOUT_US
    turns.come("polite", 1)
    assert turns.turn()["flooder"] > BULK_UNDER_WAY_MAX


def test_bulk_has_one_under_way_whatever_others_have() -> None:
    turns = Turns(capacity=1_000, answers_at_once=False)
    turns.come("polite", 1, frames=BULK_UNDER_WAY_MAX * 2)
    turns.turn()
    turns.come("bulk", 1_000)
    for _ in range(5):
        turns.turn()
    assert turns.order.count("bulk") == 1


def test_a_cap_of_what_is_under_way_binds_who_is_alone() -> None:
    turns = Turns(Limits(in_flight_max=7), answers_at_once=False)
    turns.come("a", 100)
    assert turns.turn()["a"] == 7
    turns.admission.forget_in_flight()
    turns.admission.leave("a")  # of before
    assert turns.turn()["a"] == 7


def test_to_turn_somebody_away_is_a_part_of_his_portion() -> None:
    turns = Turns()
    turns.come("revoked", 1, frames=BACKLOG_FRAMES_MAX, key="revoked")
    turns.barred.add("revoked")
    turns.turn()
    assert len(turns.turned_away) == TURN_REQUESTS_MAX


def test_answers_to_what_is_refused_are_bounded_by_bytes() -> None:
    turns = Turns()
    assert turns.admission.may_answer("a", REFUSED_BYTES_PER_S, 0)
    assert not turns.admission.may_answer("a", 1_000, 0)
    small = [turns.admission.may_answer("b", 1, 0) for _ in range(REFUSED_BYTES_PER_S)]
    assert small.count(True) == REFUSED_BYTES_PER_S // REFUSED_BYTES_MIN
    assert turns.admission.may_answer("a", 1_000, SECOND_US)


def test_identities_are_forgotten_the_one_that_was_silent_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "IDENTITIES_MAX", 3)
    turns = Turns(Limits(requests_per_s=1, burst_requests=1))
    for who in ("a", "b", "c", "a", "d", "e"):
        turns.come(who, 1)
        turns.turn()
        turns.turn()
    assert turns.admission.identities == 4, "one of them waits for a token"
    assert Counter(turns.order) == {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}
    turns.come("b", 1)
    assert turns.turn()["b"] == 1, "it was forgotten, and its bucket is a new one"
    turns.come("e", 1)
    assert turns.turn()["e"] == 0, "it was not"


def test_what_went_elsewhere_comes_back_in_front() -> None:
    turns = Turns()
    turns.come("a", 1)
    turns.admission.resume("a", Frame("back", 1), 100, 0)
    turns.turn()
    assert turns.order == ["back", "a"]
    assert turns.admission.bytes == 0


def test_a_bucket_counts_exactly_however_often_it_is_looked_at() -> None:
    bucket = TokenBucket(3, 5, 0)
    bucket.take(5)
    taken: deque[int] = deque()
    for now_us in range(0, 2 * SECOND_US + 1, 1_000):
        if bucket.available(now_us):
            bucket.take(1)
            taken.append(now_us)
    assert list(taken) == [334_000, 667_000, 1_000_000, 1_334_000, 1_667_000, 2_000_000]
    assert bucket.available(0) == 0


def sender(turns: Turns) -> Sender | None:
    return turns.admission.sent_most


def test_who_sent_the_most_is_known_whether_it_waits_or_was_refused_until_the_next_tally() -> None:
    turns = Turns(Limits(in_flight_max=1))
    assert sender(turns) is None
    turns.come("a", 1, size=500, frames=3)
    turns.come("b", 1, size=1_000)
    turns.come("idle", 1, size=200)
    turns.turn()
    assert sender(turns) == ("a", 1_500)
    assert turns.come("b", 1, size=BACKLOG_BYTES_MAX + 1)
    assert sender(turns) == ("b", BACKLOG_BYTES_MAX + 1_001)
    turns.admission.tally_anew()
    assert sender(turns) is None
    turns.come("idle", 1, size=200)
    turns.turn()
    assert sender(turns) == ("idle", 200)
