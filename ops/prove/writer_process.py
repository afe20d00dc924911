"""A running writer (ops.prove.writer), seen from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

WRITES_MAX = 1_000_000
"""For a writer that something else ends."""
ENDS_WITHIN_S = 60.0
FAILED = "failed "


class WriterProcess:
    """Started at once; a context that ends it, whatever happens. `prefix` is a command that runs another."""

    def __init__(
        self, log: Path, seed: int, writes: int = WRITES_MAX, *weaknesses: str, prefix: Sequence[str] = ()
    ) -> None:
        arguments = [str(log), str(seed), str(writes), "/dev/stdout", *weaknesses]
        command = [*prefix, sys.executable, "-m", "ops.prove.writer", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)
        self._said: list[str] = []

    def hear(self, lines: int) -> None:
        """Wait for so many acknowledgements, or for its end."""
        assert self._process.stdout is not None
        self._said += [self._process.stdout.readline().strip() for _ in range(lines)]

    def hear_to_the_end(self) -> int | None:
        """Its exit status once it has ended; None if it did not end in time and was killed."""
        try:
            self._said += self._process.communicate(timeout=ENDS_WITHIN_S)[0].splitlines()
        except subprocess.TimeoutExpired:
            self._kill()
            return None
        return self._process.returncode

    @property
    def acknowledged(self) -> int:
        """Number of the write acknowledged last; 0 is the creation, -1 not even that."""
        return max((int(line) for line in self._said if line.isdigit()), default=-1)

    @property
    def refusal(self) -> str | None:
        """Code of the error with which the log refused to go on, if it did."""
        last = self._said[-1] if self._said else ""
        return last.split()[1] if last.startswith(FAILED) else None

    def __enter__(self) -> WriterProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _kill(self) -> None:
        """Together with what its prefix has started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
