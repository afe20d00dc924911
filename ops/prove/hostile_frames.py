"""`python -m ops.prove.hostile_frames`: frames that no peer should send, for every decoder and for a running cluster.

Of eight frames four come from the grammar of the messages, three are made from frames that reached something new, and
one is followed line by line: where it reaches something new it is kept to make others from. Each goes through every
decoder (ops.prove.hostile_decoders). Afterwards a tenth as many go to the ports of a running cluster
(ops.prove.hostile_cluster), over connections like those of its own peers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from itertools import chain, islice, product
from random import Random
from typing import Final, NamedTuple

from nodes.wire.encoding import ARRAY_BYTES_MAX
from ops.prove.disks import scratch
from ops.prove.hostile_cluster import against_a_cluster
from ops.prove.hostile_controls import convicted
from ops.prove.hostile_decoders import CRASH, DECODERS, SOURCES, judged
from ops.prove.hostile_grammar import catalogue, draw_frame
from ops.prove.hostile_mutation import mutated
from ops.prove.hostile_sizes import array_near
from ops.prove.hostile_watch import Corpus, LineWatch, scales, watched, weighed
from ops.prove.outcome import Failure, Outcome, command, kept, replay
from ops.prove.resident import own_resident_kib
from ops.prove.start import start

NAME: Final = "hostile_frames"
TURNS: Final = 8
"""One frame in so many is followed line by line."""

FROM_GRAMMAR_TURN: Final = 4
"""The turns from here on take their frames from the grammar, those before from others."""

LARGE: Final = 6
"""So many of the first are as large as a frame may be: what they need, followed and weighed, the allocator keeps."""

WEIGHED_EVERY, WEIGHED_TOGETHER = 61, 256
SENT_EVERY: Final = 10
"""One frame for the cluster for so many for the decoders."""

MEMORY_GROWTH: Final = 1.10
WARMED_UP_AFTER: Final = 0.1
"""Share of the frames after which memory is what it stays."""

FAILURES_MAX: Final = 20
"""Different mistakes that are told; the number of frames that showed them is told of each."""


class Held(NamedTuple):
    """Resident memory, and Python's blocks of memory: these say exactly what is kept, that also how it lies."""

    resident_kib: int
    blocks: int


class Findings:
    """Every mistake that was seen, by its sentence: how often, and the first frame that showed it."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}
        self.frames: dict[str, bytes] = {}

    def note(self, fault: str, frame: bytes) -> None:
        """One more."""
        self.times[fault] = self.times.get(fault, 0) + 1
        self.frames.setdefault(fault, frame)

    def failures(self, again: str) -> list[Failure]:
        """Each mistake as a failure, with its frame in a file that stays."""
        failures = []
        with scratch() as directory:
            for fault, times in islice(self.times.items(), FAILURES_MAX):
                evidence = directory / "frame"
                evidence.write_bytes(self.frames[fault])
                failures.append(Failure(f"{fault} ({times} frames)", f"{again} (kept: {kept(evidence)})"))
        return failures


class Attack:
    """Frames for every decoder in this process; what is wrong goes into `findings`."""

    def __init__(self, seed: int) -> None:
        self.findings = Findings()
        self.corpus = Corpus()
        self.watch = LineWatch(SOURCES)
        self.bytes = 0
        self.allocated_max = 0
        self._to_weigh: list[bytes] = []
        self._drawn = Random(f"hostile frames {seed}")

    def run(self, count: int) -> tuple[Held, Held]:
        """That many frames: first those that are always the same. What this process holds, warmed up and in the end."""
        large = (array_near(self._drawn, ARRAY_BYTES_MAX) for _ in range(LARGE))
        first = list(islice(chain(catalogue(), large), count))
        for frame in first:
            self._follow(frame)
        self._weigh(first)
        rest = count - len(first)
        del first
        warmed_up_at, before = int(rest * WARMED_UP_AFTER), None
        for number in range(rest):
            if number == warmed_up_at:
                before = self._held()
            self._turn(number)
        after = self._held()
        return before or after, after

    def _held(self) -> Held:
        """What is held when no frame is kept to be weighed."""
        self._weigh(self._to_weigh)
        self._to_weigh.clear()
        return Held(own_resident_kib(), sys.getallocatedblocks())

    def _turn(self, number: int) -> None:
        drawn, turn = self._drawn, number % TURNS
        if turn >= FROM_GRAMMAR_TURN or (turn == 0 and number % (2 * TURNS)):
            frame = draw_frame(drawn)
        else:
            frame = mutated(self.corpus.draw(drawn), self.corpus.draw(drawn), drawn)
        if turn == 0:
            self._follow(frame)
        else:
            self.bytes += len(frame)
            for decoder in DECODERS:
                self._note(judged(decoder, frame), frame)
        if number % WEIGHED_EVERY == 0:
            self._to_weigh.append(frame)
        if len(self._to_weigh) == WEIGHED_TOGETHER:
            self._weigh(self._to_weigh)
            self._to_weigh.clear()

    def _follow(self, frame: bytes) -> None:
        self.bytes += len(frame)
        known = len(self.watch.arcs)
        for decoder in DECODERS:
            self._note(watched(decoder, frame, self.watch), frame)
        if len(self.watch.arcs) > known:
            self.corpus.add(frame, self._drawn)

    def _weigh(self, frames: Sequence[bytes]) -> None:
        with scales():
            for frame, decoder in product(frames, DECODERS):
                fault, allocated = weighed(decoder, frame)
                self._note(fault, frame)
                self.allocated_max = max(self.allocated_max, allocated)

    def _note(self, fault: str | None, frame: bytes) -> None:
        if fault is not None:
            self.findings.note(fault, frame)


def hostile_frames(count: int, seed: int) -> Outcome:
    """`count` frames for the decoders, and a tenth of that for a cluster."""
    began_s = time.monotonic()
    attack, again = Attack(seed), replay(NAME, count, seed)
    before, after = attack.run(count)
    decoders_s = time.monotonic() - began_s
    failures = attack.findings.failures(again)
    if after.resident_kib > MEMORY_GROWTH * before.resident_kib or after.blocks > MEMORY_GROWTH * before.blocks:
        failures.append(Failure(f"the decoders' process grew from {before} to {after}", again))
    controls = convicted(seed)
    failures += [Failure(f"control: {name}: not convicted", again) for name, at in controls.items() if at is None]
    cluster_began_s = time.monotonic()
    cluster, wrongs = against_a_cluster(max(count // SENT_EVERY, 1), seed)
    failures += [Failure(wrong, again) for wrong in wrongs]
    details = {
        "seed": seed,
        "crashes": sum(times for fault, times in attack.findings.times.items() if fault.startswith(CRASH)),
        "decoders": len(DECODERS),
        "bytes": attack.bytes,
        "arcs": len(attack.watch.arcs),
        "corpus": len(attack.corpus.frames),
        "allocated_max_kib": attack.allocated_max >> 10,
        "resident_kib": [before.resident_kib, after.resident_kib],
        "allocated_blocks": [before.blocks, after.blocks],
        "decoders_seconds": round(decoders_s, 1),
        "frames_per_second": round(count / decoders_s),
        "cluster_seconds": round(time.monotonic() - cluster_began_s, 1),
        **cluster,
        **{f"control: {name}": f"convicted by frame {at}" if at else "not convicted" for name, at in controls.items()},
    }
    return Outcome(NAME, count, tuple(failures), round(time.monotonic() - began_s, 1), details)


if __name__ == "__main__":
    start(command(NAME, hostile_frames, count=100_000, what="Send every decoder and a running cluster hostile frames."))
