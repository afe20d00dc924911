"""What a faculty counts, as Prometheus reads it.

The hot path adds to plain integers; they become metrics only when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nodes.faculty_core import FacultyCore
from projections.timings import LEGS

BOUNDS_US: Final = (
    500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000, 100_000,
    250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
)  # fmt: skip
"""Upper bounds of the histograms' buckets."""


class LegTimes:
    """A histogram of one leg, in µs."""

    __slots__ = ("_counts", "_sum_us")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_US) + 1)
        self._sum_us = 0

    def observe(self, us: int) -> None:
        """Count one duration."""
        self._counts[bisect_left(BOUNDS_US, us)] += 1
        self._sum_us += us

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound in seconds, durations up to it), the last bound +Inf."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound_us, count in zip((*BOUNDS_US, None), self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound_us is None else str(bound_us / 1e6), total))
        return buckets

    @property
    def sum_seconds(self) -> float:
        """All durations together."""
        return self._sum_us / 1e6


class FacultyMetrics(Collector):
    """The metrics of one faculty. `ignored` counts what the shell itself dropped; the core counts its own."""

    def __init__(self, core: FacultyCore, faculty_id: int, pattern: str, whys: tuple[str, ...]) -> None:
        self._core = core
        self._faculty = str(faculty_id)
        self._pattern = pattern
        self._legs = {leg: LegTimes() for leg in LEGS}
        self.ignored = dict.fromkeys(whys, 0)

    def observe(self, leg: str, us: int) -> None:
        """One leg took so long."""
        self._legs[leg].observe(us)

    def register(self, registry: CollectorRegistry) -> None:
        """Show up in that registry."""
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for; also called from its thread, so it only reads."""
        seconds = HistogramMetricFamily(
            "aulario_request_seconds", "Time of each leg of a transaction.", labels=["leg", "pattern"]
        )
        for leg, times in self._legs.items():
            seconds.add_metric([leg, self._pattern], times.buckets(), times.sum_seconds)
        results = CounterMetricFamily(
            "aulario_results", "Results given to programs.", labels=["status", "pattern", "faculty"]
        )
        for status, count in self._core.results.items():
            results.add_metric([status, self._pattern, self._faculty], count)
        ignored = CounterMetricFamily("rsm_ignored", "Messages dropped, by reason.", labels=["why"])
        for why, count in (self._core.ignored | self.ignored).items():
            ignored.add_metric([why], count)
        yield seconds
        yield results
        yield ignored
        yield GaugeMetricFamily("aulario_inflight", "Transactions without a result.", value=self._core.in_flight)
        yield CounterMetricFamily(
            "aulario_server_changes", "Changes of the server followed (A6).", value=self._core.server_changes
        )
