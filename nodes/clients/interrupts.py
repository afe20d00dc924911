"""Who asks is interrupted (Ctrl-C, SIGTERM, the end of his terminal) while he waits, and nowhere else.

An exception in the middle of making or ending a socket leaves one behind that nobody knows, and a context with that one
never ends.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a command."""


def only_while_waiting() -> AbstractContextManager[None]:
    """Hold interrupts back during the block, but for where it is `interruptible`. The calling thread must be the only
    one that takes signals, which libzmq's never do."""
    return _masked(signal.SIG_BLOCK)


def interruptible() -> AbstractContextManager[None]:
    """One that was held back comes at once."""
    return _masked(signal.SIG_UNBLOCK)


@contextmanager
def _masked(how: int) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(how, SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
