"""Which faults a schedule meets, and how often: a profile in numbers, drawn from by the cluster's seed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

RATES = ("loss", "duplication", "slow", "fsync_stall")
"""The fields of a profile that are probabilities, by name: what `calmed` can take away."""


@dataclass(slots=True, frozen=True)
class FaultProfile:
    """Probabilities are per message or per write; `*_every_ms` are mean intervals of single faults."""

    loss: float = 0.02
    duplication: float = 0.02
    slow: float = 0.04
    slow_ms_max: int = 400
    fsync_stall: float = 0.004
    fsync_stall_ms_max: int = 1_500
    fault_every_ms: int = 500
    pause_ms_max: int = 2_000
    down_ms_max: int = 1_500
    cut_ms_max: int = 1_500
    weights: tuple[tuple[str, int], ...] = (
        ("crash", 4),
        ("pause", 3),
        ("pause in a turn", 2),
        ("cut", 4),
        ("one-way cut", 3),
        ("isolate", 3),
        ("power cut", 3),
        ("crash in takeover", 1),
        ("witness crash", 1),
        ("clock jump", 1),
        ("wipe", 3),
        ("write error", 2),
        ("damage", 2),
        ("lying disk", 3),
        ("lost lease", 3),
        ("one stays down", 2),
        ("witness pause", 2),
    )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of fault that may strike."""
        return tuple(kind for kind, _ in self.weights)

    def calmed(self, names: Iterable[str]) -> FaultProfile:
        """This profile with some of its RATES at zero."""
        zeros: dict[str, Any] = dict.fromkeys(names, 0.0)
        assert zeros.keys() <= set(RATES)
        return replace(self, **zeros)

    @staticmethod
    def drawn(seed: int) -> FaultProfile:
        """A profile of this seed's own: what is rare in one schedule is frequent in another, so that combinations
        occur that one average profile would hardly ever meet (swarm testing, Groce et al., ISSTA 2012)."""
        draw = random.Random(f"profile {seed}")
        return replace(
            DEFAULT,
            loss=draw.choice((0.0, 0.02, 0.1)),
            duplication=draw.choice((0.0, 0.02, 0.1)),
            slow=draw.choice((0.0, 0.04, 0.15)),
            fsync_stall=draw.choice((0.0, 0.004, 0.02)),
            fault_every_ms=draw.choice((250, 500)),
            pause_ms_max=draw.choice((700, 2_000)),
            down_ms_max=draw.choice((100, 500, 1_500)),
            cut_ms_max=draw.choice((700, 1_500)),
        )


DEFAULT = FaultProfile()
CALM = FaultProfile(loss=0, duplication=0, slow=0, fsync_stall=0, fault_every_ms=1 << 40)
"""No faults at all: the schedule of a healing phase."""
