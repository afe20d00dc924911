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
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click

from nodes.config.cluster import DEFAULT_SECURITY, PROFILES, SECURITY, ClusterConfig, one_host
from nodes.security import principals
from nodes.security.cluster_keys import ensure_keys
from ops import unmeasured
from ops.cluster import running_cluster
from ops.cluster_dir import run_directory
from ops.demo import free_base_port
from ops.report.usage import processor_s
from ops.supervisor import PLAIN, Surroundings

BUILDINGS = 10
CLASSROOMS = 140
LABS = 40
PER_TERM = 190
"""Transactions of 7 + 2 that surely fit a term of 1 400 classrooms and 400 labs."""

METRICS = ("on", "off")


class Mode(NamedTuple):
    """How one of the compared clusters runs."""

    security: str
    metrics: str

    def surroundings(self, process: str) -> Surroundings:
        """What to start that process in."""
        is_unmeasured = self.metrics == "off" and process.startswith("server-")
        return Surroundings(prefix=unmeasured.PREFIX) if is_unmeasured else PLAIN


@click.command()
@click.option("--in-flight", "in_flight", default="1,50,500", show_default=True, help="Loads, separated by commas.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of one run.")
@click.option("--runs", default=3, show_default=True, help="Runs of each load.")
@click.option("--lone", is_flag=True, help="Every message in a frame of its own, no arrays.")
@click.option("--connections", default=10, show_default=True)
@click.option("--security", type=click.Choice(SECURITY), multiple=True, default=(DEFAULT_SECURITY,), show_default=True,
              help="Of the cluster; several are measured in turn.")  # fmt: skip
@click.option("--metrics", type=click.Choice(METRICS), multiple=True, default=("on",), show_default=True,
              help="Whether the servers count and time what they do; both are measured in turn.")  # fmt: skip
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
def bench(
    in_flight: str, seconds: float, runs: int, lone: bool, connections: int, security: tuple[str, ...],
    metrics: tuple[str, ...], output: str,
) -> None:  # fmt: skip
    """Measure transactions per second and latency on a scratch cluster, or on several in turn."""
    loads = [int(one) for one in in_flight.split(",")]
    modes = [Mode(*mode) for mode in product(security, metrics)]
    found: dict[tuple[Mode, int], list[dict[str, Any]]] = {(mode, load): [] for mode in modes for load in loads}
    with ExitStack() as stack:
        places = {mode: Path(stack.enter_context(TemporaryDirectory(prefix="aulario-bench-"))) for mode in modes}
        servers = {}
        for mode, directory in places.items():
            config = bench_config(directory, mode.security, connections)
            running = stack.enter_context(running_cluster(directory, config, mode.surroundings))
            servers[mode] = running.supervisor.pids()["server-a"]
        first = dict.fromkeys(modes, 0)
        for _ in range(runs):
            for mode, load in found:
                settings = {
                    "config_file": str(run_directory(places[mode]) / "cluster.toml"),
                    "root": str(places[mode]),
                    "server": "a",
                    "in_flight": load,
                    "seconds": seconds,
                    "connections": min(connections, load),
                    "per_term": PER_TERM,
                    "lone": lone,
                    "first": first[mode],
                }
                before_s = processor_s(servers[mode])
                figures = _run(settings)
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


def _run(settings: dict[str, Any]) -> dict[str, Any]:
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


def _print(found: dict[tuple[Mode, int], list[dict[str, Any]]], output: str) -> None:
    names = ("per_second", "p50_ms", "p99_ms", "step_p50_ms", "step_p99_ms", "cpu_us")
    table = [
        {
            **mode._asdict(),
            "in_flight": load,
            **{name: round(median(run[name] for run in runs), 2) for name in names},
            "runs": len(runs),
        }
        for (mode, load), runs in found.items()
    ]
    if output == "json":
        click.echo(json.dumps(table))
        return
    widths = {"security": 12, "metrics": 7, "in_flight": 9, "per_second": 10, **dict.fromkeys(names[1:], 11)}
    click.echo(" ".join(f"{name:>{width}}" for name, width in widths.items()))
    for row in table:
        click.echo(" ".join(f"{row[name]:>{width}}" for name, width in widths.items()))


if __name__ == "__main__":
    bench()
