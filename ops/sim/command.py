"""`sim`: run seeded schedules and say what they met; a failure prints the command that replays it."""

from __future__ import annotations

import os
import time

import click

from es.testing.mutants import applied
from ops.exits import OK, REFUSED
from ops.sim.mutants import MUTANTS
from ops.sim.suite import LOADS, NOTHING, Failure, find, run_directed, run_parallel, run_seed

COUNTS_SHOWN = ("register changes", "opening -> leading", "answers", "lost", "duplicated", "cut off", "fsync stall")


@click.command()
@click.option("--seeds", default=100, show_default=True, type=click.IntRange(0), help="How many seeds.")
@click.option("--first", default=0, show_default=True, type=click.IntRange(0), help="The first seed.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--load", "loads", multiple=True, type=click.Choice(list(LOADS)), help="One load only.")
@click.option("--mutant", type=click.Choice(list(MUTANTS)), help="Break one rule.")
@click.option("--mutants", "every_mutant", is_flag=True, help="Break every rule in turn; print where each is found.")
@click.option("--trace", is_flag=True, help="Print what happened in each schedule.")
def sim(
    seeds: int, first: int, jobs: int, loads: tuple[str, ...], mutant: str | None, every_mutant: bool, trace: bool
) -> int:
    """Run the whole cluster in one thread under faults drawn from seeds, and check every invariant.

    Exit code 1 if an invariant is violated, or if a mutant survives.

    \b
    Examples:
      python -m ops.sim --seeds 1000
      python -m ops.sim --load rooms --first 17 --seeds 1 --trace
      python -m ops.sim --mutant "read without a lease"
      python -m ops.sim --mutants
    """
    names = loads or tuple(LOADS)
    span = range(first, first + seeds)
    if every_mutant:
        return _show_mutants(span)
    if trace:
        return _show_traces(names, span, mutant)
    began = time.monotonic()
    failure = run_directed(mutant)
    tally = NOTHING if failure is not None else run_parallel(names, span, mutant, jobs)
    failure = failure or tally.failure
    seconds = time.monotonic() - began
    click.echo(f"{tally.schedules} schedules in {seconds:.1f} s ({tally.schedules / max(seconds, 0.001):.1f}/s)")
    click.echo(f"{tally.commands} commands before healing, {tally.faults} faults")
    for name in COUNTS_SHOWN:
        click.echo(f"  {tally.counts[name]:>10} {name}")
    return _conclude(failure, mutant)


def _conclude(failure: Failure | None, mutant: str | None) -> int:
    if failure is None:
        click.echo("no violation")
        return OK
    click.echo(f"VIOLATION {failure}")
    click.echo(f"replay: {failure.replay(mutant)}")
    return REFUSED


def _show_traces(names: tuple[str, ...], seeds: range, mutant: str | None) -> int:
    for seed in seeds:
        for name in names:
            lines: list[str] = []
            failure = None
            try:
                with applied(MUTANTS[mutant] if mutant else None):
                    run_seed(name, seed, lines)
            except Exception as error:  # noqa: BLE001 - whatever a schedule raises is what it found
                failure = Failure(name, seed, f"{type(error).__name__}: {error}")
            click.echo("\n".join(lines))
            if _conclude(failure, mutant) != OK:
                return REFUSED
    return OK


def _show_mutants(seeds: range) -> int:
    survivors = 0
    for name, mutant in MUTANTS.items():
        failure = find(name, seeds)
        survivors += failure is None
        found = "SURVIVES" if failure is None else str(failure)
        click.echo(f"{mutant.rule:4} {name:34} {found[:120]}")
    return REFUSED if survivors else OK
