"""Who is connected to a door, and who has to go when there is no room: nobody takes the room of others.

Three kinds of connections are told apart. Strangers have said nothing yet and are so young that their handshake may not
be over. Of the others each belongs to an owner, the key (or the host, where nobody has one) that it spoke with; those
that are there and never speak count as one owner more, whose key nobody knows. Strangers have a room to themselves, in
which the oldest goes first: a handshake takes far less time than it takes to fill that room. In the other one the owner
with the most connections loses the newest of them. So strangers cost no peer his connection, and a key with thousands
of them costs only its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from es.descriptors import RESERVED, keep_reserve
from es.errors import EsError
from nodes.logs import logger
from nodes.security import roles
from nodes.sockets import HANDSHAKE_IVL_MS

QUIET: Final = ""
"""The owner of connections that have never spoken."""

STRANGER_US: Final = 2 * HANDSHAKE_IVL_MS * 1_000
"""Twice as long as libzmq lets a handshake last: who is there after that has finished it."""


class Room(NamedTuple):
    """How many connections a door has at one time: of peers, and of strangers besides."""

    peers: int
    strangers: int


_OF_CLIENTS: Final = Room(8_192, 2_048)
_OF_LISTENERS: Final = Room(1_024, 512)
_OF_NODES: Final = Room(64, 128)
"""There are at most MEMBERS_MAX of them."""

ROOMS: Final[Mapping[str, Room]] = {
    roles.REQUESTS: _OF_CLIENTS,
    roles.PROGRAMS: _OF_CLIENTS,
    roles.HEARTBEATS: _OF_LISTENERS,
    roles.BATCHES: _OF_NODES,
    roles.BEACONS: _OF_NODES,
    roles.REPAIR: _OF_NODES,
    roles.WITNESS: _OF_NODES,
}
"""By door (nodes.security.roles), where the host allows enough descriptors."""

OWN_DESCRIPTORS: Final = 1_536
"""What a process holds besides the connections of its doors: its log, sockets, workers, HTTP, and its own calls."""

SCARCE: Final = 1 / 32
"""With less than this part of the room at the wide doors nothing is begun."""


class TooFewDescriptors(EsError):
    """The host lets a process have too few descriptors for its doors. One sentence."""

    code = "TOO_FEW_DESCRIPTORS"


def open_rooms(*doors: str) -> Mapping[str, Room]:
    """The room at each door of this process, whose soft limit of descriptors is raised. Raises TooFewDescriptors."""
    return rooms(doors, keep_reserve())


def rooms(doors: Collection[str], descriptors: int) -> Mapping[str, Room]:
    """The room at each of a process's doors, which may have so many descriptors in all: where they are too few for
    ROOMS, the wide doors share what is left. Raises TooFewDescriptors."""
    narrow = {door: ROOMS[door] for door in doors if ROOMS[door] == _OF_NODES}
    wide = {door: ROOMS[door] for door in doors if door not in narrow}
    left = descriptors - OWN_DESCRIPTORS - sum(map(sum, narrow.values()))
    wanted = sum(map(sum, wide.values()))
    part = min(left / wanted, 1.0) if wide else 1.0
    if part < SCARCE or left < 0:
        needed = descriptors - left + int(wanted * SCARCE) + RESERVED + 1
        raise TooFewDescriptors(
            f"a process may have {descriptors + RESERVED} open files here and needs {needed}: raise the hard limit "
            "(`ulimit -Hn`, LimitNOFILE of systemd)"
        )
    if part < 1.0:
        logger().warning("few open files are allowed: less connections have room", part=round(part, 3))
    return narrow | {door: Room(int(room.peers * part), int(room.strangers * part)) for door, room in wide.items()}


class Going(NamedTuple):
    """A connection that has to go, and whose it is, as far as that is known."""

    fd: int
    owner: str | None


class Crowd:
    """The connections of one door, by descriptor. `come` and `speak` give those that have to go: they count as gone."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._strangers: OrderedDict[int, int] = OrderedDict()
        self._owners: dict[int, str] = {}
        self._owned: dict[str, dict[int, None]] = {}

    def come(self, fd: int, now_us: int) -> list[Going]:
        """A connection was accepted."""
        if fd in self._owners:
            return []  # it has been heard before it was told of
        self._strangers[fd] = now_us
        going: list[Going] = []
        while self._strangers:
            oldest, since_us = next(iter(self._strangers.items()))
            if now_us - since_us >= STRANGER_US:
                going += self.speak(oldest, QUIET)
            elif len(self._strangers) > self._room.strangers:
                del self._strangers[oldest]
                going.append(Going(oldest, None))
            else:
                break
        return going

    def speak(self, fd: int, owner: str) -> list[Going]:
        """It is known whose a connection is."""
        if self._owners.get(fd) == owner:
            return []
        self.leave(fd)
        self._owners[fd] = owner
        self._owned.setdefault(owner, {})[fd] = None
        if len(self._owners) <= self._room.peers:
            return []
        most = max(self._owned, key=lambda one: len(self._owned[one]))
        newest = next(reversed(self._owned[most]))
        self.leave(newest)
        return [Going(newest, most or None)]

    def leave(self, fd: int) -> None:
        """A connection is over."""
        self._strangers.pop(fd, None)
        owner = self._owners.pop(fd, None)
        if owner is not None:
            del self._owned[owner][fd]
            if not self._owned[owner]:
                del self._owned[owner]

    def owner_of(self, fd: int) -> str | None:
        """Whose a connection is, as far as that is known. From any thread."""
        return self._owners.get(fd) or None
