"""Live holds: found by transaction, ordered by deadline (A9)."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import chain

from es.codec import Plain
from projections.rooms.events import Reserved
from projections.rooms.term import RoomSet, Term

_ENDED_SLACK = 64


@dataclass(slots=True, eq=False)
class Hold:
    """RoomSet of `term` held for one transaction. `seq` is its event; `expiry_us` is its deadline less all
    extensions granted before it began: `Holds.deadline_us` gives the deadline itself."""

    request_id: str | bytes
    reserved: Reserved
    term: Term
    rooms: RoomSet
    seq: int
    expiry_us: int
    ended: bool = False


class Holds:
    """The live holds of all terms. Moving every deadline is one addition; a hold that ended leaves its
    place in the heap until it comes up or such places outnumber the live ones."""

    __slots__ = ("_ended", "_extended_us", "_heap", "_holds", "_live")

    def __init__(self) -> None:
        self._holds: dict[str | bytes, tuple[Hold, ...]] = {}
        self._heap: list[tuple[int, int, Hold]] = []
        self._live = 0
        self._ended = 0
        self._extended_us = 0

    def __len__(self) -> int:
        """Live holds."""
        return self._live

    def find(self, faculty_id: int, request_id: str | bytes) -> Hold | None:
        """The live hold of one transaction."""
        for hold in self._holds.get(request_id, ()):
            if hold.reserved.faculty_id == faculty_id:
                return hold
        return None

    def find_all(self, request_id: str | bytes) -> tuple[Hold, ...]:
        """The live holds of all faculties with this id."""
        return self._holds.get(request_id, ())

    def deadline_us(self, hold: Hold) -> int:
        """Log time from which an answer is too late (A9)."""
        return hold.expiry_us + self._extended_us

    def begin(
        self, request_id: str | bytes, reserved: Reserved, term: Term, rooms: RoomSet, seq: int, deadline_us: int
    ) -> None:
        """Record a hold."""
        hold = Hold(request_id, reserved, term, rooms, seq, deadline_us - self._extended_us)
        others = self._holds.get(request_id)
        if others is None:
            self._holds[request_id] = (hold,)
        else:
            assert self.find(reserved.faculty_id, request_id) is None, "a transaction holds twice"
            self._holds[request_id] = (*others, hold)
        self._live += 1
        heappush(self._heap, (hold.expiry_us, seq, hold))

    def end(self, faculty_id: int, request_id: str | bytes) -> Hold:
        """Take a live hold out."""
        holds = self._holds.pop(request_id)
        for hold in holds:
            if hold.reserved.faculty_id == faculty_id:
                break
        else:
            raise AssertionError(f"faculty {faculty_id} holds nothing under {request_id!r}")
        if len(holds) > 1:
            self._holds[request_id] = tuple(other for other in holds if other is not hold)
        hold.ended = True
        self._live -= 1
        self._ended += 1
        if self._ended > self._live + _ENDED_SLACK:
            self._forget_ended()
        return hold

    def end_term(self, term: Term) -> list[Hold]:
        """Take every hold of a term out."""
        holds = [hold for hold in chain.from_iterable(self._holds.values()) if hold.term is term]
        for hold in holds:
            self.end(hold.reserved.faculty_id, hold.request_id)
        return holds

    def extend(self, by_us: int) -> None:
        """Move every deadline that far into the future (R13)."""
        self._extended_us += by_us

    def next_deadline_us(self) -> int | None:
        """The earliest deadline, or None."""
        heap = self._heap
        while heap and heap[0][2].ended:
            heappop(heap)
            self._ended -= 1
        return heap[0][0] + self._extended_us if heap else None

    def are_overdue(self, now_us: int) -> bool:
        """Whether the deadline of any is reached."""
        deadline_us = self.next_deadline_us()
        return deadline_us is not None and deadline_us <= now_us

    def due(self, now_us: int, holds_max: int) -> list[Hold]:
        """At most `holds_max` holds whose deadline is reached, earliest first. They stay live."""
        taken: list[tuple[int, int, Hold]] = []
        while len(taken) < holds_max:
            deadline_us = self.next_deadline_us()
            if deadline_us is None or deadline_us > now_us:
                break
            taken.append(heappop(self._heap))
        for place in taken:
            heappush(self._heap, place)
        return [hold for _, _, hold in taken]

    def _forget_ended(self) -> None:
        self._heap = [place for place in self._heap if not place[2].ended]
        heapify(self._heap)
        self._ended = 0

    def to_plain(self) -> Plain:
        """Every hold by the sequence number of its event, with its deadline."""
        live = sorted(chain.from_iterable(self._holds.values()), key=lambda hold: hold.seq)
        return tuple((hold.seq, hold.request_id, tuple(hold.reserved), self.deadline_us(hold)) for hold in live)
