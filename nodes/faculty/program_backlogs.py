"""What programs ask waits in front of a faculty's core, each program's by itself: a flooding one starves no other.

Pure. What a faculty has under way at a server waits there in one row, so that is kept short, and programs wait here.
One that would have to wait long, for it exceeds its rate or its share, is told BUSY: its time limit has not begun.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from es.replication.instant import Instant
from nodes import wire
from nodes.config.cluster import Limits
from nodes.faculty.core import IN_FLIGHT_MAX, FacultyCore
from nodes.faculty.effects import Effect
from nodes.server.admission import Admission, Bulk, Portion
from nodes.wire.encoding import Encoding
from nodes.wire.payload import SMALL_BYTES, Payload
from nodes.wire.schema import Dropped

BACKLOG_FULL: Final = "backlog_full"

UNDER_WAY_MAX: Final = {"async": 128, "lbb": 32}
"""Requests that a server has at one time, of all programs of a faculty of that pattern: more than keep it busy. In the
request-reply pattern each costs a connection, so there are fewer a second. While no server is followed, there is no row
to wait in, and the core takes what it can hold."""

BULK: Final = {"async": Bulk(1 << 10, 100, 4), "lbb": Bulk(1 << 10, 20, 1)}
"""What programs send without waiting for answers, by the faculty's pattern: more than eight requests at one time. Each
is two transactions' worth of work for a faculty, and in the request-reply pattern two handshakes."""

TURN_MAX: Final = 8
"""Requests of one turn: each costs a faculty several times what it costs a server."""

WAIT_US_MAX: Final = 5_000_000
"""How long a request waits before it is told BUSY: half of the time within which a faculty answers by default. A
program that is told so asks again, at the cost of a connection."""

CHECK_US: Final = 100_000
"""How often that is looked at while nothing else happens."""


S = TypeVar("S", bound=Hashable)
"""A session: the connection on which a program waits for its answer. It is only told apart here."""


class Route(NamedTuple, Generic[S]):
    """Where a program waits for its answer, how it speaks, and who it is."""

    session: S
    encoding: Encoding
    identity: Hashable = None


class _Asked(NamedTuple, Generic[S]):
    session: S
    identity: Hashable
    speaks_for: int | None
    payload: Payload
    came_us: int


class ProgramBacklogs(Generic[S]):
    """Between a faculty's door and its core. `ignored` counts what is dropped or malformed, by the labels it has. Of
    what has waited on a session that `turns_away(session)` then, nothing is done (nodes.server.admission). `refused`
    counts what came and found no room."""

    def __init__(
        self,
        core: FacultyCore,
        limits: Limits,
        ignored: dict[str, int],
        turns_away: Callable[[S], bool],
        pattern: str,
    ) -> None:
        self._under_way_max = UNDER_WAY_MAX[pattern]
        self._core = core
        self._ignored = ignored
        self.refused = 0
        self._admission: Admission[_Asked[S]] = Admission(
            limits, IN_FLIGHT_MAX, self._turns_away, turn_max=TURN_MAX, bulk=BULK[pattern]
        )
        self._is_revoked = turns_away
        self._check_us = 0
        self._effects: list[Effect] = []

    def on_payload(
        self, session: S, identity: Hashable, speaks_for: int | None, payload: Payload, now: Instant
    ) -> list[Effect]:
        """A program asks, which may do so for `speaks_for` only (None: for anybody); it waits for `admit`. What is
        refused instead is answered as far as that is cheap."""
        asked = _Asked(session, identity, speaks_for, payload, now.boot_us)
        for owner, refused, size_bytes in self._admission.offer(identity, asked, len(payload), now.boot_us):
            self.refused += 1
            if self._admission.may_answer(owner, size_bytes, now.boot_us):
                self._ask(refused, now, is_within=False)
            else:
                self._ignored[BACKLOG_FULL] += 1
        return self._given()

    def admit(self, now: Instant) -> list[Effect]:
        """What a turn's portion of what waits leads to."""
        self._check_us = now.boot_us + CHECK_US
        self._admission.capacity = IN_FLIGHT_MAX if self._core.follows is None else self._under_way_max
        self._admission.admit(self._take, now)
        return self._given()

    @property
    def messages_max(self) -> int:
        """How many messages are to be read from the door in this turn."""
        return self._admission.messages_max

    def deadline(self) -> int | None:
        """Boot time in µs at which `admit` is to go on; None: nothing waits."""
        due_us = self._admission.deadline()
        if due_us is None and self._admission.bytes:
            due_us = self._check_us
        return due_us

    def on_answered(self, route: Route[Any]) -> None:
        """That program was answered."""
        self._admission.leave(route.identity)

    def _take(self, asked: _Asked[S], requests_max: int, now: Instant) -> Portion:
        self._ask(asked, now, is_within=True)
        return Portion(1, 1 + len(asked.payload) // SMALL_BYTES, is_over=True)

    def _turns_away(self, asked: _Asked[S], now: Instant) -> bool:
        """Whoever was revoked, without a word, and whoever has waited too long; without a word, too, if he floods."""
        if self._is_revoked(asked.session):
            return True
        is_late = now.boot_us - asked.came_us > WAIT_US_MAX
        if is_late and self._admission.is_answered(asked.identity, now.boot_us):
            self._ask(asked, now, is_within=False)
        elif is_late:
            self._ignored[BACKLOG_FULL] += 1
        return is_late

    def _ask(self, asked: _Asked[S], now: Instant, is_within: bool) -> None:
        request, encoding = wire.decode_program_request(bytes(asked.payload))
        if isinstance(request, Dropped):
            self._ignored[request.why] += 1
        self._admission.enter(asked.identity, now.boot_us)  # whatever it asks, it is answered once
        route = Route(asked.session, encoding, asked.identity)
        answer = self._core.on_request if is_within else self._core.on_excess
        self._effects += answer(route, request, now, asked.speaks_for)

    def _given(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
