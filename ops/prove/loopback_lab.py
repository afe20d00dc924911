"""A lab on this host alone: whoever asks reaches whomever is asked through a TCP relay of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from nodes.config.cluster import ClusterConfig
from nodes.config.file import render
from ops.prove.labs import ENDPOINTS, Lab, Link, PlainLab, host_of, on_this_host
from ops.prove.outcome import NotPermitted
from ops.prove.packets import Impairment
from ops.prove.tcp_relay import Relay, Way
from ops.supervisor import PLAIN, Surroundings

LinkTap: TypeAlias = Callable[[Link, Way, bytes], bytes]
"""What passes instead of what was said on a link (asker, asked); see ops.prove.tcp_relay.Tap."""

_FOR_CLIENTS: Final = ("requests", "heartbeats")


def _nobody(_link: Link, _way: Way, said: bytes) -> bytes:
    return said


class LoopbackLab(PlainLab):
    """Processes of this host. Whoever asks reaches whomever is asked through a relay of their own, where `tap` sits."""

    def __init__(self, directory: Path, config: ClusterConfig, stack: ExitStack, tap: LinkTap = _nobody) -> None:
        self._plain = config
        self._tap = tap
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
        others = {server.name: ENDPOINTS for server in self._plain.servers if server.name != name}
        config = self._relayed(name, others)
        endpoint = self._relay((name, "w"), config.witness.endpoint)
        return replace(config, witness=replace(config.witness, endpoint=endpoint))

    def _relayed(self, host: str, asked: Mapping[str, Collection[str]]) -> ClusterConfig:
        """The configuration of a host that reaches those endpoints of those servers through relays."""
        servers = []
        for server in self._plain.servers:
            relayed: dict[str, Any] = {
                key: self._relay((host, server.name), getattr(server, key)) for key in asked.get(server.name, ())
            }
            servers.append(replace(server, **relayed))
        return replace(self._plain, servers=tuple(servers))

    def _relay(self, link: Link, endpoint: str) -> str:
        relay = Relay(int(endpoint.rpartition(":")[2]), partial(self._tap, link))
        self._stack.callback(relay.close)
        self._relays.setdefault(link, []).append(relay)
        return f"tcp://127.0.0.1:{relay.port}"

    def surroundings(self, process: str) -> Surroundings:
        """See Lab."""
        if process == "witness":
            return PLAIN
        return Surroundings(config_file=self._paths[host_of(process)])

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
def loopback_lab(directory: Path, profile: str, faculties: int) -> Iterator[Lab]:
    """This host with relays, which are closed afterwards."""
    with on_this_host(directory, profile, faculties) as config, ExitStack() as stack:
        yield LoopbackLab(directory, config, stack)
