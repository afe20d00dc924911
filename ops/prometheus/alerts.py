"""Alerts, each with its section in OPERATIONS.md."""

from __future__ import annotations

from typing import Final, NamedTuple

CRITICAL: Final = "critical"
WARNING: Final = "warning"
RUNBOOK: Final = "OPERATIONS.md"


class Alert(NamedTuple):
    """One alert. It fires when `expr` was true for `holds_for`, a Prometheus duration; CRITICAL wakes somebody."""

    name: str
    severity: str
    expr: str
    holds_for: str
    summary: str
    description: str

    @property
    def runbook(self) -> str:
        """Where its section stands, from the root of the repository."""
        return f"{RUNBOOK}#{self.name.lower()}"


ALERTS: Final = (
    Alert(
        "NoPrimary", CRITICAL, "cluster:rsm_primaries:sum == 0", "10s",
        "Cluster {{ $labels.cluster }} has no primary",
        "No server of {{ $labels.cluster }} leads: no request is answered until one does.",
    ),
    Alert(
        "TwoPrimaries", CRITICAL, "cluster:rsm_primaries:sum > 1", "15s",
        "{{ $value }} servers of cluster {{ $labels.cluster }} take themselves for primary",
        "The one with the lower epoch is cut off and can commit nothing; two with the same epoch must never be.",
    ),
    Alert(
        "DigestMismatch", CRITICAL, "sum by (cluster, instance) (rsm_digest_mismatch_total) > 0", "0s",
        "{{ $labels.instance }} heard an acknowledgement of a history that is not its own",
        "Two logs of {{ $labels.cluster }} differ where they must be equal. Refused so far: {{ $value }}.",
    ),
    Alert(
        "BackupMissing", CRITICAL,
        'cluster:rsm_in_sync:primary < count by (cluster) (up{job="aulario-server"})'
        ' or count by (cluster) (up{job="aulario-server"} == 1) < count by (cluster) (up{job="aulario-server"})', "1m",
        "Copies left in cluster {{ $labels.cluster }}: {{ $value }}",
        "A server is not in sync: what is confirmed now lacks its copy, and one more failure stops the service.",
    ),
    Alert(
        "NothingCommits", CRITICAL, "cluster:rsm_commit_waiting_seconds:newest > 2", "10s",
        "Cluster {{ $labels.cluster }} has confirmed nothing for {{ $value | humanizeDuration }}",
        "Its primary waits for a copy that does not come, and cannot go on alone before the witness says so.",
    ),
    Alert(
        "LagHigh", WARNING, "max by (cluster, instance) (rsm_replication_lag_seconds) > 2", "30s",
        "{{ $labels.instance }} is {{ $value | humanizeDuration }} behind its primary",
        "A backup of {{ $labels.cluster }} does not keep up: it slows every commit down, or is dropped.",
    ),
    Alert(
        "WitnessMissing", WARNING, 'up{job="aulario-witness"} == 0', "30s",
        "The witness of cluster {{ $labels.cluster }} does not answer",
        "While every server in sync lives, service goes on; but no role can change: if one of them dies now, it stops.",
    ),
    Alert(
        "FailoverSlow", WARNING,
        'sum by (cluster) (cluster_phase:rsm_failover_seconds:mean10m{phase=~"detect|promote"}) > 3', "0s",
        "A failover of cluster {{ $labels.cluster }} took {{ $value | humanizeDuration }}",
        "From the last sign of the old primary until the new one served, without the clients' own retries.",
    ),
    Alert(
        "FailoverFlapping", CRITICAL, "sum by (cluster) (increase(rsm_failovers_total[15m])) > 2.5", "0s",
        "Cluster {{ $labels.cluster }} has changed its primary {{ $value | humanize }} times in 15 minutes",
        "Each change costs its clients about a second; something fails again and again.",
    ),
    Alert(
        "FsyncSlow", WARNING, "cluster_instance:rsm_fsync_seconds:p99_5m > 0.1", "2m",
        "The disk of {{ $labels.instance }} takes {{ $value | humanizeDuration }} for a write",
        "99th percentile of the last five minutes. A write longer than stall_ms makes a server seem dead.",
    ),
    Alert(
        "LatencySLO", CRITICAL, "cluster:aulario_slow:ratio_5m > 0.144 and cluster:aulario_slow:ratio_1h > 0.144", "1m",
        "{{ $value | humanizePercentage }} of the requests of {{ $labels.cluster }} are slower than half a second",
        "At this rate the month's budget of one in a hundred is spent within two days.",
    ),
    Alert(
        "Overloaded", WARNING, "cluster:aulario_busy:rate1m > 10", "30s",
        "Cluster {{ $labels.cluster }} refuses {{ $value | humanize }} requests a second",
        "More is asked than fits the bounds; faculties ask again, programs wait longer or are told UNAVAILABLE.",
    ),
    Alert(
        "LimitReached", WARNING,
        'sum by (cluster) (increase(aulario_refusals_total{code="LIMIT_REACHED"}[5m])) > 0', "0s",
        "Cluster {{ $labels.cluster }} refused {{ $value | humanize }} requests that somebody's share has no room for",
        "A program or faculty has used up its part of what the servers, or the faculty's process, remember."
        " It stays so until somebody acts.",
    ),
    Alert(
        "LabsExhausted", WARNING,
        'max by (cluster) (increase(aulario_alerts_total{code=~"LABS_EXHAUSTED|NOT_ENOUGH_ROOMS"}[15m])) > 0', "0s",
        "A term of cluster {{ $labels.cluster }} has run out of labs or rooms",
        "Labs are covered by mobile labs while classrooms last; then requests are denied. The log names the term.",
    ),
    Alert(
        "ExpirySpike", WARNING, "cluster:aulario_holds_expired:increase5m > 20", "0s",
        "{{ $value | humanize }} holds of cluster {{ $labels.cluster }} expired within five minutes",
        "Faculties take proposals and do not answer them in time; the rooms are free again.",
    ),
    Alert(
        "AuthRefusals", WARNING,
        'sum by (cluster, instance, socket, reason) (increase(rsm_auth_refused_total{reason!="left"}[5m])) > 2.5', "0s",
        "{{ $labels.instance }} refused {{ $value | humanize }} peers on {{ $labels.socket }}: {{ $labels.reason }}",
        "Somebody without a valid key, or with another's role, keeps trying.",
    ),
    Alert(
        "StaleEpochWrites", WARNING, "sum by (cluster, instance) (rate(rsm_stale_epoch_total[1m])) > 0", "3m",
        "{{ $labels.instance }} keeps hearing from an epoch that is over",
        "A deposed primary has not learnt of it, because it cannot hear; nothing it says counts.",
    ),
    Alert(
        "DiskFilling", CRITICAL,
        "rsm_disk_free_bytes / rsm_disk_bytes < 0.05 or"
        " (rsm_disk_free_bytes / rsm_disk_bytes < 0.3 and predict_linear(rsm_disk_free_bytes[6h], 86400) < 0)", "5m",
        "The disk of {{ $labels.instance }} is full within a day",
        "{{ $value | humanizePercentage }} is free. A server whose disk is full stops acknowledging.",
    ),
)  # fmt: skip
