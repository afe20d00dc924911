"""A running writer (ops.prove.writer), seen from outside."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from nodes.shell import die_with_parent

WRITES_MAX = 1_000_000
"""For a writer that something else ends."""
ENDS_WITHIN_S = 60.0
READ_BYTES = 65_536
FAILED = "failed "


class WriterProcess:
    """Started at once; a context that ends it, whatever happens, and the kernel does if this process is killed.
    `prefix` is a command that runs another and does not outlive it."""

    def __init__(
        self, log: Path, seed: int, writes: int = WRITES_MAX, *weaknesses: str, prefix: Sequence[str] = ()
    ) -> None:
        arguments = [str(log), str(seed), str(writes), "/dev/stdout", *weaknesses]
        command = [*prefix, sys.executable, "-m", "ops.prove.writer", *arguments]
        dies = partial(die_with_parent, os.getpid())
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, bufsize=0, process_group=0, preexec_fn=dies
        )
        self._heard = b""

    def hear(self, lines: int) -> None:
        """Wait until it has said so many lines or ended, or for as long as it may take to end."""
        self._hear(lambda: self._heard.count(b"\n") >= lines)

    def hear_to_the_end(self) -> int | None:
        """Its exit status once it has ended; None if it did not end in time and was killed."""
        ended = self._hear(lambda: False)
        self._kill()
        return self._process.returncode if ended else None

    def _hear(self, enough: Callable[[], bool]) -> bool:
        """Take in what it says until that is enough; True if it has closed its output instead."""
        assert self._process.stdout is not None
        deadline_s = time.monotonic() + ENDS_WITHIN_S
        while not enough() and (left_s := deadline_s - time.monotonic()) > 0:
            if select.select([self._process.stdout], [], [], left_s)[0]:
                said = self._process.stdout.read(READ_BYTES)
                if not said:
                    self._process.wait(ENDS_WITHIN_S)
                    return True
                self._heard += said
        return False

    @property
    def pid(self) -> int:
        """Its process id, or its prefix's."""
        return self._process.pid

    @property
    def _said(self) -> list[str]:
        return self._heard.decode().splitlines()

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
