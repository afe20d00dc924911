"""`python -m ops.prove.hostile_frames`: frames that no peer should send, for every decoder and for a running cluster.

First they go through every decoder in a process of its own (ops.prove.hostile_attack), then a tenth as many to the
ports of a running cluster (ops.prove.hostile_cluster), over connections like those of its own peers.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import Any, Final

from ops.prove.disks import scratch
from ops.prove.hostile_attack import Attacked, Ended, attacked
from ops.prove.hostile_cluster import against_a_cluster
from ops.prove.hostile_controls import convicted
from ops.prove.hostile_decoders import CRASH, DECODERS
from ops.prove.outcome import Failure, Outcome, command, kept, replay
from ops.prove.start import start

NAME: Final = "hostile_frames"
SENT_EVERY: Final = 10
"""One frame for the cluster for so many for the decoders."""

MEMORY_GROWTH: Final = 1.10
FAILURES_MAX: Final = 20
"""Different mistakes that are told; the number of frames that showed them is told of each."""


def hostile_frames(count: int, seed: int) -> Outcome:
    """`count` frames for the decoders, and a tenth of that for a cluster."""
    began_s = time.monotonic()
    again = replay(NAME, count, seed)
    details, failures = _of_decoders(count, seed, again)
    controls = convicted(seed)
    failures += [Failure(f"control: {name}: not convicted", again) for name, at in controls.items() if at is None]
    cluster_began_s = time.monotonic()
    cluster, wrongs = against_a_cluster(max(count // SENT_EVERY, 1), seed)
    failures += [Failure(wrong, again) for wrong in wrongs]
    details |= {
        "cluster_seconds": round(time.monotonic() - cluster_began_s, 1),
        **cluster,
        **{f"control: {name}": f"convicted by frame {at}" if at else "not convicted" for name, at in controls.items()},
    }
    return Outcome(NAME, count, tuple(failures), round(time.monotonic() - began_s, 1), details)


def _of_decoders(count: int, seed: int, again: str) -> tuple[dict[str, Any], list[Failure]]:
    """Figures of the decoders, and what is wrong with them."""
    began_s = time.monotonic()
    try:
        found = attacked(count, seed)
    except Ended as ended:
        return {"seed": seed}, [Failure(str(ended), again)]
    seconds = time.monotonic() - began_s
    failures = _mistakes(found, again)
    warmed_up_kib, last_kib = found.resident_kib
    if last_kib > MEMORY_GROWTH * warmed_up_kib:
        failures.append(Failure(f"the decoders' process grew from {warmed_up_kib} to {last_kib} KiB", again))
    return {
        "seed": seed,
        "crashes": sum(times for fault, times in found.times.items() if fault.startswith(CRASH)),
        "decoders": len(DECODERS),
        "bytes": found.bytes,
        "arcs": found.arcs,
        "corpus": found.corpus,
        "allocated_max_kib": found.allocated_max >> 10,
        "resident_kib": list(found.resident_kib),
        "decoders_seconds": round(seconds, 1),
        "frames_per_second": round(count / seconds),
    }, failures


def _mistakes(found: Attacked, again: str) -> list[Failure]:
    """Each mistake as a failure, with its frame in a file that stays."""
    failures = []
    with scratch() as directory:
        for fault, times in islice(found.times.items(), FAILURES_MAX):
            evidence = directory / "frame"
            evidence.write_bytes(found.frames[fault])
            failures.append(Failure(f"{fault} ({times} frames)", f"{again} (kept: {kept(evidence)})"))
    return failures


if __name__ == "__main__":
    start(command(NAME, hostile_frames, count=100_000, what="Send every decoder and a running cluster hostile frames."))
