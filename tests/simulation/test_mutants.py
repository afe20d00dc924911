"""The checker finds what it is there to find: with one rule broken, the suite fails where it is known to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from es.testing.checker import Violation
from es.testing.directed import DIRECTED
from es.testing.mutants import applied
from es.testing.scenario import play
from ops.sim import mutant_search
from ops.sim.mutant_search import search
from ops.sim.mutants import MUTANTS
from ops.sim.pool import open_pool
from ops.sim.suite import LEDGER, ROOMS, SEEDS_PER_TASK, Schedule, Tally, run_schedule, run_schedules
from tests.simulation.known_schedules import FOUND_AT, REGRESSIONS

RULES_BROKEN = {
    "expiry not logged", "self-promotion", "going alone without the witness", "no duplicate table",
    "reply before replication", "acknowledgement before fsync", "no epoch fence", "joining early",
    "compare-and-swap without compare", "stale pending reply", "acknowledgement of any epoch", "late promise",
    "resumed epoch", "early duplicate answer", "read without a lease", "no start barrier", "hash not checked",
    "deadline by wall clock", "partial batch applied", "mobile lab counted twice",
}  # fmt: skip
"""What a proof of this protocol must at least be able to find."""


def visit(where: Schedule | str) -> None:
    if isinstance(where, str):
        play(DIRECTED[where])
    else:
        run_schedule(where)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name: str) -> None:
    with applied(MUTANTS[name]), pytest.raises((Violation, AssertionError, KeyError)):
        visit(FOUND_AT[name])


@pytest.mark.parametrize("where", sorted(set(FOUND_AT.values()), key=str), ids=str)
def test_without_a_mutant_nothing_is_found_there(where: Schedule | str) -> None:
    visit(where)


def test_the_table_of_mutants_is_whole() -> None:
    assert set(FOUND_AT) == set(MUTANTS)
    assert {regression.mutant for regression in REGRESSIONS if regression.mutant is not None} <= set(MUTANTS)
    assert len(RULES_BROKEN) == 20
    assert set(MUTANTS) >= RULES_BROKEN


def test_each_directed_schedule_finds_the_mutant_it_is_named_after() -> None:
    for name, script in DIRECTED.items():
        with applied(MUTANTS[name]), pytest.raises(Violation):
            play(script)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_gone_after_its_run(name: str) -> None:
    def methods() -> list[object]:
        return [owner.__dict__[attribute] for owner, attribute, _ in MUTANTS[name].changes]

    before = methods()
    with applied(MUTANTS[name]):
        assert methods() == [replacement for _, _, replacement in MUTANTS[name].changes] != before
    assert methods() == before


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_search_finds_a_mutant_at_its_first_seed(jobs: int) -> None:
    heard: list[int] = []
    where = FOUND_AT["joining early"]
    assert isinstance(where, Schedule)
    with open_pool(jobs) as pool:
        (found,) = search(pool, ["joining early"], [LEDGER, ROOMS], range(where.seed + 60), heard.append)
    assert found.seeded is not None
    assert found.seeded.where == where
    assert (found.seeded.invariant, heard, found.survives) == ("I4", [1], False)


def test_a_search_stops_where_it_has_found_a_mutant(monkeypatch: pytest.MonkeyPatch) -> None:
    first_seeds: list[int] = []

    def run(schedules: Sequence[Schedule], mutant: str) -> Tally:
        first_seeds.append(schedules[0].seed)
        return run_schedules(schedules, mutant)

    monkeypatch.setattr(mutant_search, "run_schedules", run)
    with open_pool(1) as pool:
        search(pool, ["reply before replication"], [LEDGER, ROOMS], range(10 * SEEDS_PER_TASK), lambda _: None)
    assert first_seeds == [0]


def test_a_search_tells_directed_schedules_from_seeds() -> None:
    with open_pool(1) as pool:
        (found,) = search(pool, ["pending given up without asking"], [LEDGER, ROOMS], range(1), lambda _: None)
    assert found.seeded is None
    assert {"pending given up without asking", "read without the lease of pending"} == set(found.row()["directed"])
    assert not found.survives
