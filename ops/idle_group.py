"""A group of processes that run only while nobody else wants a processor: a control group of Linux with `cpu.idle`.

The policy SCHED_IDLE alone does not do it: processors are shared among sessions first (autogroups), and one of a
session of its own holds a processor until its slice is over: milliseconds that others have to wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

CPU_CONTROLLERS: Final = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Where control groups of processors are: version 1, version 2."""

Enter = Callable[[], None]
"""Called in a process: it is one of the group from then on."""


@contextmanager
def idle_group() -> Iterator[tuple[Enter, bool]]:
    """How a process enters the group, and whether there is one: it takes the rights of root, and else a process can
    only be made to give way. All that entered must have ended by the end."""
    group = _made()
    if group is None:
        yield _give_way, False
        return
    try:
        yield lambda: _write(group / "cgroup.procs", "0"), True
    finally:
        with suppress(OSError):
            group.rmdir()


def _made() -> Path | None:
    for controller in CPU_CONTROLLERS:
        group = controller / f"aulario-idle-{uuid4()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            _write(group / "cpu.idle", "1")
        except OSError:
            group.rmdir()
            continue
        return group
    return None


def _give_way() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(FileNotFoundError):  # a kernel without autogroups
        _write(Path("/proc/self/autogroup"), "19")


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="ascii")
