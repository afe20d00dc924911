"""Frames that no client should send: refused or dropped, counted, and nobody else notices."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import msgpack
import pytest
import zmq

from tests.process.running_cluster import RunningCluster, ignored, metrics, wait_for
from tests.process.verdict import Journal
from tests.process.wire_client import JSON, MSGPACK, Clients, Dealer, ack, dump, new_id, sol

SEED = 20_251
FRAMES = 200


def _serves(running: RunningCluster, clients: Clients, journal: Journal, term: str) -> bool:
    """A well-behaved client of each pattern gets its rooms."""
    for pattern in ("async", "lbb"):
        client, request = clients.peer(pattern, running.active()["requests"]), sol(term, 1, 0)
        assert client.ask(request)["tipo"] == "PROP"
        assert journal.saw(request["faculty_id"], client.ask(ack(request)))["status"] == "ACCEPTED"
    return True


def _random(drawn: random.Random) -> list[bytes]:
    return [b"", drawn.randbytes(drawn.randrange(1, 300))]


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: dict[str, Callable[[random.Random], list[bytes]]] = {
    "random bytes": _random,
    "no payload": lambda _: [b""],
    "no delimiter": lambda _: [dump(sol("t", 1, 0), JSON)],
    "five frames": lambda _: [b"", b"a", b"b", b"c", dump(sol("t", 1, 0), JSON)],
    "an oversized message": lambda _: [b"", b'{"tipo":"SOL","x":"' + b"x" * (64 << 10) + b'"}'],
    "an array of 1001": lambda _: [b"", dump([sol("t", 1, 0)] * 1_001, MSGPACK)],
    "a JSON array of 1001": lambda _: [b"", dump([{"tipo": "ACK"}] * 1_001, JSON)],
    "deep brackets": lambda _: [b"", b"[" * 50_000],
    "deep msgpack": lambda _: [b"", b"\x91" * 50_000],
    "an empty payload": lambda _: [b"", b""],
    "a number": lambda _: [b"", b"\x05"],
    "half a message": lambda _: [b"", dump(sol("t", 1, 0), MSGPACK)[:-5]],
    "61 kB of empty maps": lambda _: [b"", b"\x81\xa1x\xdc\xf0\x00" + b"\x80" * 0xF000],
    "no transaction id": lambda _: [b"", msgpack.packb({"tipo": "SOL"})],
    "not UTF-8": lambda _: [b"", b'{"tipo":"\xff\xfe"}'],
}


@pytest.mark.parametrize("kind", ["DEALER", "REQ"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_frames_are_counted_and_service_goes_on(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, hostile: str, kind: str
) -> None:
    server, drawn = running.active(), random.Random(SEED)
    before, seq = ignored(server["http"]), server["seq"]
    sent = 1 if kind == "REQ" else 20 if hostile != "random bytes" else FRAMES
    peer = clients.peer("lbb" if kind == "REQ" else "async", server["requests"])
    for _ in range(sent):
        frames = HOSTILE[hostile](drawn)
        if kind == "REQ":
            peer.socket.send_multipart(frames[1:] or [b""])  # the socket itself puts the delimiter in front
        else:
            peer.socket.send_multipart(frames)
    counted = sent if (kind, hostile) != ("REQ", "no delimiter") else 1
    wait_for(lambda: ignored(server["http"]) >= before + counted, f"{counted} counted ({hostile}, seed {SEED})")
    assert running.active()["seq"] == seq, "nothing of it is in the log"
    assert _serves(running, clients, journal, term)
    assert running.active()["pid"] == server["pid"]


@pytest.mark.parametrize("depth", [4, 60])
@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
def test_what_can_be_answered_is_answered(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, encoding: str, depth: int
) -> None:
    server = running.active()
    client, before = clients.dealer(server["requests"], encoding), ignored(server["http"])
    nested = client.ask(sol(term, 1, 0, extra=_nested(depth)))
    long = client.ask(sol(term, 1, 0, extra="x" * 201))
    large = client.ask(sol(term, 1, 0, extra="x" * (64 << 10)))
    assert [one["status"] for one in (nested, long, large)] == ["INVALID"] * 3
    assert ignored(server["http"]) >= before + 3
    assert _serves(running, clients, journal, term)


def test_a_frame_beyond_any_limit_costs_its_sender_the_connection_and_nobody_else_anything(
    running: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    server = running.active()
    client = clients.dealer(server["requests"])
    client.send_payload(b"x" * (4 << 20))
    assert _serves(running, clients, journal, term)
    assert running.active()["pid"] == server["pid"]


def test_a_faculty_takes_no_harm_either(
    running: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    for faculty in running.status()["faculties"]:
        before = ignored_by_faculty(faculty["http"])
        hostile = clients.dealer(faculty["endpoint"])
        for frames in ([b"", b"\xff"], [b"x", b"y", b"z", b"w"], [b"no delimiter"], [b"", b"[" * 60_000]):
            hostile.socket.send_multipart(frames)
        wait_for(partial(_has_ignored, faculty["http"], before + 4), "all four counted")
        res = clients.req(faculty["endpoint"], JSON).ask({"programa": "", "salones": 1, "laboratorios": 0})
        assert (res["status"], res["code"]) == ("INVALID", "BAD_FIELD")
        asked = {"programa": "Buena", "salones": 1, "laboratorios": 0, "semestre": term, "transaction_id": new_id()}
        assert journal.saw(faculty["id"], clients.request(faculty["endpoint"], asked))["status"] == "ACCEPTED"


def _has_ignored(http: str, count: float) -> bool:
    return ignored_by_faculty(http) >= count


def ignored_by_faculty(http: str) -> float:
    """Everything a faculty dropped so far."""
    return sum(value for name, value in metrics(http).items() if "ignored_total" in name)


def test_a_stranger_that_never_reads_stops_nobody(
    running: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    """Its answers are dropped once its queue is full; the others are served."""
    deaf: Dealer = clients.dealer(running.active()["requests"])
    deaf.socket.set(zmq.RCVHWM, 1)
    request = sol(term, 1, 0)
    for _ in range(3_000):
        deaf.send(request)
    assert _serves(running, clients, journal, term)
