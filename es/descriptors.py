"""The descriptors of a process, of which a reserve is for its own files, whoever connects to it.

Connections are accepted by a thread that is not ours to hold back, up to the soft limit. That is kept below the hard
one: who opens a file of the process and finds no descriptor left opens it with the soft limit raised for that moment.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

RESERVED: Final = 256
"""Descriptors between the soft limit and the hard one."""

DESCRIPTORS_MAX: Final = 1 << 20
"""More are never asked for."""

T = TypeVar("T")

_lending = Lock()


def keep_reserve() -> int:
    """Raise the soft limit as far as the host lets us, less the reserve; how many descriptors that leaves, which is
    below 1 where the host lets us have no more than the reserve."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(most - RESERVED, 1), hard))
    return most - RESERVED


def with_reserve(act: Callable[[], T]) -> T:
    """What `act` gives; if it finds no descriptor left it is done once more, with the reserve. Raises what it does."""
    try:
        return act()
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    with _lending:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        more = soft + RESERVED if hard == resource.RLIM_INFINITY else min(soft + RESERVED, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        try:
            return act()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_file(path: str | os.PathLike[str], flags: int, mode: int = 0o666) -> int:
    """`os.open` for a file of the process's own, with the reserve if need be. Raises OSError."""
    return with_reserve(lambda: os.open(path, flags, mode))
