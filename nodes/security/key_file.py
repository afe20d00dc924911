"""A file of keys: TOML of strings, read with suspicion and replaced whole. What it holds, nodes.security.keys says."""

from __future__ import annotations

import os
import re
import struct
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE, S_ISREG
from typing import Final

from zmq.utils import z85

from es.descriptors import open_file
from es.errors import EsError

FILE_BYTES_MAX: Final = 4 << 10
ED25519_BYTES: Final = 32
"""A seed, and a public key."""

_Z85_KEY: Final = re.compile(rb"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_OTHERS: Final = 0o077


class KeysError(EsError):
    """A key that is missing, can be read by others, is malformed or somebody else's. One sentence, never a secret."""

    code = "KEYS"


class KeysDamaged(KeysError):
    """A file that is none of keys, or no longer."""


def malformed(path: Path, why: str) -> KeysDamaged:
    """The error that says why a file is none of keys."""
    return KeysDamaged(f"{path} is no file of keys: {why}")


def refuse_exposed(path: Path, status: os.stat_result) -> None:
    """Raise KeysError if others than its owner, who is this user, have any permission on a file or directory. Root may
    read anybody's."""
    if status.st_uid != os.geteuid() != 0:
        raise KeysError(f"{path} belongs to another user, who can read the secret")
    if S_IMODE(status.st_mode) & _OTHERS:
        raise KeysError(f"{path} is open to others: chmod go= {path}, and rotate the key if they may have read it")


def read(path: Path) -> tuple[os.stat_result, bytes]:
    """A regular file's status and content: a pipe or a device could keep its reader for ever.
    Raises KeysError, FileNotFoundError."""
    try:
        descriptor = open_file(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not S_ISREG(status.st_mode):
                raise malformed(path, "it is not a regular file")
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror or error}") from None
    if len(data) > FILE_BYTES_MAX:
        raise malformed(path, f"it is longer than {FILE_BYTES_MAX} bytes")
    return status, data


def strings_in(path: Path, data: bytes) -> Mapping[str, str]:
    """What a file says. Raises KeysError, which quotes nothing of it."""
    try:
        fields = tomllib.loads(data.decode())
    except (ValueError, RecursionError):  # whose sentences may quote the file
        raise malformed(path, "it is not TOML") from None
    if not all(isinstance(value, str) for value in fields.values()):
        raise malformed(path, "every value must be a string")
    return fields


def z85_key(path: Path, fields: Mapping[str, str], name: str) -> bytes:
    """The CURVE key of that name, as its 40 characters. Raises KeysError."""
    text = fields[name].encode()
    with suppress(struct.error):  # five characters may stand for more than four bytes hold
        if _Z85_KEY.fullmatch(text) and z85.encode(z85.decode(text)) == text:
            return text
    raise malformed(path, f"{name} must be a key in Z85, 40 characters")


def ed25519_key(path: Path, fields: Mapping[str, str], name: str) -> bytes:
    """The 32 bytes of that name, written in hexadecimal. Raises KeysError."""
    text = fields[name]
    with suppress(ValueError):
        key = bytes.fromhex(text)
        if len(key) == ED25519_BYTES and key.hex() == text:
            return key
    raise malformed(path, f"{name} must be a key in hexadecimal, {2 * ED25519_BYTES} digits")


def store(path: Path, fields: Mapping[str, str], *, directory_mode: int, mode: int) -> None:
    """Write the file beside its place, with its mode from the first byte, and put it there once it is durable. What
    root writes belongs to the directory's owner, who is to use it. Values have no quote and no backslash.
    Raises OSError; what was there before then still stands."""
    make_directory(path.parent, directory_mode)
    partial = path.with_name(f".{path.name}.new")
    partial.unlink(missing_ok=True)  # of a writer that was killed
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            give_to_owner_of(path.parent, descriptor)
            file.writelines(f'{name} = "{value}"\n' for name, value in fields.items())
            file.flush()
            os.fsync(descriptor)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None
    flush_directory(path.parent)


def make_directory(path: Path, mode: int) -> None:
    """A directory of keys, with that mode whatever the umask and whatever it had. A link to one is none: root may be
    about to give it away. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = False
    with suppress(FileExistsError):
        path.mkdir(mode=mode)
        is_new = True
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if is_new:
            give_to_owner_of(path.parent, descriptor)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    if is_new:
        flush_directory(path.parent)


def make_mark(path: Path) -> None:
    """An empty file whose being there is all that it says. Raises OSError."""
    make_directory(path.parent, 0o755)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        give_to_owner_of(path.parent, descriptor)
    finally:
        os.close(descriptor)
    flush_directory(path.parent)


def give_to_owner_of(directory: Path, made: int) -> None:
    """What root makes, by its descriptor, is for whoever owns the directory. Raises OSError."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.chown(made, owner.st_uid, owner.st_gid)


def flush_directory(path: Path) -> None:
    """What was put into the directory, or removed from it, outlives a power cut from now on. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
