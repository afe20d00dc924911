"""The pure core of a faculty: whom it follows, how it retries, what it tells its programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from es.replication.instant import Instant
from nodes import wire
from nodes.faculty import past
from nodes.faculty.core import BACKOFF_MAX, WAITERS_MAX, FacultyCore, FacultySettings, accept_whole
from nodes.faculty.effects import (
    Abandon,
    AnswerProgram,
    Effect,
    OutageTimed,
    SavePrograms,
    ServerChanged,
    Submit,
    Timed,
)
from nodes.faculty.program_registry import PROGRAMS_MAX, ProgramRegistry
from nodes.wire.beats import Beat
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Dropped, Invalid, ProgramRequest, Receipt, Res
from projections.rooms.commands import Answer, Proposal, Reserve

MS = 1_000
RETRY_MS, ANSWER_MS, SILENCE_MS = 1_000, 10_000, 400
ENDPOINTS = {"a": "tcp://127.0.0.1:5555", "b": "tcp://127.0.0.1:5565"}
REQUEST = ProgramRequest("Sistemas", 7, 2, None, "t1")
RESERVE = Reserve("t1", 3, "Ingeniería", 1, "Sistemas", "2025-2", 7, 2)
WHOLE = Proposal("t1", tuple(f"C{n}" for n in range(7)), ("L1", "L2"), (), 99)
PART = WHOLE._replace(labs=("L1",))
DONE = Res("t1", "ACCEPTED", None, None, WHOLE.classrooms, WHOLE.labs, (), Receipt(1, 5, "ab", 2))
E = TypeVar("E")


class Faculty:
    """A core, its clock in ms, and shorthands that hand it messages."""

    def __init__(
        self, in_flight_max: int = 100, programs: ProgramRegistry | None = None, answer_ms: int = ANSWER_MS
    ) -> None:
        settings = FacultySettings(
            3, "Ingeniería", "2025-2", ENDPOINTS, RETRY_MS * MS, answer_ms * MS, SILENCE_MS * MS, in_flight_max
        )
        drawn: Iterator[int] = iter(range(10**6))
        draw_id: Callable[[], str] = lambda: f"drawn-{next(drawn)}"  # noqa: E731 - shorter than a function
        self.core = FacultyCore(settings, programs or ProgramRegistry({"Sistemas": 1}), draw_id)
        self.ms = 0

    @property
    def now(self) -> Instant:
        return Instant(self.ms * MS, 0)

    def follows(self) -> str | None:
        return self.core.follows

    def beat(self, node: str = "a", epoch: int = 1, active: bool = True) -> list[Effect]:
        role = "primary" if active else "backup"
        beat = Beat(node, role, epoch, 0, active, ENDPOINTS.get(node, ""), ("a", "b"))
        return self.core.on_beat(beat, self.now)

    def ask(self, request: ProgramRequest = REQUEST, route: object = "r1") -> list[Effect]:
        return self.core.on_request(route, request, self.now)

    def hear(self, message: Proposal | Res, server: str = "a") -> list[Effect]:
        return self.core.on_server_message(server, message, self.now)

    def pass_ms(self, ms: int, beats_of: str | None = "a", epoch: int = 1) -> list[Effect]:
        """Time goes by, in steps as short as a beat."""
        effects: list[Effect] = []
        for _ in range(ms // 50):
            self.ms += 50
            if beats_of:
                effects += self.beat(beats_of, epoch)
            effects += self.core.tick(self.now)
        return effects


def only(effects: list[Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def timed(leg: str, ms: int, ended_ms: int, status: str = "", code: str = "") -> Timed:
    return Timed(leg, ms * MS, "t1", 1, ended_ms * MS, status, code)


def answers(effects: list[Effect]) -> list[tuple[object, str, str | None]]:
    return [(answer.route, answer.res.status, answer.res.code) for answer in only(effects, AnswerProgram)]


@pytest.fixture
def faculty() -> Faculty:
    made = Faculty()
    made.beat()
    return made


def test_a_request_becomes_a_sol_then_an_ack_then_the_result(faculty: Faculty) -> None:
    assert faculty.ask() == [Submit("t1", "a", RESERVE)]
    faculty.ms = 10
    assert faculty.hear(WHOLE) == [timed("sol_prop", 10, 10), Submit("t1", "a", Answer("t1", 3, True))]
    faculty.ms = 25
    assert faculty.hear(DONE) == [
        timed("ack_res", 15, 25),
        timed("sol_res", 25, 25),
        timed("program", 25, 25, "ACCEPTED"),
        AnswerProgram("r1", DONE),
    ]
    assert faculty.core.in_flight == 0
    assert faculty.core.results["ACCEPTED"] == 1
    assert not faculty.core.waits_for("t1")


def test_the_term_is_the_facultys_unless_the_program_names_one(faculty: Faculty) -> None:
    [submit] = only(faculty.ask(REQUEST._replace(term="2026-1", partial=True)), Submit)
    assert submit.message == RESERVE._replace(term="2026-1", partial=True)


def test_a_request_without_id_gets_one(faculty: Faculty) -> None:
    submits = only(faculty.ask(REQUEST._replace(transaction_id=None)), Submit)
    submits += only(faculty.ask(REQUEST._replace(transaction_id=None)), Submit)
    assert [submit.transaction_id for submit in submits] == ["drawn-0", "drawn-1"]


# --- A8


@pytest.mark.parametrize(
    ("partial", "proposal", "accepts"),
    [
        (False, WHOLE, True),
        (False, PART, False),
        (True, PART, True),
        (False, PART._replace(mobile=("C8",)), True),
        (False, WHOLE._replace(classrooms=WHOLE.classrooms[1:]), False),
    ],
)
def test_a08_it_takes_what_covers_the_request_whole(partial: bool, proposal: Proposal, accepts: bool) -> None:
    assert accept_whole(RESERVE._replace(partial=partial), proposal) is accepts


def test_a08_a_partial_proposal_nobody_allowed_is_rejected(faculty: Faculty) -> None:
    faculty.ask()
    [submit] = only(faculty.hear(PART), Submit)
    assert submit.message == Answer("t1", 3, False)


# --- A6: which server


def test_a06_it_follows_the_active_server_with_the_highest_epoch() -> None:
    faculty = Faculty()
    assert faculty.follows() is None
    assert faculty.beat("b", active=False) == []
    assert faculty.beat("a", epoch=1) == [ServerChanged(None, "a", 1)]
    assert only(faculty.beat("b", epoch=2), ServerChanged) == [ServerChanged("a", "b", 2)]
    assert faculty.beat("a", epoch=1) == []
    assert (faculty.follows(), faculty.core.epoch, faculty.core.server_changes) == ("b", 2, 1)


def test_a06_a_server_that_turns_passive_is_left() -> None:
    faculty = Faculty()
    faculty.beat("a")
    faculty.beat("a", epoch=2, active=False)
    assert faculty.follows() is None


def test_a06_silence_is_loss_exactly_after_the_agreed_time(faculty: Faculty) -> None:
    assert faculty.core.deadline() == SILENCE_MS * MS
    faculty.ms = SILENCE_MS - 1
    faculty.core.tick(faculty.now)
    assert faculty.follows() == "a"
    faculty.ms = SILENCE_MS
    faculty.core.tick(faculty.now)
    assert faculty.follows() is None
    assert faculty.core.deadline() is None


def test_a06_in_flight_transactions_move_to_the_new_server_at_once(faculty: Faculty) -> None:
    faculty.ask()
    faculty.ask(REQUEST._replace(transaction_id="t2"))
    faculty.hear(WHOLE)
    assert faculty.beat("b", epoch=2) == [
        OutageTimed("without_server", 0),
        ServerChanged("a", "b", 2),
        Submit("t1", "b", Answer("t1", 3, True)),
        Submit("t2", "b", RESERVE._replace(transaction_id="t2")),
    ]


def test_a06_a_server_that_comes_back_gets_everything_again_and_is_no_change(faculty: Faculty) -> None:
    faculty.ask()
    assert only(faculty.pass_ms(600, beats_of=None), Submit) == []
    assert faculty.follows() is None
    assert faculty.beat("a") == [OutageTimed("without_server", 600 * MS), Submit("t1", "a", RESERVE)]
    assert faculty.core.server_changes == 0


def test_a19_an_outage_lasts_from_the_last_beat_to_the_next_server_and_to_the_first_result_that_stands(
    faculty: Faculty,
) -> None:
    faculty.ask()
    faculty.pass_ms(700, beats_of=None)
    assert OutageTimed("without_server", 700 * MS) in faculty.beat("b", epoch=2)
    faculty.pass_ms(50, beats_of="b", epoch=2)
    assert only(faculty.hear(Res("t1", "UNAVAILABLE", "NOT_ACTIVE"), server="b"), OutageTimed) == []
    faculty.pass_ms(50, beats_of="b", epoch=2)
    assert only(faculty.hear(Res("t1", "DENIED"), server="b"), OutageTimed) == [OutageTimed("first_result", 100 * MS)]
    faculty.ask(REQUEST._replace(transaction_id="t2"))
    assert only(faculty.hear(Res("t2", "DENIED"), server="b"), OutageTimed) == [], "once an outage"


def test_a06_a_request_without_active_server_waits_for_one() -> None:
    faculty = Faculty()
    assert faculty.ask() == []
    assert faculty.beat("b", epoch=7) == [ServerChanged(None, "b", 7), Submit("t1", "b", RESERVE)]


def test_a_beat_of_a_stranger_is_ignored_and_counted(faculty: Faculty) -> None:
    assert faculty.beat("z", epoch=99) == []
    assert faculty.follows() == "a"
    assert faculty.core.ignored["unknown_server"] == 1


# --- retries


def test_a_silent_server_is_asked_again_with_bounded_backoff() -> None:
    faculty = Faculty(answer_ms=16_000)
    faculty.beat()
    faculty.ask()
    times = []
    while faculty.ms < 16_000 - 50:
        if only(faculty.pass_ms(50), Submit):
            times.append(faculty.ms)
    assert times == [1_000, 3_000, 7_000, 11_000, 15_000]
    assert times[-1] - times[-2] == BACKOFF_MAX * RETRY_MS


def test_after_the_proposal_the_answer_is_what_is_sent_again(faculty: Faculty) -> None:
    faculty.ask()
    faculty.hear(WHOLE)
    assert faculty.pass_ms(RETRY_MS) == [Submit("t1", "a", Answer("t1", 3, True))]


def test_a_second_proposal_changes_nothing(faculty: Faculty) -> None:
    faculty.ask()
    faculty.hear(WHOLE)
    assert faculty.hear(PART) == []
    assert faculty.core.ignored["repeated_proposal"] == 1


def test_a_proposal_while_no_beats_come_is_answered_to_its_sender(faculty: Faculty) -> None:
    faculty.ask()
    faculty.pass_ms(600, beats_of=None)
    assert only(faculty.hear(WHOLE), Submit) == [Submit("t1", "a", Answer("t1", 3, True))]


def test_what_nobody_asked_is_ignored_and_counted(faculty: Faculty) -> None:
    assert faculty.hear(DONE) == []
    assert faculty.core.ignored["unknown_transaction"] == 1


# --- UNAVAILABLE and UNKNOWN

BUSY = Res("t1", "UNAVAILABLE", "BUSY", "full")
NOT_ACTIVE = Res("t1", "UNAVAILABLE", "NOT_ACTIVE", "not me")


def test_busy_is_passed_on_if_every_attempt_got_it(faculty: Faculty) -> None:
    faculty.ask()
    effects = faculty.hear(BUSY)
    assert answers(effects) == [("r1", "UNAVAILABLE", "BUSY")]
    assert faculty.core.refusals["BUSY"] == 0, "the server has counted it"
    assert only(effects, Timed)[-1] == timed("program", 0, 0, "UNAVAILABLE", "BUSY")


def test_busy_after_an_unanswered_attempt_is_not_passed_on(faculty: Faculty) -> None:
    faculty.ask()
    faculty.pass_ms(RETRY_MS)
    assert answers(faculty.hear(BUSY)) == []
    effects = faculty.pass_ms(ANSWER_MS)
    assert answers(effects) == [("r1", "UNKNOWN", None)]


def test_busy_after_the_proposal_is_not_passed_on(faculty: Faculty) -> None:
    faculty.ask()
    faculty.hear(WHOLE)
    assert faculty.hear(BUSY) == []
    assert only(faculty.pass_ms(RETRY_MS), Submit) == [Submit("t1", "a", Answer("t1", 3, True))]


def test_not_active_with_a_hint_goes_there_at_once_and_only_once(faculty: Faculty) -> None:
    faculty.ask()
    assert faculty.hear(NOT_ACTIVE._replace(active=ENDPOINTS["b"])) == [Submit("t1", "b", RESERVE)]
    assert faculty.hear(NOT_ACTIVE._replace(active=ENDPOINTS["a"]), "b") == []
    assert only(faculty.pass_ms(RETRY_MS), Submit) == [Submit("t1", "a", RESERVE)]
    assert faculty.hear(NOT_ACTIVE._replace(active=ENDPOINTS["b"])) == [Submit("t1", "b", RESERVE)]


def test_not_active_from_a_server_already_left_is_no_news(faculty: Faculty) -> None:
    faculty.ask()
    faculty.beat("b", epoch=2)
    assert faculty.hear(NOT_ACTIVE._replace(active=ENDPOINTS["b"]), "a") == []


@pytest.mark.parametrize("active", [None, ENDPOINTS["a"], "tcp://elsewhere:1"])
def test_not_active_without_a_usable_hint_waits_for_the_retry(faculty: Faculty, active: str | None) -> None:
    faculty.ask()
    assert faculty.hear(NOT_ACTIVE._replace(active=active)) == []
    assert only(faculty.pass_ms(RETRY_MS), Submit) == [Submit("t1", "a", RESERVE)]


def test_not_active_from_every_attempt_ends_unavailable(faculty: Faculty) -> None:
    faculty.ask()
    faculty.hear(NOT_ACTIVE)
    for _ in range(ANSWER_MS // 50):
        effects = faculty.pass_ms(50)
        for _ in only(effects, Submit):
            faculty.hear(NOT_ACTIVE)
        if only(effects, AnswerProgram):
            break
    assert answers(effects) == [("r1", "UNAVAILABLE", "NOT_ACTIVE")]


def test_every_program_is_answered_in_time_with_unknown_at_the_latest(faculty: Faculty) -> None:
    faculty.ask()
    faculty.pass_ms(ANSWER_MS - 50)
    assert faculty.core.in_flight == 1
    effects = faculty.pass_ms(50)
    assert only(effects, Abandon) == [Abandon("t1")]
    assert answers(effects) == [("r1", "UNKNOWN", None)]
    assert only(effects, Timed) == [timed("program", ANSWER_MS, ANSWER_MS, "UNKNOWN")]
    assert faculty.core.in_flight == 0


def test_without_any_server_nothing_was_done() -> None:
    faculty = Faculty()
    faculty.ask()
    assert answers(faculty.pass_ms(ANSWER_MS, beats_of=None)) == [("r1", "UNAVAILABLE", "NOT_ACTIVE")]


def test_what_ended_unknown_never_ends_unavailable_later(faculty: Faculty) -> None:
    faculty.ask()
    faculty.pass_ms(ANSWER_MS)
    faculty.ask()
    assert answers(faculty.hear(BUSY)) == []
    assert answers(faculty.pass_ms(ANSWER_MS, beats_of=None)) == [("r1", "UNKNOWN", None)]
    faculty.beat()
    faculty.ask()
    assert answers(faculty.hear(DONE)) == [("r1", "ACCEPTED", None)]
    faculty.ask()
    assert answers(faculty.hear(BUSY)) == [("r1", "UNAVAILABLE", "BUSY")]


def test_a_server_that_says_unknown_is_asked_again(faculty: Faculty) -> None:
    faculty.ask()
    assert faculty.hear(Res("t1", "UNKNOWN")) == []
    assert only(faculty.pass_ms(RETRY_MS), Submit) == [Submit("t1", "a", RESERVE)]


@pytest.mark.parametrize("late", [WHOLE, DONE, BUSY], ids=lambda late: type(late).__name__)
def test_what_this_asking_has_not_submitted_is_not_answered(late: Proposal | Res) -> None:
    faculty = Faculty()
    faculty.ask()
    assert faculty.hear(late) == []
    assert faculty.core.ignored["not_submitted"] == 1
    assert only(faculty.beat(), Submit) == [Submit("t1", "a", RESERVE)]


# --- joining, conflicts, bounds


def test_a_second_request_with_an_id_in_flight_joins_the_first(faculty: Faculty) -> None:
    faculty.ask()
    assert faculty.ask(route="r2") == []
    faculty.hear(WHOLE)
    assert answers(faculty.hear(DONE)) == [("r1", "ACCEPTED", None), ("r2", "ACCEPTED", None)]


OTHER = REQUEST._replace(classrooms=8)
CONFLICT = Res("t1", "INVALID", "CONFLICT", "this id came before with another request")


@pytest.mark.parametrize(
    "other",
    [
        OTHER,
        REQUEST._replace(labs=3),
        REQUEST._replace(term="2026-1"),
        REQUEST._replace(partial=True),
        REQUEST._replace(program="Civil"),
    ],
)
def test_a10_the_same_id_with_another_body_is_a_conflict(faculty: Faculty, other: ProgramRequest) -> None:
    faculty.ask()
    assert faculty.ask(other, "r2") == [], "which of them stands is not known yet"
    assert answers(faculty.hear(DONE)) == [("r1", "ACCEPTED", None), ("r2", "INVALID", "CONFLICT")]
    [submit] = only(faculty.ask(other, "r3"), Submit)
    assert submit.message != RESERVE, "what has ended is the servers' to remember"
    told = CONFLICT._replace(reason="this id came before with another something")
    assert only(faculty.hear(told), AnswerProgram) == [AnswerProgram("r3", told)]
    assert +faculty.core.results == {"ACCEPTED": 1, "INVALID": 2}
    assert only(faculty.ask(), Submit) == [Submit("t1", "a", RESERVE)], "a repetition is none"


CLOSED = Res("t1", "INVALID", "TERM_CLOSED", "the term is closed")


@pytest.mark.parametrize("other", [OTHER, REQUEST._replace(term="2026-1")])
def test_a10_what_the_servers_forgot_with_its_term_contradicts_nothing(faculty: Faculty, other: ProgramRequest) -> None:
    faculty.ask()
    faculty.hear(WHOLE)
    faculty.hear(DONE)
    faculty.ask(other, "r2")
    assert answers(faculty.hear(CLOSED)) == [("r2", "INVALID", "TERM_CLOSED")]
    faculty.ask(REQUEST._replace(term="2026-2"), "r3")
    faculty.hear(WHOLE)
    own = DONE._replace(receipt=Receipt(1, 9, "cd", 2))
    assert answers(faculty.hear(own)) == [("r3", "ACCEPTED", None)]
    faculty.ask(route="r1")
    assert answers(faculty.hear(CONFLICT)) == [("r1", "INVALID", "CONFLICT")], "the id is another request's now"


def test_a10_a_late_result_is_not_that_of_another_request(faculty: Faculty) -> None:
    faculty.ask()
    faculty.pass_ms(RETRY_MS)
    faculty.hear(DONE)
    assert faculty.ask(OTHER, "r2") == [Submit("t1", "a", RESERVE)], "that one's result may still come"
    assert answers(faculty.hear(DONE)) == [("r2", "INVALID", "CONFLICT")]
    assert faculty.hear(DONE) == []
    assert faculty.core.ignored["unknown_transaction"] == 1


def test_a10_a_late_result_hides_a_closed_term_for_one_asking_only(faculty: Faculty) -> None:
    faculty.ask()
    faculty.pass_ms(RETRY_MS)
    faculty.hear(DONE)
    faculty.ask(OTHER, "r2")
    assert answers(faculty.hear(CLOSED)) == [("r2", "UNKNOWN", None)]
    [submit] = only(faculty.ask(OTHER, "r2"), Submit)
    assert submit.message == RESERVE._replace(classrooms=8)
    faculty.hear(WHOLE)
    own = DONE._replace(receipt=Receipt(1, 9, "cd", 2))
    assert answers(faculty.hear(own)) == [("r2", "ACCEPTED", None)]


def test_a10_a_result_that_another_request_had_before_its_term_was_closed_is_nobodys(faculty: Faculty) -> None:
    faculty.ask()
    faculty.pass_ms(RETRY_MS)
    faculty.hear(DONE)
    faculty.ask(OTHER, "r2")
    faculty.hear(CLOSED)
    faculty.ask(OTHER, "r2")
    assert answers(faculty.hear(DONE._replace(receipt=DONE.receipt._replace(copies=1)))) == []  # type: ignore[union-attr]
    assert faculty.core.ignored["late_result"] == 1
    assert answers(faculty.pass_ms(ANSWER_MS)) == [("r2", "UNKNOWN", None)]
    faculty.ask(OTHER, "r2")
    assert answers(faculty.hear(DONE)) == [], "however often it is asked"
    own = DONE._replace(receipt=Receipt(1, 9, "cd", 2))
    assert answers(faculty.hear(own)) == [("r2", "ACCEPTED", None)]


def test_a10_a_server_that_was_not_asked_this_time_has_nothing_to_say(faculty: Faculty) -> None:
    """It was frozen with the first one's result, whose term has been closed since."""
    faculty.ask()
    assert answers(faculty.pass_ms(ANSWER_MS)) == [("r1", "UNKNOWN", None)]
    faculty.beat("a", active=False)
    faculty.beat("b", epoch=2)
    assert only(faculty.ask(OTHER, "r2"), Submit) == [Submit("t1", "b", RESERVE)]
    assert answers(faculty.hear(CLOSED, "b")) == [("r2", "UNKNOWN", None)]
    assert only(faculty.ask(OTHER, "r2"), Submit) == [Submit("t1", "b", RESERVE._replace(classrooms=8))]
    assert faculty.hear(DONE) == []
    assert faculty.core.ignored["not_submitted"] == 1
    own = DONE._replace(receipt=Receipt(2, 9, "cd", 2))
    assert answers(faculty.hear(own, "b")) == [("r2", "ACCEPTED", None)]


def test_a10_beside_an_expiry_that_was_pushed_the_acks_answer_is_still_to_come(faculty: Faculty) -> None:
    expired = Res("t1", "CANCELED", "ACK_TIMEOUT", "no answer came before the deadline")
    faculty.ask()
    faculty.hear(WHOLE)
    assert answers(faculty.hear(expired)) == [("r1", "CANCELED", "ACK_TIMEOUT")]
    assert faculty.ask(OTHER, "r2") == [Submit("t1", "a", RESERVE)]
    assert answers(faculty.hear(expired)) == [("r2", "INVALID", "CONFLICT")], "and never that one's result"


def test_a10_while_a_request_is_in_doubt_another_one_waits_for_its_result(faculty: Faculty) -> None:
    faculty.ask()
    assert answers(faculty.pass_ms(ANSWER_MS)) == [("r1", "UNKNOWN", None)]
    assert faculty.ask(OTHER, "r2") == [Submit("t1", "a", RESERVE)]
    assert answers(faculty.hear(DONE)) == [("r2", "INVALID", "CONFLICT")]
    assert faculty.core.results["ACCEPTED"] == 0, "no program asked for that"


def test_a10_who_contradicts_what_stays_in_doubt_learns_no_more(faculty: Faculty) -> None:
    faculty.ask()
    faculty.ask(OTHER, "r2")
    assert answers(faculty.pass_ms(ANSWER_MS)) == [("r1", "UNKNOWN", None), ("r2", "UNKNOWN", None)]


def test_a10_what_no_server_has_taken_contradicts_nothing(faculty: Faculty) -> None:
    faculty.ask()
    faculty.ask(OTHER, "r2")
    assert answers(faculty.hear(BUSY)) == [("r1", "UNAVAILABLE", "BUSY"), ("r2", "UNAVAILABLE", "BUSY")]
    assert only(faculty.ask(OTHER), Submit) == [Submit("t1", "a", RESERVE._replace(classrooms=8))]


def test_a10_the_servers_first_request_is_asked_after_one_they_refused(faculty: Faculty) -> None:
    faculty.ask(OTHER, "r2")
    faculty.ask(REQUEST, "r1")
    assert answers(faculty.hear(CONFLICT)) == [("r2", "INVALID", "CONFLICT"), ("r1", "UNKNOWN", None)]
    assert only(faculty.ask(), Submit) == [Submit("t1", "a", RESERVE)]
    assert answers(faculty.hear(DONE)) == [("r1", "ACCEPTED", None)]


def test_a10_beside_a_request_the_servers_refused_another_one_never_ends_unavailable(faculty: Faculty) -> None:
    faculty.ask(OTHER, "r2")
    faculty.hear(CONFLICT)
    faculty.ask()
    assert faculty.hear(NOT_ACTIVE) == []
    assert answers(faculty.pass_ms(ANSWER_MS)) == [("r1", "UNKNOWN", None)]


def test_a10_a_late_refusal_of_another_request_is_not_taken(faculty: Faculty) -> None:
    faculty.ask(OTHER, "r2")
    faculty.pass_ms(RETRY_MS)
    faculty.hear(CONFLICT)
    faculty.ask()
    assert faculty.hear(CONFLICT) == [], "the answer to the second attempt of the other one"
    assert faculty.core.ignored["late_refusal"] == 1
    assert answers(faculty.hear(CONFLICT)) == [("r1", "INVALID", "CONFLICT")], "there is no third one of it"


def test_a10_a_late_refusal_is_known_for_one_after_a_result_in_doubt_too(faculty: Faculty) -> None:
    faculty.ask(OTHER, "r2")
    faculty.pass_ms(RETRY_MS)
    faculty.hear(CONFLICT)
    faculty.ask()
    faculty.pass_ms(ANSWER_MS)
    faculty.ask()
    assert faculty.hear(NOT_ACTIVE) == []
    assert faculty.core.ignored["late_refusal"] == 1
    assert answers(faculty.hear(CONFLICT)) == [("r1", "INVALID", "CONFLICT")]


def test_ended_requests_are_remembered_up_to_a_bound(faculty: Faculty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "ENDED_MAX", 2)
    for number in (1, 2, 1, 3):
        faculty.ask(REQUEST._replace(transaction_id=f"t{number}"))
        faculty.pass_ms(RETRY_MS)
        faculty.hear(DONE._replace(transaction_id=f"t{number}"))
    first_asked = [
        submit.message.classrooms
        for number in (1, 2, 3)
        for submit in only(faculty.ask(OTHER._replace(transaction_id=f"t{number}")), Submit)
        if isinstance(submit.message, Reserve)
    ]
    assert first_asked == [7, 8, 7], "those that may still be answered are asked about first, where they are known"


def test_those_who_contradict_are_bounded_too(faculty: Faculty) -> None:
    faculty.ask()
    for route in range(WAITERS_MAX):
        assert faculty.ask(OTHER, route) == []
    assert answers(faculty.ask(OTHER, WAITERS_MAX)) == [(0, "UNKNOWN", None)]


def test_the_first_of_too_many_waiters_is_answered_and_the_last_one_joins(faculty: Faculty) -> None:
    faculty.ask(route=0)
    for route in range(1, WAITERS_MAX):
        assert faculty.ask(route=route) == []
    assert answers(faculty.ask(route=WAITERS_MAX)) == [(0, "UNKNOWN", None)]
    assert [route for route, _, _ in answers(faculty.hear(DONE))] == list(range(1, WAITERS_MAX + 1))


def test_more_than_the_bound_in_flight_is_busy() -> None:
    faculty = Faculty(in_flight_max=2)
    faculty.beat()
    faculty.ask()
    faculty.ask(REQUEST._replace(transaction_id="t2"))
    assert answers(faculty.ask(REQUEST._replace(transaction_id="t3"), "r3")) == [("r3", "UNAVAILABLE", "BUSY")]
    assert faculty.core.in_flight == 2
    assert faculty.ask(route="r4") == []
    assert answers(faculty.core.on_excess("r5", REQUEST, faculty.now)) == [("r5", "UNAVAILABLE", "BUSY")]
    assert faculty.core.refusals == {"BUSY": 2, "LIMIT_REACHED": 0}


def test_a_malformed_request_is_answered(faculty: Faculty) -> None:
    invalid = Invalid("t1", "salones", "is missing")
    assert faculty.core.on_request("r1", invalid, faculty.now) == [AnswerProgram("r1", invalid.as_res())]
    assert answers(faculty.core.on_request("r1", Dropped("not_encoded"), faculty.now)) == [
        ("r1", "INVALID", "BAD_FIELD")
    ]


# --- A21


def test_a21_a_new_program_is_durable_before_its_request_leaves(faculty: Faculty) -> None:
    save, submit = faculty.ask(REQUEST._replace(program="Civil"))
    assert isinstance(save, SavePrograms)
    assert json.loads(save.content) == {"next_id": 3, "programs": {"Sistemas": 1, "Civil": 2}}
    assert submit == Submit("t1", "a", RESERVE._replace(program="Civil", program_id=2))
    assert only(faculty.ask(REQUEST._replace(program="Civil", transaction_id="t2")), SavePrograms) == []


def test_a21_programs_are_bounded() -> None:
    faculty = Faculty(programs=ProgramRegistry({f"p{n}": n for n in range(PROGRAMS_MAX)}))
    faculty.beat()
    assert answers(faculty.ask()) == [("r1", "UNAVAILABLE", "LIMIT_REACHED")]
    assert only(faculty.ask(REQUEST._replace(program="p7")), Submit) != []
    assert faculty.core.refusals == {"BUSY": 0, "LIMIT_REACHED": 1}
    assert faculty.core.bounds_used() == {"programs": 1.0, "in_flight": 0.01}


def test_the_deadline_is_the_earliest_of_retry_silence_and_answer(faculty: Faculty) -> None:
    faculty.ask()
    assert faculty.core.deadline() == SILENCE_MS * MS
    faculty.pass_ms(SILENCE_MS, beats_of=None)
    assert faculty.core.deadline() == RETRY_MS * MS
    faculty.pass_ms(9_000, beats_of=None)
    assert faculty.core.deadline() == ANSWER_MS * MS


@pytest.mark.parametrize("name", ["Biología", "\n" * 200])
def test_who_speaks_for_another_is_told_so_in_words_that_he_can_read(name: str) -> None:
    """What is written of a long name is longer than the name."""
    faculty = Faculty()
    effects = faculty.core.on_request("r1", REQUEST._replace(program=name), faculty.now, speaks_for=17)
    [res] = [effect.res for effect in effects if isinstance(effect, AnswerProgram)]
    assert res.code == "FORBIDDEN"
    [decoded] = wire.decode_answers(wire.encode(res, Encoding.JSON)).messages
    assert decoded == res
