"""The reference load (A2): every faculty's programs ask for rooms, the faculties all at once.

Each faculty has a thread that asks for its programs one after the other, so that ten requests are in
flight. What is asked follows from a seed alone; a program that learns nothing asks again with its own
transaction id.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from nodes.clients.program import NoAnswer, TimeLimit, ask, draw_request
from nodes.config.cluster import ClusterConfig, FacultyConfig
from nodes.security import principals
from nodes.security.curve import security_of
from nodes.sockets import Context, context
from nodes.wire.schema import ProgramRequest, Res
from projections.rooms.checker import Observation
from projections.rooms.commands import LIMIT_REACHED

ATTEMPTS_MAX = 3
LIMIT_MIN_US = 2_000_000
UNDECIDED = ("UNKNOWN", "UNAVAILABLE")
RESULT_WITHIN_S = 60.0


class Outcome(NamedTuple):
    """What one program got: `res` is None if nobody ever answered. Times are of `time.monotonic`."""

    faculty: FacultyConfig
    asked: ProgramRequest
    res: Res | None
    began_s: float
    ended_s: float

    @property
    def status(self) -> str:
        """The result's status; UNKNOWN without one."""
        return "UNKNOWN" if self.res is None else self.res.status


class Share(NamedTuple):
    """What one faculty's programs will ask."""

    faculty: FacultyConfig
    requests: Sequence[ProgramRequest]


def draw_shares(config: ClusterConfig, seed: int) -> list[Share]:
    """The whole load: 7 to 10 classrooms and 2 to 4 labs for every program, the same for the same seed."""
    drawn = random.Random(seed)
    return [
        Share(faculty, [draw_request(drawn, name) for name in faculty.programs.values()])
        for faculty in config.faculties
    ]


def run_load(config: ClusterConfig, shares: Sequence[Share]) -> Iterator[Outcome]:
    """Ask for everything; give each outcome as it comes, in order of arrival."""
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    with context() as sockets:
        for share in shares:
            Thread(target=_ask_all, args=(config, share, sockets, outcomes), daemon=True).start()
        for _ in range(sum(len(share.requests) for share in shares)):
            try:
                yield outcomes.get(timeout=RESULT_WITHIN_S)
            except Empty:
                return


def _ask_all(config: ClusterConfig, share: Share, sockets: Context, outcomes: SimpleQueue[Outcome]) -> None:
    limit = TimeLimit(LIMIT_MIN_US, config.timing.answer_ms * 1_000 + LIMIT_MIN_US)
    security = security_of(config, principals.program(share.faculty.id))
    faculty = principals.faculty(share.faculty.id)
    for request in share.requests:
        began_s = time.monotonic()
        asked, res = request, None
        for _ in range(ATTEMPTS_MAX):
            reply = ask(faculty, share.faculty.endpoint, asked, limit, context=sockets, security=security)
            if isinstance(reply, NoAnswer):
                asked = asked._replace(transaction_id=reply.transaction_id)
                continue
            res = reply.res
            asked = asked._replace(transaction_id=res.transaction_id)
            if res.status not in UNDECIDED or res.code == LIMIT_REACHED:
                break
        outcomes.put(Outcome(share.faculty, asked, res, began_s, time.monotonic()))


def observations(outcomes: Sequence[Outcome]) -> list[Observation]:
    """Every ACCEPTED that a program saw, for the checker."""
    return [
        Observation(
            outcome.res.transaction_id,
            outcome.faculty.id,
            outcome.res.receipt.seq,
            outcome.res.receipt.hash,
            outcome.res.classrooms,
            outcome.res.labs,
            outcome.res.mobile,
            outcome.res.receipt.epoch,
        )
        for outcome in outcomes
        if outcome.res is not None and outcome.status == "ACCEPTED" and outcome.res.receipt is not None
    ]
