"""`aulario init` and `aulario config`: write, show and validate a configuration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from nodes.config.cluster import PATTERNS, ClusterConfig
from nodes.config.file import render
from ops.cluster_dir import alone_in, config_in_force, config_path, next_config, prepare, running_config
from ops.exits import REFUSED, Stopped
from ops.options import config_option, configuration, directory_option
from ops.output import JSON, count, output_option, print_json


@click.command()
@directory_option
@click.option("--base-port", type=int, help="Use the ports from here to 199 above instead of the usual ones.")
@click.option("--faculties", type=click.IntRange(0), help="How many faculties (default: 10).")
@click.option("--pattern", type=click.Choice(PATTERNS), help="For every faculty (default: odd ids async, even lbb).")
@click.option("--only", metavar="SERVER", help="Of a cluster that is there: only this server's missing data directory.")
@click.option("--data-only", is_flag=True, hidden=True, help="Only data directories and keys of the cluster in force.")
def init(
    directory: Path,
    base_port: int | None,
    faculties: int | None,
    pattern: str | None,
    only: str | None,
    data_only: bool,
) -> None:
    """Write aulario.toml into a directory, if it is missing, and make the data directories and the keys.

    An aulario.toml that is there is not changed: options that it contradicts are refused. On one of several machines
    `--only` keeps it from making what belongs on the others.

    \b
    Examples:
      aulario init --dir cluster
      aulario init --dir lab --base-port 20000 --faculties 2
      aulario init --dir cluster --only b
    """
    directory = directory.absolute()
    if only is not None:
        _init_server(directory, only)
        return
    if data_only:
        config = config_in_force(directory)
    else:
        config = prepare(directory, base_port=base_port, faculties=faculties, pattern=pattern, overrides={})
        if config != next_config(directory):
            why = "init does not change it: edit it, or give these options to `aulario up`"
            raise click.UsageError(f"{config_path(directory)} says otherwise, and {why}")
    from es.log.lmdb_log import DATA_FILE
    from nodes.datadir import initialise
    from nodes.security.cluster_keys import ensure_keys
    from ops.log_reader import survive_damage

    if not data_only and any((server.data / DATA_FILE).exists() for server in config.servers):
        survive_damage(directory)  # `up` has the server itself say what is wrong
    with alone_in(directory):
        initialise(config)
        ensure_keys(config)
    if not data_only:
        click.echo(f"{config_path(directory)}: cluster {config.cluster_id}, {len(config.servers)} servers, "
                   f"{count(len(config.faculties), 'faculty', 'faculties')}")  # fmt: skip


def _init_server(directory: Path, name: str) -> None:
    from nodes.datadir import initialise_server
    from ops.log_reader import survive_damage

    config = next_config(directory)
    server = config.server(name)
    is_there = server.data.exists()
    if is_there:
        survive_damage(server.data)
    with alone_in(directory):
        initialise_server(config, server)
    done = "there already" if is_there else "made"
    click.echo(f"{server.data}: {done}, server {name} of cluster {config.cluster_id}")


@click.group()
def config() -> None:
    """Show or validate a configuration.

    \b
    Examples:
      aulario config show --dir cluster
      aulario config validate --config aulario.toml
    """


@config.command()
@directory_option
@config_option
def validate(directory: Path, config_file: Path | None) -> None:
    """Say whether a configuration can be used; if not, name the file, the line and the key, and exit 2.

    It is what the next start would read, environment included, whether a cluster runs or not.

    \b
    Example:
      aulario config validate --config aulario.toml
    """
    from nodes.config.catalog_file import load_catalog

    found = _judged(directory, config_file)
    load_catalog(found.catalog)
    click.echo(f"ok: cluster {found.cluster_id}, {len(found.servers)} servers, "
               f"{count(len(found.faculties), 'faculty', 'faculties')}")  # fmt: skip
    if config_file is None and running_config(directory.absolute()) not in (None, found):
        click.echo("the cluster that runs there was started with another one: aulario config show --running", err=True)


@config.command()
@directory_option
@config_option
@click.option("--running", is_flag=True, help="What the cluster that up runs in --dir was started with.")
@output_option("toml", JSON)
def show(directory: Path, config_file: Path | None, running: bool, output: str) -> None:
    """Show every value that the next start would use: file, environment and defaults put together.

    \b
    Examples:
      aulario config show --dir cluster
      AULARIO_TIMING_PROFILE=slow aulario config show -o json
      aulario config show --dir cluster --running
    """
    found = _started(directory, config_file) if running else _judged(directory, config_file)
    root = directory if config_file is None else config_file.parent
    if output == JSON:
        print_json(asdict(found))
    else:
        click.echo(render(found, root.absolute()), nl=False)


def _judged(directory: Path, config_file: Path | None) -> ClusterConfig:
    return next_config(directory.absolute()) if config_file is None else configuration(directory, config_file)


def _started(directory: Path, config_file: Path | None) -> ClusterConfig:
    if config_file is not None:
        raise click.UsageError("--running is of a cluster's directory: give --dir")
    found = running_config(directory.absolute())
    if found is None:
        raise Stopped(f"aulario up runs no cluster in {directory.absolute()}", REFUSED)
    return found
