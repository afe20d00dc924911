"""What an instrument found, and how its command shows it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from ops.cluster import interrupt_on_signals
from ops.exits import INTEGRITY, REFUSED, Stopped
from ops.output import JSON, TABLE, output_option, print_json


@dataclass(slots=True, frozen=True)
class Failure:
    """One run that broke a promise: what was seen, and the command or file that shows it again."""

    what: str
    replay: str


@dataclass(slots=True, frozen=True)
class Outcome:
    """`runs` runs in `seconds`; `failures` is empty if every promise held. `details` are further figures."""

    name: str
    runs: int
    failures: tuple[Failure, ...]
    seconds: float
    details: Mapping[str, Any]


class NotPermitted(Exception):
    """This host lacks what an instrument needs; the sentence says what."""


def command(name: str, instrument: Callable[[int, int], Outcome], *, count: int, what: str) -> click.Command:
    """The command of an instrument that is given a count and a seed. Exit code 4 if anything failed, 1 if
    the host does not permit it (the reason goes to stderr), 3 if something it needs could not be started."""

    @click.command(name, help=f"{what}\n\n\b\nExample:\n  python -m ops.prove.{name} --count {count}")
    @click.option("--count", type=click.IntRange(1), default=count, show_default=True, help="How many.")
    @click.option("--seed", type=click.IntRange(0), help="Draw the same again (default: a new seed, printed).")
    @output_option(TABLE, JSON)
    def run(count: int, seed: int | None, output: str) -> None:
        seed = secrets.randbits(32) if seed is None else seed
        click.echo(f"seed {seed}", err=True)
        interrupt_on_signals()
        try:
            outcome = instrument(count, seed)
        except NotPermitted as why:
            click.echo(f"skipped: {why}", err=True)
            raise click.exceptions.Exit(REFUSED) from None
        except Stopped as stopped:
            click.echo(f"Error: {stopped}", err=True)
            raise click.exceptions.Exit(stopped.exit_code) from None
        show(outcome, output)
        if outcome.failures:
            raise click.exceptions.Exit(INTEGRITY)

    return run


def replay(name: str, count: int, seed: int, kept: Path | None = None) -> str:
    """How a failure is seen again: a command, and the file that was kept of it."""
    return f"python -m ops.prove.{name} --count {count} --seed {seed}" + (f" (kept: {kept})" if kept else "")


def kept(evidence: Path) -> Path:
    """A copy of the file that shows a failure, in a directory that stays."""
    return Path(shutil.copy(evidence, tempfile.mkdtemp(prefix="aulario-evidence-")))


def show(outcome: Outcome, output: str) -> None:
    """Print an outcome for a person, or as one JSON object."""
    if output == JSON:
        print_json(asdict(outcome))
        return
    click.echo(f"{outcome.name}: {outcome.runs} runs, {len(outcome.failures)} failures, {outcome.seconds:.1f} s")
    for key, value in outcome.details.items():
        click.echo(f"  {key:<32} {value}")
    for failure in outcome.failures:
        click.echo(f"FAILURE {failure.what}\n  replay: {failure.replay}")
