"""`python -m ops.soak`: sustained load on a scratch cluster to which nothing is done, and what changed all the same.

Every epoch counted here is one that nobody asked for. In the end the logs must bear out every result.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import click

from nodes.clients.sustained_load import WINDOW, SustainedLoad
from nodes.config.cluster import PROFILES
from ops.cluster import RunningCluster, running_cluster
from ops.exits import INTEGRITY, Stopped
from ops.output import JSON, TABLE, output_option, print_json
from ops.prove.labs import plain_lab
from ops.prove.trial import Clients, under_load
from ops.verdict import drain, head_seq, judge

FACULTIES: Final = 4
PROGRAMS: Final = 4
TURN_S: Final = 0.2


@click.command()
@click.option("--seconds", type=click.FloatRange(0), default=300.0, show_default=True, help="How long.")
@click.option("--clients", type=click.IntRange(0), default=4, show_default=True, help="Clients at the servers.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="default", show_default=True, help="Timings.")
@output_option(TABLE, JSON)
def soak(seconds: float, clients: int, profile: str, output: str) -> None:
    """Load a cluster for a long time without any fault. Exit code 4 if a promise was broken.

    \b
    Example:
      python -m ops.soak --seconds 300 -o json
    """
    directory = Path(tempfile.mkdtemp(prefix="aulario-soak-"))
    load = Clients(PROGRAMS, clients, beside_servers=0, window=WINDOW)
    with plain_lab(directory, profile, FACULTIES) as lab, running_cluster(directory, lab.config) as cluster:
        began_s, began_seq = time.monotonic(), head_seq(lab.config)
        with under_load(lab, load, secrets.randbits(32)) as loads:
            _watch(cluster, loads, began_s + seconds)
            took_s = time.monotonic() - began_s
            results = loads[0].journal.statuses.total()
            drain(lab.config, loads)
        verdict = judge(lab.config, loads, began_seq)
    summary: dict[str, Any] = {
        "seconds": round(took_s, 1),
        "results_per_second": round(results / took_s),
        **{status.lower(): count for status, count in sorted(verdict.statuses.items())},
        "lost": verdict.lost,
        "duplicates": verdict.duplicates,
        "unknown": verdict.unknown,
        "stale_results": verdict.stale_results,
        "violations": len(verdict.violations),
        "logs_equal": verdict.logs_equal,
        "events": verdict.events,
        "epochs": dict(Counter(epoch.cause for epoch in verdict.epochs)),
    }
    if output == JSON:
        print_json(summary)
    else:
        for key, value in summary.items():
            click.echo(f"{key:<22} {value}")
    if broken := verdict.broken():
        raise Stopped(f"{'; '.join(broken)}; the cluster is kept in {directory}", INTEGRITY)
    shutil.rmtree(directory)


def _watch(cluster: RunningCluster, loads: list[SustainedLoad], until_s: float) -> None:
    """Until then; raises what ended a load or a process before."""
    while time.monotonic() < until_s:
        for load in loads:
            if load.failure is not None:
                raise load.failure
        ended = cluster.supervisor.turn()
        if ended:
            raise cluster.supervisor.failure(ended[0])
        time.sleep(TURN_S)


def main() -> None:
    """Run the command and exit; an error raised on purpose becomes one sentence on stderr."""
    try:
        soak()
    except Stopped as stopped:
        click.echo(f"Error: {stopped}", err=True)
        sys.exit(stopped.exit_code)


if __name__ == "__main__":
    main()
