"""The keys of a principal, and the files they lie in, below the directory `keys` of the configuration.

    secret/NAME.toml                 0600 in 0700: both halves, where the principal runs (nodes.security.secret_keys)
    allowed/NAME.FINGERPRINT.toml    0644: the public half of a key that is let in (nodes.security.allow_list)
    public/NAME.FINGERPRINT.toml     0644: the public half of a key that was made here and is not let in here
    revoked/NAME                     empty: its last key was revoked here, and no other one was let in since

NAME is the principal's text with `-` for `:` and `/` and `all` for `*`: kinds have no `-`, and a number has one
spelling, so that no two principals share a name. A CURVE key (Z85, ZeroMQ RFC 32) encrypts and authenticates
connections; a server has an Ed25519 key (hexadecimal) besides. Every file is replaced whole and is durable once there.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from stat import S_IWOTH
from typing import Final, NamedTuple

import zmq
from zmq.utils import z85

from nodes.security.key_file import (
    ED25519_BYTES,
    ed25519_key,
    flush_directory,
    make_mark,
    malformed,
    read,
    store,
    strings_in,
    z85_key,
)
from nodes.security.key_file import KeysError as KeysError
from nodes.security.principals import Principal, principal
from nodes.security.trust import ALLOWED, refuse_changeable

ALLOWED_FILES_MAX: Final = 10_000
"""Keys an allow-list may hold."""

FINGERPRINT_CHARS: Final = 16
CREATED_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
"""Of `created`, in UTC: texts are in the order of their times."""

SIGNS: Final = "server"
"""The kind of principal that has a signing key."""

_PUBLIC_NAME: Final = re.compile(rf"([^.].*)\.([0-9a-f]{{{FINGERPRINT_CHARS}}})\.toml")


class SecretBytes(bytes):
    """Bytes that are not shown by repr, str or a log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__


class PublicKeys(NamedTuple):
    """What others know of a principal: `curve` is Z85, `signing` a raw Ed25519 key (servers only), `created` a time
    as CREATED_FORMAT."""

    principal: Principal
    curve: bytes
    signing: bytes | None
    created: str

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the decoded CURVE key."""
        return fingerprint_of(z85.decode(self.curve))


class SecretKeys(NamedTuple):
    """What only the principal knows: CURVE keys in Z85, `signing_seed` a raw Ed25519 seed (servers only)."""

    principal: Principal
    curve_public: bytes
    curve_secret: SecretBytes
    signing_seed: SecretBytes | None
    created: str

    @property
    def public(self) -> PublicKeys:
        """The half that is carried to others."""
        seed = self.signing_seed
        return PublicKeys(self.principal, self.curve_public, None if seed is None else _signing_of(seed), self.created)


def fingerprint_of(curve: bytes) -> str:
    """How a decoded CURVE key is called where people read it."""
    return sha256(curve).hexdigest()[:FINGERPRINT_CHARS]


def new_keys(principal: Principal, created: str) -> SecretKeys:
    """Fresh keys; nothing is stored. `created` as CREATED_FORMAT."""
    public, secret = zmq.curve_keypair()
    seed = SecretBytes(secrets.token_bytes(ED25519_BYTES)) if principal.kind == SIGNS else None
    return SecretKeys(principal, public, SecretBytes(secret), seed, created)


# --- where they lie


def file_name(principal: Principal) -> str:
    """A principal as the beginning of its files' names."""
    return str(principal).replace(":", "-").replace("/", "-").replace("*", "all")


def owner_of(name: str) -> Principal | None:
    """The principal whose files' names begin so, if there is one."""
    kind, _, rest = name.partition("-")
    if kind == "program":
        rest = "/".join("*" if part == "all" else part for part in rest.split("-"))
    with suppress(ValueError):
        return principal(f"{kind}:{rest}" if rest else kind)
    return None


def public_name(public: PublicKeys) -> str:
    """The one name under which a public file is let in."""
    return f"{file_name(public.principal)}.{public.fingerprint}.toml"


def allowed_directory(directory: Path) -> Path:
    """The allow-list."""
    return directory / ALLOWED


def revoked_directory(directory: Path) -> Path:
    """Where it is kept who was revoked: whose secret is on another host would be taken for new otherwise."""
    return directory / "revoked"


def public_directory(directory: Path) -> Path:
    """Public halves to be carried to other hosts, let in nowhere yet."""
    return directory / "public"


# --- reading


def load_public(path: Path) -> PublicKeys:
    """The keys in a public file, wherever it lies. Raises KeysError, also for a file that anybody may write."""
    status, data = _read_public(path)
    if status.st_mode & S_IWOTH:
        raise KeysError(f"{path} can be written by anybody: chmod o-w {path}")
    return _public_in(path, data)


def load_allowed(path: Path, owners: Collection[int]) -> PublicKeys:
    """The keys in a file of the allow-list. Raises KeysError, also if others than these users could change it."""
    status, data = _read_public(path)
    refuse_changeable(path, status, owners)
    return _public_in(path, data)


def _read_public(path: Path) -> tuple[os.stat_result, bytes]:
    try:
        return read(path)
    except FileNotFoundError:
        raise KeysError(f"{path}: there is no such file") from None


def _public_in(path: Path, data: bytes) -> PublicKeys:
    fields = strings_in(path, data)
    if "curve_secret" in fields:
        raise KeysError(f"{path} holds a secret key, which stays where it is: a public file is expected")
    check_names(path, fields, "curve_public", "signing_public")
    owner = principal_in(path, fields)
    signing = ed25519_key(path, fields, "signing_public") if owner.kind == SIGNS else None
    return PublicKeys(owner, z85_key(path, fields, "curve_public"), signing, fields["created"])


def check_names(path: Path, fields: Mapping[str, str], *keys: str) -> None:
    """Exactly the keys of such a file, or KeysError; the last one of `keys` is a server's."""
    signs = fields.get("principal", "").startswith(f"{SIGNS}:")
    expected = {"principal", "created", *(keys if signs else keys[:-1])}
    if fields.keys() != expected:
        raise malformed(path, f"it must have {', '.join(sorted(expected))} and nothing else")


def principal_in(path: Path, fields: Mapping[str, str]) -> Principal:
    """Whose keys a file says it holds. Raises KeysError, also if it says no sound time of their making."""
    try:
        owner = principal(fields["principal"])
    except ValueError as error:
        raise malformed(path, str(error)) from None
    with suppress(ValueError):
        if datetime.fromisoformat(fields["created"]).strftime(CREATED_FORMAT) == fields["created"]:
            return owner
    raise malformed(path, "created must be a time such as 2026-01-31T12:00:00Z")


def _signing_of(seed: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # servers and key makers need it

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


# --- writing


def save_allowed(directory: Path, public: PublicKeys) -> None:
    """Let a key in from now on. Raises KeysError if the allow-list is full, OSError."""
    allowed, name = allowed_directory(directory), public_name(public)
    with suppress(FileNotFoundError):
        names = os.listdir(allowed)
        if len(names) >= ALLOWED_FILES_MAX and name not in names:
            raise KeysError(f"{allowed} holds {len(names)} files; {ALLOWED_FILES_MAX} are allowed: revoke some")
    _store_public(allowed / name, public)
    (revoked_directory(directory) / file_name(public.principal)).unlink(missing_ok=True)


def save_public(directory: Path, public: PublicKeys) -> None:
    """Store a public half to be carried elsewhere, without letting it in. Raises OSError."""
    _store_public(public_directory(directory) / public_name(public), public)


def remove_allowed(directory: Path, principal: Principal, fingerprint: str | None = None) -> tuple[str, ...]:
    """Let a principal's keys in no more, or the one with that fingerprint; give the fingerprints of those that were.
    It goes by the files' names, so that damaged ones are removed as well. Raises OSError."""
    allowed, name = allowed_directory(directory), file_name(principal)
    let_in = tuple(one for owner, one in allowed_files(directory) if owner == name)
    ended = tuple(one for one in let_in if fingerprint in (None, one))
    if ended and ended == let_in:
        make_mark(revoked_directory(directory) / name)
    for one in ended:
        (allowed / f"{name}.{one}.toml").unlink(missing_ok=True)
    if ended:
        flush_directory(allowed)
    return ended


def has_revoked(directory: Path, principal: Principal) -> bool:
    """Whether its last key was revoked here, and no other one was let in since."""
    return (revoked_directory(directory) / file_name(principal)).exists()


def allowed_files(directory: Path) -> tuple[tuple[str, str], ...]:
    """(file name of the principal, fingerprint) of every file that is named as one of the allow-list, sound or not.
    Raises OSError."""
    try:
        names = sorted(os.listdir(allowed_directory(directory)))
    except FileNotFoundError:
        return ()
    return tuple((match[1], match[2]) for name in names if (match := _PUBLIC_NAME.fullmatch(name)))


def _store_public(path: Path, public: PublicKeys) -> None:
    signing = {} if public.signing is None else {"signing_public": public.signing.hex()}
    fields = {"principal": str(public.principal), "curve_public": public.curve.decode(), **signing}
    store(path, {**fields, "created": public.created}, directory_mode=0o755, mode=0o644)
