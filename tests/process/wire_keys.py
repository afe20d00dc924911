"""Keys for clients that are written from the wire protocol's page alone: the files that `aulario keys` makes are read
as what they are, TOML, and no code of ours is used but the command."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import zmq

from tests.process.running_cluster import RunningCluster, aulario

FACULTY = "faculty:501"
"""Whom a test's SOLs speak for (wire_client.sol)."""


class WireKeys:
    """Prepares sockets for one cluster: at a server as faculty 501, at a faculty as its coordinators."""

    def __init__(self, cluster: RunningCluster) -> None:
        self._cluster = cluster
        self._keys = cluster.directory / "keys"

    def __call__(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        listens, speaks = self._parties(endpoint)
        self.give(socket, listens, speaks)

    def give(self, socket: zmq.Socket[bytes], listens: str, speaks: str) -> None:
        """The key of the one who listens, and those of the one who speaks, which are made if there are none."""
        secret = self.secret(speaks)
        socket.set(zmq.CURVE_SERVERKEY, self.public(listens).encode())
        socket.set(zmq.CURVE_PUBLICKEY, secret["curve_public"].encode())
        socket.set(zmq.CURVE_SECRETKEY, secret["curve_secret"].encode())

    def public(self, principal: str) -> str:
        """The CURVE key (Z85) of somebody who is let in."""
        (path,) = (self._keys / "allowed").glob(f"{_file_name(principal)}.????????????????.toml")
        public: str = tomllib.loads(path.read_text())["curve_public"]
        return public

    def secret(self, principal: str) -> Mapping[str, Any]:
        """Both halves."""
        path = self._keys / "secret" / f"{_file_name(principal)}.toml"
        if not path.exists():
            made = aulario("keys", "new", principal, "--dir", self._cluster.directory)
            assert made.returncode == 0, made.stderr
        return tomllib.loads(path.read_text())

    def _parties(self, endpoint: str) -> tuple[str, str]:
        for server in self._cluster.ready["servers"]:
            if server["requests"] == endpoint:
                return f"server:{server['name']}", FACULTY
        (faculty,) = (one["id"] for one in self._cluster.ready["faculties"] if one["endpoint"] == endpoint)
        return f"faculty:{faculty}", f"program:{faculty}/*"


def _file_name(principal: str) -> str:
    return principal.replace(":", "-").replace("/", "-").replace("*", "all")
