"""The checker finds what it is there to find: with one rule broken, the suite fails where it is known to."""

from __future__ import annotations

import pytest

from es.testing.checker import Violation
from es.testing.directed import DIRECTED
from es.testing.mutants import applied
from es.testing.scenario import play
from ops.sim.mutants import MUTANTS
from ops.sim.suite import run_seed
from tests.simulation.known_schedules import FOUND_AT, REGRESSIONS, Place


def visit(place: Place) -> None:
    if place.seed is None:
        play(DIRECTED[place.name])
    else:
        run_seed(place.name, place.seed)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name: str) -> None:
    with applied(MUTANTS[name]), pytest.raises((Violation, AssertionError, KeyError)):
        visit(FOUND_AT[name])


@pytest.mark.parametrize(
    "place", sorted(set(FOUND_AT.values()), key=str), ids=lambda place: f"{place.name}-{place.seed}"
)
def test_without_a_mutant_nothing_is_found_there(place: Place) -> None:
    visit(place)


def test_the_table_of_mutants_is_whole() -> None:
    assert set(FOUND_AT) == set(MUTANTS)
    assert {regression.mutant for regression in REGRESSIONS} <= set(MUTANTS)
    assert len(MUTANTS) >= 20


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
