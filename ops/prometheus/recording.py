"""Recording rules: what dashboards and alerts share. Names are `level:metric:operation`, the level being the labels
that are left.

A value that both servers count (they fold the same log) is taken from the one that counts most, never added up.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SLO_SECONDS: Final = "0.5"
"""A program's request is fast if it is answered within this; a bound of LEG_BOUNDS_US as Prometheus writes it."""


class Recording(NamedTuple):
    """One recorded series. `means` is for people: the table in OPERATIONS.md."""

    name: str
    expr: str
    means: str


def _slow_ratio(window: str) -> str:
    fast = f'aulario_request_seconds_bucket{{leg="program", le="{SLO_SECONDS}"}}[{window}]'
    every = f'aulario_request_seconds_count{{leg="program"}}[{window}]'
    return f"1 - sum by (cluster) (rate({fast})) / sum by (cluster) (rate({every}))"


RECORDINGS: Final = (
    Recording(
        "cluster:rsm_primaries:sum",
        'sum by (cluster) (rsm_role{role="primary"}) or 0 * sum by (cluster) (up{job="aulario-server"})',
        "Servers that take themselves for primary; 0 also when no server answers.",
    ),
    Recording(
        "cluster:rsm_in_sync:primary",
        'min by (cluster) (rsm_in_sync{job="aulario-server"} and on (cluster, instance) rsm_role{role="primary"} == 1)',
        "Servers whose copy a commit needs, as the primary knows it.",
    ),
    Recording(
        "cluster:rsm_commit_waiting_seconds:newest",
        "max by (cluster) (rsm_commit_waiting_seconds"
        " and on (cluster, instance) (rsm_epoch == on (cluster) group_left () max by (cluster) (rsm_epoch)))",
        "For how long the oldest batch has waited for its commit, at who has come to the newest epoch.",
    ),
    Recording(
        "cluster_instance:rsm_fsync_seconds:p99_5m",
        "histogram_quantile(0.99, sum by (cluster, instance, le) (rate(rsm_fsync_seconds_bucket[5m])))",
        "99th percentile of one durable write of the log.",
    ),
    Recording(
        "cluster_phase:rsm_failover_seconds:mean10m",
        "sum by (cluster, phase) (increase(rsm_failover_seconds_sum[10m]))"
        " / sum by (cluster, phase) (increase(rsm_failover_seconds_count[10m]))",
        "Mean time of each phase of the failovers of the last ten minutes.",
    ),
    Recording(
        "cluster_leg_pattern:aulario_request_seconds:p99_5m",
        "histogram_quantile(0.99, sum by (cluster, leg, pattern, le)"
        ' (rate(aulario_request_seconds_bucket{job="aulario-faculty"}[5m])))',
        "99th percentile of each leg as the faculties see it.",
    ),
    Recording("cluster:aulario_slow:ratio_5m", _slow_ratio("5m"), "Share of requests slower than the objective."),
    Recording("cluster:aulario_slow:ratio_1h", _slow_ratio("1h"), "The same over an hour."),
    Recording(
        "cluster_status_pattern:aulario_results:rate1m",
        'sum by (cluster, status, pattern) (rate(aulario_results_total{job="aulario-faculty"}[1m]))',
        "Results a second that programs got.",
    ),
    Recording(
        "cluster:aulario_busy:rate1m",
        'sum by (cluster) (rate(aulario_refusals_total{code="BUSY", job="aulario-server"}[1m]))',
        "Requests a second that servers refused for lack of room.",
    ),
    Recording(
        "cluster:aulario_holds_expired:increase5m",
        "max by (cluster) (increase(aulario_holds_expired_total[5m]))",
        "Holds that expired in the last five minutes.",
    ),
    Recording(
        "cluster:aulario_rooms:primary",
        "max by (cluster, term, kind, state)"
        ' (aulario_rooms and on (cluster, instance) rsm_role{role="primary"} == 1)',
        "Rooms by state, as the primary knows them.",
    ),
)
