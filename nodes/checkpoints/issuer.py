"""A server's checkpoints: it signs what it has committed, has others keep that, and believes them before its own disk.

The shell's duties: `on_committed` with every `Committed`, `on_message` with every Checkpointed, `on_turn` at the end
of each turn; what they give is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from es.codec import Batch
from es.errors import LogContradicted
from es.log.base import EMPTY, EventLog, Head
from es.log.chain import head_of
from es.log.checkpoint import Checkpoint, SignedCheckpoint, checkpoint_at, contradiction, encode, is_signed_by, sign
from es.replication.effects import WITNESS, Tell
from es.replication.instant import Instant
from es.replication.messages import Checkpointed
from nodes.checkpoints import files as checkpoint_files
from nodes.checkpoints.files import HEADS_BYTES_MAX, HISTORY_BYTES_MAX, head_path, history_path
from nodes.checkpoints.keeper import UNSIGNED, CheckpointKeeper
from nodes.checkpoints.schedule import CheckpointSchedule
from nodes.checkpoints.writer import CheckpointWriter
from nodes.config.cluster import ClusterConfig, ServerConfig
from nodes.logs import logger
from nodes.security.signing_keys import SigningKeys

SAY_US: Final = 1_000_000
"""How often the newest one is sent again, and what is kept of others given back: messages may be lost."""

AHEAD_EVENTS_MAX: Final = 1 << 20
"""How far another server's log may be ahead of ours, for its checkpoints to be kept here."""


class Checkpoints:
    """Make it before the server opens a port: LogContradicted if its log lacks or contradicts what it had signed."""

    def __init__(self, config: ClusterConfig, own: ServerConfig, log: EventLog) -> None:
        self._own = own.name
        self._data = own.data
        self._log = log
        self._keys = SigningKeys(config.keys, own.name)
        others = [server.name for server in config.servers if server.name != own.name]
        self._others = (*others, WITNESS)
        self._say_us = 0
        self._due_us: int | None = None
        self._is_contradicted = False
        lasting, self._newest = self._stored()
        self._schedule = CheckpointSchedule(_head(self._newest), _head(lasting))
        self._writer = CheckpointWriter(own.data)
        self.keeper = CheckpointKeeper(
            own.data, config.cluster_id, others, self._keys, self._writer.keep, self._is_plausible
        )

    @property
    def signed_seq(self) -> int:
        """Everything up to here is covered by a signature of this server; 0: nothing."""
        return _head(self._newest).seq

    def deadline(self, durable_seq: int) -> int:
        """Boot time (µs) at which `on_turn` must be called at the latest. Known by heart until more is committed: most
        turns of a busy loop are none of ours."""
        if self._due_us is None:
            due_us = self._schedule.due_us(durable_seq) if self._keys.seed is not None else None
            self._due_us = self._say_us if due_us is None else min(self._say_us, due_us)
        return self._due_us

    def on_committed(self, batches: Sequence[Batch], now: Instant) -> None:
        """These are committed; also those of before a restart, which are fed again."""
        self._schedule.committed(head_of(batches[-1]), now.boot_us)
        self._due_us = None

    def on_turn(self, now: Instant, durable_seq: int) -> list[Tell]:
        """Sign what is due, say again what may have been lost."""
        if now.boot_us < self.deadline(durable_seq):
            return []
        self._due_us = None
        said = self._sign(now.boot_us, durable_seq)
        if now.boot_us >= self._say_us:
            self._say_us = now.boot_us + SAY_US
            if self._keys.refresh():
                self._schedule.begin_again(now.boot_us)
            said = said or self._announced()
            said += [Tell(node, _message(one)) for node in self._others for one in self.keeper.kept(node)]
        return said

    def on_message(self, message: Checkpointed, now: Instant) -> list[Tell]:
        """Keep what another node has signed, or hold our log against what was kept of us: LogContradicted."""
        signed = self.keeper.read(message.signed, now.boot_us)
        if signed is None:
            return []
        if signed.checkpoint.node == self._own:
            self._check(signed)
            return []
        newer = self.keeper.take(signed)
        return [] if newer is None else [Tell(newer.checkpoint.node, _message(newer))]

    def last(self, now: Instant, durable_seq: int) -> list[Tell]:
        """The server ends: sign all that is committed, at once."""
        return self._sign(now.boot_us, durable_seq, last=True)

    def close(self) -> None:
        """Store what waits."""
        self._writer.close()

    def _sign(self, now_us: int, durable_seq: int, *, last: bool = False) -> list[Tell]:
        seed = self._keys.seed
        if seed is None or self._is_contradicted or (due := self._schedule.due(durable_seq, now_us, last=last)) is None:
            return []
        self._newest = sign(seed, checkpoint_at(self._log.identity, due.head))
        self._writer.keep(self._own, [self._newest])
        if due.lasting:
            self._writer.append(self._newest)
        return self._announced()

    def _announced(self) -> list[Tell]:
        newest = self._newest
        return [] if newest is None else [Tell(node, _message(newest)) for node in self._others]

    def _check(self, signed: SignedCheckpoint) -> None:
        if signed == self._newest:
            return
        what = contradiction(self._log, signed.checkpoint)
        if what is None:
            return
        if not is_signed_by(signed, self._keys.of(self._own)):
            self.keeper.ignored[UNSIGNED] += 1
            return
        self._is_contradicted = True
        raise LogContradicted(self._refusal(what, "kept by another node"))

    def _refusal(self, what: str, where: str) -> str:
        return (
            f"the log in {self._data} is not what this server had: {what} (a checkpoint {where}); nothing was changed: "
            f"to have it filled from its peer, move the directory away and run "
            f"`aulario init --only {self._own} --dir {self._data.parent}` before the server"
        )

    def _is_plausible(self, checkpoint: Checkpoint) -> bool:
        """Whether another server can have come so far. A node that lacks more than that is being filled: it cannot
        know, and keeps what is said again once it has caught up."""
        return checkpoint.seq <= self._log.head().seq + AHEAD_EVENTS_MAX

    # -- what an earlier life has signed

    def _stored(self) -> tuple[SignedCheckpoint | None, SignedCheckpoint | None]:
        """The last one of the history, and the newest of all."""
        lasting = self._last_own(self._history())
        newest = max((self._last_own(self._heads()), lasting), key=lambda one: _head(one).seq)
        for one in (lasting, newest):
            if one is not None and (what := contradiction(self._log, one.checkpoint)):
                raise LogContradicted(self._refusal(what, "of its own"))
        return lasting, newest

    def _history(self) -> Sequence[SignedCheckpoint]:
        path = history_path(self._data)
        try:
            records = checkpoint_files.read(path, HISTORY_BYTES_MAX)
            if records is None:
                checkpoint_files.create(path)
            elif records.torn is not None:
                logger().warning("the history of checkpoints is torn and goes on from its sound part", path=str(path))
                checkpoint_files.cut(path, records.torn)
        except OSError as error:
            logger().warning("the history of checkpoints cannot be used", path=str(path), why=error.strerror)
            return ()
        return () if records is None else records.signed

    def _heads(self) -> Sequence[SignedCheckpoint]:
        path = head_path(self._data, self._own)
        try:
            records = checkpoint_files.read(path, HEADS_BYTES_MAX)
        except OSError as error:
            logger().warning("checkpoints cannot be read", path=str(path), why=error.strerror)
            return ()
        return () if records is None else records.signed

    def _last_own(self, signed: Sequence[SignedCheckpoint]) -> SignedCheckpoint | None:
        """The last one that this server has signed about this very directory with a key that is allowed."""
        identity, keys = self._log.identity, self._keys.of(self._own)
        for one in reversed(signed):
            checkpoint = one.checkpoint
            owner = (checkpoint.cluster_id, checkpoint.node, checkpoint.incarnation)
            if owner == (identity.cluster_id, identity.node, identity.incarnation) and is_signed_by(one, keys):
                return one
        return None


def _message(signed: SignedCheckpoint) -> Checkpointed:
    return Checkpointed(signed.checkpoint.cluster_id, encode(signed))


def _head(signed: SignedCheckpoint | None) -> Head:
    if signed is None:
        return EMPTY
    checkpoint = signed.checkpoint
    return Head(checkpoint.seq, checkpoint.epoch, checkpoint.hash, checkpoint.ts_us)

