"""What a faculty makes of a program that floods it, without sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from itertools import count

import pytest

from es.replication.instant import Instant
from nodes import wire
from nodes.config.cluster import Limits
from nodes.faculty.core import IN_FLIGHT_MAX, FacultyCore, FacultySettings
from nodes.faculty.effects import AnswerProgram, Effect, Submit
from nodes.faculty.program_backlogs import (
    BACKLOG_FULL,
    TURN_MAX,
    UNDER_WAY_MAX,
    WAIT_US_MAX,
    ProgramBacklogs,
    Route,
)
from nodes.faculty.program_registry import ProgramRegistry
from nodes.server.admission import BACKLOG_FRAMES_MAX, REFUSED_BYTES_MIN, REFUSED_BYTES_PER_S
from nodes.wire.beats import Beat
from nodes.wire.encoding import Encoding
from nodes.wire.schema import ProgramRequest, Res

ENDPOINTS = {"a": "tcp://127.0.0.1:5555"}
NOW = Instant(0, 0)
GENEROUS = Limits(in_flight_max=IN_FLIGHT_MAX)


class Programs:
    """Programs in front of one faculty that follows a server which has not answered yet."""

    def __init__(self, limits: Limits = GENEROUS, pattern: str = "async") -> None:
        drawn = count()
        settings = FacultySettings(3, "Ingeniería", "2026-1", ENDPOINTS, 10**6, 10**7, 10**6)
        self.core = FacultyCore(settings, ProgramRegistry({"Sistemas": 1}), lambda: f"drawn-{next(drawn)}")
        self.core.on_beat(Beat("a", "primary", 1, 0, True, ENDPOINTS["a"], ("a",)), NOW)
        self.ignored = Counter({BACKLOG_FULL: 0, "not_encoded": 0})
        self.revoked: set[bytes] = set()
        self.backlogs: ProgramBacklogs[bytes] = ProgramBacklogs(
            self.core, limits, self.ignored, lambda session: session in self.revoked, pattern
        )
        self.now = NOW
        self.submitted: list[str] = []
        self.answers: list[tuple[Hashable, Res]] = []

    def ask(self, who: str, *transaction_ids: str) -> None:
        for transaction_id in transaction_ids:
            request = ProgramRequest("Sistemas", 1, 0, None, transaction_id)
            self.come(who, wire.encode(request, Encoding.MSGPACK))

    def come(self, who: str, payload: bytes) -> None:
        self.carry_out(self.backlogs.on_payload(who.encode(), who, None, payload, self.now))

    def turn(self) -> None:
        self.carry_out(self.backlogs.admit(self.now))

    def turns(self) -> None:
        """As many as can do anything now."""
        self.turn()
        while self.backlogs.deadline() == self.now.boot_us:
            self.turn()

    def wait(self) -> None:
        """Longer than anybody waits."""
        self.now = Instant(self.now.boot_us + WAIT_US_MAX + 1, 0)
        self.turns()

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Submit(transaction_id):
                    self.submitted.append(transaction_id)
                case AnswerProgram(Route() as route, res):
                    self.answers.append((route.identity, res))
                    self.backlogs.on_answered(route)


@pytest.fixture
def programs() -> Programs:
    return Programs()


def test_who_floods_does_not_hold_up_another_program(programs: Programs) -> None:
    programs.ask("flooder", *(f"f{number}" for number in range(1_000)))
    programs.turn()
    assert len(programs.submitted) == TURN_MAX
    programs.ask("polite", "p")
    programs.turn()
    assert programs.submitted[TURN_MAX] == "p"


@pytest.mark.parametrize("pattern", UNDER_WAY_MAX)
def test_there_is_always_room_for_one_more_program(pattern: str) -> None:
    programs = Programs(pattern=pattern)
    for who in range(4):
        programs.ask(f"flooder {who}", *(f"{who}/{number}" for number in range(BACKLOG_FRAMES_MAX)))
    programs.turns()
    assert UNDER_WAY_MAX[pattern] // 2 < programs.core.in_flight < UNDER_WAY_MAX[pattern]
    assert not programs.answers
    programs.wait()
    told = Counter((res.status, res.code) for _, res in programs.answers)
    assert told == {("UNAVAILABLE", "BUSY"): 4 * BACKLOG_FRAMES_MAX - programs.core.in_flight}
    programs.ask("polite", "p")
    programs.turn()
    assert programs.submitted[-1] == "p"


def test_who_was_answered_has_room_again() -> None:
    programs = Programs(Limits(in_flight_max=2))
    programs.ask("a", "t1", "t2", "t3")
    programs.turns()
    assert programs.backlogs.deadline() is not None, "one waits"
    programs.wait()
    assert [(res.transaction_id, res.status) for _, res in programs.answers] == [("t3", "UNAVAILABLE")]
    denied = Res("t1", "DENIED", "NOT_ENOUGH_ROOMS")
    programs.carry_out(programs.core.on_server_message("a", denied, NOW))
    programs.ask("a", "t4", "t5")
    programs.turns()
    assert programs.submitted == ["t1", "t2", "t4"]
    programs.carry_out(programs.core.on_server_message("a", denied._replace(transaction_id="t2"), programs.now))
    programs.turns()
    assert programs.submitted == ["t1", "t2", "t4", "t5"]


def test_while_no_server_is_followed_nobody_waits_in_a_row(programs: Programs) -> None:
    programs.now = Instant(10**6 - 1, 0)
    for number in range(UNDER_WAY_MAX["async"] * 2):
        programs.ask("a", f"t{number}")
    programs.turns()
    assert programs.core.in_flight < UNDER_WAY_MAX["async"]
    programs.now = Instant(10**6 + 1, 0)
    programs.carry_out(programs.core.tick(programs.now))
    assert programs.core.follows is None
    programs.turns()
    assert programs.core.in_flight == UNDER_WAY_MAX["async"] * 2


def test_nothing_is_done_of_what_waits_of_a_key_that_was_revoked(programs: Programs) -> None:
    programs.ask("revoked", "t1", "t2")
    programs.ask("other", "t3")
    programs.revoked.add(b"revoked")
    programs.turns()
    assert programs.submitted == ["t3"]
    assert not programs.answers


def test_what_is_malformed_is_answered_even_beyond_the_share() -> None:
    programs = Programs(Limits(in_flight_max=1))
    programs.ask("a", "t1")
    programs.come("a", b"{}")
    programs.come("a", b"\xc1")
    programs.turns()
    programs.wait()
    assert [res.status for _, res in programs.answers] == ["INVALID", "INVALID"]
    assert programs.ignored["not_encoded"] == 1


def test_what_exceeds_the_backlog_is_answered_as_long_as_that_is_cheap_then_counted(programs: Programs) -> None:
    payload = wire.encode(ProgramRequest("Sistemas", 1, 0, None, "t"), Encoding.MSGPACK)
    cheap = REFUSED_BYTES_PER_S // REFUSED_BYTES_MIN
    for _ in range(BACKLOG_FRAMES_MAX + cheap + 3):
        programs.come("flooder", payload)
    assert (len(programs.answers), programs.ignored[BACKLOG_FULL]) == (cheap, 3)
    assert {(who, res.code) for who, res in programs.answers} == {("flooder", "BUSY")}


def test_who_floods_is_not_told_of_each_that_waited_too_long(programs: Programs) -> None:
    """He is told of some, as of what finds no room, and all are counted."""
    payload = wire.encode(ProgramRequest("Sistemas", 1, 0, None, "t"), Encoding.MSGPACK)
    for _ in range(BACKLOG_FRAMES_MAX + 1_000):
        programs.come("flooder", payload)
    assert programs.backlogs.refused == 1_000
    programs.now = Instant(WAIT_US_MAX + 1, 0)
    for _ in range(REFUSED_BYTES_PER_S // REFUSED_BYTES_MIN):
        programs.come("flooder", payload)
    told, dropped = len(programs.answers), programs.ignored[BACKLOG_FULL]
    programs.turns()
    assert len(programs.answers) == told
    assert programs.ignored[BACKLOG_FULL] - dropped == BACKLOG_FRAMES_MAX
