"""`python -m ops.kill_cycles`: the active server killed again and again under load, and what the clients saw of it.

Each cycle waits until both servers are in sync, kills the active one at a moment drawn at random, measures at
the clients how long it is until the first result of an event that the next primary decided, and starts the
killed server again. In the end the logs must bear out every result that any client saw. `--soak` runs the
same load without a kill and counts what changed all the same.
"""

from __future__ import annotations

import math
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click

from es.replication import events as kernel
from nodes.config import ClusterConfig
from nodes.shell import read_clock
from nodes.sustained_load import SustainedLoad
from ops.audit import first_difference
from ops.cluster import RunningCluster, running_cluster
from ops.cluster_dir import prepare
from ops.demo import free_base_port
from ops.exits import INTEGRITY, UNREACHABLE, Stopped
from ops.log_reader import committed, opened
from ops.observe import observe, unreadiness
from ops.output import JSON, TABLE, output_option, print_json
from projections.rooms.checker import check_rooms

FACULTIES = 4
PROGRAMS = 4
"""At each faculty; two faculties speak async, two lbb."""

KILL_AFTER_S = (0.3, 1.5)
"""Between a cluster in sync and the kill; drawn evenly."""

RESULT_WITHIN_S = 30.0
HEALED_WITHIN_S = 60.0
DRAINED_WITHIN_S = 40.0
POLL_S = 0.005
SOAK_POLL_S = 0.2


@click.command()
@click.option("--cycles", type=click.IntRange(0), default=30, show_default=True, help="How many kills.")
@click.option("--soak", "soak_s", type=click.FloatRange(0), default=0.0, help="Instead: so many seconds, no kill.")
@click.option("--clients", type=click.IntRange(0), default=4, show_default=True, help="Clients at the servers.")
@click.option("--seed", type=click.IntRange(0), help="Draw the same moments again (default: a new seed, printed).")
@output_option(TABLE, JSON)
def kill_cycles(cycles: int, soak_s: float, clients: int, seed: int | None, output: str) -> None:
    """Kill the active server under load, again and again; nothing may be lost, double or left without a result.

    Exit code 4 if anything was, 3 if the cluster did not come back.

    \b
    Examples:
      python -m ops.kill_cycles --cycles 30
      python -m ops.kill_cycles --soak 300 -o json
    """
    seed = secrets.randbits(32) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    directory = Path(tempfile.mkdtemp(prefix="aulario-kill-cycles-"))
    config = prepare(directory, base_port=free_base_port(), faculties=FACULTIES, overrides={})
    with running_cluster(directory, config) as cluster:
        summary = _run(cluster, cycles=0 if soak_s else cycles, soak_s=soak_s, clients=clients, seed=seed)
    if output == JSON:
        print_json(summary)
    else:
        for key, value in summary.items():
            click.echo(f"{key:<22} {value}")
    if any(summary[key] for key in ("lost", "double", "without_result", "contradictions", "violations")):
        raise Stopped(f"what clients saw and what the logs say differ; the cluster is kept in {directory}", INTEGRITY)
    shutil.rmtree(directory)


def _run(cluster: RunningCluster, *, cycles: int, soak_s: float, clients: int, seed: int) -> dict[str, Any]:
    drawn = random.Random(seed)
    load = SustainedLoad(cluster.config, programs=PROGRAMS, clients=clients, seed=seed)
    began_s, began_seq = time.monotonic(), _head_seq(cluster.config)
    load.start()
    takeovers_ms = []
    try:
        for cycle in range(cycles):
            time.sleep(drawn.uniform(*KILL_AFTER_S))
            takeovers_ms.append(_kill_once(cluster, load))
            click.echo(f"cycle {cycle + 1}: {takeovers_ms[-1]:.0f} ms", err=True)
        _soak(cluster, load, soak_s)
        seconds = time.monotonic() - began_s
        results = load.journal.statuses.total()
        load.drain()
        _until(lambda: load.in_flight == 0, DRAINED_WITHIN_S, load)
    finally:
        load.close()
    _until(lambda: _at_rest(cluster.config), HEALED_WITHIN_S, load)
    return {
        "cycles": cycles,
        "seconds": round(seconds, 1),
        "results_per_second": round(results / seconds),
        **_takeover_figures(takeovers_ms),
        **_verdict(cluster.config, load, began_seq),
        "seed": seed,
    }


def _kill_once(cluster: RunningCluster, load: SustainedLoad) -> float:
    """Kill the active server, wait for the next one's first result, heal. Milliseconds from the one to the other."""
    active = next(server for server in observe(cluster.config)["servers"] if server["active"])
    load.journal.await_epoch_after(active["epoch"])
    killed_us = read_clock().boot_us
    os.kill(active["pid"], signal.SIGKILL)
    if not _until(lambda: load.journal.new_result is not None, RESULT_WITHIN_S, load):
        raise Stopped(f"no new result within {RESULT_WITHIN_S:g} s of the death of {active['name']}", UNREACHABLE)
    assert load.journal.new_result is not None
    took_ms = (load.journal.new_result.boot_us - killed_us) / 1_000
    cluster.supervisor.revive(f"server-{active['name']}")
    cluster.supervisor.await_ready(lambda: unreadiness(observe(cluster.config)), HEALED_WITHIN_S)
    return took_ms


def _soak(cluster: RunningCluster, load: SustainedLoad, soak_s: float) -> None:
    until_s = time.monotonic() + soak_s
    while time.monotonic() < until_s:
        if load.failure is not None:
            raise load.failure
        ended = cluster.supervisor.turn()
        if ended:
            raise cluster.supervisor.failure(ended[0])
        time.sleep(SOAK_POLL_S)


def _until(fact: Callable[[], bool], within_s: float, load: SustainedLoad) -> bool:
    """Whether the fact came true in time."""
    deadline_s = time.monotonic() + within_s
    while not fact():
        if load.failure is not None:
            raise load.failure
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def _head_seq(config: ClusterConfig) -> int:
    with opened(config.servers[0].data) as log:
        return log.head().seq


def _at_rest(config: ClusterConfig) -> bool:
    """Every server holds the same log, and knows that all of it is committed."""
    ends = set()
    for server in config.servers:
        with opened(server.data) as log:
            ends.add((log.head(), log.commit_seq()))
    return len(ends) == 1 and all(head.seq == commit_seq for head, commit_seq in ends)


def _takeover_figures(takeovers_ms: list[float]) -> dict[str, Any]:
    """From the kill to the first result of an event of the next primary, as the clients saw it."""
    if not takeovers_ms:
        return {}
    ordered = sorted(takeovers_ms)
    return {
        "takeover_median_ms": round(median(ordered)),
        "takeover_p99_ms": round(ordered[math.ceil(0.99 * len(ordered)) - 1]),
        "takeover_max_ms": round(ordered[-1]),
    }


def _verdict(config: ClusterConfig, load: SustainedLoad, began_seq: int) -> dict[str, Any]:
    """What clients saw against what the logs say.

    lost             ACCEPTED results that do not stand in the log as they were told
    double           rooms granted twice, or transactions decided twice
    without_result   transactions nobody ever answered
    contradictions   results told again otherwise, or refused as invalid
    epochs           new epochs by cause since the load began
    """
    journal = load.journal
    epochs: Counter[str] = Counter()
    with opened(config.servers[0].data) as log:
        for batch in committed(log, began_seq + 1):
            for entry in batch.entries:
                if entry.application == kernel.APPLICATION and entry.type == "EpochStarted":
                    started = kernel.read(entry)
                    assert isinstance(started, kernel.EpochStarted)
                    epochs[started.cause] += 1
        broken = Counter(violation.rule for violation in check_rooms(committed(log), journal.accepted))
        events = log.commit_seq()
    return {
        **{status.lower(): count for status, count in sorted(journal.statuses.items())},
        "lost": broken["receipt"],
        "double": broken["double-grant"] + broken["one-outcome"],
        "without_result": load.in_flight,
        "contradictions": journal.contradictions,
        "violations": broken.total(),
        "logs_equal": first_difference(tuple(server.data for server in config.servers)) is None
        and _at_rest(config),
        "events": events,
        "epochs": dict(epochs),
    }


def main() -> None:
    """Run the command and exit; an error raised on purpose becomes one sentence on stderr."""
    try:
        kill_cycles()
    except Stopped as stopped:
        click.echo(f"Error: {stopped}", err=True)
        sys.exit(stopped.exit_code)


if __name__ == "__main__":
    main()
