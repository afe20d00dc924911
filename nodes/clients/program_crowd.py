"""Many programs at their faculties at once, in one loop: what each was told and how long that took (A3, A19).

Each program is as nodes.clients.program has it: a REQ connection for every attempt, the same transaction id in all of
them. A result that is not definite is asked for again, at most ASKS_MAX times in all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import zmq

from es.replication.instant import Instant
from nodes import sockets
from nodes.clients.program import Asking, NoAnswer, ProgramReply, TimeLimit
from nodes.config.cluster import ClusterConfig, FacultyConfig
from nodes.security import principals
from nodes.shell import Loop, read_clock
from nodes.sockets import Context, Security, Socket
from nodes.wire.schema import UNKNOWN, ProgramRequest, Res
from projections.rooms.commands import LIMIT_REACHED, UNAVAILABLE
from projections.timings import Told

ASKS_MAX: Final = 3
SLACK_US: Final = 2_000_000
"""A program waits this much longer than its faculty takes at the longest, and never less than this."""


class Wish(NamedTuple):
    """What one program will ask of its faculty."""

    faculty: FacultyConfig
    request: ProgramRequest


def run_crowd(
    config: ClusterConfig,
    wishes: Iterable[Wish],
    in_flight_max: int,
    context: Context,
    security_of: Callable[[int], Security],
    on_told: Callable[[Told], None],
) -> list[Told]:
    """Ask for everything, so many at once, and give what each program was told, in the order of their ends.
    `on_told` is called within the loop for each, `security_of` with the faculty whose programs speak."""
    crowd = _Crowd(config, wishes, in_flight_max, context, security_of, on_told)
    try:
        crowd.loop.run(crowd)
    finally:
        crowd.close()
    return crowd.told


class _Crowd:
    """All programs; a `Participant` of its own loop, which ends when everybody was told."""

    def __init__(
        self,
        config: ClusterConfig,
        wishes: Iterable[Wish],
        in_flight_max: int,
        context: Context,
        security_of: Callable[[int], Security],
        on_told: Callable[[Told], None],
    ) -> None:
        self.loop = Loop()
        self.context = context
        self.security_of = security_of
        self.limit = TimeLimit(SLACK_US, config.timing.answer_ms * 1_000 + SLACK_US)
        self.told: list[Told] = []
        self._on_told = on_told
        self._waiting = deque(wishes)
        self._in_flight_max = in_flight_max
        self._in_flight: set[_Program] = set()

    def deadline(self) -> int | None:
        """When the first attempt has waited long enough; at once if somebody may begin, or nobody is left."""
        if not self._in_flight:
            return 0
        return min((program.until_us for program in self._in_flight), default=None)

    def on_turn(self, now: Instant) -> None:
        """End what took too long, begin what may begin."""
        for program in [one for one in self._in_flight if now.boot_us >= one.until_us]:
            program.on_silence()
        while self._waiting and len(self._in_flight) < self._in_flight_max:
            program = _Program(self, self._waiting.popleft())
            self._in_flight.add(program)
            program.begin()
        if not self._in_flight:
            self.loop.stop()

    def end(self, program: _Program, told: Told) -> None:
        """A program knows all that it will ever know."""
        self._in_flight.discard(program)
        self.told.append(told)
        self._on_told(told)

    def close(self) -> None:
        """Give all sockets back."""
        for program in self._in_flight:
            program.hang_up()
        self.loop.close()


class _Program:
    """One program and its one request."""

    def __init__(self, crowd: _Crowd, wish: Wish) -> None:
        self._crowd = crowd
        self._faculty, self._request = wish
        self._socket: Socket | None = None
        self._asking: Asking
        self._asks = self._attempts = 0
        self._began_us = read_clock().boot_us
        self.until_us = 0

    def begin(self) -> None:
        """Ask, once more if it was asked before."""
        self._asks += 1
        self._asking = Asking(self._request, self._crowd.limit, read_clock().boot_us)
        self._request = self._request._replace(transaction_id=self._asking.transaction_id)
        self._attempt()

    def hang_up(self) -> None:
        """Close the connection of the present attempt."""
        if self._socket is not None:
            self._crowd.loop.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def on_silence(self) -> None:
        """The present attempt was not answered in time."""
        self._attempt()

    def _attempt(self) -> None:
        self.hang_up()
        until_us = self._asking.next_attempt()
        if until_us is None:
            self._take(self._asking.give_up(read_clock().boot_us))
            return
        self._attempts += 1
        self.until_us = until_us
        faculty, crowd = self._faculty, self._crowd
        security = crowd.security_of(faculty.id)
        self._socket = sockets.program_req(crowd.context, faculty.endpoint, principals.faculty(faculty.id), security)
        self._crowd.loop.register(self._socket, self._on_ready)
        self._socket.send(self._asking.payload, zmq.NOBLOCK)

    def _on_ready(self, now: Instant) -> None:
        assert self._socket is not None
        try:
            payload = self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return
        reply = self._asking.on_payload(payload, now.boot_us)
        if reply is not None:
            self.hang_up()
            self._take(reply)

    def _take(self, reply: ProgramReply | NoAnswer) -> None:
        res = reply.res if isinstance(reply, ProgramReply) else Res(reply.transaction_id, UNKNOWN)
        if res.status in (UNKNOWN, UNAVAILABLE) and res.code != LIMIT_REACHED and self._asks < ASKS_MAX:
            self.begin()
        else:
            self._crowd.end(self, self._told(res))

    def _told(self, res: Res) -> Told:
        request, faculty = self._request, self._faculty
        return Told(
            faculty_id=faculty.id,
            program=request.program,
            transaction_id=res.transaction_id,
            term=request.term,
            classrooms=request.classrooms,
            labs=request.labs,
            pattern=faculty.pattern,
            status=res.status,
            code=res.code,
            epoch=res.receipt.epoch if res.receipt is not None else None,
            attempts=self._attempts,
            began_us=self._began_us,
            us=read_clock().boot_us - self._began_us,
        )
