"""`python -m ops.metrics_cost`: what metrics and timings cost a server under load.

Two processes differ by more than that, by where their memory lies and what else the machine does. So one server
measures in every other quarter of a second, and each slice is compared with the one beside it. It prints figures and
asserts none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from nodes.config.cluster import DEFAULT_SECURITY, SECURITY
from ops.bench import bench_config, load_settings, run_load
from ops.cluster import running_cluster
from ops.metrics_switch import Slice
from ops.output import JSON, TABLE, output_option, print_rows
from ops.supervisor import PLAIN, Surroundings

ANSWERS_MIN: Final = 100
"""A slice with fewer is one from before or after the load."""

COLUMNS: Final = ("in_flight", "pairs", "cpu_us", "unmeasured_us", "cpu_cost", "quartiles", "rate_cost")


@click.command()
@click.option("--in-flight", "in_flight", default="50,500", show_default=True, help="Loads, separated by commas.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of one run.")
@click.option("--runs", default=3, show_default=True, help="Runs of each load, on a new cluster each.")
@click.option("--connections", default=10, show_default=True)
@click.option("--security", type=click.Choice(SECURITY), default=DEFAULT_SECURITY, show_default=True)
@output_option(TABLE, JSON)
def metrics_cost(
    in_flight: str, seconds: float, runs: int, connections: int, security: str, output: str
) -> None:
    """Compare a server that measures with itself when it does not: processor time for one transaction in µs, and what
    measuring adds to that and takes from the rate, as the median of neighbouring slices.

    \b
    Examples:
      python -m ops.metrics_cost
      python -m ops.metrics_cost --in-flight 500 --runs 5 --security none
    """
    rows = []
    for load in map(int, in_flight.split(",")):
        found: list[tuple[Slice, Slice]] = []
        for _ in range(runs):
            found += pairs(_run(load, seconds, connections, security))
        if len(found) < 2:
            raise click.UsageError("--seconds is too short to compare anything")
        rows.append({"in_flight": load, **compared(found)})
    print_rows(rows, COLUMNS, output)


def _run(load: int, seconds: float, connections: int, security: str) -> list[Slice]:
    with TemporaryDirectory(prefix="aulario-bench-") as name:
        directory = Path(name)
        slices = directory / "slices"
        prefix = (sys.executable, "-P", "-m", "ops.metrics_switch", str(slices))

        def surroundings(process: str) -> Surroundings:
            return Surroundings(prefix=prefix) if process == "server-a" else PLAIN

        with running_cluster(directory, bench_config(directory, security, connections), surroundings):
            run_load(load_settings(directory, load, seconds, connections))
        return [Slice(*json.loads(line)) for line in slices.read_text(encoding="utf-8").splitlines()]


def pairs(slices: Iterable[Slice]) -> Iterator[tuple[Slice, Slice]]:
    """Neighbours under load, each as (measured, unmeasured)."""
    for one, next_one in pairwise(slices):
        if min(one.answers, next_one.answers) >= ANSWERS_MIN:
            yield (one, next_one) if one.is_measured else (next_one, one)


def compared(found: Sequence[tuple[Slice, Slice]]) -> dict[str, Any]:
    """The row of one load: a transaction is two answers."""
    cpu = [_cpu_us(measured) / _cpu_us(unmeasured) - 1 for measured, unmeasured in found]
    rate = [1 - _rate(measured) / _rate(unmeasured) for measured, unmeasured in found]
    lower, _, upper = quantiles(cpu, n=4)
    return {
        "pairs": len(found),
        "cpu_us": round(median(_cpu_us(measured) for measured, _ in found), 1),
        "unmeasured_us": round(median(_cpu_us(unmeasured) for _, unmeasured in found), 1),
        "cpu_cost": f"{median(cpu):.1%}",
        "quartiles": f"{lower:.1%} to {upper:.1%}",
        "rate_cost": f"{median(rate):.1%}",
    }


def _cpu_us(one: Slice) -> float:
    return one.cpu_ns / 1_000 / one.answers * 2


def _rate(one: Slice) -> float:
    return one.answers / one.ns


if __name__ == "__main__":
    metrics_cost()
