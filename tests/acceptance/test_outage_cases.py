"""CP10: the connection between faculty and servers is cut and restored; the program gets one result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.config.cluster import ClusterConfig, FacultyConfig
from nodes.config.file import render
from nodes.security.cluster_keys import ensure_keys
from ops.prove.tcp_relay import Relay
from tests.process.running_cluster import RunningCluster, wait_for
from tests.process.verdict import Journal, events_of
from tests.process.wire_client import Clients, new_id

PATTERNS = ("async", "lbb")


class Outage:
    """A faculty whose every connection to the servers goes through relays, and those relays."""

    def __init__(self, faculty: FacultyConfig, requests: list[Relay], heartbeats: list[Relay]) -> None:
        self.faculty = faculty
        self.requests = requests
        self._all = [*requests, *heartbeats]

    def cut(self) -> None:
        """Nothing gets through, either way."""
        for relay in self._all:
            relay.cut()

    def restore(self) -> None:
        """All is well again."""
        for relay in self._all:
            relay.restore()


def _relay(stack: ExitStack, endpoint: str) -> tuple[Relay, str]:
    relay = Relay(int(endpoint.rpartition(":")[2]))
    stack.callback(relay.close)
    return relay, f"tcp://127.0.0.1:{relay.port}"


def _relayed(stack: ExitStack, config: ClusterConfig) -> tuple[ClusterConfig, list[Relay], list[Relay]]:
    requests, heartbeats, servers = [], [], []
    for server in config.servers:
        to_requests, requests_endpoint = _relay(stack, server.requests)
        to_heartbeats, heartbeats_endpoint = _relay(stack, server.heartbeats)
        requests.append(to_requests)
        heartbeats.append(to_heartbeats)
        servers.append(replace(server, requests=requests_endpoint, heartbeats=heartbeats_endpoint))
    return replace(config, servers=tuple(servers)), requests, heartbeats


@pytest.fixture(params=PATTERNS)
def outage(request: pytest.FixtureRequest, running: RunningCluster, tmp_path: Path) -> Iterator[Outage]:
    """A faculty of its own, of each pattern in turn, behind relays, that follows the active server."""
    with ExitStack() as stack:
        config, requests, heartbeats = _relayed(stack, running.config)
        base = running.base_port
        number = 90 + PATTERNS.index(request.param)
        faculty = replace(
            config.faculties[0], id=number, name=f"Facultad {request.param}", pattern=request.param,
            endpoint=f"tcp://127.0.0.1:{base + 100 + number}", http=f"http://127.0.0.1:{base + 9 - number % 2}",
            data=tmp_path / "faculty", programs={},
        )  # fmt: skip
        path = tmp_path / "relayed.toml"
        relayed = replace(config, faculties=(faculty,))
        ensure_keys(relayed)
        path.write_text(render(relayed, tmp_path))
        running.start_process("faculty", number, "--config", path)
        wait_for(
            lambda: running.wait_alive(faculty.http)["follows"] == running.active()["name"], "the faculty follows"
        )
        yield Outage(faculty, requests, heartbeats)
        running.stop_process()


@pytest.mark.parametrize("lost_after", ["SOL", "ACK"])
def test_cp10_the_answer_is_lost_the_line_goes_down_and_comes_back(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, outage: Outage, lost_after: str
) -> None:
    data = Path(running.active()["data"])
    transaction_id = new_id()
    for relay in outage.requests:
        relay.mute_after(lost_after.encode())
    program = clients.req(outage.faculty.endpoint)
    program.send({"programa": "Música", "salones": 7, "laboratorios": 2, "semestre": term,
                  "transaction_id": transaction_id})  # fmt: skip
    done = {"SOL": "Reserved", "ACK": "Confirmed"}[lost_after]
    wait_for(lambda: any(event["type"] == done for event in events_of(data, transaction_id)), f"{done} in the log")
    outage.cut()
    wait_for(lambda: running.wait_alive(outage.faculty.http)["follows"] is None, "the faculty knows of no server")
    outage.restore()

    (res,) = program.answers()
    journal.saw(outage.faculty.id, res)
    assert (res["transaction_id"], res["status"]) == (transaction_id, "ACCEPTED")
    reserved, confirmed = events_of(data, transaction_id)
    assert (reserved["type"], confirmed["type"]) == ("Reserved", "Confirmed")
    assert (reserved["body"]["classrooms"], reserved["body"]["labs"]) == (res["aulas"], res["laboratorios"])
    assert res["recibo"]["seq"] == confirmed["seq"]


def test_cp10_a_request_made_while_the_line_is_down_is_answered_when_it_is_up(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, outage: Outage
) -> None:
    outage.cut()
    wait_for(lambda: running.wait_alive(outage.faculty.http)["follows"] is None, "the faculty knows of no server")
    program = clients.req(outage.faculty.endpoint)
    transaction_id = new_id()
    program.send({"programa": "Música", "salones": 7, "laboratorios": 2, "semestre": term,
                  "transaction_id": transaction_id})  # fmt: skip
    wait_for(lambda: running.wait_alive(outage.faculty.http)["in_flight"] == 1, "the request waits at the faculty")
    outage.restore()
    (res,) = program.answers()
    journal.saw(outage.faculty.id, res)
    assert (res["transaction_id"], res["status"]) == (transaction_id, "ACCEPTED")
