"""What processes used, as few lines over time: each server with its workers, the witness, all faculties together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, Final

BINS: Final = 60
"""At most so many values of a line."""

SAMPLES_A_BIN: Final = 2
"""A bin lasts at least so many sampling intervals: one that holds no sample then shows that there was none."""

FACULTIES: Final = "faculties"
"""The group of all faculties; the others have the names of their processes."""


def over_time(usage: Sequence[Mapping[str, Any]], values: str) -> dict[str, list[tuple[float, float | None]]]:
    """Group of processes -> (seconds since the first sample, sum over the group of each one's mean in that bin; None
    where none of it was sampled, for it did not run)."""
    sampled = [one for one in usage if one["samples"]]
    if not sampled:
        return {}
    began_us = min(one["began_us"] for one in sampled)
    bin_s = _bin_s([_at_s(one, began_us) for one in sampled])
    bins: dict[str, dict[int, dict[str, list[float]]]] = {}
    for one in sampled:
        group = bins.setdefault(_group(one["process"]), {})
        for at_s, value in zip(_at_s(one, began_us), one[values], strict=True):
            group.setdefault(int(at_s / bin_s), {}).setdefault(one["process"], []).append(value)
    return {
        name: [
            (round((number + 0.5) * bin_s, 2), _sum_of_means(group[number]) if number in group else None)
            for number in range(min(group), max(group) + 1)
        ]
        for name, group in sorted(bins.items(), key=lambda item: (item[0] == FACULTIES, item[0]))
    }


def _bin_s(sampled_at_s: Sequence[Sequence[float]]) -> float:
    intervals_s = [later - sooner for at_s in sampled_at_s for sooner, later in pairwise(at_s)]
    least_s = SAMPLES_A_BIN * median(intervals_s) if intervals_s else 0.0
    return max(max(at_s[-1] for at_s in sampled_at_s) / BINS, least_s) or 1.0


def _sum_of_means(parts: Mapping[str, Sequence[float]]) -> float:
    return round(sum(sum(part) / len(part) for part in parts.values()), 1)


def _at_s(one: Mapping[str, Any], began_us: int) -> list[float]:
    return [(one["began_us"] - began_us) / 1e6 + at_ms / 1_000 for at_ms in one["at_ms"]]


def _group(process: str) -> str:
    name = process.removesuffix(" workers")
    return FACULTIES if name.startswith("faculty-") else name
