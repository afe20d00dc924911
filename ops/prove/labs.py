"""Where a cluster is put so that its links can be cut: three hosts, or this one with relays in between.

    host a   server a          host b   server b          host c   witness, faculties, clients

A point is an end of links: `a`, `b`, `c`, and `w`, the witness, which has an address of its own on host c.
A link is directed: (source, target).

    bridge     namespaces on one bridge; links are cut in nftables' bridge family
    packets    namespaces on a switch in user space that loses, delays and repeats packets
    loopback   processes of this host, with a TCP relay for whoever asks and whomever is asked
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from nodes.config import ClusterConfig
from nodes.config_file import render
from ops.cluster_dir import prepare
from ops.demo import free_base_port
from ops.prove import network
from ops.prove.network import HOSTS, SWITCH, control_address, data_address, inside, namespace
from ops.prove.outcome import NotPermitted
from ops.prove.packets import Impairment
from ops.prove.tcp_relay import Relay, Way
from ops.supervisor import PLAIN, Surroundings

Link: TypeAlias = tuple[str, str]

POINTS: Final = ("a", "b", "w", "c")
WITNESS_ADDRESS: Final = "10.77.0.4"
_OF_SERVER: Final = ("requests", "heartbeats", "batches", "beacons", "repair")
_FOR_CLIENTS: Final = ("requests", "heartbeats")


class Lab(Protocol):
    """A place for one cluster. `config` is how host c sees it; HTTP is reached whatever is cut."""

    config: ClusterConfig

    def surroundings(self, process: str) -> Surroundings:
        """What to start a process in."""
        ...

    def on(self, host: str) -> AbstractContextManager[None]:
        """The block's sockets and threads are that host's."""
        ...

    def seen_from(self, host: str) -> ClusterConfig:
        """The cluster's endpoints as that host reaches them."""
        ...

    def cut(self, links: Collection[Link]) -> None:
        """From now on nothing passes on these links, and all on the others."""
        ...

    def impair(self, impairment: Impairment) -> None:
        """From now on this happens to every packet of every link."""
        ...

    def lost(self) -> int | None:
        """Packets that the lab has taken away so far; None where it does not see packets."""
        ...


OpenLab: TypeAlias = Callable[[Path, str, int], AbstractContextManager[Lab]]
"""Given a directory, a profile of timings and how many faculties."""


def host_of(process: str) -> str:
    """Where a process runs, by its name."""
    return process.removeprefix("server-") if process.startswith("server-") else "c"


class _Namespaces:
    """What both labs of namespaces share: hosts of their own with the usual ports."""

    def __init__(self, directory: Path, profile: str, faculties: int) -> None:
        config = prepare(directory, faculties=faculties, overrides={"timing.profile": profile})
        servers = []
        for server in config.servers:
            data = {key: _at(getattr(server, key), data_address(server.name)) for key in _OF_SERVER}
            servers.append(replace(server, **data, http=_at(server.http, control_address(server.name))))
        witness, control = config.witness, control_address("c")
        self.config = replace(
            config,
            servers=tuple(servers),
            witness=replace(
                witness, endpoint=_at(witness.endpoint, WITNESS_ADDRESS), http=_at(witness.http, control)
            ),
            faculties=tuple(
                replace(
                    faculty, endpoint=_at(faculty.endpoint, data_address("c")), http=_at(faculty.http, control)
                )
                for faculty in config.faculties
            ),
        )

    def surroundings(self, process: str) -> Surroundings:
        """See Lab."""
        return Surroundings(prefix=("ip", "netns", "exec", namespace(host_of(process))))

    def on(self, host: str) -> AbstractContextManager[None]:
        """See Lab."""
        return inside(host)

    def seen_from(self, host: str) -> ClusterConfig:
        """See Lab: addresses are the same everywhere."""
        return self.config


class BridgeLab(_Namespaces):
    """Namespaces on one bridge."""

    def __init__(self, directory: Path, profile: str, faculties: int) -> None:
        super().__init__(directory, profile, faculties)
        self._dropped = 0

    def cut(self, links: Collection[Link]) -> None:
        """See Lab. All of it at once: one transaction of nftables."""
        rules = [f"ip saddr {_address(source)} ip daddr {_address(target)} counter drop" for source, target in links]
        lines = ["table bridge faults", "delete table bridge faults"]
        if rules:
            chain = ["type filter hook forward priority 0", *rules]
            lines.append("table bridge faults {\nchain links {\n" + "\n".join(chain) + "\n}\n}")
        self._dropped += self._counted()
        _nft("-f", "-", script="\n".join(lines) + "\n")

    def impair(self, impairment: Impairment) -> None:
        """See Lab."""
        raise NotPermitted("a bridge passes packets on as they are")

    def lost(self) -> int:
        """See Lab."""
        return self._dropped + self._counted()

    def _counted(self) -> int:
        return sum(map(int, re.findall(r"counter packets (\d+)", _nft("list", "ruleset"))))


class PacketLab(_Namespaces):
    """Namespaces on a switch in user space."""

    def __init__(self, directory: Path, profile: str, faculties: int, switch: subprocess.Popen[str]) -> None:
        super().__init__(directory, profile, faculties)
        self._switch = switch
        self._impairment = Impairment()

    def cut(self, links: Collection[Link]) -> None:
        """See Lab."""
        raise NotPermitted("links are cut on a bridge")

    def impair(self, impairment: Impairment) -> None:
        """See Lab."""
        self._impairment = impairment
        self._tell()

    def lost(self) -> int:
        """See Lab."""
        return self._tell()["lost"]

    def _tell(self) -> dict[str, int]:
        assert self._switch.stdin is not None
        self._switch.stdin.write(json.dumps(asdict(self._impairment)) + "\n")
        self._switch.stdin.flush()
        return _answer(self._switch)


class PlainLab:
    """Processes of this host and nothing in between: no link can be cut."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config

    def surroundings(self, process: str) -> Surroundings:
        """See Lab."""
        return PLAIN

    def on(self, host: str) -> AbstractContextManager[None]:
        """See Lab: there is one host."""
        return nullcontext()

    def seen_from(self, host: str) -> ClusterConfig:
        """See Lab."""
        return self.config

    def cut(self, links: Collection[Link]) -> None:
        """See Lab."""
        raise NotPermitted("there is nothing in between that could be cut")

    def impair(self, impairment: Impairment) -> None:
        """See Lab."""
        raise NotPermitted("there is nothing in between that could lose packets")

    def lost(self) -> None:
        """See Lab."""
        return


class LoopbackLab(PlainLab):
    """Processes of this host. Whoever asks reaches whomever is asked through a relay of their own."""

    def __init__(self, directory: Path, profile: str, faculties: int, stack: ExitStack) -> None:
        config = _on_this_host(directory, profile, faculties)
        self._plain = config
        self._relays: dict[Link, list[Relay]] = {}
        self._stack = stack
        self._seen: Mapping[str, ClusterConfig] = {
            **{server.name: self._for_server(server.name) for server in config.servers},
            "c": self._relayed("c", {server.name: _FOR_CLIENTS for server in config.servers}),
        }
        super().__init__(self._seen["c"])
        self._paths = {}
        for host, seen in self._seen.items():
            self._paths[host] = directory / f"seen-from-{host}.toml"
            self._paths[host].write_text(render(seen, directory), encoding="utf-8")

    def _for_server(self, name: str) -> ClusterConfig:
        others = {server.name: _OF_SERVER for server in self._plain.servers if server.name != name}
        config = self._relayed(name, others)
        endpoint = self._relay((name, "w"), config.witness.endpoint)
        return replace(config, witness=replace(config.witness, endpoint=endpoint))

    def _relayed(self, host: str, asked: Mapping[str, Collection[str]]) -> ClusterConfig:
        """The configuration of a host that reaches those endpoints of those servers through relays."""
        servers = [
            replace(
                server,
                **{
                    key: self._relay((host, server.name), getattr(server, key)) for key in asked.get(server.name, ())
                },
            )
            for server in self._plain.servers
        ]
        return replace(self._plain, servers=tuple(servers))

    def _relay(self, link: Link, endpoint: str) -> str:
        relay = Relay(int(endpoint.rpartition(":")[2]))
        self._stack.callback(relay.close)
        self._relays.setdefault(link, []).append(relay)
        return f"tcp://127.0.0.1:{relay.port}"

    def surroundings(self, process: str) -> Surroundings:
        """See Lab."""
        if process == "witness":
            return PLAIN
        return Surroundings(environ={"AULARIO_CONFIG": str(self._paths[host_of(process)])})

    def seen_from(self, host: str) -> ClusterConfig:
        """See Lab."""
        return self._seen[host]

    def cut(self, links: Collection[Link]) -> None:
        """See Lab."""
        for (asker, asked), relays in self._relays.items():
            ways = [Way.UP] * ((asker, asked) in links) + [Way.DOWN] * ((asked, asker) in links)
            for relay in relays:
                relay.hold(*ways)

    def impair(self, impairment: Impairment) -> None:
        """See Lab."""
        raise NotPermitted("a relay of TCP connections sees no packets")


@contextmanager
def bridge_lab(directory: Path, profile: str, faculties: int) -> Iterator[Lab]:
    """Hosts on a bridge; gone afterwards. Raises NotPermitted."""
    _nft("list", "ruleset")
    with network.hosts(_wire_bridge):
        yield BridgeLab(directory, profile, faculties)


@contextmanager
def packet_lab(directory: Path, profile: str, faculties: int) -> Iterator[Lab]:
    """Hosts on a switch in user space; gone afterwards. Raises NotPermitted."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise NotPermitted("/dev/net/tun is not there or not for us")
    with ExitStack() as stack:
        switches: list[subprocess.Popen[str]] = []

        def wire() -> None:
            switch = subprocess.Popen(
                [sys.executable, "-m", "ops.prove.packets", *map(namespace, HOSTS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            switches.append(stack.enter_context(switch))
            _answer(switch)
            for host in HOSTS:
                _address_data(host)

        with network.hosts(wire):
            yield PacketLab(directory, profile, faculties, switches[0])


@contextmanager
def loopback_lab(directory: Path, profile: str, faculties: int) -> Iterator[Lab]:
    """This host with relays, which are closed afterwards."""
    with ExitStack() as stack:
        yield LoopbackLab(directory, profile, faculties, stack)


@contextmanager
def plain_lab(directory: Path, profile: str, faculties: int) -> Iterator[Lab]:
    """This host as it is."""
    yield PlainLab(_on_this_host(directory, profile, faculties))


def _on_this_host(directory: Path, profile: str, faculties: int) -> ClusterConfig:
    overrides = {"timing.profile": profile}
    return prepare(directory, base_port=free_base_port(), faculties=faculties, overrides=overrides)


def _wire_bridge() -> None:
    network.ip("link add data type bridge", "link set data up", host=SWITCH)
    for host in HOSTS:
        network.join_bridge(host, "data")
        _address_data(host)


def _address_data(host: str) -> None:
    own = [data_address(host), *([WITNESS_ADDRESS] if host == "c" else [])]
    network.ip(*(f"addr add {address}/24 dev data" for address in own), "link set data up", host=host)


def _answer(switch: subprocess.Popen[str]) -> dict[str, int]:
    assert switch.stdout is not None
    line = switch.stdout.readline()
    if not line:
        raise NotPermitted(f"the switch in user space ended with exit code {switch.wait()}")
    counts: dict[str, int] = json.loads(line)
    return counts


def _address(point: str) -> str:
    return WITNESS_ADDRESS if point == "w" else data_address(point)


def _at(endpoint: str, address: str) -> str:
    return endpoint.replace("127.0.0.1", address)


def _nft(*arguments: str, script: str = "") -> str:
    return network.run(["nft", *arguments], script)
