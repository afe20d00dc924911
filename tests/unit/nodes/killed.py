"""A process that is killed just before one of its changes to files."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

CHANGES = frozenset(
    {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.chown", "os.truncate", "os.rmdir", "os.link"}
)
"""Audit events of what a process does to files (`open` also for reading)."""


def killed_at_each_change(sound: Path, change: Callable[[Path], object], steps_max: int = 200) -> Iterator[Path]:
    """Change a copy of `sound` in a process that SIGKILL ends just before its first step, another one before its second
    step, and so on; give each. The last one is that of a process that came to its end."""
    for step in range(1, steps_max):
        directory = sound.with_name(f"killed-{step}")
        shutil.copytree(sound, directory)
        child = os.fork()
        if child == 0:
            _run_until(step, partial(change, directory))
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "the change itself fails"
        yield directory
        if os.WIFEXITED(status):
            return
    raise AssertionError("it never ends")


def _run_until(step: int, change: Callable[[], object]) -> None:
    left = step

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    exit_code = 1
    try:
        sys.addaudithook(count)
        change()
        exit_code = 0
    finally:
        os._exit(exit_code)
