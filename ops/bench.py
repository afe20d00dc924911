"""`python -m ops.bench`: how many transactions a second a cluster takes, each fsynced on both nodes.

It prints figures and asserts none. A scratch cluster with a large catalog, so that no term runs short;
loads are interleaved and the median run is told.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click

from nodes.config import PROFILES, one_host
from ops.cluster import running_cluster
from ops.demo import free_base_port

BUILDINGS = 10
CLASSROOMS = 140
LABS = 40
PER_TERM = 190
"""Transactions of 7 + 2 that surely fit a term of 1 400 classrooms and 400 labs."""


@click.command()
@click.option("--in-flight", "in_flight", default="1,50,500", show_default=True, help="Loads, separated by commas.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of one run.")
@click.option("--runs", default=3, show_default=True, help="Runs of each load.")
@click.option("--lone", is_flag=True, help="Every message in a frame of its own, no arrays.")
@click.option("--connections", default=10, show_default=True)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
def bench(in_flight: str, seconds: float, runs: int, lone: bool, connections: int, output: str) -> None:
    """Measure transactions per second and latency on a scratch cluster."""
    loads = [int(one) for one in in_flight.split(",")]
    found: dict[int, list[dict[str, Any]]] = {load: [] for load in loads}
    with tempfile.TemporaryDirectory(prefix="aulario-bench-") as scratch:
        directory = Path(scratch)
        catalog = directory / "rooms.csv"
        _write_catalog(catalog)
        base = one_host(directory, cluster_id="bench", faculties=0, base_port=free_base_port(), timing=PROFILES["slow"])
        with running_cluster(directory, replace(base, catalog=catalog)) as cluster:
            first = 0
            for _ in range(runs):
                for load in loads:
                    settings = {
                        "endpoint": cluster.ready["servers"][0]["requests"],
                        "in_flight": load,
                        "seconds": seconds,
                        "connections": min(connections, load),
                        "per_term": PER_TERM,
                        "lone": lone,
                        "first": first,
                    }
                    figures = _run(settings)
                    first = (figures["next"] // PER_TERM + 1) * PER_TERM
                    found[load].append(figures)
    _print(found, output)


def _write_catalog(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "kind", "building", "seats"])
        for building in range(1, BUILDINGS + 1):
            for number in range(1, CLASSROOMS + 1):
                rows.writerow([f"B{building:02d}-C{number:03d}", "classroom", f"B{building:02d}", 40])
            for number in range(1, LABS + 1):
                rows.writerow([f"B{building:02d}-L{number:02d}", "lab", f"B{building:02d}", 24])


def _run(settings: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "nodes.load"],
        input=json.dumps(settings),
        capture_output=True,
        text=True,
        timeout=settings["seconds"] + 60,
        check=False,
    )
    if done.returncode != 0:
        raise click.ClickException(f"the load failed: {done.stderr.strip().splitlines()[-1]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _print(found: dict[int, list[dict[str, Any]]], output: str) -> None:
    names = ("per_second", "p50_ms", "p99_ms", "step_p50_ms", "step_p99_ms")
    table = [
        {"in_flight": load, **{name: round(median(run[name] for run in runs), 2) for name in names}, "runs": len(runs)}
        for load, runs in found.items()
    ]
    if output == "json":
        click.echo(json.dumps(table))
        return
    click.echo(f"{'in flight':>9} {'tx/s':>8} {'tx p50 ms':>10} {'tx p99 ms':>10} {'step p50':>9} {'step p99':>9}")
    for row in table:
        click.echo(
            f"{row['in_flight']:>9} {row['per_second']:>8.0f} {row['p50_ms']:>10.2f} {row['p99_ms']:>10.2f} "
            f"{row['step_p50_ms']:>9.2f} {row['step_p99_ms']:>9.2f}"
        )


if __name__ == "__main__":
    bench()
