"""The witness's one record on disk: a file that is replaced whole, sealed with its own SHA-256."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from es.codec import HASH_BYTES
from es.descriptors import open_file
from es.durability import flush_directory
from es.errors import LogDamaged, LogError, LogWriteFailed

RECORD_BYTES_MAX = 64 << 10


def load(path: Path) -> bytes | None:
    """The record, or None if there is no file. Raises LogDamaged if it contradicts its seal."""
    try:
        with path.open("rb") as file:
            stored = file.read(RECORD_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    seal, record = stored[:HASH_BYTES], stored[HASH_BYTES:]
    if len(stored) > RECORD_BYTES_MAX or sha256(record).digest() != seal:
        raise LogDamaged(f"{path} does not match its own checksum; the register cannot be trusted")
    return record


def create(path: Path, record: bytes) -> None:
    """Write the first record. Raises LogError if there is one already."""
    if path.exists():
        raise LogError(f"{path} exists already")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    save(path, record)


def save(path: Path, record: bytes) -> None:
    """Replace the record; durable when this returns. Raises LogWriteFailed; the old record then still stands."""
    temporary = path.with_suffix(".new")
    try:
        descriptor = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(sha256(record).digest() + record)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_directory(path.parent)
    except OSError as error:
        raise LogWriteFailed(f"the register cannot be written to {path}: {error.strerror}") from error
