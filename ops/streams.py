"""stdout and stderr of a command, wherever they lead: what stdout does not take is noticed, and never tried twice."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nodes.clients.interrupts import interruptible, only_while_waiting
from ops.exits import OK, UNREACHABLE, OutputLost


class _Stream(io.FileIO):
    """A descriptor whose first refusal is the last: what is written afterwards, by a buffer that still holds it,
    goes nowhere."""

    _refused = False

    def write(self, data: Any, /) -> int:
        """How much was taken. Raises what `_refuse` makes of the system's error."""
        if self._refused:
            return len(data)
        try:
            while (taken := super().write(data)) is None:
                select.select([], [self], [])  # a descriptor that somebody made non-blocking is waited for
        except OSError as error:
            self._refused = True
            self._refuse(error)
            return len(data)
        return taken

    def _refuse(self, error: OSError) -> None:
        """stderr: there is nobody left to tell."""


class _Stdout(_Stream):
    def _refuse(self, error: OSError) -> None:
        raise OutputLost(f"stdout: {error.strerror}", reader_left=isinstance(error, BrokenPipeError)) from None


class _Unbroken(_Stdout):
    """Who waits for its reader can be interrupted; what is then written at once can not. Not for a terminal, which may
    take one byte, and none after it."""

    def write(self, data: Any, /) -> int:
        with interruptible():
            select.select([], [self], [])
        return super().write(memoryview(data)[: select.PIPE_BUF])


class _Buffer(io.BufferedWriter):
    """An interrupt between a write and the note that it is done would have the same written once more."""

    def write(self, data: Any, /) -> int:
        with only_while_waiting():
            return super().write(data)

    def flush(self) -> None:
        with only_while_waiting():
            super().flush()


def ready_streams() -> None:
    """Results can be printed wherever stdout leads, or OutputLost is raised; characters that its encoding lacks are
    escaped. A stream that was closed refuses what is written: a file opened later would get its number otherwise."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
    buffer = io.BufferedWriter(_Stdout(1, "wb", closefd=False)) if os.isatty(1) else _Buffer(_Unbroken(1, "wb", False))
    sys.stdout = _text(buffer, sys.stdout, "backslashreplace")
    sys.stderr = _text(io.BufferedWriter(_Stream(2, "wb", closefd=False)), sys.stderr, "backslashreplace")


def _text(stream: Any, before: Any, errors: str) -> io.TextIOWrapper:
    """A text stream like the one there was (None if it was closed)."""
    encoding = "utf-8" if before is None else before.encoding
    line_buffering = before is not None and before.line_buffering
    return io.TextIOWrapper(stream, encoding, errors, line_buffering=line_buffering)


def rest(seconds: float) -> None:
    """Wait for more to print, once everything before is out. Raises OutputLost if the reader of stdout leaves."""
    sys.stdout.flush()
    stdout = select.poll()
    stdout.register(1, 0)  # nothing but whether somebody is there
    if stdout.poll(seconds * 1_000):
        raise OutputLost("stdout: nobody reads it", reader_left=True)


@contextmanager
def telling(outcome: str, exit_code: int = OK) -> Iterator[None]:
    """What is printed in the block tells `outcome`. Where stdout does not take it, stderr gets that sentence, also if
    it was a reader who left, and the command ends with `exit_code`, or as unreachable if that is 0."""
    try:
        yield
        sys.stdout.flush()
    except OutputLost as lost:
        raise OutputLost(f"{lost}; {outcome}", exit_code or UNREACHABLE) from None
