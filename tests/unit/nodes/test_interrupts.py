"""Who asks is interrupted while he waits, never while he makes a connection or ends one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from nodes import sockets
from nodes.clients.interrupts import SIGNALS, interruptible, only_while_waiting
from nodes.clients.program import TimeLimit, ask
from nodes.clients.registrar import ask_servers
from nodes.security import principals
from nodes.security.curve import OPEN
from nodes.sockets import Context, Socket
from nodes.wire.schema import ProgramRequest, ReleaseRequest

NOBODY = "tcp://127.0.0.1:9"
LONG_US = 60_000_000


def ask_a_faculty(context: Context) -> None:
    request = ProgramRequest("Física", 7, 2)
    ask(principals.faculty(1), NOBODY, request, TimeLimit(LONG_US, LONG_US), context=context, security=OPEN)


def ask_a_server(context: Context) -> None:
    ask_servers({"a": NOBODY}, ReleaseRequest("t1", 3, "gotera"), LONG_US, context=context, security=OPEN)


@pytest.fixture(params=SIGNALS)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that interrupts whoever gets it."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.parametrize("asks", [ask_a_faculty, ask_a_server])
@pytest.mark.parametrize("half_way", ["made", "ended"])
def test_an_interrupt_comes_once_what_was_begun_with_a_connection_is_done(
    asks: Callable[[Context], None], half_way: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    make, end = sockets.watched_req, zmq.Socket.close

    def made(*args: Any) -> Any:
        signal.raise_signal(number)
        connection = make(*args)
        done.append("made")
        return connection

    def ended(self: Socket, *args: Any) -> None:
        if half_way == "ended":
            signal.raise_signal(number)
        end(self, *args)
        done.append("ended")

    monkeypatch.setattr(sockets, "watched_req", made)
    monkeypatch.setattr(zmq.Socket, "close", ended)
    context = sockets.context()
    with pytest.raises(KeyboardInterrupt), only_while_waiting():
        asks(context)
    context.term()
    assert done == ["made", "ended", "ended"]  # the socket's, and that of its monitor


def test_what_a_thread_took_before_it_takes_again(number: signal.Signals) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with only_while_waiting():
        assert number in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(number)
        assert number in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
