"""A server's door for faculties on real sockets, before a simulated replica: whom it hears and whom it answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import zmq

from nodes import sockets
from nodes.config.cluster import Limits
from nodes.security import principals, refusals, roles
from nodes.security.authenticator import Authenticator
from nodes.security.curve import Curve
from nodes.security.door import PEER_GONE, Door
from nodes.security.keys import new_keys, remove_allowed, save_allowed
from nodes.security.secret_keys import save_secret
from nodes.server.broker import Broker
from nodes.server.frontend import Frontend
from nodes.shell import Loop
from nodes.sockets import Socket
from tests.unit.nodes.simulated_door import CIE, ENDPOINTS, LIB, SOL, msgpack
from tests.unit.nodes.simulated_door import Door as SimulatedDoor

SERVER, FACULTY, OTHER = principals.server("a"), principals.faculty(3), principals.faculty(4)
OPERATOR = principals.principal("operator:ana")


class Workers:
    """Nobody needs them: nobody here speaks as a REQ peer."""

    def is_full(self, size_bytes: int) -> bool:
        raise AssertionError(f"nobody has {size_bytes} bytes for a worker")

    def dispatch(self, now_us: int) -> None:
        """No job waits."""


class House:
    """A frontend whose replica takes no turn of its own; it is its loop's participant. Nobody enters until `admit`."""

    def __init__(self, keys: Path) -> None:
        self.keys = keys
        for one in (SERVER, FACULTY, OTHER, OPERATOR):
            self.make(one)
        self.context, self.loop, self.peers = sockets.context(), Loop(), sockets.context()
        self.security = Curve(keys, SERVER, "ab")
        self.authenticator = Authenticator(self.security, self.loop, self.context)
        self.simulated = SimulatedDoor()
        self.servers = self.simulated.servers
        self.frontend = Frontend(
            self.servers.replica("a"),
            cast(Broker, Workers()),
            self.simulated.metrics,
            requests_of=ENDPOINTS.get,
            workers_for_all=False,
            keep_timings=lambda measured: None,
            limits=Limits(),
        )
        router = sockets.request_router(self.context, "tcp://127.0.0.1:*", self.security)
        self.endpoint = sockets.bound_endpoint(router)
        self.frontend.door = Door(
            roles.REQUESTS, router, self.authenticator, self.loop, self.context, self.frontend.on_ready
        )
        self.made: list[Socket] = []

    def make(self, one: principals.Principal) -> None:
        keys = new_keys(one, f"2026-01-31T12:00:{len(list(self.keys.rglob('*'))):02d}Z")
        save_secret(self.keys, keys)
        save_allowed(self.keys, keys.public)

    def deadline(self) -> int:
        return self.authenticator.deadline()

    def on_turn(self, now: object) -> None:
        """Nothing is admitted."""

    def call(self, own: principals.Principal) -> Socket:
        made = sockets.request_dealer(self.peers, self.endpoint, SERVER, Curve(self.keys, own, "ab"))
        self.made.append(made)
        return made

    def say(self, own: principals.Principal, payload: bytes) -> Socket:
        """It waits at the door."""
        peer, before = self.call(own), self.waiting
        while not peer.poll(1, zmq.POLLOUT):
            self.loop.turn(self)
        peer.send_multipart((b"", payload))
        while self.waiting == before:
            self.loop.turn(self)
        return peer

    @property
    def waiting(self) -> int:
        return self.frontend._core._admission.bytes

    def admit(self) -> None:
        """And carry out what follows, but for what is said in the end."""
        self.servers.run(lambda: self.frontend.admit(self.servers.now))
        for answers in self.servers.answers:
            self.frontend.on_answers(answers, self.servers.now)

    def revoke(self, one: principals.Principal) -> None:
        """As the authenticator does when it is time."""
        remove_allowed(self.keys, one)
        self.security.allow_list.refresh()
        self.frontend.door.end_revoked()

    def refused(self) -> int:
        return self.authenticator.refusals.counts[roles.REQUESTS, refusals.REVOKED]

    def close(self) -> None:
        for socket in self.made:
            socket.close()
        self.frontend.door.close()
        self.authenticator.close()
        self.loop.close()
        self.context.term()
        self.peers.term()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_what_a_key_said_that_was_revoked_while_it_waited_is_not_carried_out(house: House) -> None:
    house.say(FACULTY, msgpack(SOL))
    house.say(OTHER, msgpack(SOL._replace(transaction_id="t2", faculty_id=4)))
    house.revoke(FACULTY)
    house.admit()
    answered = [answer.transaction_id for one in house.servers.answers for _, answer, _ in one.answers]
    assert answered == ["t2"]
    assert house.refused() == 1


def test_an_operator_is_heard_and_has_one_backlog_for_all_its_connections(house: House) -> None:
    house.say(FACULTY, msgpack(SOL))
    house.admit()
    house.servers.answers.clear()
    for message in (CIE, LIB):
        house.say(OPERATOR, msgpack(message))
    assert house.frontend._core._admission.identities == 2
    house.admit()
    answered = [answer.status for one in house.servers.answers for _, answer, _ in one.answers]
    assert answered == ["ACCEPTED", "INVALID"]
    assert house.authenticator.refusals.counts[roles.REQUESTS, refusals.IDENTITY] == 0


def test_what_is_ready_for_a_key_that_was_revoked_is_not_said(house: House) -> None:
    peer = house.say(FACULTY, msgpack(SOL))
    house.admit()
    house.revoke(FACULTY)
    house.frontend.flush(house.servers.now)
    assert house.refused() == 1
    assert not peer.poll(100)


def test_what_is_ready_for_a_connection_that_has_ended_is_counted(house: House) -> None:
    peer = house.say(FACULTY, msgpack(SOL))
    house.admit()
    peer.close()
    while house.frontend.door._sessions:
        house.loop.turn(house)
    house.frontend.flush(house.servers.now)
    assert house.frontend.ignored[PEER_GONE] == 1


def test_connections_of_one_principal_are_one_whatever_keys_it_has(house: House) -> None:
    house.say(FACULTY, msgpack(SOL))
    house.say(FACULTY, msgpack(SOL._replace(transaction_id="t2")))
    house.make(FACULTY)
    house.security.allow_list.refresh()
    house.say(FACULTY, msgpack(SOL._replace(transaction_id="t3")))
    keys = {session.user_id for session in house.frontend.door._sessions.values()}
    assert len(keys) == 2
    assert house.frontend._core._admission.identities == 1


def test_who_sent_the_most_is_named_by_his_principal_as_long_as_that_is_news(house: House) -> None:
    """What the log says of an overload."""
    assert house.frontend.sent_most() == {}
    little, much = msgpack(SOL), msgpack(SOL, SOL._replace(transaction_id="t2"))
    house.say(OTHER, little)
    house.say(FACULTY, much)
    assert house.frontend.sent_most() == {"sent_most": "faculty:3", "sent_bytes": len(much)}
    house.frontend.tally_anew()
    assert house.frontend.sent_most() == {}
