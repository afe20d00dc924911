"""Replicas in a calm simulated cluster, for what stands before them: `a` leads, `b` follows."""

from __future__ import annotations

from typing import Any

from es.replication.effects import Answers, Committed
from es.replication.instant import Instant
from es.replication.replica import Replica
from es.replication.timing import Timing
from es.testing.cluster import Cluster, SimulatedNode
from es.testing.faults import CALM
from es.testing.faulty_cluster import FaultyCluster
from ops.sim.small_rooms import machine


class Quiet:
    """A load that asks nothing."""

    commands = 0

    def start(self, cluster: Cluster) -> None:
        """Nothing begins."""

    def stop(self) -> None:
        """Nothing ends."""

    def idle(self) -> bool:
        return True

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        raise AssertionError("nobody asked")

    def check(self, cluster: Cluster) -> None:
        """It was told nothing."""


class SimulatedServers:
    """A cluster in sync. `answers` and `committed` keep what `a` gives, in its order."""

    def __init__(self) -> None:
        self.cluster = FaultyCluster(1, lambda: (machine(),), Quiet(), Timing(), CALM)
        self.answers: list[Answers] = []
        self.committed: list[Committed] = []
        self.cluster.on_answers = self._on_answers
        self.cluster.on_committed = self._on_committed
        self.cluster.run_for(2_000_000)
        assert self.cluster.in_sync() and self.replica("a").active

    def _on_answers(self, node: SimulatedNode, effect: Answers) -> None:
        self.answers.append(effect)

    def _on_committed(self, node: SimulatedNode, effect: Committed) -> None:
        if node.name == "a":
            self.committed.append(effect)

    @property
    def now(self) -> Instant:
        return self.cluster.clock("a")

    def replica(self, name: str) -> Replica:
        replica = self.cluster.nodes[name].replica
        assert replica is not None
        return replica

    def run(self, call: Any, *arguments: Any) -> None:
        """`call(…)` in the process of `a`, and what follows from it in a tenth of a second."""
        self.cluster.run_at("a", lambda _node: call(*arguments))
        self.cluster.run_for(100_000)
