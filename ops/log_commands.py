"""`aulario log`: read the event log in a node's data directory, of a stopped node or of a running one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click

from es.codec import Batch
from es.log.lmdb_log import LmdbLog
from ops import event_lines
from ops.exits import USAGE, Stopped
from ops.log_following import FollowedLog
from ops.log_reader import LOG_DIRECTORY, committed, opened, survive_damage
from ops.log_verify_commands import checkpoint, verify
from ops.output import CSV, JSON, TABLE, output_option, print_rows, print_table
from ops.streams import rest
from projections.rooms.export import Exporter

COLUMNS = ("seq", "epoch", "ts", "actor", "type", "hash", "body")
TAIL_EVENTS_MAX = 100_000
FOLLOW_POLL_S = 0.2

data_dir_argument = click.argument("data_dir", type=LOG_DIRECTORY)


@click.group()
def log() -> None:
    """Read a node's event log.

    \b
    Examples:
      aulario log tail cluster/server-a
      aulario log export cluster/server-a -o json
      aulario log verify cluster/server-b
      aulario log checkpoint cluster/server-b
    """


@log.command()
@data_dir_argument
@click.option("-n", "--lines", type=click.IntRange(0, TAIL_EVENTS_MAX), default=10, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is committed from now on, until Ctrl-C.")
@output_option(TABLE, JSON, CSV)
def tail(data_dir: Path, lines: int, follow: bool, output: str) -> None:
    """Print the last committed events.

    With --follow a log that is replaced, as where its server was rebuilt, is followed on: what comes after the last
    event that was printed is printed once the new log has come so far, and stderr says that it was replaced. Exit code
    4 if the new one is another cluster's or server's, if its history is another one, or if for a minute there is none.

    \b
    Examples:
      aulario log tail cluster/server-a -n 20
      aulario log tail cluster/server-a --follow -o json
    """

    survive_damage(data_dir)
    with closing(FollowedLog(data_dir, partial(click.echo, err=True))) as followed:
        portions = _followed(followed, lines) if follow else iter([_last(followed, Exporter(), lines)])
        if output == TABLE:
            for events in portions:
                _print(events, output)
        else:
            _print(chain.from_iterable(portions), output)


@log.command()
@data_dir_argument
@click.argument("seq", type=click.IntRange(1))
@click.argument("last_seq", type=click.IntRange(1), required=False)
@output_option(JSON, TABLE, CSV)
def show(data_dir: Path, seq: int, last_seq: int | None, output: str) -> None:
    """Print the committed event SEQ, or all from SEQ to LAST_SEQ.

    \b
    Examples:
      aulario log show cluster/server-a 12
      aulario log show cluster/server-a 12 20 -o table
    """
    end = seq if last_seq is None else last_seq
    if end < seq:
        raise click.UsageError(f"LAST_SEQ {end} is before SEQ {seq}")
    survive_damage(data_dir)
    with opened(data_dir) as node_log:
        commit_seq = node_log.commit_seq()
        if end > commit_seq:
            raise Stopped(f"{data_dir} is committed up to seq {commit_seq}; {end} is not there yet", USAGE)
        _print(_between(node_log, seq, end), output)


@log.command()
@data_dir_argument
@output_option(JSON, CSV)
def export(data_dir: Path, output: str) -> None:
    """Print every committed event, one JSON object a line (or CSV).

    Each has seq, epoch, ts (µs), actor, type, hash (of its batch) and body.

    \b
    Examples:
      aulario log export cluster/server-a -o json > events.jsonl
      aulario log export cluster/server-b -o csv > events.csv
    """

    survive_damage(data_dir)
    with opened(data_dir) as node_log:
        _print(_events(Exporter(), committed(node_log)), output)


log.add_command(verify)
log.add_command(checkpoint)


def _events(exporter: Exporter, batches: Iterable[Batch]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from exporter.feed(batch)


def _last(log: FollowedLog, exporter: Exporter, lines: int) -> Iterable[dict[str, Any]]:
    return deque(_events(exporter, log.news()), maxlen=lines)


def _followed(log: FollowedLog, lines: int) -> Iterator[Iterable[dict[str, Any]]]:
    """The last events, and then those of one batch after the other, as soon as it is committed."""
    exporter = Exporter()
    yield _last(log, exporter, lines)
    while True:
        rest(FOLLOW_POLL_S)
        for batch in log.news():
            yield exporter.feed(batch)


def _between(node_log: LmdbLog, first_seq: int, last_seq: int) -> Iterator[dict[str, Any]]:
    """Room names come from events before, so the whole beginning is read."""
    for event in _events(Exporter(), committed(node_log)):
        if event["seq"] > last_seq:
            return
        if event["seq"] >= first_seq:
            yield event


def _print(events: Iterable[dict[str, Any]], output: str) -> None:
    if output == TABLE:
        print_table(map(event_lines.row, events), event_lines.COLUMNS)
    else:
        print_rows(events, COLUMNS, output)
