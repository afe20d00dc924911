"""The checker finds what it is there to find: each log here breaks one rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from es.codec import GENESIS_HASH, Batch, Entry, encode_batch
from projections.rooms.catalog import default_catalog
from projections.rooms.checker import VIOLATIONS_MAX, Closing, Ending, Observation, Seen, check_rooms
from projections.rooms.commands import CloseTerm, Release
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import Driver

Edit = Callable[[list[Entry]], list[Entry]]


@pytest.fixture
def driver() -> Driver:
    driver = Driver(Rooms(default_catalog()))
    driver.allocate("t1", 7, 2)
    driver.reserve("t2", 7, 2)
    driver.reject("t2")
    driver.reserve("t3", 1, 62)
    driver.now_us += 60_000_000
    driver.expire()
    driver.allocate("t4", 1, 0)
    driver.do(Release("t4", 1, "operator:registrar", "roof"))
    return driver


def rewrite(driver: Driver, edit: Edit, shift_us: int = 0) -> list[Batch]:
    """The log with other entries, one batch an entry. An entry keeps its time, a new one takes that of the
    one before it; expiries are moved by `shift_us`."""
    timed = [(batch.ts_us, entry) for batch in driver.batches for entry in batch.entries]
    edited = edit([entry for _, entry in timed])
    by_entry = {id(entry): ts_us for ts_us, entry in timed}
    if len(edited) == len(timed):
        by_entry |= {id(entry): ts_us for entry, (ts_us, _) in zip(edited, timed, strict=True)}
    batches: list[Batch] = []
    ts_us = 0
    for entry in edited:
        ts_us = by_entry.get(id(entry), ts_us)
        previous = batches[-1].hash if batches else GENESIS_HASH
        moved_us = ts_us + (shift_us if entry.type == "Expired" else 0)
        batches.append(encode_batch(1, len(batches) + 1, previous, moved_us, [entry._replace(offset=0)]))
    return batches


def change(entries: list[Entry], name: str, which: int, **changes: object) -> list[Entry]:
    found = [place for place, entry in enumerate(entries) if entry.type == name][which]
    return [entry._replace(**changes) if place == found else entry for place, entry in enumerate(entries)]  # type: ignore[arg-type]


def only(entries: list[Entry], name: str, which: int = 0) -> Entry:
    return [entry for entry in entries if entry.type == name][which]


def without(entries: list[Entry], name: str, which: int = 0) -> list[Entry]:
    gone = only(entries, name, which)
    return [entry for entry in entries if entry is not gone]


def after(entries: list[Entry], name: str, extra: Entry) -> list[Entry]:
    place = entries.index(only(entries, name))
    return [*entries[: place + 1], extra, *entries[place + 1 :]]


def regrant(entries: list[Entry]) -> list[Entry]:
    first = only(entries, "Reserved", 0)
    return change(entries, "Reserved", 1, body=(*only(entries, "Reserved", 1).body[:8], *first.body[8:]))


def grant(classrooms: tuple[int, ...], labs: tuple[int, ...]) -> Edit:
    return lambda entries: change(
        entries, "Reserved", 1, body=(*only(entries, "Reserved", 1).body[:8], classrooms, labs, ())
    )


MUTANTS: dict[str, tuple[str, Edit]] = {
    "granted twice": ("double-grant", regrant),
    "a lab as a classroom": ("conservation", grant((44, 45, 46, 47, 48, 49, 82), (83, 84))),
    "the same room twice": ("conservation", grant((44, 44, 46, 47, 48, 49, 50), (83, 84))),
    "more than asked for": ("conservation", grant((44, 45, 46, 47, 48, 49, 50, 51), (83, 84))),
    "mobile lab a lab too": (
        "conservation",
        lambda entries: change(
            entries, "Reserved", 1, body=(*only(entries, "Reserved", 1).body[:8], tuple(range(44, 51)), (83,), (84,))
        ),
    ),
    "confirmed twice": ("one-outcome", lambda e: after(e, "Confirmed", only(e, "Confirmed"))),
    "rejected after it was confirmed": (
        "one-outcome", lambda e: after(e, "Confirmed", only(e, "Rejected")._replace(request_id="t1"))
    ),
    "decided twice": ("one-outcome", lambda e: after(e, "Rejected", only(e, "Reserved", 1))),
    "released twice": ("one-outcome", lambda e: after(e, "Released", only(e, "Released"))),
    "released unconfirmed": (
        "one-outcome", lambda e: after(e, "Rejected", only(e, "Released")._replace(request_id="t2"))
    ),
    "expiry not logged": ("double-grant", lambda e: without(e, "Expired")),
    "confirmation not logged": ("one-outcome", lambda e: without(e, "Confirmed", 1)),
    "another's name": ("actor", lambda e: change(e, "Confirmed", 0, actor="faculty:2")),
    "an expiry by a faculty": ("actor", lambda e: change(e, "Expired", 0, actor="faculty:1")),
    "released by another faculty": ("actor", lambda e: change(e, "Released", 0, actor="faculty:2")),
    "registered by another faculty": ("actor", lambda e: change(e, "ProgramRegistered", 0, actor="faculty:2")),
    "no such room": ("reference", grant((440,) * 7, (1, 2))),
    "a negative room": ("reference", grant((-1,) * 7, (1, 2))),
    "no such term": ("reference", lambda e: without(e, "TermOpened")),
}  # fmt: skip


def test_a_good_log_has_no_violation(driver: Driver) -> None:
    assert check_rooms(driver.batches) == []
    assert check_rooms(rewrite(driver, lambda entries: entries)) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_log_is_found_out(driver: Driver, name: str) -> None:
    rule, edit = MUTANTS[name]
    found = check_rooms(rewrite(driver, edit))
    assert rule in {violation.rule for violation in found}


def test_an_expiry_before_its_deadline_is_found_out(driver: Driver) -> None:
    [violation] = check_rooms(rewrite(driver, lambda entries: entries, shift_us=-55_000_001))
    assert violation.rule == "expiry"


def test_a_confirmation_after_its_deadline_is_found_out(driver: Driver) -> None:
    def late(entries: list[Entry]) -> list[Entry]:
        return change(entries, "Expired", 0, type="Confirmed", actor="faculty:1")

    assert "expiry" in {violation.rule for violation in check_rooms(rewrite(driver, late))}


def receipt(driver: Driver, event_type: str, which: int = 0) -> tuple[int, str]:
    """The seq and the hash of an event."""
    return [
        (batch.first_seq + entry.offset, batch.hash.hex())
        for batch in driver.batches
        for entry in batch.entries
        if entry.type == event_type
    ][which]


def what_clients_saw(driver: Driver) -> dict[Seen, list[Seen]]:
    """What stands in that log, each with the same in which one thing is another."""
    ids = default_catalog().ids
    driver.reserve("none", 400, 0)
    driver.reserve("held", 3, 0)
    driver.do(CloseTerm("2025-2", "operator:ana"))
    good = Observation("t1", 1, *receipt(driver, "Confirmed"), ids[:7], ids[38:40], (), 1)
    released = Ending("t4", 1, *receipt(driver, "Released"), "CANCELED", "RELEASED", 1)
    others = [
        Ending("t2", 1, *receipt(driver, "Rejected"), "CANCELED", "REJECTED", 1),
        Ending("t3", 1, *receipt(driver, "Expired"), "CANCELED", "ACK_TIMEOUT", 1),
        Ending("none", 1, *receipt(driver, "Denied"), "DENIED", "NOT_ENOUGH_ROOMS", 1),
    ]
    closed = Closing("2025-2", *receipt(driver, "TermClosed"), 7, 2, 1, 1)
    every: dict[Seen, list[Seen]] = {
        good: [good._replace(classrooms=ids[1:8]), good._replace(labs=()), good._replace(mobile=ids[:1])],
        closed: [closed._replace(classrooms=8), closed._replace(labs=0), closed._replace(holds=0),
                 closed._replace(term="2026-1")],
    }  # fmt: skip
    for one in (released, *others):
        every[one] = [one._replace(status="UNKNOWN"), one._replace(code=None), one._replace(code="BUSY")]
        every[one] += [one._replace(status=other.status, code=other.code) for other in others if other != one]
    for seen, bad in every.items():
        bad += [seen._replace(seq=1), seen._replace(seq=999), seen._replace(hash="00"), seen._replace(epoch=2)]
        if not isinstance(seen, Closing):
            bad += [seen._replace(faculty_id=2), seen._replace(transaction_id="t9")]
    return every


def test_what_a_client_saw_must_stand_in_the_log(driver: Driver) -> None:
    every = what_clients_saw(driver)
    assert check_rooms(driver.batches, every) == []
    assert check_rooms(driver.batches, [seen._replace(epoch=None) for seen in every]) == []
    for seen, bad in every.items():
        assert len(bad) >= 8
        for one in bad:
            [violation] = check_rooms(driver.batches, [*every, one])
            assert (violation.rule, violation.seq) == ("receipt", one.seq), (seen, one)


def test_the_report_of_a_hopeless_log_is_bounded(driver: Driver) -> None:
    def worse(entries: list[Entry]) -> list[Entry]:
        return [*entries, *[only(entries, "Confirmed")] * (VIOLATIONS_MAX + 50)]

    assert len(check_rooms(rewrite(driver, worse))) == VIOLATIONS_MAX
