"""What a run of the simulator is reported as: text for people, an Outcome in JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from es.testing.directed import DIRECTED
from ops.output import JSON, print_table
from ops.prove import outcome
from ops.prove.outcome import Outcome
from ops.sim.mutant_search import Found
from ops.sim.revision import revision
from ops.sim.shrink import Shrunk
from ops.sim.suite import LOADS, Failure, Tally

NAME = "sim"
COUNTS_SHOWN = ("register changes", "opening -> leading", "answers", "lost", "duplicated", "cut off", "fsync stall")
MUTANT_COLUMNS = ("mutant", "rule", "load", "seed", "invariant", "directed")


def show_run(
    tally: Tally, failure: Failure | None, shrunk: Shrunk | None, mutant: str | None, jobs: int, seconds: float,
    output: str,
) -> None:  # fmt: skip
    """A run of the suite: what it met, and what broke."""
    runs = tally.schedules + (shrunk is not None)
    details = {
        "commit": revision(),
        "jobs": jobs,
        "schedules_per_s": round(runs / max(seconds, 0.001), 1),
        "commands": tally.commands,
        "faults": tally.faults,
        "coverage": tally.coverage.figures(),
        "never_met": tally.coverage.never_met(),
        "counts": {**tally.coverage.counts(), "events": dict(sorted(tally.counts.items()))},
    }
    if shrunk is not None:
        details |= {"shrunk": _figures(shrunk), "trace": shrunk.after.trace}
        failure = shrunk.after.failure
    if output == JSON:
        _show_json(runs, failure, mutant, seconds, details)
        return
    click.echo(f"{runs} schedules in {seconds:.1f} s ({details['schedules_per_s']}/s), commit {details['commit']}")
    if tally.schedules:
        _show_met(tally)
    _show_failure(failure, shrunk, mutant)


def show_traced(runs: int, failure: Failure | None, mutant: str | None, seconds: float, output: str) -> None:
    """Schedules whose traces have been shown already."""
    if output == JSON:
        _show_json(runs, failure, mutant, seconds, {"commit": revision()})
    else:
        _show_failure(failure, None, mutant)


def show_mutants(found: Sequence[Found], seeds: int, seconds: float, output: str) -> None:
    """What finds each mutant; those that survive are the failures."""
    rows = [one.row() for one in found]
    survivors = [one.mutant for one in found if one.survives]
    if output == JSON:
        failures = tuple(
            outcome.Failure(f"{name} survives", f'aulario sim --mutants --mutant "{name}" --seeds {seeds}')
            for name in survivors
        )
        details = {"commit": revision(), "seeds": seeds, "mutants": rows}
        outcome.show(Outcome("mutants", len(rows), failures, round(seconds, 1), details), output)
        return
    print_table([row | {"directed": ", ".join(row["directed"]) or None} for row in rows], MUTANT_COLUMNS)
    by_seed = sum(one.seeded is not None for one in found)
    click.echo(
        f"{len(found) - len(survivors)} of {len(found)} mutants found, {by_seed} of them by {seeds} seeds, "
        f"in {seconds:.1f} s, commit {revision()}"
    )
    for name in survivors:
        click.echo(f"SURVIVES {name}")


def _show_json(
    runs: int, failure: Failure | None, mutant: str | None, seconds: float, details: Mapping[str, Any]
) -> None:
    failures = () if failure is None else (outcome.Failure(str(failure), failure.replay(mutant)),)
    outcome.show(Outcome(NAME, runs, failures, round(seconds, 1), details), JSON)


def _figures(shrunk: Shrunk) -> dict[str, Any]:
    before, after = shrunk.before, shrunk.after
    return {
        "from_faults": len(before.struck),
        "to_faults": len(after.struck),
        "calm": sorted(after.schedule.calm),
        "runs": shrunk.runs,
    }


def _show_met(tally: Tally) -> None:
    """Figures; the blind spots by name, unless there was hardly anything to meet them."""
    click.echo(f"{tally.commands} commands before healing, {tally.faults} faults")
    for name in COUNTS_SHOWN:
        click.echo(f"  {tally.counts[name]:>10} {name}")
    click.echo(tally.coverage.figures())
    for what, names in tally.coverage.never_met().items():
        if names and tally.schedules > len(LOADS):
            listed = click.wrap_text("; ".join(names), width=120, initial_indent="  ", subsequent_indent="  ")
            click.echo(f"{what} never met:\n{listed}")


def _show_failure(failure: Failure | None, shrunk: Shrunk | None, mutant: str | None) -> None:
    if failure is None:
        click.echo("no violation")
        return
    click.echo(f"VIOLATION {failure}")
    if shrunk is not None:
        before = shrunk.before
        assert before.failure is not None
        click.echo(f"replay as it was met ({len(before.struck)} faults): {before.failure.replay(mutant)}")
        click.echo(f"shrunk to {len(shrunk.after.struck)} faults in {shrunk.runs} runs:")
        click.echo("\n".join(shrunk.after.trace))
    elif isinstance(failure.where, str):
        click.echo(DIRECTED[failure.where].strip())
    click.echo(f"commit {revision()}")
    click.echo(f"replay: {failure.replay(mutant)}")
