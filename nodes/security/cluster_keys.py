"""Which keys a cluster has: made once for each of its parts, let in, revoked, and replaced in an order that a crash
cannot spoil.

New secret keys are stored beside the old ones, then their public half is let in, and with that one step the owner uses
them and whoever calls it expects them (nodes.security.secret_keys); then they take the old ones' place, and the old
public half goes last. Whatever step a crash comes after, the owner has the key that others expect. Each change has the
directory to itself (nodes.security.keys_lock).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from nodes.config.cluster import ClusterConfig
from nodes.security.allow_list import AllowList
from nodes.security.key_file import KeysDamaged
from nodes.security.keys import (
    CREATED_FORMAT,
    KeysError,
    PublicKeys,
    allowed_files,
    file_name,
    has_revoked,
    new_keys,
    remove_allowed,
    save_allowed,
    save_public,
)
from nodes.security.keys_lock import changing
from nodes.security.principals import WITNESS, Principal, faculty, principal, program, server
from nodes.security.secret_keys import (
    exposed_secret,
    has_secret,
    legible_fingerprint,
    save_secret,
    secret_path,
    settle_secret,
    stage_secret,
)

LOCAL = (principal("operator:local"), principal("auditor:local"))
"""Who runs commands on this host."""


class Rotated(NamedTuple):
    """A principal's new key, the fingerprint of the one it had (None: its file was damaged, and several could have been
    it), those that were withdrawn, and those that are let in besides the new one."""

    public: PublicKeys
    former: str | None
    ended: tuple[str, ...]
    others: tuple[str, ...]


def principals_of(config: ClusterConfig) -> tuple[Principal, ...]:
    """Everybody who takes part in a cluster: its processes, each faculty's programs, and who runs commands."""
    return (
        *processes_of(config),
        *(program(one.id) for one in config.faculties),
        *LOCAL,
    )


def processes_of(config: ClusterConfig) -> tuple[Principal, ...]:
    """The processes of a cluster."""
    return (*(server(one.name) for one in config.servers), WITNESS, *(faculty(one.id) for one in config.faculties))


def ensure_keys(config: ClusterConfig, extra: Iterable[Principal] = ()) -> None:
    """Make and let in the keys of every principal that has none, and of `extra`.

    Whoever has a secret on this host keeps it, let in or not, and who lives on another host and was revoked gets none:
    revoked stays revoked. Whoever is let in without a secret lives on another host. Raises KeysError, OSError.
    """
    wanted = (*principals_of(config), *extra)
    if not _lacking(config.keys, wanted):
        return
    with changing(config.keys):
        allowed = AllowList(config.keys)
        for owner in _lacking(config.keys, wanted):
            _make(config.keys, owner, allowed)


def shut_out(config: ClusterConfig) -> tuple[Principal, ...]:
    """The processes of a cluster of which no key is let in here: nobody talks to them, and who needs them waits."""
    allowed = AllowList(config.keys)
    return tuple(owner for owner in processes_of(config) if allowed.newest(owner) is None)


def make_keys(directory: Path, owner: Principal, *, let_in: bool) -> PublicKeys:
    """New keys for a principal that has no secret on this host; without `let_in` the public half is only stored to be
    carried elsewhere. Raises KeysError, OSError."""
    with changing(directory):
        if has_secret(directory, owner):
            raise KeysError(f"{owner} has keys in {secret_path(directory, owner)} already: rotate them")
        return _make(directory, owner, AllowList(directory), let_in=let_in)


def rotate_keys(directory: Path, owner: Principal, *, keep_old: bool) -> Rotated:
    """New keys in place of a principal's. The new one is let in here; the old one no more, unless `keep_old`: whoever
    has a copy of that one is then still known by it. Damaged secret keys are replaced as well.
    Raises KeysError, OSError."""
    with changing(directory):
        former = _former(directory, owner)
        public = _make(directory, owner, AllowList(directory))
        ended = () if keep_old or former is None else remove_allowed(directory, owner, former)
        others = tuple(one for one in _let_in(directory, owner) if one != public.fingerprint)
        return Rotated(public, former, ended, others)


def allow_key(directory: Path, public: PublicKeys) -> tuple[str, ...]:
    """Let in a key that was made elsewhere; give the fingerprints of the principal's others that are let in.
    Raises KeysError, also if it is somebody else's already, OSError."""
    with changing(directory):
        holder = AllowList(directory).principal_of(public.curve)
        if holder not in (None, public.principal):
            raise KeysError(f"key {public.fingerprint} is let in as {holder}: it cannot be {public.principal} as well")
        save_allowed(directory, public)
        return tuple(one for one in _let_in(directory, public.principal) if one != public.fingerprint)


def revoke_keys(directory: Path, owner: Principal, fingerprint: str | None = None) -> tuple[str, ...]:
    """Let a principal's keys in no more, or the one with that fingerprint; give the fingerprints of those that were.
    Raises KeysError, OSError."""
    if not directory.exists():
        return ()
    with changing(directory):
        settle_secret(directory, owner)
        return remove_allowed(directory, owner, fingerprint)


def _lacking(directory: Path, owners: Iterable[Principal]) -> list[Principal]:
    known = {name for name, _ in allowed_files(directory)}
    once = dict.fromkeys(owners)
    without = [owner for owner in once if file_name(owner) not in known and not has_secret(directory, owner)]
    return [owner for owner in without if not has_revoked(directory, owner)]


def _let_in(directory: Path, owner: Principal) -> tuple[str, ...]:
    return tuple(one for name, one in allowed_files(directory) if name == file_name(owner))


def _former(directory: Path, owner: Principal) -> str | None:
    """The fingerprint of the key that a principal has here. Raises KeysError if there is none."""
    try:
        return exposed_secret(directory, owner).public.fingerprint
    except KeysDamaged:
        candidates = _let_in(directory, owner)
        return legible_fingerprint(directory, owner) or (candidates[0] if len(candidates) == 1 else None)


def _make(directory: Path, owner: Principal, allowed: AllowList, *, let_in: bool = True) -> PublicKeys:
    keys = new_keys(owner, _created_after(allowed.newest(owner)))
    if not let_in:
        save_public(directory, keys.public)
        save_secret(directory, keys)
        return keys.public
    settle_secret(directory, owner)
    stage_secret(directory, keys)
    try:
        save_allowed(directory, keys.public)  # with this step it is in force, for its owner as for everybody
    finally:
        settle_secret(directory, owner)
    return keys.public


def _created_after(newest: PublicKeys | None) -> str:
    """The present, and later than the principal's newest key even if the clock was set back: peers take the newest."""
    now = datetime.now(UTC)
    if newest is not None:
        now = max(now, datetime.fromisoformat(newest.created) + timedelta(seconds=1))
    return now.strftime(CREATED_FORMAT)
