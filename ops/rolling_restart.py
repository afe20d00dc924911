"""Every process of a cluster ended (SIGTERM) and started again under load, one after the other, each once all are in
sync again. There is no planned switchover: when the primary ends, the backup takes over as after a death.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import click

from es.testing.real_time import Span
from nodes.clients.sustained_load import PROGRAM_PATIENCE_US, WINDOW, SustainedLoad
from nodes.shell import read_clock
from ops.cluster import RunningCluster, running_cluster, undisturbed
from ops.exits import OK
from ops.prove.faults import Role, Scene
from ops.prove.labs import Lab, plain_lab
from ops.prove.trial import Clients, await_ready, longest_gap_us, rush, set_scene, under_load
from ops.verdict import Verdict, drain, head_seq, judge, until

FACULTIES: Final = 2
"""One speaks async, one lbb."""

CLIENTS: Final = Clients(programs=4, clients=4, beside_servers=0, window=WINDOW, rest_ms=50)
ORDER: Final = (Role.BACKUP, Role.WITNESS, Role.FACULTY, Role.BROKER, Role.PRIMARY)
FULL_LOAD: Final = 1_000_000
"""More transactions than anybody begins before a process is back."""

RESTART_AFTER_S: Final = (0.1, 0.8)
"""Between full load on a cluster in sync and the restart; drawn evenly."""

SERVED_WITHIN_S: Final = 2 * PROGRAM_PATIENCE_US / 1_000_000
"""A program whose faculty went asks again when its patience ends."""


class Restart(NamedTuple):
    """Who was restarted, the longest time without a result from then on, and what was wrong with it, if anything.

    The pause of a faculty is that of its own programs, of everybody else that of all clients.
    """

    role: Role
    pause_ms: float
    wrong: str | None


def rolling_restart(cycles: int, seed: int) -> tuple[dict[str, Any], Path | None]:
    """So many times every process of one cluster. What came of it, as the drill prints it, and where the cluster is
    kept if a promise was broken. Raises Stopped if it does not get ready again."""
    began_s = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="aulario-drill-"))
    try:
        with plain_lab(directory, "default", FACULTIES) as lab:
            restarts, verdict = _restarted(lab, directory, cycles, seed)
    except KeyboardInterrupt:
        with undisturbed():
            shutil.rmtree(directory)
        raise
    failures = [*verdict.broken(), *(restart.wrong for restart in restarts if restart.wrong)]
    if not failures:
        shutil.rmtree(directory)
    summary = {
        "drill": "rolling-restart", "cycles": cycles, "restarts": len(restarts), "requests": verdict.requests,
        "results": verdict.results, "lost": verdict.lost, "duplicates": verdict.duplicates,
        "unknown": verdict.unknown, "stale_results": verdict.stale_results,
        "contradictions": len(verdict.contradictions), "violations": len(verdict.violations),
        "logs_equal": verdict.logs_equal, "events": verdict.events, "pauses": _pauses(restarts),
        "failures": failures, "seconds": round(time.monotonic() - began_s, 1), "seed": seed,
    }  # fmt: skip
    return summary, directory if failures else None


def _restarted(lab: Lab, directory: Path, cycles: int, seed: int) -> tuple[list[Restart], Verdict]:
    drawn = random.Random(f"rolling restart {seed}")
    restarts = []
    with running_cluster(directory, lab.config, lab.surroundings) as cluster:
        began_seq = head_seq(lab.config)
        with under_load(lab, CLIENTS, seed) as loads:
            for _ in range(cycles):
                for role in ORDER:
                    scene = set_scene(lab, cluster, None, drawn)  # who leads now
                    restarts.append(_restart(scene, cluster, role, loads[0]))
                    click.echo(f"{role} restarted: {restarts[-1].pause_ms:.0f} ms", err=True)
            drain(lab.config, loads)
        verdict = judge(lab.config, loads, began_seq)
    return restarts, verdict


def _restart(scene: Scene, cluster: RunningCluster, role: Role, load: SustainedLoad) -> Restart:
    """End it and start it again at full load; return when all are in sync and its clients are served."""
    rush([load], FULL_LOAD)
    time.sleep(scene.drawn.uniform(*RESTART_AFTER_S))
    began_us = read_clock().boot_us
    exit_code = cluster.supervisor.renew(scene.process(role))
    await_ready(cluster)
    load.rush(0)
    ready_us = read_clock().boot_us
    served = until(
        lambda: any(span.ended_us > ready_us for span in spans_of(scene, role, load)), SERVED_WITHIN_S, [load]
    )
    pause_ms = longest_gap_us(spans_of(scene, role, load), began_us) / 1_000
    wrong = [f"it ended with exit code {exit_code}"] * (exit_code != OK)
    wrong += [f"no result within {SERVED_WITHIN_S:g} s of its return"] * (not served)
    return Restart(role, pause_ms, f"{role}: {'; '.join(wrong)}" if wrong else None)


def spans_of(scene: Scene, role: Role, load: SustainedLoad) -> list[Span]:
    """What a load's clients were served so far; of a faculty's own programs if that has the role, as far as they were
    granted it."""
    spans = list(load.journal.spans)
    if role not in (Role.FACULTY, Role.BROKER):
        return spans
    faculty_id = int(scene.process(role).rpartition("-")[2])
    own = {seen.seq for seen in list(load.journal.accepted) if seen.faculty_id == faculty_id}
    return [span for span in spans if span.seq in own]


def _pauses(restarts: Sequence[Restart]) -> dict[str, dict[str, int]]:
    by_role: dict[Role, list[float]] = defaultdict(list)
    for restart in restarts:
        by_role[restart.role].append(restart.pause_ms)
    return {
        str(role): {"restarts": len(ms), "median_ms": round(median(ms)), "max_ms": round(max(ms))}
        for role, ms in by_role.items()
    }
