"""A reading of the clocks, passed into the pure core as an argument."""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """`boot_us`: CLOCK_BOOTTIME, never jumps, counts suspension; all protocol timing uses it.
    `wall_us`: microseconds since the Unix epoch; used only to anchor the log's time (R13), and by a
    backup to tell what is news from what it was not there for."""

    boot_us: int
    wall_us: int
