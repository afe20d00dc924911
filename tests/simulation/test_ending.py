"""`aulario sim` that is told to end, or killed, leaves none of its processes behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from nodes.shell import die_with_parent
from tests.process.running_cluster import REPOSITORY, environ, wait_for

JOBS = 2
WITHIN_S = 30.0
TOLD_TO_END = 130


def workers_of(pid: int) -> list[int] | None:
    """The ids of its workers once all have been started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] if len(children) == JOBS else None


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, TOLD_TO_END), (signal.SIGTERM, TOLD_TO_END), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_no_worker_outlives_it(number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "ops.cli", "sim", "--seeds", "100000", "--load", "rooms", "--jobs", str(JOBS)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=partial(die_with_parent, os.getpid()),
    ) as process:  # fmt: skip
        wait_for(lambda: workers_of(process.pid), "all of its workers")
        process.send_signal(number)
        printed, _ = process.communicate(timeout=WITHIN_S)  # ends only once nobody holds its stdout any more
    assert (process.returncode, printed) == (code, b"")
