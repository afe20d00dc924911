"""The fixed part of the simulation: the same schedules on every run. Longer ones: `aulario sim --seeds N`."""

from __future__ import annotations

import pytest

from es.testing.directed import DIRECTED
from es.testing.scenario import play
from es.testing.schedule import COMMANDS_MIN, FAULTS_MIN
from ops.sim.pool import open_pool
from ops.sim.suite import LEDGER, LOADS, SEEDS_PER_TASK, Schedule, run_parallel, run_schedule, run_schedules
from tests.simulation.known_schedules import REGRESSIONS, Regression

SEEDS_PER_LOAD = 200
CHUNK = 40


@pytest.mark.parametrize("first", range(0, SEEDS_PER_LOAD, CHUNK))
@pytest.mark.parametrize("load", LOADS)
def test_every_invariant_holds_in_every_schedule(load: str, first: int) -> None:
    tally = run_schedules([Schedule(load, seed) for seed in range(first, first + CHUNK)])
    assert tally.failure is None, f"{tally.failure}\nreplay: {tally.failure.replay(None)}"
    assert tally.schedules == CHUNK


@pytest.mark.parametrize("name", DIRECTED)
def test_every_invariant_holds_where_chance_hardly_leads(name: str) -> None:
    play(DIRECTED[name])


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda one: str(one.schedule))
def test_what_once_failed_holds(regression: Regression) -> None:
    run_schedule(regression.schedule)


@pytest.mark.parametrize("load", LOADS)
def test_a_schedule_asks_enough_and_enough_goes_wrong(load: str) -> None:
    for seed in range(10):
        outcome = run_schedule(Schedule(load, seed))
        assert outcome.commands >= COMMANDS_MIN == 100
        assert outcome.faults >= FAULTS_MIN == 3


@pytest.mark.parametrize("load", LOADS)
def test_a_seed_decides_everything(load: str) -> None:
    traces: list[list[str]] = [[], []]
    outcomes = [run_schedule(Schedule(load, 7), trace) for trace in traces]
    assert traces[0] == traces[1] != []
    assert outcomes[0] == outcomes[1]


def test_another_seed_or_draw_is_another_schedule() -> None:
    traces: set[tuple[str, ...]] = set()
    for schedule in (Schedule(LEDGER, 0), Schedule(LEDGER, 1), Schedule(LEDGER, 0, draw=1)):
        trace: list[str] = []
        run_schedule(schedule, trace)
        traces.add(tuple(trace))
    assert len(traces) == 3


def test_processes_meet_what_one_process_meets() -> None:
    seeds = range(SEEDS_PER_TASK + 3)
    tallies = []
    for jobs in (1, 2):
        with open_pool(jobs) as pool:
            tallies.append(list(run_parallel(pool, [LEDGER], seeds, None)))
    assert tallies[0] == tallies[1]
    assert tallies[0][-1].schedules == len(seeds)
