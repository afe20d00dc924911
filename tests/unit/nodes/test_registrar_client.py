"""Whoever asks the servers for a release or a closing gets what the one that leads says, or says that nobody knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import zmq

from nodes import sockets, wire
from nodes.clients.registrar import NoReply, Reply, ask_servers
from nodes.security.curve import OPEN
from nodes.sockets import Context
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Closed, CloseRequest, Receipt, ReleaseRequest, Res

RELEASE = ReleaseRequest("t1", 3, "gotera")
CLOSE = CloseRequest("q1", "2025-2")
RECEIPT = Receipt(2, 9, "ab" * 32, 2)
RELEASED = Res("t1", "CANCELED", "RELEASED", "the rooms were given back", receipt=RECEIPT)
CLOSED = Closed("q1", "2025-2", 7, 2, 1, RECEIPT)
BACKUP = Res("t1", "UNAVAILABLE", "NOT_ACTIVE", "not the active one")
BUSY = Res("t1", "UNAVAILABLE", "BUSY", "too many")
IN_THE_END: list[list[Any]] = [[RELEASED], [BACKUP, RELEASED], [BUSY, b"\xc1", RELEASED], [None, RELEASED]]
LONG_US, SHORT_US = 20_000_000, 400_000


@pytest.fixture
def context() -> Iterator[Context]:
    made = sockets.context()
    yield made
    made.term()


@contextmanager
def servers(**scripts: list[Res | Closed | bytes | None]) -> Iterator[dict[str, str]]:
    """Endpoints by name. Each server says what its script has, the last of it for ever; None: nothing."""
    context = sockets.context()
    routers = {name: sockets.request_router(context, "tcp://127.0.0.1:*", OPEN) for name in scripts}
    endpoints = {name: sockets.bound_endpoint(router) for name, router in routers.items()}
    over = threading.Event()

    def serve() -> None:
        poller = zmq.Poller()
        names = {router: name for name, router in routers.items()}
        for router in names:
            poller.register(router, zmq.POLLIN)
        while not over.is_set():
            for router, _ in poller.poll(10):
                route, *_ = router.recv_multipart()
                script = scripts[names[router]]
                answer: Any = script.pop(0) if len(script) > 1 else script[0]
                if answer is not None:
                    payload = answer if isinstance(answer, bytes) else wire.encode(answer, Encoding.MSGPACK)
                    with suppress(zmq.ZMQError):  # it has its answer already, and left
                        router.send_multipart([route, b"", payload])
        for router in names:
            router.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield endpoints
    finally:
        over.set()
        thread.join()
        context.term()


def ask(
    context: Context, endpoints: dict[str, str], request: ReleaseRequest | CloseRequest, within_us: int
) -> Reply | NoReply:
    return ask_servers(endpoints, request, within_us, context=context, security=OPEN)


@pytest.mark.parametrize("script", IN_THE_END)
@pytest.mark.parametrize("leader", ["a", "b"])
def test_whoever_leads_is_asked_until_it_answers(context: Context, leader: str, script: list[Any]) -> None:
    other = "b" if leader == "a" else "a"
    with servers(**{leader: list(script), other: [BACKUP]}) as endpoints:
        reply = ask(context, endpoints, RELEASE, LONG_US)
    assert isinstance(reply, Reply)
    assert reply.answer == RELEASED


def test_a_server_that_is_gone_does_not_matter_to_who_has_an_answer(context: Context) -> None:
    with servers(a=[None], b=[BACKUP._replace(transaction_id="q1"), CLOSED]) as endpoints:
        reply = ask(context, endpoints, CLOSE, LONG_US)
    assert isinstance(reply, Reply)
    assert reply.answer == CLOSED


def test_what_is_refused_is_an_answer(context: Context) -> None:
    refused = Res("t1", "INVALID", "UNKNOWN_TRANSACTION", "never heard of")
    with servers(a=[BACKUP], b=[refused]) as endpoints:
        reply = ask(context, endpoints, RELEASE, LONG_US)
    assert isinstance(reply, Reply)
    assert reply.answer == refused


def test_if_every_server_turns_it_away_each_time_nothing_was_done(context: Context) -> None:
    with servers(a=[BACKUP], b=[BUSY]) as endpoints:
        reply = ask(context, endpoints, RELEASE, SHORT_US)
    assert isinstance(reply, Reply)
    assert reply.answer in (BACKUP, BUSY)
    assert reply.elapsed_us <= SHORT_US


@pytest.mark.parametrize("silent", [None, RELEASED._replace(transaction_id="another's")], ids=str)
def test_if_one_says_nothing_nobody_knows(context: Context, silent: Any) -> None:
    with servers(a=[BACKUP], b=[silent]) as endpoints:
        reply = ask(context, endpoints, RELEASE, SHORT_US)
    assert isinstance(reply, NoReply)


def test_an_answer_that_is_missing_once_leaves_a_doubt(context: Context) -> None:
    """What was sent then may have been done: that it is turned away now says nothing about it."""
    with servers(a=[BACKUP], b=[b"", BACKUP]) as endpoints:
        reply = ask(context, endpoints, RELEASE, SHORT_US)
    assert isinstance(reply, NoReply)
