"""What protects a socket: CURVE with the keys of a cluster, or nothing in a laboratory.

Whoever listens (`listen`) shows its key and has the authenticator ask who calls; whoever connects (`call`) knows the
key of the one it wants to reach, so that nobody else can answer in its place.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import zmq

from nodes.config.cluster import ClusterConfig
from nodes.logs import logger
from nodes.security import roles
from nodes.security.allow_list import AllowList
from nodes.security.keys import KeysError
from nodes.security.principals import Principal
from nodes.security.secret_keys import load_secret, secret_state

CURVE: Final = "curve"


class Change(NamedTuple):
    """What `refresh` found: other keys are allowed; somebody's no longer is; sockets must be opened anew, for our own
    key was replaced, or that of somebody whom we call."""

    is_allow_list: bool
    is_revocation: bool
    must_reopen: bool


class Security(Protocol):
    """How one process secures each of its sockets before it binds or connects."""

    def listen(self, socket: zmq.Socket[bytes], door: str) -> None:
        """Prepare a socket that will be bound; `door` is its name in nodes.security.roles."""
        ...

    def call(self, socket: zmq.Socket[bytes], peer: Principal) -> None:
        """Prepare a socket that will be connected to `peer`."""
        ...


class Open:
    """No security: anybody may read, and say anything."""

    def listen(self, socket: zmq.Socket[bytes], door: str) -> None:
        """See Security."""

    def call(self, socket: zmq.Socket[bytes], peer: Principal) -> None:
        """See Security."""


OPEN: Final = Open()


class Curve:
    """The keys of one principal, and the list of those it knows. `refresh` follows changes of both."""

    def __init__(self, directory: Path, own: Principal, servers: Collection[str]) -> None:
        """`directory` is the configuration's `keys`, `servers` are the servers that it names: no others are let in.
        Raises KeysError with one sentence."""
        self.own = own
        self.servers = frozenset(servers)
        self._directory = directory
        self._secret_seen = secret_state(directory, own)
        self._secret = load_secret(directory, own)
        self._secret_problem: str | None = None
        self.allow_list = AllowList(directory)
        self._problems: tuple[str, ...] = ()
        self._called: dict[Principal, bytes | None] = {}
        self._say_problems()

    def listen(self, socket: zmq.Socket[bytes], door: str) -> None:
        """See Security. With ZAP_ENFORCE_DOMAIN nobody gets in where nobody is there to ask."""
        assert door in roles.DOORS, f"{door!r} is no door"
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self._secret.curve_secret)
        socket.set(zmq.ZAP_DOMAIN, door.encode())
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def call(self, socket: zmq.Socket[bytes], peer: Principal) -> None:
        """See Security. A peer without an allowed key is called with a key that nobody has the secret of; once it is
        given one, `refresh` tells that it must be called again."""
        key = self._key_of(peer)
        self._called[peer] = key
        if key is None:
            logger().warning("a peer has no allowed key and cannot be reached", peer=str(peer))
            key, _ = zmq.curve_keypair()
        socket.set(zmq.CURVE_SERVERKEY, key)
        socket.set(zmq.CURVE_PUBLICKEY, self._secret.curve_public)
        socket.set(zmq.CURVE_SECRETKEY, self._secret.curve_secret)

    def refresh(self) -> Change:
        """Read again what has changed on disk. A new secret that cannot be read is told, and the one before stays."""
        is_changed = self.allow_list.refresh()
        self._say_problems()
        must_reopen = self._take_secret(is_changed) or (
            is_changed and any(self._key_of(peer) != key for peer, key in self._called.items())
        )
        return Change(is_changed, is_changed and self.allow_list.has_revoked, must_reopen)

    def _key_of(self, peer: Principal) -> bytes | None:
        newest = self.allow_list.newest(peer)
        return None if newest is None else newest.curve

    def _take_secret(self, is_allow_list_changed: bool) -> bool:
        """True if our own key is another one now."""
        state = secret_state(self._directory, self.own)
        if state == self._secret_seen and not is_allow_list_changed and self._secret_problem is None:
            return False
        self._secret_seen = state
        try:
            secret = load_secret(self._directory, self.own)
        except KeysError as error:
            if str(error) != self._secret_problem:
                logger().error("the new secret key is not used", why=str(error))
            self._secret_problem = str(error)
            return False
        self._secret_problem = None
        is_other = secret.curve_public != self._secret.curve_public
        self._secret = secret
        return is_other

    def _say_problems(self) -> None:
        """Each once, as long as it lasts."""
        for problem in self.allow_list.problems:
            if problem not in self._problems:
                logger().warning("a key is not allowed", why=problem)
        self._problems = self.allow_list.problems


def security_of(config: ClusterConfig, own: Principal) -> Curve | Open:
    """What the configuration asks for, with the keys of `own`. Raises KeysError."""
    if config.security != CURVE:
        return OPEN
    return Curve(config.keys, own, [server.name for server in config.servers])
