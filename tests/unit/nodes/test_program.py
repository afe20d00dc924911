"""A program's time limit, its random requests, and what it does when nobody answers (A3)."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from nodes import sockets
from nodes.program import ATTEMPTS_MAX, NoAnswer, TimeLimit, ask, draw_request
from nodes.sockets import Context
from nodes.wire_encoding import Encoding
from nodes.wire_schema import ProgramRequest


@pytest.fixture
def context() -> Iterator[Context]:
    made = sockets.context()
    yield made
    made.term()


def test_the_time_limit_follows_what_is_measured_within_its_bounds() -> None:
    limit = TimeLimit(min_us=1_000, max_us=100_000)
    assert limit.us == 100_000
    limit.observe(10_000)
    assert limit.us == 10_000 + 4 * 5_000
    for _ in range(100):
        limit.observe(10_000)
    assert 10_000 <= limit.us < 10_100
    limit.observe(20_000)
    assert limit.us > 15_000
    for _ in range(100):
        limit.observe(10)
    assert limit.us == 1_000
    for _ in range(100):
        limit.observe(10**6)
    assert limit.us == 100_000
    limit.observe(10)
    limit.missed()
    assert limit.us == 100_000


@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (-1, 5)])
def test_a_time_limit_without_sense_is_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="min_us"):
        TimeLimit(*bounds)


def test_a_random_request_stays_in_the_seeds_ranges_and_reaches_their_ends() -> None:
    random = Random(1)
    drawn = [draw_request(random, "Sistemas", "2025-2") for _ in range(500)]
    assert {request.classrooms for request in drawn} == {7, 8, 9, 10}
    assert {request.labs for request in drawn} == {2, 3, 4}
    assert draw_request(Random(7), "a") == draw_request(Random(7), "a")


def test_a_program_that_nobody_answers_says_how_to_ask_again(context: Context) -> None:
    silent = sockets.program_router(context, "tcp://127.0.0.1:*")
    limit = TimeLimit(min_us=1, max_us=60_000)
    limit.observe(10_000)
    assert limit.us < 60_000
    reply = ask(sockets.bound_endpoint(silent), ProgramRequest("Sistemas", 7, 2), limit, context=context)
    assert isinstance(reply, NoAnswer)
    assert reply.attempts == ATTEMPTS_MAX
    assert limit.us == 60_000
    assert reply.transaction_id in reply.how_to_ask_again
    silent.close()


def test_a_program_keeps_the_id_it_was_given(context: Context) -> None:
    limit = TimeLimit(min_us=1, max_us=3_000)
    request = ProgramRequest("Sistemas", 7, 2, transaction_id="mine")
    router = sockets.program_router(context, "tcp://127.0.0.1:*")
    endpoint = sockets.bound_endpoint(router)
    router.close()
    reply = ask(endpoint, request, limit, context=context, encoding=Encoding.JSON)
    assert isinstance(reply, NoAnswer)
    assert reply.transaction_id == "mine"
