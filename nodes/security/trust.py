"""Who else on the host could change the keys: who can write where they lie could let himself in, so it is not believed.

Below `keys` nobody but root and whoever runs this may own or write anything; root, who may read anybody's keys, acts
for the owner of the directory. Above it nobody else may put another directory in its place.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from stat import S_ISVTX, S_IWGRP, S_IWOTH
from typing import Final

from nodes.security.key_file import KeysError

ALLOWED: Final = "allowed"
"""The directory below `keys` whose files are let in."""

_OTHERS_WRITE: Final = S_IWGRP | S_IWOTH


class KeysUntrusted(KeysError):
    """Somebody else could have changed what lies there. One sentence that says what to do."""


def owners_of(directory: Path) -> Collection[int]:
    """The user ids that may own what lies in the directory of keys. Raises OSError."""
    own = os.geteuid()
    return {0, own} if own else {0, directory.stat().st_uid}


def refuse_changeable(path: Path, status: os.stat_result, owners: Collection[int]) -> None:
    """Raise KeysUntrusted if others than these users could change a file or a directory."""
    if status.st_uid not in owners:
        raise KeysUntrusted(f"{path} belongs to another user (id {status.st_uid}), who could let anybody in")
    if status.st_mode & _OTHERS_WRITE:
        raise KeysUntrusted(
            f"{path} can be written by others than its owner: see that nobody else is let in, then chmod go-w {path}"
        )


def refuse_untrusted(directory: Path, owners: Collection[int]) -> None:
    """The same of the directory of keys, of its list of who is let in, and of what it lies in. Raises KeysUntrusted,
    OSError."""
    refuse_changeable(directory, directory.stat(), owners)
    with suppress(FileNotFoundError):
        refuse_changeable(directory / ALLOWED, (directory / ALLOWED).stat(), owners)
    whole = directory.absolute()
    for parent in dict.fromkeys((*whole.parents, *whole.resolve().parents)):
        status = parent.stat()
        if _can_be_moved_in(status):
            raise KeysUntrusted(
                f"{parent} can be written by others than its owner, who could put other keys in the place of "
                f"{directory}: chmod go-w {parent}"
            )


def _can_be_moved_in(status: os.stat_result) -> bool:
    """Whether others may rename what lies there. In a sticky directory each renames his own, and a group of one's own
    (umask 002) is nobody else."""
    if status.st_mode & S_ISVTX:
        return False
    is_groups = status.st_mode & S_IWGRP and not _is_own_group(status.st_uid, status.st_gid)
    return bool(status.st_mode & S_IWOTH or is_groups)


@lru_cache(maxsize=64)
def _is_own_group(uid: int, gid: int) -> bool:
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return (user.pw_gid, user.pw_name) == (gid, group.gr_name) and set(group.gr_mem) <= {user.pw_name}
