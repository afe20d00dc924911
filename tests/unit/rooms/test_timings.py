"""The read model of timings: what log, servers, faculties and programs say becomes one row a request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from uuid import uuid4

from projections.rooms.catalog import default_catalog
from projections.rooms.identity import request_id_of
from projections.rooms.machine import Rooms
from projections.timings import FACULTY, SERVER, RequestTimings, Source, Timing, Told, key_of
from tests.unit.rooms.driver import START, Driver

T1, T2 = str(uuid4()), "a program's own id"
A, B = Source(SERVER, "a", 1), Source(SERVER, "b", 1)
F = Source(FACULTY, "faculty-1", 1)


def history() -> Driver:
    driver = Driver(Rooms(default_catalog()))
    driver.begin_epoch()
    driver.reserve(T1, 7, 2)
    driver.accept(T1)
    driver.reserve(T2, 1_000, 0)
    return driver


def timing(number: int, leg: str, ended_us: int, us: int, status: str = "", transaction_id: str = T1) -> Timing:
    return Timing(number, leg, "lbb", status, 1, 1, transaction_id, ended_us, us)


SERVER_TIMINGS = [timing(1, "sol_prop", 1_300, 300), timing(2, "ack_res", 1_900, 200, "ACCEPTED")]
FACULTY_TIMINGS = [
    timing(1, "sol_prop", 1_400, 500),
    timing(2, "ack_res", 2_000, 500),
    timing(3, "sol_res", 2_000, 1_100),
    timing(4, "program", 2_000, 1_200, "ACCEPTED"),
]
TOLD = Told(1, "Sistemas", T1, "2025-2", 7, 2, "lbb", "ACCEPTED", None, 1, 1, 700, 1_400)


def folded(*sources: tuple[Source, Iterable[Timing]]) -> RequestTimings:
    model = RequestTimings()
    for batch in history().batches:
        model.feed(batch)
    for source, timings in sources:
        for one in timings:
            model.take(source, one)
    return model


def test_a_request_is_one_row_whoever_speaks_of_it() -> None:
    model = folded((A, SERVER_TIMINGS), (F, FACULTY_TIMINGS))
    model.tell(TOLD)
    first, second = model.requests.values()
    assert (first.transaction_id, first.term, first.classrooms, first.labs) == (T1, "2025-2", 7, 2)
    assert (first.server_sol_prop_us, first.server_ack_res_us, first.server_sol_res_us) == (300, 200, 900)
    assert (first.faculty_sol_prop_us, first.faculty_sol_res_us, first.faculty_us) == (500, 1_100, 1_200)
    assert (first.program_us, first.began_us, first.is_satisfied) == (1_400, 700, True)
    assert (second.transaction_id, second.status, second.code) == (T2, "DENIED", "NOT_ENOUGH_ROOMS")
    assert not second.is_satisfied
    assert second.server_sol_res_us is None


def test_the_order_in_which_they_speak_does_not_matter() -> None:
    model = RequestTimings()
    model.tell(TOLD)
    for source, timings in ((F, FACULTY_TIMINGS), (A, SERVER_TIMINGS)):
        for one in timings:
            model.take(source, one)
    for batch in history().batches:
        model.feed(batch)
    other = folded((A, SERVER_TIMINGS), (F, FACULTY_TIMINGS))
    other.tell(TOLD)
    assert model.requests == other.requests


def test_what_the_program_was_told_outranks_the_log() -> None:
    gave_up = timing(1, "program", 10_000_900, 10_000_000, "UNKNOWN")
    model = folded((F, [gave_up]))
    row = model.requests[1, key_of(request_id_of(T1))]
    assert (row.ended, row.told, row.is_satisfied) == ("ACCEPTED", "UNKNOWN", False)
    model.take(F, timing(2, "program", 11_000_000, 20_000, "ACCEPTED"))
    assert row.is_satisfied, "it asked again"
    assert row.faculty_us == 10_000_000, "the first asking counts"
    model.tell(TOLD._replace(status="UNAVAILABLE", code="BUSY"))
    assert (row.status, row.code, row.is_satisfied) == ("UNAVAILABLE", "BUSY", False), "it never heard of that"


def test_who_was_refused_is_known_by_id_and_code() -> None:
    refused = timing(1, "program", 900, 400, "UNAVAILABLE", T2)._replace(code="LIMIT_REACHED")
    model = RequestTimings()
    model.take(F, timing(1, "sol_res", 800, 300, transaction_id=T1))
    model.take(F, refused._replace(number=2))
    first, second = model.requests.values()
    assert (first.transaction_id, first.status) == (T1, None)
    assert (second.transaction_id, second.status, second.code) == (T2, "UNAVAILABLE", "LIMIT_REACHED")
    for batch in history().batches:
        model.feed(batch)
    assert (second.ended, second.status, second.code) == ("DENIED", "UNAVAILABLE", "LIMIT_REACHED"), "what it was told"
    model.take(F, refused._replace(number=3, status="DENIED", code="NOT_ENOUGH_ROOMS"))
    assert (second.status, second.code) == ("DENIED", "NOT_ENOUGH_ROOMS"), "it asked again"
    assert second == RequestTimings.from_plain(json.loads(json.dumps(model.to_plain()))).requests[1, key_of(T2)]


def test_sol_in_to_res_out_is_told_only_where_one_server_saw_both() -> None:
    model = folded((A, SERVER_TIMINGS[:1]), (B, [timing(1, "ack_res", 900_000, 200, "ACCEPTED")]))
    row = model.requests[1, key_of(request_id_of(T1))]
    assert (row.server_ack_res_us, row.server_sol_res_us) == (200, None)
    denial = timing(3, "sol_res", 3_000, 400, "DENIED", T2)
    model.take(A, denial)
    assert model.requests[1, key_of(T2)].server_sol_res_us == 400


def test_a_takeover_has_its_phases() -> None:
    driver = history()
    driver.begin_epoch(START._replace(primary="b", cause="failover", silence_ms=410, promote_ms=25))
    driver.now_us += 3_000
    driver.reserve(str(uuid4()), 1, 0)
    driver.reserve(str(uuid4()), 1, 0)
    model = RequestTimings()
    for batch in driver.batches:
        model.feed(batch)
    [recovery] = model.recoveries
    assert (recovery.detect_ms, recovery.promote_ms, recovery.primary) == (410, 25, "b")
    assert recovery.first_event_ms == 3.0


def test_it_goes_on_from_what_was_kept() -> None:
    driver = history()
    model = RequestTimings()
    for batch in driver.batches[:-1]:
        model.feed(batch)
    for one in SERVER_TIMINGS[:1]:
        model.take(A, one)
    again = RequestTimings.from_plain(json.loads(json.dumps(model.to_plain())))
    again.feed(driver.batches[-1])
    for one in SERVER_TIMINGS:
        again.take(A, one)
    whole = folded((A, SERVER_TIMINGS))
    assert again.requests == whole.requests
    assert again.to_plain() == whole.to_plain()


def test_what_it_has_read_it_passes_over() -> None:
    model = folded((A, SERVER_TIMINGS))
    before = model.to_plain()
    model.take(A, timing(1, "sol_prop", 9_000, 900, transaction_id=str(uuid4())))
    assert model.to_plain() == before
    model.take(A._replace(since_us=2), timing(1, "sol_prop", 9_000, 900, transaction_id=str(uuid4())))
    assert len(model.requests) == 3, "a new file numbers anew"


def test_the_oldest_request_is_forgotten_and_counted() -> None:
    model = RequestTimings(requests_max=1)
    for batch in history().batches:
        model.feed(batch)
    assert [row.transaction_id for row in model.requests.values()] == [T2]
    assert model.forgotten == 1
