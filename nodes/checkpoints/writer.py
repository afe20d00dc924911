"""Stores checkpoints off the loop: a write to a file may wait for a disk that hangs, the loop may not (R9)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from threading import Condition, Thread
from typing import Final

from es.log.checkpoint import SignedCheckpoint
from nodes.checkpoints import files as checkpoint_files

APPENDED_MAX: Final = 256
"""Records of the history that may wait; beyond it they are dropped and counted. The newest is kept all the same."""


class CheckpointWriter:
    """Writes the files of one data directory. Of a file that is replaced whole only the newest content waits.

    `failures` counts what could not be stored: nothing depends on it, less can be proven.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._changed = Condition()
        self._appended: deque[SignedCheckpoint] = deque()
        self._heads: dict[str, tuple[SignedCheckpoint, ...]] = {}
        self._stopping = False
        self.failures = 0
        self._thread = Thread(target=self._run, name="checkpoint-writer", daemon=True)
        self._thread.start()

    def append(self, signed: SignedCheckpoint) -> None:
        """Add one to the server's own history."""
        with self._changed:
            if len(self._appended) == APPENDED_MAX:
                self.failures += 1
                return
            self._appended.append(signed)
            self._changed.notify()

    def keep(self, node: str, signed: Iterable[SignedCheckpoint]) -> None:
        """These are the newest of a node of the configuration."""
        with self._changed:
            self._heads[node] = tuple(signed)
            self._changed.notify()

    def close(self, time_limit_s: float = 2.0) -> None:
        """Store what waits, this time durably, then stop; a disk that hangs is not waited for longer than that."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(time_limit_s)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._appended or self._heads or self._stopping)
                stopping = self._stopping
                appended, self._appended = self._appended, deque()
                heads, self._heads = self._heads, {}
            try:
                self._store(appended, heads, durable=stopping)
            except OSError:
                self.failures += 1

    def _store(
        self,
        appended: Iterable[SignedCheckpoint],
        heads: dict[str, tuple[SignedCheckpoint, ...]],
        *,
        durable: bool,
    ) -> None:
        for node, signed in heads.items():
            checkpoint_files.replace(checkpoint_files.head_path(self._data, node), signed, durable=durable)
        if records := b"".join(map(checkpoint_files.record, appended)):
            checkpoint_files.append(checkpoint_files.history_path(self._data), records, durable=durable)
