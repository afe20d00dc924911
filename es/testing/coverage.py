"""What schedules met of what there is to meet: transitions of roles, kinds of faults, and ordered pairs of faults."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any, NamedTuple

from es.replication.effects import Halt, RoleChanged
from es.replication.transitions import TRANSITIONS, Role
from es.testing.cluster import SimulatedNode
from es.testing.faults import DEFAULT
from es.testing.faulty_cluster import FaultyCluster

Transition = tuple[Role, str]
"""The role that is left, and because of what."""

FOLLOWING = Role.FOLLOWING
IMPOSSIBLE: frozenset[Transition] = frozenset(
    {
        # A node claims an epoch for itself alone, and counts nobody in before it leads: while it opens that epoch
        # nobody else may promote itself. Only a register that an operator has replaced ends it.
        (Role.OPENING, "another epoch began"),
        # A node halts when its own log or its peer contradicts what it knows. The checker takes that for a violation,
        # unless a disk has forgotten; and disks lie only while the primary is heard, so that such a node follows.
        *(one for one, role in TRANSITIONS.items() if role is Role.HALTED and one[0] is not FOLLOWING),
    }
)
"""What no schedule can meet while the protocol is whole."""

POSSIBLE: tuple[Transition, ...] = tuple(one for one in TRANSITIONS if one not in IMPOSSIBLE)
KINDS = DEFAULT.kinds
NEED_BOTH = ("wipe", "damage", "lying disk", "lost lease", "one stays down")
"""What strikes only where two nodes run, or are counted in."""

PAIRS = tuple(
    (first, second)
    for first, second in product(KINDS, repeat=2)
    # Nothing strikes after a disk has lied, until its node must have been found out: that is beyond the aftermath.
    if first != "lying disk" and not (first == "one stays down" and second in NEED_BOTH)
)
"""(first, second): the second struck while the first was in effect, or soon after (es.testing.injector)."""


class WatchedCluster(FaultyCluster):
    """A cluster that counts its nodes' transitions."""

    def __init__(self, *arguments: Any) -> None:
        self.transitions: Counter[Transition] = Counter()
        self._roles: dict[tuple[str, int], Role] = {}
        super().__init__(*arguments)

    def _role_changed(self, node: SimulatedNode, change: RoleChanged) -> None:
        self.transitions[change.before, change.reason] += 1
        self._roles[node.name, node.lives] = change.after
        super()._role_changed(node, change)

    def _halted(self, node: SimulatedNode, halt: Halt) -> None:
        """A process begins by following; that it halts is the one transition it does not report as such."""
        self.transitions[self._roles.get((node.name, node.lives), FOLLOWING), "it must not go on"] += 1
        super()._halted(node, halt)


class Coverage(NamedTuple):
    """How often each was met."""

    transitions: Counter[Transition]
    faults: Counter[str]
    pairs: Counter[tuple[str, str]]

    def __add__(self, other: Coverage) -> Coverage:  # type: ignore[override]
        return Coverage(
            self.transitions + other.transitions, self.faults + other.faults, self.pairs + other.pairs
        )  # fmt: skip

    def counts(self) -> dict[str, dict[str, int]]:
        """By `transitions`, `faults` and `pairs`: how often each was met that can be met, by its name."""
        return {
            "transitions": {
                f"{before.value} -> {TRANSITIONS[before, why].value}: {why}": self.transitions[before, why]
                for before, why in POSSIBLE
            },
            "faults": {kind: self.faults[kind] for kind in KINDS},
            "pairs": {f"{first}, then {second}": self.pairs[first, second] for first, second in PAIRS},
        }

    def never_met(self) -> dict[str, list[str]]:
        """As `counts`, the names only of what no schedule met: the blind spots."""
        return {what: [name for name, times in counts.items() if not times] for what, counts in self.counts().items()}

    def figures(self) -> str:
        """Such as `transitions 9 of 9, faults 9 of 9, pairs 80 of 81`."""
        counts = self.counts().items()
        return ", ".join(f"{what} {sum(map(bool, every.values()))} of {len(every)}" for what, every in counts)


NOT_COVERED = Coverage(Counter(), Counter(), Counter())
