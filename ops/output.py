"""How results are printed: a table for people, JSON or CSV for programs. Always on stdout."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

TABLE = "table"
JSON = "json"
CSV = "csv"

Command = TypeVar("Command", bound=Callable[..., Any])
PIPE_WIDTH = 200
"""Columns of a table that goes to a file or a pipe."""
COLUMN_CHARS_MAX = 44
"""A column other than the last is shown whole up to this width."""


def output_option(*formats: str) -> Callable[[Command], Command]:
    """The option `-o`; the first format is the default."""
    return click.option(
        "-o", "--output", type=click.Choice(formats), default=formats[0], show_default=True, help="Output format."
    )


def print_json(value: object) -> None:
    """One object on one line; paths as strings."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], output: str) -> None:
    """Rows of the same columns: a table, CSV with a header, or one JSON object a line."""
    if output == JSON:
        for row in rows:
            print_json(row)
    elif output == CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    else:
        print_table(rows, columns)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], title: str | None = None) -> None:
    """A table at most as wide as the terminal: if it does not fit, the last column is cut short."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    for index, column in enumerate(columns):
        widest = max((len(row[index]) for row in cells), default=0)
        last = index == len(columns) - 1
        table.add_column(column, no_wrap=True, min_width=None if last else min(widest, COLUMN_CHARS_MAX))
    for row in cells:
        table.add_row(*map(escape, row))
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
    console.print(table)


def printable(text: str) -> str:
    """`text` without what could move a terminal's cursor or turn its writing round: such characters become �."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def count(number: int, noun: str) -> str:
    """The number with its noun: `1 event`, `2 events`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cell(value: object) -> str:
    return printable(_text_of(value))


def _text_of(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    return json.dumps(value, ensure_ascii=False)
