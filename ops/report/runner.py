"""The whole run behind a report: a cluster of its own, the loads, what is done to it, and what it leaves."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from nodes.config.cluster import ClusterConfig
from ops.cluster import running_cluster
from ops.cluster_dir import prepare
from ops.demo import free_base_port
from ops.observe import observe, unreadiness
from ops.report import cases, performance
from ops.report.closed_doors import cp11
from ops.report.facts import CLUSTER, Case, Round, Run, Step, Strike, write_run
from ops.report.stage import Stage, opened_stage
from ops.report.statistics import nearest_rank
from ops.report.usage import UsageSampler
from projections.timings import DEFINITE, Told

FACULTIES = 2 * performance.FACULTIES


class Plan(NamedTuple):
    """What a run does besides Table 3: the other loads of it, a failover, and every acceptance case."""

    repeat: int = 1
    mirrored: bool = False
    failover: bool = True
    cases: bool = False


def run(directory: Path, plan: Plan, say: Callable[[str], None]) -> None:
    """Carry a plan out on a new cluster below `directory`, and keep there what it left. Raises Stopped, OSError."""
    began, began_s = datetime.now(UTC), time.monotonic()
    config = prepare(directory / CLUSTER, base_port=free_base_port(), faculties=FACULTIES, overrides={})
    with running_cluster(directory / CLUSTER, config) as cluster, opened_stage(cluster) as stage:
        say(f"a cluster of {len(config.servers)} servers and {FACULTIES} faculties is ready")
        sampler = UsageSampler(cluster.supervisor.pids)
        try:
            did = _course(stage, plan, directory, say)
        finally:
            usage = sampler.stop()
    if plan.cases:
        did.cases.append(cases.cp6([server.data for server in config.servers], stage.told))
        did.cases.sort(key=lambda case: int(case.name.removeprefix("CP")))
    write_run(
        directory,
        Run(
            began=began.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began_s, 1),
            repeat=plan.repeat,
            host=_host(),
            settings=_settings(config),
            rounds=did.rounds,
            strike=did.strike,
            steps=did.steps,
            cases=did.cases,
            usage=usage,
        ),
        stage.told,
    )


class _Course(NamedTuple):
    rounds: list[Round]
    strike: Strike | None
    steps: list[Step]
    cases: list[Case]


def _course(stage: Stage, plan: Plan, directory: Path, say: Callable[[str], None]) -> _Course:
    performance.warm_up(stage)
    columns = performance.loads(mirrored=plan.mirrored)
    rounds = []
    for one in performance.rounds(stage, columns, plan.repeat):
        rounds.append(one)
        say(f"{one.term}: {(one.ended_us - one.began_us) / 1e6:.2f} s")
    strike = performance.strike(stage) if plan.failover or plan.cases else None
    if strike is not None and strike.first_reply_ms is not None:
        say(f"server {strike.server} killed; next result after {strike.first_reply_ms:.0f} ms")
    if not plan.cases:
        return _Course(rounds, strike, [], [])
    steps = list(performance.stress(stage))
    met = [_cp7(stage, rounds), _cp8(stage, strike), _cp9(stage, steps)]
    for case in (cases.cp1, cases.cp2, cases.cp3, cases.cp4, cases.cp5, _cp10_in(directory), cp11):
        met.append(case(stage))
        say(f"{met[-1].name}: {met[-1].is_met}")
    return _Course(rounds, strike, steps, met)


def _cp7(stage: Stage, rounds: list[Round]) -> Case:
    """Table 3 is filled: every load has the times of all its requests, for each had its result."""
    answered = Counter(one.term for one in stage.told if one.status in DEFINITE)
    requests = sum(answered[one.term] for one in rounds)
    filled = len({one.load for one in rounds if answered[one.term]})
    loads = len({one.load for one in rounds})
    wanted = len(rounds) * performance.FACULTIES * performance.FACULTIES
    return Case("CP7", filled == loads and requests == wanted, "observed_CP7",
                {"filled": filled, "loads": loads, "requests": requests})  # fmt: skip


def _cp8(stage: Stage, strike: Strike | None) -> Case:
    assert strike is not None, "every case includes the failover"
    told = [one for one in stage.told if one.term in strike.terms]
    satisfied = sum(one.status == "ACCEPTED" for one in told)
    ms = strike.first_reply_ms
    return Case("CP8", ms is not None and satisfied == len(told), "observed_CP8",
                {"server": strike.server, "ms": None if ms is None else round(ms), "satisfied": satisfied,
                 "requests": len(told)})  # fmt: skip


def _cp9(stage: Stage, steps: list[Step]) -> Case:
    worst_ms, asked = 0.0, [one for one in stage.told if (one.term or "").startswith("stress-")]
    for step in steps:
        ordered = sorted(one.us for one in asked if _is_of(one, step))
        worst_ms = max(worst_ms, nearest_rank(ordered, 99) / 1_000)
    answered = sum(one.status in DEFINITE for one in asked)
    alive = not stage.cluster.supervisor.turn() and unreadiness(observe(stage.config)) is None
    return Case("CP9", alive and answered == len(asked), "observed_CP9",
                {"in_flight": max(step.in_flight for step in steps), "answered": answered, "requests": len(asked),
                 "p99": round(worst_ms), "alive": alive})  # fmt: skip


def _is_of(told: Told, step: Step) -> bool:
    return (told.term or "").rpartition("-")[0] == step.term_prefix


def _cp10_in(directory: Path) -> Callable[[Stage], Case]:
    return lambda stage: cases.cp10(stage, directory / CLUSTER)


def _host() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _settings(config: ClusterConfig) -> dict[str, Any]:
    return {
        "faculties": len(config.faculties),
        "security": config.security,
        "workers": config.workers,
        "ack_timeout_ms": config.timing.ack_timeout_ms,
        "grace_ms": config.timing.grace_ms,
    }
