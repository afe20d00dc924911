"""One change of the keys at a time: two that overlap would leave a key that is let in and that nobody has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from es.log.directory_lock import is_taken
from nodes.security.key_file import KeysError, give_to_owner_of, make_directory
from nodes.security.trust import owners_of, refuse_untrusted

LOCK_FILE: Final = ".lock"
LOCK_WITHIN_S: Final = 5.0
"""A change takes some milliseconds; making the keys of a large cluster a second or two."""


@contextmanager
def changing(directory: Path, within_s: float = LOCK_WITHIN_S) -> Iterator[None]:
    """Change the keys in `directory`, which is made if missing, while nobody else does. Reading needs no lock.

    Raises KeysError if somebody else holds it for longer than `within_s`, or could change the directory by himself;
    OSError.
    """
    if not directory.exists():
        make_directory(directory, 0o755)
    refuse_untrusted(directory, owners_of(directory))
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        give_to_owner_of(directory, descriptor)
        if not is_taken(descriptor, within_s):
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise KeysError(f"the keys in {directory} are being changed by process {holder}: try again when it is done")
        with suppress(OSError):  # a full disk: the lock itself stands
            os.ftruncate(descriptor, os.pwrite(descriptor, b"%d\n" % os.getpid(), 0))
        yield
    finally:
        os.close(descriptor)
