"""Two servers with logs and checkpoints of their own and of each other, a witness: what a tamperer finds on hosts."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from es.codec import Batch, Entry, encode_batch
from es.log.base import EMPTY, Head, Identity, Write
from es.log.chain import head_of
from es.log.lmdb_log import LmdbLog
from es.replication.effects import WITNESS, Tell
from es.replication.instant import Instant
from es.replication.messages import Checkpointed, Heartbeat, Member
from nodes.checkpoints.files import HEADS_BYTES_MAX, head_path, read
from nodes.checkpoints.issuer import Checkpoints
from nodes.checkpoints.witness import WitnessCheckpoints
from nodes.config.cluster import ClusterConfig, one_host
from nodes.security import principals
from nodes.security.keys import CREATED_FORMAT, new_keys, save_allowed
from nodes.security.secret_keys import save_secret

CLUSTER: Final = "proof"
NAMES: Final = ("a", "b")
STAGES: Final = 4
"""A log is stored and its directory copied at the end of each; the last copy is the log itself."""

WRITES_A_STAGE: Final = 6
BATCHES_A_WRITE_MAX: Final = 4
EVENTS_A_BATCH_MAX: Final = 4
BODY_BYTES: Final = 24
LOST_SHARE: Final = 0.2
"""Of the messages with checkpoints: links may lose any."""

SECOND_US: Final = 1_000_000


@dataclass(slots=True, frozen=True)
class World:
    """`stages` are copies of all three directories, oldest first. In the last one `chains` are the batches of the
    logs, `kept` how far each keeper's checkpoint of each server reaches, by (keeper's directory, server)."""

    config: ClusterConfig
    stages: Sequence[Path]
    chains: dict[str, Sequence[Batch]]
    heads: dict[str, Sequence[int]]
    kept: dict[tuple[str, str], int]

    @property
    def directory(self) -> Path:
        """Where the cluster's directories are expected by its configuration; empty until `lay_out`."""
        return self.config.witness.data.parent

    def lay_out(self) -> None:
        """Everything as it was, whatever was done to it."""
        for data in (*(server.data for server in self.config.servers), self.config.witness.data):
            shutil.rmtree(data, ignore_errors=True)
            shutil.copytree(self.stages[-1] / data.name, data)


def identity(name: str) -> Identity:
    """The owner of a server's log."""
    return Identity(CLUSTER, name, f"5eed{name}")


def build(directory: Path, seed: int) -> World:
    """The world of a seed, in `directory`. Server b is behind, as one that is catching up, and whoever keeps the
    checkpoints of a has one beyond that."""
    attempt = 0
    while True:
        shutil.rmtree(directory, ignore_errors=True)
        world = _built(directory, random.Random(f"tampering {seed} {attempt}"))
        if min(world.kept["server-b", "a"], world.kept["witness", "a"]) > world.heads["b"][-1]:
            return world
        attempt += 1


def _built(directory: Path, drawn: random.Random) -> World:
    config = one_host(directory / "cluster", cluster_id=CLUSTER, faculties=0)
    _give_keys(config)
    chain = _chain(drawn, STAGES * WRITES_A_STAGE + 1)
    lag = drawn.randint(2, 4)
    for server in config.servers:
        LmdbLog.create(server.data, identity(server.name)).close()
    config.witness.data.mkdir(mode=0o700)
    stages = []
    heads: dict[str, list[int]] = {name: [] for name in NAMES}
    for stage in range(STAGES):
        writes = chain[stage * WRITES_A_STAGE : (stage + 1) * WRITES_A_STAGE]
        behind = WRITES_A_STAGE - lag if stage == STAGES - 1 else WRITES_A_STAGE
        _run(drawn, config, {"a": writes, "b": writes[:behind]}, stage * 100 * SECOND_US)
        if stage == STAGES - 1:
            _write_unsigned(config, chain[-1])
        stages.append(directory / f"stage-{stage}")
        for server in config.servers:
            shutil.copytree(server.data, stages[-1] / server.data.name)
            heads[server.name].append(_head_seq(server.data))
        shutil.copytree(config.witness.data, stages[-1] / config.witness.data.name)
    return World(config, stages, _chains(config), {name: tuple(seqs) for name, seqs in heads.items()}, _kept(config))


def _give_keys(config: ClusterConfig) -> None:
    created = datetime(2026, 1, 1, tzinfo=UTC).strftime(CREATED_FORMAT)
    for name in NAMES:
        keys = new_keys(principals.server(name), created)
        save_secret(config.keys, keys)
        save_allowed(config.keys, keys.public)


def _chain(drawn: random.Random, writes: int) -> list[list[Batch]]:
    """Batches of one chain, as many as one write stores in each list."""
    head = EMPTY
    chain: list[list[Batch]] = []
    for _ in range(writes):
        chain.append([])
        for _ in range(drawn.randint(1, BATCHES_A_WRITE_MAX)):
            chain[-1].append(_batch(drawn, head))
            head = head_of(chain[-1][-1])
    return chain


def _batch(drawn: random.Random, head: Head) -> Batch:
    entries = [
        Entry(offset, "rooms", "Reserved", 1, "faculty:3", "", drawn.randbytes(BODY_BYTES))
        for offset in range(drawn.randint(1, EVENTS_A_BATCH_MAX))
    ]
    epoch = max(head.epoch, 1) + (drawn.random() < 0.05)
    return encode_batch(epoch, head.seq + 1, head.hash, head.ts_us + 900, entries)


def _run(
    drawn: random.Random, config: ClusterConfig, writes: dict[str, Sequence[Sequence[Batch]]], begin_us: int
) -> None:
    """One life of the three processes: what is written is committed and signed, some messages are lost."""
    logs = {server.name: LmdbLog.open(server.data) for server in config.servers}
    witness = WitnessCheckpoints(config, lambda: max(log.head().epoch for log in logs.values()))
    shells = {server.name: Checkpoints(config, server, logs[server.name]) for server in config.servers}

    def carry(said: Sequence[Tell], sender: str, now: Instant) -> None:
        for tell in said:
            if drawn.random() < LOST_SHARE or not isinstance(tell.message, Checkpointed):
                continue
            if tell.node == WITNESS:
                witness.on_message(sender.encode(), tell.message, now)
            else:
                carry(shells[tell.node].on_message(tell.message, now), tell.node, now)

    for number in range(WRITES_A_STAGE):
        now = Instant(begin_us + number * 3 * SECOND_US, 0)
        for name, shell in shells.items():
            for told in witness.on_message(name.encode(), _heartbeat(name), now):
                shell.on_message(told, now)
            for batches in writes[name][number : number + 1]:
                logs[name].write(Write(batches, commit_seq=batches[-1].last_seq))
                shell.on_committed(batches, now)
            later = Instant(now.boot_us + drawn.randint(0, 2 * SECOND_US), 0)
            carry(shell.on_turn(later, logs[name].head().seq), name, later)
    for name, shell in shells.items():
        shell.close()
        logs[name].close()
    witness.close()


def _write_unsigned(config: ClusterConfig, batches: Sequence[Batch]) -> None:
    """The last of all: server a was killed before it signed this."""
    with closing(LmdbLog.open(config.server("a").data)) as log:
        log.write(Write(batches, commit_seq=batches[-1].last_seq))


def _heartbeat(name: str) -> Heartbeat:
    return Heartbeat(CLUSTER, 1, Member(name, identity(name).incarnation))


def _head_seq(data: Path) -> int:
    with closing(LmdbLog.open(data, readonly=True)) as log:
        return log.head().seq


def _chains(config: ClusterConfig) -> dict[str, Sequence[Batch]]:
    chains: dict[str, Sequence[Batch]] = {}
    for server in config.servers:
        with closing(LmdbLog.open(server.data, readonly=True)) as log:
            chains[server.name] = tuple(log.batches())
    return chains


def _kept(config: ClusterConfig) -> dict[tuple[str, str], int]:
    directories = (*(server.data for server in config.servers), config.witness.data)
    found = {}
    for directory in directories:
        for name in NAMES:
            records = read(head_path(directory, name), HEADS_BYTES_MAX)
            signed = records.signed if records is not None else ()
            found[directory.name, name] = max((one.checkpoint.seq for one in signed), default=0)
    return found
