"""A signed checkpoint as a person keeps it: one JSON object on a line, binary fields in hexadecimal.

`key` is the Ed25519 public key that signed it, null if it was not known: what it says proves nothing by itself, but a
signature that is not even of that key was made by nobody.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from es.errors import RemoteProtocolError
from es.log.checkpoint import Checkpoint, SignedCheckpoint, decode, encode, is_signed_by
from ops.exits import USAGE, Stopped

FILE_BYTES_MAX: Final = 16 << 20
_FIELDS: Final = (*Checkpoint._fields, "signature")


class Saved(NamedTuple):
    """A checkpoint that a person kept, and the raw public key that it says to be signed with."""

    signed: SignedCheckpoint
    key: bytes | None


def is_forged(saved: Saved) -> bool:
    """Whether not even the key that it names has signed it: somebody altered it, or made it up."""
    return saved.key is not None and not is_signed_by(saved.signed, [saved.key])


def to_plain(signed: SignedCheckpoint, key: bytes | None) -> dict[str, Any]:
    """The object that `aulario log checkpoint` prints."""
    checkpoint = signed.checkpoint
    return {
        **checkpoint._asdict(),
        "hash": checkpoint.hash.hex(),
        "signature": signed.signature.hex(),
        "key": None if key is None else key.hex(),
    }


def read_saved(path: Path) -> list[Saved]:
    """The checkpoints in a file, one a line. Stopped with one sentence that names the line if one is none."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX)
    except OSError as error:
        raise Stopped(f"{path}: {error.strerror}", USAGE) from None
    found = [
        _parsed(path, number, line) for number, line in enumerate(content.splitlines(), start=1) if line.strip()
    ]
    if not found:
        raise Stopped(f"{path} holds no checkpoint", USAGE)
    return found


def _parsed(path: Path, number: int, line: bytes) -> Saved:
    try:
        plain = json.loads(line)
        *fields, signature = (plain[name] for name in _FIELDS)
        made = Checkpoint(*fields)
        made = made._replace(hash=bytes.fromhex(made.hash))  # type: ignore[arg-type]
        signed = decode(encode(SignedCheckpoint(made, bytes.fromhex(signature))))
        key = plain.get("key")
        return Saved(signed, None if key is None else bytes.fromhex(key))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, RemoteProtocolError):
        raise Stopped(f"{path}: line {number}: this is no checkpoint of `aulario log checkpoint`", USAGE) from None
