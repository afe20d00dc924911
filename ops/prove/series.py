"""Many trials of one topology, on a cluster that lives through them, and all topologies summed up."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ops.cluster import RunningCluster, running_cluster, undisturbed
from ops.exits import Stopped
from ops.prove.faults import ClockJump, Impair
from ops.prove.labs import OpenLab
from ops.prove.loopback_lab import loopback_lab
from ops.prove.namespace_labs import bridge_lab, packet_lab
from ops.prove.outcome import Failure, NotPermitted, Outcome
from ops.prove.topologies import Topology
from ops.prove.trial import Clients, Trial, run_trial
from ops.prove.wall_clock import WallClocks

NAME: Final = "links"
FACULTIES: Final = 2
"""One speaks async, one lbb."""

CLIENTS: Final = Clients(programs=2, clients=1, beside_servers=1, window=4, rest_ms=50)


@dataclass(slots=True)
class Series:
    """The trials of one topology; `skipped` says why there are none, `relayed` why on this host alone."""

    topology: Topology
    trials: list[Trial] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: str = ""
    relayed: str = ""


def run_series(topology: Topology, repeat: int, profile: str, seed: int, *, loopback: bool) -> Series:
    """So many trials, seeds from `seed` on. A cluster that a trial broke is kept, and the next gets a new one."""
    series = Series(topology)
    todo = iter(range(seed, seed + repeat))
    open_lab = _lab_for(topology, loopback=loopback)
    try:
        while _run_on_one_cluster(series, open_lab, todo, profile):
            pass
    except NotPermitted as why:
        if open_lab is bridge_lab:
            return replace(run_series(topology, repeat, profile, seed, loopback=True), relayed=str(why))
        series.skipped = str(why)
    return series


def _lab_for(topology: Topology, *, loopback: bool) -> OpenLab:
    if loopback:
        return loopback_lab
    return packet_lab if any(isinstance(fault, Impair) for fault in topology.faults) else bridge_lab


def _run_on_one_cluster(series: Series, open_lab: OpenLab, seeds: Iterator[int], profile: str) -> bool:
    """Trials until one fails (then true: there may be more to do) or there are no more."""
    directory = Path(tempfile.mkdtemp(prefix="aulario-links-"))
    try:
        failed = _trials(series, open_lab, seeds, profile, directory)
    except BaseException:
        with undisturbed():
            shutil.rmtree(directory)
        raise
    if not failed:
        shutil.rmtree(directory)
    return failed


def _trials(series: Series, open_lab: OpenLab, seeds: Iterator[int], profile: str, directory: Path) -> bool:
    topology = series.topology
    with ExitStack() as stack:
        cluster: RunningCluster | None = None
        for seed in seeds:
            try:
                if cluster is None:
                    lab = stack.enter_context(open_lab(directory, profile, FACULTIES))
                    clocks = WallClocks(directory) if _moves_clocks(topology) else None
                    around = clocks.around(lab.surroundings) if clocks else lab.surroundings
                    cluster = stack.enter_context(running_cluster(directory, lab.config, around))
                trial = run_trial(lab, cluster, clocks, topology, CLIENTS, seed)
                series.trials.append(trial)
                sentences: Sequence[str] = trial.failures
            except Stopped as stopped:
                sentences = [str(stopped)]
            if sentences:
                replay = f"python -m ops.prove.links --topology {topology.name} --repeat 1 --seed {seed}"
                what = f"{topology.name}: {'; '.join(sentences)}"
                series.failures.append(Failure(what, f"{replay} (kept: {directory})"))
                return True
    return False


def _moves_clocks(topology: Topology) -> bool:
    return any(isinstance(fault, ClockJump) for fault in topology.faults)


def _summed_up(series: Series) -> dict[str, Any]:
    """`unavailable_max_ms`: the longest that clients of host c were without a result."""
    return {
        "expected": series.topology.expected.value,
        "runs": len(series.trials),
        "failures": len(series.failures),
        "results": sum(trial.verdict.results for trial in series.trials),
        "unavailable_max_ms": round(max(trial.unavailable_ms for trial in series.trials)),
    }


def summed_up(every: Sequence[Series], seconds: float) -> Outcome:
    """All series as one outcome."""
    trials = [trial for one in every for trial in one.trials]
    failures = [failure for one in every for failure in one.failures]
    statuses: Counter[str] = Counter()
    for trial in trials:
        statuses.update(trial.verdict.statuses)
    details: dict[str, Any] = {
        "topologies": sum(bool(one.trials) for one in every),
        "results": statuses.total(),
        "lost": sum(trial.verdict.lost for trial in trials),
        "duplicates": sum(trial.verdict.duplicates for trial in trials),
        "unknown": sum(trial.verdict.unknown for trial in trials),
        "stale_results": sum(trial.verdict.stale_results for trial in trials),
        "violations": sum(len(trial.verdict.violations) for trial in trials),
        "packets_lost": sum(trial.packets_lost or 0 for trial in trials),
        "by_topology": {one.topology.name: _summed_up(one) for one in every if one.trials},
        "skipped": {one.topology.name: one.skipped for one in every if one.skipped},
        "relayed": {one.topology.name: one.relayed for one in every if one.relayed and not one.skipped},
    }  # fmt: skip
    return Outcome(NAME, len(trials), tuple(failures), round(seconds, 1), details)
