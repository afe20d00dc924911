"""What a decoder does with a frame, watched from outside: which lines run, how many, and how much is allocated.

Counts and not times: the same on a busy machine. Work within the C of a library is not in the lines, but what it
allocates is in the bytes.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from random import Random
from types import CodeType, FrameType
from typing import Any

from ops.prove.hostile_decoders import Decoder, judged

LINES_BASE, LINES_A_BYTE = 2_000, 64
"""A decoder may run so many lines, and so many more for each byte of a frame: an empty map is one byte."""

ALLOCATED_BASE, ALLOCATED_A_BYTE = 256 << 10, 128
"""It may allocate so many bytes, and so many more for each byte of a frame: the smallest map of Python's has 64."""

CORPUS_MAX, CORPUS_FRAME_BYTES_MAX = 1_024, 2 << 10

Arc = tuple[CodeType, int, int]
"""Two lines of one function, run one after the other."""


class LineWatch:
    """Counts the lines that run in some files; `arcs` gathers every pair that was ever met."""

    def __init__(self, sources: Collection[str]) -> None:
        self._sources = sources
        self.arcs: set[Arc] = set()
        self.lines = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count from 0 during the block."""
        self.lines = 0
        before = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in self._sources:
            return None
        code, arcs, last = frame.f_code, self.arcs, 0

        def on_line(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal last
            if event == "line":
                self.lines += 1
                line = frame.f_lineno
                arcs.add((code, last, line))
                last = line
            return on_line

        return on_line


class Corpus:
    """Frames that were the first to reach some lines in some order: where to go on from. A bounded number of them;
    beyond it a new one takes the place of any."""

    def __init__(self) -> None:
        self.frames: list[bytes] = [b"\x80"]

    def add(self, frame: bytes, drawn: Random) -> None:
        """Keep a frame, if it is small enough to be worth it."""
        if len(frame) > CORPUS_FRAME_BYTES_MAX:
            return
        if len(self.frames) < CORPUS_MAX:
            self.frames.append(frame)
        else:
            self.frames[drawn.randrange(CORPUS_MAX)] = frame

    def draw(self, drawn: Random) -> bytes:
        """One of them."""
        return drawn.choice(self.frames)


def watched(decoder: Decoder, frame: bytes, watch: LineWatch) -> str | None:
    """What is wrong with how it takes the frame, the number of lines it runs included."""
    with watch.watching():
        fault = judged(decoder, frame)
    if fault is None and watch.lines > LINES_BASE + LINES_A_BYTE * len(frame):
        return f"{decoder.name}: more than {LINES_BASE} lines and {LINES_A_BYTE} a byte"
    return fault


@contextmanager
def scales() -> Iterator[None]:
    """The block may weigh. For many frames at once: each time it is entered costs Python some memory for good."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def weighed(decoder: Decoder, frame: bytes) -> tuple[str | None, int]:
    """Within `scales`: what is wrong with what it allocates for the frame, if anything, and how many bytes that are."""
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    with suppress(Exception):  # what it may raise is for `judged` to say; here it is about bytes
        decoder.decode(frame)
    allocated = tracemalloc.get_traced_memory()[1] - before
    if allocated > ALLOCATED_BASE + ALLOCATED_A_BYTE * len(frame):
        bound = f"{ALLOCATED_BASE >> 10} KiB and {ALLOCATED_A_BYTE} a byte"
        return f"{decoder.name}: allocates more than {bound}", allocated
    return None, allocated
