"""What a server says about itself, and when: pure, the shell publishes it."""

from __future__ import annotations

from typing import Final

from es.replication.instant import Instant
from es.replication.replica import Replica
from nodes.wire.beats import Beat, encode_alive_beat, encode_node_beat

ALIVE_US: Final = 1_000_000
"""Interval of the heartbeat for the seed's subscribers, who count one beat for half a second of life."""


class Heartbeats:
    """The heartbeats of one server. `requests` is its ROUTER's endpoint, `is_central` tells whether it is the node
    configured as central server."""

    def __init__(self, name: str, requests: str, replica: Replica, interval_us: int, *, is_central: bool) -> None:
        self._name = name
        self._requests = requests
        self._replica = replica
        self._interval_us = interval_us
        self._is_central = is_central
        self._next_us = 0
        self._next_alive_us = 0

    def deadline(self) -> int:
        """Boot time in µs at which `due` wants to be asked."""
        return self._next_us

    def hasten(self) -> None:
        """The role changed: say it at once."""
        self._next_us = 0

    def due(self, now: Instant) -> list[bytes]:
        """What is to be published now, one frame a beat."""
        if now.boot_us < self._next_us:
            return []
        self._next_us = now.boot_us + self._interval_us
        replica = self._replica
        if replica.active and not replica.speaks(now):
            return []  # R9: an active server whose disk hangs must seem dead
        beat = self._beat()
        frames = [encode_node_beat(beat)]
        if beat.active and now.boot_us >= self._next_alive_us:
            self._next_alive_us = now.boot_us + ALIVE_US
            frames.append(encode_alive_beat(beat, is_central=self._is_central))
        return frames

    def _beat(self) -> Beat:
        replica = self._replica
        node, register = replica.node, replica.node.register
        role = "primary" if replica.leading is not None else "backup"
        in_sync = tuple(member.node for member in register.in_sync) if register is not None else ()
        return Beat(self._name, role, node.epoch, node.chain.head.seq, replica.active, self._requests, in_sync)
