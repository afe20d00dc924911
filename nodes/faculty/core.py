"""The pure core of a faculty, the same for both patterns (A4): programs on one side, servers on the other.

Messages, heartbeats and time go in, effects come out, in the order in which the shell must carry them
out. It follows the servers' `NODE` beats, retries one transaction until it has a definite result, and
answers every program within `answer_us`, with UNKNOWN at the latest.

Answers name a transaction, not the request they answer. So there is one request at a time under an id: while one is
under way, in doubt, or may still be answered, another one waits until it is known whether the first stands. What has
ended otherwise is the servers' to remember: they alone know which terms are closed (A10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from es.replication.instant import Instant
from nodes.faculty.effects import (
    Abandon,
    AnswerProgram,
    Effect,
    Forbidden,
    OutageTimed,
    SavePrograms,
    ServerChanged,
    Submit,
)
from nodes.faculty.past import Past, PastTransactions
from nodes.faculty.program_registry import PROGRAMS_MAX, ProgramRegistry
from nodes.faculty.transaction import Transaction, is_anothers, may_be_pushed
from nodes.wire.beats import Beat
from nodes.wire.encoding import TEXT_CHARS_MAX
from nodes.wire.schema import (
    FORBIDDEN,
    NOT_ACTIVE,
    STATUSES,
    UNKNOWN,
    Dropped,
    Invalid,
    Malformed,
    ProgramRequest,
    Res,
)
from projections.rooms.capacity import NO_MORE_PROGRAMS
from projections.rooms.commands import (
    BAD_FIELD,
    BUSY,
    CONFLICT,
    INVALID,
    LIMIT_REACHED,
    UNAVAILABLE,
    Answer,
    Proposal,
    Reserve,
)

IN_FLIGHT_MAX: Final = 5_000
"""Transactions of one faculty without a result; one more is UNAVAILABLE, code BUSY."""

WAITERS_MAX: Final = 16
"""Programs that wait for one transaction, and as many that contradict it; one more and the first of them learns
UNKNOWN."""

BACKOFF_MAX: Final = 4
"""A retry waits at most this many times `retry_us`."""

REFUSAL_CODES: Final = (BUSY, LIMIT_REACHED)
"""Of what a faculty refuses by itself: the servers never hear of it."""

IGNORED_WHYS: Final = (
    "unknown_transaction", "not_submitted", "late_refusal", "late_result", "repeated_proposal", "indefinite_result",
    "unknown_server",
)  # fmt: skip

Policy: TypeAlias = Callable[[Reserve, Proposal], bool]


def accept_whole(reserve: Reserve, proposal: Proposal) -> bool:
    """A8: take what covers the request whole; less only if the program allowed it."""
    covered = (
        len(proposal.classrooms) >= reserve.classrooms
        and len(proposal.labs) + len(proposal.mobile) >= reserve.labs
    )  # fmt: skip
    return covered or reserve.partial


@dataclass(slots=True, frozen=True)
class FacultySettings:
    """Who a faculty is and how patient. `servers` maps names to request endpoints; `silence_us` without
    a beat and a server counts as lost."""

    faculty_id: int
    name: str
    term: str
    servers: Mapping[str, str]
    retry_us: int
    answer_us: int
    silence_us: int
    in_flight_max: int = IN_FLIGHT_MAX


class _Seen(NamedTuple):
    """A server's latest beat and when it came."""

    beat: Beat
    boot_us: int


class FacultyCore:
    """One faculty. `draw_id` gives ids for requests without one, `accepts` is its policy.

    `results`, `refusals`, `ignored` and `server_changes` count; they only ever grow.
    """

    def __init__(
        self,
        settings: FacultySettings,
        programs: ProgramRegistry,
        draw_id: Callable[[], str],
        accepts: Policy = accept_whole,
    ) -> None:
        self._settings = settings
        self._programs = programs
        self._draw_id = draw_id
        self._accepts = accepts
        self._in_flight: dict[str, Transaction] = {}  # oldest first: the first one's time is up first
        self._retry_due_us: int | None = None
        self._past = PastTransactions()
        self._seen: dict[str, _Seen] = {}
        self._follows: str | None = None
        self._followed: str | None = None
        self._server_of = {endpoint: name for name, endpoint in settings.servers.items()}
        self.results: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))
        self.refusals: Counter[str] = Counter(dict.fromkeys(REFUSAL_CODES, 0))
        self.ignored: Counter[str] = Counter(dict.fromkeys(IGNORED_WHYS, 0))
        self.server_changes = 0
        self._lost_us: int | None = None
        self._found_us: int | None = None

    @property
    def follows(self) -> str | None:
        """The active server, or None while none is known to live."""
        return self._follows

    @property
    def epoch(self) -> int:
        """The epoch of the server followed last; 0 before the first."""
        return self._seen[self._followed].beat.epoch if self._followed else 0

    @property
    def in_flight(self) -> int:
        """Transactions without a result."""
        return len(self._in_flight)

    def bounds_used(self) -> Mapping[str, float]:
        """The used part of each bound that new requests can meet; configured programs may be more than its own."""
        return {
            "programs": len(self._programs) / PROGRAMS_MAX,
            "in_flight": len(self._in_flight) / self._settings.in_flight_max,
        }

    def waits_for(self, transaction_id: str) -> bool:
        """Whether this transaction is still without a result."""
        return transaction_id in self._in_flight

    def deadline(self) -> int | None:
        """Boot time in µs at which `tick` has something to do, or None."""
        times = []
        if self._follows is not None:
            times.append(self._seen[self._follows].boot_us + self._settings.silence_us)
        if self._in_flight:
            first = next(iter(self._in_flight.values()))
            times.append(first.began_us + self._settings.answer_us)
            if self._retry_due_us is not None:
                times.append(self._retry_due_us)
        return min(times, default=None)

    # --- programs

    def on_request(
        self, route: object, request: ProgramRequest | Malformed, now: Instant, speaks_for: int | None = None
    ) -> list[Effect]:
        """A program asks. It is answered now or later, always once. `speaks_for` is the only program in whose name it
        may ask (CP11), None if it may for any."""
        if isinstance(request, Invalid):
            return self._refuse(route, request.as_res())
        if isinstance(request, Dropped):
            return self._refuse(route, Res("", INVALID, BAD_FIELD, f"message: {request.why.replace('_', ' ')}"))
        transaction_id = self._draw_id() if request.transaction_id is None else request.transaction_id
        program_id = self._programs.id_of(request.program)
        if speaks_for is not None and program_id != speaks_for:
            why = f"the key of program {speaks_for} does not speak for {request.program!r}"[:TEXT_CHARS_MAX]
            return [Forbidden(route, why), *self._refuse(route, Res(transaction_id, INVALID, FORBIDDEN, why))]
        reserve = None if program_id is None else self._reserve(transaction_id, program_id, request)
        joined = self._in_flight.get(transaction_id)
        if joined is not None:
            return self._join(joined, route, reserve)
        past = self._past.of(transaction_id)
        if len(self._in_flight) >= self._settings.in_flight_max:
            return self._refuse(route, self._unavailable(transaction_id, BUSY, "too many requests in flight"))
        if past is not None and past.may_answer and reserve != past.reserve:
            return self._begin(past.reserve, past, [], [route], now)  # first learn whether that one stands
        effects: list[Effect] = []
        if reserve is None:
            if len(self._programs) >= PROGRAMS_MAX:
                return self._refuse(route, self._unavailable(transaction_id, *NO_MORE_PROGRAMS))
            program_id = self._programs.register(request.program)
            effects.append(SavePrograms(self._programs.to_json()))
            reserve = self._reserve(transaction_id, program_id, request)
        return effects + self._begin(reserve, past, [route], [], now)

    def on_excess(
        self, route: object, request: ProgramRequest | Malformed, now: Instant, speaks_for: int | None = None
    ) -> list[Effect]:
        """A program asks while it has too much under way: nothing of it is done, and it is told so."""
        if not isinstance(request, ProgramRequest):
            return self.on_request(route, request, now, speaks_for)
        transaction_id = self._draw_id() if request.transaction_id is None else request.transaction_id
        return self._refuse(route, self._unavailable(transaction_id, BUSY, "too many requests of this program"))

    def _begin(
        self, reserve: Reserve, past: Past | None, routes: list[object], rivals: list[object], now: Instant
    ) -> list[Effect]:
        retry_us = self._settings.retry_us
        transaction = Transaction(reserve, routes, rivals, now.boot_us, now.boot_us + retry_us, retry_us)
        if past is not None:
            transaction.unanswered = past.unanswered
            transaction.foreign = past.foreign if past.reserve == reserve else past.unanswered
            transaction.stood = past.stood
        self._in_flight[reserve.transaction_id] = transaction
        return self._submit(transaction, self._follows, now)

    def _reserve(self, transaction_id: str, program_id: int, request: ProgramRequest) -> Reserve:
        settings = self._settings
        term = settings.term if request.term is None else request.term
        return Reserve(
            transaction_id,
            settings.faculty_id,
            settings.name,
            program_id,
            request.program,
            term,
            request.classrooms,
            request.labs,
            request.partial,
        )

    def _join(self, joined: Transaction, route: object, reserve: Reserve | None) -> list[Effect]:
        waiting = joined.routes if reserve == joined.reserve else joined.rivals
        waiting.append(route)
        if len(waiting) > WAITERS_MAX:
            return [AnswerProgram(waiting.pop(0), self._unknown(joined.reserve.transaction_id))]
        return []

    def _refuse(self, route: object, res: Res) -> list[Effect]:
        self.results[res.status] += 1
        return [AnswerProgram(route, res)]

    def _unavailable(self, transaction_id: str, code: str, sentence: str) -> Res:
        self.refusals[code] += 1
        if self._past.is_in_doubt(transaction_id):
            return self._unknown(transaction_id)
        return Res(transaction_id, UNAVAILABLE, code, sentence)

    def _unknown(self, transaction_id: str) -> Res:
        sentence = f"no definite result within {self._settings.answer_us // 1_000} ms; ask again with this id"
        return Res(transaction_id, UNKNOWN, None, sentence)

    # --- servers

    def on_beat(self, beat: Beat, now: Instant) -> list[Effect]:
        """A server says how it is."""
        if beat.node not in self._settings.servers:
            self.ignored["unknown_server"] += 1
            return []
        self._seen[beat.node] = _Seen(beat, now.boot_us)
        return self._follow(now)

    def on_server_message(self, server: str, message: Proposal | Res, now: Instant) -> list[Effect]:
        """An answer of `server`."""
        transaction = self._in_flight.get(message.transaction_id)
        if transaction is None:
            return self._ignore("unknown_transaction")
        if server not in transaction.asked:
            return self._ignore("not_submitted")  # the late answer to an earlier asking
        if not may_be_pushed(transaction, message):
            transaction.unanswered -= transaction.unanswered > 0
        if transaction.foreign and isinstance(message, Res) and message.status in (INVALID, UNAVAILABLE):
            transaction.foreign -= 1
            return self._ignore("late_refusal")
        if isinstance(message, Proposal):
            return self._on_proposal(transaction, server, message, now)
        if message.status == UNAVAILABLE:
            return self._on_unavailable(transaction, server, message, now)
        if message.status == UNKNOWN:
            return self._ignore("indefinite_result")
        if is_anothers(message.receipt, transaction):
            return self._ignore("late_result")
        return self._finish(transaction, message, now)

    def _on_proposal(self, transaction: Transaction, server: str, proposal: Proposal, now: Instant) -> list[Effect]:
        if transaction.answer is not None:
            return self._ignore("repeated_proposal")
        reserve = transaction.reserve
        accept = self._accepts(reserve, proposal)
        transaction.answer = Answer(reserve.transaction_id, reserve.faculty_id, accept)
        transaction.retry_after_us = self._settings.retry_us
        assert transaction.sol_sent_us is not None, "it was submitted"
        # Whoever proposes is there, even if its beats are late.
        effects = self._submit(transaction, self._follows or server, now)
        return [transaction.timed("sol_prop", transaction.sol_sent_us, now), *effects]

    def _on_unavailable(self, transaction: Transaction, server: str, refusal: Res, now: Instant) -> list[Effect]:
        transaction.refusals += 1
        transaction.refusal = refusal
        if refusal.code != NOT_ACTIVE:
            return self._finish(transaction, refusal, now) if self._is_untouched(transaction) else []
        hinted = self._server_of.get(refusal.active or "")
        if hinted is None or server != transaction.server or hinted == server or transaction.was_hinted:
            return []  # the retry, or a beat, comes in time
        transaction.was_hinted = True
        return self._submit(transaction, hinted, now)

    def _is_untouched(self, transaction: Transaction) -> bool:
        """No server can have done anything about it: every attempt was refused (a proposal is no refusal),
        and no earlier asking with this id ended in doubt."""
        was_always_refused = transaction.attempts == transaction.refusals
        return was_always_refused and not self._past.is_in_doubt(transaction.reserve.transaction_id)

    def _submit(self, transaction: Transaction, server: str | None, now: Instant) -> list[Effect]:
        transaction.retry_at_us = now.boot_us + transaction.retry_after_us
        if self._retry_due_us is None or transaction.retry_at_us < self._retry_due_us:
            self._retry_due_us = transaction.retry_at_us
        if server is None:
            return []  # the next active server's first beat submits it
        transaction.server = server
        transaction.asked.add(server)
        transaction.attempts += 1
        transaction.unanswered += 1
        answer = transaction.answer
        if answer is None:
            if transaction.sol_sent_us is None:
                transaction.sol_sent_us = now.boot_us
            return [Submit(transaction.reserve.transaction_id, server, transaction.reserve)]
        if transaction.ack_sent_us is None:
            transaction.ack_sent_us = now.boot_us
        return [Submit(answer.transaction_id, server, answer)]

    def _finish(self, transaction: Transaction, res: Res, now: Instant) -> list[Effect]:
        transaction_id = transaction.reserve.transaction_id
        del self._in_flight[transaction_id]
        assert transaction.sol_sent_us is not None, "it was submitted"
        to_rivals = res
        effects: list[Effect] = []
        if res.status != UNAVAILABLE:
            if self._found_us is not None:
                effects.append(OutageTimed("first_result", now.boot_us - self._found_us))
                self._found_us = None
            stands = res.status != INVALID
            if res.receipt is not None:
                transaction.stood = transaction.reserve, res.receipt
            self._past.end(transaction, stands)
            conflict = Res(transaction_id, INVALID, CONFLICT, "this id came before with another request")
            to_rivals = conflict if stands else self._unknown(transaction_id)
        if transaction.ack_sent_us is not None:
            effects.append(transaction.timed("ack_res", transaction.ack_sent_us, now))
        effects.append(transaction.timed("sol_res", transaction.sol_sent_us, now))
        return effects + self._answer_all(transaction, res, to_rivals, now)

    def _answer_all(self, transaction: Transaction, res: Res, to_rivals: Res, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        if transaction.routes:
            self.results[res.status] += 1
            effects.append(transaction.timed("program", transaction.began_us, now, res.status, res.code))
        effects += [AnswerProgram(route, res) for route in transaction.routes]
        for route in transaction.rivals:
            effects += self._refuse(route, to_rivals)
        return effects

    def _ignore(self, why: str) -> list[Effect]:
        self.ignored[why] += 1
        return []

    # --- which server

    def _follow(self, now: Instant) -> list[Effect]:
        """Follow the living active server with the highest epoch; a new one gets everything in flight (A6)."""
        best: str | None = None
        best_rank = (-1, False)
        for name, (beat, boot_us) in self._seen.items():
            rank = (beat.epoch, name == self._follows)
            if beat.active and now.boot_us < boot_us + self._settings.silence_us and rank > best_rank:
                best, best_rank = name, rank
        if best == self._follows:
            return []
        if self._follows is not None:
            self._lost_us, self._found_us = self._seen[self._follows].boot_us, None
        self._follows = best
        if best is None:
            return []
        effects: list[Effect] = []
        if self._lost_us is not None:
            effects.append(OutageTimed("without_server", now.boot_us - self._lost_us))
            self._lost_us, self._found_us = None, now.boot_us
        if best != self._followed:
            effects.append(ServerChanged(self._followed, best, best_rank[0]))
            self.server_changes += self._followed is not None
            self._followed = best
        for transaction in self._in_flight.values():
            transaction.retry_after_us = self._settings.retry_us
            transaction.was_hinted = False
            effects += self._submit(transaction, best, now)
        return effects

    # --- time

    def tick(self, now: Instant) -> list[Effect]:
        """Time passed: notice a silent server, give up what took too long, retry what is due."""
        effects: list[Effect] = []
        if self._follows is not None and now.boot_us >= self._seen[self._follows].boot_us + self._settings.silence_us:
            effects += self._follow(now)
        while self._in_flight:
            first = next(iter(self._in_flight.values()))
            if now.boot_us < first.began_us + self._settings.answer_us:
                break
            effects += self._give_up(first, now)
        if self._retry_due_us is not None and now.boot_us >= self._retry_due_us:
            effects += self._retry(now)
        return effects

    def _give_up(self, transaction: Transaction, now: Instant) -> list[Effect]:
        transaction_id = transaction.reserve.transaction_id
        del self._in_flight[transaction_id]
        if self._is_untouched(transaction):
            sentence = "no active server is known"
            res = transaction.refusal or Res(transaction_id, UNAVAILABLE, NOT_ACTIVE, sentence)
        else:
            res = self._unknown(transaction_id)
            self._past.end_unknown(transaction)
        return [Abandon(transaction_id), *self._answer_all(transaction, res, res, now)]

    def _retry(self, now: Instant) -> list[Effect]:
        self._retry_due_us = None
        effects: list[Effect] = []
        for transaction in self._in_flight.values():
            if now.boot_us >= transaction.retry_at_us:
                ceiling_us = BACKOFF_MAX * self._settings.retry_us
                transaction.retry_after_us = min(2 * transaction.retry_after_us, ceiling_us)
                transaction.was_hinted = False
                effects += self._submit(transaction, self._follows, now)
            elif self._retry_due_us is None or transaction.retry_at_us < self._retry_due_us:
                self._retry_due_us = transaction.retry_at_us
        return effects
