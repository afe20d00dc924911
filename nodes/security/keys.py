"""The keys of a principal, and the files they lie in, below the directory `keys` of the configuration.

    secret/NAME.toml                 0600 in 0700: both halves, on the hosts where the principal runs
    allowed/NAME.FINGERPRINT.toml    0644: the public half of a key that is let in (nodes.security.allow_list)
    public/NAME.FINGERPRINT.toml     0644: the public half of a key that was made here and is not let in here

NAME is the principal's text with `-` for `:` and `/` and `all` for `*`: kinds have no `-`, and a number has one
spelling, so that no two principals share a name. A CURVE key (Z85, ZeroMQ RFC 32) encrypts and authenticates
connections; a server has an Ed25519 key (hexadecimal) besides. Every file is replaced whole and is durable once there.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
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
    malformed,
    read,
    refuse_exposed,
    store,
    strings_in,
    z85_key,
)
from nodes.security.key_file import KeysError as KeysError
from nodes.security.principals import Principal, principal

ALLOWED_FILES_MAX: Final = 10_000
"""Keys an allow-list may hold."""

FINGERPRINT_CHARS: Final = 16
CREATED_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
"""Of `created`, in UTC: texts are in the order of their times."""

_SIGNS: Final = "server"
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


class StoredSecret(NamedTuple):
    """A file of secret keys: the public half, or None if it holds no keys; why it cannot be used, or None if it can."""

    path: Path
    public: PublicKeys | None
    problem: str | None


def new_keys(principal: Principal, created: str) -> SecretKeys:
    """Fresh keys; nothing is stored. `created` as CREATED_FORMAT."""
    public, secret = zmq.curve_keypair()
    seed = SecretBytes(secrets.token_bytes(ED25519_BYTES)) if principal.kind == _SIGNS else None
    return SecretKeys(principal, public, SecretBytes(secret), seed, created)


# --- where they lie


def file_name(principal: Principal) -> str:
    """A principal as the beginning of its files' names."""
    return str(principal).replace(":", "-").replace("/", "-").replace("*", "all")


def secret_path(directory: Path, principal: Principal) -> Path:
    """Where the principal's secret keys lie, if they are on this host."""
    return secret_directory(directory) / f"{file_name(principal)}.toml"


def public_name(public: PublicKeys) -> str:
    """The one name under which a public file is let in."""
    return f"{file_name(public.principal)}.{public.fingerprint}.toml"


def secret_directory(directory: Path) -> Path:
    """The secrets of whoever runs on this host."""
    return directory / "secret"


def allowed_directory(directory: Path) -> Path:
    """The allow-list."""
    return directory / "allowed"


def public_directory(directory: Path) -> Path:
    """Public halves to be carried to other hosts, let in nowhere yet."""
    return directory / "public"


# --- reading


def load_secret(directory: Path, principal: Principal) -> SecretKeys:
    """The principal's secret keys. Raises KeysError, also if the file or its directory is open to others or another
    user's (root may read anybody's)."""
    path = secret_path(directory, principal)
    try:
        refuse_exposed(path.parent, path.parent.stat())
    except FileNotFoundError:
        raise _missing(path, principal) from None
    except OSError as error:
        raise KeysError(f"{path.parent}: {error.strerror or error}") from None
    return _secret_in(path, principal, private=True)


def exposed_secret(directory: Path, principal: Principal) -> SecretKeys:
    """The principal's secret keys, whoever else may have read them: to say which they are and to end them, not to use
    them. Raises KeysError."""
    return _secret_in(secret_path(directory, principal), principal, private=False)


def load_public(path: Path) -> PublicKeys:
    """The keys in a public file. Raises KeysError, also for a file that anybody may write."""
    try:
        status, data = read(path)
    except FileNotFoundError:
        raise KeysError(f"{path}: there is no such file") from None
    if status.st_mode & S_IWOTH:
        raise KeysError(f"{path} can be written by anybody: chmod o-w {path}")
    fields = strings_in(path, data)
    if "curve_secret" in fields:
        raise KeysError(f"{path} holds a secret key, which stays where it is: a public file is expected")
    _check_names(path, fields, "curve_public", "signing_public")
    owner = _principal_in(path, fields)
    signing = ed25519_key(path, fields, "signing_public") if owner.kind == _SIGNS else None
    return PublicKeys(owner, z85_key(path, fields, "curve_public"), signing, fields["created"])


def stored_secrets(directory: Path) -> Iterator[StoredSecret]:
    """Every file of secret keys on this host, by name. Raises OSError if they cannot be listed."""
    try:
        names = sorted(os.listdir(secret_directory(directory)))
    except FileNotFoundError:
        return
    for path in (secret_directory(directory) / name for name in names if not name.startswith(".")):
        public, problem = None, None
        try:
            public = _secret_fields(path, read(path)[1]).public
            if path != secret_path(directory, public.principal):
                raise KeysError(f"{path} must be called {secret_path(directory, public.principal).name}")
            load_secret(directory, public.principal)
        except (KeysError, FileNotFoundError) as error:
            problem = str(error)
        yield StoredSecret(path, public, problem)


def _secret_in(path: Path, principal: Principal, *, private: bool) -> SecretKeys:
    try:
        status, data = read(path)
    except FileNotFoundError:
        raise _missing(path, principal) from None
    if private:
        refuse_exposed(path, status)
    keys = _secret_fields(path, data)
    if keys.principal != principal:
        raise KeysError(f"{path} holds the keys of {keys.principal}, not of {principal}")
    return keys


def _secret_fields(path: Path, data: bytes) -> SecretKeys:
    fields = strings_in(path, data)
    _check_names(path, fields, "curve_public", "curve_secret", "signing_seed")
    owner = _principal_in(path, fields)
    public, secret = z85_key(path, fields, "curve_public"), z85_key(path, fields, "curve_secret")
    if zmq.curve_public(secret) != public:
        raise malformed(path, "curve_public is not the other half of curve_secret")
    seed = SecretBytes(ed25519_key(path, fields, "signing_seed")) if owner.kind == _SIGNS else None
    return SecretKeys(owner, public, SecretBytes(secret), seed, fields["created"])


def _missing(path: Path, principal: Principal) -> KeysError:
    return KeysError(f"{path} is missing: fetch it from where it was made, or `aulario keys new '{principal}'`")


def _check_names(path: Path, fields: Mapping[str, str], *keys: str) -> None:
    """Exactly the keys of such a file; the last one of `keys` is a server's."""
    signs = fields.get("principal", "").startswith(f"{_SIGNS}:")
    expected = {"principal", "created", *(keys if signs else keys[:-1])}
    if fields.keys() != expected:
        raise malformed(path, f"it has {', '.join(sorted(expected))} and nothing else")


def _principal_in(path: Path, fields: Mapping[str, str]) -> Principal:
    try:
        owner = principal(fields["principal"])
    except ValueError as error:
        raise malformed(path, str(error)) from None
    with suppress(ValueError):
        if datetime.fromisoformat(fields["created"]).strftime(CREATED_FORMAT) == fields["created"]:
            return owner
    raise malformed(path, "created is a time such as 2026-01-31T12:00:00Z")


def _signing_of(seed: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # servers and key makers need it

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


# --- writing


def save_secret(directory: Path, keys: SecretKeys) -> None:
    """Store a principal's secret keys in place of those it had. Raises OSError; the old ones then still stand."""
    signing = {} if keys.signing_seed is None else {"signing_seed": keys.signing_seed.hex()}
    store(
        secret_path(directory, keys.principal),
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


def save_allowed(directory: Path, public: PublicKeys) -> None:
    """Let a key in from now on. Raises KeysError if the allow-list is full, OSError."""
    allowed, name = allowed_directory(directory), public_name(public)
    with suppress(FileNotFoundError):
        names = os.listdir(allowed)
        if len(names) >= ALLOWED_FILES_MAX and name not in names:
            raise KeysError(f"{allowed} holds {len(names)} files; {ALLOWED_FILES_MAX} are allowed: revoke some")
    _store_public(allowed / name, public)


def save_public(directory: Path, public: PublicKeys) -> None:
    """Store a public half to be carried elsewhere, without letting it in. Raises OSError."""
    _store_public(public_directory(directory) / public_name(public), public)


def remove_allowed(directory: Path, principal: Principal, fingerprint: str | None = None) -> tuple[str, ...]:
    """Let a principal's keys in no more, or the one with that fingerprint; give the fingerprints of those that were.
    It goes by the files' names, so that damaged ones are removed as well. Raises OSError."""
    allowed, name = allowed_directory(directory), file_name(principal)
    ended = tuple(one for owner, one in allowed_files(directory) if owner == name and fingerprint in (None, one))
    for one in ended:
        (allowed / f"{name}.{one}.toml").unlink(missing_ok=True)
    if ended:
        flush_directory(allowed)
    return ended


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
