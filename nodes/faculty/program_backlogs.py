"""What programs ask waits in front of a faculty's core, each program's by itself: a flooding one starves no other.

Pure. A program is told BUSY where it exceeds its rate or its share of what is under way, for a faculty answers within
its time limit, and what waits outside would not have begun to count.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from es.replication.instant import Instant
from nodes import wire
from nodes.config.cluster import Limits
from nodes.faculty.core import IN_FLIGHT_MAX, Effect, FacultyCore
from nodes.server.admission import Admission, Portion
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Dropped

BACKLOG_FULL: Final = "backlog_full"


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
    payload: bytes


class ProgramBacklogs(Generic[S]):
    """Between a faculty's door and its core. `ignored` counts what is dropped or malformed, by the labels it has. Of
    what has waited on a session that `turns_away(session)` then, nothing is done (nodes.server.admission)."""

    def __init__(
        self, core: FacultyCore, limits: Limits, ignored: dict[str, int], turns_away: Callable[[S], bool]
    ) -> None:
        self._core = core
        self._ignored = ignored
        self._admission: Admission[_Asked[S]] = Admission(
            limits, IN_FLIGHT_MAX, lambda asked: turns_away(asked.session), is_patient=False
        )
        self._effects: list[Effect] = []

    def on_payload(
        self, session: S, identity: Hashable, speaks_for: int | None, payload: bytes, now: Instant
    ) -> list[Effect]:
        """A program asks, which may do so for `speaks_for` only (None: for anybody); it waits for `admit`. What is
        refused instead is answered as far as that is cheap."""
        asked = _Asked(session, identity, speaks_for, payload)
        for owner, refused, size_bytes in self._admission.offer(identity, asked, len(payload), now.boot_us):
            if self._admission.may_answer(owner, size_bytes, now.boot_us):
                self._ask(refused, now, is_within=False)
            else:
                self._ignored[BACKLOG_FULL] += 1
        return self._given()

    def admit(self, now: Instant) -> list[Effect]:
        """What a turn's portion of what waits leads to."""
        self._admission.admit(self._take, now)
        return self._given()

    def deadline(self) -> int | None:
        """Boot time in µs at which `admit` can go on; None: nothing waits."""
        return self._admission.deadline()

    def on_answered(self, route: Route[Any]) -> None:
        """That program was answered."""
        self._admission.leave(route.identity)

    def _take(self, asked: _Asked[S], requests_max: int, now: Instant) -> Portion:
        self._ask(asked, now, self._admission.may_enter(asked.identity, now.boot_us))
        return Portion(1, 1, is_over=True)

    def _ask(self, asked: _Asked[S], now: Instant, is_within: bool) -> None:
        request, encoding = wire.decode_program_request(asked.payload)
        if isinstance(request, Dropped):
            self._ignored[request.why] += 1
        self._admission.enter(asked.identity, now.boot_us)  # whatever it asks, it is answered once
        route = Route(asked.session, encoding, asked.identity)
        answer = self._core.on_request if is_within else self._core.on_excess
        self._effects += answer(route, request, now, asked.speaks_for)

    def _given(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
