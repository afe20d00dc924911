"""Hostile frames for every decoder (ops.prove.hostile_decoders), in a process that does nothing else.

Of eight frames four come from the grammar of the messages, three are made from frames that reached something new, and
one is followed line by line: where it reaches something new it is kept to make others from.

The process has the C library's allocator in the place of Python's own. Python gives memory back by the MiB, and then
only where nothing at all is left: a few new objects of some bytes, made at a bad moment, keep as many MiB.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import islice, product
from random import Random
from typing import Final, NamedTuple

import msgpack

from nodes.shell import die_with_parent
from ops.prove.hostile_decoders import DECODERS, SOURCES, judged
from ops.prove.hostile_grammar import catalogue, draw_frame
from ops.prove.hostile_mutation import mutated
from ops.prove.hostile_watch import Corpus, LineWatch, scales, watched, weighed
from ops.prove.provenance import CHECKOUT
from ops.prove.resident import own_resident_kib

TURNS: Final = 8
"""One frame in so many is followed line by line."""

FROM_GRAMMAR_TURN: Final = 4
"""The turns from here on take their frames from the grammar, those before from others."""

WEIGHED_EVERY, WEIGHED_TOGETHER = 61, 256
WARMED_UP_AFTER: Final = 0.1
"""Share of the frames after which memory is what it stays."""

ENDS_WITHIN_S, FRAMES_A_SECOND_MIN = 60, 100
"""A decoder that is slower than this hangs: thousands a second are usual."""


class Attacked(NamedTuple):
    """`times`: every mistake that was seen, by its sentence, and how often; `frames`: the first that showed it.
    `resident_kib`: memory of the process, warmed up and in the end."""

    times: dict[str, int]
    frames: dict[str, bytes]
    resident_kib: tuple[int, int]
    bytes: int
    arcs: int
    corpus: int
    allocated_max: int


class Ended(Exception):
    """The process did not do what it was asked for; the sentence says what it did."""


def attacked(count: int, seed: int) -> Attacked:
    """What so many frames did to the decoders. Raises Ended."""
    within_s = ENDS_WITHIN_S + count / FRAMES_A_SECOND_MIN
    try:
        ended = subprocess.run(
            (sys.executable, "-m", __name__, str(count), str(seed)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=within_s, cwd=CHECKOUT,
            env={**os.environ, "PYTHONMALLOC": "malloc"}, start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Ended(f"the decoders were not done within {within_s:.0f} s") from None
    if ended.returncode:
        raise Ended(f"the decoders' process ended with {ended.returncode}")
    return Attacked(*msgpack.unpackb(ended.stdout))


class _Attack:
    """Frames for every decoder in this process."""

    def __init__(self, seed: int) -> None:
        self._times: dict[str, int] = {}
        self._frames: dict[str, bytes] = {}
        self._corpus = Corpus()
        self._watch = LineWatch(SOURCES)
        self._bytes = 0
        self._allocated_max = 0
        self._to_weigh: list[bytes] = []
        self._drawn = Random(f"hostile frames {seed}")

    def run(self, count: int) -> Attacked:
        """That many frames: first those that are always the same."""
        first = list(islice(catalogue(), count))
        for frame in first:
            self._follow(frame)
        self._weigh(first)
        rest = count - len(first)
        del first
        warmed_up_at, warmed_up = int(rest * WARMED_UP_AFTER), 0
        for number in range(rest):
            if number == warmed_up_at:
                warmed_up = self._resident_kib()
            self._turn(number)
        last = self._resident_kib()
        return Attacked(
            self._times, self._frames, (warmed_up or last, last), self._bytes, len(self._watch.arcs),
            len(self._corpus.frames), self._allocated_max,
        )  # fmt: skip

    def _resident_kib(self) -> int:
        """Memory that is held when no frame is kept to be weighed."""
        self._weigh_what_waits()
        return own_resident_kib()

    def _turn(self, number: int) -> None:
        drawn, turn = self._drawn, number % TURNS
        if turn >= FROM_GRAMMAR_TURN or (turn == 0 and number % (2 * TURNS)):
            frame = draw_frame(drawn)
        else:
            frame = mutated(self._corpus.draw(drawn), self._corpus.draw(drawn), drawn)
        if turn == 0:
            self._follow(frame)
        else:
            self._bytes += len(frame)
            for decoder in DECODERS:
                self._note(judged(decoder, frame), frame)
        if number % WEIGHED_EVERY == 0:
            self._to_weigh.append(frame)
        if len(self._to_weigh) == WEIGHED_TOGETHER:
            self._weigh_what_waits()

    def _follow(self, frame: bytes) -> None:
        self._bytes += len(frame)
        known = len(self._watch.arcs)
        for decoder in DECODERS:
            self._note(watched(decoder, frame, self._watch), frame)
        if len(self._watch.arcs) > known:
            self._corpus.add(frame, self._drawn)

    def _weigh_what_waits(self) -> None:
        self._weigh(self._to_weigh)
        self._to_weigh.clear()

    def _weigh(self, frames: Sequence[bytes]) -> None:
        with scales():
            for frame, decoder in product(frames, DECODERS):
                fault, allocated = weighed(decoder, frame)
                self._note(fault, frame)
                self._allocated_max = max(self._allocated_max, allocated)

    def _note(self, fault: str | None, frame: bytes) -> None:
        if fault is not None:
            self._times[fault] = self._times.get(fault, 0) + 1
            self._frames.setdefault(fault, frame)


if __name__ == "__main__":
    _count, _seed = map(int, sys.argv[1:])
    sys.stdout.buffer.write(msgpack.packb(_Attack(_seed).run(_count)))
