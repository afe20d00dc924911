"""What processes used, as few lines over time: each server with its workers, the witness, all faculties together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

BINS: Final = 60
FACULTIES: Final = "faculties"
"""The group of all faculties; the others have the names of their processes."""


def over_time(usage: Sequence[Mapping[str, Any]], values: str) -> dict[str, list[tuple[float, float]]]:
    """Group of processes -> (seconds since the first sample, sum over the group of each one's mean in that bin; 0
    while none of it ran)."""
    sampled = [one for one in usage if one["samples"]]
    if not sampled:
        return {}
    began_us = min(one["began_us"] for one in sampled)
    bin_s = max(_at_s(one, began_us)[-1] for one in sampled) / BINS or 1.0
    bins: dict[str, dict[int, dict[str, list[float]]]] = {}
    for one in sampled:
        group = bins.setdefault(_group(one["process"]), {})
        for at_s, value in zip(_at_s(one, began_us), one[values], strict=True):
            group.setdefault(int(at_s / bin_s), {}).setdefault(one["process"], []).append(value)
    return {
        name: [
            (round((number + 0.5) * bin_s, 2), round(sum(sum(part) / len(part) for part in parts.values()), 1))
            for number in range(min(group), max(group) + 1) for parts in [group.get(number, {})]
        ]
        for name, group in sorted(bins.items())
    }


def _at_s(one: Mapping[str, Any], began_us: int) -> list[float]:
    return [(one["began_us"] - began_us) / 1e6 + at_ms / 1_000 for at_ms in one["at_ms"]]


def _group(process: str) -> str:
    name = process.removesuffix(" workers")
    return FACULTIES if name.startswith("faculty-") else name
