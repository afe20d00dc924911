"""A faculty's door for programs, on real sockets with keys: what becomes of a key that is revoked meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from es.replication.instant import Instant
from nodes import sockets, wire
from nodes.config.cluster import one_host
from nodes.faculty.shell import FacultyShell
from nodes.security import principals, refusals, roles
from nodes.security.authenticator import Authenticator
from nodes.security.cluster_keys import ensure_keys
from nodes.security.curve import Curve
from nodes.security.keys import remove_allowed
from nodes.shell import Loop
from nodes.sockets import Socket
from nodes.wire.encoding import Encoding
from nodes.wire.schema import ProgramRequest
from ops.demo import free_base_port
from projections.rooms.commands import Answer, Reserve

FACULTY, PROGRAM = principals.faculty(1), principals.program(1, 1)


class Unheard:
    """An uplink to servers of which none is there."""

    def submit(self, transaction_id: str, server: str, message: Reserve | Answer) -> None:
        raise AssertionError("no server is followed")

    def abandon(self, transaction_id: str) -> None:
        """Nothing was sent."""

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """There is no socket."""


class House:
    """A faculty whose turns are taken by hand; it is its loop's participant, and only reads."""

    def __init__(self, directory: Path) -> None:
        config = one_host(directory, cluster_id="c", faculties=1, base_port=free_base_port())
        config = replace(config, faculties=(replace(config.faculties[0], programs={1: "Sistemas"}),))
        ensure_keys(config, (principals.server("a"), principals.server("b"), FACULTY, PROGRAM))
        self.keys = config.keys
        self.context, self.loop, self.programs = sockets.context(), Loop(), sockets.context()
        self.security = Curve(self.keys, FACULTY, "ab")
        self.authenticator = Authenticator(self.security, self.loop, self.context)
        self.shell = FacultyShell(
            config, config.faculty(1), "async", self.loop, self.context, self.authenticator, lambda shell: Unheard()
        )
        self.made: list[Socket] = []

    def deadline(self) -> None:
        return None

    def on_turn(self, now: Instant) -> None:
        """Nothing is admitted."""

    def ask(self) -> Socket:
        """It waits at the door."""
        peer = sockets.program_req(self.programs, self.shell.endpoint, FACULTY, Curve(self.keys, PROGRAM, "ab"))
        self.made.append(peer)
        request = ProgramRequest("Sistemas", 1, 0, None, "t")
        peer.send(wire.encode(request, Encoding.MSGPACK), zmq.NOBLOCK)
        while not self.shell._backlogs._admission.bytes:
            self.loop.turn(self)
        return peer

    def turn(self, later_us: int = 0) -> None:
        now = self.loop.clock()
        self.shell.on_turn(Instant(now.boot_us + later_us, now.wall_us + later_us))

    def revoke(self) -> None:
        """As the authenticator does when it is time."""
        remove_allowed(self.keys, PROGRAM)
        self.security.allow_list.refresh()
        self.shell._programs.end_revoked()

    def refused(self) -> int:
        return self.authenticator.refusals.counts[roles.PROGRAMS, refusals.REVOKED]

    def close(self) -> None:
        for socket in self.made:
            socket.close()
        self.shell.close()
        self.authenticator.close()
        self.loop.close()
        self.context.term()
        self.programs.term()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_what_a_program_asked_whose_key_was_revoked_while_it_waited_is_not_carried_out(house: House) -> None:
    house.ask()
    house.revoke()
    house.turn()
    assert house.shell.core.in_flight == 0
    assert house.refused() == 1


def test_an_answer_to_a_key_that_was_revoked_is_not_said(house: House) -> None:
    peer = house.ask()
    house.turn()
    assert house.shell.core.in_flight == 1
    house.revoke()
    house.turn(later_us=3_600_000_000)
    assert house.shell.core.in_flight == 0
    assert house.refused() == 1
    assert not peer.poll(100)
