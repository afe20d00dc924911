"""The table of roles and the simulation agree: nodes move as the table says, and make every move that chance offers."""

from __future__ import annotations

import re

from es.replication.transitions import TRANSITIONS, Role
from es.testing.scenario import play
from ops.sim.suite import LEDGER, run_seed

MOVE = re.compile(r"[ab] (\w+) -> (\w+) in epoch \d+: (.*)")
SEEDS = (1, 2, 3, 48)
ELSEWHERE = {
    (Role.FOLLOWING, "the witness granted again what was promised before"),  # tests/scenarios/promised_before.txt
    (Role.OPENING, "another epoch began"),  # test_roles.py: only an operator can cause it
} | {
    move for move, role in TRANSITIONS.items() if role is Role.HALTED
}  # test_roles.py: nothing halts in a sound cluster


def test_nodes_move_as_the_table_says_and_make_every_move() -> None:
    seen: dict[tuple[Role, str], Role] = {}
    for seed in SEEDS:
        trace: list[str] = []
        run_seed(LEDGER, seed, trace)
        for before, after, reason in MOVE.findall("\n".join(trace)):
            seen[Role(before), reason] = Role(after)
    assert seen.items() <= TRANSITIONS.items()
    assert TRANSITIONS.keys() - seen.keys() <= ELSEWHERE


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
