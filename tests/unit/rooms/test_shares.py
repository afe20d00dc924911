"""Nobody uses up for everybody what the state is bounded to: shares of faculties and of their programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from es.machine import Refused
from projections.rooms.catalog import default_catalog
from projections.rooms.commands import CloseTerm, Proposal
from projections.rooms.limits import Bounds
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import Driver, replays, request

TERM = "2025-2"


def bounded(**bounds: int) -> Driver:
    return Driver(Rooms(default_catalog(), bounds=Bounds(**bounds)))


def listed(*terms: str) -> Rooms:
    return Rooms(default_catalog(), terms=frozenset(terms))


def until_refused(driver: Driver, one_more: Callable[[int], dict[str, Any]], *, hold: bool = False) -> int:
    """How many requests are taken before one is refused; that one says how the next attempts would fare, too."""
    for number in range(10_000):
        asked = request(f"attack {number}", 1, 0, **one_more(number))
        decision = driver.decide(asked)
        if isinstance(decision, Refused):
            assert isinstance(driver.decide(asked), Refused), "a refusal changes nothing"
            return number
        if not hold:
            driver.reject(asked.transaction_id, asked.faculty_id)
    raise AssertionError("nothing was refused")


FLOODS: list[tuple[dict[str, int], Callable[[int], dict[str, Any]], bool, str]] = [
    ({"open_terms_max": 30}, lambda n: {"term": f"junk {n}"}, False, "LIMIT_REACHED"),
    ({"terms_ever_max": 30}, lambda n: {"term": f"junk {n}"}, False, "LIMIT_REACHED"),
    ({"transactions_per_term_max": 30}, lambda n: {}, False, "LIMIT_REACHED"),
    ({"transactions_max": 30}, lambda n: {"term": f"term {n % 3}"}, False, "LIMIT_REACHED"),
    ({"holds_max": 30}, lambda n: {}, True, "BUSY"),
    ({"programs_max": 30}, lambda n: {"program_id": n, "program": f"p{n}"}, False, "LIMIT_REACHED"),
]
IDS = [next(iter(bounds)) for bounds, *_ in FLOODS]


@pytest.mark.parametrize(("bounds", "one_more", "hold", "code"), FLOODS, ids=IDS)
def test_a_faculty_that_takes_all_it_can_leaves_as_much_to_the_next(
    bounds: dict[str, int], one_more: Callable[[int], dict[str, Any]], hold: bool, code: str
) -> None:
    driver = bounded(**bounds)

    def attack(number: int) -> dict[str, Any]:
        return {"program_id": number % 1_000, "program": f"p{number}"} | one_more(number)

    taken = until_refused(driver, attack, hold=hold)
    assert 14 <= taken <= 16, "half of it"
    refused = driver.do(request("attack again", 1, 0, **attack(taken)))
    assert (refused.status, refused.code) == ("UNAVAILABLE", code)
    victim = driver.reserve("an honest one", 7, 2, faculty_id=2, term="of its own", program_id=1)
    assert isinstance(victim, Proposal)
    others = until_refused(driver, lambda n: attack(taken + n) | {"faculty_id": 2}, hold=hold)
    assert 5 <= others <= 9, "half of what is left"


@pytest.mark.parametrize(("bounds", "one_more", "hold", "code"), FLOODS[:4], ids=IDS[:4])
def test_a_program_that_takes_all_it_can_leaves_some_to_its_faculty(
    bounds: dict[str, int], one_more: Callable[[int], dict[str, Any]], hold: bool, code: str
) -> None:
    driver = bounded(**bounds)
    assert until_refused(driver, one_more) == 10, "a third"
    assert isinstance(driver.reserve("a neighbour", 7, 2, program_id=2, term="of its own"), Proposal)


def test_a_program_opens_1024_terms_and_another_one_can_still() -> None:
    driver = Driver(Rooms(default_catalog()))
    assert until_refused(driver, lambda n: {"term": f"junk {n}"}) == 1_024
    assert isinstance(driver.reserve("t1", 1, 0, faculty_id=2, term="2026-1"), Proposal)


def test_a_closed_term_is_given_back_with_its_transactions() -> None:
    driver = bounded(open_terms_max=9, transactions_max=30)
    opened = until_refused(driver, lambda n: {"term": f"junk {n}"})
    driver.reserve("held to the end", 1, 0, term="junk 0")
    assert driver.do(CloseTerm("junk 0", "operator:registrar")).status == "ACCEPTED"
    faculty, program = driver.machine.inventory.shares.used_by(1, 1)
    assert (faculty.open_terms, faculty.transactions, faculty.held) == (opened - 1, opened - 1, 0)
    assert (program.open_terms, program.terms_ever) == (opened - 1, opened)
    assert isinstance(driver.reserve("t2", 1, 0, term="a new one"), Proposal)


def test_a_term_is_opened_by_who_asked_first_not_by_who_uses_it() -> None:
    driver = bounded()
    driver.reserve("t1", 1, 0)
    driver.reserve("t1", 1, 0, faculty_id=2, program_id=7)
    shares = driver.machine.inventory.shares
    assert [shares.used_by(*ids)[1].open_terms for ids in ((1, 1), (2, 7))] == [1, 0]


def test_shares_follow_from_the_log_alone() -> None:
    driver = bounded()
    for number in range(12):
        driver.reserve(f"t{number}", 100, 0, faculty_id=number % 3, term=f"term {number % 2}", program_id=number % 2)
        if number % 4 == 0:
            driver.reject(f"t{number}", number % 3)
    driver.do(CloseTerm("term 1", "operator:registrar"))
    *_, replayed = replays(driver.machine, driver.batches)
    assert replayed.inventory.shares.to_plain() == driver.machine.inventory.shares.to_plain()


def test_reading_what_somebody_uses_remembers_nobody() -> None:
    driver = bounded(open_terms_max=1)
    driver.reserve("t1", 1, 0)
    before = driver.machine.inventory.shares.to_plain()
    for number in range(50):
        assert isinstance(driver.decide(request("t2", 1, 0, faculty_id=number + 2, term="another")), Refused)
    assert driver.machine.inventory.shares.to_plain() == before


def test_a_bound_that_only_a_registrar_can_lift_is_not_busy_and_says_who_can() -> None:
    driver = bounded(open_terms_max=1)
    driver.reserve("t1", 1, 0)
    refused = driver.reserve("t2", 1, 0, term="2026-1")
    assert (refused.status, refused.code) == ("UNAVAILABLE", "LIMIT_REACHED")
    assert "term (semester)" in refused.reason
    assert "registrar" in refused.reason
    assert len(refused.reason) <= 200


def test_only_listed_terms_are_opened_and_others_are_refused_at_once() -> None:
    driver = Driver(listed("2025-1", TERM))
    assert isinstance(driver.reserve("t1", 1, 0), Proposal)
    written = len(driver.batches)
    refused = driver.reserve("t2", 1, 0, term="2025-22")
    assert (refused.status, refused.code) == ("INVALID", "UNKNOWN_TERM")
    assert "term (semester)" in refused.reason
    assert len(driver.batches) == written


def test_what_was_decided_before_the_list_keeps_its_answers() -> None:
    driver = bounded()
    driver.reserve("held", 1, 0, term="old")
    accepted = driver.allocate("kept", 1, 0, term="old")
    driver.machine.settings = listed(TERM).fresh().settings
    assert driver.reserve("kept", 1, 0, term="old") == accepted
    assert driver.accept("held").status == "ACCEPTED"
    assert driver.reserve("new", 1, 0, term="old").code == "UNKNOWN_TERM"
