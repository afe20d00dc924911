"""Making files durable on a file system that may give up in the middle of it.

An ext4 that meets an error abandons its journal, and only milliseconds later refuses to be written to. In between it
may answer a flush with success although it has thrown away what was to be flushed: the transaction that held a
file's new end is closed without being written, and fdatasync finds nothing left to wait for. fallocate beforehand
changes nothing (that the blocks hold data now is news for the journal too), nor does asking statvfs.

Two things do hold. A change of a directory needs a living journal: one that succeeds after a flush proves that
the flush was no such answer. And bytes written over others that are durable need no journal at all.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from es.descriptors import open_file

PROBE_FILE = ".probe"
"""Made and removed; a process that dies in between leaves it, empty, until the next time."""

ZEROS = bytes(1 << 18)

DISK_REFUSES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})
"""Errors of a disk that is full, read-only or fails: nothing that was asked for is wrong."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError of the block is about that file; the system names none where a write or a flush fails."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def flush_directory(directory: Path) -> None:
    """Make the names in a directory durable, and what was flushed before on its file system certain. OSError if
    either cannot be had."""
    fd = open_file(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    _change(directory)


def preallocate(path: Path, size_bytes: int) -> None:
    """Lengthen a file to `size_bytes` with zeros, or leave its length if it has that, and make all of it durable.
    OSError if that cannot be: then it may have become longer by some of the zeros."""
    fd = open_file(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        end = os.fstat(fd).st_size
        while end < size_bytes:
            end += os.pwrite(fd, ZEROS[: size_bytes - end], end)
        os.fsync(fd)
    finally:
        os.close(fd)
    _change(path.parent)


def _change(directory: Path) -> None:
    probe = directory / PROBE_FILE
    os.close(open_file(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    probe.unlink()
