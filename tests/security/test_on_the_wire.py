"""Somebody on every link reads nothing, changes nothing unseen, and gets nothing by saying again what he heard."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import zmq

from nodes import sockets
from nodes.security import principals
from nodes.security.curve import Curve
from nodes.wire.schema import ProgramRequest
from ops.observe import process_names
from ops.prove.tcp_relay import Relay, Way
from tests.process.running_cluster import metrics, wait_for
from tests.process.verdict import events_of
from tests.process.wire_client import MSGPACK, ack, dump, load, new_id, sol
from tests.security.doors import REQUESTS, refused
from tests.security.wiretap import FACULTY, Ask, Change, Tapped, Wiretap, doubled, flipped, tapped

ANSWER_MS = 20_000
CHANGED_WITHIN_S = 20
FACULTIES = (1, 2)
"""One of each pattern."""

GREETING = b"\xff" + bytes(7)
PROGRAM = "Programa a escondidas"
TERM = "semestre-a-escondidas"
FIELDS = (
    b"transaction_id", b"programa", b"semester", b"salones", b"confirm", b"ACCEPT", b"NODE {", b"heartbeat",
    b"beacon", b"Reserved", b"Confirmed", b"DEALER", b"ROUTER",
)  # fmt: skip
"""Of every kind of message, and what a connection says of itself."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tapped]:
    """The module's cluster."""
    with tapped(tmp_path_factory.mktemp("w") / "c", "curve") as started:
        yield started


def marks(cluster: Tapped) -> set[bytes]:
    """What somebody could read who understands what passes, once every faculty has asked for something."""
    found = {*FIELDS, PROGRAM.encode(), TERM.encode(), cluster.config.cluster_id.encode()}
    for faculty_id in FACULTIES:
        transaction_id = new_id()
        res = cluster.ask(faculty_id, ProgramRequest(PROGRAM, 3, 1, TERM, transaction_id))
        assert res.status == "ACCEPTED"
        name = cluster.config.faculty(faculty_id).name
        found |= {text.encode() for text in (transaction_id, name, *res.classrooms, *res.labs)}
    return found


def read(tap: Wiretap, what: set[bytes]) -> set[bytes]:
    """What of it is found in what was heard."""
    everything = b"\n".join(tap.heard().values())
    return {mark for mark in what if mark in everything}


def test_nothing_that_passes_can_be_read(cluster: Tapped) -> None:
    assert read(cluster.tap, marks(cluster)) == set()
    heard = cluster.tap.heard()
    asked = {link for link, _ in heard}
    assert asked == {("program", "faculty"), *((one, other) for one in "abc" for other in "abw" if one != other)} - {
        ("c", "w")
    }, "every link was listened to"
    assert all(b"CURVE" in said for said in heard.values())
    assert all(b"MESSAGE" in heard[link, Way.UP] for link in asked), "after the handshakes something was said"


def test_without_security_everything_that_passes_can_be_read(tmp_path: Path) -> None:
    """That the test above finds nothing is not for want of looking."""
    with tapped(tmp_path / "c", "none") as cluster:
        what = marks(cluster)
        wait_for(lambda: read(cluster.tap, what) == what, "every mark read")


CHANGES: dict[str, tuple[str, str, Way, int]] = {
    "a faculty's request": ("clients", "active", Way.UP, 64),
    "a server's answer": ("clients", "active", Way.DOWN, 400),
    "what a backup acknowledges": ("passive", "active", Way.UP, 64),
    "what a primary publishes": ("passive", "active", Way.DOWN, 64),
    "what a server tells the witness": ("active", "witness", Way.UP, 64),
    "what the witness answers": ("active", "witness", Way.DOWN, 64),
}
"""Who asked, whom, in which direction, and the least length: an answer with many rooms is longer than any beat."""


@pytest.mark.parametrize("faculty_id", FACULTIES)
@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_byte_is_not_delivered_and_the_request_has_one_result(
    cluster: Tapped, what: str, faculty_id: int
) -> None:
    asker, asked, way, bytes_min = CHANGES[what]
    points = {"clients": "c", "witness": "w", "active": cluster.active(), "passive": cluster.passive()}
    malformed, transaction_id = _malformed(cluster), new_id()
    cluster.tap.change_next(Ask((points[asker], points[asked]), way, bytes_min, flipped))
    res = cluster.ask(faculty_id, ProgramRequest("Tocada", 30, 0, new_id(), transaction_id))
    assert res.status == "ACCEPTED"
    assert cluster.tap.changed.wait(CHANGED_WITHIN_S)
    assert cluster.ask(faculty_id, ProgramRequest("Intacta", 1, 0, new_id())).status == "ACCEPTED"
    events = events_of(cluster.config.server(cluster.active()).data, transaction_id)
    assert [event["type"] for event in events] == ["Reserved", "Confirmed"]
    assert _malformed(cluster) == malformed
    wait_for(lambda: _in_sync(cluster), "both servers in sync")


def _in_sync(cluster: Tapped) -> bool:
    active = cluster.active()
    return metrics(cluster.config.server(active).http)[f'rsm_in_sync{{node="{active}"}}'] == 2


def _malformed(cluster: Tapped) -> float:
    """Messages that arrived and were none."""
    https = process_names(cluster.config).values()
    whys = ("malformed", "bad frames", "bad_frames", "bad field", "bad_field", "bad_beat")
    return sum(metrics(http).get(f'rsm_ignored_total{{why="{why}"}}', 0) for http in https for why in whys)


class Recorded:
    """A faculty of ours at the active server, with somebody in between; `said` is what it said, on so many connections,
    `change` what is made of the next of it."""

    def __init__(self, cluster: Tapped, stack: ExitStack) -> None:
        self.said = b""
        self.connections = 0
        self.change: Change = bytes
        active = cluster.active()
        self.port = int(cluster.config.server(active).requests.rpartition(":")[2])
        relay = Relay(self.port, self._pass)
        stack.callback(relay.close)
        context = stack.enter_context(sockets.context())
        own = Curve(cluster.config.keys, FACULTY, [server.name for server in cluster.config.servers])
        self.socket = sockets.request_dealer(context, f"tcp://127.0.0.1:{relay.port}", principals.server(active), own)
        stack.callback(self.socket.close)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Its answer."""
        assert self.socket.poll(ANSWER_MS, zmq.POLLOUT)
        self.socket.send_multipart([b"", dump(message, MSGPACK)])
        assert self.socket.poll(ANSWER_MS)
        (answer,) = load(self.socket.recv_multipart()[-1])
        return answer

    def _pass(self, way: Way, said: bytes) -> bytes:
        if way is Way.DOWN:
            return said
        self.said += said
        self.connections += said.startswith(GREETING)
        change, self.change = self.change, bytes
        return change(said)


@pytest.fixture
def recorded(cluster: Tapped) -> Iterator[Recorded]:
    """Gone after the test."""
    with ExitStack() as stack:
        yield Recorded(cluster, stack)


def test_what_was_recorded_says_nothing_when_it_is_said_again(cluster: Tapped, recorded: Recorded) -> None:
    request = sol(new_id(), 2, 1)
    assert recorded.ask(request)["tipo"] == "PROP"
    assert recorded.ask(ack(request))["status"] == "ACCEPTED"
    http = cluster.config.server(cluster.active()).http
    seq, duplicates, counts = cluster.head(), _duplicates(http), refused(http, REQUESTS)
    with closing(socket.create_connection(("127.0.0.1", recorded.port), timeout=20)) as replay:
        replay.sendall(recorded.said)
        while replay.recv(4_096):  # the greeting and the first step of a handshake: then it is cut off
            continue
    wait_for(lambda: refused(http, REQUESTS) != counts, "it is counted")
    assert sum(refused(http, REQUESTS).values()) == sum(counts.values()) + 1
    assert (cluster.head(), _duplicates(http)) == (seq, duplicates)
    assert recorded.ask(request)["status"] == "ACCEPTED", "whoever it was recorded from goes on"


def test_what_is_said_twice_on_a_connection_is_heard_once(cluster: Tapped, recorded: Recorded) -> None:
    first, second = sol(new_id(), 2, 1), sol(new_id(), 1, 0)
    assert recorded.ask(first)["tipo"] == "PROP"
    http = cluster.config.server(cluster.active()).http
    duplicates, connections = _duplicates(http), recorded.connections
    recorded.change = doubled
    recorded.socket.send_multipart([b"", dump(second, MSGPACK)])
    wait_for(lambda: recorded.connections > connections, "the connection was cut off, and is made anew")
    assert recorded.ask(ack(first))["tipo"] in ("PROP", "RES"), "the answer to what was said twice, or to this"
    assert _duplicates(http) == duplicates


def _duplicates(http: str) -> float:
    return metrics(http)["aulario_duplicates_total"]
