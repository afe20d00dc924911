"""The doors of a running cluster: where they are, whose, what one says there, and what their processes count."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import zmq

from es.replication.messages import Fetch, Heartbeat, Member, Message, pack
from ops.cluster_dir import log_directory
from tests.process.running_cluster import RunningCluster, metrics
from tests.process.wire_client import JSON, MSGPACK, dump, new_id, sol

REQUESTS, HEARTBEATS, BATCHES, BEACONS, REPAIR, WITNESS, PROGRAMS = DOORS = (
    "requests", "heartbeats", "batches", "beacons", "repair", "witness", "programs",
)  # fmt: skip
SUBSCRIBED: Final = (HEARTBEATS, BATCHES, BEACONS)
"""Doors where one only listens."""

GARBAGE: Final = b"\xc1 no message"
HANDLED: Final = ("rsm_ignored_total", "rsm_head_seq", "rsm_epoch", "rsm_register_changes", "aulario_")
UNHANDLED: Final = ("aulario_request_seconds", "aulario_outage_seconds", "aulario_inflight")
"""Beginnings of the names of metrics that move when a message was handled; durations of polite ones are none."""

_REFUSED: Final = re.compile(r'rsm_auth_refused_total\{reason="(\w+)",socket="(\w+)"\}')


class Place(NamedTuple):
    """A door of a cluster. `owner` is the principal that listens there, `admitted` one who may come."""

    door: str
    endpoint: str
    owner: str
    http: str
    log: Path
    admitted: str
    said: tuple[bytes, ...]
    """A message that is answered or at least counted if it gets through."""

    @property
    def socket_type(self) -> int:
        """Of whoever comes."""
        return zmq.SUB if self.door in SUBSCRIBED else zmq.DEALER

    def refused(self) -> Mapping[str, int]:
        """How many peers and messages this door has refused, by reason."""
        return refused(self.http, self.door)


def refused(http: str, door: str) -> Mapping[str, int]:
    """How many peers and messages a process has refused at one of its doors, by reason."""
    found = ((_REFUSED.fullmatch(name), value) for name, value in metrics(http).items())
    return Counter({match[1]: int(value) for match, value in found if match and match[2] == door})


def places(running: RunningCluster) -> Mapping[str, Place]:
    """Every kind of door, by name: those of the active server, the witness's, and that of faculty 1."""
    config = running.config
    active, faculty = config.server(running.active()["name"]), config.faculty(1)
    (other,) = [server.name for server in config.servers if server != active]
    logs = log_directory(running.directory)
    cluster_id, replaced, peer = config.cluster_id, Member(other, "another disk"), f"server:{other}"
    asked = {"programa": "Extraña", "salones": 1, "laboratorios": 0, "transaction_id": new_id()}

    def of_server(door: str, admitted: str, *said: bytes) -> Place:
        endpoint, log = getattr(active, door), logs / f"server-{active.name}.log"
        return Place(door, endpoint, f"server:{active.name}", active.http, log, admitted, said)

    found = (
        of_server(REQUESTS, "faculty:502", b"", dump(sol("extraño", 1, 0, faculty_id=502), MSGPACK)),
        of_server(HEARTBEATS, "auditor:local"),
        of_server(BATCHES, peer),
        of_server(BEACONS, peer),
        of_server(REPAIR, peer, pack(Fetch(cluster_id, 1, replaced, 0, bytes(32)))),
        Place(WITNESS, config.witness.endpoint, "witness", config.witness.http, logs / "witness.log", peer,
              (pack(Heartbeat(cluster_id, 1, replaced)),)),
        Place(PROGRAMS, faculty.endpoint, "faculty:1", faculty.http, logs / "faculty-1.log", "program:1/*",
              (b"", dump(asked, JSON))),
    )  # fmt: skip
    return {place.door: place for place in found}


def handled(running: RunningCluster) -> Mapping[str, float]:
    """What the active server, the witness and faculty 1 count of what they handle, and where the log ends."""
    https = (running.active()["http"], running.config.witness.http, running.config.faculty(1).http)
    return {
        f"{http} {name}": value
        for http in https
        for name, value in metrics(http).items()
        if name.startswith(HANDLED) and not name.startswith(UNHANDLED)
    }


def told(place: Place) -> list[dict[str, Any]]:
    """The refusals at this door that its process has logged."""
    lines = [json.loads(line) for line in place.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "peer refused" and line["socket"] == place.door]


def packed(*messages: Message) -> list[bytes]:
    """Messages between servers and witness, encoded."""
    return [pack(message) for message in messages]
