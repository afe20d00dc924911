"""The journal of what programs are told: a request never gets the result of another one with its id (A10)."""

from __future__ import annotations

import pytest

from es.testing.checker import Checker, Violation
from nodes.wire.schema import ProgramRequest, Receipt, Res
from ops.sim.faculty_journal import FacultyJournal
from projections.rooms.commands import Answer, Proposal, Reserve, Result

FIRST = ProgramRequest("Sistemas", 1, 0, None, "t1")
OTHER = FIRST._replace(classrooms=2)
RESERVE = Reserve("t1", 3, "Ingeniería", 1, "Sistemas", "2025-2", 1, 0)
ACCEPTED = Res("t1", "ACCEPTED", None, None, ("C1",), (), (), Receipt(1, 2, "ab", 2))
CONFLICT = Res("t1", "INVALID", "CONFLICT")
UNKNOWN = Res("t1", "UNKNOWN")


@pytest.fixture
def journal() -> FacultyJournal:
    """A transaction that the servers have confirmed, and two requests under its id."""
    made = FacultyJournal("2025-2")
    made.checker = Checker()
    made.requested((3, "t1"), FIRST)
    made.requested((3, "t1"), OTHER)
    assert made.submitted(RESERVE)
    made.said(3, Proposal("t1", ("C1",), (), (), 99), 1)
    assert made.submitted(Answer("t1", 3, True))
    made.said(3, Result("t1", "ACCEPTED", None, None, ("C1",)), 2)
    return made


def test_each_request_may_be_told_what_is_true_of_it(journal: FacultyJournal) -> None:
    for request, res in ((FIRST, UNKNOWN), (FIRST, ACCEPTED), (OTHER, CONFLICT), (OTHER, UNKNOWN), (FIRST, ACCEPTED)):
        journal.told(3, request, res)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ((FIRST, ACCEPTED), (OTHER, ACCEPTED)),
        ((FIRST, ACCEPTED), (FIRST, CONFLICT)),
        ((FIRST, CONFLICT), (FIRST, ACCEPTED)),
    ],
)
def test_the_result_of_another_request_is_found(
    journal: FacultyJournal, first: tuple[ProgramRequest, Res], then: tuple[ProgramRequest, Res]
) -> None:
    journal.told(3, *first)
    with pytest.raises(Violation, match="A10"):
        journal.told(3, *then)


def test_a_conflict_with_nothing_is_found(journal: FacultyJournal) -> None:
    journal.requested((3, "t2"), FIRST._replace(transaction_id="t2"))
    with pytest.raises(Violation, match="I5"):
        journal.told(3, FIRST._replace(transaction_id="t2"), CONFLICT._replace(transaction_id="t2"))


def test_what_no_program_asked_is_found(journal: FacultyJournal) -> None:
    assert not journal.submitted(RESERVE._replace(classrooms=2)), "a program contradicts itself"
    with pytest.raises(Violation, match="what no program asked"):
        journal.submitted(RESERVE._replace(classrooms=3))
    with pytest.raises(Violation, match="before"):
        journal.submitted(RESERVE._replace(program_id=2))
    with pytest.raises(Violation, match="not the first answer"):
        journal.submitted(Answer("t1", 3, False))
