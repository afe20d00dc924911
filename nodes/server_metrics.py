"""What a server counts, as Prometheus reads it. The hot path adds to plain integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from es.replication.effects import RoleChanged
from es.replication.replica import Replica
from es.replication.transitions import Role
from nodes.faculty_metrics import LegTimes
from nodes.shell import read_clock
from projections.rooms.commands import LABS_EXHAUSTED, NOT_ENOUGH_ROOMS

OVERLOAD: Final = "OVERLOAD"
"""Code of the alert that this server raises when it refuses too much."""

LEGS: Final = ("sol_prop", "ack_res")
PATTERNS: Final = ("async", "lbb")
ALERTS: Final = (NOT_ENOUGH_ROOMS, LABS_EXHAUSTED, OVERLOAD)


class ServerMetrics(Collector):
    """The metrics of one server. `ignored` gives the counters of every part that refuses anything."""

    def __init__(self, node: str, replica: Replica, log_bytes: Callable[[], int]) -> None:
        self._node = node
        self._replica = replica
        self._log_bytes = log_bytes
        self._fsync = LegTimes()
        self._legs = {(leg, pattern): LegTimes() for leg in LEGS for pattern in PATTERNS}
        self._results: Counter[tuple[str, str, str]] = Counter()
        self._failovers: Counter[str] = Counter({"failover": 0, "switchover": 0})
        self.holds_expired = 0
        self.alerts: Counter[str] = Counter(dict.fromkeys(ALERTS, 0))
        self.duplicates = 0
        self.ignored_by: list[Callable[[], dict[str, int]]] = []

    # -- what happened

    def observe_fsync(self, seconds: float) -> None:
        """One write of the log took so long (called from the writer's thread, the only one to do so)."""
        self._fsync.observe(int(seconds * 1e6))

    def observe(self, leg: str, pattern: str, us: int) -> None:
        """One leg took so long."""
        self._legs[leg, pattern].observe(us)

    def on_result(self, status: str, pattern: str, faculty_id: int | None, us: int) -> None:
        """A RES left for a client."""
        self._results[status, pattern, str(faculty_id)] += 1
        self._legs["ack_res", pattern].observe(us)

    def on_role(self, change: RoleChanged) -> None:
        """A change of role; coming to lead by promotion is a failover."""
        if change.before is Role.PROMISING and change.after is Role.CLAIMING:
            self._failovers["failover"] += 1

    def copies(self) -> int:
        """Nodes that hold what is committed, at this moment."""
        leading = self._replica.leading
        return 1 if leading is None else leading.copies_of(self._replica.node.commit_seq)

    # -- what is

    def status(self) -> dict[str, Any]:
        """The replica's part of /status. Read from the exporter's thread."""
        replica = self._replica
        node = replica.node
        register = node.register
        return {
            "role": "primary" if replica.leading is not None else "backup",
            "state": replica.role.value,
            "active": replica.active,
            "epoch": node.epoch,
            "seq": node.chain.head.seq,
            "commit": node.commit_seq,
            "in_sync": [member.node for member in register.in_sync] if register is not None else [],
            "primary": register.primary.node if register is not None else None,
            "lag": self.lag(),
            "waits_for": replica.waits_for(read_clock()),
        }

    def lag(self) -> int:
        """Events this node is behind what the primary said it has; 0 on the primary."""
        following = self._replica.following
        return 0 if following is None else max(0, following.primary_head_seq - self._replica.node.chain.head.seq)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for; called from its thread, so it only reads."""
        status = self.status()
        role = GaugeMetricFamily("rsm_role", "1 for the role this node has.", labels=["node", "role"])
        for name in ("primary", "backup"):
            role.add_metric([self._node, name], float(status["role"] == name))
        yield role
        for name, help_, key in (
            ("rsm_epoch", "Epoch this node follows or leads.", "epoch"),
            ("rsm_head_seq", "Last event of this node's log.", "seq"),
            ("rsm_commit_seq", "Last event known to be committed.", "commit"),
        ):
            yield self._gauge(name, help_, status[key])
        yield self._gauge("rsm_in_sync", "Nodes whose copy a commit needs.", len(status["in_sync"]))
        yield GaugeMetricFamily("rsm_replication_lag_events", "Events behind the primary.", value=status["lag"])
        yield GaugeMetricFamily("rsm_log_bytes", "Bytes of batches stored.", value=self._log_bytes())
        yield self._histogram("rsm_fsync_seconds", "Time of one durable write of the log.", self._fsync)
        yield from self._collect_counters()
        yield from self._collect_requests()

    def _gauge(self, name: str, help_: str, value: float) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(name, help_, labels=["node"])
        gauge.add_metric([self._node], value)
        return gauge

    @staticmethod
    def _histogram(name: str, help_: str, times: LegTimes) -> HistogramMetricFamily:
        return HistogramMetricFamily(name, help_, buckets=times.buckets(), sum_value=times.sum_seconds)

    def _collect_counters(self) -> Iterator[Metric]:
        failovers = CounterMetricFamily("rsm_failovers", "Takeovers by this node.", labels=["kind"])
        for kind, count in self._failovers.items():
            failovers.add_metric([kind], count)
        yield failovers
        ignored = CounterMetricFamily("rsm_ignored", "Messages and requests refused, by reason.", labels=["why"])
        total: Counter[str] = Counter()
        for counts in self.ignored_by:
            total.update(counts())
        for why, count in total.items():
            ignored.add_metric([why], count)
        yield ignored
        yield CounterMetricFamily("aulario_holds_expired", "Holds that expired (A9).", value=self.holds_expired)
        alerts = CounterMetricFamily("aulario_alerts", "Alerts in the log (A13).", labels=["code"])
        for code, count in list(self.alerts.items()):
            alerts.add_metric([code], count)
        yield alerts
        yield CounterMetricFamily("aulario_duplicates", "Requests answered again (A10).", value=self.duplicates)

    def _collect_requests(self) -> Iterator[Metric]:
        seconds = HistogramMetricFamily(
            "aulario_request_seconds", "Time of each leg of a transaction.", labels=["leg", "pattern"]
        )
        for (leg, pattern), times in self._legs.items():
            seconds.add_metric([leg, pattern], times.buckets(), times.sum_seconds)
        yield seconds
        results = CounterMetricFamily("aulario_results", "Results given.", labels=["status", "pattern", "faculty"])
        for labels, count in list(self._results.items()):
            results.add_metric(labels, count)
        yield results
