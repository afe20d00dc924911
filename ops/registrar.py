"""`aulario release` and `aulario term`: what is done with allocations and terms once they are there."""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path
from typing import Any

import click

from nodes import wire
from nodes.clients.registrar import NoReply, ask_servers
from nodes.config.cluster import ClusterConfig
from nodes.security import roles
from nodes.security.curve import security_of
from nodes.security.principals import Principal, principal
from nodes.sockets import context
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Closed, CloseRequest, Dropped, Invalid, ReleaseRequest, Res
from nodes.wire.to_maps import fields_of
from ops.allocations import list_terms
from ops.exits import OK, REFUSED, UNREACHABLE
from ops.keys import named_principal
from ops.options import config_option, configuration, directory_option
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
@click.argument("transaction")
@click.option("--faculty", "faculty_id", type=FACULTY_ID, required=True, metavar="ID", help="Whose it is.")
@click.option("--reason", required=True, help="Why; it stands in the log.")
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

    Exit code 0 if the rooms are given back, 1 if that is refused, 3 if nobody could say: ask again.

    \b
    Examples:
      aulario release 362546fd-a4c2-4dc8-89f4-c8e34292d80a --faculty 1 --reason "the roof leaks" --dir cluster
      aulario release 362546fd-a4c2-4dc8-89f4-c8e34292d80a --faculty 1 --reason "course canceled" --as faculty:1
    """
    if not reason.strip():
        raise click.UsageError("--reason must say something")
    request = ReleaseRequest(transaction, faculty_id, reason)
    options = f"--faculty {faculty_id} --reason {shlex.quote(reason)}"
    again = f"aulario release {shlex.quote(transaction)} {options} {_where(directory, config_file, speaker)}"
    _check(request, speaker)
    _ask(configuration(directory, config_file), request, speaker, again, output)


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
@click.argument("name", metavar="TERM")
@as_option
@directory_option
@config_option
@output_option(TABLE, JSON)
def close(name: str, speaker: Principal, directory: Path, config_file: Path | None, output: str) -> None:
    """Close TERM for good, as an operator: its allocations end, proposals that hold rooms in it are canceled, its
    transactions are forgotten, and its name is never used again. The log keeps all of it.

    Nothing is asked. What ended is said, and said again however often this is repeated.

    Exit code 0 if the term is closed, 1 if that is refused, 3 if nobody could say: ask again.

    \b
    Examples:
      aulario term close 2025-2 --dir cluster
      aulario term close 2025-2 --as operator:ana -o json
    """
    request = CloseRequest(str(uuid.uuid4()), name)
    again = f"aulario term close {shlex.quote(name)} {_where(directory, config_file, speaker)}"
    _check(request, speaker)
    _ask(configuration(directory, config_file), request, speaker, again, output)


def _ask(
    config: ClusterConfig, request: ReleaseRequest | CloseRequest, speaker: Principal, again: str, output: str
) -> None:
    """Ask the servers and print what they say. Raises click's Exit, KeysError."""
    servers = {server.name: server.requests for server in config.servers}
    with context() as sockets:
        reply = ask_servers(
            servers, request, config.timing.answer_ms * 1_000, context=sockets, security=security_of(config, speaker)
        )
    answer = None if isinstance(reply, NoReply) else reply.answer
    elapsed_ms = round(reply.elapsed_us / 1_000, 1)
    with telling(f"{_outcome(answer)}, and asking again does it once: {again}"):
        if output == JSON:
            print_json({**_fields(request, answer, again), "elapsed_ms": elapsed_ms})
        else:
            click.echo("\n".join(_lines(request, answer, again, speaker, elapsed_ms)))
    raise click.exceptions.Exit(_exit_code(answer))


def _check(request: ReleaseRequest | CloseRequest, speaker: Principal) -> None:
    """What no server would take is wrong usage. Raises click's UsageError."""
    if speaker.kind not in roles.MATRIX[roles.REQUESTS]:
        raise click.UsageError(f"--as {speaker}: servers take requests from operator:NAME and faculty:ID")
    [checked] = wire.decode_requests(wire.encode(request, Encoding.JSON)).messages
    if isinstance(checked, Dropped):
        raise click.UsageError("TRANSACTION must be text of 1 to 200 characters")
    if isinstance(checked, Invalid):
        named = {"semester": "TERM", "reason": "--reason"}.get(checked.field, checked.field)
        raise click.UsageError(f"{named} {checked.reason}")


def _exit_code(answer: Closed | Res | None) -> int:
    if answer is None:
        return UNREACHABLE
    if isinstance(answer, Closed) or answer.code == RELEASED:
        return OK
    return UNREACHABLE if answer.status == UNAVAILABLE else REFUSED


def _outcome(answer: Closed | Res | None) -> str:
    if answer is None:
        return "the outcome is unknown"
    if isinstance(answer, Closed):
        return "the term is closed"
    return f"the outcome is {answer.code or answer.status}"


def _fields(request: ReleaseRequest | CloseRequest, answer: Closed | Res | None, again: str) -> dict[str, Any]:
    about = {"faculty_id": request.faculty_id} if isinstance(request, ReleaseRequest) else {"semester": request.term}
    if answer is None:
        return {**about, "transaction_id": request.transaction_id, "status": "UNKNOWN", "again": again}
    return {**about, **fields_of(answer)}


def _lines(
    request: ReleaseRequest | CloseRequest,
    answer: Closed | Res | None,
    again: str,
    speaker: Principal,
    elapsed_ms: float,
) -> list[str]:
    if answer is None:
        why = f"no server that leads answered {speaker} in {elapsed_ms} ms"
        return [f"{why}; the outcome is unknown. Ask again, which does it once:", f"  {again}"]
    if isinstance(answer, Closed):
        confirmed = f"{count(answer.classrooms, 'classroom')} and {count(answer.labs, 'lab')} that were confirmed"
        return [
            f"CLOSED in {elapsed_ms} ms: term {printable(answer.term)}",
            f"ended        {confirmed}, and {count(answer.holds, 'proposal')} that held rooms",
            "kept         in the log alone: no request names this term or its transactions any more",
            receipt_line(answer.receipt),
        ]
    code = f" ({answer.code})" if answer.code else ""
    why = f": {answer.reason}" if answer.reason else ""
    what = (
        f"transaction  {printable(request.transaction_id)} of faculty {request.faculty_id}"
        if isinstance(request, ReleaseRequest) else f"term         {printable(request.term)}"
    )  # fmt: skip
    receipt = [] if answer.receipt is None else [receipt_line(answer.receipt)]
    return [f"{answer.status}{code} in {elapsed_ms} ms{printable(why)}", what, *receipt]


def _where(directory: Path, config_file: Path | None, speaker: Principal) -> str:
    """The options that ask the same cluster with the same keys."""
    where = f"--config {shlex.quote(str(config_file))}" if config_file else f"--dir {shlex.quote(str(directory))}"
    return where if speaker == OPERATOR else f"{where} --as {speaker}"
