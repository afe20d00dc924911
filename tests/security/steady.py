"""Programs that ask one after the other, each again with the same id until somebody can say how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from threading import Event, Thread
from typing import Final

from nodes import principals, sockets
from nodes.config import ClusterConfig
from nodes.program import NoAnswer, TimeLimit, ask
from nodes.security import security_of
from nodes.wire_schema import UNKNOWN, ProgramRequest, Res, res_fields
from projections.rooms.commands import UNAVAILABLE
from tests.process.verdict import Journal

PER_TERM: Final = 300
ATTEMPT_LIMIT_US: Final = 6_000_000


class Steady:
    """The programs of one faculty, until `end`. They read the keys anew for every request."""

    def __init__(self, config: ClusterConfig, faculty_id: int) -> None:
        self._config = config
        self._faculty_id = faculty_id
        self._is_over = Event()
        self._thread = Thread(target=self._run)
        self.results: list[Res] = []
        self._thread.start()

    def end(self) -> None:
        """After the request that is under way has ended."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with sockets.context() as context:
            for number in count():
                if self._is_over.is_set():
                    return
                term = f"steady-{self._faculty_id}-{number // PER_TERM}"
                self.results.append(self._result(ProgramRequest("Constante", 1, 0, term), context))

    def _result(self, request: ProgramRequest, context: sockets.Context) -> Res:
        """What stands."""
        while True:
            faculty = self._config.faculty(self._faculty_id)
            security = security_of(self._config, principals.program(self._faculty_id))
            reply = ask(
                principals.faculty(self._faculty_id), faculty.endpoint, request, TimeLimit(max_us=ATTEMPT_LIMIT_US),
                context=context, security=security,
            )  # fmt: skip
            if isinstance(reply, NoAnswer):
                request = request._replace(transaction_id=reply.transaction_id)
            elif reply.res.status in (UNKNOWN, UNAVAILABLE):
                request = request._replace(transaction_id=reply.res.transaction_id)
            else:
                return reply.res


@contextmanager
def steady(config: ClusterConfig, journal: Journal) -> Iterator[list[Steady]]:
    """Programs at every faculty; in the end the journal knows what they were told."""
    loads = [Steady(config, faculty.id) for faculty in config.faculties]
    try:
        yield loads
    finally:
        for load, faculty in zip(loads, config.faculties, strict=True):
            load.end()
            for res in load.results:
                journal.saw(faculty.id, res_fields(res))
