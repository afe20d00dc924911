"""One open term: which rooms are free, held and confirmed, and the proof that none is lost (A14)."""

from __future__ import annotations

from typing import NamedTuple

from es.codec import Plain
from projections.rooms.catalog import Catalog
from projections.rooms.shares import Pair


class RoomSet(NamedTuple):
    """RoomSet of one proposal or allocation: their set, and how many count on either side.
    Mobile labs are classrooms (A14), and counted among them."""

    mask: int
    classrooms: int
    labs: int
    mobile: int


class Occupancy(NamedTuple):
    """How many rooms of one kind are in which state; the first three add up to the total. `mobile` says
    how many of the held and confirmed ones serve as labs."""

    free: int
    held: int
    confirmed: int
    mobile: int


class Closure(NamedTuple):
    """What ended with a term: confirmed classrooms (mobile labs among them) and labs, and live holds. `seq` is the
    event that closed it."""

    seq: int
    classrooms: int
    labs: int
    holds: int


class Term:
    """The rooms of one term as three sets, and the same as counts kept apart from them. Each change
    asserts that both agree and that the sets are a partition of all rooms: conservation (A14).

    `transactions` counts those on record; `opener` are the shares of the faculty and of the program whose request
    opened it, none until that request is recorded, too.
    """

    __slots__ = (
        "alerts", "catalog", "confirmed", "confirmed_classrooms", "confirmed_labs", "free", "held",
        "held_classrooms", "held_labs", "holds", "mobile", "name", "number", "opener", "transactions",
    )  # fmt: skip

    def __init__(self, name: str, number: int, catalog: Catalog) -> None:
        self.name = name
        self.number = number
        self.catalog = catalog
        self.free = catalog.every
        self.held = 0
        self.confirmed = 0
        self.held_classrooms = 0
        self.held_labs = 0
        self.confirmed_classrooms = 0
        self.confirmed_labs = 0
        self.mobile = 0
        self.holds = 0
        self.transactions = 0
        self.opener: Pair | tuple[()] = ()
        self.alerts: set[str] = set()

    def begin(self, pair: Pair) -> None:
        """A transaction of theirs has come on record; the first one is the one that opened the term."""
        self.transactions += 1
        if not self.opener:
            self.opener = pair
            for share in pair:
                share.open_terms += 1
                share.terms_ever += 1

    def hold(self, rooms: RoomSet) -> None:
        """Free rooms become held."""
        self.free ^= rooms.mask
        self.held |= rooms.mask
        self.held_classrooms += rooms.classrooms
        self.held_labs += rooms.labs
        self.mobile += rooms.mobile
        self.holds += 1
        self._conserve()

    def confirm(self, rooms: RoomSet) -> None:
        """Held rooms become confirmed."""
        self._leave_hold(rooms)
        self.confirmed |= rooms.mask
        self.confirmed_classrooms += rooms.classrooms
        self.confirmed_labs += rooms.labs
        self._conserve()

    def drop_hold(self, rooms: RoomSet) -> None:
        """Held rooms become free."""
        self._leave_hold(rooms)
        self._free(rooms)

    def release(self, rooms: RoomSet) -> None:
        """Confirmed rooms become free."""
        self.confirmed ^= rooms.mask
        self.confirmed_classrooms -= rooms.classrooms
        self.confirmed_labs -= rooms.labs
        self._free(rooms)

    def closure(self, seq: int) -> Closure:
        """What ends if the event `seq` closes the term now."""
        return Closure(seq, self.confirmed_classrooms, self.confirmed_labs, self.holds)

    def _leave_hold(self, rooms: RoomSet) -> None:
        self.held ^= rooms.mask
        self.held_classrooms -= rooms.classrooms
        self.held_labs -= rooms.labs
        self.holds -= 1

    def _free(self, rooms: RoomSet) -> None:
        self.free |= rooms.mask
        self.mobile -= rooms.mobile
        self.alerts.clear()
        self._conserve()

    def _conserve(self) -> None:
        """The three sets are a partition of all rooms (their exclusive union is everything and their sizes
        add up), and the counts, kept from the lists of rooms, agree with them; for classrooms that
        follows from the rest."""
        catalog = self.catalog
        free, held, confirmed = self.free, self.held, self.confirmed
        held_total, confirmed_total = held.bit_count(), confirmed.bit_count()
        assert (
            free ^ held ^ confirmed == catalog.every
            and free.bit_count() + held_total + confirmed_total == catalog.total
            and held_total == self.held_classrooms + self.held_labs
            and confirmed_total == self.confirmed_classrooms + self.confirmed_labs
            and (free & catalog.labs).bit_count() + self.held_labs + self.confirmed_labs == catalog.labs_total
        ), f"rooms of term {self.name!r} are not conserved"

    def classrooms(self) -> Occupancy:
        """Classrooms by state; those lent as labs are among them."""
        free = (self.free & self.catalog.classrooms).bit_count()
        return Occupancy(free, self.held_classrooms, self.confirmed_classrooms, self.mobile)

    def labs(self) -> Occupancy:
        """Labs by state."""
        return Occupancy((self.free & self.catalog.labs).bit_count(), self.held_labs, self.confirmed_labs, 0)

    def to_plain(self) -> Plain:
        """The whole term as plain data; sets of rooms as big-endian bytes."""
        size = (len(self.catalog.ids) + 7) // 8
        return (
            self.number, self.name, self.catalog.catalog_id,
            self.held.to_bytes(size, "big"), self.confirmed.to_bytes(size, "big"),
            self.held_classrooms, self.held_labs, self.confirmed_classrooms, self.confirmed_labs, self.mobile,
            tuple(sorted(self.alerts)),
        )  # fmt: skip
