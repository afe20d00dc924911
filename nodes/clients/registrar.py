"""Whoever releases rooms or closes a term: he asks the servers, and waits until one of them says what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple, TypeAlias

import zmq

from nodes import sockets, wire
from nodes.clients.interrupts import interruptible
from nodes.clients.program import NOT_LET_IN
from nodes.clients.watch import REFUSED_US, Watch
from nodes.security import principals
from nodes.shell import read_clock
from nodes.sockets import Context, Security, Socket
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Closed, CloseRequest, ReleaseRequest, Res
from projections.rooms.commands import UNAVAILABLE

ROUND_US: Final = 1_000_000
"""How long the servers are waited for before those that were reached are asked again, on fresh connections: a handshake
and a commit take some ms, and a failover about half a second. Only the first round may be shorter: what is asked and
has no time to be answered leaves a doubt."""

PAUSE_S: Final = 0.1
"""Between the rounds, while no server leads."""

NOT_REACHED: Final = "NOT_REACHED"
"""The client's own word, as NOT_LET_IN is: no connection to any server ever stood."""

RegistrarRequest: TypeAlias = ReleaseRequest | CloseRequest


class Reply(NamedTuple):
    """What a server said, `elapsed_us` after it was asked first. UNAVAILABLE: nothing was done, for every server that
    was reached turned it away each time, or (code NOT_LET_IN) does not let this key in, or (code NOT_REACHED) none was
    reached."""

    answer: Closed | Res
    elapsed_us: int


class NoReply(NamedTuple):
    """Nobody said what came of it. It may have been done; asked again, it is done once."""

    elapsed_us: int


def ask_servers(
    servers: Mapping[str, str], request: RegistrarRequest, within_us: int, *, context: Context, security: Security
) -> Reply | NoReply:
    """Ask `servers` (endpoints by name), all at once and again until one that leads has answered, for `within_us` at
    most. That does it once: what is asked here has one result, whoever is asked and however often. That none of them
    lets `security`'s key in is known sooner."""
    with ExitStack() as stack:
        asked = [_Server(name, endpoint, request, context, security) for name, endpoint in servers.items()]
        for server in asked:
            stack.callback(server.hang_up)
        return _ask(asked, request, within_us)


def _ask(servers: Sequence[_Server], request: RegistrarRequest, within_us: int) -> Reply | NoReply:
    began_us = read_clock().boot_us
    while True:
        until_us = min(read_clock().boot_us + ROUND_US, began_us + within_us)
        answer = _round(servers, until_us)
        elapsed_us = read_clock().boot_us - began_us
        if answer is not None:
            return Reply(answer, elapsed_us)
        is_over = elapsed_us + int(PAUSE_S * 1_000_000) + ROUND_US > within_us
        if is_over or (elapsed_us >= REFUSED_US and all(server.is_refused for server in servers)):
            return _nothing_definite(servers, request, elapsed_us)
        with interruptible():
            time.sleep(PAUSE_S)


def _round(servers: Sequence[_Server], until_us: int) -> Closed | Res | None:
    """The first answer that does not turn it away, until that boot time at most. Who refuses is not waited for."""
    poller = zmq.Poller()
    for server in servers:
        server.ask()
        poller.register(server.socket, zmq.POLLIN)
        poller.register(server.events, zmq.POLLIN)
    waiting = set(servers)
    while not all(server.is_refused for server in waiting) and (left_us := until_us - read_clock().boot_us) > 0:
        with interruptible():
            ready = dict(poller.poll(-(-left_us // 1_000)))
        for server in servers:
            server.watch.take_told()
            if server.socket in ready:
                poller.unregister(server.socket)
                waiting.discard(server)
                answer = server.take_answer()
                if answer is not None and (isinstance(answer, Closed) or answer.status != UNAVAILABLE):
                    return answer
    return None


def _nothing_definite(servers: Sequence[_Server], request: RegistrarRequest, elapsed_us: int) -> Reply | NoReply:
    """Whether that nothing was done can be said, and why nothing was."""
    for server in servers:
        server.hang_up()  # what may have arrived meanwhile is known then
    if any(server.is_in_doubt for server in servers):
        return NoReply(elapsed_us)
    answers = [server.answer for server in servers if server.answer is not None]
    if refusing := [server.whose for server in servers if server.is_refused]:
        refused = f"{' and '.join(refusing)} {'does' if len(refusing) == 1 else 'do'} not let this key in"
        sentence = f"{refused}; nothing was {'done' if answers else 'asked'}"
        return Reply(Res(request.transaction_id, UNAVAILABLE, NOT_LET_IN, sentence), elapsed_us)
    return Reply(answers[-1] if answers else _not_reached(servers, request), elapsed_us)


def _not_reached(servers: Sequence[_Server], request: RegistrarRequest) -> Res:
    nobody = f"no connection to {' or '.join(server.whose for server in servers)} ever stood"
    sentence = f"{nobody}: nothing runs or answers there, or its key is another one than here; nothing was asked"
    return Res(request.transaction_id, UNAVAILABLE, NOT_REACHED, sentence)


class _Server:
    """One of them, asked on one connection after the other. One that does not stand yet is left to libzmq, which goes
    on calling: who is not let in is known from that. `answer` is the last one; all were UNAVAILABLE."""

    def __init__(
        self, name: str, endpoint: str, request: RegistrarRequest, context: Context, security: Security
    ) -> None:
        self._principal, self._endpoint = principals.server(name), endpoint
        self._request, self._context, self._security = request, context, security
        self._payload = wire.encode(request, Encoding.MSGPACK)
        self._is_open = self._was_let_in = self._is_answered = False
        self.socket: Socket
        self.events: Socket
        self.watch: Watch
        self.answer: Closed | Res | None = None
        self.is_in_doubt = False

    @property
    def whose(self) -> str:
        """Its name, for people."""
        return f"{self._principal} at {self._endpoint}"

    @property
    def is_refused(self) -> bool:
        """Whether it lets nobody in who has this key, and never did."""
        return self.watch.is_refused and not self._was_let_in

    def ask(self) -> None:
        """On a fresh connection, unless the question still waits for one to stand."""
        if self._is_open and not self.watch.was_let_in and not self._is_answered:
            return
        self.hang_up()
        self.socket, self.events = sockets.watched_req(
            self._context, self._endpoint, self._principal, self._security
        )
        self.watch, self._is_open, self._is_answered = Watch(self.events), True, False
        self.socket.send(self._payload, zmq.NOBLOCK)

    def take_answer(self) -> Closed | Res | None:
        """What it says; None if that is no answer to this request."""
        decode = wire.decode_closing if isinstance(self._request, CloseRequest) else wire.decode_answers
        for message in decode(self.socket.recv(zmq.NOBLOCK)).messages:
            if isinstance(message, Closed | Res) and message.transaction_id == self._request.transaction_id:
                self.answer, self._is_answered = message, True
                return message
        return None

    def hang_up(self) -> None:
        """End the connection that there is. A question that may have arrived and was not answered leaves a doubt."""
        if not self._is_open:
            return
        self._is_open = False
        self.socket.close()
        self.watch.close()
        self._was_let_in |= self.watch.was_let_in
        self.is_in_doubt |= self.watch.was_let_in and not self._is_answered
