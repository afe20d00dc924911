"""Following a node's log as it grows, also where another one takes its place: its server was rebuilt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from es.codec import Batch
from es.errors import LogMissing, WrongCluster
from es.log.base import EMPTY
from es.log.chain import head_of
from es.log.lmdb_log import DATA_FILE, LmdbLog
from ops.exits import INTEGRITY, Stopped
from ops.log_reader import committed

GONE_MAX_S = 60.0
"""How long a log may be gone until another one is in its place."""


class FollowedLog:
    """The committed batches of the log in a data directory, each once and in order.

    A log that is put in its place is read on from the batch after the last one that was given, once it has come so
    far: the same history goes on there, as the hash of that last batch shows. `tell` hears, in a sentence, that a log
    was replaced or is gone.
    """

    def __init__(
        self, data_dir: Path, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises LogError, PermissionError. `clock` gives seconds."""
        self._data_dir = data_dir
        self._tell = tell
        self._clock = clock
        self._head = EMPTY
        self._gone_since_s: float | None = None
        # Which file it is, looked at first: if another one is opened, that is found out the next time. While a log is
        # open, no other file gets its number.
        self._file = _file_in(data_dir)
        self._log: LmdbLog | None = LmdbLog.open(data_dir, readonly=True)
        self._identity = self._log.identity

    def news(self) -> Iterator[Batch]:
        """What was committed since the last call; the first one gives everything.

        Raises LogMissing if there is no log for GONE_MAX_S, WrongCluster if the one that is there now is another
        cluster's or server's, Stopped if its history is another one, or LogError.
        """
        file = _file_in(self._data_dir)
        if self._log is not None:
            yield from self._unread(self._log)  # also of one that was taken away: what it still had
        if file is None:
            self._miss()
            return
        self._gone_since_s = None
        if file != self._file:
            self._reopen(file)

    def close(self) -> None:
        """Let go of the log."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _unread(self, log: LmdbLog) -> Iterator[Batch]:
        batches = committed(log, max(self._head.seq, 1))
        if self._head != EMPTY:
            last = next(batches, None)
            if last is None:
                return  # it has not come so far
            if head_of(last) != self._head:
                raise Stopped(
                    f"the log in {self._data_dir} has another history than the one that was followed up to seq "
                    f"{self._head.seq}", INTEGRITY,
                )  # fmt: skip
        for batch in batches:
            self._head = head_of(batch)
            yield batch

    def _miss(self) -> None:
        now_s = self._clock()
        if self._gone_since_s is None:
            self._gone_since_s = now_s
            self._tell(f"the log in {self._data_dir} is gone: waiting {GONE_MAX_S:g} s for another one in its place")
        elif now_s - self._gone_since_s >= GONE_MAX_S:
            raise LogMissing(f"the log in {self._data_dir} is gone, and no other one came within {GONE_MAX_S:g} s")

    def _reopen(self, file: tuple[int, int]) -> None:
        self.close()  # first: LMDB's table of readers may still be the same file
        try:
            log = LmdbLog.open(self._data_dir, readonly=True)
        except LogMissing:
            self._file = None
            self._miss()
            return
        self._log, self._file = log, file
        found, followed = log.identity, self._identity
        if (found.cluster_id, found.node) != (followed.cluster_id, followed.node):
            raise WrongCluster(
                f"the log in {self._data_dir} was replaced by that of server {found.node!r} of cluster "
                f"{found.cluster_id!r}; server {followed.node!r} of cluster {followed.cluster_id!r} was followed"
            )
        commit_seq, seq = log.commit_seq(), self._head.seq
        behind = f" once it is committed so far (now up to seq {commit_seq})" if commit_seq < seq else ""
        self._tell(f"the log in {self._data_dir} was replaced: going on in the new one after seq {seq}{behind}")


def _file_in(data_dir: Path) -> tuple[int, int] | None:
    """Which file the log in a directory is: its device and inode; None if there is none."""
    try:
        status = (data_dir / DATA_FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
