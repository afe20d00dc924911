"""`python -m ops.prove.links`: every way in which links, processes and clocks fail, on three hosts.

Each topology has a cluster of its own, which goes through it again and again; several topologies at once, each in
a process of its own. Where namespaces are not permitted the same is done through relays on this host; what cannot
be done there is skipped, and why is said.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any, Final

import click

from nodes.config.cluster import PROFILES
from nodes.shell import die_with_parent
from ops.cluster import interrupt_on_signals, undisturbed
from ops.exits import INTEGRITY, REFUSED
from ops.output import JSON, TABLE, output_option, print_table
from ops.prove.faults import Pause
from ops.prove.outcome import Failure, show
from ops.prove.series import Series, run_series, summed_up
from ops.prove.start import start
from ops.prove.topologies import TOPOLOGIES, Topology

COLUMNS: Final = ("topology", "runs", "failures", "unavailable ms", "results", "expected")
"""Unavailability as median / maximum of the trials."""


JOBS: Final = 4
"""A trial is mostly waiting: on two cores so many clusters have what they need."""

STOPS_WITHIN_S: Final = 30.0

_fork = get_context("fork")


@click.command()
@click.option("--topology", "names", multiple=True, type=click.Choice(list(TOPOLOGIES)), help="Only these.")
@click.option("--repeat", type=click.IntRange(1), default=20, show_default=True, help="Trials of each.")
@click.option("--jobs", type=click.IntRange(1), default=JOBS, show_default=True, help="Topologies at a time.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="slow", show_default=True, help="Timings.")
@click.option("--seed", type=click.IntRange(0), help="Draw the same again (default: a new seed, printed).")
@click.option("--loopback", is_flag=True, help="Relays on this host, even where namespaces are permitted.")
@output_option(TABLE, JSON)
def links(
    names: tuple[str, ...], repeat: int, jobs: int, profile: str, seed: int | None, loopback: bool, output: str
) -> None:
    """Cut, impair, pause, kill and mislead a cluster under load; nothing may be lost, double or stale.

    Exit code 4 if anything was, or a cluster did not do what it should.

    \b
    Examples:
      python -m ops.prove.links --repeat 3 --jobs 2
      python -m ops.prove.links --topology primary-cut-off --topology loss -o json
    """
    seed = secrets.randbits(32) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    interrupt_on_signals()
    chosen = [TOPOLOGIES[name] for name in names or TOPOLOGIES]
    began_s = time.monotonic()
    by_name = {}
    for one in _each_series(chosen, jobs, repeat, profile, seed, loopback=loopback):
        by_name[one.topology.name] = one
        _tell(one)
    series = [by_name[topology.name] for topology in chosen]
    outcome = summed_up(series, time.monotonic() - began_s)
    if output == TABLE:
        print_table((_row(one) for one in series), COLUMNS)
        told_above = {"by_topology", "skipped", "relayed"}
        details = {key: value for key, value in outcome.details.items() if key not in told_above}
        outcome = replace(outcome, details=details)
    show(outcome, output)
    if outcome.failures:
        sys.exit(INTEGRITY)


def _each_series(
    topologies: Sequence[Topology], jobs: int, repeat: int, profile: str, seed: int, *, loopback: bool
) -> Iterator[Series]:
    """The series of every topology, as they end. Those that may take longest begin first."""
    todo = sorted(topologies, key=_pause_ms)
    under_way: dict[Connection, tuple[Topology, BaseProcess]] = {}
    try:
        while todo or under_way:
            while todo and len(under_way) < jobs:
                topology = todo.pop()
                mine, its = _fork.Pipe(duplex=False)
                told = (its, os.getpid(), topology, repeat, profile, seed, loopback)
                child: BaseProcess = _fork.Process(target=_run, args=told)
                child.start()
                its.close()
                under_way[mine] = topology, child
            for end in wait(list(under_way)):
                assert isinstance(end, Connection)
                yield _ended(end, *under_way.pop(end))
    finally:
        left = [child for _, child in under_way.values()]
        with undisturbed():
            for one in left:
                one.terminate()
            for one in left:
                one.join(STOPS_WITHIN_S)
                one.kill()


def _run(
    tell: Connection, parent: int, topology: Topology, repeat: int, profile: str, seed: int, loopback: bool
) -> None:
    """The child: a process of its own has namespaces and an interpreter of its own."""
    die_with_parent(parent)
    try:
        tell.send(run_series(topology, repeat, profile, seed, loopback=loopback))
    except KeyboardInterrupt:
        sys.exit(REFUSED)  # the cluster is stopped; there is nothing to say


def _ended(end: Connection, topology: Topology, child: BaseProcess) -> Series:
    with end:
        try:
            series: Series = end.recv()
        except EOFError:
            child.join()
            what = f"{topology.name}: its process ended with {child.exitcode} and without a result"
            series = Series(topology, failures=[Failure(what, f"python -m ops.prove.links --topology {topology.name}")])
    child.join()
    return series


def _pause_ms(topology: Topology) -> int:
    """The longest for which it freezes a process."""
    return max((fault.most_ms for fault in topology.faults if isinstance(fault, Pause)), default=0)


def _tell(series: Series) -> None:
    row = _row(series)
    click.echo(", ".join(f"{key} {row[key]}" for key in COLUMNS), err=True)
    if series.relayed:
        click.echo(f"through relays on this host, for {series.relayed}", err=True)
    for failure in series.failures:
        click.echo(f"FAILURE {failure.what}\n  replay: {failure.replay}", err=True)


def _row(series: Series) -> dict[str, Any]:
    unavailable_ms = [round(trial.unavailable_ms) for trial in series.trials]
    return {
        "topology": series.topology.name,
        "runs": len(series.trials),
        "failures": len(series.failures),
        "unavailable ms": f"{median(unavailable_ms):.0f} / {max(unavailable_ms)}" if unavailable_ms else None,
        "results": sum(trial.verdict.results for trial in series.trials),
        "expected": f"skipped: {series.skipped}" if series.skipped else series.topology.expected.value,
    }


if __name__ == "__main__":
    start(links)
