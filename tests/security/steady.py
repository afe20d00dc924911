"""Programs that ask one after the other, each again with the same id until somebody can say how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from threading import Event, Thread
from typing import Final

from nodes import sockets
from nodes.clients.program import NoAnswer, TimeLimit, ask
from nodes.config.cluster import ClusterConfig
from nodes.security import principals
from nodes.security.curve import security_of
from nodes.wire.schema import UNKNOWN, ProgramRequest, Res
from nodes.wire.to_maps import fields_of
from projections.rooms.commands import UNAVAILABLE
from tests.process.verdict import Journal

PER_TERM: Final = 300
ATTEMPT_LIMIT_US: Final = 6_000_000


class Steady:
    """The programs of one faculty, until `end`."""

    def __init__(self, config: ClusterConfig, faculty_id: int) -> None:
        self._config = config
        self._faculty_id = faculty_id
        self._endpoint = config.faculty(faculty_id).endpoint
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
                request = ProgramRequest("Constante", 1, 0, term)
                self.results.append(result_of(self._config, self._faculty_id, request, self._endpoint, context))


def result_of(
    config: ClusterConfig, faculty_id: int, request: ProgramRequest, endpoint: str, context: sockets.Context
) -> Res:
    """What stands of a request to that faculty, which is reached at `endpoint`. Keys are read anew each time."""
    while True:
        reply = ask(
            principals.faculty(faculty_id), endpoint, request, TimeLimit(max_us=ATTEMPT_LIMIT_US),
            context=context, security=security_of(config, principals.program(faculty_id)),
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
                journal.saw(faculty.id, fields_of(res))
