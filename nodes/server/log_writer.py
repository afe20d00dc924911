"""The thread that makes writes durable, so that the loop never waits for a disk (R9).

Writes are carried out in order; those that wait together become one transaction with one flush. The loop
learns through a file descriptor which serials are through. A write that fails is the last one: the process
must end, for what the engine did to its files is unknown.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition, Thread

from es.errors import LogWriteFailed
from es.log.base import EventLog, Write
from es.replication.effects import Persist

QUEUE_MAX = 512
"""Writes that may wait; the core bounds its batches far below."""


def merged(writes: Sequence[Write]) -> Write:
    """Several writes as one with the same effect. Only the first may truncate."""
    assert all(write.truncate_after is None for write in writes[1:])
    records = {name: value for write in writes for name, value in write.records}
    commits = [write.commit_seq for write in writes if write.commit_seq is not None]
    return Write(
        batches=tuple(batch for write in writes for batch in write.batches),
        truncate_after=writes[0].truncate_after,
        commit_seq=max(commits, default=None),
        records=tuple(records.items()),
    )


class LogWriter:
    """Owns all writing to one log. `ready_fd` becomes readable when there is news for `finished`."""

    def __init__(self, log: EventLog, quarantine: Path, observe_seconds: Callable[[float], None]) -> None:
        self._log = log
        self._quarantine = quarantine
        self._observe_seconds = observe_seconds
        self._queue: deque[Persist] = deque()
        self._changed = Condition()
        self._finished_serial = 0
        self._failure: LogWriteFailed | None = None
        self._stopping = False
        self.ready_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def submit(self, persist: Persist) -> None:
        """Queue a write."""
        with self._changed:
            assert len(self._queue) < QUEUE_MAX, "the core bounds what it asks to be written"
            self._queue.append(persist)
            self._changed.notify()

    def finished(self) -> int:
        """Highest serial that is durable. Raises LogWriteFailed if a write failed."""
        with suppress(BlockingIOError):  # read before: the answer is the same
            os.eventfd_read(self.ready_fd)
        with self._changed:
            if self._failure is not None:
                raise self._failure
            return self._finished_serial

    def close(self, time_limit_s: float = 5.0) -> None:
        """Finish what is queued, then stop."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(time_limit_s)
        if not self._thread.is_alive():
            os.close(self.ready_fd)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._stopping:
                    self._changed.wait()
                if not self._queue:
                    return
                group = self._take()
            try:
                self._write(group)
            except LogWriteFailed as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - whatever it was, the log is not to be trusted
                self._failure = LogWriteFailed(f"the log writer failed: {error!r}")
            with self._changed:
                self._finished_serial = group[-1].serial
                os.eventfd_write(self.ready_fd, 1)
            if self._failure is not None:
                return

    def _take(self) -> list[Persist]:
        """What can be written at once: up to the next truncation, which must see the log before it."""
        group = [self._queue.popleft()]
        while self._queue and self._queue[0].write.truncate_after is None:
            group.append(self._queue.popleft())
        return group

    def _write(self, group: Sequence[Persist]) -> None:
        write = merged([persist.write for persist in group])
        if write.truncate_after is not None:
            self._export_suffix(write.truncate_after)
        began = time.perf_counter()
        self._log.write(write)
        self._observe_seconds(time.perf_counter() - began)

    def _export_suffix(self, seq: int) -> None:
        """R8: what a truncation removes is kept for people to look at, batch bytes one after another with
        their lengths in front."""
        suffix = [batch.data for batch in self._log.batches(seq + 1)]
        if not suffix:
            return
        try:
            self._quarantine.mkdir(mode=0o700, exist_ok=True)
            path = self._quarantine / f"divergent-after-{seq}-{time.time_ns()}.batches"
            with path.open("xb") as file:
                for data in suffix:
                    file.write(len(data).to_bytes(4, "big") + data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LogWriteFailed(f"the divergent suffix cannot be kept in {self._quarantine}: {error}") from error
