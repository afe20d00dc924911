"""One process a data directory. LMDB itself would admit a second writer."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from es.errors import LogInUse

LOCK_FILE = "holder.lock"
TRY_AGAIN_S = 0.02


class DirectoryLock:
    """An exclusive lock on a directory, held until `release` or the end of the process (the kernel
    lets go of it even after SIGKILL). Its file names the holder's process id."""

    def __init__(self, path: Path) -> None:
        """Take the lock at once; LogInUse, naming the holder, if somebody else has it."""
        self._fd = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not is_taken(self._fd, 0.0):
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            self.release()
            raise LogInUse(f"{path} is in use by process {holder}") from None
        with suppress(OSError):  # a full disk must not keep anybody from reading: the lock itself stands
            os.ftruncate(self._fd, os.pwrite(self._fd, b"%d\n" % os.getpid(), 0))

    def release(self) -> None:
        """Let go; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_taken(descriptor: int, within_s: float) -> bool:
    """Take the exclusive lock on an open file or directory; False if somebody else has it for longer than that."""
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(TRY_AGAIN_S)
        else:
            return True


def holder_of(path: Path) -> int | None:
    """The id of the process that holds the lock on a directory; None if nobody does, or if that cannot be told: the
    process is another user's. It is the one that the lock's file names and that has this file open, for an id alone
    may be another's by now. The lock is not tried: whoever starts at this moment is to get it."""
    with suppress(OSError, ValueError):
        file = path / LOCK_FILE
        status, pid = file.stat(), int(file.read_bytes())
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.path.samestat(descriptor.stat(), status):
                    return pid
    return None


def is_free(path: Path) -> bool:
    """Whether it is certain that nobody holds the lock on a directory: a process of another user cannot be asked."""
    try:
        pid = int((path / LOCK_FILE).read_bytes())
        os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return False
    except (OSError, ValueError):
        return True
    return holder_of(path) is None
