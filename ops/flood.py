"""`python -m ops.flood`: what a polite client notices of others who flood the server.

It prints figures and asserts none. One polite client, a few transactions a second, each timed from when it was due:
alone, beside others who burn processor time and send nothing, beside others who flood; in turn, several times. All are
processes of this machine and the flooders run with `nice -n 19`, for on a real network their processors would be
their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from nodes.clients.flood import BURN, GARBAGE, REQUESTS
from nodes.clients.load import percentile
from nodes.config.cluster import DEFAULT_SECURITY, SECURITY
from ops.bench import bench_config
from ops.cluster import running_cluster
from ops.cluster_dir import run_directory
from ops.observe import fetch_status
from ops.output import JSON, TABLE, output_option, print_json, print_rows

ALONE: Final = "alone"
KINDS: Final = (ALONE, BURN, REQUESTS, GARBAGE)
POLITE: Final = 1
"""The polite client's faculty; the flooders' follow."""

NICE: Final = ("nice", "-n", "19")
AHEAD_S: Final = 1.0
"""Flooders begin so long before what they are to disturb."""

ENDED_WITHIN_S: Final = 30
COLUMNS: Final = ("beside", "transactions", "accepted", "p50_ms", "p99_ms", "ratio", "max_ms", "flood_frames",
                  "flood_mb", "flood_answers", "busy", "resident_mb", "peak_mb")  # fmt: skip


@dataclass(slots=True)
class Found:
    """All windows of one kind. `resident_mb` of the server at the end of the last one, `peak_mb` ever so far."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    bytes: int = 0
    resident_mb: int = 0
    peak_mb: int = 0


@click.command()
@click.option("--flooders", type=click.IntRange(0, 50), default=10, show_default=True)
@click.option("--per-second", default=20.0, show_default=True, help="The polite client's transactions.")
@click.option("--seconds", default=5.0, show_default=True, help="Length of one window.")
@click.option("--rounds", default=5, show_default=True, help="How often each kind of window comes.")
@click.option("--beside", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
@click.option("--security", type=click.Choice(SECURITY), default=DEFAULT_SECURITY, show_default=True)
@output_option(TABLE, JSON)
def flood(
    flooders: int, per_second: float, seconds: float, rounds: int, beside: tuple[str, ...], security: str, output: str
) -> None:
    """Measure a polite client's latency beside flooding ones, on a scratch cluster.

    \b
    Example:
      python -m ops.flood --flooders 10 --rounds 5
    """
    found = {kind: Found() for kind in (ALONE, *(kind for kind in beside if kind != ALONE))}
    with TemporaryDirectory(prefix="aulario-flood-") as place:
        directory = Path(place)
        config = bench_config(directory, security, 1 + flooders)
        with running_cluster(directory, config):
            http = config.server(config.preferred).http
            where = {"config_file": str(run_directory(directory) / "cluster.toml"), "root": place,
                     "server": config.preferred}  # fmt: skip
            for round_number in range(rounds):
                for kind, window in found.items():
                    run = f"{kind}-{round_number}"
                    with _flooding(kind, flooders, {**where, "run": run}, window):
                        _polite(window, {**where, "run": run, "per_second": per_second, "seconds": seconds})
                        _weigh(window, http)
    _print(found, output)


@contextmanager
def _flooding(kind: str, flooders: int, settings: dict[str, Any], window: Found) -> Iterator[None]:
    """Flooders at work, if the kind of window has any; what they say in the end is added to `window`."""
    command = (*NICE, sys.executable, "-m", "nodes.clients.flood")
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(flooders if kind != ALONE else 0)
    ]
    try:
        for number, process in enumerate(processes):
            assert process.stdin is not None
            process.stdin.write(json.dumps({**settings, "kind": kind, "faculty": POLITE + 1 + number}) + "\n")
            process.stdin.flush()
        if processes:
            time.sleep(AHEAD_S)
        yield
        for process in processes:
            said = json.loads(process.communicate(timeout=ENDED_WITHIN_S)[0])
            window.frames += said["frames"]
            window.bytes += said["bytes"]
            window.answers.update(said["answers"])
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _polite(window: Found, settings: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nodes.clients.paced_load"],
        input=json.dumps({**settings, "faculty": POLITE}),
        capture_output=True,
        text=True,
        timeout=settings["seconds"] + 120,
        check=False,
    )
    if done.returncode != 0:
        raise click.ClickException(f"the polite client failed: {done.stderr.strip().splitlines()[-1]}")
    figures = json.loads(done.stdout)
    window.latencies_ms += figures["latencies_ms"]
    window.statuses.update(figures["statuses"])
    window.statuses["unanswered"] += figures["unanswered"]


def _weigh(window: Found, http: str) -> None:
    """The server's memory, from proc(5)."""
    status = fetch_status(http)
    if status is None:
        raise click.ClickException("the server does not answer")
    lines = Path(f"/proc/{status['pid']}/status").read_text(encoding="utf-8").splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    window.resident_mb, window.peak_mb = (int(sizes[name].split()[0]) >> 10 for name in ("VmRSS", "VmHWM"))


def _print(found: dict[str, Found], output: str) -> None:
    alone_ms = percentile(sorted(found[ALONE].latencies_ms), 0.99)
    rows = []
    for kind, window in found.items():
        ordered = sorted(window.latencies_ms)
        p99_ms = percentile(ordered, 0.99)
        rows.append({
            "beside": kind,
            "transactions": window.statuses.total(),
            "accepted": window.statuses["ACCEPTED"],
            "p50_ms": round(percentile(ordered, 0.5), 2),
            "p99_ms": round(p99_ms, 2),
            "ratio": round(p99_ms / alone_ms, 2) if alone_ms else None,
            "max_ms": round(ordered[-1], 1) if ordered else None,
            "flood_frames": window.frames,
            "flood_mb": window.bytes >> 20,
            "flood_answers": window.answers.total(),
            "busy": window.answers["BUSY"],
            "resident_mb": window.resident_mb,
            "peak_mb": window.peak_mb,
        })  # fmt: skip
    if output == JSON:
        print_json({"windows": rows, "answers": {kind: window.answers for kind, window in found.items()}})
    else:
        print_rows(rows, COLUMNS, output)


if __name__ == "__main__":
    flood()
