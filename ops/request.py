"""`aulario request`: one program asks its faculty for rooms."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import click

from nodes.clients.interrupts import only_while_waiting
from nodes.clients.program import NOT_LET_IN, NoAnswer, TimeLimit, ask, draw_request
from nodes.config.cluster import CURVE
from nodes.security import principals
from nodes.security.allow_list import AllowList
from nodes.security.curve import security_of
from nodes.sockets import Security, context
from nodes.wire.encoding import Encoding
from nodes.wire.schema import UNKNOWN, ProgramRequest, Res
from nodes.wire.to_maps import fields_of
from ops.cluster import interrupt_on_signals
from ops.exits import INTERRUPTED, OK, REFUSED, UNREACHABLE, Stopped
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
from ops.output import JSON, TABLE, output_option, print_json, printable
from ops.receipts import receipt_line
from ops.streams import telling
from projections.rooms.commands import ACCEPTED, LIMIT_REACHED, UNAVAILABLE

ANSWER_SLACK_US = 2_000_000
"""A program waits this much longer than its faculty takes at the longest."""

EXIT_CODES = {ACCEPTED: OK, UNAVAILABLE: UNREACHABLE, UNKNOWN: UNREACHABLE}


@click.command()
@click.argument("program", type=NAME)
@click.argument("classrooms", type=click.IntRange(0, 1_000), required=False)
@click.argument("labs", type=click.IntRange(0, 1_000), required=False)
@directory_option
@config_option
@click.option("--faculty", "faculty_id", type=int, required=True, metavar="ID", help="The program's faculty.")
@click.option("--term", type=NAME, help="For which term (default: the faculty's).")
@click.option("--partial", is_flag=True, help="Take fewer rooms if not all can be had.")
@click.option("--random", "drawn", is_flag=True, help="Draw 7 to 10 classrooms and 2 to 4 labs.")
@click.option("--transaction-id", type=NAME, metavar="TX", help="Ask again for the result of an earlier request.")
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
    result could not be printed: ask again with its transaction id, which is
    also told after Ctrl-C (130).

    \b
    Examples:
      aulario request --dir cluster --faculty 1 "Ingeniería de Sistemas" 7 2
      aulario request --faculty 2 Biología --random -o json
      aulario request --faculty 2 Biología 9 3 --term 2026-1 --partial
    """
    if drawn == (classrooms is not None) or (classrooms is None) != (labs is None):
        raise click.UsageError("give either CLASSROOMS and LABS or --random")
    if classrooms == labs == 0:
        raise click.UsageError("CLASSROOMS and LABS must not both be 0")
    for name, text in (("PROGRAM", program), ("--term", term), ("--transaction-id", transaction_id)):
        if text is not None:
            require_name(name, text)
    config = configuration(directory, config_file)
    asked = ProgramRequest(program, classrooms or 0, labs or 0, term)
    if drawn:
        asked = draw_request(random.Random(), program, term)
    asked = asked._replace(partial=partial, transaction_id=transaction_id or str(uuid4()))
    endpoint = config.faculty(faculty_id).endpoint
    security = security_of(config, principals.program(faculty_id))
    where = where_of(directory, config_file)
    if config.security == CURVE and AllowList(config.keys).newest(principals.faculty(faculty_id)) is None:
        whose = f"no key of faculty:{faculty_id} is let in in {config.keys}"
        raise Stopped(f"{whose}: it cannot be reached, and nothing was asked (aulario keys list {where})", UNREACHABLE)
    again = _again(asked, config.term, faculty_id, where)
    interrupt_on_signals()
    began_s = time.monotonic()
    try:
        res, elapsed_us = _ask(asked, faculty_id, endpoint, config.timing.answer_ms, security)
        exit_code = _exit_code(res)
    except KeyboardInterrupt:
        res = Res(asked.transaction_id or "", UNKNOWN, None, "interrupted while the faculty was asked")
        elapsed_us, exit_code = int((time.monotonic() - began_s) * 1_000_000), INTERRUPTED
    elapsed_ms = round(elapsed_us / 1_000, 1)
    told = f"the outcome is {res.status}, and asking again with the same id gives the one result there is: {again}"
    with telling(told):
        if output == JSON:
            more = {"again": again} if res.status == UNKNOWN else {}
            print_json({"faculty_id": faculty_id, **fields_of(res), **more, "elapsed_ms": elapsed_ms})
        else:
            click.echo("\n".join(_lines(res, elapsed_ms, again, where)))
    raise click.exceptions.Exit(exit_code)


def _ask(
    asked: ProgramRequest, faculty_id: int, endpoint: str, answer_ms: int, security: Security
) -> tuple[Res, int]:
    """What the faculty said, and after how many µs."""
    limit = TimeLimit(max_us=answer_ms * 1_000 + ANSWER_SLACK_US)
    with only_while_waiting(), context() as sockets:
        reply = ask(
            principals.faculty(faculty_id), endpoint, asked, limit,
            context=sockets, security=security, encoding=Encoding.JSON,
        )  # fmt: skip
    if isinstance(reply, NoAnswer):
        return Res(reply.transaction_id, UNKNOWN, None, f"nobody answered at {endpoint}"), reply.elapsed_us
    return reply.res, reply.elapsed_us


def _exit_code(res: Res) -> int:
    """What asking again does not change is a refusal."""
    return REFUSED if res.code == LIMIT_REACHED else EXIT_CODES.get(res.status, REFUSED)


def _again(asked: ProgramRequest, faculty_term: str, faculty_id: int, where: str) -> str:
    """The command that asks for the result of the same request, in whatever term the faculty is by then."""
    return pasteable_command(
        "request",
        (asked.program, asked.classrooms, asked.labs),
        where,
        f"--faculty {faculty_id}",
        pasteable_option("--transaction-id", asked.transaction_id),
        pasteable_option("--term", faculty_term if asked.term is None else asked.term),
        "--partial" if asked.partial else "",
    )


def _lines(res: Res, elapsed_ms: float, again: str, where: str) -> Iterator[str]:
    """To be written at once: a reader that leaves after the first line has not lost the result."""
    why = f": {printable(res.reason)}" if res.reason else ""
    code = f" ({res.code})" if res.code else ""
    yield f"{res.status}{code} in {elapsed_ms} ms{why}"
    yield f"transaction  {printable(res.transaction_id)}"
    for title, rooms in (("classrooms", res.classrooms), ("labs", res.labs), ("mobile labs", res.mobile)):
        if rooms:
            yield f"{title:<12} {len(rooms)}: {' '.join(rooms)}"
    if res.receipt is not None:
        yield receipt_line(res.receipt)
    if res.status == UNKNOWN:
        yield f"It may have been decided. Ask again with the same id:\n  {again}"
    if res.code == NOT_LET_IN:
        yield "The key's public file must be let in where that faculty runs (aulario keys allow). Which file that is:"
        yield f"  aulario keys list {where}"
