"""Schedules meet what there is to meet, and what they do not meet is named."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from es.replication.transitions import TRANSITIONS, Role
from es.testing.coverage import IMPOSSIBLE, KINDS, NEED_BOTH, NOT_COVERED, PAIRS, POSSIBLE, Coverage
from es.testing.injector import AFTERMATH_US
from es.testing.scenario import play
from ops.sim.suite import LEDGER, Schedule, run_schedule
from tests.simulation.known_schedules import COVERING

MOVE = re.compile(r"[ab] (\w+) -> (\w+) in epoch \d+: (.*)")
FAULT = re.compile(r" *(\d+)\.\d+ that was fault (\d+): (.*)")


def test_every_transition_and_every_kind_of_fault_is_met() -> None:
    coverage = sum((run_schedule(schedule).coverage for schedule in COVERING), NOT_COVERED)
    missed = coverage.never_met()
    assert (missed["transitions"], missed["faults"]) == ([], [])
    assert coverage.transitions.keys() == set(POSSIBLE)
    assert coverage.figures().startswith(f"transitions {len(POSSIBLE)} of {len(POSSIBLE)}, faults {len(KINDS)} of ")


def test_coverage_is_what_the_trace_says() -> None:
    trace: list[str] = []
    struck: list[int] = []
    coverage = run_schedule(Schedule(LEDGER, 2), trace, struck).coverage
    moves = Counter((Role(before), why) for before, _, why in MOVE.findall("\n".join(trace)))
    faults = [(int(number), kind) for _, number, kind in (one.groups() for one in map(FAULT.match, trace) if one)]
    assert coverage.transitions == moves
    assert coverage.faults == Counter(kind for _, kind in faults)
    assert struck == [number for number, _ in faults]


def test_faults_that_follow_each_other_within_the_aftermath_are_pairs() -> None:
    trace: list[str] = []
    coverage = run_schedule(Schedule(LEDGER, 2), trace).coverage
    faults = [(int(ms), kind) for ms, _, kind in (one.groups() for one in map(FAULT.match, trace) if one)]
    for (ms, kind), (next_ms, next_kind) in pairwise(faults):
        if (next_ms - ms) * 1_000 <= AFTERMATH_US:
            assert coverage.pairs[kind, next_kind] > 0
    assert coverage.pairs.keys() <= set(PAIRS)


def test_nodes_move_as_the_table_says() -> None:
    for seed in range(4):
        trace: list[str] = []
        run_schedule(Schedule(LEDGER, seed), trace)
        for before, after, why in MOVE.findall("\n".join(trace)):
            assert TRANSITIONS[Role(before), why] is Role(after)


def test_what_was_not_met_is_named() -> None:
    one = POSSIBLE[0]
    coverage = Coverage(Counter({one: 3}), Counter({KINDS[0]: 2}), Counter())
    missed = coverage.never_met()
    assert len(missed["transitions"]) == len(POSSIBLE) - 1
    assert missed["faults"] == list(KINDS[1:])
    assert len(missed["pairs"]) == len(PAIRS) == len(KINDS) * (len(KINDS) - 1) - len(NEED_BOTH)
    assert coverage.figures() == (
        f"transitions 1 of {len(POSSIBLE)}, faults 1 of {len(KINDS)}, pairs 0 of {len(PAIRS)}"
    )
    assert (coverage + coverage).counts()["faults"][KINDS[0]] == 4


def test_what_is_impossible_stands_in_the_table() -> None:
    assert TRANSITIONS.keys() >= IMPOSSIBLE
    assert set(POSSIBLE) == TRANSITIONS.keys() - IMPOSSIBLE


def test_a_promise_that_comes_too_late_is_given_up() -> None:
    """The primary returns while the disk of its heir hangs."""
    commands = ("run 1000", "crash a", "run 450", "stall b 280", "run 120", "restart a", "run 200")
    script = "\n".join(f"> {command}" for command in commands)
    moves = [(Role(before), reason) for before, _, reason in MOVE.findall(play(script)) if before == "promising"]
    assert moves == [(Role.PROMISING, "another epoch began")]


def test_a_promise_is_not_made_twice() -> None:
    script = "\n".join(
        f"> {command}"
        for command in (
            "run 1000", "crash a", "hold CompareAndSwap b -> w", "run 700", "crash b", "drop CompareAndSwap",
            "restart b", "run 1500",
        )
    )  # fmt: skip
    moves = [(Role(before), reason) for before, _, reason in MOVE.findall(play(script)) if before == "following"]
    assert moves[-1] == (Role.FOLLOWING, "the witness granted again what was promised before")
