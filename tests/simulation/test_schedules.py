"""The fixed part of the simulation: the same schedules on every run. Longer ones: `python -m ops.sim --seeds N`."""

from __future__ import annotations

import pytest

from es.testing.directed import DIRECTED
from es.testing.scenario import play
from es.testing.schedule import COMMANDS_MIN, FAULTS_MIN
from ops.sim.suite import LEDGER, LOADS, run_seed, run_seeds
from tests.simulation.known_schedules import REGRESSIONS, Regression

SEEDS_PER_LOAD = 240
CHUNK = 40


@pytest.mark.parametrize("first", range(0, SEEDS_PER_LOAD, CHUNK))
@pytest.mark.parametrize("load", LOADS)
def test_every_invariant_holds_in_every_schedule(load: str, first: int) -> None:
    tally = run_seeds([load], range(first, first + CHUNK))
    assert tally.failure is None, f"{tally.failure}\nreplay: {tally.failure.replay(None)}"
    assert tally.schedules == CHUNK


@pytest.mark.parametrize("name", DIRECTED)
def test_every_invariant_holds_where_chance_hardly_leads(name: str) -> None:
    play(DIRECTED[name])


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda one: f"{one.place.name}-{one.place.seed}")
def test_what_once_failed_holds(regression: Regression) -> None:
    assert regression.place.seed is not None
    run_seed(regression.place.name, regression.place.seed)


@pytest.mark.parametrize("load", LOADS)
def test_a_schedule_asks_enough_and_enough_goes_wrong(load: str) -> None:
    for seed in range(10):
        outcome = run_seed(load, seed)
        assert outcome.commands >= COMMANDS_MIN == 100
        assert outcome.faults >= FAULTS_MIN == 3


@pytest.mark.parametrize("load", LOADS)
def test_a_seed_decides_everything(load: str) -> None:
    traces: list[list[str]] = [[], []]
    outcomes = [run_seed(load, 7, trace) for trace in traces]
    assert traces[0] == traces[1] != []
    assert outcomes[0] == outcomes[1]


def test_another_seed_is_another_schedule() -> None:
    traces: list[list[str]] = [[], []]
    for seed, trace in enumerate(traces):
        run_seed(LEDGER, seed, trace)
    assert traces[0] != traces[1]
