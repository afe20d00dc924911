"""A stdout that takes nothing: what was to be said is said on stderr, once, and the exit status tells of it."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from array import array
from functools import partial
from pathlib import Path

import pytest

from ops.log_reader import opened
from tests.process.running_cluster import WITHIN_S, wait_for
from tests.unit.ops.command import REPOSITORY
from tests.unit.ops.test_log_commands import append

UNREACHABLE, INTEGRITY, READER_LEFT = 3, 4, 141
FULL = "Error: the output was lost: stdout: No space left on device"
CLOSED = "Error: the output was lost: stdout: Bad file descriptor"
LISTS = "keys list -o csv", "keys list -o json", "keys list", "config show", "config validate"


def ended(command: str, redirected: str, directory: Path) -> tuple[int, list[str]]:
    """Exit status and lines of stderr of `aulario COMMAND --dir DIRECTORY`, its streams led elsewhere by a shell."""
    shell = f"set -o pipefail; exec 2>{directory}/said; {sys.executable} -m ops.cli {command} {redirected}"
    environ = {**os.environ, "AULARIO_DIR": str(directory), "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["bash", "-c", shell], env=environ, timeout=60, check=False)
    return done.returncode, (directory / "said").read_text().splitlines()


@pytest.mark.parametrize("command", [*LISTS, "log show {}/server-a 1 2", "log tail {}/server-a -o csv", "--help"])
def test_a_full_disk_is_said_and_ends_with_a_status_of_its_own(history: Path, command: str) -> None:
    assert ended(command.format(history), ">/dev/full", history) == (UNREACHABLE, [FULL])


def test_a_closed_stdout_takes_nothing_either(history: Path) -> None:
    assert ended("keys list", ">&-", history) == (UNREACHABLE, [CLOSED])


@pytest.mark.parametrize("command", ["log export {}/server-a -o csv", "config show -o json", "--help"])
def test_a_reader_that_left_is_told_nothing(history: Path, command: str) -> None:
    """A FIFO whose reader is gone before anything is written."""
    os.mkfifo(history / "pipe")
    reader = os.open(history / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(history / "pipe", os.O_WRONLY)
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", *command.format(history).split()], stdout=writer, stderr=subprocess.PIPE,
            env={**os.environ, "AULARIO_DIR": str(history), "PYTHONPATH": str(REPOSITORY)}, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (READER_LEFT, b"")


def test_a_stderr_that_takes_nothing_changes_no_status(history: Path) -> None:
    for redirected, expected in ((">/dev/full 2>/dev/full", UNREACHABLE), ("2>/dev/full", 2), ("2>&-", 2)):
        command = "keys list" if expected == UNREACHABLE else "keys none"
        assert ended(command, redirected, history)[0] == expected


def test_a_command_that_says_nothing_needs_no_stdout(history: Path) -> None:
    """A process that only serves: its exit status is its own."""
    code, said = ended("witness --config /nowhere", ">&-", history)
    assert (code, said[-1]) == (2, "Error: /nowhere: No such file or directory")


@pytest.mark.parametrize("redirected", [">/dev/full", ">&-", "| true"])
def test_what_a_verdict_comes_to_is_not_lost_with_the_lines_that_explain_it(history: Path, redirected: str) -> None:
    with opened(history / "server-a") as log:
        confirmed = next(entry for batch in log.batches() for entry in batch.entries if entry.type == "Confirmed")
    if "true" not in redirected:
        code, said = ended("audit check", redirected, history)
        assert (code, said[-1].endswith("; no rule is broken")) == (UNREACHABLE, True)
    append(history / "server-a", confirmed._replace(offset=0))
    broken, said = ended("audit check", redirected, history)
    assert (broken, said[-1].endswith("the logs break the rules")) == (INTEGRITY, True)


INTERRUPTED_AS_IT_WAS_WRITTEN = """
import os, signal, sys
from ops import streams

write = streams._Stream.write

def interrupted(self, data):
    taken = write(self, data)
    os.kill(os.getpid(), signal.SIGINT)
    return taken

streams.ready_streams()
streams._Stream.write = interrupted
try:
    print("once", flush=True)
except KeyboardInterrupt:
    streams._Stream.write = write
    print("interrupted", flush=True)
"""


def test_what_is_interrupted_as_it_is_written_is_not_written_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AS_IT_WAS_WRITTEN], cwd=REPOSITORY, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "once\ninterrupted\n", "")


MORE_THAN_A_PIPE_TAKES = """
import os
from ops import streams

streams.ready_streams()
try:
    print("line\\n" * 100_000)
except KeyboardInterrupt:
    os._exit(130)
"""


def test_who_waits_for_his_reader_can_be_interrupted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MORE_THAN_A_PIPE_TAKES], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            wait_for(partial(is_full, process.stdout.fileno()), "the pipe is full")
            process.send_signal(signal.SIGINT)
            assert process.wait(WITHIN_S) == 130
        finally:
            process.kill()


def test_who_waits_for_a_terminal_that_nobody_reads_can_be_interrupted() -> None:
    """It takes one byte more, and none after it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", MORE_THAN_A_PIPE_TAKES], cwd=REPOSITORY, stdout=theirs) as process:
        try:
            wait_for(partial(is_asleep_with_output, process.pid, ours), "the terminal is full")
            process.send_signal(signal.SIGINT)
            assert process.wait(WITHIN_S) == 130
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)


def is_asleep_with_output(pid: int, terminal: int) -> bool:
    held = array("i", [0])
    fcntl.ioctl(terminal, termios.FIONREAD, held)
    return held[0] > 0 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def is_full(pipe: int) -> bool:
    held = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, held)
    return held[0] == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
