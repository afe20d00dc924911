"""The protocol's intervals and how they must relate. Safety never depends on them, except R7's lease."""

from __future__ import annotations

from dataclasses import dataclass


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
        for lesser, greater, equal_allowed in _ORDER:
            low, high = getattr(self, lesser), getattr(self, greater)
            if not (low < high or (equal_allowed and low == high)):
                relation = "at most" if equal_allowed else "less than"
                raise ValueError(f"{_named(lesser, low)} must be {relation} {_named(greater, high)}")
        if self.beacon_us <= 0:
            raise ValueError("beacon must be more than 0 ms")


_ORDER = (
    ("beacon_us", "lease_us", False),
    ("lease_us", "grace_us", False),
    ("beacon_us", "shrink_us", False),
    ("shrink_us", "grace_us", True),
    ("stall_us", "grace_us", False),
    ("beacon_us", "stall_us", False),
)


def _named(field: str, value_us: int) -> str:
    return f"{field.removesuffix('_us')} ({value_us // 1000} ms)"


SLOW = Timing(beacon_us=100_000, lease_us=800_000, stall_us=800_000, shrink_us=1_000_000, grace_us=1_500_000)
"""For tests that do not measure takeover, on machines that pause."""
