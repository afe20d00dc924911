"""`aulario release`, `term` and `allocations` without a cluster that runs: what they read, and what they say."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import signal
import socket as tcp
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from es.log.base import Identity, Write
from es.log.lmdb_log import LmdbLog
from nodes import sockets, wire
from nodes.clients.program import NOT_LET_IN
from nodes.clients.registrar import NoReply
from nodes.security.curve import OPEN
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Closed, CloseRequest, Receipt, ReleaseRequest, Res
from ops import registrar
from ops.allocations import _shortened
from ops.cluster_dir import config_in_force
from ops.demo import free_base_port
from projections.rooms.catalog import Catalog, Room, default_catalog
from projections.rooms.commands import CloseTerm, Release
from projections.rooms.machine import Rooms
from tests.unit.ops.command import REPOSITORY, aulario, json_lines
from tests.unit.rooms.driver import Driver

IMPATIENT = {"AULARIO_TIMING_ANSWER_MS": "1200"}
RECEIPT = Receipt(4, 19, "ab", 1)
RELEASE, CLOSE = ReleaseRequest("t1", 3, "gotera"), CloseRequest("q1", "2025-2")
TOLD = registrar._Told("again", "--dir d", "table")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped cluster: 2025-2 is closed, in 2026-1 t3 stands, t4 was released, t5 holds rooms. Server b lacks the
    last of it."""
    directory = tmp_path_factory.mktemp("c")
    assert aulario("init", "--dir", directory, "--base-port", free_base_port()).returncode == 0
    driver = Driver(Rooms(default_catalog()))
    driver.begin_epoch()
    driver.allocate("t1", 7, 2)
    driver.do(CloseTerm("2025-2", "operator:ana"))
    driver.allocate("t3", 3, 61, term="2026-1")
    driver.allocate("t4", 1, 0, term="2026-1", faculty_id=2)
    behind = len(driver.batches)
    driver.do(Release("t4", 2, "operator:ana", "the roof leaks"))
    driver.reserve("t5", 1, 0, term="2026-1")
    for name, batches in (("a", driver.batches), ("b", driver.batches[:behind])):
        log = LmdbLog.open(directory / f"server-{name}")
        log.write(Write(batches, commit_seq=batches[-1].last_seq))
        log.close()
    return directory


@pytest.fixture
def own(cluster: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(cluster, tmp_path / "own"))


def ids(*options: object) -> list[str]:
    done = aulario("allocations", *options, "-o", "json")  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    return [row["transaction_id"] for row in json_lines(done.stdout)]


def test_allocations_are_those_that_stand_in_the_log_that_goes_furthest(cluster: Path) -> None:
    at = ("--dir", cluster)
    assert ids(*at) == ["t3"]
    assert ids(cluster / "server-b") == ["t3", "t4"], "as that server knows it"
    assert ids(*at, "--all") == ["t1", "t3", "t4"]
    assert ids(*at, "--all", "--room", "B01-C01", "--term", "2026-1") == ["t3"]
    assert ids(*at, "--all", "--faculty", 2, "--program", 1) == ["t4"]
    assert ids(*at, "--all", "--program", 99) == []


def test_allocations_as_csv_and_as_a_table_say_the_same(cluster: Path) -> None:
    [row] = csv.DictReader(aulario("allocations", "--dir", cluster, "-o", "csv").stdout.splitlines())
    [line] = json_lines(aulario("allocations", "--dir", cluster, "-o", "json").stdout)
    assert row["labs"].split() == line["labs"] and row["seq"] == str(line["seq"])
    table = aulario("allocations", "--dir", cluster, "--all").stdout
    assert "the roof leaks" in table
    assert "B01-C01..B01-C07" in table


def test_rooms_in_a_row_are_shortened() -> None:
    assert _shortened([]) is None
    assert _shortened(["A9", "A10", "A11", "B1", "B2", "Aula", "Aula", "C08", "C09", "C10", "C12"]) == (
        "A9..A11 B1 B2 Aula Aula C08..C10 C12"
    )


def test_terms_say_how_much_of_them_is_taken(cluster: Path) -> None:
    closed, opened = json_lines(aulario("term", "list", "--dir", cluster, "-o", "json").stdout)
    assert (closed["term"], closed["state"], closed["closed_by"]) == ("2025-2", "closed", "operator:ana")
    assert (closed["allocations"], closed["classrooms"], closed["labs"]) == (1, 7, 2)
    assert (opened["term"], opened["state"], opened["closed"]) == ("2026-1", "open", None)
    assert (opened["allocations"], opened["classrooms"], opened["labs"]) == (1, 4, 60)
    assert (opened["classrooms_total"], opened["labs_total"]) == (380, 60)
    assert "4 of 380" in aulario("term", "list", "--dir", cluster).stdout


def test_what_is_not_there_is_said(cluster: Path) -> None:
    for options, sentence in (
        (("--term", "2025-3"), "there is no term 2025-3; those there were: 2025-2, 2026-1"),
        (("--room", "B01-L99"), "there is no room B01-L99 in any term"),
    ):
        done = aulario("allocations", "--dir", cluster, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f"Error: {sentence}\n")


def test_what_stands_is_found_however_its_name_is_typed(tmp_path: Path) -> None:
    driver = Driver(Rooms(Catalog.of([Room("Biolog\u00eda", "classroom", "B01", 20)])))
    driver.begin_epoch()
    driver.allocate("t1", 1, 0, term="Oto\u00f1o")
    log = LmdbLog.create(tmp_path, Identity("c", "a", "i"))
    log.write(Write(driver.batches, commit_seq=driver.batches[-1].last_seq))
    log.close()
    assert ids(tmp_path, "--term", "Oton\u0303o", "--room", "Biologi\u0301a") == ["t1"]


def test_what_is_typed_decomposed_is_asked_for_composed() -> None:
    typed = ["matri\u0301cula", "--faculty", "1", "--reason", "gotera en Biologi\u0301a"]
    given = registrar.release.make_context("release", typed).params
    assert (given["transaction"], given["reason"]) == ("matr\u00edcula", "gotera en Biolog\u00eda")
    assert registrar.close.make_context("close", ["Oton\u0303o"]).params["name"] == "Oto\u00f1o"


def test_where_there_is_no_log_that_is_said(own: Path) -> None:
    for name in "ab":
        (own / f"server-{name}" / "data.mdb").unlink()
    done = aulario("allocations", "--dir", own)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "no log of this cluster is on this machine" in done.stderr


def test_a_damaged_log_is_an_integrity_error_and_the_sound_one_can_be_named(own: Path) -> None:
    with (own / "server-a" / "data.mdb").open("r+b") as data:
        data.truncate(4096 * 3)
    done = aulario("allocations", "--dir", own)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert str(own / "server-b") in done.stderr
    assert ids(own / "server-b") == ["t3", "t4"]


def test_which_log_was_read_and_how_far_it_goes_is_said(own: Path) -> None:
    told = re.compile(r"from the log in (\S+), up to seq (\d+), [\d-]+ [\d:]+ UTC(.*)\n")

    def note(*of: object) -> tuple[str, int, str]:
        done = aulario("allocations", *of)  # type: ignore[arg-type]
        match = told.fullmatch(done.stderr)
        assert match is not None, done.stderr
        return match[1], int(match[2]), match[3]

    directory, furthest, more = note("--dir", own)
    assert (directory, more) == (str(own / "server-a"), "")
    directory, behind, more = note(own / "server-b")
    assert (directory, more) == (str(own / "server-b"), "; a server's log on another machine may go further")
    assert behind < furthest
    shutil.rmtree(own / "server-a")
    assert note("--dir", own) == (
        str(own / "server-b"), behind, "; the log of server a, which is not here, may go further"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("release", "t1", "--faculty", 1, "--reason", " "), "--reason must be 1 to 200 printable characters"),
        (("release", "t1", "--faculty", 1, "--reason", "two\nlines"), "(U+000A is not printable), not 'two\\nlines'"),
        (("release", "t1", "--faculty", 1, "--reason", "x" * 201), "--reason must be 1 to 200 printable characters"),
        (("release", "", "--faculty", 1, "--reason", "x"), "TRANSACTION must be text of 1 to 200 characters"),
        (("release", "t" * 201, "--faculty", 1, "--reason", "x"), "TRANSACTION must be text of 1 to 200 characters"),
        (("release", "t1", "--faculty", 1, "--reason", "x", "--as", "auditor:local"), "servers take requests from"),
        (("term", "close", ""), "TERM must be text of 1 to 200 characters"),
        (("term", "close", "x" * 201), "TERM must be text of 1 to 200 characters"),
        (("term", "close", "2025-2", "--as", "somebody"), "is no principal"),
    ],
)
def test_what_no_server_would_take_is_wrong_usage(cluster: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = aulario(*arguments, "--dir", cluster)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("request_", "answer", "code", "first_line"),
    [
        (RELEASE, Res("t1", "CANCELED", "RELEASED", "given back", receipt=RECEIPT), 0,
         "CANCELED (RELEASED) in 1.5 ms: given back"),
        (RELEASE, Res("t1", "INVALID", "FORBIDDEN", "no"), 1, "INVALID (FORBIDDEN) in 1.5 ms: no"),
        (RELEASE, Res("t1", "UNAVAILABLE", "BUSY", "later"), 3, "UNAVAILABLE (BUSY) in 1.5 ms: later"),
        (CLOSE, Closed("q1", "2025-2", 7, 2, 1, RECEIPT), 0, "CLOSED in 1.5 ms: term 2025-2"),
        (CLOSE, Res("q1", "INVALID", "UNKNOWN_TERM", "no"), 1, "INVALID (UNKNOWN_TERM) in 1.5 ms: no"),
    ],
)  # fmt: skip
def test_an_answer_in_lines_and_as_exit_status(
    request_: ReleaseRequest | CloseRequest, answer: Res | Closed, code: int, first_line: str
) -> None:
    lines = list(registrar._lines(request_, answer, TOLD, 1.5))
    assert lines[0] == first_line
    assert registrar._exit_code(answer) == code
    assert (lines[-1] == "receipt      epoch 4, seq 19, 1 copy, hash ab") == (code == 0)
    if isinstance(answer, Closed):
        assert lines[1] == "ended        7 classrooms and 2 labs that were confirmed, and 1 proposal that held rooms"


def test_a_key_that_is_not_let_in_says_where_to_look() -> None:
    refused = Res("t1", "UNAVAILABLE", NOT_LET_IN, "nothing was asked")
    first, _, *_, last = registrar._lines(RELEASE, refused, TOLD, 2_054.0)
    assert first == "UNAVAILABLE (NOT_LET_IN) in 2054.0 ms: nothing was asked"
    assert last.strip() == "aulario keys list --dir d"
    assert registrar._exit_code(refused) == 3
    assert "again" not in registrar._fields(RELEASE, refused, TOLD.again), "that would be refused, too"


def test_where_nobody_answers_how_to_ask_again_is_said() -> None:
    request = ReleaseRequest("t3", 1, "it's over")
    again = registrar._again(request, "--dir d", registrar.OPERATOR)
    assert again == """aulario release t3 --faculty 1 --reason 'it'"'"'s over' --dir d"""
    unknown = Res("t3", "UNKNOWN", None, "no server that leads answered operator:local")
    told = TOLD._replace(again=again)
    lines = [*registrar._lines(request, unknown, told, 9.0)]
    assert (lines[0].startswith("UNKNOWN in "), lines[-1].splitlines()[-1].strip()) == (True, again)
    fields = registrar._fields(request, unknown, again)
    assert (fields["status"], fields["transaction_id"], fields["faculty_id"]) == ("UNKNOWN", "t3", 1)
    assert fields["again"] == again
    assert registrar._exit_code(unknown) == 3


def test_where_no_server_runs_nothing_was_asked(cluster: Path) -> None:
    release = ("release", "t3", "--faculty", 1, "--reason", "it's over", "--dir", cluster)
    done = aulario(*release, environ=IMPATIENT)
    assert (done.returncode, done.stdout.splitlines()[0].split(" in ")[0]) == (3, "UNAVAILABLE (NOT_REACHED)")
    assert "nothing was asked" in done.stdout
    assert f"aulario keys list --dir {cluster}" in done.stdout
    done = aulario(*release, "-o", "json", environ=IMPATIENT)
    [told] = json_lines(done.stdout)
    assert (done.returncode, told["status"], told["transaction_id"], told["faculty_id"]) == (3, "UNAVAILABLE", "t3", 1)
    assert "again" not in told


@contextmanager
def asked(cluster: Path, *command: object) -> Iterator[subprocess.Popen[str]]:
    """A command that asks servers of which one takes its connection and says nothing."""
    host, port = config_in_force(cluster).server("a").requests.removeprefix("tcp://").split(":")
    arguments = [sys.executable, "-m", "ops.cli", *map(str, command), "--dir", str(cluster)]
    with tcp.create_server((host, int(port))) as server:
        process = subprocess.Popen(
            arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            connection, _ = server.accept()
            with connection:
                yield process
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    "command", [("release", "t3", "--faculty", "1", "--reason", "it's over"), ("term", "close", "2026-1")],
    ids=["release", "close"],
)  # fmt: skip
def test_who_is_interrupted_is_told_that_nobody_knows_and_how_to_ask_again(
    cluster: Path, command: tuple[str, ...], number: int
) -> None:
    with asked(cluster, *command, "--as", "faculty:1") as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    first, *_, again = out.splitlines()
    assert (process.returncode, first.split()[0], err) == (130, "UNKNOWN", "")
    assert shlex.split(again) == ["aulario", *command, "--dir", str(cluster), "--as", "faculty:1"]


def test_an_interrupted_closing_has_a_result_in_json(cluster: Path) -> None:
    with asked(cluster, "term", "close", "2026-1", "-o", "json") as process:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    [told] = json_lines(out)
    assert (process.returncode, told["tipo"], told["status"], told["semester"]) == (130, "RES", "UNKNOWN", "2026-1")
    assert told["again"] == f"aulario term close 2026-1 --dir {cluster}"


def test_nobody_is_interrupted_but_while_he_waits(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: set[int] = set()

    def ask_servers(*args: Any, **options: Any) -> NoReply:
        held.update(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return NoReply(1_500)

    monkeypatch.setattr(registrar, "ask_servers", ask_servers)
    registrar._answer(config_in_force(cluster), RELEASE, registrar.OPERATOR, OPEN)
    assert held >= {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def closed_by_a_server(cluster: Path, term: str) -> subprocess.CompletedProcess[str]:
    """What is said of a closing that a server, which believes everybody, says is done."""
    context = sockets.context()
    router = sockets.request_router(context, config_in_force(cluster).server("a").requests, OPEN)

    def answer() -> None:
        assert router.poll(60_000)
        route, _, payload = router.recv_multipart()
        [close] = wire.decode_requests(payload).messages
        assert isinstance(close, CloseRequest)
        closed = Closed(close.transaction_id, close.term, 7, 2, 1, RECEIPT)
        router.send_multipart([route, b"", wire.encode(closed, Encoding.MSGPACK)])

    server = threading.Thread(target=answer)
    server.start()
    try:
        return aulario("term", "close", term, "--dir", cluster, "-o", "json", environ={"AULARIO_SECURITY": "none"})
    finally:
        server.join()
        router.close()
        context.term()


def test_who_closes_the_term_of_the_configuration_is_told_so(tmp_path: Path) -> None:
    assert aulario("init", "--dir", tmp_path, "--base-port", free_base_port()).returncode == 0
    own = config_in_force(tmp_path).term
    done = closed_by_a_server(tmp_path, own)
    [told] = json_lines(done.stdout)
    assert (done.returncode, told["tipo"], told["semester"]) == (0, "CER", own)
    assert done.stderr.splitlines()[-1] == (
        f"note: {own} is the term of this configuration (term): "
        "requests that name no term ask for this one, and are refused from now on"
    )
    done = closed_by_a_server(tmp_path, f"{own}-other")
    assert (done.returncode, "note" in done.stderr) == (0, False), done.stderr
