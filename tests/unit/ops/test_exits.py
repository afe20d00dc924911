"""How a command ends: one sentence, and the exit code that belongs to it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from es.errors import LogWriteFailed
from ops.exits import INTEGRITY, REFUSED, UNREACHABLE, USAGE, Stopped, leave_with
from tests.unit.ops.command import REPOSITORY


@pytest.mark.parametrize(
    ("error", "sentence", "exit_code"),
    [
        (Stopped("the logs differ", INTEGRITY), "the logs differ", INTEGRITY),
        (LogWriteFailed("the log could not be written"), "the log could not be written", UNREACHABLE),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files", REFUSED),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x"), "x: No space left on device", UNREACHABLE),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "x"), "x: Read-only file system", UNREACHABLE),
        (OSError(errno.ENOENT, os.strerror(errno.ENOENT), "no/x"), "no/x: No such file or directory", USAGE),
        (OSError(errno.EACCES, os.strerror(errno.EACCES), "x"), "x: Permission denied", USAGE),
        (OSError(errno.ENOENT, os.strerror(errno.ENOENT)), "No such file or directory", REFUSED),
        (MemoryError(), "there is no memory left", UNREACHABLE),
    ],
    ids=[
        "stopped", "its own", "the system's", "full disk", "read-only disk", "no such place", "no entry", "no name",
        "memory",
    ],
)  # fmt: skip
def test_an_error_is_one_sentence(
    error: Exception, sentence: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        leave_with(command)
    assert (left.value.code, capsys.readouterr().err) == (exit_code, f"Error: {sentence}\n")


def test_a_fault_of_this_program_is_not_made_a_sentence() -> None:
    def command() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        leave_with(command)


def test_ctrl_c_before_the_command_is_imported_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text(
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nsignal.raise_signal(signal.SIGINT)\n"
    )
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    command = [sys.executable, "-P", "-m", "ops", "--help"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
