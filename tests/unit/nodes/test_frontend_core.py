"""The pure core of a server's door: payloads in, commands to the kernel, payloads out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes import wire
from nodes.frontend_core import FrontendCore
from nodes.server_metrics import ServerMetrics
from nodes.wire_encoding import Encoding, whole
from nodes.wire_schema import Res
from nodes.worker_jobs import decode_job, encode_job
from ops.sim.small_rooms import HOLD_MS
from projections.rooms.commands import Answer, Proposal, Reserve
from tests.unit.nodes.simulated_server import SimulatedServers

ENDPOINTS = {"a": "tcp://127.0.0.1:5555", "b": "tcp://127.0.0.1:5565"}
SOL = Reserve("t1", 3, "Ingeniería", 1, "Sistemas", "2026-1", 2, 1)
ACK = Answer("t1", None, True)


class Door:
    """The door of one simulated server. It is its own pool of workers, whose jobs wait until `work`."""

    full = False

    def __init__(self, name: str = "a", workers_for_all: bool = False) -> None:
        self.servers = SimulatedServers()
        replica = self.servers.replica(name)
        self.metrics = ServerMetrics(name, replica, lambda: 0)
        self.core = FrontendCore(
            replica, self, self.metrics, requests_of=ENDPOINTS.__getitem__, workers_for_all=workers_for_all
        )
        self.jobs: list[Callable[[], None]] = []

    def decode(self, payload: bytes, done: Callable[..., None]) -> None:
        self.jobs.append(lambda: done(*decode_job(payload), self.servers.now))

    def encode(self, encoding: str, answers: list[tuple[Any, ...]], done: Callable[..., None]) -> None:
        self.jobs.append(lambda: done(encode_job(encoding, tuple(answers)), self.servers.now))

    def say(self, *payloads: bytes, route: bytes = b"r", pattern: str = "async") -> None:
        def receive() -> None:
            for payload in payloads:
                self.core.on_payload(route, pattern, payload, self.servers.now)

        self.servers.run(receive)
        self.release()

    def work(self) -> None:
        jobs, self.jobs = self.jobs, []
        self.servers.run(lambda: [job() for job in jobs])
        self.release()

    def release(self) -> None:
        """Hand what the kernel gave to the core, as the shell does."""
        for answers in self.servers.answers:
            self.core.on_answers(answers, self.servers.now)
        for committed in self.servers.committed:
            self.core.on_committed(committed.batches)
        self.servers.answers.clear()
        self.servers.committed.clear()

    def hear(self) -> list[tuple[bytes, list[Any]]]:
        return [(route, wire.decode_answers(payload).messages) for route, payload in self.core.flush()]


def msgpack(*messages: Reserve | Answer) -> bytes:
    return whole([wire.encode(message, Encoding.MSGPACK) for message in messages], Encoding.MSGPACK)


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_sol_is_answered_by_its_proposal_and_an_ack_by_its_result(door: Door) -> None:
    door.say(msgpack(SOL))
    [(route, [proposal])] = door.hear()
    assert isinstance(proposal, Proposal)
    assert (route, len(proposal.classrooms), len(proposal.labs)) == (b"r", 2, 1)
    door.say(msgpack(ACK._replace(faculty_id=3)))
    [(_, [res])] = door.hear()
    assert (res.status, res.classrooms, res.receipt.copies) == ("ACCEPTED", proposal.classrooms, 2)


def test_an_ack_without_faculty_means_the_one_that_spoke_on_its_connection(door: Door) -> None:
    door.say(msgpack(SOL), route=b"three")
    door.say(msgpack(SOL._replace(faculty_id=4)), route=b"four")
    door.hear()
    door.say(msgpack(ACK), route=b"four")
    door.say(msgpack(ACK), route=b"three")
    assert [(route, res.status) for route, [res] in door.hear()] == [(b"four", "ACCEPTED"), (b"three", "ACCEPTED")]


def test_who_does_not_lead_names_who_does() -> None:
    door = Door("b")
    door.core.on_payload(b"r", "async", msgpack(SOL), door.servers.now)
    [(_, [res])] = door.hear()
    assert (res.status, res.code, res.active) == ("UNAVAILABLE", "NOT_ACTIVE", ENDPOINTS["a"])


def test_who_speaks_in_arrays_is_answered_in_arrays_and_in_its_encoding(door: Door) -> None:
    door.say(msgpack(SOL, SOL._replace(transaction_id="t2")))
    [(_, answers)] = door.hear()
    assert [answer.transaction_id for answer in answers] == ["t1", "t2"]
    door.say(wire.encode(SOL, Encoding.JSON), wire.encode(SOL, Encoding.JSON))
    payloads = [payload for _, payload in door.core.flush()]
    assert len(payloads) == 2
    assert all(payload.startswith(b"{") for payload in payloads)


@pytest.mark.parametrize("workers_for_all", [False, True])
def test_a_req_peer_is_served_by_workers_and_gets_all_its_answers_in_one_payload(workers_for_all: bool) -> None:
    door = Door(workers_for_all=workers_for_all)
    pattern = "async" if workers_for_all else "lbb"
    door.say(msgpack(SOL, SOL._replace(transaction_id="t2")), pattern=pattern)
    assert (len(door.jobs), door.hear()) == (1, [])
    door.work()
    assert (len(door.jobs), door.hear()) == (1, [])
    door.work()
    [(_, answers)] = door.hear()
    assert [answer.transaction_id for answer in answers] == ["t1", "t2"]


def test_a_full_pool_of_workers_leaves_the_decoding_to_the_door(door: Door) -> None:
    door.full = True
    door.say(msgpack(SOL), pattern="lbb")
    assert len(door.jobs) == 1  # the answer is encoded


def test_what_is_malformed_is_answered_if_it_can_be_and_counted(door: Door) -> None:
    door.say(b'{"tipo":"SOL","transaction_id":"t1"}', b"\xc1")
    [(_, [res])] = door.hear()
    assert (res.status, res.code) == ("INVALID", "BAD_FIELD")
    assert (door.core.ignored["bad field"], door.core.ignored["not_encoded"]) == (1, 1)


def test_an_expiry_is_pushed_to_a_lasting_connection_only(door: Door) -> None:
    door.say(msgpack(SOL))
    door.say(msgpack(SOL._replace(transaction_id="t2")), pattern="lbb")
    door.work()
    door.work()
    door.hear()
    door.servers.cluster.run_for(2 * HOLD_MS * 1_000)
    door.release()
    [(route, [res])] = door.hear()
    assert isinstance(res, Res)
    assert (route, res.transaction_id, res.status, res.code) == (b"r", "t1", "CANCELED", "ACK_TIMEOUT")
    assert res.receipt is not None
    assert door.metrics.holds_expired == 2


def test_alerts_are_given_once_they_have_committed(door: Door) -> None:
    door.servers.run(door.core.on_payload, b"r", "async", msgpack(SOL._replace(labs=9)), door.servers.now)
    alerts = [alert for one in door.servers.committed for alert in door.core.on_committed(one.batches)]
    assert [(alert.code, alert.term) for alert in alerts] == [("LABS_EXHAUSTED", "2026-1")]
    assert door.metrics.alerts["LABS_EXHAUSTED"] == 1
