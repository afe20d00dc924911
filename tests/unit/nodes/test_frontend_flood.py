"""A server's door while others flood it: the core, without sockets."""

from __future__ import annotations

from collections import Counter

import pytest

from nodes.config.cluster import Limits
from nodes.server.admission import (
    BACKLOG_FRAMES_MAX,
    QUANTUM_REQUESTS,
    REFUSED_BYTES_MIN,
    REFUSED_BYTES_PER_S,
    TURN_REQUESTS_MAX,
)
from nodes.server.frontend_core import ABANDONED, BACKLOG_FULL, UNDER_WAY_MAX
from nodes.wire.encoding import ARRAY_MESSAGES_MAX
from nodes.wire.schema import Res
from projections.rooms.commands import Proposal
from tests.unit.nodes.simulated_door import SOL, Door, msgpack

HOPELESS = SOL._replace(classrooms=900)
"""Denied, which is an event all the same: so many proposals the small rooms do not have."""


@pytest.fixture
def door() -> Door:
    return Door()


def array(name: str, messages: int = ARRAY_MESSAGES_MAX) -> bytes:
    return msgpack(*(HOPELESS._replace(transaction_id=f"{name}/{number}") for number in range(messages)))


def turn(door: Door) -> None:
    """One turn of the loop, and a tenth of a second for what it began."""
    door.servers.run(lambda: door.core.admit(door.servers.now))
    door.release()


def flood(door: Door) -> None:
    """Ten who have much more waiting than a turn has room for."""
    for number in range(10):
        for frame in range(3):
            door.come(array(f"{number}/{frame}"), route=b"flood %d" % number)


def test_a_polite_request_is_in_the_next_batch_while_ten_flood(door: Door) -> None:
    flood(door)
    for _ in range(5):
        turn(door)
    door.hear()
    leading = door.servers.replica("a").leading
    assert leading is not None
    door.come(msgpack(SOL), route=b"polite")
    door.core.admit(door.servers.now)
    assert leading.open_batch is not None
    assert leading.open_batch.entries[0].request_id == "t1"
    door.servers.run(lambda: None)
    door.release()
    heard = dict(door.hear())
    assert isinstance(heard[b"polite"][0], Proposal)
    assert set(heard) > {b"polite"}, "the others go on"


def test_who_floods_gets_equal_shares_and_everything_in_the_end(door: Door) -> None:
    for number in range(3):
        door.come(array(f"{number}", 100), route=b"flood %d" % number)
    answered: Counter[bytes] = Counter()
    for turns in range(1, 20):
        turn(door)
        answered.update({route: len(answers) for route, answers in door.hear()})
        if turns == 2:
            assert max(answered.values()) - min(answered.values()) <= 2 * QUANTUM_REQUESTS
    assert answered == {b"flood 0": 100, b"flood 1": 100, b"flood 2": 100}
    assert door.core.deadline() is None


def test_a_turn_is_short_and_asks_for_the_next_one(door: Door) -> None:
    door.come(array("a"))
    door.core.admit(door.servers.now)
    leading = door.servers.replica("a").leading
    assert leading is not None
    assert TURN_REQUESTS_MAX // 2 < leading.waiting <= TURN_REQUESTS_MAX
    assert door.core.deadline() == door.servers.now.boot_us


def test_what_is_under_way_is_bounded_until_it_is_answered(door: Door) -> None:
    flood(door)
    while door.core.admit(door.servers.now):
        pass
    leading = door.servers.replica("a").leading
    assert leading is not None
    assert UNDER_WAY_MAX // 2 < leading.waiting < UNDER_WAY_MAX
    assert door.core.deadline() is None
    door.servers.run(lambda: None)
    door.release()
    assert door.core.admit(door.servers.now)


def test_what_a_role_that_is_over_never_answers_does_not_count(door: Door) -> None:
    door = Door(limits=Limits(in_flight_max=3))
    door.come(array("a", 10))
    door.core.admit(door.servers.now)
    replica = door.servers.replica("a")
    before = replica.leading
    assert before is not None
    assert before.waiting == 3
    door.core.admit(door.servers.now)
    assert before.waiting == 3, "it is full"
    replica.leading = None
    door.core.admit(door.servers.now)
    assert door.metrics.refusals["NOT_ACTIVE"] == 7


def test_what_exceeds_a_backlog_is_refused_as_long_as_that_is_cheap_then_dropped_and_counted(door: Door) -> None:
    payload = msgpack(SOL)
    for _ in range(BACKLOG_FRAMES_MAX):
        door.come(payload)
    cheap = REFUSED_BYTES_PER_S // REFUSED_BYTES_MIN
    for _ in range(cheap + 5):
        door.come(payload)
    door.come(payload, route=b"polite")
    assert (door.metrics.refusals["BUSY"], door.core.ignored[BACKLOG_FULL]) == (cheap, 5)
    answers = [answer for _, [answer] in door.hear()]
    assert {(res.status, res.code, res.transaction_id) for res in answers if isinstance(res, Res)} == {
        ("UNAVAILABLE", "BUSY", "t1")
    }
    assert len(answers) == cheap


def test_an_array_that_a_worker_has_decoded_is_taken_in_portions(door: Door) -> None:
    door.come(array("a", 200), pattern="lbb")
    door.admit()
    door.come(msgpack(SOL), route=b"polite")
    (decode,) = door.jobs
    door.jobs.clear()
    decode()
    door.core.admit(door.servers.now)
    leading = door.servers.replica("a").leading
    assert leading is not None
    assert leading.waiting < 200
    door.servers.run(door.admit)
    door.release()
    assert [route for route, _ in door.hear()] == [b"polite"], "a REQ peer gets all its answers at once"
    door.work()
    [(_, answers)] = door.hear()
    assert len(answers) == 200


def test_nothing_is_done_of_what_waits_of_a_key_that_was_revoked(door: Door) -> None:
    door.come(msgpack(SOL), route=b"revoked", pattern="lbb", identity="at a worker")
    door.come(array("begun"), route=b"revoked")
    door.come(array("behind it", 2), route=b"revoked")
    door.core.admit(door.servers.now)
    leading = door.servers.replica("a").leading
    assert leading is not None
    taken = leading.waiting
    assert 0 < taken <= TURN_REQUESTS_MAX
    door.revoked.add(b"revoked")
    for job in door.jobs:
        job()
    door.admit()
    assert leading.waiting == taken
    assert door.turned_away == [b"revoked"] * 3
    assert door.core.deadline() is None


def test_what_waited_long_is_not_done_for_somebody_who_is_gone(door: Door) -> None:
    for frame in range(3):
        for who in ("gone", "there"):
            door.come(array(f"{who}/{frame}"), route=who.encode())
    turn(door)
    door.come(array("last words", 1), route=b"just gone")
    door.over |= {b"gone", b"just gone"}
    for _ in range(60):
        turn(door)
    answered: Counter[bytes] = Counter()
    for route, answers in door.hear():
        answered[route] += len(answers)
    assert answered[b"there"] == 3_000
    assert answered[b"just gone"] == 1
    assert answered[b"gone"] < 1_000
    assert door.core.ignored[ABANDONED] == 3


def test_an_identity_with_many_connections_is_one(door: Door) -> None:
    for number in range(20):
        door.come(array(f"{number}", 10), route=b"connection %d" % number, identity="one key")
    door.come(array("other", 200), route=b"other", identity="another key")
    turn(door)
    turn(door)
    answered = {route: len(answers) for route, answers in door.hear()}
    others = answered.pop(b"other")
    assert abs(sum(answered.values()) - others) <= 2 * QUANTUM_REQUESTS
