"""Prometheus's configuration for a cluster: targets, recording rules, alerts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nodes.config.cluster import ClusterConfig, http_address
from ops.observe import process_names
from ops.prometheus.alerts import ALERTS
from ops.prometheus.recording import RECORDINGS
from ops.prometheus.yaml_text import Value, render

RECORDING_FILE: Final = "recording.yml"
ALERTS_FILE: Final = "alerts.yml"
SCRAPE_INTERVAL_S: Final = 5
"""A failover takes less; what is counted and timed does not depend on it, a curve's resolution does."""

JOBS: Final = {"server": "aulario-server", "witness": "aulario-witness", "faculty": "aulario-faculty"}


def prometheus_yml(config: ClusterConfig, interval_s: int = SCRAPE_INTERVAL_S, alertmanager: str = "") -> str:
    """`prometheus.yml`; the rules stand beside it. `alertmanager` is host:port, empty for none.

    Every target bears `cluster` and, as `instance`, the process's name."""
    document: dict[str, Value] = {
        "global": {"scrape_interval": f"{interval_s}s", "evaluation_interval": f"{interval_s}s"},
        "rule_files": [RECORDING_FILE, ALERTS_FILE],
        "scrape_configs": list(_scrape_configs(config)),
    }
    if alertmanager:
        document["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return render(document)


def _scrape_configs(config: ClusterConfig) -> Iterator[Value]:
    names = process_names(config)
    for kind, job in JOBS.items():
        targets: list[Value] = [
            {
                "targets": [":".join(map(str, http_address(url)))],
                "labels": {"cluster": config.cluster_id, "instance": name},
            }
            for name, url in names.items()
            if name.partition("-")[0] == kind
        ]
        if targets:
            yield {"job_name": job, "static_configs": targets}


def recording_yml() -> str:
    """The recording rules."""
    rules: list[Value] = [{"record": rule.name, "expr": rule.expr} for rule in RECORDINGS]
    return render({"groups": [{"name": "aulario-recording", "rules": rules}]})


def alerts_yml() -> str:
    """The alerts, in a group after what they look at."""
    rules: list[Value] = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.holds_for,
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary,
                "description": alert.description,
                "runbook_url": alert.runbook,
            },
        }
        for alert in ALERTS
    ]
    return render({"groups": [{"name": "aulario-alerts", "rules": rules}]})
