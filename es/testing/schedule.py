"""One seeded schedule: load under faults, healing, load again; then every invariant on what is left."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from es.machine import Machine
from es.replication.effects import WITNESS
from es.replication.timing import Timing
from es.testing.cluster import Cluster, Load
from es.testing.faults import FaultProfile

COMMANDS_MIN = 100
FAULTS_MIN = 3
FAULTY_US = 4_000_000
FAULTY_US_MAX = 40_000_000
"""The faulty phase goes on beyond `FAULTY_US`, ever calmer, until enough was asked and enough went wrong."""

HEALING_US = 6_000_000
COMMIT_US = 2_000_000
FINISHING_US = 8_000_000


@dataclass(slots=True, frozen=True)
class Outcome:
    """What a schedule met: at least COMMANDS_MIN commands and FAULTS_MIN faults, all before it was healed."""

    seed: int
    commands: int
    faults: int
    counts: Counter[str]


class FaultInjector:
    """Draws faults from a profile, ever rarer once `FAULTY_US` is over. Keeps to what the design promises to
    survive: a disk is wiped only while the other node alone is in sync."""

    def __init__(self, cluster: Cluster, profile: FaultProfile, seed: int) -> None:
        self.cluster = cluster
        self.profile = profile
        self.random = random.Random(f"faults {seed}")
        self.faults = 0
        self.stopped = False
        self._kinds = [kind for kind, weight in profile.weights for _ in range(weight)]
        self._next()

    def _next(self) -> None:
        mean = self.profile.fault_every_ms * (1 + self.cluster.now_us // FAULTY_US)
        self.cluster.after(self.random.randint(mean // 4, 2 * mean) * 1000, self._strike)

    def _strike(self) -> None:
        if self.stopped:
            return
        self._next()
        kind = self.random.choice(self._kinds)
        if getattr(self, "_" + kind.replace(" ", "_").replace("-", "_"))():
            self.faults += 1
            self.cluster.counts[f"fault: {kind}"] += 1

    def _ms(self, most: int) -> int:
        return self.random.randint(10, most) * 1000

    def _node(self) -> str:
        """A node, the active one more often than not."""
        active = self.cluster.active()
        return active[0] if active and self.random.random() < 0.6 else self.random.choice(sorted(self.cluster.nodes))

    def _crash(self) -> bool:
        name = self._node()
        if self.cluster.nodes[name].replica is None:
            return False
        self.cluster.crash(name)
        self.cluster.after(self._ms(self.profile.down_ms_max), self.cluster.restart, name)
        return True

    def _power_cut(self) -> bool:
        """Both servers lose power in the same instant and come back in any order."""
        for name, node in self.cluster.nodes.items():
            if node.replica is not None:
                self.cluster.crash(name)
                self.cluster.after(self._ms(self.profile.down_ms_max), self.cluster.restart, name)
        return True

    def _wipe(self) -> bool:
        cluster = self.cluster
        outside = [name for name, node in cluster.nodes.items() if node.member not in cluster.register.in_sync]
        if not outside or cluster.nodes[outside[0]].replica is None:
            return False
        cluster.crash(outside[0])
        if cluster.nodes[outside[0]].member in cluster.register.in_sync:
            return False
        cluster.wipe(outside[0])
        cluster.after(self._ms(self.profile.down_ms_max), cluster.restart, outside[0])
        return True

    def _pause(self) -> bool:
        self.cluster.pause(self._node(), self._ms(self.profile.pause_ms_max))
        return True

    def _cut(self) -> bool:
        one, two = self.random.sample(["a", "b", WITNESS], 2)
        self.cluster.cut([(one, two), (two, one)], self._ms(self.profile.cut_ms_max))
        return True

    def _one_way_cut(self) -> bool:
        one, two = self.random.sample(["a", "b", WITNESS], 2)
        self.cluster.cut([(one, two)], self._ms(self.profile.cut_ms_max))
        return True

    def _isolate(self) -> bool:
        name = self._node()
        others = [other for other in ("a", "b", WITNESS) if other != name]
        links = [link for other in others for link in ((name, other), (other, name))]
        self.cluster.cut(links, self._ms(self.profile.cut_ms_max))
        return True

    def _witness_crash(self) -> bool:
        self.cluster.crash_witness(self._ms(self.profile.down_ms_max))
        return True

    def _clock_jump(self) -> bool:
        self.cluster.jump_clock(self.random.choice((-1, 1)) * self.random.randint(2_000, 3_600_000) * 1000)
        return True


def run(
    seed: int,
    machines: Callable[[], Sequence[Machine]],
    load: Load,
    timing: Timing | None = None,
    profile: FaultProfile | None = None,
    trace: list[str] | None = None,
) -> Outcome:
    """Run one schedule. Raises Violation (es.testing.checker), and whatever a production assertion raises."""
    profile = profile or FaultProfile.drawn(seed)
    cluster = Cluster(seed, machines, load, timing or Timing(), profile)
    cluster.trace = trace
    injector = FaultInjector(cluster, profile, seed)
    cluster.run_for(FAULTY_US)
    cluster.run_until(
        lambda: load.commands >= COMMANDS_MIN and injector.faults >= FAULTS_MIN,
        FAULTY_US_MAX - FAULTY_US,
        f"{COMMANDS_MIN} commands under {FAULTS_MIN} faults",
    )
    injector.stopped = True
    commands = load.commands
    _heal(cluster)
    load.stop()
    cluster.run_until(lambda: load.idle() and cluster.settled(), FINISHING_US, "all that was asked ends, equal logs")
    replicas = {name: node.replica for name, node in cluster.nodes.items() if node.replica is not None}
    cluster.checker.on_end(cluster.logs(), replicas)
    load.check(cluster)
    return Outcome(seed, commands, injector.faults, cluster.counts)


def _heal(cluster: Cluster) -> None:
    """Liveness: without further faults both nodes come back in sync, and a commit follows (the checker's point 8)."""
    cluster.heal()
    cluster.run_until(cluster.in_sync, HEALING_US, "one active server with both in sync")
    floor = max(cluster.checker.committed, default=0)
    cluster.run_until(lambda: max(cluster.checker.committed, default=0) > floor, COMMIT_US, "a commit after healing")
