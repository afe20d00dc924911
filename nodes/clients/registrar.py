"""Whoever releases rooms or closes a term: he asks the servers, and waits until one of them says what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final, NamedTuple

import zmq

from nodes import sockets, wire
from nodes.security import principals
from nodes.shell import read_clock
from nodes.sockets import Context, Security, Socket
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Closed, CloseRequest, ReleaseRequest, Res
from projections.rooms.commands import UNAVAILABLE

ROUND_US: Final = 1_000_000
"""How long the servers are waited for before they are asked again, on fresh connections: a handshake and a commit take
some ms, and a failover about half a second."""

PAUSE_S: Final = 0.1
"""Between the rounds, while no server leads."""


class Reply(NamedTuple):
    """What a server said, `elapsed_us` after it was asked first. UNAVAILABLE: every server did each time."""

    answer: Closed | Res
    elapsed_us: int


class NoReply(NamedTuple):
    """Nobody said what came of it. It may have been done; asked again, it is done once."""

    elapsed_us: int


def ask_servers(
    servers: Mapping[str, str],
    request: ReleaseRequest | CloseRequest,
    within_us: int,
    *,
    context: Context,
    security: Security,
) -> Reply | NoReply:
    """Ask `servers` (endpoints by name), all at once and again until one that leads has answered, for `within_us` at
    most. That does it once: what is asked here has one result, whoever is asked and however often."""
    began_us = read_clock().boot_us
    deadline_us, is_in_doubt = began_us + within_us, False
    payload = wire.encode(request, Encoding.MSGPACK)
    while True:
        until_us = min(read_clock().boot_us + ROUND_US, deadline_us)
        answers = _round(servers, request, payload, until_us, context, security)
        elapsed_us = read_clock().boot_us - began_us
        for answer in answers:
            if isinstance(answer, Closed) or answer.status != UNAVAILABLE:
                return Reply(answer, elapsed_us)
        is_in_doubt |= len(answers) < len(servers)
        if elapsed_us + int(PAUSE_S * 1_000_000) >= within_us:
            return NoReply(elapsed_us) if is_in_doubt else Reply(answers[-1], elapsed_us)
        time.sleep(PAUSE_S)


def _round(
    servers: Mapping[str, str],
    request: ReleaseRequest | CloseRequest,
    payload: bytes,
    until_us: int,
    context: Context,
    security: Security,
) -> list[Closed | Res]:
    """What the servers say until boot time `until_us`, up to the first that does not turn it away."""
    answers: list[Closed | Res] = []
    with ExitStack() as stack:
        poller = zmq.Poller()
        asked = 0
        for name, endpoint in servers.items():
            socket = sockets.request_req(context, endpoint, principals.server(name), security)
            stack.callback(socket.close)
            socket.send(payload, zmq.NOBLOCK)
            poller.register(socket, zmq.POLLIN)
            asked += 1
        while asked and (left_us := until_us - read_clock().boot_us) > 0:
            for socket, _ in poller.poll(-(-left_us // 1_000)):
                poller.unregister(socket)
                asked -= 1
                answer = _answer(socket, request)
                if answer is None:
                    continue
                answers.append(answer)
                if isinstance(answer, Closed) or answer.status != UNAVAILABLE:
                    return answers
    return answers


def _answer(socket: Socket, request: ReleaseRequest | CloseRequest) -> Closed | Res | None:
    """None if that is no answer to this request."""
    decode = wire.decode_closing if isinstance(request, CloseRequest) else wire.decode_answers
    for message in decode(socket.recv(zmq.NOBLOCK)).messages:
        if isinstance(message, Closed | Res) and message.transaction_id == request.transaction_id:
            return message
    return None
