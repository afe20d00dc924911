"""What a faculty says to the servers in a script: `reserve t1 2 1` (classrooms, labs), `accept t1`, `reject t1`,
each with `by N` if it is not faculty 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from projections.rooms.catalog import CLASSROOM, LAB, Catalog, Room
from projections.rooms.commands import Answer, Proposal, Reserve, Result
from projections.rooms.machine import NAME, Rooms

CATALOG = Catalog.of(
    Room(f"{kind[0].upper()}{number}", kind, "B", 30)
    for kind, count in ((CLASSROOM, 3), (LAB, 1))
    for number in range(1, count + 1)
)
"""So few rooms that one faculty can hold them all."""


class RoomsVocabulary:
    """An es.testing.scenario.Vocabulary."""

    application = NAME

    def machine(self) -> Rooms:
        return Rooms(CATALOG)

    def command(self, words: Sequence[str]) -> Reserve | Answer | None:
        match words:
            case [*said, "by", faculty]:
                return _command(said, int(faculty))
        return _command(words, 1)

    def told(self, answer: Any) -> str:
        if isinstance(answer, Proposal):
            return f"PROPOSED {_rooms(answer)}"
        assert isinstance(answer, Result)
        return " ".join(filter(None, (answer.status, answer.code, _rooms(answer))))


def _command(words: Sequence[str], faculty_id: int) -> Reserve | Answer | None:
    match words:
        case ["reserve", transaction_id, classrooms, labs]:
            faculty = f"Faculty {faculty_id}"
            return Reserve(transaction_id, faculty_id, faculty, 1, "Biology", "2031-1", int(classrooms), int(labs))
        case ["accept" | "reject" as word, transaction_id]:
            return Answer(transaction_id, faculty_id, word == "accept")
    return None


def _rooms(answer: Proposal | Result) -> str:
    return " ".join((*answer.classrooms, *answer.labs, *answer.mobile))
