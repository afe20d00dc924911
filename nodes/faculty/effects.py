"""What a faculty's core tells its shell to carry out, in the order told."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from nodes.wire.schema import Res
from projections.rooms.commands import Answer, Reserve

OUTAGE_PHASES: Final = ("without_server", "first_result")
"""Of an outage as a faculty sees it: from the last beat of the server it lost until it follows one again; from then
until the first result that stands (A19)."""


class Submit(NamedTuple):
    """Send `message` to `server`; it replaces what was sent for this transaction before."""

    transaction_id: str
    server: str
    message: Reserve | Answer


class Abandon(NamedTuple):
    """No answer for this transaction is of interest any more."""

    transaction_id: str


class AnswerProgram(NamedTuple):
    """Send the result to the program behind `route`, which is as the shell gave it."""

    route: object
    res: Res


class ServerChanged(NamedTuple):
    """Another server is followed now. `previous` is None for the first one."""

    previous: str | None
    current: str
    epoch: int


class SavePrograms(NamedTuple):
    """Make this durable before carrying out what follows."""

    content: str


class Timed(NamedTuple):
    """One leg of a transaction took `us` and ended at boot time `ended_us` (A19): sol_prop, ack_res, sol_res, or
    program (all of it, with the status and code that the program is told)."""

    leg: str
    us: int
    transaction_id: str
    program_id: int
    ended_us: int
    status: str = ""
    code: str = ""


class OutageTimed(NamedTuple):
    """One phase of an outage, as in OUTAGE_PHASES, took `us` (A19)."""

    phase: str
    us: int


class Forbidden(NamedTuple):
    """The program behind `route` asked in another's name. It is answered as well."""

    route: object
    why: str


Effect: TypeAlias = Submit | Abandon | AnswerProgram | ServerChanged | SavePrograms | Timed | OutageTimed | Forbidden
