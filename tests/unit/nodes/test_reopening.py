"""A process whose key was replaced gives its ports back and takes them again, also when somebody else has one for a
while; and if that lasts it ends, and gives everything back, so that it is started anew."""

from __future__ import annotations

import socket as tcp
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from nodes import reopening, sockets
from nodes.config.cluster import ClusterConfig, one_host
from nodes.datadir import initialise
from nodes.faculty.async_pattern import DealerUplink
from nodes.faculty.lbb_pattern import ReqUplink
from nodes.faculty.shell import FacultyShell
from nodes.security import principals
from nodes.security.authenticator import Authenticator
from nodes.security.cluster_keys import ensure_keys, rotate_keys
from nodes.security.curve import security_of
from nodes.security.principals import Principal
from nodes.server.process import ServerShell, open_log
from nodes.shell import Loop
from nodes.sockets import BindFailed, Context, Socket
from nodes.witness.process import WitnessShell
from ops.demo import free_base_port


class Thief:
    """Takes the port that a process has just given back, before it takes it again, and keeps it for some attempts."""

    def __init__(self, patch: pytest.MonkeyPatch, opens: str, endpoint: str, attempts: int) -> None:
        self._real: Callable[..., Socket] = getattr(sockets, opens)
        self._port = int(endpoint.rpartition(":")[2])
        self._left = attempts
        self._own: tcp.socket | None = None
        patch.setattr(sockets, opens, self._open)
        patch.setattr(sockets, "REBIND_WITHIN_S", 0.1)

    def _open(self, *arguments: object) -> Socket:
        if self._own is None:
            self._own = tcp.socket()
            self._own.setsockopt(tcp.SOL_SOCKET, tcp.SO_REUSEADDR, 1)
            while True:
                with suppress(OSError):
                    self._own.bind(("127.0.0.1", self._port))
                    break
                sleep(0.001)  # libzmq still has it
            self._own.listen()
        if self._left == 0:
            self._own.close()
        self._left -= 1
        return self._real(*arguments)

    @property
    def has_come(self) -> bool:
        """Whether it has, or had, the port."""
        return self._own is not None

    def close(self) -> None:
        """Whatever came of it."""
        if self._own is not None:
            self._own.close()


Shell = ServerShell | WitnessShell | FacultyShell


class Running(NamedTuple):
    """A process's shell in this process, and what it is opened with at its foremost door."""

    own: Principal
    config: ClusterConfig
    loop: Loop
    shell: Shell
    opens: str
    endpoint: str


def _server(config: ClusterConfig, loop: Loop, context: Context, authenticator: Authenticator) -> Shell:
    own = config.server("a")
    return ServerShell(config, own, open_log(config, own), loop, context, authenticator)


def _witness(config: ClusterConfig, loop: Loop, context: Context, authenticator: Authenticator) -> Shell:
    return WitnessShell(config, loop, context, authenticator)


def _async_faculty(config: ClusterConfig, loop: Loop, context: Context, authenticator: Authenticator) -> Shell:
    return FacultyShell(config, config.faculty(1), "async", loop, context, authenticator, DealerUplink)


def _lbb_faculty(config: ClusterConfig, loop: Loop, context: Context, authenticator: Authenticator) -> Shell:
    return FacultyShell(config, config.faculty(2), "lbb", loop, context, authenticator, ReqUplink)


class Kind(NamedTuple):
    make: Callable[[ClusterConfig, Loop, Context, Authenticator], Shell]
    own: Principal
    opens: str
    endpoint: Callable[[ClusterConfig], str]


KINDS = {
    "server": Kind(_server, principals.server("a"), "request_router", lambda config: config.server("a").requests),
    "server's links": Kind(_server, principals.server("a"), "repair_router", lambda config: config.server("a").repair),
    "witness": Kind(_witness, principals.WITNESS, "witness_router", lambda config: config.witness.endpoint),
    "async faculty": Kind(
        _async_faculty, principals.faculty(1), "program_router", lambda config: config.faculty(1).endpoint
    ),
    "lbb faculty": Kind(
        _lbb_faculty, principals.faculty(2), "program_router", lambda config: config.faculty(2).endpoint
    ),
}


@pytest.fixture(params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    config = one_host(tmp_path, cluster_id="c", faculties=2, base_port=free_base_port())
    kind = KINDS[request.param]
    initialise(config)
    ensure_keys(config)
    for faculty in config.faculties:
        Path(faculty.data).mkdir(exist_ok=True)
    loop, context = Loop(), sockets.context()
    authenticator = Authenticator(security_of(config, kind.own), loop, context)
    shell = kind.make(config, loop, context, authenticator)
    yield Running(kind.own, config, loop, shell, kind.opens, kind.endpoint(config))
    shell.close()
    authenticator.close()
    context.term()
    loop.close()


@pytest.fixture
def thieves(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Thief]]:
    made: list[Thief] = []

    def come(running: Running, attempts: int) -> Thief:
        made.append(Thief(monkeypatch, running.opens, running.endpoint, attempts))
        return made[-1]

    yield come
    for thief in made:
        thief.close()


def turn_until(running: Running, fact: Callable[[], object]) -> None:
    for _ in range(100):
        if fact():
            return
        running.loop.turn(running.shell)
    raise AssertionError("it never happened")


def test_a_port_that_somebody_else_has_for_a_while_is_waited_for(
    running: Running, thieves: Callable[..., Thief]
) -> None:
    running.loop.turn(running.shell)
    thieves(running, attempts=2)
    rotate_keys(running.config.keys, running.own, keep_old=False)
    with capture_logs() as said:
        turn_until(running, lambda: "sockets opened anew" in [one["event"] for one in said])
    (waits,) = [one for one in said if one["event"] == "waiting for a port"]
    assert waits["why"].startswith(f"cannot listen on {running.endpoint}: Address already in use")
    with tcp.create_connection(("127.0.0.1", int(running.endpoint.rpartition(":")[2])), 5):
        running.loop.turn(running.shell)


def test_a_port_that_stays_taken_ends_the_process_in_one_sentence_and_gives_everything_back(
    running: Running, thieves: Callable[..., Thief], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the fixture does in the end is what a process does: it would hang, or raise something else."""
    running.loop.turn(running.shell)
    monkeypatch.setattr(reopening, "REOPEN_WITHIN_S", 0.0)
    thieves(running, attempts=-1)
    rotate_keys(running.config.keys, running.own, keep_old=False)
    with pytest.raises(BindFailed) as ended:
        turn_until(running, lambda: False)
    said = str(ended.value)
    assert said.startswith(f"cannot listen on {running.endpoint}: Address already in use")
    assert said.endswith("; the port was given back to change keys, and was still taken 0 s later")


def test_who_is_told_to_stop_waits_for_no_port(running: Running, thieves: Callable[..., Thief]) -> None:
    running.loop.turn(running.shell)
    thief = thieves(running, attempts=-1)
    rotate_keys(running.config.keys, running.own, keep_old=False)
    running.loop.stop()
    turn_until(running, lambda: thief.has_come)
