"""What many durations come to. Percentiles are exact: the value at the nearest rank, taken from the raw timings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

PERCENTS: Final = (50, 95, 99)


class Summary(NamedTuple):
    """Durations in ms, to the µs; `measured` is how many there were."""

    measured: int
    mean_ms: float
    min_ms: float
    max_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """The smallest of the ordered values that at least `percent` of them do not exceed."""
    assert ordered, "nothing has no percentile"
    return ordered[-(-percent * len(ordered) // 100) - 1]


def summarise(durations_us: Iterable[int | None]) -> Summary | None:
    """What they come to; None if nobody measured anything."""
    ordered = sorted(us for us in durations_us if us is not None)
    if not ordered:
        return None
    percentiles = (_ms(nearest_rank(ordered, percent)) for percent in PERCENTS)
    return Summary(
        len(ordered), round(sum(ordered) / len(ordered) / 1_000, 3), _ms(ordered[0]), _ms(ordered[-1]), *percentiles
    )


def _ms(us: int) -> float:
    return us / 1_000
