"""Labs of three hosts that are network namespaces, with the usual ports.

    bridge     a bridge joins them; links are cut in nftables' bridge family
    packets    a switch in user space joins them, which loses, delays and repeats packets
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from nodes.config.cluster import NONE, NONE_EXPOSED, ClusterConfig
from ops.cluster_dir import prepare
from ops.prove import network
from ops.prove.labs import ENDPOINTS, Lab, Link, host_of
from ops.prove.network import HOSTS, SWITCH, control_address, data_address, inside, namespace
from ops.prove.outcome import NotPermitted
from ops.prove.packets import Impairment
from ops.supervisor import Surroundings

WITNESS_ADDRESS: Final = "10.77.0.4"


class _Namespaces:
    """What both labs of namespaces share: hosts of their own with the usual ports."""

    def __init__(self, directory: Path, profile: str, faculties: int) -> None:
        config = prepare(directory, faculties=faculties, overrides={"timing.profile": profile})
        servers = []
        for server in config.servers:
            data: dict[str, Any] = {key: _at(getattr(server, key), data_address(server.name)) for key in ENDPOINTS}
            servers.append(replace(server, **data, http=_at(server.http, control_address(server.name))))
        witness, control = config.witness, control_address("c")
        self.config = replace(
            config,
            security=NONE_EXPOSED if config.security == NONE else config.security,
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
                [sys.executable, "-m", "ops.prove.packets", *(f"{namespace(h)}={','.join(_own(h))}" for h in HOSTS)],
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


def _wire_bridge() -> None:
    network.ip("link add data type bridge", "link set data up", host=SWITCH)
    for host in HOSTS:
        network.join_bridge(host, "data")
        _address_data(host)


def _own(host: str) -> list[str]:
    """A host's addresses on its data interface."""
    return [data_address(host), *([WITNESS_ADDRESS] if host == "c" else [])]


def _address_data(host: str) -> None:
    network.ip(*(f"addr add {address}/24 dev data" for address in _own(host)), "link set data up", host=host)


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
