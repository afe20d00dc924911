"""A worker process of the request-reply pattern: the stateless part of a request, one job at a time.

It decodes and checks what a client sent, and encodes what the sequencer decided. It holds nothing that is
not in the job, so that any worker can finish any transaction and a killed one costs a repetition.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from es.replication.instant import Instant
from nodes import logs, sockets
from nodes.server.jobs import DECODE, DECODED, ENCODED, READY, decode_job, encode_job, pack, unpack
from nodes.shell import Loop, die_with_parent, drain, run_process


class Worker:
    """A `Participant` of the loop."""

    def __init__(self, endpoint: str, loop: Loop, context: sockets.Context) -> None:
        self._dealer = sockets.worker_dealer(context, endpoint)
        self._dealer.send(pack((READY, os.getpid())))
        loop.register(self._dealer, self._on_ready)

    def deadline(self) -> int | None:
        """It waits for jobs only."""
        return None

    def on_turn(self, now: Instant) -> None:
        """Results leave with their job."""

    def close(self) -> None:
        """Give the socket back."""
        self._dealer.close()

    def _on_ready(self, now: Instant) -> None:
        for frames in drain(self._dealer):
            kind, job, *rest = unpack(frames[0])
            result: tuple[Any, ...] = (
                (DECODED, job, *decode_job(rest[0])) if kind == DECODE else (ENCODED, job, encode_job(*rest))
            )
            self._dealer.send(pack(result))


def main() -> None:
    """`python -m nodes.server.worker ENDPOINT PARENT_PID`: work until SIGTERM or until the parent is gone."""
    endpoint, parent = sys.argv[1], int(sys.argv[2])
    die_with_parent(parent)
    logs.configure(node=f"worker:{os.getpid()}", process="worker")
    loop, context = Loop(), sockets.context()
    loop.stop_on_signals()
    worker = Worker(endpoint, loop, context)
    run_process(loop, worker, worker.close, loop.close, context.term)


if __name__ == "__main__":
    main()
