"""`aulario demo`: a whole cluster, the reference load, a primary killed half way, and what the logs say."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from nodes.config.cluster import BASE_PORTS, ClusterConfig
from ops.audit import broken_rules, first_difference
from ops.cluster import RunningCluster, interrupt_on_signals, running_cluster
from ops.cluster_dir import is_cluster, prepare
from ops.exits import INTEGRITY, OK, REFUSED, UNREACHABLE, Stopped
from ops.load import Outcome, Share, draw_shares, observations, run_load
from ops.log_reader import opened
from ops.observe import observe, unreadiness
from ops.output import JSON, TABLE, output_option, print_json, print_table
from ops.streams import telling
from ops.verdict import at_rest, until

BASE_PORTS_TRIED = range(20_000, 32_000, BASE_PORTS)
"""Below the ports that the system hands out by itself."""

HEALED_WITHIN_S = 30.0
SETTLED_WITHIN_S = 10.0
COUNTED = {"ACCEPTED": "accepted", "DENIED": "denied", "CANCELED": "canceled"}
COLUMNS = (
    "faculty", "pattern", "programs", "accepted", "denied", "canceled", "unknown",
    "classrooms", "labs", "mobile labs", "mean ms",
)  # fmt: skip


@click.command()
@click.option("--seed", type=click.IntRange(0), help="Draw the same requests again (default: a new seed, printed).")
@click.option("--dir", "directory", type=click.Path(file_okay=False, path_type=Path),
              help="Make the cluster there, in a new directory, and keep it.")  # fmt: skip
@output_option(TABLE, JSON)
def demo(seed: int | None, directory: Path | None, output: str) -> None:
    """Run a whole cluster and the reference load: ten faculties, five programs each, both patterns.

    After half of the results the primary is killed. At the end the logs of both servers are checked.
    Exit code 4 if anything was lost, granted twice or differs, 3 if a program never learnt its result.

    \b
    Examples:
      aulario demo
      aulario demo --seed 42 -o json
    """
    began_s = time.monotonic()
    seed = secrets.randbits(32) if seed is None else seed
    interrupt_on_signals()
    _tell(f"seed {seed}")
    with _directory(directory) as place:
        config = prepare(place, base_port=free_base_port(), overrides={})
        with running_cluster(place, config) as cluster:
            _tell(f"ready after {time.monotonic() - began_s:.1f} s: {len(config.servers)} servers, witness, "
                  f"{len(config.faculties)} faculties")  # fmt: skip
            shares = draw_shares(config, seed)
            course = run_course(cluster, shares)
            heal(cluster, course.killed)
            summary = summarise(cluster.config, course)
    summary |= {"seconds": round(time.monotonic() - began_s, 2), "seed": seed}
    outcome, exit_code = _verdict(summary)
    with telling(outcome, exit_code):
        if output == JSON:
            print_json(summary)
        else:
            _print_summary(course.outcomes, summary)
    if exit_code != OK:
        raise Stopped(outcome, exit_code)


def _verdict(summary: Mapping[str, Any]) -> tuple[str, int]:
    """In a sentence, and as an exit code."""
    if summary["violations"] or not summary["logs_equal"]:
        return "the logs do not bear out what the programs were told", INTEGRITY
    if summary["unknown"]:
        return f"{summary['unknown']} programs never learnt their result", UNREACHABLE
    return "every promise was kept", OK


def _tell(sentence: str) -> None:
    click.echo(sentence, err=True)


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    """The directory that was asked for, or one that is removed if all went well."""
    if wanted is not None:
        if is_cluster(wanted.absolute()):
            raise Stopped(f"{wanted} is a cluster's own directory: the demo makes one in a new directory", REFUSED)
        yield wanted.absolute()
        return
    scratch = Path(tempfile.mkdtemp(prefix="aulario-demo-"))
    try:
        yield scratch
    except Exception:
        _tell(f"the cluster's directory is kept: {scratch}")
        raise
    except KeyboardInterrupt:
        shutil.rmtree(scratch)
        raise
    shutil.rmtree(scratch)


def free_base_port() -> int:
    """A base whose 200 ports are all free now. Raises Stopped if there is none."""
    begin = secrets.randbelow(len(BASE_PORTS_TRIED))
    for i in range(len(BASE_PORTS_TRIED)):
        base = BASE_PORTS_TRIED[(begin + i) % len(BASE_PORTS_TRIED)]
        if all(_free(port) for port in range(base, base + BASE_PORTS)):
            return base
    raise Stopped(f"no {BASE_PORTS} free ports in a row between {BASE_PORTS_TRIED[0]} and 32000", UNREACHABLE)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@dataclass(slots=True)
class Course:
    """How a load went: `killed` is the server that was primary when half of the results were there."""

    outcomes: list[Outcome] = field(default_factory=list)
    killed: str = ""
    killed_s: float = 0.0
    killed_epoch: int = 0

    def failover_ms(self) -> float | None:
        """From the kill to the first result of the next primary, as a program saw it."""
        later = [
            outcome.ended_s
            for outcome in self.outcomes
            if outcome.res is not None and outcome.res.receipt is not None
            and outcome.res.receipt.epoch > self.killed_epoch and outcome.ended_s > self.killed_s
        ]  # fmt: skip
        return round((min(later) - self.killed_s) * 1_000, 1) if later else None


def run_course(cluster: RunningCluster, shares: Sequence[Share]) -> Course:
    """The load, with SIGKILL for the primary after half of the results."""
    course = Course()
    half = sum(len(share.requests) for share in shares) // 2
    primary = next(server for server in cluster.ready["servers"] if server["active"])
    for outcome in run_load(cluster.config, shares):
        course.outcomes.append(outcome)
        if len(course.outcomes) == half:
            os.kill(primary["pid"], signal.SIGKILL)
            course.killed_s = time.monotonic()
            course.killed, course.killed_epoch = primary["name"], primary["epoch"]
            _tell(f"killed server {primary['name']} (pid {primary['pid']}), the primary, after {half} results")
    return course


def heal(cluster: RunningCluster, killed: str) -> None:
    """Bring the killed server back and wait until all is in sync and at rest. Raises Stopped."""
    config = cluster.config
    cluster.supervisor.revive(f"server-{killed}")
    cluster.supervisor.await_ready(lambda: unreadiness(observe(config)), HEALED_WITHIN_S)
    until(lambda: at_rest(config), SETTLED_WITHIN_S)  # if not, the comparison that follows will say how they differ


def summarise(config: ClusterConfig, course: Course) -> dict[str, Any]:
    """The result of the demo: counts of what programs saw, and the checker's verdict on the real logs.

    lost         ACCEPTED results that do not stand in both logs as they were told
    duplicates   transactions decided twice, or rooms granted twice
    violations   everything the checker objects to, the two above included
    """
    statuses = Counter(COUNTED.get(outcome.status, "unknown") for outcome in course.outcomes)
    asked = sum(len(faculty.programs) for faculty in config.faculties)
    statuses["unknown"] += asked - len(course.outcomes)
    seen = observations(course.outcomes)
    broken: Counter[str] = Counter()
    for server in config.servers:
        with opened(server.data) as log:
            broken |= Counter(violation.rule for violation in broken_rules(log, seen))
    data_dirs = tuple(server.data for server in config.servers)
    return {
        "programs": asked,
        **{name: statuses[name] for name in (*COUNTED.values(), "unknown")},
        "failover_ms": course.failover_ms(),
        "conservation": not broken["conservation"] and not broken["double-grant"],
        "logs_equal": at_rest(config) and first_difference(data_dirs) is None,
        "lost": broken["receipt"],
        "duplicates": broken["one-outcome"] + broken["double-grant"],
        "violations": broken.total(),
    }


def _print_summary(outcomes: Sequence[Outcome], summary: dict[str, Any]) -> None:
    print_table(_rows(outcomes), COLUMNS)
    for key, value in summary.items():
        click.echo(f"{key:<14} {value}")


def _rows(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    faculties = {outcome.faculty.id: outcome.faculty for outcome in outcomes}
    for faculty_id, faculty in sorted(faculties.items()):
        own = [outcome for outcome in outcomes if outcome.faculty.id == faculty_id]
        statuses = Counter(COUNTED.get(outcome.status, "unknown") for outcome in own)
        granted = [outcome.res for outcome in own if outcome.res is not None and outcome.status == "ACCEPTED"]
        yield {
            "faculty": f"{faculty_id} {faculty.name}",
            "pattern": faculty.pattern,
            "programs": len(own),
            **{name: statuses[name] for name in (*COUNTED.values(), "unknown")},
            "classrooms": sum(len(res.classrooms) for res in granted),
            "labs": sum(len(res.labs) for res in granted),
            "mobile labs": sum(len(res.mobile) for res in granted),
            "mean ms": round(sum(outcome.ended_s - outcome.began_s for outcome in own) * 1_000 / len(own), 1),
        }
