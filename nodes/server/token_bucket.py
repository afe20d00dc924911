"""A token bucket: so many a second, and a burst of so many at once. Pure: time comes in."""

from __future__ import annotations

_MICRO = 1_000_000


class TokenBucket:
    """Full at first. Tokens are whole; what gathers between two of them is kept, in millionths."""

    __slots__ = ("_at_us", "_burst_micro", "_level_micro", "_per_s")

    def __init__(self, per_s: int, burst: int, now_us: int) -> None:
        self._per_s = per_s
        self._burst_micro = self._level_micro = burst * _MICRO
        self._at_us = now_us

    def available(self, now_us: int) -> int:
        """Tokens there are at boot time `now_us`. A clock that goes back brings none."""
        if now_us > self._at_us:
            self._level_micro = min(self._burst_micro, self._level_micro + (now_us - self._at_us) * self._per_s)
            self._at_us = now_us
        return self._level_micro // _MICRO

    def take(self, tokens: int) -> None:
        """Take so many of what `available` told, or more: then the bucket is in debt, and refills from there."""
        self._level_micro -= tokens * _MICRO

    def ready_us(self, tokens: int = 1) -> int:
        """Boot time in µs at which there are so many."""
        return self._at_us + max(0, -(-(tokens * _MICRO - self._level_micro) // self._per_s))
