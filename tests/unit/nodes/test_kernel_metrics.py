"""What Prometheus reads of a server's replica."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from es.replication.data_node import NODE_WHYS
from es.replication.effects import RoleChanged
from es.replication.instant import Instant
from es.replication.leading import Flight
from es.replication.transitions import Role
from nodes.histogram import BATCH_BOUNDS, Histogram
from nodes.server.kernel_metrics import KernelMetrics
from projections.rooms import machine
from projections.rooms.commands import Reserve
from tests.unit.nodes.simulated_server import SimulatedServers

SOL = Reserve("t1", 3, "Ingeniería", 1, "Sistemas", "2026-1", 2, 1)
SERVES = RoleChanged(Role.OPENING, Role.LEADING, 2, "the epoch's first batch has committed")


class Shown:
    """The metrics of one simulated server, as a scrape reads them."""

    def __init__(self, servers: SimulatedServers, node: str, directory: Path) -> None:
        self.metrics = KernelMetrics(node, servers.replica(node), lambda: 4_096, directory, Instant(0, 7_000_000))
        self._node = node
        self._registry = CollectorRegistry()
        self._registry.register(self.metrics)

    def __getitem__(self, name: str) -> float | None:
        return self._registry.get_sample_value(name, {"node": self._node})

    def value(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(name, labels)


@pytest.fixture
def servers() -> SimulatedServers:
    return SimulatedServers()


def test_every_label_value_is_there_from_the_start(servers: SimulatedServers, tmp_path: Path) -> None:
    shown = Shown(servers, "a", tmp_path)
    assert {shown.value("rsm_ignored_total", why=why) for why in NODE_WHYS} == {0}
    assert {shown.value("rsm_failovers_total", kind=kind) for kind in ("failover", "switchover")} == {0}
    for phase in ("detect", "promote", "first_reply"):
        assert shown.value("rsm_failover_seconds_count", phase=phase) == 0
    assert shown.value("rsm_stale_epoch_total") == servers.replica("a").node.ignored["stale epoch"]
    assert shown.value("rsm_digest_mismatch_total") == 0
    for name in ("rsm_fsync_seconds", "rsm_commit_seconds", "rsm_batch_events"):
        assert shown.value(f"{name}_count") == 0


def test_both_roles_are_told(servers: SimulatedServers, tmp_path: Path) -> None:
    primary, backup = Shown(servers, "a", tmp_path), Shown(servers, "b", tmp_path)
    assert [primary.value("rsm_role", node="a", role=role) for role in ("primary", "backup")] == [1, 0]
    assert [backup.value("rsm_role", node="b", role=role) for role in ("primary", "backup")] == [0, 1]
    assert (primary["rsm_active"], backup["rsm_active"]) == (1, 0)
    assert (primary["rsm_epoch"], primary["rsm_in_sync"]) == (servers.replica("a").node.epoch, 2)
    assert primary["rsm_head_seq"] == primary["rsm_commit_seq"] == backup["rsm_commit_seq"]
    assert primary["rsm_role_changed_timestamp_seconds"] == 7
    assert primary["rsm_log_bytes"] == 4_096
    assert 0 < (primary["rsm_disk_free_bytes"] or 0) <= (primary["rsm_disk_bytes"] or 0)


def test_how_long_the_oldest_batch_has_waited_is_told_of_a_primary(servers: SimulatedServers) -> None:
    replica = servers.replica("a")
    assert replica.leading is not None
    assert (replica.uncommitted_us(servers.now), servers.replica("b").uncommitted_us(servers.now)) == (0, 0)
    batch = replica.node.chain.batch_at(1)
    assert batch is not None
    replica.leading.flights.append(Flight(batch, 1_000, []))
    assert replica.uncommitted_us(Instant(3_001_000, 0)) == 3_000_000


def test_a_backup_lags_from_when_it_last_had_everything(servers: SimulatedServers, tmp_path: Path) -> None:
    replica = servers.replica("b")
    assert replica.following is not None
    now = Instant(replica.following.level_us + 3_000_000, 0)
    assert replica.following.level_us > servers.now.boot_us - 3 * replica.node.timing.beacon_us, "every beacon tells"
    assert (replica.lag_events, replica.lag_us(now)) == (0, 0)
    replica.following.primary_head_seq += 5
    assert (replica.lag_events, replica.lag_us(now)) == (5, 3_000_000)
    assert Shown(servers, "b", tmp_path)["rsm_replication_lag_events"] == 5
    leader = servers.replica("a")
    assert (leader.lag_events, leader.lag_us(now)) == (0, 0)


def test_a_batch_that_somebody_waits_for_is_timed(servers: SimulatedServers, tmp_path: Path) -> None:
    shown = Shown(servers, "a", tmp_path)
    servers.run(lambda: servers.replica("a").submit("waiter", machine.NAME, SOL, servers.now))
    for answers in servers.answers:
        assert 0 <= servers.now.boot_us - answers.sealed_us <= 100_000, "in the tenth of a second that was run"
        shown.metrics.on_answers(answers, Instant(answers.sealed_us + 1_200, 0))
    assert shown.value("rsm_commit_seconds_sum") == 0.0012
    assert shown.value("rsm_commit_seconds_bucket", le="0.001") == 0
    assert shown.value("rsm_commit_seconds_bucket", le="0.0015") == 1
    # CatalogAdopted, TermOpened, FacultyRegistered, ProgramRegistered, Reserved
    assert shown.value("rsm_batch_events_sum") == 5
    assert shown.value("rsm_batch_events_bucket", le="8.0") == 1
    shown.metrics.observe_fsync(0.0004)
    assert shown.value("rsm_fsync_seconds_sum") == 0.0004


def test_a_failover_is_timed_by_phase_from_what_the_replica_knows(servers: SimulatedServers, tmp_path: Path) -> None:
    shown = Shown(servers, "b", tmp_path)
    servers.cluster.crash("a")
    servers.cluster.run_until(lambda: servers.replica("b").active, 5_000_000, "b serves")
    promotion = servers.replica("b").promotion
    assert promotion.cause == "failover"
    assert promotion.silence_us >= servers.replica("b").node.timing.grace_us
    shown.metrics.on_role(SERVES, Instant(promotion.began_us + 30_000, 90_000_000))
    assert shown.value("rsm_failovers_total", kind="failover") == 1
    assert shown.value("rsm_failover_seconds_sum", phase="detect") == promotion.silence_us / 1e6
    assert shown.value("rsm_failover_seconds_sum", phase="promote") == 0.03
    assert shown.value("rsm_failover_seconds_count", phase="first_reply") == 0
    assert shown["rsm_role_changed_timestamp_seconds"] == 90

    servers.cluster.request("b", "waiter", machine.NAME, SOL)
    servers.cluster.run_for(100_000)
    served = Instant(promotion.began_us + 30_000 + 45_000, 0)
    for _ in range(2):
        shown.metrics.on_answers(servers.answers[-1], served)
    assert shown.value("rsm_failover_seconds_sum", phase="first_reply") == 0.045
    assert shown.value("rsm_failover_seconds_count", phase="first_reply") == 1, "once a failover"


def test_replaying_ends_when_the_state_stands_at_the_commit_point(servers: SimulatedServers, tmp_path: Path) -> None:
    shown, replica = Shown(servers, "a", tmp_path), servers.replica("a")
    replica.node.fed_seq -= 1
    shown.metrics.on_turn(Instant(replica.started_us + 1_000_000, 0))
    replica.node.fed_seq += 1
    shown.metrics.on_turn(Instant(replica.started_us + 2_000_000, 0))
    shown.metrics.on_turn(Instant(replica.started_us + 3_000_000, 0))
    assert shown["rsm_replay_seconds"] == 2


def test_a_start_is_no_failover(servers: SimulatedServers, tmp_path: Path) -> None:
    shown = Shown(servers, "a", tmp_path)
    assert servers.replica("a").promotion.cause == "start"
    shown.metrics.on_role(SERVES, Instant(servers.replica("a").promotion.began_us + 30_000, 0))
    assert shown.value("rsm_failovers_total", kind="failover") == 0
    assert shown.value("rsm_failover_seconds_count", phase="promote") == 0


def test_the_bounds_of_a_histogram_belong_to_the_bucket_below() -> None:
    histogram = Histogram(BATCH_BOUNDS, per_unit=1)
    for events in (1, 2, 3, 4_096, 4_097):
        histogram.observe(events)
    buckets = dict(histogram.buckets())
    assert (buckets["1.0"], buckets["2.0"], buckets["4.0"]) == (1, 2, 3)
    assert (buckets["4096.0"], buckets["+Inf"]) == (4, 5)
    assert histogram.sum == 8_199
