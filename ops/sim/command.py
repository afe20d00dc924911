"""`aulario sim`: run seeded schedules and say what they met; a failure is shrunk, and prints how to see it again."""

from __future__ import annotations

import os
import time
from typing import Any, Final

import click

from es.testing.faults import RATES
from ops.cluster import interrupt_on_signals
from ops.exits import OK, REFUSED
from ops.output import JSON, TABLE, output_option
from ops.sim import report
from ops.sim.mutant_search import search
from ops.sim.mutants import MUTANTS
from ops.sim.pool import open_pool
from ops.sim.progress import progress
from ops.sim.shrink import Shrunk, shrink, watch
from ops.sim.suite import LOADS, NOTHING, Failure, Schedule, run_directed, run_parallel

SEEDS: Final = 100


class _Set(click.ParamType[Any]):
    """Words with commas between them, as a frozenset."""

    def __init__(self, each: click.ParamType[Any]) -> None:
        self.each = each
        self.name = each.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[Any]:
        return frozenset(self.each.convert(word, param, ctx) for word in value.split(",") if word)


@click.command()
@click.option("--seeds", type=click.IntRange(0), help=f"How many seeds.  [default: {SEEDS}]")
@click.option("--first", type=click.IntRange(0), help="The first seed.  [default: 0]")
@click.option("--seed", type=click.IntRange(0), help="This seed alone, without the directed schedules.")
@click.option("--load", "loads", multiple=True, type=click.Choice(list(LOADS)), help="One load only.")
@click.option("--mutant", type=click.Choice(list(MUTANTS)), help="Break one rule.")
@click.option("--mutants", "search_mutants", is_flag=True, help="Break every rule in turn; say what finds it.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--trace", is_flag=True, help="Show what happens in each schedule; no directed ones, no shrinking.")
@click.option("--without", default="", type=_Set(click.IntRange(1)), help="Leave out the faults of these numbers.")
@click.option("--calm", default="", type=_Set(click.Choice(RATES)), help="Take away these rates of small faults.")
@click.option("--draw", default=0, type=click.IntRange(0), help="Draw the delays and losses of messages differently.")
@output_option(TABLE, JSON)
def sim(
    seeds: int | None, first: int | None, seed: int | None, loads: tuple[str, ...], mutant: str | None,
    search_mutants: bool, jobs: int, trace: bool, without: frozenset[int], calm: frozenset[str], draw: int, output: str,
) -> None:  # fmt: skip
    """Run the whole cluster in one thread under faults drawn from seeds, and check every invariant.

    The first failure ends the run and is shrunk to the few faults it needs. Seeds mean the same schedules only
    with the same code: the commit is printed. Exit code 1 if an invariant is violated, or if a mutant survives.

    \b
    Examples:
      aulario sim --seeds 1000
      aulario sim --load rooms --seed 17 --trace
      aulario sim --mutants --seeds 1000
      aulario sim --mutant "resumed epoch" -o json
    """
    interrupt_on_signals()
    names = loads or tuple(LOADS)
    if seed is not None and not (seeds is None and first is None):
        raise click.UsageError("--seed is one seed alone: it goes with neither --seeds nor --first")
    first, count = (first or 0, SEEDS if seeds is None else seeds) if seed is None else (seed, 1)
    span = range(first, first + count)
    altered = bool(without or calm or draw)
    if altered and (seed is None or len(names) > 1):
        raise click.UsageError("--without, --calm and --draw alter one schedule: name its --load and its --seed")
    if search_mutants:
        failed = _search([mutant] if mutant else list(MUTANTS), names, span, jobs, output)
    elif trace or altered:
        failed = _show([Schedule(load, at, without, calm, draw) for at in span for load in names], mutant, output)
    else:
        failed = _run(names, span, mutant, jobs, output, directed=seed is None)
    raise click.exceptions.Exit(REFUSED if failed else OK)


def _run(names: tuple[str, ...], seeds: range, mutant: str | None, jobs: int, output: str, *, directed: bool) -> bool:
    began = time.monotonic()
    failures = run_directed(mutant) if directed else []
    tally = NOTHING
    if not failures:
        with progress("schedules", len(seeds) * len(names)) as tell, open_pool(jobs) as pool:
            for tally in run_parallel(pool, names, seeds, mutant):
                tell(tally.schedules)
    seconds = time.monotonic() - began
    failure = failures[0] if failures else tally.failure
    report.show_run(tally, failure, _shrunk(failure, mutant), mutant, jobs, seconds, output)
    return failure is not None


def _shrunk(failure: Failure | None, mutant: str | None) -> Shrunk | None:
    if failure is None or not isinstance(failure.where, Schedule):
        return None  # a directed schedule is short as it is
    click.echo(f"{failure}\nlooking for fewer faults that do the same", err=True)
    return shrink(failure.where, mutant)


def _show(schedules: list[Schedule], mutant: str | None, output: str) -> bool:
    """Up to the first that fails."""
    began = time.monotonic()
    runs, failure = 0, None
    for schedule in schedules:
        seen = watch(schedule, mutant)
        runs, failure = runs + 1, seen.failure
        click.echo("\n".join((f"{schedule}:", *seen.trace)), err=output == JSON)
        if failure is not None:
            break
    report.show_traced(runs, failure, mutant, time.monotonic() - began, output)
    return failure is not None


def _search(mutants: list[str], names: tuple[str, ...], seeds: range, jobs: int, output: str) -> bool:
    began = time.monotonic()
    with progress("mutants found", len(mutants)) as tell, open_pool(jobs) as pool:
        found = search(pool, mutants, names, seeds, tell)
    report.show_mutants(found, len(seeds), time.monotonic() - began, output)
    return any(one.survives for one in found)
