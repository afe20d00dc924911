"""Reading a node's log from outside, whether the node runs or not.

LMDB maps its file, so a truncated one can kill its reader (SIGBUS). What reads a log therefore runs in
a child of the command, and the child's death is reported as the damage it shows.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from es.codec import Batch
from es.errors import LogDamaged, LogMissing
from es.log.lmdb_log import DATA_FILE, LmdbLog
from nodes.config.cluster import ClusterConfig
from ops.cluster_dir import config_in_force, config_path

DEADLY_DAMAGE = (signal.SIGBUS, signal.SIGABRT, signal.SIGSEGV)


class LogDirectory(click.Path):
    """An argument that names a data directory with a log in it; anything else is wrong usage, except that a server's
    own directory, by the configuration beside it, has lost its log: that is LogMissing."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not (path / DATA_FILE).exists():
            if (config := config_beside(path)) and any(_is_same(server.data, path) for server in config.servers):
                raise LogMissing(f"there is no log in {path}, the data directory of a server")
            self.fail(f"there is no log in {path}", param, ctx)
        return path


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


def held_by_all(data_dirs: Sequence[Path]) -> int:
    """The last event that stands alike in these logs, 0 if there is none. If they are those of all servers it is
    committed (R1), though one that was killed had not said so in its log yet."""
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

    Returns in the child alone. In the parent raises click's Exit, or LogDamaged if a log killed the child.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        return
    code = os.waitstatus_to_exitcode(_wait(pid))
    if -code in DEADLY_DAMAGE:
        whose = f"the log in {path}" if (path / DATA_FILE).exists() else f"a log of the cluster in {path}"
        raise LogDamaged(f"{whose} is damaged: the process that read it died of {signal.Signals(-code).name}")
    raise click.exceptions.Exit(code if code >= 0 else 128 - code)


def _wait(pid: int) -> int:
    """The child's status. Ctrl-C reaches the child too, which then ends."""
    while True:
        try:
            return os.waitpid(pid, 0)[1]
        except KeyboardInterrupt:
            continue
