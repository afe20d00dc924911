"""Keys for clients that are written from the wire protocol's page alone: the files of a cluster's keys are read as what
they are, TOML. Only a missing key is made by code of ours."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import zmq

from nodes.security.cluster_keys import ensure_keys
from nodes.security.principals import principal as principal_of
from tests.process.running_cluster import RunningCluster

FACULTY = "faculty:501"
"""Whom a test's SOLs speak for (wire_client.sol)."""

FACULTY_PORTS = 100
"""A faculty's port is the cluster's base, this and its id."""


class WireKeys:
    """Prepares sockets for one cluster: at a server as faculty 501, at a faculty as its coordinators; not at all if its
    security is switched off."""

    def __init__(self, cluster: RunningCluster) -> None:
        self._cluster = cluster
        self._keys = cluster.directory / "keys"

    def __call__(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        if self._cluster.config.security == "curve":
            self.give(socket, *self._parties(endpoint))

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
            ensure_keys(self._cluster.config, [principal_of(principal)])
        return tomllib.loads(path.read_text())

    def _parties(self, endpoint: str) -> tuple[str, str]:
        for server in self._cluster.ready["servers"]:
            if server["requests"] == endpoint:
                return f"server:{server['name']}", FACULTY
        faculty = int(endpoint.rpartition(":")[2]) - self._cluster.base_port - FACULTY_PORTS
        return f"faculty:{faculty}", f"program:{faculty}/*"


def _file_name(principal: str) -> str:
    return principal.replace(":", "-").replace("/", "-").replace("*", "all")
