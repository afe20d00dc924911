"""Keys are revoked and rotated while a cluster runs: sessions of revoked keys end and others do not; after a rotation
everybody finds everybody again, nothing is restarted and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq

from ops.cluster_dir import read_processes
from tests.process.running_cluster import RunningCluster, aulario, wait_for
from tests.process.verdict import Journal
from tests.process.wire_client import Clients, ack, sol
from tests.process.wire_keys import WireKeys
from tests.security.doors import HEARTBEATS, PROGRAMS, REQUESTS, SUBSCRIBED, WITNESS, places
from tests.security.steady import Steady, steady
from tests.security.visitors import Socket, Visitors

BEAT_MS = 20_000
KNOWN_AGAIN_MS = 1_000
RESULTS = 5


def keys(running: RunningCluster, *arguments: str) -> None:
    """A person changes keys."""
    done = aulario("keys", *arguments, "--dir", running.directory)
    assert done.returncode == 0, done.stderr


@contextmanager
def ends_of(socket: Socket) -> Iterator[Socket]:
    """Tells when a connection of that socket is over."""
    events = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    try:
        yield events
    finally:
        socket.disable_monitor()
        events.close()


def drained(subscriber: Socket) -> bool:
    """Whether anything came; nothing is left of it."""
    came = False
    while subscriber.poll(0):
        subscriber.recv_multipart()
        came = True
    return came


def test_a_revoked_session_ends_and_the_others_go_on(
    running: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    place, wire_keys = places(running)[REQUESTS], WireKeys(running)
    revoked, other = clients.dealer(place.endpoint), clients.dealer(place.endpoint)
    revoked.socket.disconnect(place.endpoint)
    wire_keys.give(revoked.socket, place.owner, "faculty:502")
    revoked.socket.connect(place.endpoint)
    theirs, own = sol(term, 1, 0, faculty_id=502), sol(term, 1, 0)
    assert revoked.ask(theirs)["tipo"] == "PROP"
    assert other.ask(own)["tipo"] == "PROP"
    refused, seq = place.refused(), running.active()["seq"]
    with ends_of(other.socket) as ends:
        keys(running, "revoke", "faculty:502")
        wait_for(lambda: place.refused()["unknown_key"] > refused["unknown_key"], "it was cut off and came again")
        revoked.send(ack(theirs))
        assert running.active()["seq"] == seq
        assert journal.saw(501, other.ask(ack(own)))["status"] == "ACCEPTED"
        assert not revoked.everything()
        assert not ends.poll(0), "the other one's connection is still the same"


def test_a_revoked_subscriber_hears_no_more_and_the_others_do(running: RunningCluster, visitors: Visitors) -> None:
    place = places(running)[HEARTBEATS]
    revoked, other = visitors.come_as("operator:ana", place), visitors.come_as("auditor:local", place)
    for subscriber in (revoked, other):
        assert subscriber.poll(BEAT_MS)
    with ends_of(revoked) as ends:
        keys(running, "revoke", "operator:ana")
        assert ends.poll(BEAT_MS)
    drained(revoked)
    another = visitors.come_as("auditor:local", place)
    assert another.poll(BEAT_MS)
    assert not drained(revoked)


@pytest.mark.parametrize("owner", ["server:a", "server:b", "witness", "faculty:1"])
def test_a_key_is_rotated_while_transactions_run(
    running: RunningCluster, visitors: Visitors, journal: Journal, owner: str
) -> None:
    running.wait_ready()
    pids, former = read_processes(running.directory), WireKeys(running).public(owner)
    with steady(running.config, journal) as loads:
        await_results(loads)
        keys(running, "rotate", owner)
        assert WireKeys(running).public(owner) != former
        wait_for(lambda: is_known_by_its_new_key(running, visitors, owner), f"{owner} shows its new key")
        running.wait_ready()
        await_results(loads)
    assert read_processes(running.directory) == pids, "nobody was restarted"
    statuses = {res.status for load in loads for res in load.results}
    assert "ACCEPTED" in statuses
    assert statuses <= {"ACCEPTED", "DENIED"}, "definite, even if the term is full"


def is_known_by_its_new_key(running: RunningCluster, visitors: Visitors, owner: str) -> bool:
    """Whether somebody who expects the key that is allowed now is answered, or hears a beat."""
    door = {"witness": WITNESS, "faculty:1": PROGRAMS}.get(owner, HEARTBEATS)
    place = places(running)[door]
    if door in SUBSCRIBED:
        server = running.config.server(owner.partition(":")[2])
        place = place._replace(endpoint=server.heartbeats, owner=owner)
    return bool(visitors.come_as(place.admitted, place).poll(KNOWN_AGAIN_MS))


def await_results(loads: list[Steady]) -> None:
    """Every faculty's programs get some more."""
    counts = [len(load.results) + RESULTS for load in loads]
    wait_for(
        lambda: all(len(load.results) >= count for load, count in zip(loads, counts, strict=True)),
        f"{RESULTS} more results at every faculty",
    )
