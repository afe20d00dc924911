"""Options that several verbs share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from nodes.config.cluster import ClusterConfig
from nodes.config.file import load
from ops.cluster_dir import config_in_force
from ops.reference import faculty_names
from projections.rooms.limits import TEXT_CHARS_MAX
from projections.rooms.names import composed, name_fault

Command = TypeVar("Command", bound=Callable[..., Any])



class _NamedPath(click.Path):
    """An empty text names nothing; as a path it would be the current directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("a path is expected, not an empty text", param, ctx)
        return super().convert(value, param, ctx)


class _ConfigOption(click.Option):
    """`--config` or `--dir`, whichever the command line names: not both, and rather than what the environment names."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        if "directory" not in opts:
            return super().consume_value(ctx, opts)
        if self.name in opts:
            raise click.UsageError("give either --config or --dir")
        return None, ParameterSource.DEFAULT


class _Name(click.types.StringParamType):
    """A name as people type it, spelled as names are: keyboards and files of some systems decompose it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return composed(super().convert(value, param, ctx))


NAME = _Name()
DIRECTORY = _NamedPath(file_okay=False, path_type=Path)
FILE = _NamedPath(dir_okay=False, path_type=Path)
FILE_THERE = click.Path(exists=True, dir_okay=False, path_type=Path)

directory_option = click.option(
    "--dir",
    "directory",
    type=DIRECTORY,
    default=Path("cluster"),
    envvar="AULARIO_DIR",
    show_default=True,
    help="The cluster's directory.",
)
config_option = click.option(
    "--config",
    "config_file",
    cls=_ConfigOption,
    type=FILE,
    envvar="AULARIO_CONFIG",
    help="A configuration file, instead of the one of --dir.",
)
parent_option = click.option("--parent", type=int, hidden=True, help="End when the process with this id does.")


def configuration(directory: Path, config_file: Path | None) -> ClusterConfig:
    """The configuration that `--config` or `--dir` names. Raises ConfigError."""
    if config_file is not None:
        return load(config_file, os.environ, {}, names=faculty_names())
    return config_in_force(directory.absolute())


def process_options(command: Command) -> Command:
    """What every process takes: its configuration, its log, and the parent it dies with."""
    for option in reversed(
        (
            directory_option,
            config_option,
            click.option("--log-file", type=FILE, help="Write logs there instead of to stderr."),
            click.option(
                "--log-level",
                type=click.Choice(["debug", "info", "warning", "error"]),
                default="info",
                show_default=True,
                help="The least level that is logged.",
            ),
            parent_option,
        )
    ):
        command = option(command)
    return command


def where_of(directory: Path, config_file: Path | None) -> str:
    """The options that name the same cluster in another command."""
    return pasteable_option("--config", config_file) if config_file else pasteable_option("--dir", directory)


def pasteable_option(name: str, value: object) -> str:
    """An option with its value, for a shell; joined where the value itself looks like an option."""
    text = str(value)
    return f"{name}{'=' if text.startswith('-') else ' '}{shlex.quote(text)}"


def pasteable_command(verb: str, arguments: Sequence[object], *options: str) -> str:
    """The command of a verb, for a shell: its arguments before its options (`pasteable_option`, empty ones left out),
    or, if one looks like an option, at the end behind `--`."""
    texts = [str(argument) for argument in arguments]
    given, wanted = [shlex.quote(text) for text in texts], [option for option in options if option]
    if any(text.startswith("-") for text in texts):
        return " ".join(["aulario", verb, *wanted, "--", *given])
    return " ".join(["aulario", verb, *given, *wanted])


def require_name(argument: str, text: str) -> None:
    """Text that is no name is wrong usage. Raises click's UsageError."""
    if fault := name_fault(text):
        shown = repr(text) if len(text) <= TEXT_CHARS_MAX else f"{len(text)} of them"
        raise click.UsageError(f"{argument} {fault}, not {shown}")
