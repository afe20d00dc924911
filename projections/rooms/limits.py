"""Every bound of the rooms application, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROOMS_PER_REQUEST_MAX: Final = 1_000
"""Highest count of one kind in one request."""

TEXT_CHARS_MAX: Final = 200
"""Longest name, id or reason, in characters."""

ID_MAX: Final = (1 << 31) - 1
"""Highest faculty or program number."""

BUILDINGS_MAX: Final = 256
"""Buildings of one catalog; a policy may look at each of them for one request."""

ROOMS_MAX: Final = 2_048
"""Rooms of one catalog."""

CATALOGS_MAX: Final = 64
"""Catalogs ever adopted by one cluster."""


@dataclass(slots=True, frozen=True)
class Bounds:
    """What one server accepts of all faculties together; each of them, and each of its programs, has a share of it
    (`projections.rooms.shares`; of faculties there is none). Folding a log never looks at these: a history made under
    wider bounds must still be readable. `open_terms_max` leaves a program that is alone 1 024 terms."""

    open_terms_max: int = 3_072
    transactions_per_term_max: int = 1_000_000
    transactions_max: int = 4_000_000
    holds_max: int = 65_536
    terms_ever_max: int = 100_000
    """Terms ever opened, the closed ones included: a closed name is remembered for good."""

    faculties_max: int = 1_000
    programs_max: int = 20_000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            assert getattr(self, name) > 0, f"{name} must be positive"
