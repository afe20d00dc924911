"""What both kinds of faculty process share: programs in front, heartbeats beside, metrics, and the core
whose effects they carry out. They differ only in the uplink, the way messages reach a server.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol
from uuid import uuid4

from es.log.directory_lock import DirectoryLock
from es.replication.instant import Instant
from nodes import sockets, wire
from nodes.calls import Calls
from nodes.config.cluster import ClusterConfig, FacultyConfig, http_address
from nodes.exporter import Exporter, registry_of
from nodes.faculty import program_registry
from nodes.faculty.core import FacultyCore, FacultySettings
from nodes.faculty.effects import (
    Abandon,
    AnswerProgram,
    Effect,
    Forbidden,
    OutageTimed,
    SavePrograms,
    ServerChanged,
    Submit,
    Timed,
)
from nodes.faculty.metrics import FacultyMetrics
from nodes.faculty.program_backlogs import BACKLOG_FULL, ProgramBacklogs, Route
from nodes.faculty.program_registry import ProgramRegistry
from nodes.logs import logger
from nodes.reopening import reopen
from nodes.security import principals, roles
from nodes.security.authenticator import Authenticator
from nodes.security.crowd import open_rooms
from nodes.security.curve import security_of
from nodes.security.door import PEER_FULL, PEER_GONE, Door, Session
from nodes.security.refusals import IDENTITY, REVOKED
from nodes.shell import Loop, drain, run_process
from nodes.sockets import Context, Socket
from nodes.timing_file import TimingWriter
from nodes.wire.beats import NODE_TOPIC, decode_node_beat
from nodes.wire.schema import Dropped, Invalid
from projections.rooms.commands import Answer, Reserve

SHELL_WHYS: Final = (
    *wire.WHYS, "bad_frames", "bad_field", "bad_beat", "not_its_own", "program_gone", "server_full", "timing_lost",
    BACKLOG_FULL, "called_again",
)  # fmt: skip


REST_US: Final = 4_000
"""How long programs are not read after somebody had no room for what he sent: he would be refused again, and that costs
as much as it costs to do something."""


class Uplink(Protocol):
    """How messages reach the servers. Nothing in it blocks."""

    def submit(self, transaction_id: str, server: str, message: Reserve | Answer) -> None:
        """Send, or replace what was sent for this transaction."""
        ...

    def abandon(self, transaction_id: str) -> None:
        """Forget this transaction."""
        ...

    def flush(self) -> None:
        """The turn ends: what is gathered leaves now."""
        ...

    def close(self) -> None:
        """Give all sockets back."""
        ...


class FacultyShell:
    """One faculty process around its core; a `Participant` of the loop."""

    def __init__(
        self,
        config: ClusterConfig,
        faculty: FacultyConfig,
        pattern: str,
        loop: Loop,
        context: Context,
        authenticator: Authenticator,
        make_uplink: Callable[[FacultyShell], Uplink],
    ) -> None:
        self.loop = loop
        self.context = context
        self._authenticator = authenticator
        self.security = authenticator.security
        self._config = config
        self.servers = {server.name: server.requests for server in config.servers}
        self._faculty = faculty
        self._pattern = pattern
        self.core = FacultyCore(settings_of(config, faculty), _programs_of(faculty), _draw_id)
        self.metrics = FacultyMetrics(self.core, faculty.id, pattern, SHELL_WHYS)
        self._backlogs: ProgramBacklogs[Session] = ProgramBacklogs(
            self.core, config.limits, self.metrics.ignored, self._turns_away, pattern
        )
        self._timings = TimingWriter(faculty.data)
        self._make_uplink = make_uplink
        self.calls = Calls(loop, context)
        self.endpoint = faculty.endpoint
        self._is_open = False
        self._open()

    def _open(self) -> None:
        """Listen to programs, and connect to the servers."""
        router = sockets.program_router(self.context, self.endpoint, self.security)
        self.endpoint = sockets.bound_endpoint(router)
        self._programs = Door(roles.PROGRAMS, router, self._authenticator, self.loop, self.context, self._on_programs)
        self._beats = {
            server.name: sockets.heartbeat_sub(
                self.context, server.heartbeats, NODE_TOPIC, principals.server(server.name), self.security
            )
            for server in self._config.servers
        }
        for server, beats in self._beats.items():
            self.loop.register(beats, partial(self._on_beats, server, beats))
            self.calls.keep(beats)
        self._uplink = self._make_uplink(self)
        self._is_open = True

    def status(self) -> dict[str, Any]:
        """The object of /status."""
        return {
            "kind": "faculty",
            "id": self._faculty.id,
            "name": self._faculty.name,
            "pid": os.getpid(),
            "cluster_id": self._config.cluster_id,
            "pattern": self._pattern,
            "endpoint": self._faculty.endpoint,
            "follows": self.core.follows,
            "epoch": self.core.epoch,
            "in_flight": self.core.in_flight,
        }

    def deadline(self) -> int | None:
        """See Participant."""
        parts = self.core, self._backlogs, self._programs, self._authenticator
        wishes = [part.deadline() for part in parts]
        return min(wish for wish in wishes if wish is not None)

    def on_turn(self, now: Instant) -> None:
        """See Participant."""
        self._programs.tick(now)
        self._carry_out(self._backlogs.admit(now))
        self._carry_out(self.core.tick(now))
        self._uplink.flush()
        self.metrics.ignored["timing_lost"] = self._timings.lost
        self.metrics.ignored["called_again"] += self.calls.tick(now)
        if self._authenticator.tick(now):
            reopen(self.loop, self._close_sockets, self._open)

    def on_payload(self, server: str, payload: bytes, now: Instant) -> None:
        """Bytes from a server."""
        for message in wire.decode_answers(payload).messages:
            if isinstance(message, Dropped):
                self.metrics.ignored[message.why] += 1
            elif isinstance(message, Invalid):
                self.metrics.ignored["bad_field"] += 1
            else:
                self._carry_out(self.core.on_server_message(server, message, now))

    def close(self) -> None:
        """Give all sockets back, write the last timings."""
        self._close_sockets()
        self._timings.close()

    def _close_sockets(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._uplink.close()
        self._programs.close()
        for beats in self._beats.values():
            self.loop.unregister(beats)
            self.calls.drop(beats)
            beats.close()

    def _on_programs(self, now: Instant) -> None:
        refused = self._backlogs.refused
        for received in self._programs.messages(self._backlogs.messages_max):
            if len(received.parts) != 2 or len(received.parts[0]):
                self.metrics.ignored["bad_frames"] += 1
                continue
            session, payload = received.session, received.content(1)
            principal = None if session.peer is None else session.peer.principal
            speaks_for = None if principal is None else roles.program_id_of(principal)
            self._carry_out(self._backlogs.on_payload(session, principal or session, speaks_for, payload, now))
        if self._backlogs.refused != refused:
            self._programs.rest(now.boot_us + REST_US)

    def _turns_away(self, session: Session) -> bool:
        """What a key said that was revoked while it waited does not count."""
        is_revoked = self._programs.is_revoked(session)
        if is_revoked:
            self._programs.refuse(session, REVOKED)
        return is_revoked

    def _on_beats(self, server: str, beats: Socket, now: Instant) -> None:
        for frames in drain(beats):
            beat = decode_node_beat(frames[0]) if len(frames) == 1 else None
            if beat is None:
                self.metrics.ignored["bad_beat"] += 1
            elif beat.node != server:  # it speaks for itself alone (A18)
                self.metrics.ignored["not_its_own"] += 1
            else:
                self._carry_out(self.core.on_beat(beat, now))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Submit(transaction_id, server, message):
                    self._uplink.submit(transaction_id, server, message)
                case Timed():
                    self._keep(effect)
                case OutageTimed(phase, us):
                    self.metrics.observe_outage(phase, us)
                case AnswerProgram(Route() as route, res):
                    self._answer(route, wire.encode(res, route.encoding))
                case Abandon(transaction_id):
                    self._uplink.abandon(transaction_id)
                case ServerChanged(previous, current, epoch):
                    logger().info("server changed", previous=previous, current=current, epoch=epoch)
                case Forbidden(Route() as route, why):
                    self._programs.refuse(route.session, IDENTITY, why)
                case SavePrograms(content):
                    program_registry.save(self._faculty.data, content)

    def _keep(self, timed: Timed) -> None:
        leg, us, transaction_id, program_id, ended_us, status, code = timed
        self.metrics.observe(leg, us)
        of = self._faculty.id, program_id, transaction_id
        self._timings.add([(leg, self._pattern, status, *of, ended_us, us, code)])

    def _answer(self, route: Route[Any], payload: bytes) -> None:
        self._backlogs.on_answered(route)
        if self._programs.send(route.session, b"", payload) in (PEER_GONE, PEER_FULL):
            self.metrics.ignored["program_gone"] += 1


def settings_of(config: ClusterConfig, faculty: FacultyConfig) -> FacultySettings:
    """What the core needs of the configuration."""
    timing = config.timing
    return FacultySettings(
        faculty_id=faculty.id,
        name=faculty.name,
        term=config.term,
        servers={server.name: server.requests for server in config.servers},
        retry_us=timing.retry_ms * 1_000,
        answer_us=timing.answer_ms * 1_000,
        silence_us=timing.hb_interval_ms * timing.hb_liveness * 1_000,
    )


def run_faculty(
    config: ClusterConfig, faculty_id: int, pattern: str, make_uplink: Callable[[FacultyShell], Uplink]
) -> None:
    """Run one faculty process until SIGTERM or SIGINT.

    Raises LogInUse, KeysError, TooFewDescriptors, BindFailed, ExporterBindFailed, RegistryDamaged, OSError, each with
    one sentence.
    """
    faculty = config.faculty(faculty_id)
    security = security_of(config, principals.faculty(faculty_id))
    faculty.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DirectoryLock(faculty.data)  # two processes would give two programs one number
    loop, context = Loop(), sockets.context()
    authenticator = Authenticator(security, loop, context, open_rooms(roles.PROGRAMS))
    shell = FacultyShell(config, faculty, pattern, loop, context, authenticator, make_uplink)
    registry = registry_of(shell.metrics, authenticator.refusals)
    host, port = http_address(faculty.http)
    loop.stop_on_signals()  # before anybody can see that it is there, and end it
    exporter = Exporter(
        host, port, status=shell.status, registry=registry, ready=lambda: shell.core.follows is not None
    )
    logger().info("faculty started", faculty=faculty_id, pattern=pattern, endpoint=shell.endpoint)
    run_process(loop, shell, exporter.close, shell.close, authenticator.close, loop.close, context.term, lock.release)
    logger().info("faculty stopped", faculty=faculty_id)


def _programs_of(faculty: FacultyConfig) -> ProgramRegistry:
    programs = program_registry.load(faculty.data)
    programs.adopt(faculty.programs)
    program_registry.save(faculty.data, programs.to_json())  # a number stays given, also if it is configured no more
    for configured, name in faculty.programs.items():
        if (program_id := programs.id_of(name)) != configured:
            logger().warning(  # a key for the configured number would speak for somebody else
                "a configured number is not its program's: numbers that were given stand",
                program=name, configured=configured, program_id=program_id,
            )  # fmt: skip
    return programs


def _draw_id() -> str:
    return str(uuid4())
