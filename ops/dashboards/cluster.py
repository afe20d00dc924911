"""The dashboard *Cluster*: who leads, how far the copies are, what disks and peers do."""

from __future__ import annotations

from typing import Final

from ops.dashboards.panels import (
    BAD,
    BYTES,
    CLUSTER,
    COUNT,
    FAIR,
    GOOD,
    NEUTRAL,
    PER_SECOND,
    SECONDS,
    SHARE,
    WINDOW,
    Board,
    Kind,
    Limit,
    Panel,
    Query,
    Row,
    State,
    quantiles,
)  # fmt: skip

_NOW: Final = Row(
    "Now",
    (
        Panel(
            "Primaries", "Servers that take themselves for primary. One is right; none answers nobody.", COUNT,
            (Query(f"cluster:rsm_primaries:sum{{{CLUSTER}}}", "{{cluster}}"),),
            (Limit(None, BAD), Limit(1, GOOD), Limit(2, BAD)), Kind.STAT, 4,
        ),
        Panel(
            "Copies", "Servers whose disk a commit waits for, the primary's included.", COUNT,
            (Query(f"cluster:rsm_in_sync:primary{{{CLUSTER}}}", "{{cluster}}"),),
            (Limit(None, BAD), Limit(1, FAIR), Limit(2, GOOD)), Kind.STAT, 4,
        ),
        Panel(
            "Silent processes", "Processes that did not answer the last scrape.", COUNT,
            (Query(f"count by (cluster) (up{{{CLUSTER}}}) - sum by (cluster) (up{{{CLUSTER}}})", "{{cluster}}"),),
            (Limit(None, GOOD), Limit(1, BAD)), Kind.STAT, 4,
        ),
        Panel(
            "Epoch", "Rises with every change of the primary or of who is in sync; never falls.", COUNT,
            (Query(f"max by (cluster) (rsm_epoch{{{CLUSTER}}})", "{{cluster}}"),),
            (Limit(None, NEUTRAL),), Kind.STAT, 4,
        ),
        Panel(
            "Alerts that fire", "Each has its section in OPERATIONS.md.", COUNT,
            (Query(f'sum(ALERTS{{{CLUSTER}, alertstate="firing"}}) or vector(0)', "firing"),),
            (Limit(None, GOOD), Limit(1, BAD)), Kind.STAT, 4,
        ),
        Panel(
            "Failovers, 24 h", "Times a backup took over.", COUNT,
            (Query(f"sum by (cluster) (increase(rsm_failovers_total{{{CLUSTER}}}[24h]))", "{{cluster}}"),),
            (Limit(None, GOOD), Limit(1, FAIR), Limit(5, BAD)), Kind.STAT, 4,
        ),
    ),
)  # fmt: skip

_ROLES: Final = Row(
    "Roles",
    (
        Panel(
            "Servers", "What each server was, to the resolution of the scrapes.", COUNT,
            (
                Query(
                    f'sum by (cluster, instance) (rsm_role{{{CLUSTER}, role="primary"}} + ignoring (role) rsm_active)'
                    f' or sum by (cluster, instance) (up{{{CLUSTER}, job="aulario-server"}} - 1)',
                    "{{instance}}",
                ),
            ),
            (Limit(None, NEUTRAL),), Kind.TIMELINE, 12,
            {
                -1: State("no answer", BAD), 0: State("backup", NEUTRAL),
                1: State("primary, opening", FAIR), 2: State("primary", GOOD),
            },
        ),
        Panel(
            "Witness and faculties", "Whether each answered; the faculties also whether they know a server.", COUNT,
            (
                Query(f'up{{{CLUSTER}, job="aulario-witness"}} * 2 - 1', "{{instance}}"),
                Query(
                    f"sum by (cluster, instance) (aulario_server_followed{{{CLUSTER}}})"
                    f' or sum by (cluster, instance) (up{{{CLUSTER}, job="aulario-faculty"}} - 1)',
                    "{{instance}}",
                ),
            ),
            (Limit(None, NEUTRAL),), Kind.TIMELINE, 12,
            {-1: State("no answer", BAD), 0: State("without a server", FAIR), 1: State("well", GOOD)},
        ),
        Panel(
            "Failover by phase, at the servers",
            "Mean of the last ten minutes: silence until the witness agreed, then until the new primary served, "
            "then until its first answer.", SECONDS,
            (Query(f"cluster_phase:rsm_failover_seconds:mean10m{{{CLUSTER}}}", "{{phase}}"),),
            (Limit(None, GOOD), Limit(3, BAD)), Kind.STACK,
        ),
        Panel(
            "Failover by phase, at the faculties",
            "Mean of the last ten minutes: from the lost server's last beat until another one was followed, then until "
            "the first result that stands.", SECONDS,
            (
                Query(
                    f"sum by (cluster, phase) (increase(aulario_outage_seconds_sum{{{CLUSTER}}}[10m]))"
                    f" / sum by (cluster, phase) (increase(aulario_outage_seconds_count{{{CLUSTER}}}[10m]))",
                    "{{phase}}",
                ),
            ),
            (Limit(None, GOOD), Limit(3, BAD)), Kind.STACK,
        ),
        Panel(
            "Epoch by process", "All agree within a moment; who stays below is cut off.", COUNT,
            (Query(f"sum by (cluster, instance) (rsm_epoch{{{CLUSTER}}})", "{{instance}}"),),
            (Limit(None, NEUTRAL),),
        ),
        Panel(
            "Failovers", "By kind, in the time between two points.", COUNT,
            (Query(f"sum by (cluster, kind) (increase(rsm_failovers_total{{{CLUSTER}}}{WINDOW}))", "{{kind}}"),),
            (Limit(None, GOOD), Limit(1, FAIR)), Kind.STACK,
        ),
    ),
)  # fmt: skip

_REPLICATION: Final = Row(
    "Replication",
    (
        Panel(
            "Lag in events", "What a backup lacks of what the primary said it has.", COUNT,
            (Query(f"sum by (cluster, instance) (rsm_replication_lag_events{{{CLUSTER}}})", "{{instance}}"),),
            (Limit(None, GOOD), Limit(10_000, FAIR)),
        ),
        Panel(
            "Lag in time", "For how long it has lacked something.", SECONDS,
            (Query(f"sum by (cluster, instance) (rsm_replication_lag_seconds{{{CLUSTER}}})", "{{instance}}"),),
            (Limit(None, GOOD), Limit(2, BAD)),
        ),
        Panel(
            "Commit", "From sealing a batch until it is durable on every copy.", SECONDS,
            quantiles("rsm_commit_seconds", CLUSTER, "cluster", ""), (Limit(None, GOOD), Limit(0.3, BAD)),
        ),
        Panel(
            "Durable write", "One write of the log, flushed. A write longer than stall_ms makes a server seem dead.",
            SECONDS, quantiles("rsm_fsync_seconds", CLUSTER, "cluster, instance", "{{instance}}"),
            (Limit(None, GOOD), Limit(0.1, FAIR), Limit(0.3, BAD)),
        ),
        Panel(
            "Events committed", "By the primary, a second.", PER_SECOND,
            (Query(f"max by (cluster) (rate(rsm_commit_seq{{{CLUSTER}}}{WINDOW}))", "{{cluster}}"),),
            (Limit(None, NEUTRAL),),
        ),
        Panel(
            "Events in a batch", "What one flush carries: grows with the load.", COUNT,
            quantiles("rsm_batch_events", CLUSTER, "cluster", ""), (Limit(None, NEUTRAL),),
        ),
        Panel(
            "Waiting for a commit", "How old the oldest batch is that has not committed; it grows while nothing does.",
            SECONDS, (Query(f"cluster:rsm_commit_waiting_seconds:newest{{{CLUSTER}}}", "{{cluster}}"),),
            (Limit(None, GOOD), Limit(2, BAD)),
        ),
    ),
)  # fmt: skip

_STORAGE: Final = Row(
    "Storage and processes",
    (
        Panel(
            "Size of the log", "Of each server; both logs are equal.", BYTES,
            (Query(f"sum by (cluster, instance) (rsm_log_bytes{{{CLUSTER}}})", "{{instance}}"),),
            (Limit(None, NEUTRAL),), width=8,
        ),
        Panel(
            "Free disk", "Share of the disk that the log is on.", SHARE,
            (
                Query(
                    f"sum by (cluster, instance) (rsm_disk_free_bytes{{{CLUSTER}}})"
                    f" / sum by (cluster, instance) (rsm_disk_bytes{{{CLUSTER}}})",
                    "{{instance}}",
                ),
            ),
            (Limit(None, BAD), Limit(0.05, FAIR), Limit(0.3, GOOD)), width=8,
        ),
        Panel(
            "Replay at the start", "How long each server took to fold its log when it started.", SECONDS,
            (Query(f"sum by (cluster, instance) (rsm_replay_seconds{{{CLUSTER}}})", "{{instance}}"),),
            (Limit(None, GOOD), Limit(60, FAIR)), width=8,
        ),
        Panel(
            "Memory", "Resident, of each process.", BYTES,
            (Query(f"sum by (cluster, instance) (process_resident_memory_bytes{{{CLUSTER}}})", "{{instance}}"),),
            (Limit(None, NEUTRAL),),
        ),
        Panel(
            "CPU", "Share of one core, of each process; the workers of a server are not in it.", SHARE,
            (
                Query(
                    f"sum by (cluster, instance) (rate(process_cpu_seconds_total{{{CLUSTER}}}{WINDOW}))",
                    "{{instance}}",
                ),
            ),
            (Limit(None, GOOD), Limit(0.9, FAIR)),
        ),
    ),
)  # fmt: skip

_REFUSED: Final = Row(
    "Refused and ignored",
    (
        Panel(
            "Refused peers", "Without a valid key, or with another's role, by socket and reason.", COUNT,
            (
                Query(
                    f"topk(8, sum by (cluster, instance, socket, reason)"
                    f" (increase(rsm_auth_refused_total{{{CLUSTER}}}{WINDOW})))",
                    "{{instance}} {{socket}} {{reason}}",
                ),
            ),
            (Limit(None, GOOD), Limit(1, BAD)), width=8,
        ),
        Panel(
            "Ignored messages", "The eight most frequent reasons.", COUNT,
            (
                Query(
                    f"topk(8, sum by (cluster, job, why) (increase(rsm_ignored_total{{{CLUSTER}}}{WINDOW})))",
                    "{{job}} {{why}}",
                ),
            ),
            (Limit(None, NEUTRAL),), width=8,
        ),
        Panel(
            "Epochs that are over, histories that differ",
            "A few of the first belong to every change of role; of the second there must never be one.", COUNT,
            (
                Query(
                    f"sum by (cluster, instance) (increase(rsm_stale_epoch_total{{{CLUSTER}}}{WINDOW}))",
                    "{{instance}} stale epoch",
                ),
                Query(
                    f"sum by (cluster, instance) (rsm_digest_mismatch_total{{{CLUSTER}}})",
                    "{{instance}} other history",
                ),
            ),
            (Limit(None, GOOD), Limit(1, FAIR)), width=8,
        ),
    ),
)  # fmt: skip

CLUSTER_BOARD: Final = Board(
    "aulario-cluster",
    "Cluster",
    "Roles, failovers, replication, disks and refused peers of an Aulario cluster.",
    (_NOW, _ROLES, _REPLICATION, _STORAGE, _REFUSED),
)
