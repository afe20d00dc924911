"""`aulario status`: every process of a cluster, as it answers now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from es.log.directory_lock import holder_of
from ops.exits import UNREACHABLE, Stopped
from ops.observe import label, observe, strangers
from ops.options import config_option, configuration, directory_option
from ops.output import CSV, JSON, TABLE, output_option, print_json, print_rows, print_table

COLUMNS = ("process", "state", "pid", "role", "epoch", "seq", "in_sync", "endpoint")


@click.command()
@directory_option
@config_option
@output_option(TABLE, JSON, CSV)
def status(directory: Path, config_file: Path | None, output: str) -> None:
    """Ask every process of the cluster in a directory what it is doing. Exit code 3 if none answers.

    A process is up, dead, silent (it exists and does not answer), or foreign: another one has its port. The role of
    a server is primary or backup; the witness names the server that may lead, a faculty follows the one it asks.

    \b
    Examples:
      aulario status --dir cluster
      aulario status --dir cluster -o json
    """
    observed = observe(configuration(directory, config_file))
    processes = [*observed["servers"], observed["witness"], *observed["faculties"]]
    for process in processes:
        if not process["alive"]:
            process["pid"] = _holder(process)
    if output == JSON:
        print_json(observed)
    elif output == CSV:
        print_rows(_rows(processes), COLUMNS, output)
    else:
        print_table(_rows(processes), COLUMNS, title=f"cluster {observed['cluster_id']}")
    for name, who, url in strangers(observed):
        click.echo(f"{name}'s port is another's: {who} answers at {url}", err=True)
    if not any(process["alive"] for process in processes):
        which = f"of {config_file}" if config_file is not None else f"in {directory.absolute()}"
        raise Stopped(f"no process of the cluster {which} answers", UNREACHABLE)


def _holder(process: dict[str, Any]) -> int | None:
    """The id of the process itself if it has its data directory, on this host and as this user; None if nobody has it,
    or somebody who verifies the log."""
    pid = holder_of(Path(process["data"]))
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        return pid if {*label(process).split("-", 1)} <= {*words} else None
    return None


def _state(process: Mapping[str, Any]) -> str:
    if process["alive"]:
        return "up"
    if process["foreign"] is not None:
        return "foreign"
    return "dead" if process["pid"] is None else "silent"


def _role(process: Mapping[str, Any]) -> str | None:
    """What a process is to the others, as far as it says so."""
    for key, words in (("role", ""), ("primary", "names "), ("follows", "follows ")):
        if process.get(key):
            return f"{words}{process[key]}"
    return None


def _rows(processes: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for process in processes:
        yield {
            **process,
            "process": label(process),
            "state": _state(process),
            "role": _role(process),
            "endpoint": process.get("requests") or process.get("endpoint"),
        }
