"""The pure core of a server's door: what clients send becomes commands, what the kernel releases becomes PROPs and
RESs for the connections they came from. The shell (nodes.server.frontend) owns the socket and transmits
what `flush` gives.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias

from es.codec import Batch, Stamp
from es.replication.effects import Answers, Refusal
from es.replication.instant import Instant
from es.replication.replica import Replica
from nodes import wire
from nodes.config.cluster import Limits
from nodes.security import roles
from nodes.security.principals import Principal
from nodes.server import registrar
from nodes.server.admission import QUANTUM_REQUESTS, Admission, Portion, Sender, nobody
from nodes.server.exchange import Exchange, Parcel, S
from nodes.server.jobs import tagged, untagged
from nodes.server.metrics import CLOSE, RELEASE, VERBS, ServerMetrics
from nodes.wire.encoding import Encoding, join
from nodes.wire.payload import SMALL_BYTES, Payload
from nodes.wire.schema import (
    FORBIDDEN,
    NOT_ACTIVE,
    Closed,
    CloseRequest,
    Dropped,
    Invalid,
    Receipt,
    ReleaseRequest,
    Res,
    ServerRequest,
)
from projections.rooms import machine
from projections.rooms.commands import (
    ACK_TIMEOUT,
    BUSY,
    INVALID,
    UNAVAILABLE,
    Answer,
    Proposal,
    Reserve,
    Result,
    TermResult,
)
from projections.rooms.decide import timed_out
from projections.rooms.identity import transaction_id_of
from projections.timings import DEFINITE, Measured

CONNECTIONS_MAX: Final = 10_000
"""Connections whose faculty is remembered, for answers that do not name one; the oldest is forgotten first."""

PUSHES_MAX: Final = 65_536
"""Holds whose expiry would be pushed to the connection that asked for them."""

UNDER_WAY_MAX: Final = 512
"""Requests taken and not answered: enough for two batches under way and the next one. More would not be done sooner,
but whoever comes next would have to wait for it; the rest waits outside, where everybody's turn comes."""

BACKLOG_FULL: Final = "backlog full"
"""Why a frame of somebody who floods is dropped unread: nothing of it was done."""

ABANDONED: Final = "abandoned"
"""Why what waited long is dropped: whoever sent it is gone, and asks again if he still wants to know."""

ABANDONED_US: Final = 1_000_000
"""What waited less is done, even if its connection is over: somebody's last words count."""

CORE_WHYS: Final = (*wire.WHYS, "bad field", BACKLOG_FULL, ABANDONED)
REFUSALS: Final = {
    NOT_ACTIVE: "this server is not the active one",
    BUSY: "too many requests are under way; try again",
}


_LEGS: Final[Mapping[type[Any], str]] = {
    Reserve: "sol_res", Answer: "ack_res", ReleaseRequest: RELEASE, CloseRequest: CLOSE,
}  # fmt: skip
"""By what is asked: the leg of a transaction that its result ends, or the registrar's verb that it is."""

KeepTimings: TypeAlias = Callable[[Sequence[Measured]], None]
"""Hears of legs that ended together; program id 0: the log knows it."""


def _forget(measured: Sequence[Measured]) -> None:
    """Where nobody keeps timings."""


class Workers(Protocol):
    """The pool that decodes and encodes for REQ peers (nodes.server.broker). `done` is called later, `now` last. While
    it `is_full` for a payload of that size, what it would decode waits in front of the door."""

    def is_full(self, size_bytes: int) -> bool: ...

    def decode(self, payload: bytes, done: Callable[..., None]) -> None: ...

    def encode(self, encoding: str, answers: list[tuple[Any, ...]], done: Callable[..., None]) -> None: ...


class Alert(NamedTuple):
    """An alert that has committed (A13), to be said aloud."""

    code: str
    term: str | None
    seq: int


class FrontendCore(Generic[S]):
    """Takes payloads of clients, gives payloads for clients. What it submits waits in the kernel as
    (exchange, faculty id, boot time in µs, leg that a result of it ends or the registrar's verb, transaction id).
    `on_forbidden(session, why)` hears of what was not its sender's to say. What came waits until `admit`, each
    identity's by itself; of one that `turns_away(session)` then, because its key was revoked meanwhile, nothing is done
    and nobody is answered; nor is anything of what waited long on a session that `is_over`.

    `ignored` counts what is dropped or malformed; `metrics` counts the rest.
    """

    def __init__(
        self,
        replica: Replica,
        workers: Workers,
        metrics: ServerMetrics,
        on_forbidden: Callable[[S, str], None],
        turns_away: Callable[[S], bool],
        *,
        is_over: Callable[[S], bool] = nobody,
        requests_of: Callable[[str], str | None],
        workers_for_all: bool,
        keep_timings: KeepTimings = _forget,
        limits: Limits | None = None,
    ) -> None:
        self._turns_away = turns_away
        self._is_over = is_over
        self._admission: Admission[Parcel[S]] = Admission(limits or Limits(), UNDER_WAY_MAX, self._is_in_vain)
        self._role = replica.leading
        self._keep_timings = keep_timings
        self._replica = replica
        self._workers = workers
        self._metrics = metrics
        self._on_forbidden = on_forbidden
        self._requests_of = requests_of
        self._workers_for_all = workers_for_all
        self.ignored: Counter[str] = Counter(dict.fromkeys(CORE_WHYS, 0))
        self._history_seq = replica.node.commit_seq
        self._faculties: OrderedDict[S, int] = OrderedDict()
        self._pushes: OrderedDict[tuple[int, str], Exchange[S]] = OrderedDict()
        self._outbox: dict[S, tuple[Exchange[S], list[bytes]]] = {}
        self._payloads: list[tuple[S, bytes]] = []

    # -- requests

    def on_payload(
        self,
        session: S,
        pattern: str,
        peer: Principal | None,
        payload: Payload,
        now: Instant,
        identity: Hashable | None = None,
    ) -> None:
        """What came on a session, which belongs to that peer (None: nobody was asked who he is, and it speaks for
        whom it says), waits for `admit` with what else `identity` (None: that session) has sent. Who has too
        much there already is refused: told so as far as that is cheap, and otherwise counted."""
        exchange = Exchange(session, pattern, peer, session if identity is None else identity, now.boot_us)
        parcel = Parcel(exchange, payload)
        for owner, refused, size_bytes in self._admission.offer(exchange.identity, parcel, len(payload), now.boot_us):
            if self._admission.may_answer(owner, size_bytes, now.boot_us):
                self._refuse_parcel(refused)
            else:
                self.ignored[BACKLOG_FULL] += 1

    @property
    def messages_max(self) -> int:
        """How many messages are to be read from the door in this turn."""
        return self._admission.messages_max

    def tally_anew(self) -> None:
        """Count from now on what each identity sends."""
        self._admission.tally_anew()

    @property
    def sent_most(self) -> Sender | None:
        """Who has sent the most since then."""
        return self._admission.sent_most

    def deadline(self) -> int | None:
        """Boot time in µs at which `admit` can go on, if nothing else happens; None: nothing waits."""
        return self._admission.deadline()

    def admit(self, now: Instant) -> bool:
        """Take a turn's portion of what waits. True if the turn was too short for more."""
        if self._role is not self._replica.leading:  # whatever waits in a role that is over is never answered
            self._role = self._replica.leading
            self._admission.forget_in_flight()
        return self._admission.admit(self._take, now)

    def _is_in_vain(self, parcel: Parcel[S], now: Instant) -> bool:
        exchange = parcel.exchange
        if self._turns_away(exchange.session):
            return True
        is_abandoned = now.boot_us - exchange.began_us > ABANDONED_US and self._is_over(exchange.session)
        if is_abandoned:
            self.ignored[ABANDONED] += 1
        return is_abandoned

    def _take(self, parcel: Parcel[S], requests_max: int, now: Instant) -> Portion:
        """Some requests of a payload; its structure is read at once, by a worker if it comes from a REQ peer."""
        exchange, cost = parcel.exchange, 0
        if parcel.messages is None:
            cost = len(parcel.payload) // SMALL_BYTES
            if exchange.pattern == "lbb" or self._workers_for_all:
                if self._workers.is_full(len(parcel.payload)):
                    return Portion(0, 0, is_over=False)
                self._workers.decode(bytes(parcel.payload), partial(self._on_decoded, exchange, len(parcel.payload)))
                return Portion(0, 1 + cost, is_over=True)
            opened = wire.open_requests(bytes(parcel.payload))
            exchange.encoding, exchange.is_array, exchange.awaited = opened.encoding, opened.is_array, opened.total
            parcel.messages = opened.messages
        taken = 0
        for message in islice(parcel.messages, requests_max):
            taken += 1
            self._submit(exchange, message, now)
        return Portion(taken, cost + max(taken, 1), is_over=taken < requests_max)

    def _on_decoded(
        self,
        exchange: Exchange[S],
        size_bytes: int,
        encoding: str,
        is_array: bool,
        messages: tuple[tuple[Any, ...], ...],
        now: Instant,
    ) -> None:
        if self._turns_away(exchange.session):
            return
        exchange.encoding, exchange.is_array, exchange.awaited = Encoding(encoding), is_array, len(messages)
        parcel = Parcel(exchange, b"", map(untagged, messages))
        if len(messages) > QUANTUM_REQUESTS:
            self._admission.resume(exchange.identity, parcel, size_bytes, now.boot_us)
        else:
            self._take(parcel, len(messages), now)

    def _submit(self, exchange: Exchange[S], message: Any, now: Instant) -> None:
        leg = _LEGS.get(type(message))
        if leg is None:
            self._refuse_malformed(exchange, message)
            return
        if leg == "ack_res" and message.faculty_id is None:
            message = message._replace(faculty_id=self._faculty_of(exchange))
        faculty_id = None if leg == CLOSE else message.faculty_id
        peer = exchange.peer
        if peer is not None:
            why = roles.why_forbidden(peer, message, faculty_id)
            if why is not None:
                self._refuse_forbidden(exchange, message, why)
                return
        elif leg == "sol_res":
            self._remember(exchange.session, message.faculty_id)
        command = registrar.command_of(message, peer) if leg in VERBS else message
        waiter = exchange, faculty_id, exchange.began_us, leg, message.transaction_id
        refusal = self._replica.submit(waiter, machine.NAME, command, now)
        if refusal is None:
            self._admission.enter(exchange.identity, now.boot_us)
        else:
            self._refuse(exchange, faculty_id, self._unavailable(message.transaction_id, refusal), leg)

    def _refuse_parcel(self, parcel: Parcel[S]) -> None:
        """Nothing of a payload is done for want of room in its sender's backlog."""
        exchange = parcel.exchange
        decoded = wire.decode_requests(bytes(parcel.payload))
        exchange.encoding, exchange.is_array = decoded.encoding, decoded.is_array
        exchange.awaited = len(decoded.messages)
        for message in decoded.messages:
            if isinstance(message, Invalid | Dropped):
                self._refuse_malformed(exchange, message)
                continue
            named = None if isinstance(message, CloseRequest) else message.faculty_id
            busy = Res(message.transaction_id, UNAVAILABLE, BUSY, REFUSALS[BUSY])
            self._refuse(exchange, exchange.faculty_id if named is None else named, busy, _LEGS[type(message)])

    def _remember(self, session: S, faculty_id: int) -> None:
        """The faculty that speaks on a connection: an ACK may leave it out."""
        if self._faculties.get(session) != faculty_id:
            self._faculties[session] = faculty_id
            if len(self._faculties) > CONNECTIONS_MAX:
                self._faculties.popitem(last=False)

    def _faculty_of(self, exchange: Exchange[S]) -> int | None:
        """Whose an answer is that does not say it: the connection's."""
        return self._faculties.get(exchange.session) if exchange.faculty_id is None else exchange.faculty_id

    def _refuse_forbidden(self, exchange: Exchange[S], message: ServerRequest, why: str) -> None:
        """Somebody spoke in another's name, or asked for what is not his to ask (CP11)."""
        self._on_forbidden(exchange.session, why)
        res = Res(message.transaction_id, INVALID, FORBIDDEN, why)
        self._refuse(exchange, exchange.faculty_id, res, _LEGS[type(message)])

    def _refuse_malformed(self, exchange: Exchange[S], message: Invalid | Dropped) -> None:
        if isinstance(message, Invalid):
            self.ignored["bad field"] += 1
            self._refuse(exchange, None, message.as_res(), None)
        else:
            self.ignored[message.why] += 1
            self._no_answer(exchange)

    def _refuse(self, exchange: Exchange[S], faculty_id: int | None, res: Res, leg: str | None) -> None:
        """Nothing was done, and that is counted."""
        self._metrics.on_refusal(res.status, res.code, exchange.pattern, faculty_id, leg)
        self._answer(exchange, res)

    def _unavailable(self, transaction_id: str, refusal: Refusal | Result) -> Res:
        """The kernel's refusal, or the application's own words."""
        if isinstance(refusal, Result):
            return wire.res_of(refusal, None)
        active = self._requests_of(refusal.primary) if refusal.primary is not None else None
        reason = REFUSALS[refusal.code]
        return Res(transaction_id, UNAVAILABLE, refusal.code, reason, active=active)

    # -- answers

    def on_answers(self, effect: Answers, now: Instant) -> None:
        """What the kernel releases: committed, or read from committed state."""
        holder: Batch | Stamp | None = effect.batch
        measured: list[Measured] = []
        for waiter, answer, seq in effect.answers:
            if waiter is None:
                continue  # this server asked itself, for an alert
            exchange, faculty_id, began_us, leg, transaction_id = waiter
            self._admission.leave(exchange.identity)
            us = now.boot_us - began_us
            if type(answer) is Proposal:
                measured.append(("sol_prop", exchange.pattern, "", faculty_id, 0, transaction_id, now.boot_us, us))
                self._expect_expiry(exchange, faculty_id, answer)
                self._answer(exchange, answer)
                continue
            receipt = None
            if seq is not None:
                if holder is None or not holder.first_seq <= seq <= holder.last_seq:
                    holder = self._replica.node.chain.stamp_at(seq)
                    assert holder is not None, "what has committed is in the log"
                receipt = Receipt(holder.epoch, seq, holder.hash.hex(), effect.copies)
            else:
                assert isinstance(answer, Result | TermResult)
            if leg in VERBS:
                self._metrics.on_registrar(leg, answer.status)
                self._answer(exchange, registrar.answer_of(transaction_id, answer, receipt))
                continue
            timing = leg, exchange.pattern, answer.status, faculty_id, 0, transaction_id, now.boot_us, us
            is_kept = answer.status in DEFINITE and faculty_id is not None
            if is_kept and answer.code != ACK_TIMEOUT:
                measured.append(timing)
            else:
                self._measure_apart(timing, answer, is_kept)
            self._pushes.pop((faculty_id, transaction_id), None)
            self._answer(exchange, wire.res_of(answer, receipt))
        if measured:
            self._metrics.on_measured(measured)
            self._keep_timings(measured)
        if effect.batch is None:
            self._metrics.duplicates += sum(answer.seq is not None for answer in effect.answers)

    def _measure_apart(self, timing: Measured, result: Result, is_kept: bool) -> None:
        """A result that nobody keeps the time of, or of an expiry, which was counted when it came."""
        if result.code == ACK_TIMEOUT:
            self._metrics.on_late(*timing[:2], timing[-1])
        else:
            self._metrics.on_measured([timing])
        if is_kept:
            self._keep_timings([timing])

    def _expect_expiry(self, exchange: Exchange[S], faculty_id: int, proposal: Proposal) -> None:
        """A DEALER peer is told when its hold expires; a REQ peer learns it with its late answer."""
        if exchange.pattern == "async":
            self._pushes[faculty_id, proposal.transaction_id] = exchange
            if len(self._pushes) > PUSHES_MAX:
                self._pushes.popitem(last=False)

    def on_committed(self, batches: Iterable[Batch]) -> list[Alert]:
        """Push the expiries among what has committed to those who wait on a lasting connection; give the alerts.
        What had committed before this process began is history, and no news, also if it comes only now."""
        alerts = []
        for batch in batches:
            if batch.last_seq <= self._history_seq or self._is_old(batch):
                continue
            for entry in batch.entries:
                if entry.application != machine.NAME:
                    continue
                if entry.type == "Expired":
                    self._metrics.holds_expired += 1
                    self._push_expiry(batch, batch.first_seq + entry.offset, entry.request_id, entry.body[0])
                elif entry.type == "AlertRaised":
                    code, term = entry.body
                    self._metrics.alerts[code] += 1
                    alerts.append(Alert(code, term, batch.first_seq + entry.offset))
        return alerts

    def _is_old(self, batch: Batch) -> bool:
        """Whether a backup fetches it that was away, or is filled anew."""
        return self._replica.leading is None and batch.ts_us < self._replica.started_wall_us

    def _push_expiry(self, batch: Batch, seq: int, request_id: str | bytes, faculty_id: int) -> None:
        transaction_id = transaction_id_of(request_id)
        exchange = self._pushes.pop((faculty_id, transaction_id), None)
        if self._replica.leading is not None:  # the other server hears of the same event
            self._metrics.on_expiry(None if exchange is None else exchange.pattern, faculty_id)
        if exchange is not None:
            receipt = Receipt(batch.epoch, seq, batch.hash.hex(), self._metrics.copies())
            self._put(exchange, wire.encode(wire.res_of(timed_out(transaction_id), receipt), exchange.encoding))

    def _answer(self, exchange: Exchange[S], answer: Proposal | Res | Closed) -> None:
        if exchange.pattern == "async" and not self._workers_for_all:
            self._put(exchange, wire.encode(answer, exchange.encoding))
            return
        exchange.answers.append(answer)
        self._complete(exchange)

    def _no_answer(self, exchange: Exchange[S]) -> None:
        exchange.awaited -= 1
        self._complete(exchange)

    def _complete(self, exchange: Exchange[S]) -> None:
        """A request's answers leave together once all are there."""
        if exchange.answers and len(exchange.answers) == exchange.awaited:
            answers = [tagged(answer) for answer in exchange.answers]
            self._workers.encode(exchange.encoding.value, answers, partial(self._on_encoded, exchange))

    def _on_encoded(self, exchange: Exchange[S], payload: bytes, now: Instant) -> None:
        self._payloads.append((exchange.session, payload))

    def _put(self, exchange: Exchange[S], message: bytes) -> None:
        waiting = self._outbox.get(exchange.session)
        if waiting is None:
            self._outbox[exchange.session] = (exchange, [message])
        elif waiting[0].encoding is exchange.encoding:
            waiting[1].append(message)
            waiting[0].is_array |= exchange.is_array
        else:
            self._payloads.append((exchange.session, message))

    def flush(self) -> list[tuple[S, bytes]]:
        """The turn ends: (session, payload) of all that leaves now, in arrays for whoever speaks in arrays."""
        payloads, self._payloads = self._payloads, []
        if not self._outbox:
            return payloads
        outbox, self._outbox = self._outbox, {}
        for session, (exchange, messages) in outbox.items():
            joined = join(messages, exchange.encoding) if exchange.is_array else messages
            payloads += [(session, payload) for payload in joined]
        return payloads
