"""A server process: primary or backup, a role at run time. A thin shell around the replica (es.replication)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import zmq

from es.errors import Halted, LogDamaged, WrongCluster
from es.log.base import EventLog
from es.log.lmdb_log import LmdbLog
from es.log.verify import verify_in_child
from es.replication.effects import (
    Answers,
    Committed,
    Effect,
    Emit,
    Halt,
    Persist,
    Publish,
    RoleChanged,
    Tell,
)
from es.replication.instant import Instant
from es.replication.messages import Checkpointed, Message
from es.replication.replica import Replica
from es.replication.transitions import Role
from nodes import sockets
from nodes.checkpoints.issuer import Checkpoints
from nodes.config.catalog_file import load_catalog
from nodes.config.cluster import ClusterConfig, ServerConfig, http_address
from nodes.config.protocol_timing import protocol_timing
from nodes.exporter import Exporter, registry_of
from nodes.logs import logger
from nodes.reopening import reopen
from nodes.security import principals, roles
from nodes.security.authenticator import Authenticator
from nodes.security.crowd import open_rooms
from nodes.security.curve import security_of
from nodes.security.door import PEER_FULL, Door
from nodes.server.broker import Broker
from nodes.server.frontend import Frontend
from nodes.server.heartbeats import Heartbeats
from nodes.server.kernel_metrics import KernelMetrics
from nodes.server.links import Links
from nodes.server.log_writer import LogWriter
from nodes.server.metrics import OVERLOAD, ServerMetrics
from nodes.shell import POLL_MS_MAX, Loop, read_clock, run_process
from nodes.timing_file import TimingWriter
from projections.rooms import machine
from projections.rooms.commands import RaiseAlert
from projections.rooms.machine import Rooms

DOORS: Final = (roles.REQUESTS, roles.HEARTBEATS, roles.BATCHES, roles.BEACONS, roles.REPAIR)

OVERLOAD_REFUSALS: Final = 100
"""BUSY refusals within one second that raise an alert (A13), at most once in OVERLOAD_QUIET_US."""

OVERLOAD_QUIET_US: Final = 10_000_000

WAITING_SAID_US: Final = 5_000_000
"""How often a node says what it waits for while nobody leads."""


class ServerShell:
    """One server process; a `Participant` of the loop. It carries out the replica's effects, in their order."""

    def __init__(
        self,
        config: ClusterConfig,
        own: ServerConfig,
        log: EventLog,
        loop: Loop,
        context: sockets.Context,
        authenticator: Authenticator,
    ) -> None:
        self._config = config
        self._own = own
        self._loop = loop
        self._context = context
        self._authenticator = authenticator
        self._checkpoints = Checkpoints(config, own, log)
        rooms = Rooms(
            load_catalog(config.catalog),
            hold_ms=config.timing.ack_timeout_ms,
            terms=None if config.terms is None else frozenset(config.terms),
        )
        self.replica = Replica(log, [rooms], protocol_timing(config.timing), read_clock())
        patterns = {faculty.id: faculty.pattern for faculty in config.faculties}
        self.metrics = ServerMetrics(self.replica, patterns, (config.term, *(config.terms or ())))
        self.kernel_metrics = KernelMetrics(own.name, self.replica, log.bytes_used, own.data, read_clock())
        self._writer = LogWriter(log, own.data / "quarantine", self.kernel_metrics.observe_fsync)
        self._links = Links(config, own, loop, context, authenticator, self._on_message)
        self._heartbeats = Heartbeats(
            own.name,
            own.requests,
            self.replica,
            config.timing.hb_interval_ms * 1_000,
            is_central=own.name == config.preferred,
        )
        self._broker = Broker(config.workers, own.data, loop, context)
        requests = {server.name: server.requests for server in config.servers}
        self._timings = TimingWriter(own.data)
        self._frontend = Frontend(
            self.replica,
            self._broker,
            self.metrics,
            requests_of=requests.get,
            workers_for_all=config.workers_for == "all",
            keep_timings=self._timings.add,
            limits=config.limits,
        )
        parts = (self.replica.node, self._links, self._frontend, self._broker, self._checkpoints.keeper)
        self.kernel_metrics.ignored_by = [lambda part=part: dict(part.ignored) for part in parts]  # type: ignore[misc]
        self.kernel_metrics.ignored_by.append(lambda: {"timing lost": self._timings.lost})
        self._overload_checked_us = 0
        self._overload_from = 0
        self._overload_quiet_us = 0
        self._say_waiting_us = read_clock().boot_us + WAITING_SAID_US
        loop.register(self._writer.ready_fd, self._on_written)
        self._doors: list[Door] = []
        self._open_doors()

    def _open_doors(self) -> None:
        """Listen to clients: the frontend's door and the heartbeats'."""
        context, own, security = self._context, self._own, self._authenticator.security
        door = partial(Door, authenticator=self._authenticator, loop=self._loop, context=context)
        self._beats = door(roles.HEARTBEATS, sockets.heartbeat_pub(context, own.heartbeats, security))
        self._doors.append(self._beats)
        requests = sockets.request_router(context, own.requests, security)
        self._frontend.door = door(roles.REQUESTS, requests, on_ready=self._frontend.on_ready)
        self._doors.append(self._frontend.door)

    def _open_sockets(self) -> None:
        self._links.open()
        self._open_doors()

    def _close_sockets(self) -> None:
        while self._doors:
            self._doors.pop().close()
        self._links.close()

    # -- the loop

    def deadline(self) -> int | None:
        """The earliest of what its parts wish for."""
        now = read_clock()
        backlog_us = self._frontend.deadline()
        return min(
            now.boot_us + POLL_MS_MAX * 1_000 if backlog_us is None else backlog_us,
            self.replica.deadline(now),
            self._broker.deadline(),
            self._heartbeats.deadline(),
            self._authenticator.deadline(),
            self._checkpoints.deadline(self.replica.node.chain.durable.seq),
        )

    def on_turn(self, now: Instant) -> None:
        """Let in what a turn has room for, seal it, act on time, transmit."""
        self._frontend.admit(now)
        self._carry_out(self.replica.flush(now), now)
        if now.boot_us >= self.replica.deadline(now):
            self._carry_out(self.replica.tick(now), now)
        self._broker.tick(now)
        self._links.tick(now)
        for beat in self._heartbeats.due(now):
            self._publish(beat)
        self._watch_overload(now)
        self._say_what_is_missing(now)
        self._frontend.flush(now)
        self._send(self._checkpoints.on_turn(now, self.replica.node.chain.durable.seq))
        self.kernel_metrics.on_turn(now)
        if self._authenticator.tick(now):  # what was under way on the sockets is repaired or asked again
            reopen(self._loop, self._close_sockets, self._open_sockets)

    def _on_message(self, message: Message, sender: str, now: Instant) -> None:
        if isinstance(message, Checkpointed):
            self._send(self._checkpoints.on_message(message, now))
            return
        self._carry_out(self.replica.step(message, sender, now), now)

    def _on_written(self, now: Instant) -> None:
        self._carry_out(self.replica.persisted(self._writer.finished(), now), now)

    def _carry_out(self, effects: Sequence[Effect], now: Instant) -> None:
        for effect in effects:
            match effect:
                case Persist():
                    self._writer.submit(effect)
                case Publish():
                    self._links.publish(effect)
                case Answers():
                    self.kernel_metrics.on_answers(effect, now)
                    self._frontend.on_answers(effect, now)
                case Committed(batches):
                    self._frontend.on_committed(batches)
                    self._checkpoints.on_committed(batches, now)
                case Tell():
                    self._links.tell(effect)
                case Emit():
                    self._links.emit(effect)
                case RoleChanged():
                    self._on_role(effect, now)
                case Halt(_, sentence):
                    raise Halted(sentence)

    def _send(self, said: Iterable[Tell]) -> None:
        for one in said:
            self._links.tell(one)

    def _on_role(self, change: RoleChanged, now: Instant) -> None:
        self.kernel_metrics.on_role(change, now)
        self._heartbeats.hasten()
        logger().info(
            "role changed", before=change.before.value, role=change.after.value, epoch=change.epoch, why=change.reason
        )

    # -- heartbeats and overload

    def _publish(self, beat: bytes) -> None:
        try:
            self._beats.socket.send(beat, zmq.NOBLOCK)
        except zmq.Again:
            self._frontend.ignored[PEER_FULL] += 1

    def _watch_overload(self, now: Instant) -> None:
        if now.boot_us - self._overload_checked_us < 1_000_000:
            return
        self._overload_checked_us = now.boot_us
        refusals = self._frontend.busy_refusals - self._overload_from
        self._overload_from = self._frontend.busy_refusals
        if refusals >= OVERLOAD_REFUSALS and now.boot_us >= self._overload_quiet_us:
            self._overload_quiet_us = now.boot_us + OVERLOAD_QUIET_US
            logger().warning("overloaded", refused_in_a_second=refusals, **self._frontend.sent_most())
            self.replica.submit(None, machine.NAME, RaiseAlert(OVERLOAD, None), now)
        self._frontend.tally_anew()

    def _say_what_is_missing(self, now: Instant) -> None:
        """A node that can do nothing says why, once in a while."""
        if now.boot_us >= self._say_waiting_us:
            self._say_waiting_us = now.boot_us + WAITING_SAID_US
            if (why := self.replica.waits_for(now)) is not None:
                logger().warning("waiting", why=why, epoch=self.replica.node.epoch)

    # -- what others see

    def status(self) -> dict[str, Any]:
        """The object of /status."""
        own = self._own
        return {
            "kind": "server",
            "name": own.name,
            "pid": os.getpid(),
            "cluster_id": self._config.cluster_id,
            "requests": own.requests,
            "heartbeats": own.heartbeats,
            "data": str(own.data),
            **self.metrics.status(),
            "signed": self._checkpoints.signed_seq,
            "workers": self._broker.pids,
        }

    def ready(self) -> bool:
        """True if this node can serve or take over: it leads, or follows in sync."""
        node = self.replica.node
        return self.replica.active or (node.register is not None and node.me in node.register.in_sync)

    def backup(self, lag_events: int | None) -> bool:
        """True if this node is a backup at most that far behind."""
        near = lag_events is None or self.replica.lag_events <= lag_events
        return self.replica.leading is None and self.ready() and near

    def close(self) -> None:
        """Write down how far the log is committed if the end is an orderly one, sign the last event, end the workers,
        finish what is being written, give all sockets back."""
        now = read_clock()
        if self._loop.ended_well:
            self._carry_out(self.replica.stop(now), now)
        is_halted = self.replica.role is Role.HALTED  # then what it holds is not to be vouched for
        self._send(self._checkpoints.last(now, 0 if is_halted else self.replica.node.chain.durable.seq))
        self._loop.unregister(self._writer.ready_fd)
        self._broker.close()
        self._checkpoints.close()
        self._close_sockets()
        self._writer.close()
        self._timings.close()


def open_log(config: ClusterConfig, own: ServerConfig) -> LmdbLog:
    """Verify a server's log and open it.

    Raises LogDamaged, LogMissing, LogInUse, WrongCluster or PermissionError, each with one sentence.
    """
    try:
        verify_in_child(own.data)
    except LogDamaged as error:
        raise LogDamaged(
            f"{error}; nothing was changed: to rebuild it from its peer run "
            f"`aulario server {own.name} --rebuild --dir {own.data.parent}`"
        ) from None
    log = LmdbLog.open(own.data)
    identity = log.identity
    if (identity.cluster_id, identity.node) != (config.cluster_id, own.name):
        log.close()
        raise WrongCluster(
            f"{own.data} belongs to server {identity.node!r} of cluster {identity.cluster_id!r}, "
            f"not to {own.name!r} of {config.cluster_id!r}"
        )
    return log


def run(config: ClusterConfig, name: str) -> None:
    """Run one server until SIGTERM or SIGINT.

    Raises what `open_log` does, KeysError, LogContradicted, BindFailed, LogWriteFailed, Halted, each with one sentence.
    """
    own = config.server(name)
    log = open_log(config, own)
    security = security_of(config, principals.server(name))
    loop, context = Loop(), sockets.context()
    authenticator = Authenticator(security, loop, context, open_rooms(*DOORS))
    shell = ServerShell(config, own, log, loop, context, authenticator)
    host, port = http_address(own.http)
    loop.stop_on_signals()  # before anybody can see that it is there, and end it
    exporter = Exporter(
        host,
        port,
        status=shell.status,
        registry=registry_of(shell.kernel_metrics, shell.metrics, authenticator.refusals),
        ready=shell.ready,
        primary=lambda: shell.replica.active,
        backup=shell.backup,
    )
    logger().info("server started", requests=own.requests, head=log.head().seq, epoch=shell.replica.node.epoch)
    run_process(loop, shell, exporter.close, shell.close, authenticator.close, loop.close, context.term, log.close)
    logger().info("server stopped")
