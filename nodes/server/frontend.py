"""A server's door for faculties: both patterns on one ROUTER (A5), around the pure core (nodes.server.frontend_core).

DEALER peers are decoded in the sequencer's process; REQ peers go through the pool of workers (unless
`workers_for` says that all do).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import zmq

from es.codec import Batch
from es.replication.effects import Answers
from es.replication.instant import Instant
from es.replication.replica import Replica
from nodes.config.cluster import Limits
from nodes.logs import logger
from nodes.security.door import Door
from nodes.security.refusals import IDENTITY
from nodes.server.broker import Broker
from nodes.server.frontend_core import FrontendCore, KeepTiming
from nodes.server.metrics import ServerMetrics
from nodes.shell import CLIENT_MESSAGES_MAX
from projections.rooms.commands import BUSY

SHELL_WHYS: Final = ("bad frames", "peer gone", "peer full")


class Frontend:
    """Takes what clients send through `door`, gives what they are answered. `flush` ends a turn."""

    door: Door

    def __init__(
        self,
        replica: Replica,
        broker: Broker,
        metrics: ServerMetrics,
        *,
        requests_of: Callable[[str], str | None],
        workers_for_all: bool,
        keep_timing: KeepTiming,
        limits: Limits,
    ) -> None:
        self._broker = broker
        self._metrics = metrics
        self._core = FrontendCore(
            replica,
            broker,
            metrics,
            self._refuse,
            requests_of=requests_of,
            workers_for_all=workers_for_all,
            keep_timing=keep_timing,
            limits=limits,
        )
        self.ignored = self._core.ignored
        self.ignored.update(dict.fromkeys(SHELL_WHYS, 0))

    @property
    def busy_refusals(self) -> int:
        """How many requests were refused for lack of room."""
        return self._metrics.refusals[BUSY]

    def on_ready(self, now: Instant) -> None:
        """Read what came to the door, within bounds. Which pattern a peer speaks is told by its socket's type, for
        which faculty by its key."""
        for route, session, frames in self.door.messages(CLIENT_MESSAGES_MAX):
            if len(frames) != 2 or frames[0]:
                self.ignored["bad frames"] += 1
            else:
                pattern = "lbb" if session.socket_type == "REQ" else "async"
                peer, payload = session.peer, frames[1]
                faculty_id = None if peer is None else int(peer.principal.name)
                self._core.on_payload(route, pattern, faculty_id, payload, now, peer)

    def deadline(self) -> int | None:
        """Boot time in µs at which `admit` can go on; None: nothing waits that could enter."""
        return self._core.deadline()

    def admit(self, now: Instant) -> None:
        """Let a turn's portion of what waits enter."""
        self._core.admit(now)

    def _refuse(self, route: bytes, why: str) -> None:
        self.door.refuse(route, IDENTITY, why)

    def on_answers(self, effect: Answers, now: Instant) -> None:
        """What the kernel releases: committed, or read from committed state."""
        self._core.on_answers(effect, now)

    def on_committed(self, batches: Iterable[Batch]) -> None:
        """Push expiries to those who wait for them, and say the alerts aloud (A13)."""
        for alert in self._core.on_committed(batches):
            logger().warning("alert", code=alert.code, term=alert.term, seq=alert.seq)

    def flush(self, now: Instant) -> None:
        """Send what the turn gathered."""
        self._broker.dispatch(now.boot_us)
        for route, payload in self._core.flush():
            self._send(route, payload)

    def _send(self, route: bytes, payload: bytes) -> None:
        try:
            self.door.socket.send_multipart((route, b"", payload), zmq.NOBLOCK)
        except zmq.Again:
            self.ignored["peer full"] += 1
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.ignored["peer gone"] += 1
