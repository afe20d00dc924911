"""Shares of what is bounded: nobody uses it up for everybody.

A program may use one more while what all use, what its faculty uses and what it uses itself are together below the
bound. So a program alone gets a third, a faculty alone half, and whoever comes next finds at least that much free: a
dynamic threshold, as Choudhury and Hahne found for buffers that are shared. Nothing is set aside, so nothing lies idle,
and it depends on the state alone.
"""

from __future__ import annotations

from collections import defaultdict


class Share:
    """What a faculty, or one of its programs, uses: transactions on record, in all and by their term's number; terms
    that it opened, those still open and ever. Proposals `held` and registered `programs` are a faculty's alone."""

    __slots__ = ("by_term", "held", "open_terms", "programs", "terms_ever", "transactions")

    def __init__(self) -> None:
        self.transactions = 0
        self.by_term: defaultdict[int, int] = defaultdict(int)
        self.open_terms = 0
        self.terms_ever = 0
        self.held = 0
        self.programs = 0

    def forget(self, term: int) -> None:
        """Its transactions of a term are not remembered any more."""
        self.transactions -= self.by_term.pop(term, 0)

    def to_plain(self) -> tuple[int | tuple[tuple[int, int], ...], ...]:
        """All of it, sorted."""
        by_term = tuple(sorted(self.by_term.items()))
        return self.transactions, by_term, self.open_terms, self.terms_ever, self.held, self.programs


Pair = tuple[Share, Share]
"""A faculty's share and that of one of its programs."""

_NONE: Share = Share()


class Shares:
    """The shares of all."""

    __slots__ = ("_faculties", "_pairs")

    def __init__(self) -> None:
        self._faculties: dict[int, Share] = {}
        self._pairs: dict[tuple[int, int], Pair] = {}

    def used_by(self, faculty_id: int, program_id: int) -> Pair:
        """What they use so far: to be read only."""
        return self._pairs.get((faculty_id, program_id)) or (self._faculties.get(faculty_id, _NONE), _NONE)

    def of(self, faculty_id: int, program_id: int) -> Pair:
        """Their shares, to be changed."""
        pair = self._pairs.get((faculty_id, program_id))
        if pair is None:
            faculty = self._faculties.setdefault(faculty_id, Share())
            pair = self._pairs[faculty_id, program_id] = faculty, Share()
        return pair

    def begin(self, term: int, faculty_id: int, program_id: int) -> Pair:
        """A transaction of that term has come on record. Gives their shares, to be changed."""
        pair = self._pairs.get((faculty_id, program_id)) or self.of(faculty_id, program_id)
        faculty, program = pair
        faculty.transactions += 1
        program.transactions += 1
        faculty.by_term[term] += 1
        program.by_term[term] += 1
        return pair

    def end_hold(self, faculty_id: int) -> None:
        """One of the faculty's proposals is held no more."""
        self._faculties[faculty_id].held -= 1

    def forget(self, term: int) -> None:
        """A term was closed, with all its transactions."""
        for share in self._faculties.values():
            share.forget(term)
        for _, share in self._pairs.values():
            share.forget(term)

    def to_plain(self) -> tuple[object, ...]:
        """All of it, sorted: equal for equal histories."""
        faculties = tuple((faculty_id, share.to_plain()) for faculty_id, share in sorted(self._faculties.items()))
        programs = tuple((ids, pair[1].to_plain()) for ids, pair in sorted(self._pairs.items()))
        return faculties, programs
