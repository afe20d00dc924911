"""Both kinds of faculty over real sockets, against servers that follow a script. No process is started."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import zmq

from nodes import sockets, wire
from nodes.clients.program import NoAnswer, ProgramReply, TimeLimit, ask
from nodes.config.cluster import PROFILES, ClusterConfig, one_host
from nodes.faculty import async_pattern, lbb_pattern, program_registry
from nodes.faculty.shell import FacultyShell, Uplink
from nodes.security import principals
from nodes.security.authenticator import Authenticator
from nodes.security.curve import OPEN
from nodes.shell import Loop, drain
from nodes.sockets import Context
from nodes.wire.beats import Beat, encode_node_beat
from nodes.wire.encoding import Encoding, join, parse
from nodes.wire.schema import ProgramRequest, Receipt, Res
from projections.rooms.commands import Answer, Proposal, Reserve

ANYWHERE = "tcp://127.0.0.1:*"
FACULTY = principals.faculty(1)
TIMING = replace(PROFILES["slow"], retry_ms=300)
Reply = ProgramReply | NoAnswer


class ScriptedServer:
    """Proposes what is asked and accepts what is taken, as long as it is active."""

    def __init__(self, name: str, context: Context) -> None:
        self._name = self.speaks_of = name
        self._router = sockets.request_router(context, ANYWHERE, OPEN)
        self._pub = sockets.heartbeat_pub(context, ANYWHERE, OPEN)
        self.requests = sockets.bound_endpoint(self._router)
        self.heartbeats = sockets.bound_endpoint(self._pub)
        self.epoch = 1
        self.is_active = False
        self.is_mute = False
        self.heard: list[Reserve | Answer] = []
        self.payloads = 0
        self.peers: set[bytes] = set()

    def turn(self) -> None:
        """Beat, then answer what came."""
        beat = Beat(self.speaks_of, "primary", self.epoch, 0, self.is_active, self.requests, ("a", "b"))
        self._pub.send(encode_node_beat(beat))
        self._router.poll(10)
        for peer, empty, payload in drain(self._router):
            assert empty == b""
            self.payloads += 1
            self.peers.add(peer)
            decoded = wire.decode_requests(payload)
            answers = [self._answer(message) for message in decoded.messages]
            if not self.is_mute:
                for frame in join(answers, decoded.encoding):
                    self._say(peer, frame)

    def _say(self, peer: bytes, frame: bytes) -> None:
        try:
            self._router.send_multipart([peer, b"", frame])
        except zmq.ZMQError as error:  # a REQ peer that asks again has left; what it had asked came all the same
            if error.errno != zmq.EHOSTUNREACH:
                raise

    def _answer(self, message: object) -> bytes:
        assert isinstance(message, Reserve | Answer)
        self.heard.append(message)
        if isinstance(message, Reserve):
            classrooms = tuple(f"C{n}" for n in range(message.classrooms))
            labs = tuple(f"L{n}" for n in range(message.labs))
            return wire.encode(Proposal(message.transaction_id, classrooms, labs, (), 1), Encoding.MSGPACK)
        receipt = Receipt(self.epoch, len(self.heard), "ab" * 32, 2)
        return wire.encode(
            Res(message.transaction_id, "ACCEPTED", None, self._name, (), (), (), receipt), Encoding.MSGPACK
        )

    def close(self) -> None:
        self._router.close()
        self._pub.close()


class Stage:
    """Two scripted servers and one faculty whose loop runs in a thread."""

    def __init__(self, pattern: str, directory: Path) -> None:
        self.context = sockets.context()
        self.a, self.b = ScriptedServer("a", self.context), ScriptedServer("b", self.context)
        config = self._config(pattern, directory)
        uplinks: dict[str, Callable[[FacultyShell], Uplink]] = {
            "async": async_pattern.DealerUplink,
            "lbb": lbb_pattern.ReqUplink,
        }
        program_registry.create(config.faculty(1).data)
        self._loop = Loop()
        authenticator = Authenticator(OPEN, self._loop, self.context)
        self.shell = FacultyShell(
            config, config.faculty(1), pattern, self._loop, self.context, authenticator, uplinks[pattern]
        )
        self._thread = Thread(target=self._loop.run, args=(self.shell,))
        self._thread.start()
        self._programs = ThreadPoolExecutor(8)

    def _config(self, pattern: str, directory: Path) -> ClusterConfig:
        config = one_host(directory, cluster_id="c", faculties=1, pattern=pattern, timing=TIMING)
        a, b = config.servers
        return replace(
            config,
            servers=(
                replace(a, requests=self.a.requests, heartbeats=self.a.heartbeats),
                replace(b, requests=self.b.requests, heartbeats=self.b.heartbeats),
            ),
            faculties=(replace(config.faculties[0], endpoint=ANYWHERE),),
        )

    def ask(self, transaction_id: str, encoding: Encoding = Encoding.MSGPACK) -> Future[Reply]:
        request = ProgramRequest("Sistemas", 7, 2, None, transaction_id)
        return self._programs.submit(
            ask,
            FACULTY,
            self.shell.endpoint,
            request,
            TimeLimit(),
            context=self.context,
            security=OPEN,
            encoding=encoding,
        )

    def play_until(self, fact: Callable[[], object]) -> None:
        """Let the servers go on until it is so (pytest's own time limit ends a wait in vain)."""
        while not fact():
            self.a.turn()
            self.b.turn()

    def close(self) -> None:
        self._loop.stop()
        self._thread.join()
        self._programs.shutdown()
        self.shell.close()
        self._loop.close()
        self.a.close()
        self.b.close()
        self.context.term()


@pytest.fixture(params=["async", "lbb"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(request.param, tmp_path)
    yield made
    made.close()


def result(future: Future[Reply]) -> Res:
    reply = future.result()
    assert isinstance(reply, ProgramReply)
    return reply.res


@pytest.mark.parametrize("encoding", Encoding)
def test_a_program_gets_its_result_in_the_encoding_it_speaks(stage: Stage, encoding: Encoding) -> None:
    stage.a.is_active = True
    reply = stage.ask("t1", encoding)
    stage.play_until(reply.done)
    assert result(reply).status == "ACCEPTED"
    assert stage.a.heard == [Reserve("t1", 1, "Facultad 1", 1, "Sistemas", "2025-2", 7, 2), Answer("t1", 1, True)]
    assert stage.shell.status()["follows"] == "a"
    assert len(stage.a.peers) == 1


def test_many_programs_at_once_each_get_their_own_result(stage: Stage) -> None:
    stage.a.is_active = True
    replies = {f"t{n}": stage.ask(f"t{n}") for n in range(8)}
    stage.play_until(lambda: all(reply.done() for reply in replies.values()))
    assert [result(reply).transaction_id for reply in replies.values()] == list(replies)
    expected_peers = {"async": 1, "lbb": 8}[stage.shell.status()["pattern"]]
    assert len(stage.a.peers) == expected_peers


def test_a06_a_lost_server_is_replaced_in_the_middle_of_a_transaction(stage: Stage) -> None:
    stage.a.is_active = stage.a.is_mute = True
    reply = stage.ask("t1")
    stage.play_until(lambda: stage.a.heard)
    stage.a.is_active, stage.b.is_active, stage.b.epoch = False, True, 2
    stage.play_until(reply.done)
    assert result(reply).reason == "b"
    assert {message.transaction_id for message in stage.b.heard} == {"t1"}
    assert stage.shell.core.server_changes == 1


def test_a_server_that_speaks_for_another_one_is_not_believed(stage: Stage) -> None:
    """CP11: it would send everybody to a server that does not lead, or away from one that does."""
    stage.a.is_active, stage.a.speaks_of = True, "b"
    ignored = stage.shell.metrics.ignored
    stage.play_until(lambda: ignored["not_its_own"])
    assert stage.shell.status()["follows"] is None
    stage.a.speaks_of = "a"
    stage.play_until(lambda: stage.shell.status()["follows"] == "a")


def test_a_server_that_does_not_answer_is_asked_again_with_the_same_id(stage: Stage) -> None:
    stage.a.is_active = stage.a.is_mute = True
    reply = stage.ask("t1")
    stage.play_until(lambda: len(stage.a.heard) >= 2)
    stage.a.is_mute = False
    stage.play_until(reply.done)
    assert result(reply).status == "ACCEPTED"
    assert {message.transaction_id for message in stage.a.heard} == {"t1"}


def test_a21_the_programs_number_is_on_disk_before_the_server_hears_of_it(stage: Stage, tmp_path: Path) -> None:
    stage.a.is_active = True
    reply = stage.ask("t1")
    stage.play_until(lambda: stage.a.heard)
    saved = json.loads((tmp_path / "faculty-1" / "programs.json").read_text())
    assert saved["programs"] == {"Sistemas": 1}
    stage.play_until(reply.done)


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xc1\xc1", b"[1, 2]", b'{"programa": 1}'])
def test_a_malformed_request_is_answered_invalid_and_nothing_stops(stage: Stage, garbage: bytes) -> None:
    req = sockets.program_req(stage.context, stage.shell.endpoint, FACULTY, OPEN)
    req.send(garbage)
    assert req.poll(5_000), "it is answered without any server"
    answer = parse(req.recv()).items[0]
    assert (answer["status"], answer["code"]) == ("INVALID", "BAD_FIELD")
    req.close()
    stage.a.is_active = True
    reply = stage.ask("t1")
    stage.play_until(reply.done)
    assert result(reply).status == "ACCEPTED"


def test_what_comes_together_leaves_together(tmp_path: Path) -> None:
    """The asynchronous pattern sends what one turn gathered as one array."""
    stage = Stage("async", tmp_path)
    try:
        replies = [stage.ask(f"t{n}") for n in range(8)]  # they wait for an active server …
        stage.play_until(lambda: stage.shell.core.in_flight == 8)
        stage.a.is_active = True  # … and its first beat sends them all
        stage.play_until(lambda: stage.a.heard)
        assert (len(stage.a.heard), stage.a.payloads) == (8, 1)
        stage.play_until(lambda: all(reply.done() for reply in replies))
    finally:
        stage.close()


def test_a_req_faculty_opens_no_more_connections_than_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Narrow(lbb_pattern.ReqUplink):
        def __init__(self, shell: FacultyShell) -> None:
            super().__init__(shell, connections_max=2)

    monkeypatch.setattr(lbb_pattern, "ReqUplink", Narrow)
    stage = Stage("lbb", tmp_path)
    try:
        stage.a.is_active = stage.a.is_mute = True
        replies = [stage.ask(f"t{n}") for n in range(8)]
        stage.play_until(lambda: len(stage.a.heard) >= 2)
        assert len(stage.a.peers) == 2
        stage.a.is_mute = False
        stage.play_until(lambda: all(reply.done() for reply in replies))
        assert {result(reply).status for reply in replies} == {"ACCEPTED"}
    finally:
        stage.close()


def test_a_result_for_a_program_that_left_is_counted(stage: Stage) -> None:
    stage.a.is_active = True
    gone = stage.shell.metrics.ignored
    asked = 0
    while not gone["program_gone"]:  # the router may notice a little later than the program leaves
        asked += 1
        stage.a.is_mute = True
        req = sockets.program_req(stage.context, stage.shell.endpoint, FACULTY, OPEN)
        req.send(wire.encode(ProgramRequest("Sistemas", 7, 2, None, f"t{asked}"), Encoding.JSON))
        stage.play_until(lambda: stage.shell.core.in_flight)
        req.close()
        stage.a.is_mute = False
        stage.play_until(lambda: not stage.shell.core.in_flight)
    assert stage.shell.core.results["ACCEPTED"] == asked
