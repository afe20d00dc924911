"""A writer ends with whoever started it, however that ends, and so does one that runs under another program."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ops.prove.injection import check_permitted
from ops.prove.outcome import NotPermitted

ENDS_WITHIN_S = 20.0
PROGRAM = """
import sys
from pathlib import Path
from ops.prove.writer_process import WriterProcess
with WriterProcess(Path(sys.argv[1]), 7, prefix=sys.argv[2:]) as writer:
    print(writer.pid, flush=True)
    input()
"""


HANGS = ("sh", "-c", "exec sleep 100")
"""In the place of a writer whose disk hangs: one that writes ends by itself when nobody reads any more."""

STRACE = ("strace", "-f", "-qq", "-o", "/dev/null")


@pytest.mark.parametrize("prefix", [(), HANGS, STRACE], ids=["writing", "hanging", "under strace"])
def test_a_writer_does_not_outlive_a_starter_that_is_killed(tmp_path: Path, prefix: tuple[str, ...]) -> None:
    if prefix is STRACE:
        try:
            check_permitted()
        except NotPermitted as why:
            pytest.skip(str(why))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "log"), *prefix]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        group = int(starter.stdout.readline())
        members = _members(group)
        ends = [os.pidfd_open(pid) for pid in members]
        starter.kill()
    try:
        assert members
        for end in ends:
            assert select.select([end], [], [], ENDS_WITHIN_S)[0], "it goes on writing"
    finally:
        for end in ends:
            os.close(end)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _members(group: int) -> list[int]:
    """The processes of a process group."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in pids if _group_of(pid) == group]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
