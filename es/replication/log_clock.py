"""The time that the log bears (R13): read once a batch, on the primary alone."""

from __future__ import annotations

from dataclasses import dataclass

from es.replication.instant import Instant

CLOCK_JUMP_US = 1_000_000
"""A wall clock that moves by more than this against the boot clock is an anomaly."""


@dataclass(slots=True)
class LogClock:
    """R13: the log's time follows the boot clock from an anchor, so that a jump of the wall clock moves nothing."""

    anchor_boot_us: int
    anchor_ts_us: int
    wall_offset_us: int

    @classmethod
    def start(cls, last_ts_us: int, now: Instant) -> LogClock:
        """Anchored at the wall clock, or just after the log's last time where that is later."""
        return cls(now.boot_us, max(last_ts_us + 1, now.wall_us), now.wall_us - now.boot_us)

    def ts_us(self, now: Instant) -> int:
        """Log time at `now`."""
        return self.anchor_ts_us + now.boot_us - self.anchor_boot_us

    def boot_us(self, ts_us: int) -> int:
        """Boot time at which the log's time will be `ts_us`."""
        return ts_us - self.anchor_ts_us + self.anchor_boot_us

    def jump_us(self, now: Instant) -> int:
        """How far the wall clock has moved since the last call that saw it move; 0 if it has not."""
        jump = now.wall_us - now.boot_us - self.wall_offset_us
        if abs(jump) <= CLOCK_JUMP_US:
            return 0
        self.wall_offset_us += jump
        return jump
