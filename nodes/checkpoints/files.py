"""Where checkpoints lie in the data directory of a server or of the witness.

    checkpoints       of the server itself: the first of each epoch and one for every SPACING_EVENTS events, appended
    heads/NODE        the newest of NODE, one of each incarnation: its own beside the log, those of others kept for them

Each is a run of records: a length (2 bytes, big-endian), then an encoded checkpoint (es.log.checkpoint). None is
flushed before the process ends: after a power cut they may be older or torn at their end, which proves less and
accuses nobody. What others keep is what convicts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from es.descriptors import open_file
from es.errors import RemoteProtocolError
from es.limits import CHECKPOINT_BYTES_MAX
from es.log.checkpoint import SignedCheckpoint, decode, encode

HISTORY_FILE: Final = "checkpoints"
HEADS_DIRECTORY: Final = "heads"
HISTORY_BYTES_MAX: Final = 64 << 20
"""What is read of a history: some 300 000 records, 300 million events. The rest proves nothing more."""
HEADS_BYTES_MAX: Final = 64 << 10
_LENGTH_BYTES: Final = 2
RECORD_BYTES_MAX: Final = _LENGTH_BYTES + CHECKPOINT_BYTES_MAX


class Records(NamedTuple):
    """What a file holds. `torn` is where its sound part ends, if something follows that is no record."""

    signed: tuple[SignedCheckpoint, ...]
    torn: int | None


def history_path(data: Path) -> Path:
    """Where the server with that data directory appends its own checkpoints."""
    return data / HISTORY_FILE


def head_path(data: Path, node: str) -> Path:
    """Where the newest checkpoints of a node lie in the data directory of itself or of who keeps them."""
    return data / HEADS_DIRECTORY / node


def record(signed: SignedCheckpoint) -> bytes:
    """One record."""
    encoded = encode(signed)
    return len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded


def read(path: Path, bytes_max: int) -> Records | None:
    """The records of a file up to the first one that is none; None if there is no file. Signatures are not checked.
    Raises OSError."""
    try:
        with open(path, "rb", opener=open_file) as file:
            content = file.read(bytes_max)
    except FileNotFoundError:
        return None
    found: list[SignedCheckpoint] = []
    at = 0
    while at < len(content):
        begin = at + _LENGTH_BYTES
        end = begin + int.from_bytes(content[at:begin], "big")
        if not begin < end <= min(len(content), begin + CHECKPOINT_BYTES_MAX):
            return Records(tuple(found), at)
        try:
            found.append(decode(content[begin:end]))
        except RemoteProtocolError:
            return Records(tuple(found), at)
        at = end
    return Records(tuple(found), None)


def create(path: Path) -> None:
    """Make an empty file that is there for good: from now on its absence means something. Raises OSError."""
    append(path, b"", durable=True)
    directory = open_file(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def append(path: Path, records: bytes, *, durable: bool) -> None:
    """Add records to a file, which is made if missing. Raises OSError; then none of them is there."""
    fd = open_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        length = os.fstat(fd).st_size
        try:
            _write(fd, records)
        except OSError:
            os.ftruncate(fd, length)  # half a record would hide those that are appended later
            raise
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, signed: Iterable[SignedCheckpoint], *, durable: bool) -> None:
    """Replace a file as a whole: a reader, also after a kill, sees the old one or the new one. Raises OSError."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    partial = path.with_name(f".{path.name}.new")  # no node's name begins with a dot
    fd = open_file(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write(fd, b"".join(map(record, signed)))
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    partial.replace(path)


def cut(path: Path, length: int) -> None:
    """Take away what follows the sound part of a history: a record behind it would never be found. Raises OSError."""
    os.truncate(path, length)


def _write(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]
