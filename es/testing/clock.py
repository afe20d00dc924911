"""A simulated machine's clocks. No two machines' clocks agree on anything but how fast time goes."""

from __future__ import annotations

import random

from es.replication.instant import Instant

WALL_START_US = 1_700_000_000_000_000
WALL_SKEW_US_MAX = 3_600_000_000
BOOTED_US_MAX_LOG10 = 12
NEVER_US = -1


class SimulatedClock:
    """The boot clock counts from when the machine was started, which was seconds or days before; the wall clock is
    `skewed` by up to `WALL_SKEW_US_MAX`, or right. Real time is the cluster's, in µs."""

    __slots__ = ("_boot_offset_us", "_draw", "_read_at_us", "_reading", "_wall_offset_us")

    def __init__(self, seed: int, machine: str, skewed: bool) -> None:
        self._draw = random.Random(f"clock {seed} {machine}")
        skew_us = self._draw.randint(-WALL_SKEW_US_MAX, WALL_SKEW_US_MAX)
        self._wall_offset_us = WALL_START_US + (skew_us if skewed else 0)
        self._boot_offset_us = 0
        self._read_at_us = NEVER_US
        self._reading = Instant(0, 0)
        self.reboot(0)

    def read(self, now_us: int) -> Instant:
        """What a process reads: the same thing however often in one moment."""
        if now_us != self._read_at_us:
            self._read_at_us = now_us
            self._reading = Instant(now_us + self._boot_offset_us, now_us + self._wall_offset_us)
        return self._reading

    def jump(self, by_us: int) -> None:
        """The wall clock is set."""
        self._wall_offset_us += by_us
        self._read_at_us = NEVER_US

    def reboot(self, now_us: int) -> None:
        """The boot clock begins anew."""
        booted_us = self._draw.randrange(10 ** self._draw.randint(1, BOOTED_US_MAX_LOG10))
        self._boot_offset_us = booted_us - now_us
        self._read_at_us = NEVER_US
