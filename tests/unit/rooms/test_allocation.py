"""One test, or more, for each requirement of the allocation application, named after it."""

from __future__ import annotations

import uuid

import pytest

from es.codec import Entry
from es.machine import Accepted, Answered, Event, Refused
from projections.rooms import commands
from projections.rooms.catalog import Catalog, Room, default_catalog
from projections.rooms.checker import check_rooms
from projections.rooms.commands import CloseTerm, Proposal, RaiseAlert, Release, Result, TermResult
from projections.rooms.limits import Bounds
from projections.rooms.machine import Rooms
from projections.rooms.term import Occupancy, RoomSet
from tests.unit.rooms.driver import Driver, request

SECOND_US = 1_000_000


@pytest.fixture
def driver() -> Driver:
    return Driver(Rooms(default_catalog()))


def small(classrooms: int, labs: int, **limits: int) -> Driver:
    rooms = [Room(f"C{n}", "classroom", "B1", 30) for n in range(classrooms)]
    rooms += [Room(f"L{n}", "lab", "B1", 20) for n in range(labs)]
    return Driver(Rooms(Catalog.of(rooms), bounds=Bounds(**limits)))


def free(driver: Driver, term: str = "2025-2") -> tuple[int, int]:
    rooms = driver.machine.inventory.terms[term]
    return rooms.classrooms().free, rooms.labs().free


def test_a01_a_fresh_term_holds_380_classrooms_and_60_labs(driver: Driver) -> None:
    driver.reserve("t1", 1, 0)
    driver.reject("t1")
    assert free(driver) == (380, 60)


def test_a01_terms_are_independent(driver: Driver) -> None:
    first = driver.allocate("t1", 7, 2)
    second = driver.allocate("t2", 7, 2, term="2026-1")
    assert first.classrooms == second.classrooms
    assert free(driver, "2025-2") == free(driver, "2026-1") == (373, 58)


def test_a01_a_term_keeps_the_catalog_it_opened_with() -> None:
    driver = small(5, 1)
    driver.reserve("t1", 1, 0)
    driver.machine.settings = Rooms(default_catalog()).settings
    driver.reserve("t2", 1, 0)
    driver.reserve("t3", 1, 0, term="2026-1")
    assert free(driver) == (3, 1)
    assert free(driver, "2026-1") == (379, 60)
    assert len(driver.events("CatalogAdopted")) == 2


def test_a01_a_catalog_is_written_once_however_many_terms_use_it(driver: Driver) -> None:
    for number in range(5):
        driver.reserve(f"t{number}", 1, 0, term=f"term {number}")
    assert len(driver.events("CatalogAdopted")) == 1
    assert len(driver.events("TermOpened")) == 5


def test_a07_a_proposal_names_the_rooms_it_holds(driver: Driver) -> None:
    proposal = driver.reserve("t1", 7, 2)
    assert isinstance(proposal, Proposal)
    assert len(set(proposal.classrooms)) == 7
    assert len(set(proposal.labs)) == 2
    assert proposal.mobile == ()
    assert proposal.deadline_us == driver.now_us + 5 * SECOND_US
    assert free(driver) == (373, 58)


def test_a07_missing_labs_become_mobile_labs(driver: Driver) -> None:
    driver.allocate("t1", 0, 59)
    proposal = driver.reserve("t2", 2, 3)
    assert (len(proposal.classrooms), len(proposal.labs), len(proposal.mobile)) == (2, 1, 2)
    assert free(driver) == (376, 0)
    assert driver.machine.inventory.terms["2025-2"].classrooms() == Occupancy(376, 4, 0, 2)


def test_a07_a_mobile_lab_given_back_is_a_classroom_again(driver: Driver) -> None:
    driver.reserve("t1", 0, 61)
    driver.reject("t1")
    term = driver.machine.inventory.terms["2025-2"]
    assert (term.classrooms(), term.labs()) == (Occupancy(380, 0, 0, 0), Occupancy(60, 0, 0, 0))


def test_a07_exactly_all_labs_need_no_mobile_lab(driver: Driver) -> None:
    result = driver.allocate("t1", 0, 60)
    assert (result.status, len(result.labs), result.mobile) == ("ACCEPTED", 60, ())


def test_a07_what_cannot_be_met_whole_is_denied_and_holds_nothing() -> None:
    driver = small(3, 1)
    result = driver.reserve("t1", 3, 2)
    assert (result.status, result.code) == ("DENIED", "NOT_ENOUGH_ROOMS")
    assert free(driver) == (3, 1)


def test_a07_a_partial_proposal_gives_what_there_is() -> None:
    driver = small(3, 1)
    proposal = driver.reserve("t1", 3, 4, partial=True)
    assert (len(proposal.classrooms), len(proposal.labs), len(proposal.mobile)) == (3, 1, 0)
    assert driver.accept("t1").status == "ACCEPTED"


def test_a07_a_partial_proposal_of_nothing_is_a_denial() -> None:
    driver = small(1, 0)
    driver.allocate("t1", 1, 0)
    assert driver.reserve("t2", 1, 1, partial=True).status == "DENIED"


def test_a08_accept_confirms_and_reject_frees(driver: Driver) -> None:
    proposal = driver.reserve("t1", 7, 2)
    result = driver.accept("t1")
    assert (result.status, result.classrooms, result.labs) == ("ACCEPTED", proposal.classrooms, proposal.labs)
    driver.reserve("t2", 7, 2)
    result = driver.reject("t2")
    assert (result.status, result.code, result.classrooms) == ("CANCELED", "REJECTED", ())
    assert free(driver) == (373, 58)


def test_a09_a_hold_expires_at_its_deadline_as_an_event(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    deadline_us = driver.machine.next_deadline()
    assert deadline_us == driver.now_us + 5 * SECOND_US
    assert driver.machine.due(deadline_us - 1, 10) == []
    driver.now_us = deadline_us
    driver.expire()
    [expired] = driver.events("Expired")
    assert (expired.actor, expired.request_id) == ("es", "t1")
    assert free(driver) == (380, 60)
    assert driver.machine.next_deadline() is None
    assert (driver.accept("t1").status, driver.accept("t1").code) == ("CANCELED", "ACK_TIMEOUT")


def test_a09_due_changes_nothing_and_obeys_its_bound(driver: Driver) -> None:
    for number in range(5):
        driver.reserve(f"t{number}", 1, 0)
        driver.now_us += 1
    driver.now_us += 10 * SECOND_US
    assert [event.request_id for event in driver.machine.due(driver.now_us, 3)] == ["t0", "t1", "t2"]
    assert [event.request_id for event in driver.machine.due(driver.now_us, 3)] == ["t0", "t1", "t2"]
    driver.expire()
    assert [entry.request_id for entry in driver.events("Expired")] == [f"t{number}" for number in range(5)]


@pytest.mark.parametrize("faculty_id", [1, None])
@pytest.mark.parametrize("accept", [True, False])
def test_a09_an_answer_at_the_deadline_is_too_late_before_the_expiry_is_processed(
    driver: Driver, faculty_id: int | None, accept: bool
) -> None:
    driver.reserve("t1", 7, 2)
    driver.now_us += 5 * SECOND_US
    decision = driver.decide(commands.Answer("t1", faculty_id, accept), expire_first=False)
    assert isinstance(decision, Accepted)
    assert (decision.answer.status, decision.answer.code) == ("CANCELED", "ACK_TIMEOUT")
    assert [entry.type for entry in driver.events("Expired", "Confirmed", "Rejected")] == ["Expired"]
    assert free(driver) == (380, 60)


def test_a09_one_microsecond_before_the_deadline_is_in_time(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    driver.now_us += 5 * SECOND_US - 1
    assert driver.accept("t1").status == "ACCEPTED"


def test_a09_a_repeated_request_at_the_deadline_finds_the_hold_expired(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    driver.now_us += 5 * SECOND_US
    decision = driver.decide(request("t1", 7, 2), expire_first=False)
    assert decision.answer.code == "ACK_TIMEOUT"
    assert free(driver) == (380, 60)


def test_a09_an_outage_moves_every_deadline(driver: Driver) -> None:
    first = driver.reserve("t1", 7, 2)
    driver.extend(60 * SECOND_US)
    driver.now_us += 30 * SECOND_US
    again = driver.reserve("t1", 7, 2)
    assert again.deadline_us == first.deadline_us + 60 * SECOND_US
    later = driver.reserve("t2", 7, 2)
    assert later.deadline_us == driver.now_us + 5 * SECOND_US
    assert driver.machine.next_deadline() == later.deadline_us
    assert driver.accept("t1").status == "ACCEPTED"
    assert check_rooms(driver.batches) == []


@pytest.mark.parametrize(("classrooms", "labs", "partial"), [(5, 0, False), (5, 0, True), (1, 1, False)])
def test_a9_nothing_is_denied_for_rooms_whose_time_is_over(classrooms: int, labs: int, partial: bool) -> None:
    """Holds end in portions; until they have, what they had is nobody's and not free yet."""
    driver = small(7, 1)
    for number in range(3):
        driver.reserve(f"t{number}", 2, number // 2)
    driver.now_us += 60_000_000
    asked = request("late", classrooms, labs)._replace(partial=partial)
    busy = driver.decide(asked, expire_first=False)
    assert isinstance(busy, Refused)
    assert (busy.answer.status, busy.answer.code) == ("UNAVAILABLE", "BUSY")
    assert isinstance(driver.decide(request("fits", 1, 0), expire_first=False), Accepted)
    proposal = driver.do(asked)
    assert (len(proposal.classrooms), len(proposal.labs), proposal.mobile) == (classrooms, labs, ())


def test_a10_a_repeated_request_gets_its_proposal_then_its_result(driver: Driver) -> None:
    proposal = driver.reserve("t1", 7, 2)
    again = driver.decide(request("t1", 7, 2))
    assert again == Answered(proposal, seq=driver.batches[-1].last_seq)
    result = driver.accept("t1")
    confirmed_seq = driver.batches[-1].last_seq
    assert driver.decide(request("t1", 7, 2)) == Answered(result, seq=confirmed_seq)
    assert driver.decide(commands.Answer("t1", 1, accept=True)) == Answered(result, seq=confirmed_seq)
    assert free(driver) == (373, 58)


def test_a10_a_result_is_repeated_in_whatever_term_it_was_given() -> None:
    driver = small(9, 2)
    driver.allocate("t1", 1, 0)
    driver.machine.settings = Rooms(default_catalog()).settings
    result = driver.allocate("t2", 1, 0, term="2026-1")
    assert result.classrooms == ("B01-C01",)
    assert driver.reserve("t2", 1, 0, term="2026-1") == result == driver.accept("t2")


def test_a10_an_answer_that_differs_from_the_first_gets_the_first_result(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    driver.accept("t1")
    assert driver.reject("t1").status == "ACCEPTED"
    driver.reserve("t2", 7, 2)
    driver.reject("t2")
    assert driver.accept("t2").code == "REJECTED"


def test_a10_a_denial_is_repeated_though_rooms_became_free() -> None:
    driver = small(1, 0)
    driver.reserve("t1", 1, 0)
    denied = driver.reserve("t2", 1, 0)
    driver.reject("t1")
    assert driver.reserve("t2", 1, 0) == denied
    assert len(driver.events("Denied")) == 1


@pytest.mark.parametrize(
    "other",
    [{"program_id": 2}, {"term": "2026-1"}, {"classrooms": 6}, {"labs": 3}, {"partial": True}],
    ids=lambda other: next(iter(other)),
)
@pytest.mark.parametrize("ended", ["held", "confirmed", "denied"])
def test_a10_the_same_id_with_another_body_is_a_conflict(driver: Driver, other: dict[str, object], ended: str) -> None:
    first = request("t1", 999, 2) if ended == "denied" else request("t1", 7, 2)
    driver.do(first)
    if ended == "confirmed":
        driver.accept("t1")
    written = len(driver.batches)
    result = driver.do(first._replace(**other))  # type: ignore[arg-type]
    assert (result.status, result.code) == ("INVALID", "CONFLICT")
    assert len(driver.batches) == written


def test_a10_names_may_differ(driver: Driver) -> None:
    proposal = driver.reserve("t1", 7, 2)
    assert driver.reserve("t1", 7, 2, program="Systems", faculty="Engineering") == proposal


def test_a10_faculties_do_not_share_ids(driver: Driver) -> None:
    one = driver.reserve("t1", 7, 2, faculty_id=1)
    two = driver.reserve("t1", 7, 2, faculty_id=2)
    assert set(one.classrooms).isdisjoint(two.classrooms)
    assert driver.accept("t1", 2).classrooms == two.classrooms
    assert driver.reject("t1", 1).code == "REJECTED"


def test_a10_an_answer_without_faculty_means_the_only_hold_with_that_id(driver: Driver) -> None:
    proposal = driver.reserve("t1", 7, 2, faculty_id=3)
    assert driver.accept("t1", None).classrooms == proposal.classrooms
    assert driver.accept("t1", None).classrooms == proposal.classrooms, "a repetition gets the first result"
    driver.reserve("t2", 1, 0, faculty_id=3)
    driver.reserve("t2", 1, 0, faculty_id=4)
    result = driver.accept("t2", None)
    assert (result.status, result.code) == ("INVALID", "AMBIGUOUS")
    driver.accept("t2", 3)
    driver.accept("t2", 4)
    assert driver.accept("t2", None).code == "AMBIGUOUS", "several had it"


def test_a10_a_term_has_a_name(driver: Driver) -> None:
    assert driver.reserve("t1", 1, 0, term="").code == "BAD_FIELD"
    assert not driver.events("TermOpened")


def test_a10_an_unknown_transaction_is_said_to_be_unknown(driver: Driver) -> None:
    assert driver.accept("never seen").code == "UNKNOWN_TRANSACTION"
    assert driver.accept("never seen", -1).code == "UNKNOWN_TRANSACTION"


def test_a10_a_closed_term_forgets_its_transactions_and_takes_no_more(driver: Driver) -> None:
    driver.allocate("t1", 7, 2)
    driver.reserve("t2", 7, 2)
    driver.reserve("other", 7, 2, term="2026-1")
    assert driver.do(CloseTerm("2025-2", "operator:registrar")).status == "ACCEPTED"
    assert driver.do(CloseTerm("2025-2", "operator:registrar")).status == "ACCEPTED"
    assert len(driver.events("TermClosed")) == 1
    assert driver.accept("t1").code == "UNKNOWN_TRANSACTION"
    assert driver.accept("t2").code == "UNKNOWN_TRANSACTION"
    assert driver.reserve("t3", 1, 0).code == "TERM_CLOSED"
    assert driver.accept("other").status == "ACCEPTED"
    assert driver.machine.next_deadline() is None
    assert len(driver.machine.inventory.sessions) == 1


def test_a10_closing_a_term_says_what_ended_with_it_and_says_it_again(driver: Driver) -> None:
    driver.allocate("t1", 7, 2)
    driver.allocate("t2", 1, 60)  # two labs too many: classrooms lent as labs
    driver.allocate("released", 5, 0)
    driver.do(Release("released", 1, "faculty:1", ""))
    driver.reserve("held", 3, 0)
    closed = driver.decide(CloseTerm("2025-2", "operator:ana"))
    assert isinstance(closed, Accepted)
    assert closed.answer == TermResult("2025-2", "ACCEPTED", None, None, 7 + 1 + 2, 60, 1)
    seq = driver.batches[-1].last_seq
    driver.reserve("other", 1, 0, term="2026-1")
    assert driver.decide(CloseTerm("2025-2", "operator:eva")) == Answered(closed.answer, seq)


def test_a10_a_term_that_never_was_cannot_be_closed(driver: Driver) -> None:
    assert driver.do(CloseTerm("2025-2", "operator:registrar")).code == "UNKNOWN_TERM"


@pytest.mark.parametrize(
    ("limits", "second", "code"),
    [
        ({"open_terms_max": 1}, {"term": "2026-1"}, "LIMIT_REACHED"),
        ({"terms_ever_max": 1}, {"term": "2026-1"}, "LIMIT_REACHED"),
        ({"transactions_per_term_max": 1}, {}, "LIMIT_REACHED"),
        ({"transactions_max": 1}, {"term": "2026-1"}, "LIMIT_REACHED"),
        ({"holds_max": 1}, {}, "BUSY"),
        ({"faculties_max": 1}, {"faculty_id": 2}, "LIMIT_REACHED"),
        ({"programs_max": 1}, {"program_id": 2}, "LIMIT_REACHED"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value), "again"),
)
def test_a10_a_bound_that_is_met_is_an_answer_and_writes_nothing(
    limits: dict[str, int], second: dict[str, object], code: str
) -> None:
    driver = small(9, 9, **limits)
    proposal = driver.reserve("t1", 1, 1)
    written = len(driver.batches)
    decision = driver.decide(request("t2", 1, 1, **second))
    assert isinstance(decision, Refused)
    assert (decision.answer.status, decision.answer.code) == ("UNAVAILABLE", code)
    assert len(driver.batches) == written
    assert driver.reserve("t1", 1, 1) == proposal
    assert driver.accept("t1").status == "ACCEPTED"


def test_a10_a_transaction_counts_once_whether_held_or_finished() -> None:
    driver = small(9, 9, transactions_per_term_max=7)
    driver.allocate("t1", 1, 0)
    driver.reserve("t2", 1, 0)
    driver.reject("t2")
    assert isinstance(driver.reserve("t3", 1, 0), Proposal)
    assert driver.reserve("t4", 1, 0).code == "LIMIT_REACHED", "a program alone has a third"


def test_a10_holds_that_ended_are_not_kept(driver: Driver) -> None:
    driver.reserve("a hold that stays", 1, 0)
    for number in range(1_000):
        driver.reserve(f"t{number}", 1, 0)
        driver.reject(f"t{number}")
    assert len(driver.machine.inventory.holds._heap) < 100


def test_a11_actor_and_request_stand_in_every_event(driver: Driver) -> None:
    transaction_id = str(uuid.UUID(int=77))
    driver.allocate(transaction_id, 7, 2, faculty_id=9)
    assert [entry.type for entry in driver.events()] == [
        "FacultyRegistered", "ProgramRegistered", "CatalogAdopted", "TermOpened", "Reserved", "Confirmed",
    ]  # fmt: skip
    assert {entry.actor for entry in driver.events()} == {"faculty:9"}
    assert {entry.request_id for entry in driver.events()} == {uuid.UUID(int=77).bytes}


def test_a11_an_event_costs_few_bytes(driver: Driver) -> None:
    driver.allocate("warm-up", 1, 0)
    known = len(driver.batches)
    for number in range(30):
        driver.allocate(str(uuid.UUID(int=number)), 7, 2)
    size = sum(len(batch.data) for batch in driver.batches[known:])
    header = len(driver.batches[-1].data) - len(driver.batches[-1].data.split(b"rooms", 1)[1])
    assert (size - 60 * header) / 60 <= 80


def test_a12_a_confirmed_allocation_can_be_released(driver: Driver) -> None:
    result = driver.allocate("t1", 7, 2)
    released = driver.decide(Release("t1", 1, "faculty:1", ""))
    assert isinstance(released, Accepted)
    assert (released.answer.status, released.answer.code) == ("CANCELED", "RELEASED")
    assert free(driver) == (380, 60)
    assert driver.decide(Release("t1", 1, "faculty:1", "")) == Answered(released.answer, driver.batches[-1].last_seq)
    assert driver.reserve("t1", 7, 2) == result
    assert len(driver.events("Released")) == 1


def test_a12_the_registrar_must_give_a_reason(driver: Driver) -> None:
    driver.allocate("t1", 7, 2)
    for reason in ("", " ", " padded", "two\nlines", "\x1b[31mred", "\u202eturned round", "x" * 201):
        refused = driver.do(Release("t1", 1, "operator:registrar", reason))
        assert refused.code == "BAD_FIELD" and "reason" in refused.reason
    assert driver.do(Release("t1", 1, "operator:registrar", "water damage")).code == "RELEASED"
    [released] = driver.events("Released")
    assert (released.actor, released.body) == ("operator:registrar", (1, "water damage"))
    assert driver.do(Release("t1", 1, "operator:registrar", " ")).code == "RELEASED", "whatever its reason, it is done"


def test_a12_only_a_confirmed_allocation_of_that_faculty_can_be_released(driver: Driver) -> None:
    driver.reserve("held", 1, 0)
    driver.allocate("other", 1, 0, faculty_id=2)
    for transaction_id in ("held", "other", "never seen"):
        assert driver.do(Release(transaction_id, 1, "faculty:1", "")).code == "UNKNOWN_TRANSACTION"
    assert free(driver) == (378, 60)


def test_a13_shortage_raises_one_alert_until_rooms_become_free() -> None:
    driver = small(3, 1)
    driver.allocate("t1", 1, 1)
    driver.reserve("t2", 0, 1)
    driver.accept("t2")
    for number in range(3):
        driver.reserve(f"denied {number}", 9, 0)
    codes = [entry.body for entry in driver.events("AlertRaised")]
    assert codes == [("LABS_EXHAUSTED", "2025-2"), ("NOT_ENOUGH_ROOMS", "2025-2")]
    driver.do(Release("t1", 1, "faculty:1", ""))
    driver.reserve("denied again", 9, 0)
    assert [entry.body[0] for entry in driver.events("AlertRaised")][2:] == ["NOT_ENOUGH_ROOMS"]


def test_a13_a_partial_proposal_says_what_was_short() -> None:
    driver = small(2, 5)
    driver.reserve("t1", 3, 1, partial=True)
    assert [entry.body[0] for entry in driver.events("AlertRaised")] == ["NOT_ENOUGH_ROOMS"]


def test_a13_the_node_raises_alerts_of_its_own(driver: Driver) -> None:
    driver.reserve("t1", 1, 0)
    assert isinstance(driver.decide(RaiseAlert("OVERLOAD", "2025-2")), Accepted)
    assert isinstance(driver.decide(RaiseAlert("OVERLOAD", "2025-2")), Answered)
    assert isinstance(driver.decide(RaiseAlert("OVERLOAD", None)), Accepted)
    assert [entry.actor for entry in driver.events("AlertRaised")] == ["es", "es"]


def test_a14_a_room_granted_twice_stops_the_machine(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    [reserved] = driver.events("Reserved")
    with pytest.raises(AssertionError, match="not conserved"):
        driver.machine.evolve(_event(reserved._replace(request_id="t2")), 99, 0)


def test_a14_a_lab_granted_as_a_classroom_stops_the_machine(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    [reserved] = driver.events("Reserved")
    wrong = (*reserved.body[:8], (50, 82), (), ())
    assert driver.machine.settings.catalog.rooms[82].kind == "lab"
    with pytest.raises(AssertionError, match="not conserved"):
        driver.machine.evolve(_event(reserved._replace(request_id="t2", body=wrong)), 99, 0)


def test_a14_a_room_named_twice_in_one_event_stops_the_machine(driver: Driver) -> None:
    driver.reserve("t1", 7, 2)
    [reserved] = driver.events("Reserved")
    wrong = (*reserved.body[:8], (100, 100), (), ())
    with pytest.raises(AssertionError, match="not conserved"):
        driver.machine.evolve(_event(reserved._replace(request_id="t2", body=wrong)), 99, 0)


def test_a14_rooms_that_are_held_cannot_be_released(driver: Driver) -> None:
    driver.reserve("t1", 1, 0)
    term = driver.machine.inventory.terms["2025-2"]
    with pytest.raises(AssertionError, match="not conserved"):
        term.release(RoomSet(1, 1, 0, 0))


def test_a14_a_room_in_two_states_stops_the_machine_though_the_counts_agree(driver: Driver) -> None:
    driver.reserve("t1", 1, 0)
    term = driver.machine.inventory.terms["2025-2"]
    term.free ^= 0b100001
    with pytest.raises(AssertionError, match="not conserved"):
        driver.reserve("t2", 0, 1)


def test_a14_rooms_that_are_confirmed_cannot_be_held(driver: Driver) -> None:
    driver.allocate("t1", 1, 0)
    term = driver.machine.inventory.terms["2025-2"]
    with pytest.raises(AssertionError, match="not conserved"):
        term.hold(RoomSet(1, 1, 0, 0))


def test_a16_no_transaction_ends_twice(driver: Driver) -> None:
    driver.allocate("t1", 7, 2)
    [confirmed] = driver.events("Confirmed")
    with pytest.raises((AssertionError, KeyError)):
        driver.machine.evolve(_event(confirmed), 99, 0)


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"classrooms": -1}, "salones"), ({"classrooms": 1001}, "salones"), ({"classrooms": 0, "labs": 0}, "salones"),
        ({"labs": -1}, "laboratorios"), ({"labs": 1001}, "laboratorios"), ({"faculty_id": -1}, "faculty_id"),
        ({"program_id": 1 << 31}, "program_id"), ({"transaction_id": ""}, "transaction_id"),
        ({"transaction_id": "x" * 201}, "transaction_id"), ({"transaction_id": "\ud800"}, "transaction_id"),
        ({"term": "\udfff"}, "semester"), ({"faculty": "x" * 201}, "facultad"), ({"program": "\ud912"}, "programa"),
    ],
)  # fmt: skip
def test_a20_a_field_outside_its_limits_is_named_and_writes_nothing(
    driver: Driver, other: dict[str, object], field: str
) -> None:
    result = driver.do(request("t1", 7, 2)._replace(**other))  # type: ignore[arg-type]
    assert isinstance(result, Result)
    assert (result.status, result.code) == ("INVALID", "BAD_FIELD")
    assert result.reason is not None
    assert field in result.reason
    assert driver.batches == []


def test_a21_faculties_and_programs_are_registered_once(driver: Driver) -> None:
    driver.reserve("t1", 1, 0, faculty_id=1, program_id=1, program="Sistemas")
    driver.reserve("t2", 1, 0, faculty_id=1, program_id=1, program="another spelling")
    driver.reserve("t3", 1, 0, faculty_id=1, program_id=2, program="Civil")
    driver.reserve("t4", 1, 0, faculty_id=2, faculty="Ciencias", program_id=1, program="Física")
    assert [entry.body for entry in driver.events("FacultyRegistered")] == [(1, "Ingeniería"), (2, "Ciencias")]
    assert [entry.body for entry in driver.events("ProgramRegistered")] == [
        (1, 1, "Sistemas"), (1, 2, "Civil"), (2, 1, "Física"),
    ]  # fmt: skip


def test_a_thousand_terms_may_be_open_at_once(driver: Driver) -> None:
    for number in range(1_000):
        assert isinstance(driver.reserve(f"t{number}", 1, 0, term=f"term {number}"), Proposal)


def test_a16_no_transaction_holds_twice(driver: Driver) -> None:
    driver.reserve("t1", 1, 0)
    [reserved] = driver.events("Reserved")
    with pytest.raises(AssertionError, match="holds twice"):
        driver.machine.evolve(_event(reserved._replace(body=(*reserved.body[:8], (9,), (), ()))), 99, 0)


def _event(entry: Entry) -> Event:
    return Event(*entry[2:])
