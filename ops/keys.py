"""`aulario keys`: whose keys there are on this host, and who is let in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import click

from nodes.config.cluster import ClusterConfig
from nodes.security.allow_list import AllowList
from nodes.security.cluster_keys import allow_key, make_keys, revoke_keys, rotate_keys
from nodes.security.keys import (
    FINGERPRINT_CHARS,
    PublicKeys,
    allowed_directory,
    load_public,
    public_directory,
    public_name,
)
from nodes.security.principals import Principal, principal
from nodes.security.secret_keys import stored_secrets
from ops.exits import REFUSED, Stopped
from ops.options import FILE_THERE, config_option, configuration, directory_option, where_of
from ops.output import CSV, JSON, TABLE, in_order, output_option, print_rows
from ops.streams import telling

LISTENING = ("server", "witness", "faculty")
"""Kinds of principals that others connect to."""

_NOBODYS: Mapping[str, Any] = {
    "principal": None, "fingerprint": None, "created": None, "allowed": False, "secret": False, "file": None,
}  # fmt: skip

COLUMNS = ("principal", "fingerprint", "created", "allowed", "secret", "problem")


def named_principal(text: str) -> Principal:
    """The type of an option or argument that names a principal."""
    try:
        return principal(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def named_key(text: str) -> str:
    """The type of an option that names a key by its fingerprint."""
    if re.fullmatch(f"[0-9a-f]{{{FINGERPRINT_CHARS}}}", text):
        return text
    raise click.BadParameter(f"{text!r} is no fingerprint, which is {FINGERPRINT_CHARS} hexadecimal digits")


@click.group()
def keys() -> None:
    """Make, list, allow, revoke and rotate the keys by which everybody knows everybody.

    A PRINCIPAL is server:NAME, witness, faculty:ID, program:FACULTY/ID, program:FACULTY/* (all programs of
    a faculty), operator:NAME or auditor:NAME. `aulario init` makes the keys of everybody in the configuration.

    \b
    Examples:
      aulario keys list --dir cluster
      aulario keys new operator:ana --dir cluster
    """


@keys.command()
@click.argument("principal", type=named_principal)
@click.option("--allow/--no-allow", default=True, help="Let the new key in here (default), or only make it.")
@directory_option
@config_option
def new(principal: Principal, allow: bool, directory: Path, config_file: Path | None) -> None:
    """Make the keys of a principal that has none on this host, and say which file to carry to the other hosts.

    \b
    Examples:
      aulario keys new operator:ana
      aulario keys new 'program:3/*' --no-allow
    """
    config = configuration(directory, config_file)
    if not _is_configured(principal, config):
        click.echo(f"note: {principal} is nobody in this configuration", err=True)
    public = make_keys(config.keys, principal, let_in=allow)
    with telling(f"{principal} has the key {public.fingerprint}{'' if allow else ', which is not allowed here'}"):
        _say_made(config.keys, public, allowed=allow)


@keys.command("list")
@directory_option
@config_option
@output_option(TABLE, JSON, CSV)
def list_keys(directory: Path, config_file: Path | None, output: str) -> None:
    """Show every key: whose, when it was made, whether it is let in, whether its secret is here, and what is wrong.

    The file to carry to other hosts is allowed/PRINCIPAL.FINGERPRINT.toml (`file` in JSON and CSV).

    \b
    Examples:
      aulario keys list --dir cluster
      aulario keys list -o json
    """
    place = configuration(directory, config_file).keys
    print_rows(_rows(place), COLUMNS if output == TABLE else (*COLUMNS, "file"), output)
    if output == TABLE:
        click.echo(f"public files, to be carried to other hosts: {allowed_directory(place)}")


@keys.command()
@click.argument("file", type=FILE_THERE)
@directory_option
@config_option
def allow(file: Path, directory: Path, config_file: Path | None) -> None:
    """Let in a key that was made on another host, by its public file.

    \b
    Example:
      aulario keys allow /media/usb/server-b.4f1c09a2b7d85e63.toml --dir cluster
    """
    public = load_public(file)
    others = allow_key(configuration(directory, config_file).keys, public)
    allowed = f"allowed: {public.principal} {public.fingerprint}"
    with telling(allowed):
        click.echo(allowed)
        _say_still_let_in(public.principal, others, where_of(directory, config_file))


@keys.command()
@click.argument("principal", type=named_principal)
@click.option(
    "--key",
    "fingerprint",
    type=named_key,
    metavar="FINGERPRINT",
    help="Only this key (default: all of the principal's).",
)
@directory_option
@config_option
def revoke(principal: Principal, fingerprint: str | None, directory: Path, config_file: Path | None) -> None:
    """Let a principal in no more. Its secret stays where it is, but opens nothing on this host.

    \b
    Examples:
      aulario keys revoke operator:ana
      aulario keys revoke server:b --key 4f1c09a2b7d85e63
    """
    place = configuration(directory, config_file).keys
    ended = revoke_keys(place, principal, fingerprint)
    if not ended:
        which = f"no key of {principal}" if fingerprint is None else f"{principal} has no key {fingerprint} that"
        raise Stopped(f"{which} is allowed in {allowed_directory(place)}", REFUSED)
    with telling(f"revoked: {principal} {', '.join(ended)}"):
        for one in ended:
            click.echo(f"revoked: {principal} {one}")
        click.echo("next, on every other host of this cluster:")
        _say_revoke(principal, ended, where_of(directory, config_file))


@keys.command()
@click.argument("principal", type=named_principal)
@click.option("--keep-old", is_flag=True, help="Go on letting the old key in, for whoever else has a copy of it.")
@directory_option
@config_option
def rotate(principal: Principal, keep_old: bool, directory: Path, config_file: Path | None) -> None:
    """Make new keys in place of a principal's on this host. A process that runs here takes them up by itself; other
    hosts do not reach it, nor it them, until they allow the file that is named. What to do there is printed.

    Secret keys that are damaged, or that others may have read, are replaced as well.

    \b
    Examples:
      aulario keys rotate server:b
      aulario keys rotate server:b --keep-old
    """
    place, where = configuration(directory, config_file).keys, where_of(directory, config_file)
    rotated = rotate_keys(place, principal, keep_old=keep_old)
    with telling(f"{principal} has the key {rotated.public.fingerprint} now, to be carried to the other hosts"):
        file = _say_made(place, rotated.public, allowed=True)
        for one in rotated.ended:
            click.echo(f"revoked: {principal} {one}")
        click.echo("next, on every other host of this cluster, once the public file is there:")
        click.echo(f"  aulario keys allow {file.name} {where}")
        _say_revoke(principal, rotated.ended, where)
        _say_still_let_in(principal, rotated.others, where)


def _is_configured(owner: Principal, config: ClusterConfig) -> bool:
    """Whether a configuration has the component that a principal is, or the faculty of the programs that it is; who
    runs commands is in none."""
    if owner.kind == "server":
        return owner.name in {one.name for one in config.servers}
    if owner.kind in ("faculty", "program"):
        return owner.name.partition("/")[0] in {str(one.id) for one in config.faculties}
    return True


def _say_made(place: Path, public: PublicKeys, *, allowed: bool) -> Path:
    file = (allowed_directory(place) if allowed else public_directory(place)) / public_name(public)
    click.echo(f"made: {public.principal} {public.fingerprint}{'' if allowed else ', which is not allowed here'}")
    click.echo(f"public file, to be carried to other hosts: {file}")
    return file


def _say_still_let_in(principal: Principal, others: Iterable[str], where: str) -> None:
    for one in others:
        click.echo(f"still let in: {principal} {one}; once nobody uses it any more, on every host:")
        _say_revoke(principal, [one], where)


def _say_revoke(principal: Principal, fingerprints: Iterable[str], where: str) -> None:
    for one in fingerprints:
        click.echo(f"  {_revoke_command(principal, one)} {where}")


def _revoke_command(principal: Principal, fingerprint: str) -> str:
    return f"aulario keys revoke {quote(str(principal))} --key {fingerprint}"


def _rows(place: Path) -> Iterator[dict[str, Any]]:
    """Keys that are let in or whose secret is here, by principal; then whatever is no key."""
    allowed = AllowList(place)
    below = allowed_directory(place)
    rows = {(one.principal, one.fingerprint): _row(one, below, allowed=True) for one in allowed.all()}
    problems = [*allowed.problems]
    for stored in stored_secrets(place):
        if stored.public is None:
            problems.append(stored.problem or "")
            continue
        key = (stored.public.principal, stored.public.fingerprint)
        row = rows.setdefault(key, _row(stored.public, public_directory(place), allowed=False))
        row |= {"secret": True, "problem": stored.problem or _superseded(stored.public, allowed)}
    for row in sorted(rows.values(), key=lambda row: (in_order(row["principal"]), row["created"])):
        yield row | {"problem": row["problem"] or _outlived(row, allowed)}
    yield from ({**_NOBODYS, "problem": sentence} for sentence in problems)


def _row(public: PublicKeys, below: Path, *, allowed: bool) -> dict[str, Any]:
    file = below / public_name(public)
    return {
        "principal": str(public.principal), "fingerprint": public.fingerprint, "created": public.created,
        "allowed": allowed, "secret": False, "problem": None, "file": str(file) if file.exists() else None,
    }  # fmt: skip


def _outlived(row: Mapping[str, Any], allowed: AllowList) -> str | None:
    """A key that is let in though its principal has a newer one: whoever has it is still believed."""
    owner = principal(row["principal"])
    newest = allowed.newest(owner)
    if not row["allowed"] or newest is None or newest.fingerprint == row["fingerprint"]:
        return None
    return (
        f"let in besides a newer key; once nobody uses it, on every host: "
        f"{_revoke_command(owner, row['fingerprint'])}"
    )


def _superseded(public: PublicKeys, allowed: AllowList) -> str | None:
    """Peers hold whoever listens for its newest key, and nobody listens with the secret that is not here."""
    newest = allowed.newest(public.principal)
    if public.principal.kind not in LISTENING or newest in (None, public):
        return None
    return f"peers expect the newer key {newest.fingerprint}, whose secret is not here"
