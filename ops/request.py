"""`aulario request`: one program asks its faculty for rooms."""

from __future__ import annotations

import random
import shlex
from pathlib import Path
from typing import Any

import click

from nodes.clients.program import NoAnswer, TimeLimit, ask, draw_request
from nodes.security import principals
from nodes.security.curve import security_of
from nodes.sockets import context
from nodes.wire.encoding import Encoding
from nodes.wire.schema import ProgramRequest, Res, res_fields
from ops.exits import OK, REFUSED, UNREACHABLE
from ops.options import config_option, configuration, directory_option
from ops.output import JSON, TABLE, output_option, print_json, printable
from ops.receipts import receipt_line
from ops.streams import telling

ANSWER_SLACK_US = 2_000_000
"""A program waits this much longer than its faculty takes at the longest."""

EXIT_CODES = {"ACCEPTED": OK, "UNAVAILABLE": UNREACHABLE, "UNKNOWN": UNREACHABLE}


@click.command()
@click.argument("program")
@click.argument("classrooms", type=click.IntRange(0, 1_000), required=False)
@click.argument("labs", type=click.IntRange(0, 1_000), required=False)
@directory_option
@config_option
@click.option("--faculty", "faculty_id", type=int, required=True, metavar="ID", help="The program's faculty.")
@click.option("--term", help="For which term (default: the faculty's).")
@click.option("--partial", is_flag=True, help="Take fewer rooms if not all can be had.")
@click.option("--random", "drawn", is_flag=True, help="Draw 7 to 10 classrooms and 2 to 4 labs.")
@click.option("--transaction-id", metavar="TX", help="Ask again for the result of an earlier request.")
@output_option(TABLE, JSON)
def request(
    program: str,
    classrooms: int | None,
    labs: int | None,
    directory: Path,
    config_file: Path | None,
    faculty_id: int,
    term: str | None,
    partial: bool,
    drawn: bool,
    transaction_id: str | None,
    output: str,
) -> None:
    """Ask the faculty ID for CLASSROOMS and LABS on behalf of PROGRAM.

    Exit code 0 if they are granted, 1 if not, 3 if nobody could say, or if the
    result could not be printed: ask again with its transaction id.

    \b
    Examples:
      aulario request --dir cluster --faculty 1 "Ingeniería de Sistemas" 7 2
      aulario request --faculty 2 Biología --random -o json
      aulario request --faculty 2 Biología 9 3 --term 2026-1 --partial
    """
    if drawn == (classrooms is not None) or (classrooms is None) != (labs is None):
        raise click.UsageError("give either CLASSROOMS and LABS or --random")
    for name, text in (("PROGRAM", program), ("--term", term), ("--transaction-id", transaction_id)):
        if text == "":
            raise click.UsageError(f"{name} must not be empty")
    config = configuration(directory, config_file)
    if drawn:
        asked = draw_request(random.Random(), program, term)
        asked = asked._replace(partial=partial, transaction_id=transaction_id)
    else:
        asked = ProgramRequest(program, classrooms or 0, labs or 0, term, transaction_id, partial)
    limit = TimeLimit(max_us=config.timing.answer_ms * 1_000 + ANSWER_SLACK_US)
    endpoint = config.faculty(faculty_id).endpoint
    security = security_of(config, principals.program(faculty_id))
    with context() as sockets:
        reply = ask(
            principals.faculty(faculty_id), endpoint, asked, limit,
            context=sockets, security=security, encoding=Encoding.JSON,
        )  # fmt: skip
    if isinstance(reply, NoAnswer):
        transaction_id, outcome = reply.transaction_id, "the outcome is unknown"
    else:
        transaction_id, outcome = reply.res.transaction_id, f"the outcome is {reply.res.status}"
    where = f"--config {shlex.quote(str(config_file))}" if config_file else f"--dir {shlex.quote(str(directory))}"
    again = _again(asked, f"{where} --faculty {faculty_id}", transaction_id)
    with telling(f"{outcome}, and asking again with the same id gives the one result there is: {again}"):
        if isinstance(reply, NoAnswer):
            _say_no_answer(reply, again, output)
        elif output == JSON:
            print_json({"faculty_id": faculty_id, **res_fields(reply.res), "elapsed_ms": _ms(reply.elapsed_us)})
        else:
            _print_result(reply.res, reply.elapsed_us)
    granted = UNREACHABLE if isinstance(reply, NoAnswer) else EXIT_CODES.get(reply.res.status, REFUSED)
    raise click.exceptions.Exit(granted)


def _again(asked: ProgramRequest, where: str, transaction_id: str) -> str:
    """The command that asks for the result of the same request."""
    term = "" if asked.term is None else f" --term {shlex.quote(asked.term)}"
    return (
        f"aulario request {where} {shlex.quote(asked.program)} {asked.classrooms} {asked.labs} "
        f"--transaction-id {shlex.quote(transaction_id)}{term}{' --partial' if asked.partial else ''}"
    )


def _say_no_answer(reply: NoAnswer, again: str, output: str) -> None:
    if output == JSON:
        answer: dict[str, Any] = {"transaction_id": reply.transaction_id, "status": "UNKNOWN", "again": again}
        print_json({**answer, "elapsed_ms": _ms(reply.elapsed_us)})
    else:
        unknown = f"no answer in {_ms(reply.elapsed_us)} ms; the outcome is unknown. Ask again with the same id:"
        click.echo(f"{unknown}\n  {again}")


def _print_result(res: Res, elapsed_us: int) -> None:
    """Written at once: a reader that leaves after the first line has not lost the result."""
    why = f": {res.reason}" if res.reason else ""
    code = f" ({res.code})" if res.code else ""
    lines = [
        f"{res.status}{code} in {_ms(elapsed_us)} ms{why}",
        f"transaction  {printable(res.transaction_id)}",
    ]
    for title, rooms in (("classrooms", res.classrooms), ("labs", res.labs), ("mobile labs", res.mobile)):
        if rooms:
            lines.append(f"{title:<12} {len(rooms)}: {' '.join(rooms)}")
    if res.receipt is not None:
        lines.append(receipt_line(res.receipt))
    click.echo("\n".join(lines))


def _ms(elapsed_us: int) -> float:
    return round(elapsed_us / 1_000, 1)
