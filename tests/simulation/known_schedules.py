"""Schedules by number: where each mutant is found, and which ones once failed for good reason.

The numbers hold for the harness as it is: a change of what it draws moves them, and
`aulario sim --mutants --seeds 1000` gives the new ones.
"""

from __future__ import annotations

from typing import NamedTuple

from ops.sim.suite import FACULTIES, LEDGER, ROOMS, Schedule

FOUND_AT: dict[str, Schedule | str] = {
    "self-promotion": Schedule(LEDGER, 0),
    "going alone without the witness": Schedule(LEDGER, 0),
    "reply before replication": Schedule(LEDGER, 0),
    "commit before the own fsync": Schedule(ROOMS, 0),
    "joining early": Schedule(ROOMS, 1),
    "pending not required": Schedule(LEDGER, 3),
    "pending given up without asking": "pending given up without asking",
    "compare-and-swap without compare": Schedule(LEDGER, 9),
    "promotion from outside in_sync": Schedule(ROOMS, 1),
    "late promise": Schedule(LEDGER, 20),
    "promise not stored": "promise not stored",
    "resumed epoch": Schedule(LEDGER, 0),
    "swap of an earlier life": "swap of an earlier life",
    "stale pending reply": Schedule(FACULTIES, 2),
    "copies assumed": Schedule(LEDGER, 0),
    "early duplicate answer": Schedule(LEDGER, 0),
    "read without a lease": Schedule(LEDGER, 0),
    "late acknowledgement of a replaced disk": "late acknowledgement of a replaced disk",
    "hint believed": "hint believed",
    "unconfirmed beacon believed": "unconfirmed beacon believed",
    "swap that waited": "swap that waited",
    "counted in without a note": Schedule(LEDGER, 21),
    "register not stored": Schedule(LEDGER, 19),
    "no start barrier": Schedule(LEDGER, 0),
    "acknowledgement before fsync": Schedule(LEDGER, 0),
    "no epoch fence": Schedule(LEDGER, 21),
    "hash not checked": Schedule(LEDGER, 48),
    "forgetful disk mended": Schedule(ROOMS, 4),
    "acknowledgement of any epoch": "acknowledgement of any epoch",
    "late repair answer": Schedule(LEDGER, 15),
    "cut batch read from the log": "cut batch read from the log",
    "write counted beyond a cut": "write counted beyond a cut",
    "partial batch applied": Schedule(ROOMS, 0),
    "no grace after the own start": "no grace after the own start",
    "grant after the primary spoke": "grant after the primary spoke",
    "silence by the primary's clock": Schedule(LEDGER, 87),
    "witness grants without silence": "witness grants without silence",
    "no start barrier of the witness": "no start barrier of the witness",
    "lease from the arrival": "lease from the arrival",
    "read without the lease of pending": "read without the lease of pending",
    "clock read once a turn": "clock read once a turn",
    "speaks while stalled": "speaks while stalled",
    "stall never noticed": "stall never noticed",
    "outage never extended": Schedule(FACULTIES, 1),
    "time of a deposed primary": "time of a deposed primary",
    "expiry not logged": Schedule(ROOMS, 0),
    "no duplicate table": Schedule(ROOMS, 0),
    "conflict taken for a repetition": Schedule(ROOMS, 0),
    "mobile lab counted twice": Schedule(ROOMS, 0),
    "deadline by wall clock": Schedule(ROOMS, 0),
    "deadlines not extended": Schedule(ROOMS, 0),
    "new id at a retry": Schedule(FACULTIES, 0),
    "unknown told as denied": Schedule(FACULTIES, 2),
    "epoch of a beat ignored": Schedule(FACULTIES, 0),
    "doubt forgotten": Schedule(FACULTIES, 3),
    "programs saved last": Schedule(FACULTIES, 0),
    "expiry pushed to the oldest": Schedule(FACULTIES, 21),
    "refusal of one attempt believed": Schedule(FACULTIES, 2),
    "replaced disk counted": Schedule(LEDGER, 15),
}
"""The first seed that finds each mutant, or the directed schedule that does, where no early seed comes to it."""


class Regression(NamedTuple):
    """A schedule that failed before the fault was mended. The harness has drawn otherwise since for the older ones;
    `mutant` has the same fault again, and FOUND_AT says where that is found now. None where the fault was the
    harness's own."""

    schedule: Schedule
    mutant: str | None
    sentence: str


_LATE_ANSWER = "a late answer of the repair channel was taken for the answer to the present question"
_EARLIER_LIFE = "a restarted primary took an earlier life's swap for its own; registers now name the life"

REGRESSIONS: tuple[Regression, ...] = (
    Regression(Schedule(LEDGER, 5), "late repair answer", _LATE_ANSWER),
    Regression(Schedule(LEDGER, 1102), "late repair answer", _LATE_ANSWER),
    Regression(Schedule(LEDGER, 133), "swap of an earlier life", _EARLIER_LIFE),
    Regression(Schedule(LEDGER, 532), "swap of an earlier life", _EARLIER_LIFE),
    Regression(
        Schedule(ROOMS, 400), "cut batch read from the log",
        "a batch already cut off but still on disk answered for the chain, and a late Mismatch was believed",
    ),
    Regression(
        Schedule(FACULTIES, 18), "refusal of one attempt believed",
        "a program took UNAVAILABLE for its end though an attempt before, unanswered, had been taken",
    ),
    Regression(
        Schedule(FACULTIES, 36), "replaced disk counted",
        "a receipt counted three copies on two nodes: a replaced disk was another member of the same node",
    ),
    Regression(
        Schedule(ROOMS, 121), "replaced disk counted",
        "the same, while the disk before it was still counted in and its own was being so",
    ),
    Regression(
        Schedule(FACULTIES, 579), None,
        "an acknowledgement was still under way when the disk that had forgotten it was found out and replaced",
    ),
    Regression(
        Schedule(ROOMS, 2481), None,
        "the same, while the primary's own disk hung and the other one was replaced twice",
    ),
    Regression(
        Schedule(FACULTIES, 2240), "swap that waited",
        "a disk rotted while its node's claim waited at a frozen witness, which then left no other one counted in",
    ),
    Regression(
        Schedule(FACULTIES, 3036), "time of a deposed primary",
        "a hold ended early: an outage counted from the clock of a primary that had been deposed meanwhile",
    ),
    Regression(
        Schedule(FACULTIES, 5554), None,
        "a request that came after a freeze was judged by the clock read before it, though its source was drained",
    ),
    Regression(Schedule(ROOMS, 3884), None, "two batches of one microsecond were one microsecond apart in the log"),
    Regression(
        Schedule(ROOMS, 6748), None,
        "a batch bore the time of a clock that was read before a freeze, which was no stall yet",
    ),
    Regression(Schedule(ROOMS, 23952), None, "of two batches after such a freeze the second held rooms for less"),
    Regression(Schedule(LEDGER, 3296), None, "the disk of an heir lied that was about to lead"),
    Regression(
        Schedule(LEDGER, 4358), None,
        "a new disk was taken for counted in while the register still named the one before it",
    ),
)  # fmt: skip

COVERING = (Schedule(LEDGER, 182), Schedule(LEDGER, 78), Schedule(LEDGER, 208), Schedule(LEDGER, 486))
"""Together they meet every transition and every kind of fault there is."""
