"""The secret keys on this host: where they lie, who may read them, and how new ones take the place of old ones.

    secret/NAME.toml         0600 in 0700: what the principal uses
    secret/.NAME.toml.next   new ones, in force instead as soon as their public half is let in

That half is one file that is there or is not, so everybody changes over at once: who uses the key, and who expects it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import zmq
from zmq.utils import z85

from nodes.security.key_file import (
    KeysDamaged,
    KeysError,
    ed25519_key,
    flush_directory,
    malformed,
    read,
    refuse_exposed,
    store,
    strings_in,
    z85_key,
)
from nodes.security.keys import (
    SIGNS,
    PublicKeys,
    SecretBytes,
    SecretKeys,
    allowed_directory,
    check_names,
    file_name,
    fingerprint_of,
    owner_of,
    principal_in,
    public_name,
)
from nodes.security.principals import Principal
from nodes.security.trust import owners_of, refuse_untrusted

State = tuple[tuple[int, int] | None, ...]
"""Inode and time of change (ns) of the files that may hold a principal's secret keys."""

_PUBLIC_HALF: Final = re.compile(rb'^curve_public = "([!-~]{40})"', re.MULTILINE)
_STAGED_NAME: Final = re.compile(r"\.(.+\.toml)\.next")


class StoredSecret(NamedTuple):
    """A file of secret keys: the public half, or None if it holds no keys; why it cannot be used, or None if it can."""

    path: Path
    public: PublicKeys | None
    problem: str | None


def secret_directory(directory: Path) -> Path:
    """The secrets of whoever runs on this host."""
    return directory / "secret"


def secret_path(directory: Path, principal: Principal) -> Path:
    """Where the principal's secret keys lie, if they are on this host."""
    return secret_directory(directory) / f"{file_name(principal)}.toml"


# --- reading


def load_secret(directory: Path, principal: Principal) -> SecretKeys:
    """The principal's secret keys. Raises KeysError, also if the file or its directory is open to others or another
    user's (root may read anybody's), or if others could change the directory of keys."""
    path = secret_directory(directory)
    try:
        refuse_exposed(path, path.stat())
        refuse_untrusted(directory, owners_of(directory))
    except FileNotFoundError:
        raise _missing(directory, principal) from None
    except OSError as error:
        raise KeysError(f"{error.filename or path}: {error.strerror or error}") from None
    return _in_force(directory, principal, private=True)


def exposed_secret(directory: Path, principal: Principal) -> SecretKeys:
    """The principal's secret keys, whoever else may have read them: to say which they are and to end them, not to use
    them. Raises KeysDamaged if the file holds none, KeysError."""
    return _in_force(directory, principal, private=False)


def legible_fingerprint(directory: Path, principal: Principal) -> str | None:
    """The fingerprint of the public half that a damaged file of secret keys still shows, if it does."""
    with suppress(KeysError, OSError):
        path = secret_path(directory, principal)
        if match := _PUBLIC_HALF.search(read(path)[1]):
            curve = z85_key(path, {"curve_public": match[1].decode()}, "curve_public")
            return fingerprint_of(z85.decode(curve))
    return None


def secret_state(directory: Path, principal: Principal) -> State:
    """Differs after every change of the principal's secret keys; what is staged besides depends on the allow-list."""
    path = secret_path(directory, principal)
    return _stamp(path), _stamp(_staged(path))


def has_secret(directory: Path, principal: Principal) -> bool:
    """Whether there is a file of the principal's secret keys, sound or not. Raises OSError if it cannot be told."""
    path = secret_path(directory, principal)
    try:
        path.lstat()
    except FileNotFoundError:
        return _allowed_staged(directory, path) is not None
    return True


def stored_secrets(directory: Path) -> Iterator[StoredSecret]:
    """Every file of secret keys on this host, by name. Raises OSError if they cannot be listed."""
    try:
        names = os.listdir(secret_directory(directory))
    except FileNotFoundError:
        return
    next_ones = (match[1] for name in names if (match := _STAGED_NAME.fullmatch(name)))
    for name in sorted({*next_ones, *(name for name in names if not name.startswith("."))}):
        path = secret_directory(directory) / name
        public, problem = None, None
        try:
            staged = _allowed_staged(directory, path)
            public = (staged.keys if staged is not None else _secret_fields(path, read(path)[1])).public
            if path != secret_path(directory, public.principal):
                raise KeysError(f"{path} must be called {secret_path(directory, public.principal).name}")
            refuse_exposed(path.parent, path.parent.stat())
            _in_force(directory, public.principal, private=True)
        except FileNotFoundError as error:
            if name not in names:
                continue  # staged, and not in force
            problem = f"{path}: {error.strerror}"
        except KeysError as error:
            owner = owner_of(path.stem) if public is None and isinstance(error, KeysDamaged) else None
            problem = f"{error}{'' if owner is None else _how_to_mend(owner)}"
        yield StoredSecret(path, public, problem)


def _in_force(directory: Path, principal: Principal, *, private: bool) -> SecretKeys:
    path = secret_path(directory, principal)
    staged = _allowed_staged(directory, path)
    if staged is not None and staged.keys.principal == principal:
        if private:
            refuse_exposed(_staged(path), staged.status)
        return staged.keys
    try:
        status, data = read(path)
    except FileNotFoundError:
        raise _missing(directory, principal) from None
    if private:
        refuse_exposed(path, status)
    try:
        keys = _secret_fields(path, data)
    except KeysDamaged as error:
        raise KeysDamaged(f"{error}{_how_to_mend(principal)}") from None
    if keys.principal != principal:
        raise KeysError(f"{path} holds the keys of {keys.principal}, not of {principal}")
    return keys


def _secret_fields(path: Path, data: bytes) -> SecretKeys:
    fields = strings_in(path, data)
    check_names(path, fields, "curve_public", "curve_secret", "signing_seed")
    owner = principal_in(path, fields)
    public, secret = z85_key(path, fields, "curve_public"), z85_key(path, fields, "curve_secret")
    if zmq.curve_public(secret) != public:
        raise malformed(path, "curve_public is not the other half of curve_secret")
    seed = SecretBytes(ed25519_key(path, fields, "signing_seed")) if owner.kind == SIGNS else None
    return SecretKeys(owner, public, SecretBytes(secret), seed, fields["created"])


def _how_to_mend(principal: Principal) -> str:
    return f"; restore it, or make new keys: aulario keys rotate '{principal}'"


def _missing(directory: Path, principal: Principal) -> KeysError:
    path = secret_path(directory, principal)
    return KeysError(f"{path} is missing: fetch it from where it was made, or `aulario keys new '{principal}'`")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


# --- writing


def save_secret(directory: Path, keys: SecretKeys) -> None:
    """Store a principal's secret keys in place of those it had. Raises OSError; the old ones then still stand."""
    _store(secret_path(directory, keys.principal), keys)


def stage_secret(directory: Path, keys: SecretKeys) -> None:
    """Store secret keys that are in force as soon as their public half is let in. Raises OSError."""
    _store(_staged(secret_path(directory, keys.principal)), keys)


def settle_secret(directory: Path, principal: Principal) -> None:
    """End a change of a principal's keys, also one that somebody died in: what is staged takes its place if it is in
    force, else it goes. Raises OSError."""
    path = secret_path(directory, principal)
    staged = _staged(path)
    if _allowed_staged(directory, path) is not None:
        staged.replace(path)
    else:
        try:
            staged.unlink()
        except FileNotFoundError:
            return
    flush_directory(path.parent)


def _store(path: Path, keys: SecretKeys) -> None:
    signing = {} if keys.signing_seed is None else {"signing_seed": keys.signing_seed.hex()}
    store(
        path,
        {
            "principal": str(keys.principal),
            "curve_public": keys.curve_public.decode(),
            "curve_secret": keys.curve_secret.decode(),
            **signing,
            "created": keys.created,
        },
        directory_mode=0o700,
        mode=0o600,
    )


def _staged(path: Path) -> Path:
    """No principal's own file: their names do not begin with a dot."""
    return path.with_name(f".{path.name}.next")


class _Staged(NamedTuple):
    status: os.stat_result
    keys: SecretKeys


def _allowed_staged(directory: Path, path: Path) -> _Staged | None:
    """What is staged for that place, if its public half is let in."""
    with suppress(FileNotFoundError, KeysError):
        status, data = read(_staged(path))
        keys = _secret_fields(path, data)
        if (allowed_directory(directory) / public_name(keys.public)).exists():
            return _Staged(status, keys)
    return None
