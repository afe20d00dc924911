"""The door of one simulated server: the production core, without sockets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from nodes import wire
from nodes.config.cluster import Limits
from nodes.security import principals
from nodes.security.principals import Principal
from nodes.server.frontend_core import FrontendCore
from nodes.server.jobs import decode_job, encode_job
from nodes.server.metrics import ServerMetrics
from nodes.wire.encoding import Encoding, whole
from nodes.wire.schema import CloseRequest, ReleaseRequest, ServerRequest
from projections.rooms.commands import Answer, Reserve
from tests.unit.nodes.simulated_server import SimulatedServers

ENDPOINTS = {"a": "tcp://127.0.0.1:5555", "b": "tcp://127.0.0.1:5565"}
SOL = Reserve("t1", 3, "Ingeniería", 1, "Sistemas", "2026-1", 2, 1)
ACK = Answer("t1", None, True)
LIB = ReleaseRequest("t1", 3, "the roof leaks")
CIE = CloseRequest("q1", "2026-1")


class Door:
    """The door of one simulated server. It is its own pool of workers, whose jobs wait until `work`."""

    def __init__(
        self,
        name: str = "a",
        workers_for_all: bool = False,
        faculties: Mapping[int, str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.servers = SimulatedServers()
        replica = self.servers.replica(name)
        self.metrics = ServerMetrics(replica, faculties)
        self.revoked: set[bytes] = set()
        self.turned_away: list[bytes] = []
        self.over: set[bytes] = set()
        self.core: FrontendCore[bytes] = FrontendCore(
            replica,
            self,
            self.metrics,
            lambda route, why: self.forbidden.append((route, why)),
            self._turns_away,
            is_over=self.over.__contains__,
            requests_of=ENDPOINTS.__getitem__,
            workers_for_all=workers_for_all,
            limits=limits,
        )
        self.forbidden: list[tuple[bytes, str]] = []
        self.full = False
        self.jobs: list[Callable[[], None]] = []

    def _turns_away(self, route: bytes) -> bool:
        if route in self.revoked:
            self.turned_away.append(route)
        return route in self.revoked

    def is_full(self, size_bytes: int) -> bool:
        return self.full

    def decode(self, payload: bytes, done: Callable[..., None]) -> None:
        self.jobs.append(lambda: done(*decode_job(payload), self.servers.now))

    def encode(self, encoding: str, answers: list[tuple[Any, ...]], done: Callable[..., None]) -> None:
        self.jobs.append(lambda: done(encode_job(encoding, tuple(answers)), self.servers.now))

    def say(
        self,
        *payloads: bytes,
        route: bytes = b"r",
        pattern: str = "async",
        faculty_id: int | None = None,
        peer: Principal | None = None,
    ) -> None:
        self.servers.run(lambda: self.take(*payloads, route=route, pattern=pattern, faculty_id=faculty_id, peer=peer))
        self.release()

    def take(
        self,
        *payloads: bytes,
        route: bytes = b"r",
        pattern: str = "async",
        faculty_id: int | None = None,
        peer: Principal | None = None,
    ) -> None:
        """Nothing follows from it yet."""
        for payload in payloads:
            self.come(payload, route=route, pattern=pattern, faculty_id=faculty_id, peer=peer)
        self.admit()

    def come(
        self,
        payload: bytes,
        route: bytes = b"r",
        pattern: str = "async",
        faculty_id: int | None = None,
        identity: Hashable | None = None,
        peer: Principal | None = None,
    ) -> None:
        """It waits. Who comes with a key is `peer`, or that faculty."""
        peer = peer if faculty_id is None else principals.faculty(faculty_id)
        self.core.on_payload(route, pattern, peer, payload, self.servers.now, identity)

    def work(self) -> None:
        jobs, self.jobs = self.jobs, []
        self.servers.run(lambda: [job() for job in jobs])
        self.servers.run(self.admit)
        self.release()

    def admit(self) -> None:
        """As many turns as it takes."""
        while self.core.admit(self.servers.now):
            pass

    def release(self) -> None:
        """Hand what the kernel gave to the core, as the shell does."""
        for answers in self.servers.answers:
            self.core.on_answers(answers, self.servers.now)
        for committed in self.servers.committed:
            self.core.on_committed(committed.batches)
        self.servers.answers.clear()
        self.servers.committed.clear()

    def hear(self) -> list[tuple[bytes, list[Any]]]:
        return [(route, wire.decode_answers(payload).messages) for route, payload in self.core.flush()]


def msgpack(*messages: ServerRequest) -> bytes:
    return whole([wire.encode(message, Encoding.MSGPACK) for message in messages], Encoding.MSGPACK)
