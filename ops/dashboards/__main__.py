"""`python -m ops.dashboards`: write everything below grafana/ that is generated, for a cluster on the usual ports.

With `--check` nothing is written: exit code 1 names what differs from what the code says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

import ops
from nodes.config.cluster import one_host
from ops.dashboards.allocation import ALLOCATION_BOARD
from ops.dashboards.build import to_json
from ops.dashboards.cluster import CLUSTER_BOARD
from ops.prometheus.configuration import ALERTS_FILE, RECORDING_FILE, alerts_yml, prometheus_yml, recording_yml

GRAFANA: Final = Path(ops.__file__).resolve().parents[1] / "grafana"
ALERTMANAGER: Final = "127.0.0.1:9093"


def generated() -> Mapping[Path, str]:
    """The text of each generated file, by its path below grafana/."""
    usual = one_host(Path("cluster").absolute(), cluster_id="aulario")
    return {
        Path("dashboards/cluster.json"): to_json(CLUSTER_BOARD),
        Path("dashboards/allocation.json"): to_json(ALLOCATION_BOARD),
        Path("prometheus/prometheus.yml"): prometheus_yml(usual, alertmanager=ALERTMANAGER),
        Path("prometheus") / RECORDING_FILE: recording_yml(),
        Path("prometheus") / ALERTS_FILE: alerts_yml(),
    }


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; say what differs.")
def main(check: bool) -> None:
    """Write the dashboards, the scrape configuration, the recording rules and the alerts."""
    different = []
    for path, text in generated().items():
        place = GRAFANA / path
        if check and (not place.exists() or place.read_text(encoding="utf-8") != text):
            different.append(str(path))
        elif not check:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    if different:
        raise click.ClickException(f"not as `python -m ops.dashboards` writes it: {', '.join(different)}")


if __name__ == "__main__":
    main()
