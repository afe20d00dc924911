"""The number of the last durable write, kept in a file of its own beside the log.

LMDB keeps two roots and serves the newer one it can read. If that one's page goes bad in the right place, or an
old copy of it comes back, LMDB serves the older root without a word: a whole log that ends one write early, as
after an interrupted write. This number tells the two apart, because it is written only once a write is durable.

It is never flushed. After a power cut it may be an older number or none, which proves less and accuses nobody;
a number above the log's own is proof that the log has lost what it had made durable.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

LAST_WRITE_FILE = "last_write"

_number = struct.Struct(">Q")
_SEAL_BYTES = 32


class LastWrite:
    """The file of one log, open to be written by the log's one writer."""

    def __init__(self, path: Path) -> None:
        """Open it in the log's directory; made if missing. OSError if it can not be."""
        self._fd = os.open(path / LAST_WRITE_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, number: int) -> None:
        """Write `number` is durable. The log does not depend on this: where it fails, less can be proven."""
        with suppress(OSError):
            os.pwrite(self._fd, _sealed(number), 0)

    def close(self) -> None:
        """Release the file; call once."""
        os.close(self._fd)


def last_write(path: Path) -> int:
    """The number noted last in the directory of a log; 0 if none can be read."""
    try:
        stored = (path / LAST_WRITE_FILE).read_bytes()
    except OSError:
        return 0
    if len(stored) != _SEAL_BYTES + _number.size:
        return 0
    (number,) = _number.unpack(stored[_SEAL_BYTES:])
    return int(number) if _sealed(number) == stored else 0


def _sealed(number: int) -> bytes:
    value = _number.pack(number)
    return sha256(b"last write\0" + value).digest() + value
