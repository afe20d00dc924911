"""Whether one more transaction fits what the state is bounded to.

What passes by itself is BUSY: ask again. The rest is LIMIT_REACHED: it stays so until somebody acts, whom the sentence
names.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from projections.rooms.commands import BUSY, LIMIT_REACHED, Reserve
from projections.rooms.inventory import Inventory
from projections.rooms.limits import CATALOGS_MAX, Bounds
from projections.rooms.shares import Share
from projections.rooms.term import Term


class Lack(NamedTuple):
    """Why one more is too many: a code and a sentence."""

    code: str
    reason: str


_HOLDS: Final = Lack(BUSY, "too many proposals wait for their answer; ask again when some have ended")
NOT_EXPIRED_YET: Final = Lack(
    BUSY, "rooms that would do are still held by proposals whose time is over; ask again when they have ended"
)
_IN_TERM: Final = Lack(
    LIMIT_REACHED,
    "no further transaction of this program or faculty fits the term (semester): a registrar can close it, "
    "and others are not concerned",
)
_TRANSACTIONS: Final = Lack(
    LIMIT_REACHED,
    "no further transaction of this program or faculty can be remembered: a registrar can close terms that are over",
)
_OPEN_TERMS: Final = Lack(
    LIMIT_REACHED,
    "this program or faculty can open no further term (semester): use an open one, "
    "or a registrar can close terms that are over",
)
_TERMS_EVER: Final = Lack(
    LIMIT_REACHED, "this program or faculty can never open a further term (semester): use one that is open"
)
_CATALOGS: Final = Lack(
    LIMIT_REACHED, f"{CATALOGS_MAX} catalogs of rooms have been used: the operator can configure one of those"
)
_FACULTIES: Final = Lack(LIMIT_REACHED, "no further faculty can be registered: use a registered one")
NO_MORE_PROGRAMS: Final = Lack(
    LIMIT_REACHED, "no further program of this faculty can be registered: use a registered one"
)
"""Faculties say so, too."""


def lack_for(
    state: Inventory, bounds: Bounds, catalog_id: str, command: Reserve, term: Term | None, is_known: bool
) -> Lack | None:
    """What there is too little of for a new transaction, or None. `term` is what it names, None if that is to be opened
    with the catalog; `is_known`: its program is registered."""
    faculty, program = state.shares.used_by(command.faculty_id, command.program_id)
    held = len(state.holds)
    if held + faculty.held >= bounds.holds_max:
        return _HOLDS
    if len(state.sessions) + held + faculty.transactions + program.transactions >= bounds.transactions_max:
        return _TRANSACTIONS
    if term is not None:
        number = term.number
        own = faculty.by_term.get(number, 0) + program.by_term.get(number, 0)
        if term.transactions + own >= bounds.transactions_per_term_max:
            return _IN_TERM
    elif (lack := _lack_for_term(state, bounds, catalog_id, faculty, program)) is not None:
        return lack
    return None if is_known else _lack_for_names(state, bounds, command.faculty_id, faculty)


def _lack_for_term(
    state: Inventory, bounds: Bounds, catalog_id: str, faculty: Share, program: Share
) -> Lack | None:
    if len(state.terms) + faculty.open_terms + program.open_terms >= bounds.open_terms_max:
        return _OPEN_TERMS
    if state.terms_ever + faculty.terms_ever + program.terms_ever >= bounds.terms_ever_max:
        return _TERMS_EVER
    if catalog_id not in state.catalogs and len(state.catalogs) >= CATALOGS_MAX:
        return _CATALOGS
    return None


def _lack_for_names(state: Inventory, bounds: Bounds, faculty_id: int, faculty: Share) -> Lack | None:
    if faculty_id not in state.faculties and len(state.faculties) >= bounds.faculties_max:
        return _FACULTIES
    return NO_MORE_PROGRAMS if len(state.programs) + faculty.programs >= bounds.programs_max else None
