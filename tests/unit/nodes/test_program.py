"""A program's time limit, its random requests, and what it does when nobody answers (A3)."""

from __future__ import annotations

import socket as tcp
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Timer

import pytest

from nodes import sockets, wire
from nodes.clients.attempt import attempt
from nodes.clients.program import (
    ATTEMPTS_MAX,
    NOT_LET_IN,
    Asking,
    NoAnswer,
    ProgramReply,
    TimeLimit,
    ask,
    draw_request,
)
from nodes.security import principals, roles
from nodes.security.curve import OPEN, Curve
from nodes.security.keys import new_keys, save_allowed
from nodes.security.principals import Principal
from nodes.security.secret_keys import load_secret, save_secret
from nodes.shell import read_clock
from nodes.sockets import Context
from nodes.wire.encoding import Encoding
from nodes.wire.schema import ProgramRequest, Res
from tests.unit.nodes.guarded_door import GuardedDoor

FACULTY = principals.faculty(1)
PROGRAM = principals.program(1)


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
    silent = sockets.program_router(context, "tcp://127.0.0.1:*", OPEN)
    limit = TimeLimit(min_us=1, max_us=60_000)
    limit.observe(10_000)
    assert limit.us < 60_000
    reply = ask(
        FACULTY, sockets.bound_endpoint(silent), ProgramRequest("Sistemas", 7, 2), limit, context=context, security=OPEN
    )
    assert isinstance(reply, NoAnswer)
    assert reply.attempts == ATTEMPTS_MAX
    assert limit.us == 60_000
    assert reply.transaction_id in reply.how_to_ask_again
    silent.close()


def test_a_program_keeps_the_id_it_was_given(context: Context) -> None:
    limit = TimeLimit(min_us=1, max_us=3_000)
    request = ProgramRequest("Sistemas", 7, 2, transaction_id="mine")
    router = sockets.program_router(context, "tcp://127.0.0.1:*", OPEN)
    endpoint = sockets.bound_endpoint(router)
    router.close()
    reply = ask(FACULTY, endpoint, request, limit, context=context, security=OPEN, encoding=Encoding.JSON)
    assert isinstance(reply, NoAnswer)
    assert reply.transaction_id == "mine"


# --- one request and its attempts

REQUEST = ProgramRequest("Sistemas", 7, 2, transaction_id="mine")
DENIED = Res("mine", "DENIED", "NOT_ENOUGH_ROOMS", "full")
UNAVAILABLE = Res("mine", "UNAVAILABLE", "BUSY", "too many")


def answered(asking: Asking, res: Res, now_us: int = 0) -> Res | None:
    reply = asking.on_payload(wire.encode(res, Encoding.MSGPACK), now_us)
    return None if reply is None else reply.res


def test_attempts_share_the_limit_and_the_payload() -> None:
    asking = Asking(REQUEST, TimeLimit(1, 3_000), 100)
    assert [asking.next_attempt() for _ in range(ATTEMPTS_MAX + 1)] == [1_100, 2_100, 3_100, None]
    assert wire.decode_program_request(asking.payload) == (REQUEST, Encoding.MSGPACK)


def test_a_request_without_an_id_gets_one_for_all_its_attempts() -> None:
    asking = Asking(REQUEST._replace(transaction_id=None), TimeLimit(), 0)
    request, _ = wire.decode_program_request(asking.payload)
    assert isinstance(request, ProgramRequest)
    assert request.transaction_id == asking.transaction_id != Asking(REQUEST, TimeLimit(), 0).transaction_id


def test_the_limit_learns_from_the_answer() -> None:
    limit = TimeLimit(min_us=1, max_us=3_000)
    asking = Asking(REQUEST, limit, 100)
    asking.next_attempt()
    reply = asking.on_payload(wire.encode(DENIED, Encoding.JSON), 150)
    assert reply is not None
    assert (reply.res, reply.elapsed_us, reply.attempts, limit.us) == (DENIED, 50, 1, 50 + 4 * 25)


def test_what_is_said_of_another_transaction_is_no_answer() -> None:
    asking = Asking(REQUEST, TimeLimit(), 0)
    asking.next_attempt()
    assert answered(asking, DENIED._replace(transaction_id="another")) is None
    assert asking.on_payload(b"", 0) is None
    assert answered(asking, DENIED) == DENIED


def test_unavailable_counts_only_if_it_speaks_for_every_attempt() -> None:
    asking = Asking(REQUEST, TimeLimit(), 0)
    asking.next_attempt()
    assert answered(asking, UNAVAILABLE) == UNAVAILABLE
    asking.next_attempt()
    in_doubt = answered(asking, UNAVAILABLE)
    assert in_doubt is not None
    assert (in_doubt.transaction_id, in_doubt.status, in_doubt.code) == ("mine", "UNKNOWN", None)
    assert answered(asking, DENIED) == DENIED


# --- a key that is not let in


class Faculty(GuardedDoor):
    """The door of a faculty at its programs. `let_in` is who may come from the beginning."""

    def __init__(self, keys: Path, *let_in: Principal) -> None:
        for one in (FACULTY, PROGRAM):
            made = new_keys(one, "2026-01-31T12:00:00Z")
            save_secret(keys, made)
            if one in let_in:
                save_allowed(keys, made.public)
        super().__init__(keys, FACULTY, roles.PROGRAMS, sockets.program_router, [DENIED])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake may last a tenth of what it may."""
    monkeypatch.setattr(sockets, "HANDSHAKE_IVL_MS", 100)


def asked_of(endpoint: str, keys: Path, context: Context) -> ProgramReply | NoAnswer:
    security = Curve(keys, PROGRAM, ())
    return ask(FACULTY, endpoint, REQUEST, TimeLimit(1, 60_000_000), context=context, security=security)


@pytest.mark.usefixtures("quick")
def test_a_key_that_is_not_let_in_is_known_to_have_asked_nothing_long_before_the_time_is_over(
    context: Context, tmp_path: Path
) -> None:
    faculty = Faculty(tmp_path, FACULTY)
    reply = asked_of(faculty.endpoint, tmp_path, context)
    faculty.close()
    assert isinstance(reply, ProgramReply)
    assert (reply.res.status, reply.res.code, reply.attempts) == ("UNAVAILABLE", NOT_LET_IN, 1)
    assert "faculty:1" in str(reply.res.reason)


@pytest.mark.usefixtures("quick")
def test_a_key_that_is_let_in_meanwhile_asks(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.clients.watch.REFUSALS", 10_000)
    faculty = Faculty(tmp_path, FACULTY)
    lets_in = Timer(0.3, save_allowed, (tmp_path, load_secret(tmp_path, PROGRAM).public))
    lets_in.start()
    reply = asked_of(faculty.endpoint, tmp_path, context)
    lets_in.join()
    faculty.close()
    assert isinstance(reply, ProgramReply)
    assert (reply.res, reply.attempts, faculty.asked) == (DENIED, 1, 1)


@pytest.mark.usefixtures("quick")
def test_a_faculty_that_stands_still_or_is_another_refuses_nobody(context: Context, tmp_path: Path) -> None:
    """Whoever does not prove whose he is has not had the key."""
    Faculty(tmp_path / "keys", FACULTY).close()
    other = Faculty(tmp_path / "other", FACULTY, PROGRAM)
    with tcp.create_server(("127.0.0.1", 0)) as frozen:
        for endpoint in (f"tcp://127.0.0.1:{frozen.getsockname()[1]}", other.endpoint):
            attempted = attempt(
                FACULTY, endpoint, b"x", read_clock().boot_us + 600_000, context, Curve(tmp_path / "keys", PROGRAM, ())
            )
            assert attempted[0] is None
            assert not attempted.was_let_in and not attempted.is_refused
    other.close()
    assert other.asked == 0


def test_an_attempt_that_was_let_in_is_not_refused_if_it_is_not_answered(context: Context, tmp_path: Path) -> None:
    faculty = Faculty(tmp_path, FACULTY, PROGRAM)
    faculty._door.send = lambda *said: None  # type: ignore[method-assign]
    security = Curve(tmp_path, PROGRAM, ())
    attempted = attempt(FACULTY, faculty.endpoint, b"x", read_clock().boot_us + 300_000, context, security)
    faculty.close()
    assert (attempted.answer, attempted.was_let_in, attempted.is_refused) == (None, True, False)
