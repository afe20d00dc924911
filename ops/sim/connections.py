"""What ZeroMQ over TCP makes of the virtual network: nothing is doubled, and what one socket sends another arrives in
its order. A message is lost with the connection that breaks under it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from es.testing.cluster import Cluster
from es.testing.world import LINK_US


class Connections:
    """Between programs, faculties and servers, under the cluster's faults and cuts."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._last_us: dict[tuple[str, str, bytes], int] = {}

    def send(self, sender: str, receiver: str, deliver: Callable[..., None], *arguments: Any) -> None:
        """Over a connection for this one message."""
        delay_us = self._transit_us(sender, receiver)
        if delay_us is not None:
            self._cluster.after(delay_us, deliver, *arguments)

    def send_in_order(
        self, sender: str, receiver: str, stream: bytes, deliver: Callable[..., None], *arguments: Any
    ) -> None:
        """Over the lasting connection of that name."""
        delay_us = self._transit_us(sender, receiver)
        if delay_us is None:
            return
        connection = sender, receiver, stream
        now_us = self._cluster.now_us
        arrives_us = self._last_us[connection] = max(now_us + delay_us, self._last_us.get(connection, 0))
        self._cluster.after(arrives_us - now_us, deliver, *arguments)

    def _transit_us(self, sender: str, receiver: str) -> int | None:
        cluster = self._cluster
        if (sender, receiver) in cluster.cuts:
            cluster.counts["cut off"] += 1
            return None
        draw, faults = cluster.random.random, cluster.faults
        if draw() < faults.loss:
            cluster.counts["lost"] += 1
            return None
        delay_us = cluster.between(*LINK_US)
        if draw() < faults.slow:
            delay_us += cluster.between(1, faults.slow_ms_max) * 1_000
        return delay_us
