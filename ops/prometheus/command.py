"""`aulario prometheus`: a Prometheus over a cluster, in place of this process."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import click

import ops
from nodes.config.cluster import BASE_PORTS, HOST, ClusterConfig
from nodes.shell import die_with_parent
from ops.cluster_dir import config_in_force, write_whole
from ops.exits import UNREACHABLE, Stopped
from ops.options import directory_option, parent_option
from ops.prometheus.configuration import ALERTS_FILE, RECORDING_FILE, alerts_yml, prometheus_yml, recording_yml

PROGRAM: Final = "prometheus"
PORT: Final = 9690
"""Where it listens beside a cluster on the usual ports; with a base port it takes the last of the cluster's range."""

INTERVAL_S: Final = 2
"""Beside a cluster on one host the way is short: role changes show to two seconds."""

GRAFANA_IMAGE: Final = "grafana/grafana:11.6.0"
RETENTION: Final = ("--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=1GB")
READY_LIMIT_S: Final = 1.0


def listen_port(config: ClusterConfig) -> int:
    """The port of a cluster's own Prometheus."""
    return PORT if config.base_port is None else config.base_port + BASE_PORTS - 1


def observed_url(config: ClusterConfig) -> str:
    """Where a cluster's own Prometheus is asked."""
    return f"http://{HOST}:{listen_port(config)}"


def is_ready(config: ClusterConfig) -> bool:
    """Whether it answers queries."""
    try:
        with urlopen(f"{observed_url(config)}/-/ready", timeout=READY_LIMIT_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def grafana_command(url: str) -> str:
    """What starts a Grafana with this project's dashboards over the Prometheus at `url`."""
    grafana = Path(ops.__file__).resolve().parents[1] / "grafana"
    return (
        f"docker run --rm --network host -e GF_SERVER_HTTP_ADDR={HOST} -e PROMETHEUS_URL={url} "
        f"-v {grafana}:/etc/aulario:ro -e GF_PATHS_PROVISIONING=/etc/aulario/provisioning {GRAFANA_IMAGE}"
    )


def program_path() -> str:
    """The Prometheus of this host. Raises Stopped if there is none."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise Stopped("there is no `prometheus` on this host: apt-get install prometheus", UNREACHABLE)
    return path


def _check_port(port: int) -> None:
    """Raises Stopped if it is taken: Prometheus would say so among much else."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise Stopped(f"prometheus cannot listen on {HOST}:{port}: {why}", UNREACHABLE) from None


def write_configuration(directory: Path, config: ClusterConfig, interval_s: int) -> Path:
    """Write what Prometheus reads below the cluster's directory; give the path of `prometheus.yml`."""
    place = directory / "prometheus"
    place.mkdir(parents=True, exist_ok=True)
    write_whole(place / RECORDING_FILE, recording_yml())
    write_whole(place / ALERTS_FILE, alerts_yml())
    write_whole(place / "prometheus.yml", prometheus_yml(config, interval_s))
    return place / "prometheus.yml"


@click.command()
@directory_option
@click.option("--interval-s", type=click.IntRange(1, 60), default=INTERVAL_S, show_default=True, help="Of the scrapes.")
@click.option("--write-only", is_flag=True, help="Write the configuration, say where, and run nothing.")
@parent_option
def prometheus(directory: Path, interval_s: int, write_only: bool, parent: int | None) -> None:
    """Run Prometheus over a cluster: its processes as targets, its recording rules and alerts.

    It listens on 127.0.0.1 alone, on the last port of a cluster with a base port, otherwise on 9690.
    Configuration and data lie in the cluster's directory, below prometheus/.

    \b
    Examples:
      aulario prometheus --dir cluster
      aulario prometheus --dir cluster --interval-s 5 --write-only
    """
    directory = directory.absolute()
    if write_only:
        click.echo(write_configuration(directory, config_in_force(directory), interval_s))
        return
    program = program_path()
    if parent is not None:
        die_with_parent(parent)
    config = config_in_force(directory)
    _check_port(listen_port(config))
    written = write_configuration(directory, config, interval_s)
    arguments = [
        program,
        f"--config.file={written}",
        f"--storage.tsdb.path={written.parent / 'data'}",
        f"--web.listen-address={HOST}:{listen_port(config)}",
        *RETENTION,
    ]
    os.execv(program, arguments)
