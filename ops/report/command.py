"""`aulario report`: Table 3 and everything that was measured beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nodes.config.cluster import ClusterConfig
from ops.cluster import interrupt_on_signals, undisturbed
from ops.cluster_dir import config_in_force, is_cluster
from ops.exits import OK, REFUSED, Stopped
from ops.log_reader import survive_damage
from ops.options import DIRECTORY
from ops.output import CSV, JSON, TABLE, output_option, print_json, print_rows, print_table
from ops.report import tables
from ops.report.facts import CLUSTER, RUN_FILE, NotARun, Run, read_run, read_told
from ops.report.figures import figures
from ops.report.files import PAGE, write_files
from ops.report.reading import longest_log, read_requests
from ops.report.rooms import rooms_by_state
from ops.report.words import LANGUAGES, words_of

REPEAT = 3
REPEAT_MAX = 1_000


@click.command()
@click.argument("directory", type=DIRECTORY, default=Path("report"), metavar="[DIR]")
@click.option("--run", "runs", is_flag=True, help="Run the load first, on a new cluster in DIR.")
@click.option("--table3", "only_table3", is_flag=True, help="Table 3 alone: no failover, no other tables.")
@click.option("--all", "everything", is_flag=True, help="Every acceptance case too: CP1 to CP11, stress included.")
@click.option("--repeat", type=click.IntRange(1, REPEAT_MAX), help=f"Rounds of each load (default: {REPEAT}).")
@click.option("--mirrored", is_flag=True, help="Loads with classrooms and labs the other way round, too: 2+7, 4+10.")
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the report.")
@output_option(TABLE, JSON, CSV)
def report(
    directory: Path,
    runs: bool,
    only_table3: bool,
    everything: bool,
    repeat: int | None,
    mirrored: bool,
    language: str,
    output: str,
) -> None:
    """Tell how long requests took, leg by leg, and write it all to DIR as HTML, CSV and JSON.

    With --run a new cluster in DIR gets the load of Table 3 first: five faculties with five programs each, both
    patterns, minimum (7+2) and maximum (10+4); then its primary is killed under load. Without it DIR is such a run,
    or the directory of a cluster, running or stopped, whose processes kept the timings of their last requests.

    Exit code 1 if an acceptance case of --all is not met.

    \b
    Examples:
      aulario report --run --table3
      aulario report out --run --all --repeat 10
      aulario report out --language es
      aulario report cluster -o csv
    """
    directory = directory.absolute()
    if runs:
        _run(directory, repeat=repeat or REPEAT, mirrored=mirrored, only_table3=only_table3, everything=everything)
    else:
        for option, given in (("--all", everything), ("--mirrored", mirrored), ("--repeat", repeat is not None)):
            if given:
                raise click.UsageError(f"{option} says what --run does; a finished run is told as it was")
        survive_damage(directory)
    try:
        run, told = read_run(directory), read_told(directory)
    except NotARun as error:
        raise click.UsageError(str(error)) from None
    config = _config(directory, run)
    keep_in = directory if run is not None else directory / "report"
    keep_in.mkdir(exist_ok=True)
    model = read_requests(config, keep_in, told)
    found = figures(config, model, run, rooms_by_state(longest_log(config), _terms_shown(run)))
    write_files(keep_in, found, model, language)
    _print(found, language, output, only_table3)
    click.echo(f"written: {keep_in / PAGE} and the tables beside it", err=True)
    unmet = [case["name"] for case in found["cases"] if case["is_met"] is False]
    raise click.exceptions.Exit(REFUSED if unmet else OK)


def _run(directory: Path, *, repeat: int, mirrored: bool, only_table3: bool, everything: bool) -> None:
    from ops.report.runner import Plan, run

    if any((directory / name).exists() for name in (RUN_FILE, CLUSTER, PAGE)):
        raise Stopped(f"{directory} holds a run already: name another directory", REFUSED)
    if is_cluster(directory):
        raise Stopped(f"{directory} is a cluster's own directory: --run makes one in a directory of its own", REFUSED)
    directory.mkdir(parents=True, exist_ok=True)
    interrupt_on_signals()
    plan = Plan(repeat=repeat, mirrored=mirrored, failover=not only_table3, cases=everything)
    try:
        run(directory, plan, lambda sentence: click.echo(sentence, err=True))
    except KeyboardInterrupt:
        with undisturbed():
            shutil.rmtree(directory / CLUSTER, ignore_errors=True)  # half a run is told by nobody
        raise


def _config(directory: Path, run: Run | None) -> ClusterConfig:
    return config_in_force(directory / CLUSTER if run is not None else directory)


def _terms_shown(run: Run | None) -> dict[str, str] | None:
    """The last term of each load, by the load's name."""
    if run is None:
        return None
    last = {one.load: one.term for one in run.rounds}
    return {term: tables.load_name(asdict(load)) for load, term in last.items()}


def _print(found: dict[str, Any], language: str, output: str, only_table3: bool) -> None:
    words = words_of(language)
    table3 = tables.table3(found, words)
    if output == JSON:
        print_json(json.loads(json.dumps(found)))
        return
    if output == CSV:
        print_rows([dict(zip(table3.labels, row, strict=True)) for row in table3.rows], table3.labels, CSV)
        return
    if found["loads"]:
        _print_table3(table3, words["table3"])
    else:
        click.echo(words["no_timings"])
    if only_table3:
        _print_table(tables.programs(found, words), words["by_program"])
        return
    _print_table(tables.legs(found, words), words["legs"])
    _print_table(tables.recoveries(found, words), words["recovery"])
    _print_table(tables.steps(found, words), words["stress"])
    for name, _, observed, verdict in tables.cases(found, words).rows:
        click.echo(f"{name:<5} {verdict}: {observed}")
    for sentence in tables.conclusions(found, words):
        click.echo(sentence)


def _print_table3(table: tables.Table, title: str) -> None:
    """Its measures are sentences: each stands on a line of its own above its figures."""
    widths = [max(len(row[i]) for row in (table.labels, *table.rows)) + 2 for i in range(1, len(table.labels))]

    def line(cells: Sequence[str]) -> str:
        return "  " + "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()

    click.echo(f"{title}\n\n{line(table.labels[1:])}")
    for measure, *cells in table.rows:
        click.echo(f"{measure}\n{line(cells)}")
    click.echo()


def _print_table(table: tables.Table, title: str) -> None:
    if table.rows:
        print_table([dict(zip(table.columns, row, strict=True)) for row in table.rows], table.columns, title=title)
