"""One seeded schedule: load under faults, healing, load again; then every invariant on what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from es.machine import Machine
from es.replication.timing import Timing
from es.testing.cluster import Load
from es.testing.coverage import Coverage, WatchedCluster
from es.testing.faults import FaultProfile
from es.testing.faulty_cluster import FaultyCluster
from es.testing.injector import CALMING_US, FaultInjector

COMMANDS_MIN = 100
FAULTS_MIN = 3
SEED_BITS = 64
FAULTY_US = CALMING_US
FAULTY_US_MAX = 40_000_000
"""The faulty phase goes on beyond `FAULTY_US`, ever calmer, until enough was asked and enough went wrong."""

HEALING_US = 2_000_000
"""From the last disk that hangs to both nodes in sync: silence, a takeover and a rejoining, with messages of before
healing still under way. The longest of 600 schedules took 1 550 ms."""

COMMIT_US = 2_000_000
"""From there to the next commit: clients find the server again. The longest of 600 schedules took 780 ms."""

FINISHING_US = 8_000_000


@dataclass(slots=True, frozen=True)
class Outcome:
    """What a schedule met: at least COMMANDS_MIN commands and FAULTS_MIN faults, all before it was healed."""

    seed: int
    commands: int
    faults: int
    counts: Counter[str]
    coverage: Coverage


def run(
    seed: int,
    machines: Callable[[], Sequence[Machine]],
    load: Load,
    timing: Timing | None = None,
    profile: FaultProfile | None = None,
    trace: list[str] | None = None,
    without: Collection[int] = (),
    draw: int = 0,
    struck: list[int] | None = None,
) -> Outcome:
    """Run one schedule. Faults whose numbers are in `without` are left out; another `draw` is the same faults and
    clients with other delays and losses of messages. `trace` and `struck` get lines and the numbers of faults as they
    happen. Raises Violation (es.testing.checker), and whatever a production assertion raises.
    """
    profile = profile or FaultProfile.drawn(seed)
    cluster = WatchedCluster(seed | draw << SEED_BITS, machines, load, timing or Timing(), profile)
    cluster.trace = trace
    injector = FaultInjector(cluster, profile, seed, without, [] if struck is None else struck)
    cluster.run_for(FAULTY_US)
    cluster.run_until(
        lambda: load.commands >= COMMANDS_MIN and injector.due >= FAULTS_MIN,
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
    coverage = Coverage(cluster.transitions, injector.faults, injector.pairs)
    return Outcome(seed, commands, injector.faults.total(), cluster.counts, coverage)


def _heal(cluster: FaultyCluster) -> None:
    """Liveness: without further faults both nodes come back in sync, and a commit follows (the checker's point 8)."""
    cluster.heal()
    cluster.run_until(cluster.in_sync, cluster.hung_us + HEALING_US, "one active server with both in sync")
    floor = cluster.checker.committed_seq
    cluster.run_until(lambda: cluster.checker.committed_seq > floor, COMMIT_US, "a commit after healing")
