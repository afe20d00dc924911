"""`aulario release` and `aulario term`: what is done with allocations and terms once they are there."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from nodes import wire
from nodes.clients.interrupts import only_while_waiting
from nodes.clients.program import NOT_LET_IN
from nodes.clients.registrar import NOT_REACHED, NoReply, RegistrarRequest, ask_servers
from nodes.config.cluster import ClusterConfig
from nodes.security import roles
from nodes.security.curve import security_of
from nodes.security.principals import Principal, principal
from nodes.sockets import Security, context
from nodes.wire.encoding import Encoding
from nodes.wire.schema import UNKNOWN, Closed, CloseRequest, Dropped, Invalid, ReleaseRequest, Res
from nodes.wire.to_maps import fields_of
from ops.allocations import list_terms
from ops.cluster import interrupt_on_signals
from ops.exits import INTERRUPTED, OK, REFUSED, UNREACHABLE
from ops.keys import named_principal
from ops.options import (
    NAME,
    config_option,
    configuration,
    directory_option,
    pasteable_command,
    pasteable_option,
    require_name,
    where_of,
)
from ops.output import JSON, TABLE, count, output_option, print_json, printable
from ops.receipts import receipt_line
from ops.streams import telling
from projections.rooms.commands import RELEASED, UNAVAILABLE
from projections.rooms.limits import ID_MAX

OPERATOR = principal("operator:local")
"""Whose keys `init` and `up` make for whoever runs commands on this host."""

FACULTY_ID = click.IntRange(0, ID_MAX)

as_option = click.option(
    "--as",
    "speaker",
    type=named_principal,
    default=str(OPERATOR),
    show_default=True,
    metavar="PRINCIPAL",
    help="Whose keys to use: operator:NAME, or faculty:ID.",
)


@click.command()
@click.argument("transaction", type=NAME)
@click.option("--faculty", "faculty_id", type=FACULTY_ID, required=True, metavar="ID", help="Whose it is.")
@click.option("--reason", type=NAME, required=True, help="Why; it stands in the log.")
@as_option
@directory_option
@config_option
@output_option(TABLE, JSON)
def release(
    transaction: str,
    faculty_id: int,
    reason: str,
    speaker: Principal,
    directory: Path,
    config_file: Path | None,
    output: str,
) -> None:
    """Give the rooms of a confirmed TRANSACTION of the faculty ID back: they are free for others at once.

    An operator may release anybody's, a faculty its own. It is done once, however often it is asked for; the
    transaction's own result stays what it was.

    Exit code 0 if the rooms are given back, 1 if that is refused, 3 if no server that leads was reached, or nobody
    could say: then how to ask again is told, also after Ctrl-C (130).

    \b
    Examples:
      aulario release 362546fd-a4c2-4dc8-89f4-c8e34292d80a --faculty 1 --reason "the roof leaks" --dir cluster
      aulario release 362546fd-a4c2-4dc8-89f4-c8e34292d80a --faculty 1 --reason "course canceled" --as faculty:1
    """
    request = ReleaseRequest(transaction, faculty_id, reason)
    where = where_of(directory, config_file)
    _check(request, speaker)
    _ask(configuration(directory, config_file), request, speaker, _Told(_again(request, where, speaker), where, output))


@click.group()
def term() -> None:
    """List the terms, and close those that are over.

    \b
    Examples:
      aulario term list --dir cluster
      aulario term close 2025-2 --dir cluster
    """


term.add_command(list_terms)


@term.command()
@click.argument("name", metavar="TERM", type=NAME)
@as_option
@directory_option
@config_option
@output_option(TABLE, JSON)
def close(name: str, speaker: Principal, directory: Path, config_file: Path | None, output: str) -> None:
    """Close TERM for good, as an operator: its allocations end, proposals that hold rooms in it are canceled, its
    transactions are forgotten, and its name is never used again. The log keeps all of it.

    Nothing is asked. What ended is said, and said again however often this is repeated.

    Exit code 0 if the term is closed, 1 if that is refused, 3 if no server that leads was reached, or nobody could
    say: then how to ask again is told, also after Ctrl-C (130).

    \b
    Examples:
      aulario term close 2025-2 --dir cluster
      aulario term close 2025-2 --as operator:ana -o json
    """
    request = CloseRequest(str(uuid.uuid4()), name)
    where = where_of(directory, config_file)
    _check(request, speaker)
    _ask(configuration(directory, config_file), request, speaker, _Told(_again(request, where, speaker), where, output))


class _Told(NamedTuple):
    """How the outcome is told: `again` is the command that asks again, `where` the options that name the cluster."""

    again: str
    where: str
    output: str


def _ask(config: ClusterConfig, request: RegistrarRequest, speaker: Principal, told: _Told) -> None:
    """Ask the servers and print what they say. Raises click's Exit, KeysError."""
    security = security_of(config, speaker)
    interrupt_on_signals()
    began_s = time.monotonic()
    try:
        answer, elapsed_us = _answer(config, request, speaker, security)
        exit_code = _exit_code(answer)
    except KeyboardInterrupt:
        answer = Res(request.transaction_id, UNKNOWN, None, "interrupted while the servers were asked")
        elapsed_us, exit_code = int((time.monotonic() - began_s) * 1_000_000), INTERRUPTED
    elapsed_ms = round(elapsed_us / 1_000, 1)
    with telling(f"{_outcome(answer)}, and asking again does it once: {told.again}"):
        if told.output == JSON:
            print_json({**_fields(request, answer, told.again), "elapsed_ms": elapsed_ms})
        else:
            click.echo("\n".join(_lines(request, answer, told, elapsed_ms)))
    if isinstance(answer, Closed) and answer.term == config.term:
        who = "requests that name no term ask for this one, and are refused from now on"
        click.echo(f"note: {printable(answer.term)} is the term of this configuration (term): {who}", err=True)
    raise click.exceptions.Exit(exit_code)


def _answer(
    config: ClusterConfig, request: RegistrarRequest, speaker: Principal, security: Security
) -> tuple[Closed | Res, int]:
    """What the servers said, and after how many µs."""
    servers = {server.name: server.requests for server in config.servers}
    with only_while_waiting(), context() as sockets:
        reply = ask_servers(servers, request, config.timing.answer_ms * 1_000, context=sockets, security=security)
    if isinstance(reply, NoReply):
        why = f"no server that leads answered {speaker}"
        return Res(request.transaction_id, UNKNOWN, None, why), reply.elapsed_us
    return reply.answer, reply.elapsed_us


def _check(request: RegistrarRequest, speaker: Principal) -> None:
    """What no server would take is wrong usage. A term is theirs to judge: an old one may have a name that is not what
    it looks like, and has to be closed, too. Raises click's UsageError."""
    if speaker.kind not in roles.MATRIX[roles.REQUESTS]:
        raise click.UsageError(f"--as {speaker}: servers take requests from operator:NAME and faculty:ID")
    if isinstance(request, ReleaseRequest):
        require_name("--reason", request.reason)
    [checked] = wire.decode_requests(wire.encode(request, Encoding.JSON)).messages
    if isinstance(checked, Dropped):
        raise click.UsageError("TRANSACTION must be text of 1 to 200 characters")
    if isinstance(checked, Invalid):
        raise click.UsageError(f"{'TERM' if checked.field == 'semester' else checked.field} {checked.reason}")


def _exit_code(answer: Closed | Res) -> int:
    if isinstance(answer, Closed) or answer.code == RELEASED:
        return OK
    return UNREACHABLE if answer.status in (UNAVAILABLE, UNKNOWN) else REFUSED


def _outcome(answer: Closed | Res) -> str:
    if isinstance(answer, Closed):
        return "the term is closed"
    return f"the outcome is {answer.code or answer.status}"


def _fields(request: RegistrarRequest, answer: Closed | Res, again: str) -> dict[str, Any]:
    about = {"faculty_id": request.faculty_id} if isinstance(request, ReleaseRequest) else {"semester": request.term}
    more = {"again": again} if isinstance(answer, Res) and answer.status == UNKNOWN else {}
    return {**about, **fields_of(answer), **more}


def _lines(request: RegistrarRequest, answer: Closed | Res, told: _Told, elapsed_ms: float) -> Iterator[str]:
    if isinstance(answer, Closed):
        confirmed = f"{count(answer.classrooms, 'classroom')} and {count(answer.labs, 'lab')} that were confirmed"
        yield f"CLOSED in {elapsed_ms} ms: term {printable(answer.term)}"
        yield f"ended        {confirmed}, and {count(answer.holds, 'proposal')} that held rooms"
        yield "kept         in the log alone: no request names this term or its transactions any more"
        yield receipt_line(answer.receipt)
        return
    code = f" ({answer.code})" if answer.code else ""
    why = f": {answer.reason}" if answer.reason else ""
    yield f"{answer.status}{code} in {elapsed_ms} ms{printable(why)}"
    if isinstance(request, ReleaseRequest):
        yield f"transaction  {printable(request.transaction_id)} of faculty {request.faculty_id}"
    else:
        yield f"term         {printable(request.term)}"
    if answer.receipt is not None:
        yield receipt_line(answer.receipt)
    if answer.status == UNKNOWN:
        yield f"It may have been done. Ask again, which does it once:\n  {told.again}"
    if answer.code == NOT_REACHED:
        yield "What runs, and whose keys are known here (of a server that has a new one: aulario keys allow):"
        yield f"  aulario status {told.where}\n  aulario keys list {told.where}"
    if answer.code == NOT_LET_IN:
        yield "The key's public file must be let in where the servers run (aulario keys allow). Which file that is:"
        yield f"  aulario keys list {told.where}"


def _again(request: RegistrarRequest, where: str, speaker: Principal) -> str:
    """The command that asks for the same, with the same keys."""
    keys = "" if speaker == OPERATOR else f"--as {speaker}"
    if isinstance(request, CloseRequest):
        return pasteable_command("term close", [request.term], where, keys)
    options = f"--faculty {request.faculty_id}", pasteable_option("--reason", request.reason), where, keys
    return pasteable_command("release", [request.transaction_id], *options)
