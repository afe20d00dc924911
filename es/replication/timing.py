"""The protocol's intervals and how they must relate. Safety never depends on them, except R7's lease."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Order(NamedTuple):
    """One interval must be shorter than another, or (`equal_allowed`) not longer. Names bear no unit."""

    lesser: str
    greater: str
    equal_allowed: bool = False

    def holds(self, lesser: int, greater: int) -> bool:
        """Whether two values in one unit keep this order."""
        return lesser < greater or (self.equal_allowed and lesser == greater)


ORDERS = (
    Order("beacon", "lease"),
    Order("lease", "grace"),
    Order("beacon", "shrink"),
    Order("beacon", "stall"),
    Order("shrink", "grace", equal_allowed=True),
    Order("stall", "grace"),
)
"""What every set of intervals must keep, whatever unit it is written in."""


@dataclass(slots=True, frozen=True)
class Timing:
    """Intervals in microseconds. Raises ValueError with one sentence if they contradict each other."""

    beacon_us: int = 50_000
    lease_us: int = 300_000
    stall_us: int = 300_000
    shrink_us: int = 400_000
    grace_us: int = 500_000
    retry_us: int = 1_000_000

    def __post_init__(self) -> None:
        if self.beacon_us <= 0:
            raise ValueError("beacon must be more than 0 ms")
        for order in ORDERS:
            lesser_us, greater_us = getattr(self, f"{order.lesser}_us"), getattr(self, f"{order.greater}_us")
            if not order.holds(lesser_us, greater_us):
                relation = "at most" if order.equal_allowed else "less than"
                raise ValueError(f"{_named(order.lesser, lesser_us)} must be {relation} "
                                 f"{_named(order.greater, greater_us)}")  # fmt: skip


def _named(interval: str, value_us: int) -> str:
    return f"{interval} ({value_us // 1000} ms)"


SLOW = Timing(beacon_us=100_000, lease_us=800_000, stall_us=800_000, shrink_us=1_000_000, grace_us=1_500_000)
"""For tests that do not measure takeover, on machines that pause."""
