"""Histograms with classic buckets. The hot path pays one search and two additions; they become text when scraped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

LEG_BOUNDS_US: Final = (
    500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000, 100_000,
    250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
)  # fmt: skip
"""A leg of a transaction: a few milliseconds, up to the second that a failover takes, up to `answer_ms`."""

DISK_BOUNDS_US: Final = (
    100, 200, 300, 400, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000,
    20_000, 50_000, 100_000, 300_000, 1_000_000, 5_000_000,
)  # fmt: skip
"""A durable write, here or on both nodes: half a millisecond on a good disk; at `stall_ms` a node counts as dead."""

FAILOVER_BOUNDS_US: Final = (
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 300_000, 400_000, 500_000, 600_000,
    700_000, 800_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000, 5_000_000, 10_000_000,
)  # fmt: skip
"""A phase of a failover: detecting takes `grace_ms`, promoting some fsyncs, the first answer a retry."""

BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096)
"""Events of one batch, up to es.limits.BATCH_ENTRIES_MAX."""


class Histogram:
    """Counts whole numbers in buckets. `bounds` ascend; `per_unit` of what is counted are one of what is shown
    (1 000 000 µs a second)."""

    __slots__ = ("_bounds", "_counts", "_per_unit", "_sum")

    def __init__(self, bounds: Sequence[int], per_unit: float = 1e6) -> None:
        self._bounds = bounds
        self._per_unit = per_unit
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0

    def observe(self, value: int) -> None:
        """Count one value. From one thread only."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound as shown, values up to it), the last bound +Inf."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound is None else str(bound / self._per_unit), total))
        return buckets

    @property
    def sum(self) -> float:
        """All values together, as shown."""
        return self._sum / self._per_unit
