"""Schedules by number: where each mutant is found, and which ones once failed for good reason.

The numbers hold for the harness as it is: a change of what it draws moves them, and
`python -m ops.sim --mutants --seeds 1000` gives the new ones.
"""

from __future__ import annotations

from typing import NamedTuple

from ops.sim.suite import LEDGER, ROOMS


class Place(NamedTuple):
    """A seed of a load, or a directed schedule by its name."""

    name: str
    seed: int | None = None


FOUND_AT: dict[str, Place] = {
    "self-promotion": Place(LEDGER, 1),
    "going alone without the witness": Place("read without a lease"),
    "reply before replication": Place(ROOMS, 0),
    "commit before the own fsync": Place("acknowledgement of any epoch"),
    "acknowledgement before fsync": Place(LEDGER, 75),
    "no epoch fence": Place("late promise"),
    "hash not checked": Place(LEDGER, 28),
    "acknowledgement of any epoch": Place("acknowledgement of any epoch"),
    "joining early": Place(LEDGER, 12),
    "pending not required": Place(ROOMS, 8),
    "compare-and-swap without compare": Place(LEDGER, 1),
    "promotion from outside in_sync": Place(ROOMS, 4),
    "late promise": Place("late promise"),
    "resumed epoch": Place("acknowledgement of any epoch"),
    "swap of an earlier life": Place(LEDGER, 9),
    "stale pending reply": Place(LEDGER, 9),
    "early duplicate answer": Place("late promise"),
    "read without a lease": Place("late promise"),
    "no start barrier": Place(ROOMS, 3),
    "late repair answer": Place(LEDGER, 9),
    "cut batch read from the log": Place(ROOMS, 400),
    "partial batch applied": Place(ROOMS, 0),
    "expiry not logged": Place(ROOMS, 0),
    "no duplicate table": Place(ROOMS, 0),
    "conflict taken for a repetition": Place(ROOMS, 0),
    "mobile lab counted twice": Place(ROOMS, 0),
    "deadline by wall clock": Place(ROOMS, 0),
    "deadlines not extended": Place(ROOMS, 0),
}
"""The first schedule of the suite that finds each mutant."""


class Regression(NamedTuple):
    """A schedule that failed before the fault was mended. The harness has drawn otherwise since for the older ones;
    `mutant` has the same fault again, and FOUND_AT says where that is found now."""

    place: Place
    mutant: str
    sentence: str


_LATE_ANSWER = "a late answer of the repair channel was taken for the answer to the present question"
_EARLIER_LIFE = "a restarted primary took an earlier life's swap for its own; registers now name the life"

REGRESSIONS: tuple[Regression, ...] = (
    Regression(Place(LEDGER, 5), "late repair answer", _LATE_ANSWER),
    Regression(Place(LEDGER, 1102), "late repair answer", _LATE_ANSWER),
    Regression(Place(LEDGER, 133), "swap of an earlier life", _EARLIER_LIFE),
    Regression(Place(LEDGER, 532), "swap of an earlier life", _EARLIER_LIFE),
    Regression(
        Place(ROOMS, 400), "cut batch read from the log",
        "a batch already cut off but still on disk answered for the chain, and a late Mismatch was believed",
    ),
)  # fmt: skip
