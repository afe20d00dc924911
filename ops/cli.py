"""The command `aulario`. Results on stdout, logs and errors on stderr; exit codes as in ops.exits.

A subcommand's module is imported when it is run, so that `aulario request` does not pay for `demo`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click

from ops.exits import USAGE, Stopped, leave_with
from ops.streams import ready_streams


class _Verb(NamedTuple):
    module: str
    attribute: str
    summary: str


VERBS = {
    "allocations": _Verb("ops.allocations", "allocations", "Show who has which rooms."),
    "audit": _Verb("ops.audit", "audit", "Check what the logs say."),
    "config": _Verb("ops.config_commands", "config", "Show or validate a configuration."),
    "demo": _Verb("ops.demo", "demo", "Run a whole cluster and the reference load, then sum up."),
    "drill": _Verb("ops.drill", "drill", "Kill, freeze or cut off a primary under load; measure."),
    "faculty": _Verb("ops.processes", "faculty", "Run one faculty."),
    "init": _Verb("ops.config_commands", "init", "Write a configuration and make the data directories."),
    "keys": _Verb("ops.keys", "keys", "Make, list, allow, revoke and rotate keys."),
    "log": _Verb("ops.log_commands", "log", "Read a node's event log."),
    "prometheus": _Verb("ops.prometheus.command", "prometheus", "Run Prometheus over a cluster."),
    "release": _Verb("ops.registrar", "release", "Give the rooms of a confirmed transaction back."),
    "report": _Verb("ops.report.command", "report", "Table 3, latencies, recovery: as tables, HTML, CSV, JSON."),
    "request": _Verb("ops.request", "request", "Ask for rooms on behalf of one program."),
    "server": _Verb("ops.processes", "server", "Run one server (primary or backup)."),
    "sim": _Verb("ops.sim.command", "sim", "Run the cluster in one thread under faults drawn from seeds."),
    "status": _Verb("ops.status", "status", "Show every process of a cluster."),
    "term": _Verb("ops.registrar", "term", "List the terms, and close those that are over."),
    "up": _Verb("ops.up", "up", "Run a whole cluster and stay."),
    "witness": _Verb("ops.processes", "witness", "Run the witness."),
}


class LazyGroup(click.Group):
    """A group that knows its verbs' names and summaries without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        command = getattr(import_module(verb.module), verb.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in sorted(VERBS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aulario", message="%(prog)s %(version)s")
def cli() -> None:
    """Allocate a university's classrooms and labs on a cluster that loses nothing it confirmed.

    \b
    Examples:
      aulario demo
      aulario up --dir cluster
      aulario request --dir cluster --faculty 1 "Ingeniería de Sistemas" 7 2
      aulario status --dir cluster

    Exit codes: 0 ok, 1 refused or denied, 2 usage, 3 unreachable (a peer, a port,
    or a stdout that does not take the output), 4 integrity.
    """


def _check_arguments(arguments: Sequence[str]) -> None:
    """Raises Stopped if one is no text: bytes that are no UTF-8 reach Python as half surrogate pairs."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise Stopped(f"an argument is not UTF-8 text: {os.fsencode(argument)!r}", USAGE) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command (by default the process's own arguments) and exit; an error raised on purpose becomes one
    sentence on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    ready_streams()
    leave_with(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> object:
    _check_arguments(arguments)
    return cli.main(arguments, prog_name="aulario", standalone_mode=False)


if __name__ == "__main__":
    main()
