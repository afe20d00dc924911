"""`aulario allocations` and `aulario term list`: who has which rooms, as a log says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from es.errors import LogError
from ops.exits import USAGE, Stopped
from ops.log_reader import LOG_DIRECTORY, committed, furthest, held_by_all, logs_here, opened, survive_damage
from ops.options import NAME, config_option, configuration, directory_option
from ops.output import CSV, JSON, TABLE, output_option, print_rows, print_table
from projections.rooms.allocations import CONFIRMED, RELEASED, Allocation, Allocations, TermState
from projections.rooms.export import Exporter
from projections.rooms.limits import ID_MAX

COLUMNS = ("term", "faculty", "program", "transaction", "confirmed", "classrooms", "labs", "mobile")
ENDED = ("state", "ended", "by", "reason")
FIELDS = tuple(Allocation.__dataclass_fields__)
TERM_COLUMNS = ("term", "state", "opened", "closed", "allocations", "classrooms", "labs")
LISTS = ("classrooms", "labs", "mobile")
"""Columns of which nothing is cut off."""
NUMBER = click.IntRange(0, ID_MAX)
RANGE_MIN = 3
"""So many rooms in a row are shown as the first and the last of them."""


@click.command()
@click.argument("data_dir", type=LOG_DIRECTORY, required=False)
@directory_option
@config_option
@click.option("--term", type=NAME, help="Only in this term.")
@click.option("--faculty", "faculty_id", type=NUMBER, metavar="ID", help="Only of this faculty.")
@click.option("--program", "program_id", type=NUMBER, metavar="ID", help="Only of programs with this number.")
@click.option("--room", type=NAME, metavar="ROOM", help="Only who has this room.")
@click.option("--all", "everything", is_flag=True, help="Also what was released, or ended when its term was closed.")
@output_option(TABLE, JSON, CSV)
def allocations(
    data_dir: Path | None,
    directory: Path,
    config_file: Path | None,
    term: str | None,
    faculty_id: int | None,
    program_id: int | None,
    room: str | None,
    everything: bool,
    output: str,
) -> None:
    """Show who has which rooms: every confirmed allocation, from the log in DATA_DIR or in a data directory of the
    cluster, whether its server runs or not; of several on this host the log that goes furthest. Which one that is, and
    up to when it goes, stands on stderr.

    The table shortens rooms in a row to FIRST..LAST; JSON and CSV have each, the faculty's and program's numbers, and
    the event (epoch, seq, hash) that the receipt names. Times there are µs since the Unix epoch.

    \b
    Examples:
      aulario allocations --dir cluster --term 2025-2
      aulario allocations --faculty 3 -o csv
      aulario allocations cluster/server-a --room B01-L01 --all
    """
    read = _read(data_dir, directory, config_file)
    if term is not None and term not in read.terms:
        raise Stopped(f"there is no term {term}; those there were: {', '.join(read.terms) or 'none'}", USAGE)
    if room is not None and read.terms and not any(room in one.rooms for one in read.terms.values()):
        raise Stopped(f"there is no room {room} in any term", USAGE)
    found = [
        one for one in read.all()
        if (everything or one.state == CONFIRMED)
        and term in (None, one.term)
        and faculty_id in (None, one.faculty_id)
        and program_id in (None, one.program_id)
        and (room is None or one.has(room))
    ]  # fmt: skip
    if output == TABLE:
        print_table(map(_row, found), COLUMNS + ENDED if everything else COLUMNS, whole=LISTS)
    else:
        print_rows(map(asdict, found), FIELDS, output)


@click.command("list")
@click.argument("data_dir", type=LOG_DIRECTORY, required=False)
@directory_option
@config_option
@output_option(TABLE, JSON, CSV)
def list_terms(data_dir: Path | None, directory: Path, config_file: Path | None, output: str) -> None:
    """Show every term there ever was: open or closed, since when, how many allocations stand in it (in a closed one:
    stood until then), and how many of its classrooms and labs they have.

    It is read from a log, as `aulario allocations` does.

    \b
    Examples:
      aulario term list --dir cluster
      aulario term list cluster/server-a -o json
    """
    read = _read(data_dir, directory, config_file)
    row = _term_row if output == TABLE else _term_fields
    fields = TERM_COLUMNS if output == TABLE else tuple(_term_fields(_NO_TERM))
    print_rows(map(row, read.terms.values()), fields, output)


def _read(data_dir: Path | None, directory: Path, config_file: Path | None) -> Allocations:
    """What a log says, once stderr says which and how far it goes. Returns in a child, which a damaged log may kill.
    Raises Stopped if there is none here."""
    if data_dir is not None:
        survive_damage(data_dir)
        return _folded(data_dir, "a server's log on another machine may go further")
    config = configuration(directory, config_file)
    here = logs_here(config)
    away = ", ".join(server.name for server in config.servers if server.data not in here)
    try:
        survive_damage(here[0] if len(here) == 1 else here[0].parent)
        longest = furthest(here)
        if away:
            return _folded(longest, f"the log of server {away}, which is not here, may go further")
        return _folded(longest, held=held_by_all(here))
    except (LogError, PermissionError) as error:
        others = f": to read another server's log, name its directory ({', '.join(map(str, here))})" if here[1:] else ""
        if isinstance(error, PermissionError):
            raise PermissionError(error.errno, f"{error.strerror}{others}", error.filename) from None
        raise type(error)(f"{error}{others}") from None


def _folded(data_dir: Path, note: str = "", held: int = 0) -> Allocations:
    exporter, read, last = Exporter(), Allocations(), "which is empty"
    with opened(data_dir) as log:
        for batch in committed(log, commit_seq=max(held, log.commit_seq())):
            for event in exporter.feed(batch):
                read.take(event)
                last = f"up to seq {event['seq']}, {_time(event['ts'])} UTC"
    click.echo(f"from the log in {data_dir}, {last}{'; ' if note else ''}{note}", err=True)
    return read


def _row(one: Allocation) -> dict[str, Any]:
    return {
        "term": one.term,
        "faculty": f"{one.faculty_id} {one.faculty}".rstrip(),
        "program": f"{one.program_id} {one.program}".rstrip(),
        "transaction": one.transaction_id,
        "confirmed": _time(one.confirmed),
        "classrooms": _shortened(one.classrooms),
        "labs": _shortened(one.labs),
        "mobile": _shortened(one.mobile),
        "state": one.state,
        "ended": _time(one.ended),
        "by": one.ended_by,
        "reason": one.reason,
    }


def _shortened(rooms: Sequence[str]) -> str | None:
    """Room ids, of which those that follow one another by their last digits are `FIRST..LAST`."""
    return " ".join(_ranges(rooms)) or None


def _ranges(rooms: Sequence[str]) -> Iterator[str]:
    run: list[str] = []
    for room in rooms:
        if run and room != _next(run[-1]):
            yield from _range(run)
            run = []
        run.append(room)
    yield from _range(run)


def _range(run: Sequence[str]) -> Iterable[str]:
    return run if len(run) < RANGE_MIN else (f"{run[0]}..{run[-1]}",)


def _next(room: str) -> str:
    """The id that comes after it; itself if it does not end with a digit."""
    stem = room.rstrip("0123456789")
    digits = room[len(stem) :]
    return f"{stem}{int(digits) + 1:0{len(digits)}}" if digits.isascii() and digits else room


_NO_TERM = TermState("", 0, frozenset(), 0, 0)


def _term_fields(term: TermState) -> dict[str, Any]:
    stood = [one for one in term.allocations if one.state != RELEASED]
    return {
        "term": term.term,
        "state": "open" if term.closed is None else "closed",
        "opened": term.opened,
        "closed": term.closed,
        "closed_by": term.closed_by,
        "allocations": len(stood),
        "classrooms": sum(len(one.classrooms) + len(one.mobile) for one in stood),
        "labs": sum(len(one.labs) for one in stood),
        "classrooms_total": term.classrooms,
        "labs_total": term.labs,
    }


def _term_row(term: TermState) -> dict[str, Any]:
    fields = _term_fields(term)
    return {
        **fields,
        "opened": _time(term.opened),
        "closed": _time(term.closed),
        "classrooms": f"{fields['classrooms']} of {term.classrooms}",
        "labs": f"{fields['labs']} of {term.labs}",
    }


def _time(ts_us: int | None) -> str | None:
    return None if ts_us is None else datetime.fromtimestamp(ts_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
