"""Exit codes, and how an error becomes one clear sentence (operations.md)."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

import click

from es.durability import DISK_REFUSES
from es.errors import EsError

OK = 0
REFUSED = 1
USAGE = 2
UNREACHABLE = 3
INTEGRITY = 4
INTERRUPTED = 130
READER_LEFT = 141
"""As a shell sees a program that SIGPIPE ended."""


class Stopped(Exception):
    """A command ends here: its sentence goes to stderr, `exit_code` to the shell."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class OutputLost(Exception):
    """stdout does not take what is written: its disk is full, or it is closed. Where its reader left (`head` has seen
    enough), there is nothing to say."""

    def __init__(self, why: str, exit_code: int = UNREACHABLE, *, reader_left: bool = False) -> None:
        super().__init__(why)
        self.exit_code = READER_LEFT if reader_left else exit_code
        self.is_silent = reader_left


_EXIT_CODES: Mapping[str, int] = {
    "CONFIG": USAGE,
    "BIND_FAILED": UNREACHABLE,
    "HALTED": INTEGRITY,
    "LOG_CONTRADICTED": INTEGRITY,
    "LOG_IN_USE": REFUSED,
    "LOG_WRITE_FAILED": UNREACHABLE,
    "LOG_DAMAGED": INTEGRITY,
    "LOG_ERROR": INTEGRITY,
    "LOG_MISSING": INTEGRITY,
    "REGISTER_MISSING": INTEGRITY,
    "REGISTERS_DIFFER": INTEGRITY,
    "REGISTRY_DAMAGED": INTEGRITY,
    "WRONG_CLUSTER": INTEGRITY,
}
"""By an error's stable code, so that no module need be imported to name its errors."""


_LEADS_NOWHERE = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM,
})  # fmt: skip
"""Errors of a path that leads to nothing, to something else, or where this user may not go."""


def ending(error: Exception) -> tuple[str, int] | None:
    """The sentence and exit code of an error that was raised on purpose or that the system gave; None if
    it is neither, that is a fault of this program."""
    if isinstance(error, Stopped):
        return str(error), error.exit_code
    if isinstance(error, EsError):
        return str(error), _EXIT_CODES.get(error.code, REFUSED)
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        if error.errno in DISK_REFUSES:
            exit_code = UNREACHABLE
        else:
            exit_code = USAGE if error.filename and error.errno in _LEADS_NOWHERE else REFUSED
        return (f"{error.filename}: {what}" if error.filename else what), exit_code
    if isinstance(error, MemoryError):
        return "there is no memory left", UNREACHABLE
    return None


def leave_with(command: Callable[[], object]) -> NoReturn:
    """Exit with what a click command gives when it is run (not `standalone_mode`), 0 if that is no number. An error
    that was raised on purpose or that the system gave becomes one sentence on stderr; Ctrl-C and SIGTERM give 130.
    Output that is lost is said, and no success."""
    exit_code = _left_with(command)
    try:
        sys.stdout.flush()
    except OutputLost as lost:
        exit_code = exit_code or _say_lost(lost)
    sys.exit(exit_code)


def _left_with(command: Callable[[], object]) -> int:
    try:
        left_with = command()
        return left_with if isinstance(left_with, int) else OK
    except OutputLost as lost:
        return _say_lost(lost)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        known = ending(error)
        if known is None:
            raise
        sentence, exit_code = known
        click.echo(f"Error: {sentence}", err=True)
        return exit_code


def _say_lost(lost: OutputLost) -> int:
    if not lost.is_silent:
        click.echo(f"Error: the output was lost: {lost}", err=True)
    return lost.exit_code
