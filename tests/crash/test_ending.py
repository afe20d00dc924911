"""An instrument that is told to end leaves nothing behind and says so with its exit code; what a killed one left is
removed by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from nodes.shell import die_with_parent
from ops.prove import disks
from ops.prove.disks import PREFIX, scratch
from tests.process.running_cluster import REPOSITORY, environ, wait_for

AROUND = Path("/dev/shm")
WITHIN_S = 30.0
TOLD_TO_END = 130


@pytest.mark.skipif(not AROUND.is_dir(), reason="no directory in memory to look into")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_instrument_that_is_told_to_end_leaves_nothing(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "ops.prove.crash_states", "--count", "10000000", "--seed", "3"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        process_group=0, preexec_fn=partial(die_with_parent, os.getpid()),
    ) as process:  # fmt: skip
        left = f"{PREFIX}{process.pid}-*"
        wait_for(lambda: list(AROUND.glob(f"{left}/state")), "a state that its child looks at")
        os.killpg(process.pid, number)  # as a terminal does: every process of it
        _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == TOLD_TO_END
    assert said.split() == ["seed", "3"]
    assert list(AROUND.glob(left)) == []


@pytest.mark.parametrize("waited_for", [True, False])
def test_what_a_killed_process_left_is_removed_and_what_a_running_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waited_for: bool
) -> None:
    monkeypatch.setattr(disks, "_around", lambda: tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    if waited_for:
        ended.wait()
    else:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    orphan, used = tmp_path / f"{PREFIX}{ended.pid}-x", tmp_path / f"{PREFIX}{os.getpid()}-x"
    for directory in (orphan / "disk", used):
        directory.mkdir(parents=True)
    with scratch() as mine:
        assert set(tmp_path.iterdir()) == {mine, used}
    assert set(tmp_path.iterdir()) == {used}
    ended.wait()


def test_a_directory_that_nobody_can_write_in_is_said_in_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops.prove.report", "--results", "/proc/nothing"],
        cwd=REPOSITORY, env=environ(), capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
