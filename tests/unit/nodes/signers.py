"""Servers with keys of their own, and what they sign."""

from __future__ import annotations

from pathlib import Path

from es.log.checkpoint import Checkpoint, SignedCheckpoint, sign
from nodes.security import principals
from nodes.security.keys import new_keys, save_allowed
from nodes.security.secret_keys import load_secret, save_secret

CLUSTER = "campus"
CREATED = "2026-01-31T12:00:00Z"


def give_keys(directory: Path, *names: str, created: str = CREATED) -> None:
    """A secret and an allowed key for each of these servers."""
    for name in names:
        keys = new_keys(principals.server(name), created)
        save_secret(directory, keys)
        save_allowed(directory, keys.public)


def signed(directory: Path, node: str, seq: int, *, incarnation: str = "1", history: int = 0) -> SignedCheckpoint:
    """What a server with a key in `directory` signs; histories differ in their hashes."""
    seed = load_secret(directory, principals.server(node)).signing_seed
    assert seed is not None
    hash_ = (seq << 8 | history).to_bytes(32, "big")
    return sign(seed, Checkpoint(CLUSTER, node, incarnation, 1, seq, hash_, seq))
