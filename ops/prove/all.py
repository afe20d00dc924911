"""`python -m ops.prove.all`: every instrument with the counts of the full proof, then RELIABILITY.md.

Each runs as a child and leaves a JSON file (ops.prove.records), also if it fails. One whose result is there already,
of this very code and for as many runs, is not run again: the proof goes on where it was interrupted.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import subprocess
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from nodes.shell import die_with_parent
from ops.cluster import interrupt_on_signals, undisturbed
from ops.exits import INTEGRITY, REFUSED
from ops.prove import records, report
from ops.prove.instruments import INSTRUMENTS, Instrument
from ops.prove.outcome import Failure, Outcome
from ops.prove.provenance import CHECKOUT, host, is_whole, revision
from ops.prove.records import Record
from ops.prove.start import start

ENDS_WITHIN_S: Final = 12 * 3_600
STOPS_WITHIN_S: Final = 30.0
DRILL_HEAD: Final = ("drill", "cycles", "failures", "seconds")
"""What a drill's object says of itself in other words than an Outcome."""


def _finite(_context: click.Context, _option: click.Parameter, scale: float) -> float:
    if not math.isfinite(scale):
        raise click.BadParameter(f"{scale} is no share")
    return scale


@click.command("all")
@click.option("--only", "names", multiple=True, type=click.Choice(list(INSTRUMENTS)), help="Only these.")
@click.option("--scale", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, callback=_finite,
              help="Share of the full counts, for a quick pass; its results are kept apart.")  # fmt: skip
@click.option("--again", is_flag=True, help="Run also what has a result already.")
@click.option("--results", type=click.Path(path_type=Path), help="Where results are (default: reliability/).")
def prove(names: tuple[str, ...], scale: float, again: bool, results: Path | None) -> None:
    """Run every instrument of the proof, and write RELIABILITY.md from what they found.

    Exit code 4 if anything failed, 1 if something could not be run on this host; then the reason is printed.

    \b
    Examples:
      python -m ops.prove.all
      python -m ops.prove.all --scale 0.01
      python -m ops.prove.all --only links --only power_cuts --again
    """
    interrupt_on_signals()
    if results is None and scale != 1:
        results = Path(tempfile.mkdtemp(prefix="aulario-proof-"))
    directory, page = report.places(results)
    directory.mkdir(parents=True, exist_ok=True)
    report.write(directory, page)  # what cannot be kept is known before hours are spent on it
    found = [
        _result(instrument, _scaled(instrument, scale), directory, again=again)
        for name, instrument in INSTRUMENTS.items()
        if name in (names or INSTRUMENTS)
    ]
    report.write(directory, page)
    click.echo(f"results in {directory}, summed up in {page}", err=True)
    if any(record.outcome.failures for record in found):
        raise click.exceptions.Exit(INTEGRITY)
    if any(record.could_not_run or record.skipped for record in found):
        raise click.exceptions.Exit(REFUSED)


def _scaled(instrument: Instrument, scale: float) -> int:
    """How often in a pass of that length."""
    return max(min(instrument.least, instrument.count), round(instrument.count * scale))


def _result(instrument: Instrument, count: int, directory: Path, *, again: bool) -> Record:
    """What an instrument found, now or before; kept, and told in a line."""
    click.echo(f"{instrument.name:<16} {count:>7} … ", nl=False, err=True)
    commit = revision(instrument.modules)
    kept = records.read(directory, instrument.name)
    if kept is not None and not again and is_of(kept, instrument, commit, count):
        click.echo(f"{_line(kept)} (kept of {kept.date})", err=True)
        return kept
    record = _run(instrument, count, commit)
    records.write(directory, record)
    click.echo(_line(record), err=True)
    for failure in record.outcome.failures:
        click.echo(f"  FAILURE {failure.what}\n    replay: {failure.replay}", err=True)
    for part, why in record.skipped.items():
        click.echo(f"  skipped {part}: {why}", err=True)
    return record


def is_of(kept: Record, instrument: Instrument, commit: str, count: int) -> bool:
    """Whether a result stands for so many runs of that code by that command: not if it names code that has no name."""
    command = " ".join(instrument.typed(count, kept.seed))
    return not kept.could_not_run and is_whole(commit) and (kept.commit, kept.command) == (commit, command)


def _line(record: Record) -> str:
    if record.could_not_run:
        return f"could not run: {record.could_not_run}"
    outcome = record.outcome
    return f"{outcome.runs} runs, {len(outcome.failures)} failures, {outcome.seconds:.0f} s"


def _run(instrument: Instrument, count: int, commit: str) -> Record:
    """Let it run as a child to its end. Whatever it does instead of giving its outcome is a failure, unless it says
    that this host does not permit it."""
    seed = secrets.randbits(32) if instrument.seeded else None
    typed = " ".join(instrument.typed(count, seed))
    why = ""
    with tempfile.TemporaryFile() as said:
        exit_code, printed = _ended(instrument.argv(count, seed), said)
        said.seek(0)
        last = (said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    outcome = _outcome_in(printed, typed)
    if outcome is None and exit_code == REFUSED and last.startswith("skipped: "):
        why = last.removeprefix("skipped: ")
        outcome = Outcome(instrument.name, 0, (), 0.0, {})
    elif outcome is None:
        failure = Failure(f"it gave no outcome but ended with {exit_code}: {last}", typed)
        outcome = Outcome(instrument.name, 0, (failure,), 0.0, {})
    today = datetime.now(UTC).date().isoformat()
    return Record(instrument.name, typed, count, seed, commit, today, host(), why, outcome)


def _ended(argv: tuple[str, ...], said: Any) -> tuple[int | None, str]:
    """Exit code and output of a child that ends with this process at the latest; None if its time was up."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))}
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, env=environ,
        preexec_fn=partial(die_with_parent, os.getpid()),
    ) as child:  # fmt: skip
        try:
            printed, _ = child.communicate(timeout=ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            _stop(child)
        return child.returncode, printed


def _stop(child: subprocess.Popen[str]) -> None:
    with undisturbed():
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                child.kill()


def _outcome_in(printed: str, typed: str) -> Outcome | None:
    """The outcome that an instrument printed, or None. A drill tells its own object."""
    try:
        told = json.loads(printed)
    except ValueError:
        return None
    if "drill" in told:
        failures = tuple(Failure(sentence, typed) for sentence in told["failures"])
        figures = {key: value for key, value in told.items() if key not in DRILL_HEAD}
        return Outcome(f"drill {told['drill']}", told["cycles"], failures, told["seconds"], figures)
    failures = tuple(Failure(one["what"], one["replay"]) for one in told["failures"])
    # The commit that the simulator tells counts this proof's results as changes; the record has the code's.
    details = {key: value for key, value in told["details"].items() if key != "commit"}
    return Outcome(told["name"], told["runs"], failures, told["seconds"], details)


if __name__ == "__main__":
    start(prove)
