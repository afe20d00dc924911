"""Whoever asks the servers for a release or a closing gets what the one that leads says, or says that nobody knows."""

from __future__ import annotations

import socket as tcp
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from nodes import sockets, wire
from nodes.clients.program import NOT_LET_IN
from nodes.clients.registrar import NOT_REACHED, ROUND_US, NoReply, Reply, ask_servers
from nodes.security import principals, roles
from nodes.security.curve import OPEN, Curve
from nodes.security.keys import new_keys, save_allowed
from nodes.security.secret_keys import load_secret, save_secret
from nodes.sockets import Context
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Closed, CloseRequest, Receipt, ReleaseRequest, Res
from tests.unit.nodes.guarded_door import GuardedDoor

RELEASE = ReleaseRequest("t1", 3, "gotera")
CLOSE = CloseRequest("q1", "2025-2")
RECEIPT = Receipt(2, 9, "ab" * 32, 2)
RELEASED = Res("t1", "CANCELED", "RELEASED", "the rooms were given back", receipt=RECEIPT)
CLOSED = Closed("q1", "2025-2", 7, 2, 1, RECEIPT)
BACKUP = Res("t1", "UNAVAILABLE", "NOT_ACTIVE", "not the active one")
BUSY = Res("t1", "UNAVAILABLE", "BUSY", "too many")
IN_THE_END: list[list[Any]] = [[RELEASED], [BACKUP, RELEASED], [BUSY, b"\xc1", RELEASED], [None, RELEASED]]
LONG_US, SHORT_US = 20_000_000, 1_500_000


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


def test_what_has_no_time_to_be_answered_is_not_asked(context: Context) -> None:
    """That would leave a doubt about what is known: nothing was done."""
    with servers(a=[BACKUP, None]) as endpoints:
        reply = ask(context, endpoints, RELEASE, ROUND_US)
    assert isinstance(reply, Reply)
    assert reply.answer == BACKUP


def test_an_answer_that_is_missing_once_leaves_a_doubt(context: Context) -> None:
    """What was sent then may have been done: that it is turned away now says nothing about it."""
    with servers(a=[BACKUP], b=[b"", BACKUP]) as endpoints:
        reply = ask(context, endpoints, RELEASE, SHORT_US)
    assert isinstance(reply, NoReply)


def test_a_server_that_is_not_there_leaves_no_doubt(context: Context) -> None:
    """It was never reached: what the other one says holds for both."""
    with servers(a=[BACKUP]) as endpoints, tcp.create_server(("127.0.0.1", 0)) as mute:
        nobody = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        reply = ask(context, {**endpoints, "b": nobody}, RELEASE, SHORT_US)
    assert isinstance(reply, Reply)
    assert reply.answer == BACKUP


def test_where_no_server_was_ever_reached_nothing_was_asked(context: Context) -> None:
    with tcp.create_server(("127.0.0.1", 0)) as mute:
        endpoints = {name: f"tcp://127.0.0.1:{mute.getsockname()[1]}" for name in "ab"}
        reply = ask(context, endpoints, RELEASE, SHORT_US)
    assert isinstance(reply, Reply)
    assert isinstance(reply.answer, Res)
    assert (reply.answer.status, reply.answer.code) == ("UNAVAILABLE", NOT_REACHED)
    assert reply.answer.reason is not None
    assert all(endpoint in reply.answer.reason for endpoint in endpoints.values())


# --- a key that is not let in

OPERATOR = principals.principal("operator:ana")
SERVERS = tuple(map(principals.server, "ab"))


class GuardedServer(GuardedDoor):
    """The door of a server."""

    def __init__(self, keys: Path, name: str, answers: list[Res]) -> None:
        super().__init__(keys, principals.server(name), roles.REQUESTS, sockets.request_router, answers)


@contextmanager
def guarded(directory: Path, *hospitable: str, **answers: list[Res]) -> Iterator[dict[str, GuardedServer]]:
    """Servers, each with keys of its own directory; the asker's are in `directory`, and only the `hospitable` let him
    in."""
    made = [new_keys(one, "2026-01-31T12:00:00Z") for one in (*SERVERS, OPERATOR)]
    for name in ("", *answers):
        for keys in made:
            save_secret(directory / name, keys)
            if keys.public.principal != OPERATOR:
                save_allowed(directory / name, keys.public)
    for name in hospitable:
        let_in(directory, name)
    there = {name: GuardedServer(directory / name, name, said) for name, said in answers.items()}
    try:
        yield there
    finally:
        for server in there.values():
            server.close()


def let_in(directory: Path, server: str) -> None:
    save_allowed(directory / server, load_secret(directory, OPERATOR).public)


def ask_guarded(context: Context, directory: Path, endpoints: dict[str, str], within_us: int) -> Reply | NoReply:
    return ask_servers(endpoints, RELEASE, within_us, context=context, security=Curve(directory, OPERATOR, ()))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake may last a tenth of what it may."""
    monkeypatch.setattr(sockets, "HANDSHAKE_IVL_MS", 100)


@pytest.mark.usefixtures("quick")
def test_a_key_that_no_server_lets_in_is_known_to_have_asked_nothing_long_before_the_time_is_over(
    context: Context, tmp_path: Path
) -> None:
    with guarded(tmp_path, a=[RELEASED], b=[BACKUP]) as there:
        endpoints = {name: server.endpoint for name, server in there.items()}
        reply = ask_guarded(context, tmp_path, endpoints, LONG_US)
        assert [server.asked for server in there.values()] == [0, 0]
    assert isinstance(reply, Reply) and isinstance(reply.answer, Res)
    assert (reply.answer.status, reply.answer.code) == ("UNAVAILABLE", NOT_LET_IN)
    assert reply.answer.reason == (
        f"server:a at {endpoints['a']} and server:b at {endpoints['b']} do not let this key in; nothing was asked"
    )
    assert reply.elapsed_us < LONG_US - 2 * ROUND_US, "nobody waited for the end"


@pytest.mark.usefixtures("quick")
def test_a_server_that_lets_the_key_in_is_asked_until_it_leads_whoever_refuses_it(
    context: Context, tmp_path: Path
) -> None:
    """Twenty rounds are longer than it takes to know a refusal."""
    with guarded(tmp_path, "b", a=[RELEASED], b=[*[BACKUP] * 20, RELEASED]) as there:
        reply = ask_guarded(context, tmp_path, {name: one.endpoint for name, one in there.items()}, LONG_US)
        assert (there["a"].asked, there["b"].asked) == (0, 21)
    assert isinstance(reply, Reply)
    assert reply.answer == RELEASED


@pytest.mark.usefixtures("quick")
def test_if_the_server_that_lets_the_key_in_does_not_lead_who_refused_it_is_said(
    context: Context, tmp_path: Path
) -> None:
    with guarded(tmp_path, "b", a=[RELEASED], b=[BACKUP]) as there:
        reply = ask_guarded(context, tmp_path, {name: one.endpoint for name, one in there.items()}, SHORT_US)
        assert there["b"].asked
    assert isinstance(reply, Reply) and isinstance(reply.answer, Res)
    assert (reply.answer.status, reply.answer.code) == ("UNAVAILABLE", NOT_LET_IN)
    assert reply.answer.reason == f"server:a at {there['a'].endpoint} does not let this key in; nothing was done"


@pytest.mark.usefixtures("quick")
def test_where_the_other_server_is_not_there_a_refusal_is_said_in_the_end(context: Context, tmp_path: Path) -> None:
    """It may come back until then, and may let the key in."""
    with guarded(tmp_path, a=[RELEASED]) as there, tcp.create_server(("127.0.0.1", 0)) as mute:
        endpoints = {"a": there["a"].endpoint, "b": f"tcp://127.0.0.1:{mute.getsockname()[1]}"}
        reply = ask_guarded(context, tmp_path, endpoints, SHORT_US)
    assert isinstance(reply, Reply) and isinstance(reply.answer, Res)
    assert (reply.answer.code, "server:b" in str(reply.answer.reason)) == (NOT_LET_IN, False)


@pytest.mark.usefixtures("quick")
def test_a_key_that_is_let_in_meanwhile_asks(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.clients.watch.REFUSALS", 10_000)
    with guarded(tmp_path, a=[RELEASED]) as there:
        lets_in = threading.Timer(0.3, let_in, (tmp_path, "a"))
        lets_in.start()
        reply = ask_guarded(context, tmp_path, {"a": there["a"].endpoint}, LONG_US)
        lets_in.join()
        assert there["a"].asked == 1
    assert isinstance(reply, Reply)
    assert reply.answer == RELEASED


@pytest.mark.usefixtures("quick")
def test_a_server_whose_key_is_another_one_than_here_was_not_asked(context: Context, tmp_path: Path) -> None:
    with guarded(tmp_path, "a", a=[RELEASED]) as there:
        save_allowed(tmp_path, new_keys(principals.server("a"), "2026-02-28T12:00:00Z").public)
        reply = ask_guarded(context, tmp_path, {"a": there["a"].endpoint}, SHORT_US)
        assert there["a"].asked == 0
    assert isinstance(reply, Reply) and isinstance(reply.answer, Res)
    assert (reply.answer.status, reply.answer.code) == ("UNAVAILABLE", NOT_REACHED)
