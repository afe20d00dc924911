"""One trial: a cluster under load, a fault, what must be seen while it lasts, healing, the checker."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from es.testing.real_time import Span
from nodes.clients.sustained_load import SustainedLoad
from nodes.shell import read_clock
from ops.cluster import RunningCluster
from ops.observe import observe, unreadiness
from ops.prove.faults import ClockJump, Role, Scene
from ops.prove.labs import Lab
from ops.prove.topologies import Expected, Topology
from ops.prove.wall_clock import WallClocks
from ops.verdict import Verdict, at_rest, drain, epoch_of, head_seq, judge, until

FIRST_RESULTS_WITHIN_S: Final = 20.0
SEEN_WITHIN_S: Final = 45.0
"""The longest pause is 30 s."""

HEALED_WITHIN_S: Final = 60.0
HELD_BEYOND_GRACE_MS: Final = 1_000
"""Every fault lasts so much longer than what would make a server act."""


RUSH: Final = 300
"""Transactions that follow each other without rest around the moment a fault strikes, and again when it goes."""

RUSHED_RESULTS: Final = 50
RUSHED_WITHIN_S: Final = 10.0
"""A fault strikes once so many of these have ended."""


@dataclass(slots=True, frozen=True)
class Clients:
    """Programs at each faculty, clients on host c and on each server's host, what each of those keeps under way,
    and how long each rests except around a fault: whoever only waits for the cluster leaves it time to heal."""

    programs: int
    clients: int
    beside_servers: int
    window: int
    rest_ms: int = 0


@dataclass(slots=True, frozen=True)
class Trial:
    """What was seen. Times are in ms.

    detect_ms, promote_ms   from the log: silence when a backup acted, and from then to its first batch;
                            None if none did
    first_reply_ms          from the fault to the first result of a later epoch, at the clients of host c
    unavailable_ms          longest time without a result at the clients of host c, from the fault to the end
    packets_lost            taken away by the lab; None where it does not see packets
    """

    verdict: Verdict
    detect_ms: int | None
    promote_ms: int | None
    first_reply_ms: float | None
    unavailable_ms: float
    heal_ms: float
    packets_lost: int | None
    failures: Sequence[str]


@dataclass(slots=True)
class Course:
    """How a fault went. Boot times in µs: it was there, and was about to be undone; `epoch` is the highest
    that a server knew then; `was_seen` says whether what is expected was."""

    began_us: int
    ended_us: int
    epoch: int
    was_seen: bool
    first_reply_ms: float | None
    packets_lost: int | None


def run_trial(
    lab: Lab, cluster: RunningCluster, clocks: WallClocks | None, topology: Topology, clients: Clients, seed: int
) -> Trial:
    """Do a topology's faults once to a cluster that is in sync. The same seed draws the same.

    Raises Stopped if a process ends that should not, or the cluster does not heal; NotPermitted.
    """
    scene = set_scene(lab, cluster, clocks, random.Random(f"{topology.name} {seed}"))
    until(lambda: at_rest(lab.config, scene.epoch), HEALED_WITHIN_S, ())
    began_seq = head_seq(lab.config)
    with under_load(lab, clients, seed) as loads:
        rush(loads)
        course = strike(scene, topology, loads, lab.config.timing.grace_ms + HELD_BEYOND_GRACE_MS)
        healing_s = time.monotonic()
        await_ready(cluster)
        heal_ms = (time.monotonic() - healing_s) * 1_000
        drain(lab.config, loads)
    verdict = judge(lab.config, loads, began_seq)
    promoted = next((epoch for epoch in verdict.epochs if epoch.cause == "failover"), None)
    return Trial(
        verdict=verdict,
        detect_ms=promoted.silence_ms if promoted else None,
        promote_ms=promoted.promote_ms if promoted else None,
        first_reply_ms=course.first_reply_ms,
        unavailable_ms=longest_gap_us(loads[0].journal.spans, course.began_us) / 1_000,
        heal_ms=heal_ms,
        packets_lost=course.packets_lost,
        failures=[*verdict.broken(), *_unexpected(scene, topology, course, verdict, loads)],
    )


def set_scene(lab: Lab, cluster: RunningCluster, clocks: WallClocks | None, drawn: random.Random) -> Scene:
    """The scene of a fault, once the cluster has nothing to wait for. Raises Stopped."""
    servers = await_ready(cluster)["servers"]
    active = next(server for server in servers if server["active"])
    backup = next(server["name"] for server in servers if not server["active"])
    return Scene(lab, cluster, clocks, active["name"], backup, active["epoch"], drawn)


def await_ready(cluster: RunningCluster) -> dict[str, Any]:
    """The cluster's own account of itself once it has nothing to wait for. Raises Stopped."""
    ready: dict[str, Any] = {}

    def why_not() -> str | None:
        ready.update(observe(cluster.config))
        return unreadiness(ready)

    cluster.supervisor.await_ready(why_not, HEALED_WITHIN_S)
    return ready


@contextmanager
def under_load(lab: Lab, clients: Clients, seed: int) -> Iterator[list[SustainedLoad]]:
    """The load of host c first, then that of every server's host; all under way, closed in the end."""
    loads: list[SustainedLoad] = []
    with ExitStack() as stack:
        hosts = ["c", *(server.name for server in lab.config.servers if clients.beside_servers)]
        for number, host in enumerate(hosts):
            with lab.on(host):
                load = SustainedLoad(
                    lab.seen_from(host),
                    programs=0 if number else clients.programs,
                    clients=clients.beside_servers if number else clients.clients,
                    seed=seed * len(hosts) + number,
                    window=clients.window,
                    rest_ms=clients.rest_ms,
                )
                load.start()
            stack.callback(load.close)
            loads.append(load)
        until(lambda: loads[0].journal.statuses.total() > 0, FIRST_RESULTS_WITHIN_S, loads)
        yield loads


def rush(loads: Sequence[SustainedLoad], count: int = RUSH) -> None:
    """Nobody rests for the next `count` transactions of each load; some have ended when this returns."""
    ended = loads[0].journal.statuses.total()
    for load in loads:
        load.rush(count)
    until(lambda: loads[0].journal.statuses.total() >= ended + RUSHED_RESULTS, RUSHED_WITHIN_S, loads)


def strike(scene: Scene, topology: Topology, loads: Sequence[SustainedLoad], hold_ms: float) -> Course:
    """Do the faults, keep them up for `hold_ms` at least and until what is expected was seen, undo them."""
    journal, expected = loads[0].journal, topology.expected
    journal.await_epoch_after(scene.epoch)
    lost_before = scene.lab.lost()
    with ExitStack() as stack:
        began_us = read_clock().boot_us
        turns = [stack.enter_context(fault.applied(scene)) for fault in topology.faults]
        there_us = read_clock().boot_us

        def is_seen() -> bool:
            over = [turn() for turn in turns]
            epoch = journal.new_result is not None or expected not in (Expected.ALONE, Expected.TAKEOVER)
            served = not expected.serves or (bool(journal.spans) and journal.spans[-1].began_us > there_us)
            return all(over) and epoch and served and read_clock().boot_us >= there_us + hold_ms * 1_000

        was_seen = until(is_seen, SEEN_WITHIN_S, loads)
        ended_us = read_clock().boot_us
        epoch = epoch_of(scene.lab.config)
        lost = scene.lab.lost()
        for load in loads:
            load.rush(RUSH)  # the cluster heals in the midst of it
    first = journal.new_result
    return Course(
        began_us=there_us,
        ended_us=ended_us,
        epoch=epoch,
        was_seen=was_seen,
        first_reply_ms=None if first is None else (first.boot_us - began_us) / 1_000,
        packets_lost=None if lost is None or lost_before is None else lost - lost_before,
    )


def longest_gap_us(spans: Sequence[Span], from_us: int) -> int:
    """The longest time in which nothing ended, from that moment on."""
    ends = [from_us, *sorted(span.ended_us for span in spans if span.ended_us > from_us)]
    return max((later - earlier for earlier, later in pairwise(ends)), default=0)


def _unexpected(
    scene: Scene, topology: Topology, course: Course, verdict: Verdict, loads: Sequence[SustainedLoad]
) -> Iterator[str]:
    """What a fault should have brought about and did not, or should not have and did."""
    expected, epochs = topology.expected, verdict.epochs
    told = [(epoch.cause, epoch.primary) for epoch in epochs]
    if not course.was_seen:
        yield f"not seen within {SEEN_WITHIN_S:g} s: {expected.value}"
    if (expected is Expected.UNDISTURBED and epochs) or (expected is Expected.WAITS and course.epoch > scene.epoch):
        yield f"epochs began: {told}"
    if expected is Expected.ALONE and told[:1] != [("shrink", scene.primary)]:
        yield f"{scene.primary} did not shrink first: {told}"
    if expected is Expected.TAKEOVER and told[:1] != [("failover", scene.backup)]:
        yield f"{scene.backup} did not take over first: {told}"
    during = asked_and_answered(loads[0].journal.spans, course)
    if expected.serves and not during:
        yield "no result while the fault lasted"
    if expected is Expected.WAITS and during:
        yield f"{during} results while nobody may decide"
    minority = minority_results(scene, topology, course, loads)
    if minority:
        yield f"{minority} results on the side of the {topology.minority}, a minority"
    jumps = [fault.role for fault in topology.faults if isinstance(fault, ClockJump)]
    if jumps and verdict.expired:
        yield f"{verdict.expired} holds expired as a clock jumped"
    if Role.PRIMARY in jumps and not verdict.clock_anomalies:
        yield "no ClockAnomaly says that the primary's clock jumped"


def asked_and_answered(spans: Sequence[Span], course: Course) -> int:
    """Results of what was first asked, and answered, while the fault was there."""
    return sum(course.began_us < span.began_us and span.ended_us < course.ended_us for span in spans)


def minority_results(scene: Scene, topology: Topology, course: Course, loads: Sequence[SustainedLoad]) -> int:
    """Results that clients beside the minority's server asked for and got while the fault was there."""
    if topology.minority is None or len(loads) == 1:
        return 0
    hosts = [server.name for server in scene.lab.config.servers]
    beside = loads[1 + hosts.index(scene.points(topology.minority)[0])]
    return asked_and_answered(beside.journal.spans, course)
