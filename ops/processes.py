"""`aulario server`, `witness` and `faculty`: one process of a cluster each, in the foreground."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nodes import logs
from nodes.config.cluster import PATTERNS, ClusterConfig
from ops.options import configuration, process_options


def _begin(role: str, node: str, options: dict[str, Any]) -> ClusterConfig:
    """Set the process up and give its configuration."""
    if options["parent"] is not None:
        from nodes.shell import die_with_parent

        die_with_parent(options["parent"])
    config = configuration(options["directory"], options["config_file"])
    log_file: Path | None = options["log_file"]
    logs.configure(level=options["log_level"], log_file=log_file, node=node, process=role)
    return config


@click.command()
@click.argument("name")
@click.option("--rebuild", is_flag=True, help="If its log is damaged, set it aside and fill a new one from its peer.")
@process_options
def server(name: str, rebuild: bool, **options: Any) -> None:
    """Run the server NAME: primary or backup, whichever the cluster needs.

    Its data directory must exist: see aulario init.

    \b
    Examples:
      aulario server a --dir cluster
      aulario server b --config /etc/aulario.toml --log-file server_all.txt
      aulario server b --dir cluster --rebuild
    """
    config = _begin("server", name, options)
    own = config.server(name)
    from nodes import datadir
    from nodes.server import process

    if rebuild:
        aside = datadir.rebuild(config, own)
        done = "log set aside; its peer fills the new one" if aside else "log is sound, nothing to rebuild"
        logs.logger().warning(done, set_aside=str(aside) if aside else None)

    process.run(config, name)


@click.command()
@click.option("--rebuild", is_flag=True, help="If its register is missing, damaged or an old copy, make it anew from "
              "what all servers know. They must be stopped, and their directories here.")  # fmt: skip
@process_options
def witness(rebuild: bool, **options: Any) -> None:
    """Run the witness, which says who may lead when a server falls silent.

    \b
    Examples:
      aulario witness --dir cluster
      aulario witness --dir cluster --rebuild
    """
    config = _begin("witness", "witness", options)
    from nodes import datadir
    from nodes.witness import process

    if rebuild:
        is_anew, absent = datadir.rebuild_witness(config)
        done = "made anew from what the servers know" if is_anew else "stays: no server that is here knows a newer one"
        logs.logger().warning(f"register {done}", not_here=", ".join(absent) or "nobody")

    process.run(config)


@click.command()
@click.argument("faculty_id", metavar="ID", type=int)
@click.option("--pattern", type=click.Choice(PATTERNS), help="How it speaks to the servers (default: configured).")
@process_options
def faculty(faculty_id: int, pattern: str | None, **options: Any) -> None:
    """Run the faculty ID: it takes its programs' requests to the active server.

    \b
    Examples:
      aulario faculty 3 --dir cluster
      aulario faculty 3 --pattern lbb --log-file faculty_requests.txt
    """
    config = _begin("faculty", f"faculty:{faculty_id}", options)
    own = config.faculty(faculty_id)
    if pattern is not None:
        own = replace(own, pattern=pattern)
        others = tuple(own if other.id == faculty_id else other for other in config.faculties)
        config = replace(config, faculties=others)
    if own.pattern == "lbb":
        from nodes.faculty import lbb_pattern

        lbb_pattern.run(config, faculty_id)
    else:
        from nodes.faculty import async_pattern

        async_pattern.run(config, faculty_id)
