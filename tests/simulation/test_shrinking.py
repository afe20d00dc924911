"""A failure is made small enough to read, and what is printed shows it again, word for word."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner

from es.testing.faults import RATES
from ops.cli import cli
from ops.sim.shrink import Seen, shrink, watch
from ops.sim.suite import LEDGER, Schedule, run_schedule
from tests.simulation.known_schedules import FOUND_AT

MUTANTS = ("joining early", "deadlines not extended")
"""One that a few faults together bring about, one that hardly needs any."""


def failing(mutant: str) -> Schedule:
    where = FOUND_AT[mutant]
    assert isinstance(where, Schedule)
    return where


@pytest.mark.parametrize("mutant", MUTANTS)
def test_fewer_faults_break_the_same_invariant(mutant: str) -> None:
    shrunk = shrink(failing(mutant), mutant, runs_max=100)
    before, after = shrunk.before, shrunk.after
    assert before.failure is not None and after.failure is not None
    assert after.failure.invariant == before.failure.invariant
    assert len(after.struck) < len(before.struck)
    assert len(after.trace) < 60
    assert after.trace[-1] == f"VIOLATION {after.failure.sentence}"
    assert shrunk.runs <= 100
    assert watch(after.schedule, mutant) == after


def test_the_command_that_is_printed_shows_it_again() -> None:
    mutant = "joining early"
    after = shrink(failing(mutant), mutant, runs_max=60).after
    assert after.failure is not None
    program, *arguments = shlex.split(after.failure.replay(mutant))
    result = CliRunner().invoke(cli, arguments)
    assert (program, result.exit_code) == ("aulario", 1)
    assert "\n".join(after.trace) in result.stdout


def test_no_run_is_made_beyond_the_bounds() -> None:
    assert shrink(failing("joining early"), "joining early", runs_max=3).runs == 3
    unchanged = shrink(failing("joining early"), "joining early", seconds_max=0.0)
    assert (unchanged.runs, unchanged.before) == (0, unchanged.after)


def test_what_does_not_fail_cannot_be_shrunk() -> None:
    with pytest.raises(ValueError, match="nothing fails"):
        shrink(Schedule(LEDGER, 7), None)


def test_a_fault_left_out_changes_neither_kind_nor_moment_of_the_others() -> None:
    def faults(seen: Seen) -> dict[int, str]:
        lines = [line for line in seen.trace if "that was fault" in line]
        return dict(zip(seen.struck, lines, strict=True))

    whole = watch(Schedule(LEDGER, 7), None)
    left_out = whole.struck[1]
    without = watch(Schedule(LEDGER, 7, without=frozenset({left_out})), None)
    in_both = faults(whole).keys() & faults(without).keys()
    assert left_out not in in_both
    assert max(in_both) > left_out
    assert all(faults(without)[number] == faults(whole)[number] for number in in_both)


def test_calm_rates_do_nothing() -> None:
    seed = next(seed for seed in range(100) if _drawn(seed, frozenset())["lost"])
    assert _drawn(seed, frozenset(RATES)) == {"lost": 0, "duplicated": 0, "fsync stall": 0}


def _drawn(seed: int, calm: frozenset[str]) -> dict[str, int]:
    counts = run_schedule(Schedule(LEDGER, seed, calm=calm)).counts
    return {name: counts[name] for name in ("lost", "duplicated", "fsync stall")}
