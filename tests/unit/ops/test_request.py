"""`aulario request`: how a result is shown, what is refused before anybody is asked, and what is told when nobody
answers."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket as tcp
import subprocess
import sys
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from nodes.clients.program import NOT_LET_IN, NoAnswer
from nodes.security.curve import OPEN
from nodes.wire.schema import ProgramRequest, Receipt, Res
from ops import request
from ops.cli import cli
from ops.cluster_dir import config_in_force
from ops.exits import leave_with
from ops.request import _lines
from projections.rooms.limits import TEXT_CHARS_MAX
from tests.unit.ops.command import REPOSITORY

GRANTED = Res("t1", "ACCEPTED", None, None, ("C1", "C2"), ("L1",), (), Receipt(4, 19, "ab", 2))
AGAIN = "aulario request --dir d --faculty 1 x 7 2 --transaction-id t1"


@pytest.mark.parametrize(("copies", "shown"), [(1, "1 copy"), (2, "2 copies")])
def test_a_result_in_lines(copies: int, shown: str) -> None:
    granted = GRANTED._replace(receipt=Receipt(4, 19, "ab", copies))
    assert list(_lines(granted, 11.7, AGAIN, "--dir d")) == [
        "ACCEPTED in 11.7 ms", "transaction  t1", "classrooms   2: C1 C2", "labs         1: L1",
        f"receipt      epoch 4, seq 19, {shown}, hash ab",
    ]  # fmt: skip


def test_an_outcome_that_nobody_knows_names_the_command_that_asks_again() -> None:
    """Whoever did not know it: the faculty itself here."""
    unknown = Res("t1", "UNKNOWN", None, "no definite result within 10000 ms; ask again with this id")
    first, second, *rest = _lines(unknown, 10_003.2, AGAIN, "--dir d")
    assert (first, second) == (f"UNKNOWN in 10003.2 ms: {unknown.reason}", "transaction  t1")
    assert AGAIN in rest[0]


def test_a_key_that_is_not_let_in_says_where_to_look() -> None:
    *_, last = _lines(Res("t1", "UNAVAILABLE", NOT_LET_IN, "nothing was asked"), 2_054.0, AGAIN, "--dir d")
    assert "aulario keys list --dir d" in last


def test_a_reader_that_leaves_after_the_first_line_has_all_of_it(cluster: Path) -> None:
    """A pipe that keeps writes apart: what one read gives is what one write took."""
    reader, writer = os.pipe2(os.O_DIRECT)
    try:
        with Asked(cluster, stdout=writer) as asked:
            asked.interrupt()
        assert len(os.read(reader, 65_536).splitlines()) == 4
    finally:
        os.close(reader)
        os.close(writer)


# --- before anybody is asked


@pytest.mark.parametrize("name", ["PROGRAM", "--term", "--transaction-id"])
@pytest.mark.parametrize(
    "text",
    [
        "", " ", " 2025-2", "2025-2 ", "2025\u202e-2", "2025\n", "\x1b[2J", "a\u2028b", "a\u200bb", "a\u2029",
        "x" * (TEXT_CHARS_MAX + 1),
    ],
)  # fmt: skip
def test_text_that_is_not_what_it_looks_like_is_refused_here_with_its_name(
    cluster: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    program = text if name == "PROGRAM" else "Física"
    options = [] if name == "PROGRAM" else [name, text]
    code, said = run(["request", "--dir", str(cluster), "--faculty", "1", *options, "--", program, "7", "2"], capsys)
    assert code == 2
    assert f"Error: {name} must be 1 to 200 printable characters" in said


@pytest.mark.parametrize(("name", "unseen"), [
    ("Caf\u00e9 \u2615\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
    ("\U0001f9d1\u200d\U0001f3eb", "U+200D ZERO WIDTH JOINER"),
    ("\u3164", "U+3164 HANGUL FILLER"),
])  # fmt: skip
def test_what_cannot_be_seen_in_a_name_is_named_and_not_taken_away(
    cluster: Path, capsys: pytest.CaptureFixture[str], name: str, unseen: str
) -> None:
    code, said = run(["request", "--dir", str(cluster), "--faculty", "1", name, "7", "2"], capsys)
    assert code == 2
    assert f"without a space at either end ({unseen} is not printable), not {name!r}" in said


@pytest.mark.parametrize(("counts", "named"), [
    (("1001", "2"), "CLASSROOMS"), (("7", "1001"), "LABS"), (("-1", "2"), "CLASSROOMS"), (("0", "0"), "LABS"),
    (("7", "x"), "LABS"), (("7.5", "2"), "CLASSROOMS"),
])  # fmt: skip
def test_counts_out_of_range_are_refused_here_by_name(
    cluster: Path, capsys: pytest.CaptureFixture[str], counts: tuple[str, str], named: str
) -> None:
    code, said = run(["request", "--dir", str(cluster), "--faculty", "1", "--", "Física", *counts], capsys)
    assert code == 2
    assert named in said.splitlines()[-1]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The command, in this process: it ends before it asks anybody."""
    with pytest.raises(SystemExit) as ended:
        leave_with(lambda: cli.main(arguments, prog_name="aulario", standalone_mode=False))
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


# --- nobody answers


def test_nobody_is_interrupted_but_while_he_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    held: set[int] = set()

    def ask(*args: Any, **options: Any) -> NoAnswer:
        held.update(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return NoAnswer("t1", 1_500, 1)

    monkeypatch.setattr(request, "ask", ask)
    request._ask(ProgramRequest("Física", 7, 2), 1, "tcp://127.0.0.1:9", 1_000, OPEN)
    assert held >= {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Asked:
    """A request to a faculty that takes its connection and says nothing."""

    def __init__(
        self, cluster: Path, *options: str, program: str = "Física", stdout: int = subprocess.PIPE
    ) -> None:
        host, port = config_in_force(cluster).faculty(1).endpoint.removeprefix("tcp://").split(":")
        self._faculty = tcp.create_server((host, int(port)))
        self._command = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "request", "--dir", str(cluster), "--faculty", "1", program, "7", "2",
             *options],
            cwd=REPOSITORY, stdout=stdout, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Asked:
        self._connection, _ = self._faculty.accept()
        return self

    def interrupt(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        self._command.send_signal(number)
        out, err = self._command.communicate(timeout=60)
        return self._command.returncode, out, err

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        self._faculty.close()
        self._command.kill()
        self._command.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_who_is_interrupted_is_told_the_id_and_how_to_ask_again(cluster: Path, number: int) -> None:
    with Asked(cluster, "--term", "2025 2") as asked:
        code, out, _ = asked.interrupt(number)
    status, transaction, _, again = out.splitlines()
    transaction_id = transaction.removeprefix("transaction").strip()
    assert (code, status.split()[0], len(transaction_id)) == (130, "UNKNOWN", 36)
    assert shlex.split(again) == [
        "aulario", "request", "Física", "7", "2", "--dir", str(cluster), "--faculty", "1",
        "--transaction-id", transaction_id, "--term", "2025 2",
    ]  # fmt: skip


def test_what_is_typed_decomposed_is_asked_for_composed(cluster: Path) -> None:
    """macOS types and pastes so."""
    names = "Biolog\u00eda", "matr\u00edcula", "Oto\u00f1o"
    program, transaction_id, term = (normalize("NFD", name) for name in names)
    options = "--transaction-id", transaction_id, "--term", term
    with Asked(cluster, *options, "-o", "json", program=program) as asked:
        _, out, _ = asked.interrupt()
    told = json.loads(out)
    assert told["transaction_id"] == names[1]
    _, _, program, _, _, *_, transaction_id, _, term = shlex.split(told["again"])
    assert (program, transaction_id, term) == names


def test_a_program_that_is_interrupted_has_a_result_in_json(cluster: Path) -> None:
    with Asked(cluster, "-o", "json", "--transaction-id", "mine") as asked:
        code, out, _ = asked.interrupt()
    told = json.loads(out)
    assert (code, told["faculty_id"], told["transaction_id"], told["status"]) == (130, 1, "mine", "UNKNOWN")
    assert told["again"].endswith("--transaction-id mine --term 2025-2")
