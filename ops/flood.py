"""`python -m ops.flood`: what a polite client notices of others who flood a server or a faculty.

It prints figures and asserts none. One polite client, some transactions a second, each timed from when it was due:
alone, beside others who burn processor time and send nothing, beside others who flood; in turn, several times. All are
processes of this machine, and those beside it get what processor time nobody else wants (ops.idle_group): on a real
network their processors would be their own. That takes root; without, their use of the machine is in the figures.
Look at `flood_frames`, too, for who gets no time floods nobody. `ratio` is to the p99 alone, `worst_ratio` that of the
worst round; `to_burn` is to the p99 beside the burning ones: what a flood costs shows in it, what a busy machine costs
does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from nodes.clients.flood import BURN, FLOODING, GARBAGE, REQUESTS
from nodes.clients.load import percentile
from nodes.config.cluster import DEFAULT_SECURITY, SECURITY, ClusterConfig, default_faculty
from nodes.security import principals, roles
from nodes.security.cluster_keys import ensure_keys
from ops.bench import bench_config
from ops.cluster import running_cluster
from ops.cluster_dir import run_directory
from ops.idle_group import Enter, idle_group
from ops.observe import fetch_status
from ops.output import JSON, TABLE, output_option, print_json, print_rows

ALONE: Final = "alone"
KINDS: Final = (ALONE, BURN, REQUESTS, GARBAGE)
SERVER: Final = "server"
FACULTY: Final = "faculty"
POLITE: Final = 1
"""The polite client: faculty 1, or program 1 of that faculty; the flooders follow."""

ENDED_WITHIN_S: Final = 30
SETTLED_WITHIN_S: Final = 120
SETTLED_CHECK_S: Final = 0.2
COLUMNS: Final = ("beside", "transactions", "accepted", "p50_ms", "p99_ms", "ratio", "to_burn", "worst_ratio", "max_ms",
                  "flood_frames", "flood_mb", "flood_answers", "busy", "resident_mb", "peak_mb")  # fmt: skip


@dataclass(slots=True)
class Found:
    """All windows of one kind, each with its latencies. `resident_mb` is what the flooded process has at the end of the
    last one, `peak_mb` the most it ever had."""

    latencies_ms: list[list[float]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    bytes: int = 0
    resident_mb: int = 0
    peak_mb: int = 0


@click.command()
@click.option("--at", "where", type=click.Choice((SERVER, FACULTY)), default=SERVER, show_default=True)
@click.option("--pattern", type=click.Choice(("async", "lbb")), default="async", show_default=True,
              help="Of all who ask the server: the clients, or the faculty.")  # fmt: skip
@click.option("--flooders", type=click.IntRange(0, 50), default=10, show_default=True)
@click.option("--per-second", default=50.0, show_default=True, help="The polite client's transactions.")
@click.option("--seconds", default=5.0, show_default=True, help="Length of one window.")
@click.option("--rounds", default=5, show_default=True, help="How often each kind of window comes.")
@click.option("--beside", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
@click.option("--security", type=click.Choice(SECURITY), default=DEFAULT_SECURITY, show_default=True)
@output_option(TABLE, JSON)
def flood(
    where: str,
    pattern: str,
    flooders: int,
    per_second: float,
    seconds: float,
    rounds: int,
    beside: tuple[str, ...],
    security: str,
    output: str,
) -> None:
    """Measure a polite client's latency beside flooding ones, on a scratch cluster.

    \b
    Examples:
      python -m ops.flood --flooders 10 --rounds 5
      python -m ops.flood --at faculty --pattern lbb
    """
    found = {kind: Found() for kind in (ALONE, *(kind for kind in beside if kind != ALONE))}
    with TemporaryDirectory(prefix="aulario-flood-") as place, idle_group() as (enter, is_idle):
        if not is_idle:
            click.echo("without root, what the flooders themselves compute is in the figures", err=True)
        directory = Path(place)
        config = _config(directory, where, pattern, security, 1 + flooders)
        with running_cluster(directory, config):
            http = config.server(config.preferred).http if where == SERVER else config.faculty(1).http
            target = {"config_file": str(run_directory(directory) / "cluster.toml"), "root": place,
                      "door": roles.REQUESTS if where == SERVER else roles.PROGRAMS,
                      "name": config.preferred if where == SERVER else "1"}  # fmt: skip
            for round_number in range(rounds):
                for kind, window in found.items():
                    settings = {"target": target, "where": where, "pattern": pattern, "run": f"{kind}-{round_number}"}
                    with _flooding(kind, flooders, settings, window, enter):
                        _polite(window, {**_of(settings, POLITE), "per_second": per_second, "seconds": seconds})
                        _weigh(window, http)
                    _settle(config)
    _print(found, output)


def _config(directory: Path, where: str, pattern: str, security: str, clients: int) -> ClusterConfig:
    """A cluster with as many faculties that may ask its server, or one faculty with as many programs."""
    config = bench_config(directory, security, clients)
    if where == SERVER:
        return config
    programs = {number: f"Programa {number}" for number in range(1, 1 + clients)}
    one = replace(default_faculty(1, directory, config.base_port, pattern, None), programs=programs)
    ensure_keys(config, (principals.program(1, number) for number in programs))
    return replace(config, faculties=(one,))


def _of(settings: dict[str, Any], number: int) -> dict[str, Any]:
    """The settings of one client, polite or not. Whoever floods a faculty streams: what a program's socket would wait
    for, it does not."""
    where, pattern = settings["where"], settings["pattern"]
    own = principals.faculty(number) if where == SERVER else principals.program(1, number)
    streams = where == FACULTY or pattern == "async"
    return {"target": {**settings["target"], "own": str(own)}, "run": settings["run"],
            "pattern": "async" if streams else "lbb"}  # fmt: skip


@contextmanager
def _flooding(
    kind: str, flooders: int, settings: dict[str, Any], window: Found, enter: Enter
) -> Iterator[None]:
    """Flooders at work, if the kind of window has any; what they say in the end is added to `window`."""
    command = (sys.executable, "-m", "nodes.clients.flood")
    processes = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=enter,
        )
        for _ in range(flooders if kind != ALONE else 0)
    ]
    try:
        for number, process in enumerate(processes):
            assert process.stdin is not None
            process.stdin.write(json.dumps({**_of(settings, POLITE + 1 + number), "kind": kind}) + "\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline().strip() != FLOODING:
                raise click.ClickException("a flooder ended before it flooded")
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
        input=json.dumps(settings),
        capture_output=True,
        text=True,
        timeout=settings["seconds"] + 120,
        check=False,
    )
    if done.returncode != 0:
        raise click.ClickException(f"the polite client failed: {done.stderr.strip().splitlines()[-1]}")
    figures = json.loads(done.stdout)
    window.latencies_ms.append(figures["latencies_ms"])
    window.statuses.update(figures["statuses"])
    window.statuses["unanswered"] += figures["unanswered"]


def _settle(config: ClusterConfig) -> None:
    """Wait until nothing has happened for longer than a hold lives, so that no window has the expiries of the one
    before."""
    http = config.server(config.preferred).http
    limit_s, quiet_s = time.monotonic() + SETTLED_WITHIN_S, config.timing.ack_timeout_ms / 1_000 + 1
    seq, since_s = _status(http)["seq"], time.monotonic()
    while time.monotonic() - since_s < quiet_s:
        if time.monotonic() > limit_s:
            raise click.ClickException("the server does not come to rest after a flood")
        time.sleep(SETTLED_CHECK_S)
        if (now_seq := _status(http)["seq"]) != seq:
            seq, since_s = now_seq, time.monotonic()


def _weigh(window: Found, http: str) -> None:
    """The memory of the process that is flooded, from proc(5)."""
    lines = Path(f"/proc/{_status(http)['pid']}/status").read_text(encoding="utf-8").splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    window.resident_mb, window.peak_mb = (int(sizes[name].split()[0]) >> 10 for name in ("VmRSS", "VmHWM"))


def _status(http: str) -> dict[str, Any]:
    status = fetch_status(http)
    if status is None:
        raise click.ClickException("what is flooded does not answer")
    return status


def _print(found: dict[str, Found], output: str) -> None:
    p99_of = {kind: _p99(chain.from_iterable(window.latencies_ms)) for kind, window in found.items()}
    rows = []
    for kind, window in found.items():
        ordered = sorted(chain.from_iterable(window.latencies_ms))
        rounds = zip(window.latencies_ms, found[ALONE].latencies_ms, strict=True)
        rows.append({
            "beside": kind,
            "transactions": window.statuses.total(),
            "accepted": window.statuses["ACCEPTED"],
            "p50_ms": round(percentile(ordered, 0.5), 2),
            "p99_ms": round(p99_of[kind], 2),
            "ratio": _ratio(p99_of[kind], p99_of[ALONE]),
            "to_burn": _ratio(p99_of[kind], p99_of.get(BURN, 0)),
            "worst_ratio": max((_ratio(_p99(beside), _p99(alone)) or 0.0 for beside, alone in rounds), default=None),
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


def _p99(latencies_ms: Iterable[float]) -> float:
    return percentile(sorted(latencies_ms), 0.99)


def _ratio(one_ms: float, other_ms: float) -> float | None:
    return round(one_ms / other_ms, 2) if other_ms else None


if __name__ == "__main__":
    flood()
