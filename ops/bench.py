"""`python -m ops.bench`: how many transactions a second a cluster takes, each fsynced on both nodes.

It prints figures and asserts none. A scratch cluster with a large catalog, so that no term runs short;
loads are interleaved and the median run is told. `cpu_us` is the primary's processor time for one transaction, all its
threads together: it tells what a feature costs where the rate is too noisy.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click

from nodes.config.cluster import DEFAULT_SECURITY, PROFILES, SECURITY, ClusterConfig, one_host
from nodes.security import principals
from nodes.security.cluster_keys import ensure_keys
from ops.cluster import running_cluster
from ops.cluster_dir import run_directory
from ops.demo import free_base_port
from ops.report.usage import processor_s

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
@click.option("--security", type=click.Choice(SECURITY), multiple=True, default=(DEFAULT_SECURITY,), show_default=True,
              help="Of the cluster; several are measured in turn.")  # fmt: skip
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
def bench(
    in_flight: str, seconds: float, runs: int, lone: bool, connections: int, security: tuple[str, ...], output: str
) -> None:
    """Measure transactions per second and latency on a scratch cluster, or on several in turn."""
    loads = [int(one) for one in in_flight.split(",")]
    found: dict[tuple[str, int], list[dict[str, Any]]] = {(mode, load): [] for mode in security for load in loads}
    with ExitStack() as stack:
        places = {mode: Path(stack.enter_context(TemporaryDirectory(prefix="aulario-bench-"))) for mode in security}
        servers = {}
        for mode, directory in places.items():
            running = stack.enter_context(running_cluster(directory, bench_config(directory, mode, connections)))
            servers[mode] = running.supervisor.pids()["server-a"]
        first = dict.fromkeys(security, 0)
        for _ in range(runs):
            for mode, load in found:
                settings = load_settings(places[mode], load, seconds, connections, lone=lone, first=first[mode])
                before_s = processor_s(servers[mode])
                figures = run_load(settings)
                figures["cpu_us"] = (processor_s(servers[mode]) - before_s) * 1e6 / max(figures["transactions"], 1)
                first[mode] = (figures["next"] // PER_TERM + 1) * PER_TERM
                found[mode, load].append(figures)
    _print(found, output)


def bench_config(directory: Path, security: str, connections: int) -> ClusterConfig:
    """A cluster that faculties 1 … n may speak to, each over a connection of its own."""
    catalog = directory / "rooms.csv"
    _write_catalog(catalog)
    base = one_host(directory, cluster_id="bench", faculties=0, base_port=free_base_port(), timing=PROFILES["slow"])
    config = replace(base, catalog=catalog, security=security)
    ensure_keys(config, (principals.faculty(1 + number) for number in range(connections)))
    return config


def _write_catalog(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "kind", "building", "seats"])
        for building in range(1, BUILDINGS + 1):
            for number in range(1, CLASSROOMS + 1):
                rows.writerow([f"B{building:02d}-C{number:03d}", "classroom", f"B{building:02d}", 40])
            for number in range(1, LABS + 1):
                rows.writerow([f"B{building:02d}-L{number:02d}", "lab", f"B{building:02d}", 24])


def load_settings(
    directory: Path, in_flight: int, seconds: float, connections: int, *, lone: bool = False, first: int = 0
) -> dict[str, Any]:
    """What the load on the cluster in a directory is told (nodes.clients.load)."""
    return {
        "config_file": str(run_directory(directory) / "cluster.toml"),
        "root": str(directory),
        "server": "a",
        "in_flight": in_flight,
        "seconds": seconds,
        "connections": min(connections, in_flight),
        "per_term": PER_TERM,
        "lone": lone,
        "first": first,
    }


def run_load(settings: dict[str, Any]) -> dict[str, Any]:
    """Its figures, once it is over. Raises click's ClickException."""
    done = subprocess.run(
        [sys.executable, "-m", "nodes.clients.load"],
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


def _print(found: dict[tuple[str, int], list[dict[str, Any]]], output: str) -> None:
    names = ("per_second", "p50_ms", "p99_ms", "step_p50_ms", "step_p99_ms", "cpu_us")
    table = [
        {
            "security": mode,
            "in_flight": load,
            **{name: round(median(run[name] for run in runs), 2) for name in names},
            "runs": len(runs),
        }
        for (mode, load), runs in found.items()
    ]
    if output == "json":
        click.echo(json.dumps(table))
        return
    widths = {"security": 12, "in_flight": 9, "per_second": 10, **dict.fromkeys(names[1:], 11)}
    click.echo(" ".join(f"{name:>{width}}" for name, width in widths.items()))
    for row in table:
        click.echo(" ".join(f"{row[name]:>{width}}" for name, width in widths.items()))


if __name__ == "__main__":
    bench()
