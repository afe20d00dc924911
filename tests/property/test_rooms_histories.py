"""Properties of whole histories: whatever is asked in whatever order, the rules hold."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from es.machine import Answered
from projections.rooms import commands
from projections.rooms.checker import Observation, check_rooms
from projections.rooms.commands import Answer, Proposal, RaiseAlert, Release, Reserve, Result
from tests.unit.rooms.driver import Driver
from tests.unit.rooms.histories import COMMANDS, STEPS, machine, play

ANY_TEXT = st.text(max_size=3) | st.just("\ud800") | st.just("x" * 300)
ANY_INT = st.integers() | st.integers(-1, 5)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_the_independent_checker_finds_nothing(steps: list[Any]) -> None:
    assert check_rooms(play(steps).batches) == []


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_every_accepted_stands_in_the_log_with_its_rooms(steps: list[Any]) -> None:
    driver = Driver(machine())
    seen = []
    for step in steps:
        if isinstance(step, Answer) and step.faculty_id is not None:
            decision = driver.decide(step)
            if decision.answer.status == commands.ACCEPTED:
                seq = decision.seq if isinstance(decision, Answered) else driver.batches[-1].first_seq
                assert seq is not None
                batch = next(batch for batch in driver.batches if batch.first_seq <= seq <= batch.last_seq)
                result = decision.answer
                rooms = result.classrooms, result.labs, result.mobile
                seen.append(Observation(step.transaction_id, step.faculty_id, seq, batch.hash.hex(), *rooms))
        elif isinstance(step, Reserve | Release):
            driver.do(step)
    assert check_rooms(driver.batches, seen) == []


ENDINGS = ("Confirmed", "Rejected", "Expired", "Denied")


@settings(max_examples=100, deadline=None)
@given(STEPS, COMMANDS)
def test_a_command_said_again_adds_nothing_and_hears_the_same(steps: list[Any], command: Any) -> None:
    driver = play(steps)
    driver.expire()
    assume(not isinstance(command, RaiseAlert))
    first = driver.decide(command)
    written = len(driver.batches)
    again = driver.decide(command)
    if isinstance(command, Answer) and command.faculty_id is None and again.answer != first.answer:
        assert again.answer.code == commands.AMBIGUOUS, "only another faculty's transaction can stand in the way"
        ended = {entry.body[0] for batch in driver.batches for entry in batch.entries if entry.type in ENDINGS}
        assert len(ended) > 1
    else:
        assert again.answer == first.answer
    assert len(driver.batches) == written


@settings(max_examples=100, deadline=None)
@given(STEPS, COMMANDS)
def test_deciding_changes_nothing(steps: list[Any], command: Any) -> None:
    driver = play(steps)
    before = driver.machine.to_plain()
    driver.machine.decide(command, driver.now_us)
    driver.machine.due(driver.now_us, 2)
    driver.machine.next_deadline()
    assert driver.machine.to_plain() == before


@settings(max_examples=300, deadline=None)
@given(
    STEPS,
    st.builds(Reserve, ANY_TEXT, ANY_INT, ANY_TEXT, ANY_INT, ANY_TEXT, ANY_TEXT, ANY_INT, ANY_INT, st.booleans())
    | st.builds(Answer, ANY_TEXT, ANY_INT | st.none(), st.booleans())
    | st.builds(Release, ANY_TEXT, ANY_INT, ANY_TEXT, ANY_TEXT)
    | st.builds(commands.CloseTerm, ANY_TEXT, ANY_TEXT),
)
def test_no_command_raises_or_writes_what_the_log_cannot_hold(steps: list[Any], command: Any) -> None:
    driver = play(steps[:8])
    driver.do(command)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_a_proposal_is_held_until_its_deadline_and_no_longer(steps: list[Any]) -> None:
    driver = Driver(machine())
    for step in steps:
        if not isinstance(step, Reserve):
            continue
        driver.now_us += 100
        answer = driver.do(step)
        if isinstance(answer, Proposal):
            late = driver.machine.decide(Answer(step.transaction_id, step.faculty_id, True), answer.deadline_us)
            in_time = driver.machine.decide(Answer(step.transaction_id, step.faculty_id, True), answer.deadline_us - 1)
            assert isinstance(late.answer, Result)
            assert late.answer.code == commands.ACK_TIMEOUT
            assert in_time.answer.classrooms == answer.classrooms
