"""What a faculty counts, as Prometheus reads it.

The hot path adds to plain integers; they become metrics only when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nodes.faculty.core import FacultyCore
from nodes.faculty.effects import OUTAGE_PHASES
from nodes.histogram import FAILOVER_BOUNDS_US, LEG_BOUNDS_US, Histogram
from nodes.server.kernel_metrics import ignored_family
from projections.timings import LEGS


class FacultyMetrics(Collector):
    """The metrics of one faculty. `ignored` counts what the shell itself dropped; the core counts its own."""

    def __init__(self, core: FacultyCore, faculty_id: int, pattern: str, whys: tuple[str, ...]) -> None:
        self._core = core
        self._faculty = str(faculty_id)
        self._pattern = pattern
        self._legs = {leg: Histogram(LEG_BOUNDS_US) for leg in LEGS}
        self._outages = {phase: Histogram(FAILOVER_BOUNDS_US) for phase in OUTAGE_PHASES}
        self.ignored = dict.fromkeys(whys, 0)

    def observe(self, leg: str, us: int) -> None:
        """One leg took so long."""
        self._legs[leg].observe(us)

    def observe_outage(self, phase: str, us: int) -> None:
        """One phase of being without a server took so long."""
        self._outages[phase].observe(us)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for; also called from its thread, so it only reads."""
        seconds = HistogramMetricFamily(
            "aulario_request_seconds", "Time of each leg of a transaction.", labels=["leg", "pattern"]
        )
        for leg, histogram in self._legs.items():
            seconds.add_metric([leg, self._pattern], histogram.buckets(), histogram.sum)
        yield seconds
        results = CounterMetricFamily(
            "aulario_results", "Results given to programs.", labels=["status", "pattern", "faculty"]
        )
        for status, count in self._core.results.items():
            results.add_metric([status, self._pattern, self._faculty], count)
        yield results
        refusals = CounterMetricFamily(
            "aulario_refusals", "Requests of which nothing was done, by this faculty alone.", labels=["code"]
        )
        for code, count in self._core.refusals.items():
            refusals.add_metric([code], count)
        yield refusals
        used = GaugeMetricFamily("aulario_bound_used_ratio", "Used part of each bound of a faculty.", labels=["bound"])
        for bound, ratio in self._core.bounds_used().items():
            used.add_metric([bound], ratio)
        yield used
        yield ignored_family((self._core.ignored | self.ignored).items())
        yield GaugeMetricFamily("aulario_inflight", "Transactions without a result.", value=self._core.in_flight)
        yield from self._collect_servers()

    def _collect_servers(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "aulario_server_changes", "Changes of the server followed (A6).", value=self._core.server_changes
        )
        follows = float(self._core.follows is not None)
        yield GaugeMetricFamily("aulario_server_followed", "1 while an active server is known.", value=follows)
        seconds = HistogramMetricFamily(
            "aulario_outage_seconds", "Being without a server, as this faculty saw it, by phase.", labels=["phase"]
        )
        for phase, histogram in self._outages.items():
            seconds.add_metric([phase], histogram.buckets(), histogram.sum)
        yield seconds
