"""What a server has in front of its replica, on the virtual network: the production core of its door, the production
work of its workers, and its heartbeats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from es.replication.effects import Answers, Committed
from es.testing.cluster import Cluster, SimulatedNode
from nodes.server.admission import nobody
from nodes.server.frontend_core import FrontendCore
from nodes.server.heartbeats import Heartbeats
from nodes.server.jobs import decode_job, encode_job, pack, unpack
from nodes.server.metrics import ServerMetrics

ENDPOINTS = {"a": "tcp://127.0.0.1:5555", "b": "tcp://127.0.0.1:5556"}
CENTRAL = "a"
BEAT_US = 100_000
WORK_US = (50, 600)

ToPeer = Callable[[str, bytes, bytes], None]
"""(server, route, payload): a payload leaves for a connection."""


class VirtualServers:
    """Both servers' fronts. `to_peer` takes what they send to one connection, `on_beat` (server, frame) what they
    publish, `on_released` (faculty id, answer, seq) what their kernels say."""

    def __init__(
        self,
        cluster: Cluster,
        to_peer: ToPeer,
        on_beat: Callable[[str, bytes], None],
        on_released: Callable[[int, Any, int | None], None],
    ) -> None:
        self._cluster = cluster
        self._to_peer = to_peer
        self._on_beat = on_beat
        self._on_released = on_released
        self._fronts: dict[str, _Front] = {}
        cluster.on_answers = self._on_answers
        cluster.on_committed = self._on_committed
        for name in cluster.nodes:
            cluster.after(cluster.between(0, BEAT_US), self._beat, name)

    def receive(self, server: str, route: bytes, pattern: str, payload: bytes) -> None:
        """A payload arrives at a server's ROUTER."""
        self._cluster.run_at(server, self._on_payload, route, pattern, payload)

    def _on_payload(self, node: SimulatedNode, route: bytes, pattern: str, payload: bytes) -> None:
        front = self._front(node)
        front.core.on_payload(route, pattern, None, payload, self._cluster.clock(node.name))
        self._flush(node, front)

    def _on_answers(self, node: SimulatedNode, effect: Answers) -> None:
        for (_, faculty_id, *_), answer, seq in effect.answers:
            self._on_released(faculty_id, answer, seq)
        front = self._front(node)
        front.core.on_answers(effect, self._cluster.clock(node.name))
        self._flush(node, front)

    def _on_committed(self, node: SimulatedNode, committed: Committed) -> None:
        front = self._front(node)
        front.core.on_committed(committed.batches)
        self._flush(node, front)

    def _flush(self, node: SimulatedNode, front: _Front) -> None:
        while front.core.admit(self._cluster.clock(node.name)):
            pass  # turns without time between them
        for route, payload in front.core.flush():
            self._to_peer(node.name, route, payload)

    def _front(self, node: SimulatedNode) -> _Front:
        """The front of the process's present life."""
        front = self._fronts.get(node.name)
        if front is None or front.life != node.lives:
            front = self._fronts[node.name] = _Front(node, partial(self._work, node, node.lives))
        return front

    def _beat(self, name: str) -> None:
        cluster = self._cluster
        cluster.after(BEAT_US, self._beat, name)
        node = cluster.nodes[name]
        if node.replica is not None and node.paused_until_us <= cluster.now_us:
            for frame in self._front(node).heartbeats.due(cluster.clock(node.name)):
                self._on_beat(name, frame)

    # -- workers

    def _work(
        self, node: SimulatedNode, life: int, job: Callable[[], tuple[Any, ...]], done: Callable[..., None]
    ) -> None:
        """A worker process takes its time; what it says travels as bytes."""
        result = pack(job())
        delay_us = self._cluster.between(*WORK_US)
        self._cluster.after(delay_us, self._cluster.run_at, node.name, self._worked, life, result, done)

    def _worked(self, node: SimulatedNode, life: int, result: bytes, done: Callable[..., None]) -> None:
        if node.lives == life:
            done(*unpack(result), self._cluster.clock(node.name))
            self._flush(node, self._front(node))


def _nobody_is_asked(*refused: object) -> None:
    raise AssertionError(f"on the virtual network nobody is asked who he is: {refused}")


class _Front:
    """One life of one server's front. It is its own pool of workers (nodes.server.frontend_core), never full."""

    def __init__(self, node: SimulatedNode, work: Callable[..., None]) -> None:
        assert node.replica is not None
        name, replica = node.name, node.replica
        self.life = node.lives
        self._work = work
        self.core: FrontendCore[bytes] = FrontendCore(
            replica,
            self,
            ServerMetrics(replica),
            _nobody_is_asked,
            nobody,
            requests_of=ENDPOINTS.__getitem__,
            workers_for_all=False,
        )
        self.heartbeats = Heartbeats(name, ENDPOINTS[name], replica, BEAT_US, is_central=name == CENTRAL)

    def is_full(self, size_bytes: int) -> bool:
        return False

    def decode(self, payload: bytes, done: Callable[..., None]) -> None:
        """See Workers."""
        self._work(lambda: decode_job(payload), done)

    def encode(self, encoding: str, answers: list[tuple[Any, ...]], done: Callable[..., None]) -> None:
        """See Workers."""
        self._work(lambda: (encode_job(encoding, unpack(pack(answers))),), done)
