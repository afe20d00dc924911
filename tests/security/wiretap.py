"""A cluster whose every link runs through somebody who listens in, and who may change what is said."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from nodes import sockets
from nodes.config.cluster import ClusterConfig
from nodes.security import principals
from nodes.security.cluster_keys import ensure_keys
from nodes.security.principals import Principal
from nodes.wire.schema import ProgramRequest, Res
from ops.cluster import running_cluster
from ops.cluster_dir import prepare
from ops.demo import free_base_port
from ops.observe import observe
from ops.prove.labs import Link
from ops.prove.loopback_lab import LoopbackLab
from ops.prove.tcp_relay import Relay, Way
from tests.process.running_cluster import wait_for
from tests.security.steady import result_of

RECORDED_BYTES_MAX: Final = 64 << 20
FACULTY: Final = principals.faculty(501)
"""Whose keys there are beside those that a cluster has anyway."""

Change: TypeAlias = Callable[[bytes], bytes]


class Ask(NamedTuple):
    """Something that is to be changed once: the next at least so long chunk of a link, in one direction."""

    link: Link
    way: Way
    bytes_min: int
    change: Change


class Wiretap:
    """Hears everything; changes what it was asked to change, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: dict[tuple[Link, Way], bytearray] = defaultdict(bytearray)
        self._bytes_left = RECORDED_BYTES_MAX
        self._ask: Ask | None = None
        self.changed = threading.Event()

    def __call__(self, link: Link, way: Way, said: bytes) -> bytes:
        """See ops.prove.loopback_lab.LinkTap."""
        with self._lock:
            self._heard[link, way] += said[: self._bytes_left]
            self._bytes_left -= min(len(said), self._bytes_left)
            ask = self._ask
            if ask is None or (ask.link, ask.way) != (link, way) or len(said) < ask.bytes_min:
                return said
            self._ask = None
        self.changed.set()
        return ask.change(said)

    def change_next(self, ask: Ask) -> None:
        """Set `changed` once it is done."""
        self.changed.clear()
        with self._lock:
            self._ask = ask

    def heard(self) -> Mapping[tuple[Link, Way], bytes]:
        """Everything so far, by link and direction."""
        with self._lock:
            return {place: bytes(said) for place, said in self._heard.items()}


def flipped(said: bytes) -> bytes:
    """One bit in the middle is another one."""
    changed = bytearray(said)
    changed[len(said) // 2] ^= 0x10
    return bytes(changed)


def doubled(said: bytes) -> bytes:
    """It is said twice."""
    return said * 2


class Tapped(NamedTuple):
    """Such a cluster. `config` has the endpoints themselves, `seen` those of the relays that clients go through."""

    tap: Wiretap
    config: ClusterConfig
    seen: ClusterConfig
    ready: dict[str, Any]

    def active(self) -> str:
        """The name of the server that is active; waits for there to be one."""
        return wait_for(self._active, "one active server")

    def _active(self) -> str | None:
        active = [server["name"] for server in observe(self.config)["servers"] if server["active"]]
        return active[0] if len(active) == 1 else None

    def passive(self) -> str:
        """The name of the other one."""
        return next(server.name for server in self.config.servers if server.name != self.active())

    def head(self) -> int:
        """Where the active server's log ends."""
        active = self.active()
        seq: int = next(server["seq"] for server in observe(self.config)["servers"] if server["name"] == active)
        return seq

    def ask(self, faculty_id: int, request: ProgramRequest) -> Res:
        """A program's request at its faculty, through the tap, until something stands."""
        own = self.config.faculty(faculty_id)
        with ExitStack() as stack:
            relay = Relay(_port(own.endpoint), lambda way, said: self.tap(("program", "faculty"), way, said))
            stack.callback(relay.close)
            context = stack.enter_context(sockets.context())
            return result_of(self.config, faculty_id, request, f"tcp://127.0.0.1:{relay.port}", context)


def _port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


@contextmanager
def tapped(directory: Path, security: str, extra: Principal = FACULTY) -> Iterator[Tapped]:
    """A cluster with one faculty of each pattern, ready and in sync."""
    overrides = {"timing.profile": "slow", "security": security}
    config = prepare(directory, base_port=free_base_port(), faculties=2, overrides=overrides)
    ensure_keys(config, [extra])
    tap = Wiretap()
    with ExitStack() as stack:
        lab = LoopbackLab(directory, config, stack, tap)
        cluster = stack.enter_context(running_cluster(directory, lab.config, lab.surroundings))
        yield Tapped(tap, config, lab.config, cluster.ready)
