"""What a server publishes about itself, and when."""

from __future__ import annotations

import pytest

from es.replication.instant import Instant
from nodes.server.heartbeats import ALIVE_US, Heartbeats
from nodes.wire.beats import Beat, decode_node_beat
from projections.rooms.commands import RaiseAlert
from projections.rooms.machine import NAME
from tests.unit.nodes.simulated_server import SimulatedServers

ENDPOINT = "tcp://127.0.0.1:5555"
INTERVAL_US = 50_000


@pytest.fixture
def servers() -> SimulatedServers:
    return SimulatedServers()


def heartbeats(servers: SimulatedServers, name: str, *, is_central: bool = True) -> Heartbeats:
    return Heartbeats(name, ENDPOINT, servers.replica(name), INTERVAL_US, is_central=is_central)


def later(now: Instant, us: int) -> Instant:
    return Instant(now.boot_us + us, now.wall_us + us)


def test_the_active_server_says_that_it_leads(servers: SimulatedServers) -> None:
    node_beat, alive_beat = heartbeats(servers, "a").due(servers.now)
    node = servers.replica("a").node
    beat = Beat("a", "primary", node.epoch, node.chain.head.seq, True, ENDPOINT, ("a", "b"))
    assert decode_node_beat(node_beat) == beat
    assert alive_beat.startswith(b"HB_ALIVE:PRIMARY ")


def test_a_passive_server_never_looks_alive_to_older_subscribers(servers: SimulatedServers) -> None:
    [frame] = heartbeats(servers, "b").due(servers.now)
    beat = decode_node_beat(frame)
    assert beat is not None
    assert (beat.node, beat.role, beat.active) == ("b", "backup", False)


def test_whoever_is_not_the_central_server_is_the_backup_whatever_its_role(servers: SimulatedServers) -> None:
    _, alive_beat = heartbeats(servers, "a", is_central=False).due(servers.now)
    assert alive_beat.startswith(b"HB_ALIVE:BACKUP ")


def test_a_beat_leaves_every_interval_and_the_older_one_every_second(servers: SimulatedServers) -> None:
    beats, now = heartbeats(servers, "a"), servers.now
    assert len(beats.due(now)) == 2
    assert beats.deadline() == now.boot_us + INTERVAL_US
    assert beats.due(later(now, INTERVAL_US - 1)) == []
    assert len(beats.due(later(now, INTERVAL_US))) == 1
    assert len(beats.due(later(now, ALIVE_US))) == 2


def test_a_change_of_role_is_said_at_once(servers: SimulatedServers) -> None:
    beats, now = heartbeats(servers, "a"), servers.now
    beats.due(now)
    assert beats.due(now) == []
    beats.hasten()
    assert len(beats.due(now)) == 1


def test_r9_an_active_server_whose_disk_hangs_is_silent(servers: SimulatedServers) -> None:
    beats, replica = heartbeats(servers, "a"), servers.replica("a")
    servers.cluster.stall("a", 2_000_000)
    servers.run(replica.submit, None, NAME, RaiseAlert("OVERLOAD", None), servers.now)
    servers.cluster.run_until(lambda: not replica.speaks(servers.now), 1_000_000, "a write that hangs")
    assert replica.active
    assert beats.due(servers.now) == []
    assert beats.deadline() > servers.now.boot_us
