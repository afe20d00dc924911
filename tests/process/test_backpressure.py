"""What becomes of a process whose loop is too busy to read."""

from __future__ import annotations

import subprocess
import sys

from tests.process.running_cluster import REPOSITORY, environ
from tests.process.slow_subscriber import ROUNDS


def test_a_busy_subscriber_lives_and_hears_again() -> None:
    """libzmq aborts a process whose full subscription is taken for dead by its own heartbeat."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.process.slow_subscriber"],
        cwd=REPOSITORY, env=environ(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, [str(ROUNDS)]), done.stderr
