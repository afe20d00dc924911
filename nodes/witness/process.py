"""The witness process: a thin shell around es.replication.witness."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from es.errors import Halted, LogMissing, RemoteProtocolError, WrongCluster
from es.log.directory_lock import DirectoryLock
from es.replication.effects import Halt
from es.replication.instant import Instant
from es.replication.messages import Checkpointed, pack, unpack, unpack_register
from es.replication.witness import WITNESS_WHYS, Reply, Save, Witness, WitnessEffect
from nodes import sockets
from nodes.checkpoints.witness import WitnessCheckpoints
from nodes.config.cluster import ClusterConfig, http_address
from nodes.config.protocol_timing import protocol_timing
from nodes.datadir import register_path
from nodes.exporter import Exporter, registry_of
from nodes.logs import logger
from nodes.reopening import reopen
from nodes.security import principals, roles
from nodes.security.authenticator import Authenticator
from nodes.security.crowd import open_rooms
from nodes.security.curve import security_of
from nodes.security.door import PEER_FULL, PEER_GONE, Door, Session
from nodes.security.refusals import IDENTITY
from nodes.server.kernel_metrics import ignored_family
from nodes.shell import Loop, read_clock, run_process
from nodes.witness import register_file

SHELL_WHYS: Final = ("malformed", PEER_GONE)

MISSING: Final = (
    "{} is missing: `aulario witness --rebuild` makes it from what the servers know, `aulario init` a new cluster's"
)


class WitnessShell(Collector):
    """One witness process around its core; a `Participant` of the loop, and its metrics."""

    def __init__(
        self, config: ClusterConfig, loop: Loop, context: sockets.Context, authenticator: Authenticator
    ) -> None:
        self._config = config
        self._path = register_path(config.witness.data)
        stored = register_file.load(self._path)
        if stored is None:
            raise LogMissing(MISSING.format(self._path))
        register = unpack_register(stored)
        if register.cluster_id != config.cluster_id:
            raise WrongCluster(f"{self._path} belongs to cluster {register.cluster_id!r}, not to {config.cluster_id!r}")
        register_file.save(self._path, stored)  # a crash may have left it visible and not durable
        names = [server.name for server in config.servers]
        self.core = Witness(register, protocol_timing(config.timing), read_clock().boot_us, names)
        self.checkpoints = WitnessCheckpoints(config, lambda: self._epoch)
        self.undelivered = 0
        self._loop = loop
        self._context = context
        self._authenticator = authenticator
        self._door: Door | None = None
        self._open()

    def deadline(self) -> int | None:
        """It only ever answers, and looks at the keys."""
        return self._authenticator.deadline()

    def on_turn(self, now: Instant) -> None:
        """Everything is said as soon as it is asked."""
        if self._authenticator.tick(now):
            reopen(self._loop, self._close_door, self._open)

    def close(self) -> None:
        """Give the socket back."""
        self.checkpoints.close()
        self._close_door()

    @property
    def _epoch(self) -> int:
        assert self.core.register is not None
        return self.core.register.epoch

    def _close_door(self) -> None:
        if self._door is not None:
            self._door.close()
            self._door = None

    def _open(self) -> None:
        router = sockets.witness_router(self._context, self._config.witness.endpoint, self._authenticator.security)
        self._door = Door(roles.WITNESS, router, self._authenticator, self._loop, self._context, self._on_ready)

    def _on_ready(self, _: Instant) -> None:
        assert self._door is not None
        for received in self._door.messages():
            route, session, frames = received.route, received.session, received.frames
            now = self._loop.clock()  # after it was received: what waited while this process was frozen is old (R16)
            try:
                message = unpack(frames[0]) if len(frames) == 1 else None
            except RemoteProtocolError:
                message = None
            if message is None:
                self.core.ignored["malformed"] += 1
                continue
            if session.peer is not None and not roles.may_say(roles.WITNESS, session.peer.principal, message):
                self._door.refuse(session, IDENTITY, type(message).__name__)
                continue
            for told in self.checkpoints.on_message(route, message, now):
                self._reply(session, pack(told))
            if isinstance(message, Checkpointed):
                continue
            for effect in self.core.step(message, now.boot_us):
                self._carry_out(effect, session)

    def _carry_out(self, effect: WitnessEffect, session: Session) -> None:
        match effect:
            case Save(register):
                register_file.save(self._path, register.pack())
                logger().info(
                    "register changed",
                    epoch=register.epoch,
                    primary=register.primary.node,
                    in_sync=[member.node for member in register.in_sync],
                )
            case Reply(_, message):
                self._reply(session, pack(message))
            case Halt(_, sentence):
                raise Halted(f"{self._path}: {sentence}")

    def _reply(self, session: Session, payload: bytes) -> None:
        assert self._door is not None
        if self._door.send(session, payload) in (PEER_GONE, PEER_FULL):
            self.undelivered += 1

    def status(self) -> dict[str, Any]:
        """The object of /status."""
        register = self.core.register
        assert register is not None
        return {
            "kind": "witness",
            "pid": os.getpid(),
            "endpoint": self._config.witness.endpoint,
            "data": str(self._config.witness.data),
            "cluster_id": register.cluster_id,
            "epoch": register.epoch,
            "primary": register.primary.node,
            "in_sync": [member.node for member in register.in_sync],
        }

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for."""
        register = self.core.register
        assert register is not None
        for name, help_, value in (
            ("rsm_epoch", "Epoch of the register.", register.epoch),
            ("rsm_in_sync", "Nodes whose copy a commit needs.", len(register.in_sync)),
        ):
            gauge = GaugeMetricFamily(name, help_, labels=["node"])
            gauge.add_metric(["witness"], value)
            yield gauge
        yield CounterMetricFamily("rsm_register_changes", "Changes of the register.", value=self.core.changes)
        whys = dict.fromkeys(SHELL_WHYS + WITNESS_WHYS, 0)
        ignored = dict(self.core.ignored) | dict(self.checkpoints.keeper.ignored) | {PEER_GONE: self.undelivered}
        yield ignored_family((whys | ignored).items())


def run(config: ClusterConfig) -> None:
    """Run the witness until SIGTERM or SIGINT.

    Raises LogMissing, LogDamaged, LogInUse, WrongCluster, LogWriteFailed, KeysError, TooFewDescriptors,
    BindFailed, each with one sentence.
    """
    if not config.witness.data.is_dir():
        raise LogMissing(MISSING.format(config.witness.data))
    security = security_of(config, principals.WITNESS)
    lock = DirectoryLock(config.witness.data)
    loop, context = Loop(), sockets.context()
    authenticator = Authenticator(security, loop, context, open_rooms(roles.WITNESS))
    shell = WitnessShell(config, loop, context, authenticator)
    host, port = http_address(config.witness.http)
    loop.stop_on_signals()  # before anybody can see that it is there, and end it
    exporter = Exporter(host, port, status=shell.status, registry=registry_of(shell, authenticator.refusals))
    logger().info("witness started", endpoint=config.witness.endpoint, epoch=shell.status()["epoch"])
    run_process(loop, shell, exporter.close, shell.close, authenticator.close, loop.close, context.term, lock.release)
    logger().info("witness stopped")
