"""`aulario up`: a whole cluster on this host, in the foreground."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from nodes.config.cluster import PATTERNS, PROFILES, SECURITY
from ops.cluster import READY_WITHIN_S, RunningCluster, interrupt_on_signals, running_cluster
from ops.cluster_dir import prepare
from ops.exits import OutputLost, Stopped
from ops.options import directory_option
from ops.output import JSON, TABLE, count, output_option, print_json
from ops.prometheus.command import PROGRAM, grafana_command, is_ready, observed_url, program_path

TURN_S = 0.1


@click.command()
@directory_option
@click.option("--base-port", type=int, help="Use the ports from here to 199 above instead of the usual ones.")
@click.option("--security", type=click.Choice(SECURITY), help="How peers are known (default: as configured).")
@click.option("--faculties", type=click.IntRange(0), help="How many faculties to run (default: as configured, 10).")
@click.option("--pattern", type=click.Choice(PATTERNS), help="For every faculty (default: odd ids async, even lbb).")
@click.option("--profile", type=click.Choice(list(PROFILES)), help="Timings: slow suits machines that pause.")
@click.option("--restart", is_flag=True, help="Bring back a process that died.")
@click.option("--observe", is_flag=True, help="Run a Prometheus beside it; it ends with the cluster.")
@output_option(TABLE, JSON)
def up(
    directory: Path,
    base_port: int | None,
    security: str | None,
    faculties: int | None,
    pattern: str | None,
    profile: str | None,
    restart: bool,
    observe: bool,
    output: str,
) -> None:
    """Run primary, backup, witness and faculties as separate processes, until Ctrl-C.

    When all are ready one line says where they are. Run again on the same directory it continues from
    the state that is there. Stopped with Ctrl-C or SIGTERM once it was ready it ends with exit code 0, before
    with 130; if every process has ended, with the code of the last one.

    With --restart a process that dies is started again after a second; one that dies again
    and again waits longer each time, half a minute at most. One that says that its
    configuration is wrong (exit code 2) or its log not to be trusted (4) is left down.

    \b
    Examples:
      aulario up --dir cluster
      aulario up --dir cluster --base-port 20000 --faculties 2 --restart -o json
      aulario up --dir cluster --observe
    """
    overrides = {"security": security, "timing.profile": profile}
    config = prepare(
        directory,
        base_port=base_port,
        faculties=faculties,
        pattern=pattern,
        overrides={key: value for key, value in overrides.items() if value is not None},
    )
    if observe:
        program_path()
    interrupt_on_signals()
    with running_cluster(directory, config) as cluster:
        if observe:
            _observe(cluster, directory)
        try:
            _say_ready(cluster.ready, output)
        except OutputLost as lost:
            _say(f"the ready line was lost: {lost}; the cluster runs")
        with suppress(KeyboardInterrupt):
            _watch(cluster, restart=restart)


def _observe(cluster: RunningCluster, directory: Path) -> None:
    """Start a Prometheus under the cluster's supervisor, and add where it is to the ready line."""
    cluster.supervisor.start({PROGRAM: [PROGRAM, "--dir", str(directory.absolute())]})
    url = observed_url(cluster.config)
    silent = f"no answer from {url}"
    cluster.supervisor.await_ready(lambda: None if is_ready(cluster.config) else silent, READY_WITHIN_S)
    cluster.ready["prometheus"] = {"url": url}


def _watch(cluster: RunningCluster, *, restart: bool) -> None:
    """Until Ctrl-C. Raises Stopped, with the exit code of who ended last, once no process runs or will run again."""
    supervisor = cluster.supervisor
    refused: list[str] = []
    while True:
        ended = supervisor.turn()
        for name in ended:
            _say(f"{supervisor.failure(name)}{_consequence(cluster, name) if restart else ''}")
        if ended and supervisor.is_over(restarts=restart):
            raise Stopped("every process of the cluster has ended", supervisor.failure(ended[-1]).exit_code)
        if restart:
            before, refused = refused, supervisor.restart()
            for sentence in refused:
                if sentence not in before:
                    _say(f"{sentence}; trying again")
        time.sleep(TURN_S)


def _consequence(cluster: RunningCluster, name: str) -> str:
    pause_s = cluster.supervisor.restarts_in_s(name)
    if pause_s is None:
        return "; it is left down until a person has seen to it"
    return f"; restarting it in {pause_s:g} s"


def _say(sentence: str) -> None:
    """On stderr, if it takes it: a full disk or a reader that left is no reason to stop the cluster."""
    with suppress(OSError):
        click.echo(sentence, err=True)


def _say_ready(ready: dict[str, Any], output: str) -> None:
    if output == JSON:
        print_json(ready)
        return
    servers = ", ".join(f"{server['name']} {server['requests']} ({server['role']})" for server in ready["servers"])
    faculties = ready["faculties"]
    ends = dict.fromkeys([faculties[0]["endpoint"], faculties[-1]["endpoint"]] if faculties else [])
    told = " ".join([count(len(faculties), "faculty", "faculties"), *filter(None, [" … ".join(ends)])])
    click.echo(f"ready: servers {servers}; witness {ready['witness']['endpoint']}; {told}")
    if "prometheus" in ready:
        url = ready["prometheus"]["url"]
        click.echo(f"prometheus: {url}")
        click.echo(f"dashboards: {grafana_command(url)}")
