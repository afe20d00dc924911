"""The witness's part in checkpoints: it keeps those of every server, and tells a server that returns how far it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from es.log.checkpoint import SignedCheckpoint, encode
from es.replication.instant import Instant
from es.replication.messages import Checkpointed, Heartbeat, Message
from nodes.checkpoints.keeper import CheckpointKeeper
from nodes.checkpoints.writer import CheckpointWriter
from nodes.config.cluster import ClusterConfig
from nodes.security.signing_keys import SigningKeys

KEYS_US: Final = 1_000_000
"""How often the allow-list is looked at, at most."""


class WitnessCheckpoints:
    """`on_message` with every message, before the witness's core has it; what it gives goes back on the same route."""

    def __init__(self, config: ClusterConfig, epoch: Callable[[], int]) -> None:
        """`epoch` gives that of the register: no server can be in a later one."""
        self._keys = SigningKeys(config.keys)
        self._writer = CheckpointWriter(config.witness.data)
        self._names = frozenset(server.name for server in config.servers)
        self._cluster_id = config.cluster_id
        self.keeper = CheckpointKeeper(
            config.witness.data, config.cluster_id, self._names, self._keys, self._writer.keep,
            lambda checkpoint: checkpoint.epoch <= epoch(),
        )  # fmt: skip
        self._routes: dict[str, bytes] = {}
        self._keys_us = 0

    def on_message(self, route: bytes, message: Message, now: Instant) -> list[Checkpointed]:
        """Keep a checkpoint; to a server that speaks on a new connection, what is kept of it: a node that was rolled
        back learns it before it learns that it may lead."""
        self._follow_keys(now.boot_us)
        if isinstance(message, Checkpointed):
            return self._take(message, now.boot_us)
        if not isinstance(message, Heartbeat) or message.cluster_id != self._cluster_id:
            return []
        node = message.member.node
        if node not in self._names or self._routes.get(node) == route:
            return []
        self._routes[node] = route
        return _messages(self.keeper.kept(node))

    def close(self) -> None:
        """Store what waits."""
        self._writer.close()

    def _follow_keys(self, now_us: int) -> None:
        if now_us - self._keys_us >= KEYS_US:
            self._keys_us = now_us
            self._keys.refresh()

    def _take(self, message: Checkpointed, now_us: int) -> list[Checkpointed]:
        signed = self.keeper.read(message.signed, now_us)
        newer = self.keeper.take(signed) if signed is not None else None
        return [] if newer is None else _messages([newer])


def _messages(signed: Iterable[SignedCheckpoint]) -> list[Checkpointed]:
    return [Checkpointed(one.checkpoint.cluster_id, encode(one)) for one in signed]
