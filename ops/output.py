"""How results are printed: a table for people, JSON or CSV for programs. Always on stdout."""

from __future__ import annotations

import codecs
import csv
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TextIO, TypeVar

import click

TABLE = "table"
JSON = "json"
CSV = "csv"

Command = TypeVar("Command", bound=Callable[..., Any])
COLUMN_CHARS_MAX = 44
"""On a terminal a column is shown whole up to this width."""
LAST_COLUMN_CHARS_MIN = 10
"""A last column that is longer is not cut or folded to less."""


FORMULA_BEGINS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes a text that begins so for; the last four are the same ones in full width."""


def output_option(*formats: str) -> Callable[[Command], Command]:
    """The option `-o`; the first format is the default."""
    guarded = " In csv an apostrophe stands before a text that begins with = + - or @." if CSV in formats else ""
    return click.option(
        "-o", "--output", type=click.Choice(formats), default=formats[0], show_default=True,
        help=f"Output format.{guarded}",
    )  # fmt: skip


def print_json(value: object) -> None:
    """One object on one line; paths as strings."""
    click.echo(_json(value))


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], output: str) -> None:
    """Rows of the same columns: a table, CSV with a header, or one JSON object a line."""
    if output == JSON:
        for row in rows:
            print_json(row)
    elif output == CSV:
        write_csv(sys.stdout, columns, ([row.get(column) for column in columns] for row in rows))
    else:
        print_table(rows, columns)


def write_csv(file: TextIO, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """CSV for people's spreadsheets, with a header; what is not known is empty. Names are chosen by whoever has a
    program's key: before a text that would be taken for a formula stands an apostrophe, which shows it as it is.

    Raises OSError, or what the stream raises."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_field(value) for value in row] for row in rows)


def print_table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], title: str | None = None, whole: Collection[str] = ()
) -> None:
    """A table at most as wide as the terminal. In a narrow one the gaps shrink, then the last column is folded or,
    if it is longer than a column is shown whole, cut short, as others are; but of those in `whole` nothing is cut off.
    If the others do not fit even so, each row becomes a block with a line for each column: none is lost.
    Where stdout is no terminal, lines are as long as they need be."""
    from rich.cells import cell_len
    from rich.console import Console

    if title is not None:
        click.echo(title)
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    *others, last = (max(map(cell_len, column)) for column in zip(columns, *cells, strict=True))
    if not sys.stdout.isatty():
        _print_grid(columns, cells, [*others, last], columns, roomy=True)
        return
    others = [min(width, COLUMN_CHARS_MAX) for width in others]
    room = Console().width - sum(others)
    wide, narrow = room - _gaps(columns, roomy=True), room - _gaps(columns, roomy=False)
    if wide >= min(last, COLUMN_CHARS_MAX):
        _print_grid(columns, cells, [*others, min(last, wide)], whole, roomy=True)
    elif narrow >= min(last, LAST_COLUMN_CHARS_MIN):
        _print_grid(columns, cells, [*others, min(last, narrow)], whole, roomy=False)
    else:
        _print_blocks(columns, cells)


def _gaps(columns: Sequence[str], *, roomy: bool) -> int:
    """How many characters of a line stand between and around its columns."""
    return 3 * len(columns) + 1 if roomy else len(columns) - 1


def _print_grid(
    columns: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], whole: Collection[str],
    *, roomy: bool,
) -> None:  # fmt: skip
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_edge=roomy, padding=(0, int(roomy)))
    for index, (column, width) in enumerate(zip(columns, widths, strict=True)):
        last = index == len(columns) - 1
        is_short = max((len(row[index]) for row in cells), default=0) <= COLUMN_CHARS_MAX
        folds = (last and is_short) or column in whole
        table.add_column(column, width=width, no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    for row in cells:
        table.add_row(*map(escape, row))
    Console(width=sum(widths) + _gaps(columns, roomy=roomy), highlight=False, emoji=False).print(table)


def _print_blocks(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    width = max(map(len, columns))
    for row in cells:
        click.echo()
        for column, cell in zip(columns, row, strict=True):
            click.echo(f"{column:<{width}}  {cell}")


def printable(text: str) -> str:
    """`text` without what could move a terminal's cursor or turn its writing round: such characters become �."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun: `1 event`, `2 events`. `plural` is needed where it is not formed so."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def in_order(name: str) -> list[tuple[int, str]]:
    """What names are sorted by: `faculty-2` comes before `faculty-10`."""
    return [(int(word), "") if word.isdigit() else (0, word) for word in re.split("([0-9]+)", name)]


def _field(value: object) -> str:
    if value is None:
        return ""
    text = printable(_text_of(value))
    return f"'{text}" if text.lstrip().startswith(FORMULA_BEGINS) and not isinstance(value, int | float) else text


def _cell(value: object) -> str:
    return "-" if value is None else printable(_text_of(value))


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    return _json(value)


def _json(value: object) -> str:
    """JSON that any stdout can take: what its encoding may lack is escaped as JSON does it."""
    utf8 = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    return json.dumps(value, ensure_ascii=not utf8, default=str)
