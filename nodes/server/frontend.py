"""A server's door for faculties and operators: both patterns on one ROUTER (A5), around the pure core
(nodes.server.frontend_core).

DEALER peers are decoded in the sequencer's process; REQ peers go through the pool of workers (unless
`workers_for` says that all do).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from es.codec import Batch
from es.replication.effects import Answers
from es.replication.instant import Instant
from es.replication.replica import Replica
from nodes.config.cluster import Limits
from nodes.logs import logger
from nodes.security.door import PEER_FULL, PEER_GONE, Door, Session
from nodes.security.refusals import IDENTITY, REVOKED
from nodes.server.broker import Broker
from nodes.server.frontend_core import FrontendCore, KeepTimings
from nodes.server.metrics import ServerMetrics
from projections.rooms.commands import BUSY

SHELL_WHYS: Final = ("bad frames", PEER_GONE, PEER_FULL)


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
        keep_timings: KeepTimings,
        limits: Limits,
    ) -> None:
        self._broker = broker
        self._metrics = metrics
        self._core: FrontendCore[Session] = FrontendCore(
            replica,
            broker,
            metrics,
            self._refuse,
            self._turns_away,
            is_over=self._is_over,
            requests_of=requests_of,
            workers_for_all=workers_for_all,
            keep_timings=keep_timings,
            limits=limits,
        )
        self.ignored = self._core.ignored
        self.ignored.update(dict.fromkeys(SHELL_WHYS, 0))

    @property
    def busy_refusals(self) -> int:
        """How many requests were refused for lack of room."""
        return self._metrics.refusals[BUSY]

    def on_ready(self, now: Instant) -> None:
        """Read what came to the door, within bounds. Which pattern a peer speaks is told by its socket's type, who
        it is by its key."""
        for received in self.door.messages(self._core.messages_max):
            session = received.session
            if len(received.parts) != 2 or len(received.parts[0]):
                self.ignored["bad frames"] += 1
            else:
                pattern = "lbb" if session.socket_type == "REQ" else "async"
                payload = received.content(1)
                principal = None if session.peer is None else session.peer.principal
                self._core.on_payload(session, pattern, principal, payload, now, principal)

    def tally_anew(self) -> None:
        """Count from now on what each client sends."""
        self._core.tally_anew()

    def sent_most(self) -> Mapping[str, object]:
        """Who has sent the most since then, and how much, for a log: an address stands for who has no key."""
        most = self._core.sent_most
        if most is None:
            return {}
        who = most.identity.address if isinstance(most.identity, Session) else most.identity
        return {"sent_most": str(who), "sent_bytes": most.sent_bytes}

    def deadline(self) -> int | None:
        """Boot time in µs at which `admit` can go on; None: nothing waits that could enter."""
        return self._core.deadline()

    def admit(self, now: Instant) -> None:
        """Let a turn's portion of what waits enter."""
        self._core.admit(now)

    def _refuse(self, session: Session, why: str) -> None:
        self.door.refuse(session, IDENTITY, why)

    def _turns_away(self, session: Session) -> bool:
        """What a key said that was revoked while it waited does not count."""
        is_revoked = self.door.is_revoked(session)
        if is_revoked:
            self.door.refuse(session, REVOKED)
        return is_revoked

    def _is_over(self, session: Session) -> bool:
        return self.door.is_over(session)

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
        for session, payload in self._core.flush():
            why = self.door.send(session, b"", payload)
            if why in SHELL_WHYS:
                self.ignored[why] += 1
