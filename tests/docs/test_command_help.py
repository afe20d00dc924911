"""Every verb explains itself, with an example that names it; every command that is documented exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ops.cli import VERBS, cli

REPOSITORY = Path(__file__).parents[2]
EXPECTED = {"demo", "up", "server", "witness", "faculty", "request", "status", "init"} | {
    "config validate", "config show", "log tail", "log show", "log verify", "log checkpoint", "log export",
    "audit check", "drill kill-primary", "drill freeze", "drill partition", "drill rolling-restart",
    "sim", "report", "prometheus", "allocations", "release", "term list", "term close",
    "keys new", "keys list", "keys allow", "keys revoke", "keys rotate",
}  # fmt: skip


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{prefix}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")


ALL = dict(commands(cli))


def test_the_verbs_are_these() -> None:
    assert {name for name, command in ALL.items() if not isinstance(command, click.Group)} == EXPECTED


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_verb_has_help_with_an_example_of_itself(name: str) -> None:
    help_text = ALL[name].help or ""
    assert len(help_text.split("\n\n")[0]) > 20
    assert re.search(rf"Examples?:\n(.*\n)*\s+.*aulario {re.escape(name)}\b", help_text)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_option_is_explained(name: str) -> None:
    options = [parameter for parameter in ALL[name].params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", sorted(VERBS))
def test_the_summary_in_the_list_is_short(name: str) -> None:
    assert len(VERBS[name].summary) <= 70
    assert VERBS[name].summary.endswith(".")


def documented() -> Iterator[tuple[str, str]]:
    """(document, command line) of every `aulario …` in a code block or in backquotes."""
    for path in sorted(REPOSITORY.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"(?:^\s*\$? ?|`)(?:\.venv/bin/)?aulario ([a-z][^`\n]*)", text, re.MULTILINE):
            yield path.name, line


def examples() -> Iterator[tuple[str, str]]:
    """(verb, command line) of every example in a help text."""
    for name, command in ALL.items():
        for line in re.findall(r"^\s+(?:\w+=\S+ )*aulario ([a-z].*)$", command.help or "", re.MULTILINE):
            yield name, line


@pytest.mark.parametrize(("where", "line"), [*documented(), *examples()])
def test_every_command_and_option_that_is_documented_exists(where: str, line: str) -> None:
    words = line.split()
    name = max((known for known in ALL if words[: len(known.split())] == known.split()), key=len, default=None)
    assert name is not None, f"{where}: there is no command in {line!r}"
    known_options = {flag for parameter in ALL[name].params for flag in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
    assert used <= known_options | {"--help", "-h"}, f"{where}: {line}"
