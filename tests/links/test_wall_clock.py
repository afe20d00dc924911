"""A process's wall clock jumps when told to; its boot clock does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.prove.outcome import NotPermitted
from ops.prove.wall_clock import WallClocks
from ops.supervisor import plainly

HOUR_S = 3_600
PROGRAM = """
import time
for _ in range(2):
    print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), flush=True)
    input()
"""


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_only_the_wall_clock_jumps(tmp_path: Path, ahead_s: int) -> None:
    try:
        clocks = WallClocks(tmp_path)
    except NotPermitted as why:
        pytest.skip(str(why))
    environ = {**os.environ, **clocks.around(plainly)("one").environ}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        before_s, before_boot_s = map(float, process.stdout.readline().split())
        clocks.set("one", ahead_s)
        process.stdin.write("\n")
        process.stdin.flush()
        after_s, after_boot_s = map(float, process.stdout.readline().split())
        process.stdin.write("\n")
    jumped_s = (after_s - before_s) - (after_boot_s - before_boot_s)
    assert jumped_s == pytest.approx(ahead_s, abs=1.0)
