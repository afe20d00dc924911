"""Load that never lets up: programs at the faculties and clients at the servers, each with its next transaction
ready when one ends. Nobody gives up: what is not definite is asked again with its own id, of whoever serves.

It runs in a thread of its own; what it has learnt may be read at any time.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Final, NamedTuple, Protocol
from uuid import uuid4

import zmq

from es.replication.instant import Instant
from nodes import sockets, wire
from nodes.clients.journal import Journal
from nodes.config.cluster import ClusterConfig, FacultyConfig
from nodes.security import principals
from nodes.security.cluster_keys import ensure_keys
from nodes.security.curve import security_of
from nodes.shell import Loop, drain, read_clock
from nodes.sockets import Context, Socket
from nodes.wire.beats import NODE_TOPIC, decode_node_beat
from nodes.wire.encoding import Encoding, join
from nodes.wire.schema import UNKNOWN, ProgramRequest, Res
from projections.rooms.commands import UNAVAILABLE, Answer, Proposal, Reserve

TERM_TRANSACTIONS: Final = 250
"""Transactions begun in one term before the next is opened."""

TERMS_MAX: Final = 1_000
"""Then the first term is used again, whatever is left of it: no more need be open at once."""

WINDOW: Final = 8
"""Transactions that one client keeps under way at the servers."""

FIRST_CLIENT_ID: Final = 10_001
"""Clients at the servers are faculties of their own, from here on."""

ACCEPT_SHARE: Final = 0.25
"""Of the proposals made to such a client; it rejects the others, so that terms last."""

CLASSROOMS, LABS = 7, 2
"""What a client at the servers asks for; programs ask for one classroom."""

REPEAT_SHARE: Final = 0.02
"""Of the results are asked for again: the second must be the first."""

PATIENCE_US: Final = 500_000
"""After so long without an answer a client at the servers asks again."""

PROGRAM_PATIENCE_US: Final = 13_000_000
"""A faculty answers within its own time limit; a program that hears nothing by then asks again."""

PAUSE_US: Final = 50_000
"""A program that was told nothing definite asks again after so long."""

LOOK_US: Final = 50_000
"""Interval at which patience is looked at."""


class _Terms:
    """Names of terms: a fresh one after so many transactions."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._begun = 0

    def current(self) -> str:
        self._begun += 1
        return f"{self._prefix}-{self._begun // TERM_TRANSACTIONS % TERMS_MAX}"


class Pace:
    """When a client's next transactions may begin. Rushed and looked at from different threads: one writes each."""

    def __init__(self, journal: Journal, rest_us: int) -> None:
        self._journal = journal
        self._rest_us = rest_us
        self._rushed_until_begun = 0

    def rush(self, count: int) -> None:
        """No rest until so many further transactions have begun."""
        self._rushed_until_begun = self._journal.begun + count

    def next_us(self, now: Instant) -> int:
        """When a client that begins one now may begin the next (boot time)."""
        rests = self._journal.begun >= self._rushed_until_begun
        return now.boot_us + (self._rest_us if rests else 0)


class _Client(Protocol):
    wants_more: bool

    @property
    def in_flight(self) -> int: ...
    def on_turn(self, now: Instant) -> None: ...
    def close(self) -> None: ...


class _Shared(NamedTuple):
    """What all clients of one load have in common."""

    loop: Loop
    context: Context
    config: ClusterConfig
    terms: _Terms
    journal: Journal
    pace: Pace
    drawn: random.Random


class SustainedLoad:
    """The clients of one load; a `Participant` of its loop. `start`, then `drain`, then `close`.

    programs   at each faculty, one transaction of each under way
    clients    at the servers, `window` transactions of each under way; they follow the heartbeats
    rest_ms    from when each of them fills its place or places to when it may do so again; `rush` goes without
    """

    def __init__(
        self, config: ClusterConfig, *, programs: int, clients: int, seed: int, window: int = WINDOW, rest_ms: int = 0
    ) -> None:
        ensure_keys(config, (principals.faculty(FIRST_CLIENT_ID + number) for number in range(clients)))
        self._loop = Loop()
        self._context = sockets.context()
        self.journal = Journal()
        self._pace = Pace(self.journal, rest_ms * 1_000)
        shared = _Shared(
            self._loop, self._context, config, _Terms(f"load-{seed}"), self.journal, self._pace, random.Random(seed)
        )
        self._clients: list[_Client] = [
            _Program(shared, faculty, f"{faculty.name} {number}", list(Encoding)[number % 2])
            for faculty in config.faculties
            for number in range(programs)
        ]
        self._clients += [
            _ServerClient(shared, config, FIRST_CLIENT_ID + number, list(Encoding)[number % 2], window)
            for number in range(clients)
        ]
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, name="load", daemon=True)

    @property
    def in_flight(self) -> int:
        """Transactions without a result."""
        return sum(client.in_flight for client in self._clients)

    @property
    def failure(self) -> Exception | None:
        """What ended the load, if anything did."""
        return self._failure

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def rush(self, count: int) -> None:
        """Nobody rests until so many further transactions have begun; 0: from now on everybody does."""
        self._pace.rush(count)

    def drain(self) -> None:
        """Begin no further transaction; those under way go on until they have their results."""
        for client in self._clients:
            client.wants_more = False

    def close(self) -> None:
        """End the thread and give all sockets back."""
        self._loop.stop()
        self._thread.join()
        for client in self._clients:
            client.close()
        self._loop.close()
        self._context.term()

    def deadline(self) -> int | None:
        """See Participant."""
        return read_clock().boot_us + LOOK_US

    def on_turn(self, now: Instant) -> None:
        """See Participant."""
        for client in self._clients:
            client.on_turn(now)

    def _run(self) -> None:
        try:
            self._loop.run(self)
        except Exception as error:  # noqa: BLE001 - told by whoever waits for the load
            self._failure = error


class _Program:
    """A program at its faculty: a REQ socket, one transaction after the other."""

    def __init__(self, shared: _Shared, faculty: FacultyConfig, name: str, encoding: Encoding) -> None:
        self._shared = shared
        self._faculty = faculty
        self._name = name
        self._encoding = encoding
        self._asked: ProgramRequest | None = None
        self._began_us = 0
        self._first: Res | None = None
        self._security = security_of(shared.config, principals.program(faculty.id))
        self._socket: Socket | None = None
        self._again_us = self._next_us = 0
        self.wants_more = True

    @property
    def in_flight(self) -> int:
        return int(self._asked is not None)

    def on_turn(self, now: Instant) -> None:
        if self._asked is None and self.wants_more and now.boot_us >= self._next_us:
            self._asked = ProgramRequest(self._name, 1, 0, self._shared.terms.current(), str(uuid4()))
            self._began_us, self._again_us = now.boot_us, 0
            self._shared.journal.begun += 1
            self._next_us = self._shared.pace.next_us(now)
        if self._asked is not None and now.boot_us >= self._again_us:
            self._ask(self._asked, now)

    def close(self) -> None:
        if self._socket is not None:
            self._shared.loop.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _ask(self, asked: ProgramRequest, now: Instant) -> None:
        """On a fresh socket if the last one still owes an answer."""
        self._again_us = now.boot_us + PROGRAM_PATIENCE_US
        if self._socket is None or not self._socket.poll(0, zmq.POLLOUT):
            self.close()
            faculty = principals.faculty(self._faculty.id)
            self._socket = sockets.program_req(
                self._shared.context, self._faculty.endpoint, faculty, self._security
            )
            self._shared.loop.register(self._socket, self._on_ready)
        self._socket.send(wire.encode(asked, self._encoding), zmq.NOBLOCK)

    def _on_ready(self, now: Instant) -> None:
        assert self._socket is not None
        try:
            payload = self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return
        for message in wire.decode_answers(payload).messages:
            asked = self._asked
            if asked is not None and isinstance(message, Res) and message.transaction_id == asked.transaction_id:
                self._take(message, now)

    def _take(self, res: Res, now: Instant) -> None:
        if res.status in (UNAVAILABLE, UNKNOWN):
            self._again_us = now.boot_us + PAUSE_US
        elif self._first is None:
            self._shared.journal.saw(self._faculty.id, res, self._began_us)
            self._first, self._again_us = res, now.boot_us
            if self._shared.drawn.random() >= REPEAT_SHARE:
                self._asked = self._first = None
        else:
            self._shared.journal.saw_again(self._faculty.id, self._first, res)
            self._asked = self._first = None


@dataclass(slots=True)
class _UnderWay:
    reserve: Reserve
    began_us: int
    answer: Answer | None = None
    first: Res | None = None
    sent_us: int = 0


class _ServerClient:
    """A client at the servers: a DEALER to each, arrays of messages to the one that says it is active."""

    def __init__(
        self, shared: _Shared, config: ClusterConfig, faculty_id: int, encoding: Encoding, window: int
    ) -> None:
        self._shared = shared
        self._window = window
        self._faculty_id = faculty_id
        self._encoding = encoding
        self._under_way: dict[str, _UnderWay] = {}
        self._dealers: dict[str, Socket] = {}
        self._beats: list[Socket] = []
        self._active, self._epoch = config.preferred, 0
        security = security_of(config, principals.faculty(faculty_id))
        for server in config.servers:
            peer = principals.server(server.name)
            dealer = sockets.request_dealer(shared.context, server.requests, peer, security)
            beats = sockets.heartbeat_sub(shared.context, server.heartbeats, NODE_TOPIC, peer, security)
            shared.loop.register(dealer, partial(self._on_ready, dealer))
            shared.loop.register(beats, partial(self._on_beats, beats))
            self._dealers[server.name] = dealer
            self._beats.append(beats)
        self._next_us = 0
        self.wants_more = True

    @property
    def in_flight(self) -> int:
        return len(self._under_way)

    def on_turn(self, now: Instant) -> None:
        if self.wants_more and now.boot_us >= self._next_us:
            self._fill(now)
        due = [one for one in self._under_way.values() if now.boot_us - one.sent_us >= PATIENCE_US]
        if not due:
            return
        messages = [wire.encode(one.answer or one.reserve, self._encoding) for one in due]
        with contextlib.suppress(zmq.Again):  # nobody is there: asked again at the next look
            for payload in join(messages, self._encoding):
                self._dealers[self._active].send_multipart((b"", payload), zmq.NOBLOCK)
            for one in due:
                one.sent_us = now.boot_us

    def _fill(self, now: Instant) -> None:
        while len(self._under_way) < self._window:
            reserve = Reserve(
                str(uuid4()), self._faculty_id, "Load", 1, "Load", self._shared.terms.current(), CLASSROOMS, LABS
            )
            self._under_way[reserve.transaction_id] = _UnderWay(reserve, now.boot_us)
            self._shared.journal.begun += 1
        self._next_us = self._shared.pace.next_us(now)

    def close(self) -> None:
        for socket in (*self._dealers.values(), *self._beats):
            self._shared.loop.unregister(socket)
            socket.close()

    def _on_beats(self, beats: Socket, now: Instant) -> None:
        for frames in drain(beats):
            beat = decode_node_beat(frames[0])
            if beat is None or not beat.active or beat.epoch <= self._epoch:
                continue
            self._epoch = beat.epoch
            if beat.node != self._active:
                self._active = beat.node
                for one in self._under_way.values():
                    one.sent_us = 0

    def _on_ready(self, dealer: Socket, now: Instant) -> None:
        for frames in drain(dealer):
            for message in wire.decode_answers(frames[-1]).messages:
                if isinstance(message, Proposal | Res) and message.transaction_id in self._under_way:
                    self._take(self._under_way[message.transaction_id], message, now)

    def _take(self, one: _UnderWay, message: Proposal | Res, now: Instant) -> None:
        if isinstance(message, Proposal):
            if one.answer is None:
                accept = self._shared.drawn.random() < ACCEPT_SHARE
                one.answer, one.sent_us = Answer(message.transaction_id, self._faculty_id, accept), 0
        elif message.status == UNAVAILABLE:
            return  # asked again when patience ends, or of the next active server at once
        elif one.first is None:
            self._shared.journal.saw(self._faculty_id, message, one.began_us)
            one.first, one.sent_us = message, 0
            if self._shared.drawn.random() >= REPEAT_SHARE:
                del self._under_way[message.transaction_id]
        else:
            self._shared.journal.saw_again(self._faculty_id, one.first, message)
            del self._under_way[message.transaction_id]
