"""`python -m ops.prove.scarcity`: a process of a running cluster is kept short of processor, memory or descriptors.

Each trial keeps one process short for some seconds, while clients work and new ones arrive. Service must go on,
however slowly: a process that cannot go on ends and says why (libzmq aborts one without memory, which says nothing),
and another one takes its place. Then there is enough again, who ended is started again, clients must be served at
their normal pace, and in the end the logs must be equal and bear out every result that any client saw.
"""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from threading import Event, Thread
from typing import Any, Final

from nodes.clients.sustained_load import SustainedLoad
from nodes.config.cluster import ClusterConfig
from nodes.shell import read_clock
from ops.cluster import RunningCluster, running_cluster, undisturbed
from ops.exits import UNREACHABLE, Stopped
from ops.observe import fetch_status, process_names
from ops.prove.faults import IsOver, Role, Scene, runs
from ops.prove.labs import Lab, plain_lab
from ops.prove.outcome import Failure, Outcome, command, replay
from ops.prove.shortages import Resource, Shortage, pid_of
from ops.prove.start import start
from ops.prove.topologies import Expected, Topology
from ops.prove.trial import (
    HEALED_WITHIN_S,
    SEEN_WITHIN_S,
    Clients,
    asked_and_answered,
    await_ready,
    longest_gap_us,
    rush,
    set_scene,
    strike,
    under_load,
)
from ops.rolling_restart import spans_of
from ops.verdict import Verdict, at_rest, drain, head_seq, judge, until

NAME: Final = "scarcity"
PROFILE: Final = "slow"
ROLES: Final = (Role.PRIMARY, Role.BACKUP, Role.WITNESS, Role.FACULTY, Role.BROKER, Role.WORKER)
CASES: Final = tuple(Shortage(role, which) for which, role in product(Resource, ROLES))
FACULTIES: Final = 2
"""One speaks async, one lbb."""

CLIENTS: Final = Clients(programs=2, clients=1, beside_servers=0, window=4, rest_ms=50)
NEWCOMERS: Final = Clients(programs=2, clients=2, beside_servers=0, window=32, rest_ms=50)
"""They arrive while there is too little: whoever has what it needs already may not notice."""

WATCH_S: Final = 0.05
HOLD_MS: Final = (2_000, 5_000)
PACE_RESULTS: Final = 10
"""Of so many results at least is known what pace is normal."""

PACE_DECILE: Final = 9
"""A result is at the normal pace if it took no longer than so many tenths of those before."""

RECOVERED_WITHIN_S: Final = 30.0
ENDINGS_MAX: Final = 2
"""What ends again although there is enough ends for another reason."""


@dataclass(slots=True, frozen=True)
class Trial:
    """What was seen. Times are in ms.

    ended            how the process ended that was kept short, if it did: its sentence, or the signal
    recover_ms       from when there was enough again to the end of the first result, of something asked since, at the
                     normal pace; where a faculty was kept short, of its own programs. None: there was none in time
    heal_ms          from then until every process was up and in sync
    unavailable_ms   longest time without a result for anybody, from the shortage to the end
    """

    case: Shortage
    verdict: Verdict
    ended: Sequence[str]
    recover_ms: float | None
    heal_ms: float
    unavailable_ms: float
    failures: Sequence[str]


@dataclass(slots=True)
class Newcomers:
    """A Fault that harms nobody: clients arrive, and somebody watches the process that has the role (its server, if it
    is a worker). `loads` are theirs, to be closed by whoever made this."""

    config: ClusterConfig
    role: Role
    seed: int
    loads: list[SustainedLoad] = field(default_factory=list)

    @contextmanager
    def applied(self, scene: Scene) -> Iterator[IsOver]:
        """See Fault."""
        load = SustainedLoad(
            self.config, programs=NEWCOMERS.programs, clients=NEWCOMERS.clients, seed=self.seed,
            window=NEWCOMERS.window, rest_ms=NEWCOMERS.rest_ms,
        )  # fmt: skip
        self.loads.append(load)
        load.start()
        watched = scene.process(Role.PRIMARY if self.role is Role.WORKER else self.role)
        with _watched(process_names(self.config)[watched]):
            yield lambda: True


@contextmanager
def _watched(url: str) -> Iterator[None]:
    """Ask a process for its status again and again, whether it answers or not."""
    done = Event()

    def watch() -> None:
        while not done.wait(WATCH_S):
            fetch_status(url)

    watcher = Thread(target=watch, name="watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def scarcity(count: int, seed: int) -> Outcome:
    """`count` trials, each of the next case; each round of cases has a cluster of its own."""
    began_s = time.monotonic()
    trials: list[Trial] = []
    failures: list[Failure] = []
    todo = list(range(seed, seed + count))
    while todo:
        directory = Path(tempfile.mkdtemp(prefix="aulario-scarcity-"))
        try:
            failure = _round(directory, todo, trials)
        except BaseException:
            with undisturbed():
                shutil.rmtree(directory)
            raise
        if failure is None:
            shutil.rmtree(directory)
        else:
            failures.append(failure)
    return Outcome(NAME, count, tuple(failures), round(time.monotonic() - began_s, 1), {"seed": seed, **_sum(trials)})


def _round(directory: Path, todo: list[int], trials: list[Trial]) -> Failure | None:
    """Take trials off `todo` until a round is over or one failed: its cluster is kept."""
    number, case = -1, CASES[0]
    try:
        with plain_lab(directory, PROFILE, FACULTIES) as lab, running_cluster(directory, lab.config) as cluster:
            for _ in range(min(len(CASES), len(todo))):
                number = todo.pop(0)
                case = CASES[number % len(CASES)]
                trial = _trial(lab, cluster, case, number)
                trials.append(trial)
                if trial.failures:
                    return _failure(case, "; ".join(trial.failures), number, directory)
    except Stopped as stopped:
        if number < 0:
            raise  # the cluster did not come up
        return _failure(case, str(stopped), number, directory)
    return None


def _failure(case: Shortage, what: str, number: int, directory: Path) -> Failure:
    return Failure(f"{_name(case)}: {what}", replay(NAME, 1, number, directory))


def _name(case: Shortage) -> str:
    return f"{case.role}, {case.resource}"


def _trial(lab: Lab, cluster: RunningCluster, case: Shortage, seed: int) -> Trial:
    """Keep a process of a cluster that is in sync short for a while.

    Raises Stopped if it does not heal; NotPermitted."""
    scene = set_scene(lab, cluster, None, random.Random(f"scarcity {seed}"))
    until(lambda: at_rest(lab.config, scene.epoch), HEALED_WITHIN_S, ())
    began_seq = head_seq(lab.config)
    newcomers = Newcomers(lab.config, case.role, 2 * seed + 1)
    topology = Topology(_name(case), (case, newcomers), Expected.DEGRADED)
    short = pid_of(scene, case.role)
    try:
        with under_load(lab, CLIENTS, 2 * seed) as loads:
            rush(loads)
            pace_us = _pace_us(scene, case, loads[0])
            course = strike(scene, topology, loads, scene.drawn.uniform(*HOLD_MS))
            ended = _healed(scene, case, short)
            heal_ms = (read_clock().boot_us - course.ended_us) / 1_000
            recovered_us = _recovered_us(scene, case, loads[0], course.ended_us, pace_us)
            during = asked_and_answered(loads[0].journal.spans, course)
            both = [*loads, *newcomers.loads]
            drain(lab.config, both)
        verdict = judge(lab.config, both, began_seq)
    finally:
        for load in newcomers.loads:
            load.close()
    recover_ms = None if recovered_us is None else (recovered_us - course.ended_us) / 1_000
    failures = [*verdict.broken(), *unexpected(case, ended, during, recover_ms)]
    gap_ms = longest_gap_us(loads[0].journal.spans, course.began_us) / 1_000
    return Trial(case, verdict, ended, recover_ms, heal_ms, gap_ms, failures)


def _healed(scene: Scene, case: Shortage, short: int) -> list[str]:
    """Start again who was kept short and ended, and wait until the cluster has nothing to wait for. How it ended, each
    time. Raises Stopped, also if another process ended."""
    if case.role is Role.WORKER:
        await_ready(scene.cluster)
        return [] if runs(short) else ["its server put another one in its place"]
    supervisor, name = scene.cluster.supervisor, scene.process(case.role)
    ended: list[str] = []
    while True:
        if not runs(supervisor.pids()[name]):
            others = [other for other in supervisor.turn() if other != name]
            sentence = str(supervisor.failure(others[0] if others else name))
            ended.append(sentence.replace(f"{scene.lab.config.witness.data.parent}/", ""))
            if others or len(ended) > ENDINGS_MAX:
                raise Stopped("; ".join(ended), UNREACHABLE)
            supervisor.revive(name)
        try:
            await_ready(scene.cluster)
        except Stopped:
            if runs(supervisor.pids()[name]):
                raise
        else:
            return ended


def _pace_us(scene: Scene, case: Shortage, load: SustainedLoad) -> float:
    """What a result takes at most at the normal pace."""
    until(lambda: len(spans_of(scene, case.role, load)) >= PACE_RESULTS, HEALED_WITHIN_S, [load])
    took_us = [span.ended_us - span.began_us for span in spans_of(scene, case.role, load)]
    return quantiles(took_us, n=10)[PACE_DECILE - 1]


def _recovered_us(scene: Scene, case: Shortage, load: SustainedLoad, from_us: int, pace_us: float) -> int | None:
    """When the first result came of something asked after that moment that took no longer than is normal."""

    def ends() -> list[int]:
        return [
            span.ended_us
            for span in spans_of(scene, case.role, load)
            if span.began_us > from_us and span.ended_us - span.began_us <= pace_us
        ]

    until(lambda: bool(ends()), RECOVERED_WITHIN_S, [load])
    return min(ends(), default=None)


def unexpected(case: Shortage, ended: Sequence[str], during: int, recover_ms: float | None) -> Iterator[str]:
    """What must not come of a shortage: how the process ended, results of what was asked meanwhile, time to recover."""
    if ended and case.resource is Resource.PROCESSOR:
        yield f"it was slow, and ended: {ended[0]}"
    if not during:
        yield f"no result of anything asked meanwhile, within {SEEN_WITHIN_S:g} s"
    if recover_ms is None:
        yield f"not at its normal pace again within {RECOVERED_WITHIN_S:g} s"


def _sum(trials: Sequence[Trial]) -> dict[str, Any]:
    by_case: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_case[_name(trial.case)].append(trial)
    verdicts = [trial.verdict for trial in trials]
    return {
        "results": sum(verdict.results for verdict in verdicts),
        "lost": sum(verdict.lost for verdict in verdicts),
        "duplicates": sum(verdict.duplicates for verdict in verdicts),
        "unknown": sum(verdict.unknown for verdict in verdicts),
        "stale_results": sum(verdict.stale_results for verdict in verdicts),
        "violations": sum(len(verdict.violations) for verdict in verdicts),
        "by_case": {name: _summed_up(of) for name, of in by_case.items()},
    }


def _summed_up(trials: Sequence[Trial]) -> dict[str, Any]:
    ended = [sentence for trial in trials for sentence in trial.ended]
    recover_ms = [trial.recover_ms for trial in trials if trial.recover_ms is not None]
    return {
        "runs": len(trials),
        "failures": sum(bool(trial.failures) for trial in trials),
        "results": sum(trial.verdict.results for trial in trials),
        "ended": ended,
        "aborted": sum(f"by {signal.SIGABRT.name}" in sentence for sentence in ended),
        "epochs": sum(len(trial.verdict.epochs) for trial in trials),
        "recover_ms": round(median(recover_ms)) if recover_ms else None,
        "recover_max_ms": round(max(recover_ms)) if recover_ms else None,
        "heal_max_ms": round(max(trial.heal_ms for trial in trials)),
        "unavailable_max_ms": round(max(trial.unavailable_ms for trial in trials)),
    }


if __name__ == "__main__":
    start(command(NAME, scarcity, count=72, what="Keep a process short of processor, memory or descriptors."))
