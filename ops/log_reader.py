"""Reading a node's log from outside, whether the node runs or not.

LMDB maps its file, so a truncated one can kill its reader (SIGBUS). What reads a log therefore runs in
a child of the command, and the child's death is reported as the damage it shows. The two end together.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from es.codec import Batch
from es.errors import LogDamaged, LogMissing
from es.log.lmdb_log import DATA_FILE, LmdbLog
from nodes.config.cluster import ClusterConfig
from nodes.shell import die_with_parent
from ops.cluster_dir import config_in_force, config_path
from ops.exits import INTERRUPTED, UNREACHABLE, Stopped

DEADLY_DAMAGE = (signal.SIGBUS, signal.SIGABRT, signal.SIGSEGV)
TOLD_TO_END = (signal.SIGINT, signal.SIGTERM)
HEARD = (*TOLD_TO_END, signal.SIGCHLD)
"""What the command waits for while its child reads."""
ENDS_WITHIN_S = 1.0
"""How long a child that is told to end may take: its stdout may be full, and nobody reads."""


class LogDirectory(click.Path):
    """An argument that names a data directory with a log in it; anything else is wrong usage, except that a server's
    own directory, by the configuration beside it, is gone or has lost its log: that is LogMissing."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            path = Path(os.fsdecode(super().convert(value, param, ctx)))
        except click.BadParameter:
            if value:
                _refuse_lost(Path(os.fsdecode(value)))
            raise
        if not (path / DATA_FILE).exists():
            _refuse_lost(path)
            self.fail(f"there is no log in {path}", param, ctx)
        return path


def _refuse_lost(path: Path) -> None:
    """Raises LogMissing if that is a server's directory; there is no log in it."""
    if (config := config_beside(path)) and any(_is_same(server.data, path) for server in config.servers):
        raise LogMissing(f"there is no log in {path}, the data directory of a server")


LOG_DIRECTORY = LogDirectory()


def config_beside(data_dir: Path) -> ClusterConfig | None:
    """The configuration of the cluster in whose directory a data directory lies, if it does. Raises ConfigError."""
    directory = data_dir.absolute().parent
    return config_in_force(directory) if config_path(directory).exists() else None


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


@contextmanager
def opened(path: Path) -> Iterator[LmdbLog]:
    """The log in a data directory, to be read; its node may be running."""
    log = LmdbLog.open(path, readonly=True)
    try:
        yield log
    finally:
        log.close()


def committed(log: LmdbLog, from_seq: int = 1, commit_seq: int | None = None) -> Iterator[Batch]:
    """The committed batches, from the one that holds `from_seq`. `commit_seq`: how far it is committed, by default what
    the log itself says."""
    if commit_seq is None:
        commit_seq = log.commit_seq()
    for batch in log.batches(from_seq):
        if batch.last_seq > commit_seq:
            return
        yield batch


def logs_here(config: ClusterConfig) -> list[Path]:
    """The data directories of the servers whose logs are on this machine. Raises Stopped if none is."""
    here = [server.data for server in config.servers if (server.data / DATA_FILE).exists()]
    if not here:
        raise Stopped("no log of this cluster is on this machine: run this where a server is", UNREACHABLE)
    return here


def furthest(data_dirs: Sequence[Path]) -> Path:
    """Where most is known to be committed. Raises LogError, PermissionError."""
    return max(data_dirs, key=_commit_seq)


def _commit_seq(data_dir: Path) -> int:
    with opened(data_dir) as log:
        return log.commit_seq()


def held_by_all(data_dirs: Sequence[Path]) -> int:
    """The last event that stands alike in these logs, 0 if there is none. If they are those of all servers of a cluster
    it will stand, whoever leads next (R1, R5), though they were killed before their logs said so."""
    with ExitStack() as stack:
        logs = [stack.enter_context(opened(path)) for path in data_dirs]
        held = min(log.commit_seq() for log in logs)
        for batches in zip(*(log.batches(held + 1) for log in logs), strict=False):
            if len({batch.data for batch in batches}) > 1:
                break
            held = batches[0].last_seq
        return held


def survive_damage(path: Path) -> None:
    """Go on in a child, which reads the log in a data directory, or those of the cluster in `path`; the parent waits
    and leaves with the child's exit code. Call it before anything of the command runs in a thread.

    The two end together. SIGINT and SIGTERM, to either or to both, end the command with 130; however the parent ends,
    the kernel ends the child.

    Returns in the child alone. In the parent raises click's Exit, or LogDamaged if a log killed the child.
    """
    sys.stdout.flush()
    parent = os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who is started with it ignored would hear of no child
    # The parent never takes these again: it asks for them as it waits, and then has nothing to do but leave.
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    pid = os.fork()
    if pid == 0:
        _begin_child(parent)
        return
    code = _wait(pid)
    if -code in DEADLY_DAMAGE:
        whose = f"the log in {path}" if (path / DATA_FILE).exists() else f"a log of the cluster in {path}"
        raise LogDamaged(f"{whose} is damaged: the process that read it died of {signal.Signals(-code).name}")
    if -code in TOLD_TO_END:
        code = INTERRUPTED
    raise click.exceptions.Exit(code if code >= 0 else 128 - code)


def _begin_child(parent: int) -> None:
    """SIGINT is Ctrl-C here, even where a shell had it ignored; SIGTERM, which the kernel sends when the parent is
    gone, ends it wherever it is."""
    signal.signal(signal.SIGINT, _interrupt_once)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)


def _interrupt_once(number: int, _: FrameType | None) -> None:
    """Ctrl-C in a terminal comes twice, from there and from the parent: the second one must not disturb the end."""
    signal.signal(number, _pass_over)
    raise KeyboardInterrupt


def _pass_over(number: int, _: FrameType | None) -> None:
    """It ends already. Not SIG_IGN: Python complains of a signal whose handler was taken away as it came."""


def _wait(child: int) -> int:
    """The child's exit code, once it has ended by itself or because this process was told to end."""
    while (code := _exit_code(child)) is None:
        if signal.sigwait(HEARD) in TOLD_TO_END:
            return _end(child)
    return code


def _end(child: int) -> int:
    """Have the child end in order, at once if it cannot; give its exit code."""
    os.kill(child, signal.SIGINT)
    deadline_s = time.monotonic() + ENDS_WITHIN_S
    while (code := _exit_code(child)) is None:  # SIGCHLD may be an older one: of a child that was stopped, and goes on
        if signal.sigtimedwait((signal.SIGCHLD,), max(0.0, deadline_s - time.monotonic())) is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return INTERRUPTED
    return code


def _exit_code(child: int) -> int | None:
    """None while it lives, minus the signal that killed it."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None
