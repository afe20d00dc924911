"""What becomes of a process whose loop is too busy to read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.process.busy_loop import ROUNDS
from tests.process.running_cluster import REPOSITORY, environ


@pytest.mark.parametrize("kind", ["subscriber", "router"])
def test_a_busy_process_lives_and_hears_again(kind: str) -> None:
    """libzmq aborts a process that has ZeroMQ's heartbeats on and a queue that is full."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.process.busy_loop", kind],
        cwd=REPOSITORY, env=environ(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, [str(ROUNDS)]), done.stderr
