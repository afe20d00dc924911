"""The keys that a cluster needs on one host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from nodes import principals
from nodes.config import ClusterConfig
from nodes.keys import CREATED_FORMAT, new_keys, save_allowed, save_secret, secret_path
from nodes.principals import Principal

LOCAL = "local"
"""The operator and the auditor who work on the cluster's own host."""


def principals_of(config: ClusterConfig) -> Iterator[Principal]:
    """Everybody in a configuration: servers, witness, faculties, their coordinators, and who works on this host."""
    yield from (principals.server(server.name) for server in config.servers)
    yield principals.WITNESS
    for faculty in config.faculties:
        yield principals.faculty(faculty.id)
        yield principals.program(faculty.id)
    yield Principal("operator", LOCAL)
    yield Principal("auditor", LOCAL)


def ensure_keys(config: ClusterConfig, extra: Iterable[Principal] = ()) -> None:
    """Make keys for everybody, and for `extra`, who has no secret here yet, and let them in. Who has one keeps it, and
    is not let in again if his keys were revoked. Raises KeysError, OSError.

    They are let in first: interrupted, this leaves a key that nobody has, and makes another one next time.
    """
    created = datetime.now(UTC).strftime(CREATED_FORMAT)
    for one in (*principals_of(config), *extra):
        if not secret_path(config.keys, one).exists():
            keys = new_keys(one, created)
            save_allowed(config.keys, keys.public)
            save_secret(config.keys, keys)
