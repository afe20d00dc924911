"""Refusals of peers and of what they say: each counted by door and reason, each logged up to a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nodes.logs import logger
from nodes.security import roles

LOGGED_A_SECOND_MAX: Final = 20
"""Refusals told one by one; those of the same second beyond are told as a number. Who floods a door must not fill the
disk."""

UNKNOWN_KEY: Final = "unknown_key"
WRONG_ROLE: Final = "wrong_role"
NOT_CONFIGURED: Final = "not_configured"
REVOKED: Final = "revoked"
IDENTITY: Final = "identity"
HANDSHAKE: Final = "handshake"
SILENT: Final = "silent"
LEFT: Final = "left"
TOO_MANY: Final = "too_many"
OVERRUN: Final = "overrun"

REASONS: Final = (
    UNKNOWN_KEY, WRONG_ROLE, NOT_CONFIGURED, REVOKED, IDENTITY, HANDSHAKE, SILENT, LEFT, TOO_MANY, OVERRUN,
)  # fmt: skip
"""A key that nobody allowed; a kind of principal that has no business there; a server that the configuration does not
name; a session whose key is no longer allowed;
a message in another's name or outside its sender's role; no handshake with this door (NULL or PLAIN instead of CURVE, a
key of another server, what somebody else once said, bytes that are no ZMTP); nothing within the time for a handshake;
gone before the end of it; a connection for which there was no room (nodes.security.crowd); one on which more came in
than an honest peer can have under way, or a message of more parts than one has (nodes.security.overrun)."""


class Refusals(Collector):
    """What one process refused. `counts` is by (door, reason)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter(
            {(door, reason): 0 for door in roles.DOORS for reason in REASONS}
        )
        self._second = 0
        self._logged = 0
        self._untold = 0

    def add(self, door: str, reason: str, now_us: int, *, address: str, key: str | None = None, why: str = "") -> None:
        """One more, at `now_us` of the boot clock. `address` is the peer's (without its port where libzmq asks about a
        key; nodes.security.tcp.UNKNOWN_ADDRESS of who was gone before anybody could look), `key` its principal and
        its key's fingerprint, or that alone of a key that nobody allowed, or None of who showed none."""
        self.counts[door, reason] += 1
        second = now_us // 1_000_000
        if second != self._second:
            if self._untold:
                logger().warning("peers refused", not_told_one_by_one=self._untold)
            self._second, self._logged, self._untold = second, 0, 0
        if self._logged < LOGGED_A_SECOND_MAX:
            self._logged += 1
            more = {"why": why} if why else {}
            logger().warning("peer refused", socket=door, reason=reason, address=address, key=key, **more)
        else:
            self._untold += 1

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        family = CounterMetricFamily(
            "rsm_auth_refused", "Peers and messages refused, by socket and reason.", labels=["socket", "reason"]
        )
        for (door, reason), count in sorted(self.counts.items()):
            family.add_metric([door, reason], count)
        yield family
