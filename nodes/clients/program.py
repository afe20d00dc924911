"""A program: it asks its faculty and waits, within a time limit that follows what it has measured (A3)."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple
from uuid import uuid4

from nodes import wire
from nodes.clients.attempt import attempt
from nodes.security.principals import Principal
from nodes.shell import read_clock
from nodes.sockets import Context, Security
from nodes.wire.encoding import Encoding
from nodes.wire.schema import UNKNOWN, ProgramRequest, Res
from projections.rooms.commands import UNAVAILABLE

CLASSROOMS_DRAWN: Final = (7, 10)
LABS_DRAWN: Final = (2, 4)
"""The ranges of a random request, both ends included (the seed's)."""

ATTEMPTS_MAX: Final = 3
"""How often one request is sent within its time limit, each time on a fresh connection with the same id."""


class TimeLimit:
    """How long a program waits: smoothed round trip + 4 × its mean deviation, within bounds.

    The estimator is TCP's (RFC 6298: gains 1/8 and 1/4). Before the first measurement the limit is
    `max_us`: a faculty answers within its own time limit, and the default is a little more than that.
    """

    def __init__(self, min_us: int = 2_000_000, max_us: int = 12_000_000) -> None:
        if not 0 < min_us <= max_us:
            raise ValueError("a time limit needs 0 < min_us <= max_us")
        self._min_us = min_us
        self._max_us = max_us
        self._smoothed_us: float | None = None
        self._deviation_us = 0.0

    @property
    def us(self) -> int:
        """The limit now, in µs."""
        if self._smoothed_us is None:
            return self._max_us
        return min(max(int(self._smoothed_us + 4 * self._deviation_us), self._min_us), self._max_us)

    def observe(self, round_trip_us: int) -> None:
        """A request was answered after so long."""
        if self._smoothed_us is None:
            self._smoothed_us, self._deviation_us = float(round_trip_us), round_trip_us / 2
            return
        self._deviation_us += (abs(round_trip_us - self._smoothed_us) - self._deviation_us) / 4
        self._smoothed_us += (round_trip_us - self._smoothed_us) / 8

    def missed(self) -> None:
        """A request was not answered in time: wait as long as allowed until something is measured again."""
        self._smoothed_us = None
        self._deviation_us = 0.0


NOT_LET_IN: Final = "NOT_LET_IN"
"""Code of UNAVAILABLE that a program says to itself: its faculty let it in on no connection."""


class ProgramReply(NamedTuple):
    """The faculty answered, or let nobody in. `elapsed_us` is from the first sending until that was known."""

    res: Res
    elapsed_us: int
    attempts: int


class NoAnswer(NamedTuple):
    """Nobody answered in time. The outcome is unknown; asking again with `transaction_id` tells it."""

    transaction_id: str
    elapsed_us: int
    attempts: int

    @property
    def how_to_ask_again(self) -> str:
        """One sentence for people."""
        return f"ask again with transaction id {self.transaction_id}: that gives the first result, and no second one"


def draw_request(random: Random, program: str, term: str | None = None) -> ProgramRequest:
    """A request in the seed's ranges: 7–10 classrooms, 2–4 labs."""
    return ProgramRequest(program, random.randint(*CLASSROOMS_DRAWN), random.randint(*LABS_DRAWN), term)


class Asking:
    """One request within its time limit, without a socket or a clock: the same id in every attempt, each attempt on a
    connection of its own. `payload` is what each sends; `limit` learns from the outcome. A refusal that does not
    speak for every attempt is UNKNOWN.

    An id is drawn if the request has none, so that it can be sent again without being another request.
    """

    def __init__(
        self, request: ProgramRequest, limit: TimeLimit, now_us: int, encoding: Encoding = Encoding.MSGPACK
    ) -> None:
        self.transaction_id = str(uuid4()) if request.transaction_id is None else request.transaction_id
        self.payload = wire.encode(request._replace(transaction_id=self.transaction_id), encoding)
        self._limit = limit
        self._limit_us = limit.us
        self._began_us = now_us
        self._attempts = 0

    def next_attempt(self) -> int | None:
        """Until when (boot time in µs) the attempt that begins now waits; None: there is no further one."""
        if self._attempts == ATTEMPTS_MAX:
            return None
        self._attempts += 1
        return self._began_us + self._limit_us * self._attempts // ATTEMPTS_MAX

    def on_payload(self, payload: bytes, now_us: int) -> ProgramReply | None:
        """What the present attempt was answered; None if that is not what a faculty says."""
        for message in wire.decode_answers(payload).messages:
            if isinstance(message, Res) and message.transaction_id == self.transaction_id:
                elapsed_us = now_us - self._began_us
                self._limit.observe(elapsed_us)
                return ProgramReply(self._in_doubt(message), elapsed_us, self._attempts)
        return None

    def _in_doubt(self, res: Res) -> Res:
        """UNAVAILABLE speaks for one attempt: an earlier one that was not answered may have been taken, by the
        faculty before it was started again, or may yet arrive."""
        if res.status != UNAVAILABLE or self._attempts == 1:
            return res
        sentence = "an earlier attempt was not answered and may have been taken; ask again with this id"
        return Res(res.transaction_id, UNKNOWN, None, sentence)

    def not_let_in(self, sentence: str, now_us: int) -> ProgramReply:
        """No attempt was let in, and none will be: nothing was asked."""
        res = Res(self.transaction_id, UNAVAILABLE, NOT_LET_IN, sentence)
        return ProgramReply(res, now_us - self._began_us, self._attempts)

    def give_up(self, now_us: int) -> NoAnswer:
        """No attempt was answered."""
        self._limit.missed()
        return NoAnswer(self.transaction_id, now_us - self._began_us, self._attempts)


def ask(
    faculty: Principal,
    endpoint: str,
    request: ProgramRequest,
    limit: TimeLimit,
    *,
    context: Context,
    security: Security,
    encoding: Encoding = Encoding.MSGPACK,
) -> ProgramReply | NoAnswer:
    """Ask `faculty`, at `endpoint`, and wait for its answer, at most `limit.us`; the limit learns from it. That it does
    not let `security`'s key in is known sooner: UNAVAILABLE, code NOT_LET_IN."""
    asking = Asking(request, limit, read_clock().boot_us, encoding)
    was_let_in = False
    while (until_us := asking.next_attempt()) is not None:
        attempted = attempt(faculty, endpoint, asking.payload, until_us, context, security)
        reply = asking.on_payload(attempted.answer, attempted.ended_us) if attempted.answer is not None else None
        if reply is not None:
            return reply
        was_let_in |= attempted.was_let_in
        if attempted.is_refused and not was_let_in:
            sentence = f"{faculty} at {endpoint} does not let this key in; nothing was asked"
            return asking.not_let_in(sentence, attempted.ended_us)
    return asking.give_up(read_clock().boot_us)
