"""Where a cluster is put so that its links can be cut, and what is common to all such places.

    host a   server a          host b   server b          host c   witness, faculties, clients

A point is an end of links: `a`, `b`, `c`, and `w`, the witness, which has an address of its own on host c.
A link is directed: (source, target).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from nodes.config.cluster import BASE_PORTS, HOST, ClusterConfig
from ops.cluster_dir import prepare
from ops.demo import free_base_port
from ops.prove.outcome import NotPermitted
from ops.prove.packets import Impairment
from ops.supervisor import PLAIN, Surroundings

Link: TypeAlias = tuple[str, str]

POINTS: Final = ("a", "b", "w", "c")
ENDPOINTS: Final = ("requests", "heartbeats", "batches", "beacons", "repair")
"""A server's, as its configuration calls them."""


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


@contextmanager
def plain_lab(directory: Path, profile: str, faculties: int) -> Iterator[Lab]:
    """This host as it is."""
    with on_this_host(directory, profile, faculties) as config:
        yield PlainLab(config)


@contextmanager
def on_this_host(directory: Path, profile: str, faculties: int) -> Iterator[ClusterConfig]:
    """A new cluster on ports of this host that are free, and meanwhile nobody else's who asks in this way."""
    with _own_base_port() as base_port:
        yield prepare(directory, base_port=base_port, faculties=faculties, overrides={"timing.profile": profile})


@contextmanager
def _own_base_port() -> Iterator[int]:
    """A free base whose last port, which no cluster uses, is listened on: so it is taken at once, also where
    several processes look for one."""
    taken = None
    while taken is None:
        base_port = free_base_port()
        with contextlib.suppress(OSError):  # another was quicker
            taken = socket.create_server((HOST, base_port + BASE_PORTS - 1))
    with taken:
        yield base_port
