"""`aulario init` and `aulario config`: write, show and validate a configuration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from nodes.config.cluster import PATTERNS
from nodes.config.file import render
from ops.cluster_dir import config_in_force, config_path, prepare
from ops.options import config_option, configuration, directory_option
from ops.output import JSON, output_option, print_json


@click.command()
@directory_option
@click.option("--base-port", type=int, help="Use the ports from here to 199 above instead of the usual ones.")
@click.option("--faculties", type=click.IntRange(0), help="How many faculties (default: 10).")
@click.option("--pattern", type=click.Choice(PATTERNS), help="For every faculty (default: odd ids async, even lbb).")
@click.option("--data-only", is_flag=True, hidden=True, help="Only data directories and keys of the cluster in force.")
def init(directory: Path, base_port: int | None, faculties: int | None, pattern: str | None, data_only: bool) -> None:
    """Write aulario.toml into a directory, if it is missing, and make the data directories and the keys.

    \b
    Examples:
      aulario init --dir cluster
      aulario init --dir lab --base-port 20000 --faculties 2
    """
    directory = directory.absolute()
    if data_only:
        config = config_in_force(directory)
    else:
        config = prepare(directory, base_port=base_port, faculties=faculties, pattern=pattern, overrides={})
    from es.log.lmdb_log import DATA_FILE
    from nodes.datadir import initialise
    from nodes.security.cluster_keys import ensure_keys
    from ops.log_reader import survive_damage

    if not data_only and any((server.data / DATA_FILE).exists() for server in config.servers):
        survive_damage(directory)  # `up` has the server itself say what is wrong
    initialise(config)
    ensure_keys(config)
    if not data_only:
        click.echo(f"{config_path(directory)}: cluster {config.cluster_id}, {len(config.servers)} servers, "
                   f"{len(config.faculties)} faculties")  # fmt: skip


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

    \b
    Example:
      aulario config validate --config aulario.toml
    """
    from nodes.config.catalog_file import load_catalog

    found = configuration(directory, config_file)
    load_catalog(found.catalog)
    click.echo(f"ok: cluster {found.cluster_id}, {len(found.servers)} servers, {len(found.faculties)} faculties")


@config.command()
@directory_option
@config_option
@output_option("toml", JSON)
def show(directory: Path, config_file: Path | None, output: str) -> None:
    """Show every value in force: file, environment and defaults put together.

    \b
    Examples:
      aulario config show --dir cluster
      AULARIO_TIMING_PROFILE=slow aulario config show -o json
    """
    found = configuration(directory, config_file)
    if output == JSON:
        print_json(asdict(found))
    else:
        click.echo(render(found, directory.absolute()), nl=False)
