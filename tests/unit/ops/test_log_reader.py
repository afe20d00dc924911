"""What reads a log does so in a child of the command, and the two end together, however they are told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from es.codec import Batch
from es.log.base import Write
from es.log.chain import head_of
from es.log.lmdb_log import LmdbLog
from nodes.shell import die_with_parent
from ops import log_reader
from ops.log_reader import held_by_all, opened
from tests.contract.chains import IDENTITY, chain
from tests.process.running_cluster import environ
from tests.unit.ops.command import REPOSITORY, aulario

WITHIN_S = 30.0
TAIL = ("log", "tail", "-n", 1, "--follow", "-o", "json")
TOLD_TO_END, READER_LEFT = 130, 141
ENDINGS = [
    pytest.param(signal.SIGINT, TOLD_TO_END, id="SIGINT"),
    pytest.param(signal.SIGTERM, TOLD_TO_END, id="SIGTERM"),
    pytest.param(signal.SIGHUP, -signal.SIGHUP, id="SIGHUP"),
    pytest.param(signal.SIGKILL, -signal.SIGKILL, id="SIGKILL"),
]


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, of which nothing is left in the end."""
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=REPOSITORY, env=environ(), text=True, process_group=0,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=partial(die_with_parent, os.getpid()),
    ) as process:  # fmt: skip
        try:
            yield process
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


@contextmanager
def following(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """`aulario log tail --follow`, once it has printed what is there and waits for more."""
    with started("-m", "ops.cli", *TAIL, directory) as process:
        assert process.stdout is not None and '"t1"' in process.stdout.readline()
        yield process


def test_a_log_that_is_replaced_is_followed_on(history: Path) -> None:
    """As who has a server filled anew: its directory is moved away, `init` makes another one, its peer fills it."""
    own = history / "server-a"
    with started("-m", "ops.cli", "log", "tail", own, "-n", 1, "--follow", "-o", "csv") as process:
        assert process.stdout is not None and process.stderr is not None
        header, last = process.stdout.readline(), process.stdout.readline()
        own.rename(history / "old-a")
        assert aulario("init", "--dir", history).returncode == 0
        with opened(history / "old-a") as old, closing(LmdbLog.open(own)) as new:
            new.write(Write(list(old.batches()), commit_seq=old.head().seq))
        following = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        code, out, told = ended(process)
    assert [line.split(",")[0] for line in (header, last, following)] == ["seq", "7", "8"]
    assert (code, out) == (TOLD_TO_END, "")
    assert told.splitlines()[-1].startswith(f"the log in {own} was replaced: going on in the new one after seq 7")


def test_who_follows_ends_when_nobody_reads_any_more(history: Path) -> None:
    with following(history / "server-a") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(WITHIN_S) == READER_LEFT


def readers_of(pid: int) -> list[int]:
    """The ids of a living process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr, once nobody holds these any more: neither the command nor its child."""
    out, err = process.communicate(timeout=WITHIN_S)
    return process.returncode, out, err.strip()


@pytest.mark.parametrize(("number", "code"), ENDINGS)
def test_who_reads_ends_with_the_command_that_is_told_to(history: Path, number: signal.Signals, code: int) -> None:
    with following(history / "server-a") as process:
        process.send_signal(number)
        assert ended(process) == (code, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_that_reaches_both_ends_both(history: Path, number: signal.Signals) -> None:
    with following(history / "server-a") as process:
        os.killpg(process.pid, number)
        assert ended(process) == (TOLD_TO_END, "", "")


def test_ctrl_c_that_comes_from_both_sides_interrupts_once() -> None:
    before = signal.signal(signal.SIGINT, log_reader._interrupt_once)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_who_reads_and_cannot_end_by_itself_is_ended(history: Path) -> None:
    with following(history / "server-a") as process:
        [reader] = readers_of(process.pid)
        os.kill(reader, signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (TOLD_TO_END, "", "")


def test_a_command_that_is_not_to_hear_ctrl_c_hears_who_asks_it_to_end(history: Path) -> None:
    """A shell starts what runs in the background so."""
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from ops.cli import main; main()"
    with started("-c", deaf, *TAIL, history / "server-a") as process:
        assert process.stdout is not None and '"t1"' in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert ended(process) == (TOLD_TO_END, "", "")


FORKED = """
import os
from ops.cli import main

fork = os.fork

def forked():
    pid = fork()
    if {where}:
        os.kill({whom}, {number})
    return pid

os.fork = forked
main()
"""


@pytest.mark.parametrize(("number", "code"), [ENDINGS[1], ENDINGS[3]])
@pytest.mark.parametrize(
    ("where", "whom"), [("pid", "os.getpid()"), ("pid == 0", "os.getppid()")], ids=["before the child", "by the child"]
)
def test_a_signal_at_the_moment_of_the_fork_ends_both(
    history: Path, number: signal.Signals, code: int, where: str, whom: str
) -> None:
    script = FORKED.format(where=where, whom=whom, number=int(number))
    with started("-c", script, *TAIL, history / "server-a") as process:
        ended_with, _, _ = ended(process)
    assert ended_with == code


def test_a_reader_that_is_killed_is_no_damage(history: Path) -> None:
    with following(history / "server-a") as process:
        [reader] = readers_of(process.pid)
        os.kill(reader, signal.SIGKILL)
        assert ended(process) == (128 + signal.SIGKILL, "", "")


@pytest.mark.parametrize(("others", "held"), [
    (chain(4), 12),
    (chain(2), 6),
    ([], 0),
    ([*(first := chain(2)), *chain(3, head_of(first[-1]), epoch=2)], 6),
], ids=["the same", "shorter", "empty", "another end"])  # fmt: skip
def test_what_all_hold_ends_where_one_ends_or_differs(tmp_path: Path, others: Sequence[Batch], held: int) -> None:
    for name, batches in (("a", chain(4)), ("b", others)):
        with closing(LmdbLog.create(tmp_path / name, replace(IDENTITY, node=name))) as log:
            log.write(Write(batches, commit_seq=min(3, 3 * len(batches))))
    assert held_by_all([tmp_path / "a", tmp_path / "b"]) == held
    assert held_by_all([tmp_path / "b", tmp_path / "a"]) == held
