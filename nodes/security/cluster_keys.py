"""Which keys a cluster has: made once for each of its parts, and replaced in an order that a crash cannot spoil.

A key is let in before its owner gets it, and the old one goes last: whatever step a crash comes after, the secret that
is on this host is one that is let in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from nodes.config.cluster import ClusterConfig
from nodes.security.allow_list import AllowList
from nodes.security.keys import (
    CREATED_FORMAT,
    KeysError,
    PublicKeys,
    allowed_files,
    exposed_secret,
    file_name,
    new_keys,
    remove_allowed,
    save_allowed,
    save_public,
    save_secret,
    secret_path,
)
from nodes.security.principals import WITNESS, Principal, faculty, principal, program, server

LOCAL = (principal("operator:local"), principal("auditor:local"))
"""Who runs commands on this host."""


class Rotated(NamedTuple):
    """A principal's new key and the fingerprint of the one it had; `is_ended` unless that one is still let in."""

    public: PublicKeys
    former: str
    is_ended: bool


def principals_of(config: ClusterConfig) -> tuple[Principal, ...]:
    """Everybody who takes part in a cluster: its processes, each faculty's programs, and who runs commands."""
    return (
        *(server(one.name) for one in config.servers),
        WITNESS,
        *(faculty(one.id) for one in config.faculties),
        *(program(one.id) for one in config.faculties),
        *LOCAL,
    )


def ensure_keys(config: ClusterConfig, extra: Iterable[Principal] = ()) -> None:
    """Make and let in the keys of every principal that has none, and of `extra`.

    Whoever has a secret on this host keeps it, let in or not: revoked stays revoked. Whoever is let in without one
    lives on another host. Raises KeysError, OSError.
    """
    allowed = AllowList(config.keys)
    known = {name for name, _ in allowed_files(config.keys)}
    for owner in (*principals_of(config), *extra):
        if file_name(owner) not in known and not _has_secret(config.keys, owner):
            _make(config.keys, owner, allowed)


def make_keys(directory: Path, owner: Principal, *, let_in: bool) -> PublicKeys:
    """New keys for a principal that has no secret on this host; without `let_in` the public half is only stored to be
    carried elsewhere. Raises KeysError, OSError."""
    if _has_secret(directory, owner):
        raise KeysError(f"{owner} has keys in {secret_path(directory, owner)} already: rotate them")
    return _make(directory, owner, AllowList(directory), let_in=let_in)


def rotate_keys(directory: Path, owner: Principal, *, keep_old: bool) -> Rotated:
    """New keys in place of a principal's. The new one is let in here; the old one no more, unless `keep_old`: whoever
    has a copy of that one is then still known by it. Raises KeysError, OSError."""
    former = exposed_secret(directory, owner).public.fingerprint
    public = _make(directory, owner, AllowList(directory))
    is_ended = not keep_old and bool(remove_allowed(directory, owner, former))
    return Rotated(public, former, is_ended)


def _has_secret(directory: Path, owner: Principal) -> bool:
    """Raises OSError if it cannot be told."""
    try:
        secret_path(directory, owner).lstat()
    except FileNotFoundError:
        return False
    return True


def _make(directory: Path, owner: Principal, allowed: AllowList, *, let_in: bool = True) -> PublicKeys:
    keys = new_keys(owner, _created_after(allowed.newest(owner)))
    save = save_allowed if let_in else save_public
    save(directory, keys.public)
    save_secret(directory, keys)
    return keys.public


def _created_after(newest: PublicKeys | None) -> str:
    """The present, and later than the principal's newest key even if the clock was set back: peers take the newest."""
    now = datetime.now(UTC)
    if newest is not None:
        now = max(now, datetime.fromisoformat(newest.created) + timedelta(seconds=1))
    return now.strftime(CREATED_FORMAT)
