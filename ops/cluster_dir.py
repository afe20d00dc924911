"""The directory of a cluster on one host.

    D/aulario.toml        the configuration; written once if missing, then its owner's
    D/server-a …          data directories (nodes.datadir)
    D/keys                who may talk (nodes.security.keys)
    D/logs/NAME.log       what each process said
    D/run/cluster.toml    the configuration in force, options of `up` included
    D/run/processes.json  the processes that `up` started
    D/run/holder.lock     held by the `up` that runs there
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from es.durability import naming
from es.log.directory_lock import is_free, is_taken
from nodes.config.cluster import (
    SERVERS_MIN,
    ClusterConfig,
    ConfigError,
    FacultyConfig,
    check_base_port,
    default_faculty,
    default_server,
    default_witness,
    one_host,
)
from nodes.config.file import load, render
from nodes.faculty import program_registry
from ops.reference import faculty_names

FACULTIES = 10
ALONE_WITHIN_S = 10.0


def config_path(directory: Path) -> Path:
    """The configuration a person edits."""
    return directory / "aulario.toml"


def run_directory(directory: Path) -> Path:
    """What a running `up` keeps."""
    return directory / "run"


def log_directory(directory: Path) -> Path:
    """What the processes said."""
    return directory / "logs"


def config_in_force(directory: Path) -> ClusterConfig:
    """The configuration a cluster in `directory` runs with, or would. Raises ConfigError if there is none."""
    return running_config(directory) or next_config(directory)


def is_cluster(directory: Path) -> bool:
    """Whether a cluster has its home in `directory`, whether it runs or not. Raises ConfigError."""
    return _is_there(config_path(directory)) or running_config(directory) is not None


def running_config(directory: Path) -> ClusterConfig | None:
    """The configuration that `up` runs a cluster with in `directory`, None if it runs none: one that was killed leaves
    its file behind. Raises ConfigError."""
    path = run_directory(directory) / "cluster.toml"
    if not _is_there(path) or is_free(run_directory(directory)):
        return None
    return load(path, {}, {}, root=directory, names=faculty_names())  # the environment had its say when it was written


def next_config(directory: Path) -> ClusterConfig:
    """The configuration that the next start in `directory` reads: its file, and the environment over it.
    Raises ConfigError."""
    path = config_path(directory)
    if not _is_there(path):
        raise ConfigError("", f"there is no cluster in {directory}: aulario.toml is missing")
    return load(path, os.environ, {}, names=faculty_names())


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise ConfigError("", f"{path}: {error.strerror or error}") from None


def prepare(
    directory: Path,
    *,
    base_port: int | None = None,
    faculties: int | None = None,
    pattern: str | None = None,
    overrides: Mapping[str, object],
) -> ClusterConfig:
    """The configuration for `directory`, with the options of this start laid over it.

    Without an `aulario.toml` one is written: a cluster on this host with a new cluster id. With one,
    `base_port`, `faculties` and `pattern` change this start only. Raises ConfigError, also if there are data of a
    cluster without its configuration, OSError.
    """
    directory = directory.absolute()
    path = config_path(directory)
    if not path.exists():
        fresh = one_host(
            directory,
            cluster_id=f"aulario-{secrets.token_hex(4)}",
            faculties=FACULTIES if faculties is None else faculties,
            base_port=base_port,
            pattern=pattern,
            names=faculty_names(),
        )
        directory.mkdir(parents=True, exist_ok=True)
        with alone_in(directory):
            _found(fresh, directory)
    config = load(path, os.environ, overrides, names=faculty_names())
    return _with_options(config, directory, base_port, faculties, pattern)


def _found(fresh: ClusterConfig, directory: Path) -> None:
    """Make a cluster, its configuration last; one that somebody else has made meanwhile stands."""
    if config_path(directory).exists():
        return
    _refuse_orphans(directory)
    for faculty in fresh.faculties:
        program_registry.create(faculty.data)  # here alone: of no older cluster were numbers given
    write_whole(config_path(directory), render(fresh, directory))


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """While no other command makes a cluster, or what is missing of one, in a directory. Raises ConfigError if one
    takes longer than `ALONE_WITHIN_S`, OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not is_taken(descriptor, ALONE_WITHIN_S):
            raise ConfigError("", f"another command is making a cluster in {directory}: try again when it is done")
        yield
    finally:
        os.close(descriptor)


def _refuse_orphans(directory: Path) -> None:
    """Raise ConfigError if a log or a register lies here: a new configuration would make them another cluster's."""
    for name in ("data.mdb", "register"):
        for found in sorted(directory.glob(f"*/{name}")):
            whose = f"{directory} has data of a cluster ({found.parent.name})"
            raise ConfigError("", f"{whose}, and its aulario.toml is missing: put it back")


def _with_options(
    config: ClusterConfig, directory: Path, base_port: int | None, faculties: int | None, pattern: str | None
) -> ClusterConfig:
    chosen = config.faculties if faculties is None else _faculties(config, directory, faculties)
    if pattern is not None:
        chosen = tuple(replace(faculty, pattern=pattern) for faculty in chosen)
    if base_port is None:
        return replace(config, faculties=chosen)
    return _moved(replace(config, faculties=chosen), directory, base_port)


def _faculties(config: ClusterConfig, directory: Path, count: int) -> tuple[FacultyConfig, ...]:
    known = {faculty.id: faculty for faculty in config.faculties}
    names = faculty_names()
    return tuple(
        known.get(i) or default_faculty(i, directory, config.base_port, known=names.get(i))
        for i in range(1, count + 1)
    )


def _moved(config: ClusterConfig, directory: Path, base_port: int) -> ClusterConfig:
    """The same cluster on the ports from `base_port`."""
    check_base_port(base_port)
    if len(config.servers) > SERVERS_MIN:
        raise ConfigError("base_port", f"moves a cluster of {SERVERS_MIN} servers, not of {len(config.servers)}")
    servers = tuple(
        replace(default_server(i, server.name, directory, base_port), data=server.data)
        for i, server in enumerate(config.servers)
    )
    faculties = []
    for faculty in config.faculties:
        there = default_faculty(faculty.id, directory, base_port)
        faculties.append(replace(faculty, endpoint=there.endpoint, http=there.http))
    witness = replace(default_witness(directory, base_port), data=config.witness.data)
    return replace(config, servers=servers, witness=witness, faculties=tuple(faculties), base_port=base_port)


def write_whole(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old text or the new one. Raises OSError, which names it; then the old
    one still stands."""
    partial = path.with_suffix(f".{os.getpid()}.part")
    with naming(path):
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise


def write_processes(directory: Path, processes: Mapping[str, Any]) -> None:
    """Remember the processes that `up` started."""
    write_whole(run_directory(directory) / "processes.json", json.dumps(processes))


def read_processes(directory: Path) -> Mapping[str, Any]:
    """Process ids by process name as last written, empty if `up` never ran."""
    try:
        processes = json.loads((run_directory(directory) / "processes.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return processes if isinstance(processes, dict) else {}
