"""One trial: a cluster under load, a fault, what must be seen while it lasts, healing, the checker."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from es.testing.real_time import Span
from nodes.shell import read_clock
from nodes.sustained_load import SustainedLoad
from ops.cluster import RunningCluster
from ops.observe import observe, unreadiness
from ops.prove.faults import ClockJump, Scene
from ops.prove.labs import Lab
from ops.prove.topologies import Expected, Topology
from ops.prove.wall_clock import WallClocks
from ops.verdict import Verdict, drain, head_seq, judge, until

FIRST_RESULTS_WITHIN_S: Final = 20.0
SEEN_WITHIN_S: Final = 45.0
"""The longest pause is 30 s."""

HEALED_WITHIN_S: Final = 60.0
HELD_BEYOND_GRACE_MS: Final = 1_000
"""Every fault lasts so much longer than what would make a server act."""


@dataclass(slots=True, frozen=True)
class Clients:
    """Programs at each faculty, clients on host c and on each server's host, and what each of those keeps under way."""

    programs: int
    clients: int
    beside_servers: int
    window: int


@dataclass(slots=True, frozen=True)
class Trial:
    """What was seen. Times are in ms; those of a takeover are None where none was expected.

    detect_ms, promote_ms   from the log: silence when the backup acted, and from then to its first batch
    first_reply_ms          from the fault to the first result of the next epoch, at the clients
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
class _Course:
    """Boot times in µs: the fault was there, and was about to be undone."""

    began_us: int = 0
    ended_us: int = 0
    was_seen: bool = False
    packets_lost: int | None = None


def run_trial(
    lab: Lab, cluster: RunningCluster, clocks: WallClocks | None, topology: Topology, clients: Clients, seed: int
) -> Trial:
    """Do a topology's faults once to a cluster that is in sync. The same seed draws the same.

    Raises Stopped if a process ends that should not, or the cluster does not heal; NotPermitted.
    """
    drawn = random.Random(f"{topology.name} {seed}")
    before = _await_ready(cluster)
    active = next(server for server in before["servers"] if server["active"])
    backup = next(server["name"] for server in before["servers"] if not server["active"])
    scene = Scene(lab, cluster, clocks, active["name"], backup, drawn)
    began_seq = head_seq(lab.config)
    with _loads(lab, clients, seed) as loads:
        ours = loads[0]
        until(lambda: ours.journal.statuses.total() > 0, FIRST_RESULTS_WITHIN_S, loads)
        ours.journal.await_epoch_after(active["epoch"])
        course = _strike(scene, topology, loads)
        healing_s = time.monotonic()
        _await_ready(cluster)
        heal_ms = (time.monotonic() - healing_s) * 1_000
        drain(lab.config, loads)
    verdict = judge(lab.config, loads, began_seq)
    first, takeover = ours.journal.new_result, topology.expected is Expected.TAKEOVER
    promoted = next((epoch for epoch in verdict.epochs if epoch.cause == "failover"), None) if takeover else None
    return Trial(
        verdict=verdict,
        detect_ms=promoted.silence_ms if promoted else None,
        promote_ms=promoted.promote_ms if promoted else None,
        first_reply_ms=(first.boot_us - course.began_us) / 1_000 if first and takeover else None,
        unavailable_ms=_longest_gap_us(ours.journal.spans, course.began_us) / 1_000,
        heal_ms=heal_ms,
        packets_lost=course.packets_lost,
        failures=[*verdict.broken(), *_unexpected(scene, topology, course, verdict, loads)],
    )


def _await_ready(cluster: RunningCluster) -> dict[str, object]:
    """The cluster's own account of itself once it has nothing to wait for."""
    ready: dict[str, object] = {}

    def why_not() -> str | None:
        ready.update(observe(cluster.config))
        return unreadiness(ready)

    cluster.supervisor.await_ready(why_not, HEALED_WITHIN_S)
    return ready


@contextmanager
def _loads(lab: Lab, clients: Clients, seed: int) -> Iterator[list[SustainedLoad]]:
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
                )
                load.start()
            stack.callback(load.close)
            loads.append(load)
        yield loads


def _strike(scene: Scene, topology: Topology, loads: Sequence[SustainedLoad]) -> _Course:
    """Do the faults, keep them up until what is expected was seen, undo them."""
    course, journal = _Course(), loads[0].journal
    timing = scene.lab.config.timing
    lost_before = scene.lab.lost()
    with ExitStack() as stack:
        turns = [stack.enter_context(fault.applied(scene)) for fault in topology.faults]
        course.began_us = read_clock().boot_us
        quiet_until_s = time.monotonic() + (timing.grace_ms + HELD_BEYOND_GRACE_MS) / 1_000
        waits_for_epoch = topology.expected in (Expected.ALONE, Expected.TAKEOVER)
        serves = topology.expected not in (Expected.WAITS, Expected.SAFE)

        def is_seen() -> bool:
            over = [turn() for turn in turns]
            epoch = journal.new_result is not None or not waits_for_epoch
            served = not serves or (bool(journal.spans) and journal.spans[-1].began_us > course.began_us)
            return all(over) and epoch and served and time.monotonic() >= quiet_until_s

        course.was_seen = until(is_seen, SEEN_WITHIN_S, loads)
        course.ended_us = read_clock().boot_us
        lost = scene.lab.lost()
        if lost is not None and lost_before is not None:
            course.packets_lost = lost - lost_before
    return course


def _longest_gap_us(spans: Sequence[Span], from_us: int) -> int:
    ends = [from_us, *sorted(span.ended_us for span in spans if span.ended_us > from_us)]
    return max((later - earlier for earlier, later in pairwise(ends)), default=0)


def _unexpected(
    scene: Scene, topology: Topology, course: _Course, verdict: Verdict, loads: Sequence[SustainedLoad]
) -> Iterator[str]:
    """What a fault should have brought about and did not, or should not have and did."""
    expected, epochs = topology.expected, verdict.epochs
    told = [(epoch.cause, epoch.primary) for epoch in epochs]
    if not course.was_seen:
        yield f"not seen within {SEEN_WITHIN_S:g} s: {expected.value}"
    if expected in (Expected.UNDISTURBED, Expected.WAITS) and epochs:
        yield f"epochs began: {told}"
    if expected is Expected.ALONE and told[:1] != [("shrink", scene.primary)]:
        yield f"{scene.primary} did not shrink first: {told}"
    if expected is Expected.TAKEOVER and told[:1] != [("failover", scene.backup)]:
        yield f"{scene.backup} did not take over first: {told}"
    during = _asked_and_answered(loads[0].journal.spans, course)
    if expected in (Expected.UNDISTURBED, Expected.ALONE, Expected.TAKEOVER) and not during:
        yield "no result while the fault lasted"
    if expected is Expected.WAITS and during:
        yield f"{during} results while nobody may decide"
    if topology.minority is not None and (refused := _at(scene.points(topology.minority)[0], scene, loads)):
        answered = _asked_and_answered(refused.journal.spans, course)
        if answered:
            yield f"{answered} results on the side of the {topology.minority}, a minority"
    if any(isinstance(fault, ClockJump) for fault in topology.faults) and verdict.expired:
        yield f"{verdict.expired} holds expired as a clock jumped"


def _asked_and_answered(spans: Sequence[Span], course: _Course) -> int:
    """Results of what was first asked, and answered, while the fault was there."""
    return sum(course.began_us < span.began_us and span.ended_us < course.ended_us for span in spans)


def _at(host: str, scene: Scene, loads: Sequence[SustainedLoad]) -> SustainedLoad | None:
    """The load of that server's host, if it has one."""
    hosts = [server.name for server in scene.lab.config.servers]
    return loads[1 + hosts.index(host)] if len(loads) > 1 else None
