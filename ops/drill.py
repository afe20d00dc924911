"""`aulario drill`: a fault done on purpose to a cluster of its own under load, and what it was like for the clients."""

from __future__ import annotations

import math
import random
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple, TypeVar

import click

from nodes.clients.sustained_load import PROGRAM_PATIENCE_US, WINDOW
from nodes.config.cluster import PROFILES
from ops.cluster import interrupt_on_signals, running_cluster, undisturbed
from ops.exits import INTEGRITY, OK, UNREACHABLE, Stopped
from ops.output import JSON, TABLE, output_option, print_json, print_table
from ops.prove.faults import Cut, Kill, Pause, Role, both
from ops.prove.labs import Lab, OpenLab, plain_lab
from ops.prove.loopback_lab import loopback_lab
from ops.prove.topologies import Expected, Topology
from ops.prove.trial import Clients, Course, await_ready, minority_results, rush, set_scene, strike, under_load
from ops.rolling_restart import rolling_restart
from ops.streams import telling
from ops.verdict import Verdict, drain, head_seq, judge

FACULTIES: Final = 4
"""Two speak async, two lbb."""

PROGRAMS: Final = 4
CLIENTS: Final = 4
REST_MS: Final = 50
"""Clients rest while the cluster only heals: a server that comes back has to catch up with them."""

FULL_LOAD: Final = 1_000_000
"""More transactions than anybody begins before the next server leads."""

STRIKE_AFTER_S: Final = (0.1, 0.8)
"""Between full load on a cluster in sync and the fault; drawn evenly."""

CYCLES_A_CLUSTER: Final = 25
"""Then a new cluster is begun: a server that comes back reads its whole log, and that grows with every cycle."""

PARTITION_MS: Final = 2_000
FREEZE_MS: Final = 3_000
FREEZE_MS_MIN: Final = 2 * PROFILES["default"].grace_ms
"""A shorter freeze may be over before anybody takes it for a death."""

COLUMNS: Final = (
    "requests", "results", "lost", "duplicates", "unknown", "detect_ms", "promote_ms", "first_reply_ms",
    "stale_results",
)  # fmt: skip

PAUSES_TITLE: Final = (
    "Longest time without a result "
    f"(a program whose faculty goes asks again when its patience ends, after {PROGRAM_PATIENCE_US // 1_000_000} s)"
)
RESTART_COLUMNS: Final = ("requests", "results", "lost", "duplicates", "unknown", "stale_results")

Command = TypeVar("Command", bound=Callable[..., Any])


def _drill_options(command: Command) -> Command:
    for option in (
        output_option(TABLE, JSON),
        click.option("--seed", type=click.IntRange(0), help="Draw the same moments again (default: new, printed)."),
        click.option("--cycles", type=click.IntRange(1), default=1, show_default=True, help="How often."),
    ):
        command = option(command)
    return command


@click.group()
def drill() -> None:
    """Practise a failure on a scratch cluster under load and measure it at the clients.

    One table: requests, results, what was lost, duplicated, never answered or stale, and in ms the median of
    what detecting, promoting and the first reply of the next primary took, or the longest pauses. With -o json
    one object.
    Exit code 4 if a promise was broken, 3 if nobody took over.

    \b
    Example:
      aulario drill kill-primary
    """


@drill.command("kill-primary")
@_drill_options
def kill_primary(cycles: int, seed: int | None, output: str) -> None:
    """Kill the primary with SIGKILL under load; the backup must take over.

    \b
    Examples:
      aulario drill kill-primary
      aulario drill kill-primary --cycles 300 -o json
    """
    topology = Topology("kill-primary", (Kill(Role.PRIMARY),), Expected.TAKEOVER)
    _run(topology, plain_lab, hold_ms=0, cycles=cycles, seed=seed, output=output)


@drill.command()
@click.option("--for", "freeze_ms", type=click.IntRange(FREEZE_MS_MIN), default=FREEZE_MS, show_default=True,
              help="How long, in ms.")  # fmt: skip
@_drill_options
def freeze(freeze_ms: int, cycles: int, seed: int | None, output: str) -> None:
    """Freeze the primary under load (SIGSTOP) and let it go on; nothing it says late may count.

    \b
    Examples:
      aulario drill freeze
      aulario drill freeze --for 10000 --cycles 3
    """
    topology = Topology("freeze", (Pause(Role.PRIMARY, freeze_ms, freeze_ms),), Expected.TAKEOVER)
    _run(topology, plain_lab, hold_ms=0, cycles=cycles, seed=seed, output=output)


@drill.command()
@_drill_options
def partition(cycles: int, seed: int | None, output: str) -> None:
    """Cut the primary off from everybody but the clients beside it, which must get no result.

    \b
    Examples:
      aulario drill partition
      aulario drill partition --cycles 5 -o json
    """
    cut = Cut(both(Role.PRIMARY, Role.EVERYONE))
    topology = Topology("partition", (cut,), Expected.TAKEOVER, minority=Role.PRIMARY)
    _run(topology, loopback_lab, hold_ms=PARTITION_MS, cycles=cycles, seed=seed, output=output)


@drill.command("rolling-restart")
@_drill_options
def restart_all(cycles: int, seed: int | None, output: str) -> None:
    """End every process in turn with SIGTERM under load and start it again, waiting for in sync in between.

    Shows the longest pause of each kind of process at its clients. There is no planned switchover: the backup takes
    over from the primary as after its death. What a program asked a faculty that goes is gone with it, and these
    programs have patience for 13 s before they ask again: that is a faculty's figure, not how long it was away.

    \b
    Examples:
      aulario drill rolling-restart
      aulario drill rolling-restart --cycles 10 -o json
    """
    seed = _announced(seed)
    summary, kept = rolling_restart(cycles, seed)
    outcome, exit_code = "every promise was kept", OK
    if kept is not None:
        outcome, exit_code = f"{'; '.join(summary['failures'])}; the cluster is kept in {kept}", INTEGRITY
    with telling(outcome, exit_code):
        if output == JSON:
            print_json(summary)
        else:
            pauses = [{"process": role, **figures} for role, figures in summary["pauses"].items()]
            print_table(pauses, ("process", "restarts", "median_ms", "max_ms"), title=PAUSES_TITLE)
            print_table([summary], RESTART_COLUMNS, title=f"rolling-restart x {cycles}")
    if exit_code != OK:
        raise Stopped(outcome, exit_code)


def _announced(seed: int | None) -> int:
    """The seed, said; from here on signals end the drill."""
    seed = secrets.randbits(32) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    interrupt_on_signals()
    return seed


class _Part(NamedTuple):
    """What happened on one cluster, and a sentence for each promise it broke."""

    courses: list[Course]
    verdict: Verdict
    broken: list[str]


def _run(
    topology: Topology, open_lab: OpenLab, *, hold_ms: int, cycles: int, seed: int | None, output: str
) -> None:
    seed = _announced(seed)
    began_s = time.monotonic()
    parts: list[_Part] = []
    for first in range(0, cycles, CYCLES_A_CLUSTER):
        directory = Path(tempfile.mkdtemp(prefix="aulario-drill-"))
        try:
            with open_lab(directory, "default", FACULTIES) as lab:
                part = _drilled(lab, directory, topology, hold_ms, min(CYCLES_A_CLUSTER, cycles - first), seed + first)
        except KeyboardInterrupt:
            with undisturbed():
                shutil.rmtree(directory)
            raise
        parts.append(part)
        if part.broken:
            break
        shutil.rmtree(directory)
    summary = {"drill": topology.name, "cycles": sum(len(part.courses) for part in parts), **_figures(parts),
               "seconds": round(time.monotonic() - began_s, 1), "seed": seed}  # fmt: skip
    outcome, exit_code = "every promise was kept", OK
    if part.broken:
        outcome, exit_code = f"{'; '.join(part.broken)}; the cluster is kept in {directory}", INTEGRITY
    with telling(outcome, exit_code):
        if output == JSON:
            print_json(summary)
        else:
            print_table([summary], COLUMNS, title=f"{topology.name} x {summary['cycles']}")
    if exit_code != OK:
        raise Stopped(outcome, exit_code)


def _drilled(lab: Lab, directory: Path, topology: Topology, hold_ms: int, cycles: int, seed: int) -> _Part:
    beside_servers = int(topology.minority is not None)
    clients = Clients(PROGRAMS, CLIENTS, beside_servers, WINDOW, REST_MS)
    drawn = random.Random(seed)
    courses: list[Course] = []
    minority = 0
    with running_cluster(directory, lab.config, lab.surroundings) as cluster:
        began_seq = head_seq(lab.config)
        with under_load(lab, clients, seed) as loads:
            for _ in range(cycles):
                scene = set_scene(lab, cluster, None, drawn)
                rush(loads, FULL_LOAD)
                time.sleep(drawn.uniform(*STRIKE_AFTER_S))
                course = strike(scene, topology, loads, hold_ms)
                if not course.was_seen or course.first_reply_ms is None:
                    raise Stopped(f"nobody took over from {scene.primary}; see {directory}", UNREACHABLE)
                courses.append(course)
                minority += minority_results(scene, topology, course, loads)
                for load in loads:
                    load.rush(0)
                click.echo(f"{topology.name}: {course.first_reply_ms:.0f} ms", err=True)
                await_ready(cluster)
            drain(lab.config, loads)
        verdict = judge(lab.config, loads, began_seq)
    broken = verdict.broken() + ([f"{minority} results beside a primary that was cut off"] if minority else [])
    return _Part(courses, verdict, broken)


def _figures(parts: Sequence[_Part]) -> dict[str, Any]:
    """Times are medians; those of detecting and promoting come from the log (R5)."""
    verdicts = [part.verdict for part in parts]
    takeovers = [epoch for verdict in verdicts for epoch in verdict.epochs if epoch.cause == "failover"]
    every = [course.first_reply_ms for part in parts for course in part.courses]
    replies = sorted(ms for ms in every if ms is not None)
    return {
        "requests": sum(verdict.requests for verdict in verdicts),
        "results": sum(verdict.results for verdict in verdicts),
        "lost": sum(verdict.lost for verdict in verdicts),
        "duplicates": sum(verdict.duplicates for verdict in verdicts),
        "unknown": sum(verdict.unknown for verdict in verdicts),
        "detect_ms": _median([epoch.silence_ms for epoch in takeovers]),
        "promote_ms": _median([epoch.promote_ms for epoch in takeovers]),
        "first_reply_ms": _median(replies),
        "first_reply_p99_ms": round(replies[math.ceil(0.99 * len(replies)) - 1]),
        "first_reply_max_ms": round(replies[-1]),
        "stale_results": sum(verdict.stale_results for verdict in verdicts),
        "contradictions": sum(len(verdict.contradictions) for verdict in verdicts),
        "violations": sum(len(verdict.violations) for verdict in verdicts),
        "logs_equal": all(verdict.logs_equal for verdict in verdicts),
        "events": sum(verdict.events for verdict in verdicts),
        "failures": [sentence for part in parts for sentence in part.broken],
    }


def _median(figures: Sequence[float]) -> int | None:
    return round(median(figures)) if figures else None
