"""What a server's part of the replicated log counts, as Prometheus reads it (`rsm_…`).

The hot path adds to plain integers; they become metrics when somebody scrapes, in the exporter's thread,
which therefore only reads.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from es.replication.data_node import NODE_WHYS
from es.replication.effects import Answers, RoleChanged
from es.replication.instant import Instant
from es.replication.replica import Replica
from es.replication.transitions import Role
from nodes.histogram import BATCH_BOUNDS, DISK_BOUNDS_US, FAILOVER_BOUNDS_US, Histogram
from nodes.shell import read_clock

ROLES: Final = ("primary", "backup")
FAILOVER_KINDS: Final = ("failover", "switchover")
PHASES: Final = ("detect", "promote", "first_reply")
"""Of a failover: from the last beacon heard until the witness agreed that the primary is silent; from then until
this server serves; from then until the first answer left (A19)."""

_SETTLED: Final = (Role.LEADING, Role.FOLLOWING)
"""What a node is for longer than a moment."""


def ignored_family(counts: Iterable[tuple[str, int]]) -> CounterMetricFamily:
    """`rsm_ignored_total`, the same in every process."""
    family = CounterMetricFamily("rsm_ignored", "Messages and requests refused or dropped, by reason.", labels=["why"])
    for why, count in counts:
        family.add_metric([why], count)
    return family


class KernelMetrics(Collector):
    """The metrics of one server's replica. `ignored_by` gives the counters of every part that refuses anything,
    `log_bytes` the size of the log in `directory`, `now` the start of the process."""

    def __init__(
        self, node: str, replica: Replica, log_bytes: Callable[[], int], directory: Path, now: Instant
    ) -> None:
        self._node = node
        self._replica = replica
        self._log_bytes = log_bytes
        self._directory = directory
        self._fsync = Histogram(DISK_BOUNDS_US)
        self._commit = Histogram(DISK_BOUNDS_US)
        self._batch = Histogram(BATCH_BOUNDS, per_unit=1)
        self._phases = {phase: Histogram(FAILOVER_BOUNDS_US) for phase in PHASES}
        self._failovers = dict.fromkeys(FAILOVER_KINDS, 0)
        self._role_changed_us = now.wall_us
        self._serving_since_us: int | None = None
        self._replayed_us: int | None = None
        self.ignored_by: list[Callable[[], dict[str, int]]] = []

    # -- what happened

    def observe_fsync(self, seconds: float) -> None:
        """One write of the log took so long (called from the writer's thread, the only one to do so)."""
        self._fsync.observe(int(seconds * 1e6))

    def on_answers(self, effect: Answers, now: Instant) -> None:
        """Answers leave: a batch has committed that somebody waits for, or reads are released."""
        if effect.batch is not None:
            self._commit.observe(now.boot_us - effect.sealed_us)
            self._batch.observe(len(effect.batch.entries))
        if self._serving_since_us is not None:
            self._phases["first_reply"].observe(now.boot_us - self._serving_since_us)
            self._serving_since_us = None

    def on_role(self, change: RoleChanged, now: Instant) -> None:
        """A change of role. To lead by promotion is a failover; it has ended when this server serves."""
        if change.after in _SETTLED:
            self._role_changed_us = now.wall_us
        self._serving_since_us = None
        promotion = self._replica.promotion
        if change.after is Role.LEADING and promotion.cause == "failover":
            self._failovers["failover"] += 1
            self._phases["detect"].observe(promotion.silence_us)
            self._phases["promote"].observe(now.boot_us - promotion.began_us)
            self._serving_since_us = now.boot_us

    def on_turn(self, now: Instant) -> None:
        """A turn of the loop ended: the log is replayed once the state stands at its commit point."""
        if self._replayed_us is None and not self._replica.node.lagging:
            self._replayed_us = now.boot_us - self._replica.started_us

    # -- what is

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for."""
        yield from self._collect_roles()
        yield from self._collect_log()
        yield from self._collect_failovers()
        yield from self._collect_refusals()

    def _collect_roles(self) -> Iterator[Metric]:
        replica, register = self._replica, self._replica.node.register
        own = "primary" if replica.leading is not None else "backup"
        role = GaugeMetricFamily("rsm_role", "1 for the role this node has.", labels=["node", "role"])
        for name in ROLES:
            role.add_metric([self._node, name], float(name == own))
        yield role
        yield self._gauge("rsm_active", "1 while this node answers requests.", replica.active)
        yield self._gauge(
            "rsm_role_changed_timestamp_seconds", "Unix time since which it has its role.", self._role_changed_us / 1e6
        )
        yield self._gauge("rsm_epoch", "Epoch this node follows or leads.", replica.node.epoch)
        in_sync = len(register.in_sync) if register is not None else 0
        yield self._gauge("rsm_in_sync", "Nodes whose copy a commit needs, as this node knows it.", in_sync)

    def _collect_log(self) -> Iterator[Metric]:
        node = self._replica.node
        yield self._gauge("rsm_head_seq", "Last event of this node's log.", node.chain.head.seq)
        yield self._gauge("rsm_commit_seq", "Last event known to be committed.", node.commit_seq)
        yield self._gauge("rsm_replication_lag_events", "Events behind the primary.", self._replica.lag_events)
        lag_us = self._replica.lag_us(read_clock())
        yield self._gauge("rsm_replication_lag_seconds", "For how long behind the primary.", lag_us / 1e6)
        waiting_us = self._replica.uncommitted_us(read_clock())
        yield self._gauge(
            "rsm_commit_waiting_seconds", "For how long the oldest batch has waited for its commit.", waiting_us / 1e6
        )
        yield self._gauge("rsm_log_bytes", "Bytes of batches stored.", self._log_bytes())
        disk = os.statvfs(self._directory)
        yield self._gauge("rsm_disk_bytes", "Size of the disk that the log is on.", disk.f_blocks * disk.f_frsize)
        yield self._gauge("rsm_disk_free_bytes", "What is free of it.", disk.f_bavail * disk.f_frsize)
        replayed_us = self._replayed_us
        so_far_us = read_clock().boot_us - self._replica.started_us if replayed_us is None else replayed_us
        yield self._gauge("rsm_replay_seconds", "Time of folding the log at the start, so far.", so_far_us / 1e6)
        for name, help_, histogram in (
            ("rsm_fsync_seconds", "Time of one durable write of the log.", self._fsync),
            ("rsm_commit_seconds", "Time from sealing a batch that somebody waits for to its commit.", self._commit),
            ("rsm_batch_events", "Events in one such batch.", self._batch),
        ):
            yield HistogramMetricFamily(name, help_, buckets=histogram.buckets(), sum_value=histogram.sum)

    def _collect_failovers(self) -> Iterator[Metric]:
        failovers = CounterMetricFamily("rsm_failovers", "Times this node took over.", labels=["kind"])
        for kind, count in self._failovers.items():
            failovers.add_metric([kind], count)
        yield failovers
        seconds = HistogramMetricFamily("rsm_failover_seconds", "Phases of taking over.", labels=["phase"])
        for phase, histogram in self._phases.items():
            seconds.add_metric([phase], histogram.buckets(), histogram.sum)
        yield seconds

    def _collect_refusals(self) -> Iterator[Metric]:
        total: Counter[str] = Counter(dict.fromkeys(NODE_WHYS, 0))
        for counts in self.ignored_by:
            total.update(counts())
        yield ignored_family(total.items())
        ignored = self._replica.node.ignored
        yield CounterMetricFamily("rsm_stale_epoch", "Messages of an epoch that is over.", value=ignored["stale epoch"])
        yield CounterMetricFamily(
            "rsm_digest_mismatch",
            "Acknowledgements of a history that is not this primary's.",
            value=ignored["acknowledged another chain"],
        )

    def _gauge(self, name: str, help_: str, value: float) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(name, help_, labels=["node"])
        gauge.add_metric([self._node], value)
        return gauge
