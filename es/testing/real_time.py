"""Real time against the log: what ended before something else began must stand before it there.

This is what one copy without faults would do (linearizability), seen through sequence numbers: an answer
given by a server that no longer led, or from a state that did not commit, stands below what was there already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """A request from its first sending to its answer, by one clock in µs, and the seq its answer named."""

    began_us: int
    ended_us: int
    seq: int


def stale(spans: Iterable[Span]) -> list[Span]:
    """Those that do not stand above everything that had ended before they began (I6), by when they began."""
    by_beginning = sorted(spans)
    by_end = sorted(by_beginning, key=lambda span: span.ended_us)
    highest_seq, ended, found = 0, 0, []
    for span in by_beginning:
        while by_end[ended].ended_us < span.began_us:
            highest_seq = max(highest_seq, by_end[ended].seq)
            ended += 1
        if span.seq <= highest_seq:
            found.append(span)
    return found
