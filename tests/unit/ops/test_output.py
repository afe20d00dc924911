"""What is printed, on terminals of several widths and on streams that take little or nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ops.output import print_rows, print_table, printable
from tests.unit.ops.command import REPOSITORY, aulario, json_lines

STYLE = re.compile(r"\x1b\[[0-9;]*m")
STATUS_COLUMNS = ("process", "state", "pid", "role", "epoch", "seq", "in_sync", "endpoint")
STATUS = ["faculty-10", "running", 1234567, None, None, None, None, "tcp://127.0.0.1:20199"]
EVENT_COLUMNS = ("seq", "time", "epoch", "actor", "type", "what")
EVENT = [12, "2026-11-22 21:48:41.123", 3, "faculty:10", "ProgramRegistered", "tx 362546fd-a4c2 " * 9]


def on_terminal(
    columns: tuple[str, ...], values: list[object], width: int, whole: tuple[str, ...] = ()
) -> list[str]:
    """The lines of a table with one row, as a terminal of that width gets them."""
    row = dict(zip(columns, values, strict=True))
    code = f"from ops.output import print_table\nprint_table([{row!r}], {columns!r}, whole={whole!r})"
    terminal, stdout = pty.openpty()
    try:
        termios.tcsetwinsize(stdout, (24, width))
        environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, stdin=stdout, stdout=stdout, stderr=stdout, timeout=60,
            check=True, env=environ | {"NO_COLOR": "1", "TERM": "xterm"},
        )  # fmt: skip
    finally:
        os.close(stdout)
    with open(terminal, "rb", buffering=0) as shown:
        return STYLE.sub("", b"".join(read_to_end(shown)).decode()).splitlines()


def read_to_end(terminal: io.RawIOBase) -> Iterator[bytes]:
    """What was written to a terminal; one that nobody holds open any more ends in an I/O error."""
    with suppress(OSError):
        while piece := terminal.read(65_536):
            yield piece


@pytest.mark.parametrize("width", [79, 80, 120, 200])
def test_a_status_fits_a_terminal_and_no_port_is_lost(width: int) -> None:
    lines = on_terminal(STATUS_COLUMNS, STATUS, width)
    assert max(map(len, lines)) <= width
    shown = "\n".join(lines)
    assert all(column in shown for column in STATUS_COLUMNS)
    assert all(str(value) in shown for value in STATUS if value is not None)


@pytest.mark.parametrize("width", [80, 120])
def test_of_a_long_event_the_last_column_alone_is_cut(width: int) -> None:
    lines = on_terminal(EVENT_COLUMNS, EVENT, width)
    assert max(map(len, lines)) <= width
    (line,) = [line for line in lines if "faculty:10" in line]
    assert all(str(value) in line for value in EVENT[:-1])
    assert "tx 362546fd-a4c" in line and line.rstrip().endswith("\N{HORIZONTAL ELLIPSIS}")


def test_what_could_move_a_cursor_is_replaced() -> None:
    assert printable("the \x1b[31mroof\u202e leaks\n") == "the �[31mroof� leaks�"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", " =1", "\N{FULLWIDTH EQUALS SIGN}1", "=cmd|' /C calc'!A1"])
def test_a_text_that_a_spreadsheet_would_compute_is_shown_as_it_is(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"program": text, "rooms": [text, "B01-C01"], "change": -1, "share": -0.5, "nothing": None, "of": "a=b"}
    print_rows([row], tuple(row), "csv")
    assert [*csv.reader(capsys.readouterr().out.splitlines())][1] == [
        f"'{text}", f"'{text} B01-C01", "-1", "-0.5", "", "a=b"
    ]  # fmt: skip
    print_rows([row], tuple(row), "json")
    assert json.loads(capsys.readouterr().out) == row


def test_wide_letters_have_the_room_that_they_take() -> None:
    lines = on_terminal(("program", "rooms"), ["Biología Ñandú 生物", "B01-C01"], 80)
    assert any("Biología Ñandú 生物" in line for line in lines)


def test_of_a_column_that_is_to_be_whole_nothing_is_cut() -> None:
    rooms = " ".join(f"B{number:02}-C01..B{number:02}-C38" for number in range(1, 11))
    cut = "\n".join(on_terminal(("rooms", "term"), [rooms, "2026-1"], 80))
    whole = "\n".join(on_terminal(("rooms", "term"), [rooms, "2026-1"], 80, whole=("rooms",)))
    assert "B10-C01" not in cut and "\N{HORIZONTAL ELLIPSIS}" in cut
    assert all(room in whole for room in rooms.split())


def test_in_a_pipe_nothing_is_cut_or_folded(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"problem": "is open to others: chmod go= " * 9, "file": "/a/long/path" * 9}
    print_table([row], tuple(row), title="keys")
    title, *_, line = capsys.readouterr().out.rstrip().splitlines()
    assert (title.strip(), line.split()) == ("keys", [*row["problem"].split(), row["file"]])
    print_table([{"n": ":smile:"}], ("n",), title="cluster 0123456789abcdef")
    title, *_, line = capsys.readouterr().out.rstrip().splitlines()
    assert (title, line.strip()) == ("cluster 0123456789abcdef", ":smile:")


@pytest.mark.parametrize(("columns", "values"), [(STATUS_COLUMNS, STATUS), (EVENT_COLUMNS, EVENT)])
def test_what_fits_no_line_becomes_a_line_for_each_column(columns: tuple[str, ...], values: list[object]) -> None:
    lines = [line.split(maxsplit=1) for line in on_terminal(columns, values, 40) if line]
    assert [name for name, _ in lines] == list(columns)
    assert [cell.strip() for _, cell in lines] == ["-" if value is None else str(value).strip() for value in values]


@pytest.mark.parametrize("output", ["table", "csv", "json"])
def test_an_ascii_stdout_is_given_escapes(tmp_path: Path, history: Path, output: str) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    told = aulario("log", "tail", history / "server-a", "-n", 100, "-o", output, environ=ascii_only)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.isascii()
    if output == "json":
        assert json_lines(told.stdout) == json_lines(aulario("log", "export", history / "server-a").stdout)


def test_what_is_not_known_is_an_empty_field_of_csv(history: Path) -> None:
    first = aulario("status", "--dir", history, "-o", "csv").stdout.splitlines()[1]
    assert first.startswith("server-a,dead,,,,,,tcp://")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_what_a_closed_stdout_was_to_get_goes_nowhere_else(history: Path, closed: str) -> None:
    """A file opened later would have its number; the log, for one."""
    for arguments in (f"status --dir {history}", f"log tail {history}/server-a"):
        command = f"{sys.executable} -m ops.cli {arguments} {closed}"
        ended = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
        assert (ended.returncode, "Traceback" in ended.stderr) == (3, False), ended.stderr
    assert json.loads(aulario("log", "verify", history / "server-a", "-o", "json").stdout)["events"] > 0
