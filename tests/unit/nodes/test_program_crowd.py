"""A crowd of programs: everybody is told, so many at once, and what is not definite is asked again with its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import zmq

from nodes import sockets, wire
from nodes.clients.program_crowd import ASKS_MAX, Wish, run_crowd
from nodes.config.cluster import ClusterConfig, one_host
from nodes.security.curve import OPEN
from nodes.sockets import Context
from nodes.wire.encoding import Encoding
from nodes.wire.schema import ProgramRequest, Res
from projections.timings import Told

Answer = Callable[[str, int], Res | None]
"""What a scripted faculty says to a transaction's n-th request; None: nothing."""


def crowd(directory: Path, answer: Answer, programs: int, in_flight_max: int, answer_ms: int) -> tuple[list[Told], int]:
    """What the programs of one scripted faculty are told, and how many requests it had at once at most."""
    context = sockets.context()
    router = sockets.program_router(context, "tcp://127.0.0.1:*", OPEN)
    config = one_host(directory, cluster_id="c", faculties=1)
    timing = replace(config.timing, answer_ms=answer_ms, retry_ms=answer_ms // 2)
    faculty = replace(config.faculties[0], endpoint=sockets.bound_endpoint(router))
    script = _Script(router, answer)
    thread = Thread(target=script.run)
    thread.start()
    wishes = [Wish(faculty, ProgramRequest(f"Programa {n}", 7, 2, "t", f"id-{n}")) for n in range(programs)]
    try:
        told = _run(replace(config, timing=timing), wishes, in_flight_max, context)
    finally:
        script.is_over = True
        thread.join()
        router.close()
        context.term()
    return told, script.at_once_max


def _run(config: ClusterConfig, wishes: list[Wish], in_flight_max: int, context: Context) -> list[Told]:
    seen: list[Told] = []
    told = run_crowd(config, wishes, in_flight_max, context, lambda _: OPEN, seen.append)
    assert seen == told
    return told


class _Script:
    """Answers whatever is there once nothing more comes."""

    def __init__(self, router: sockets.Socket, answer: Answer) -> None:
        self._router = router
        self._answer = answer
        self.at_once_max = 0
        self.is_over = False

    def run(self) -> None:
        asked: Counter[str] = Counter()
        waiting: list[tuple[bytes, Res]] = []
        while not self.is_over:
            if self._router.poll(50):
                route, _, payload = self._router.recv_multipart(zmq.NOBLOCK)
                request, _ = wire.decode_program_request(payload)
                assert isinstance(request, ProgramRequest)
                assert request.transaction_id is not None
                asked[request.transaction_id] += 1
                res = self._answer(request.transaction_id, asked[request.transaction_id])
                waiting += [(route, res)] if res else []
                self.at_once_max = max(self.at_once_max, len(waiting))
                continue
            for route, res in waiting:
                self._router.send_multipart((route, b"", wire.encode(res, Encoding.MSGPACK)))
            waiting.clear()


def test_everybody_is_told_and_no_more_ask_at_once_than_may(tmp_path: Path) -> None:
    told, at_once_max = crowd(tmp_path, lambda tx, n: Res(tx, "DENIED", "NOT_ENOUGH_ROOMS"), 10, 4, 1_000)
    assert sorted(one.program for one in told) == [f"Programa {n}" for n in range(10)]
    assert {(one.status, one.code, one.pattern, one.attempts) for one in told} == {
        ("DENIED", "NOT_ENOUGH_ROOMS", "async", 1)
    }
    assert all(one.us > 0 and one.transaction_id == f"id-{one.program.split()[1]}" for one in told)
    assert at_once_max == 4


@pytest.mark.parametrize("status", ["UNAVAILABLE", "UNKNOWN"])
def test_what_is_not_definite_is_asked_again_with_its_id(tmp_path: Path, status: str) -> None:
    told, _ = crowd(tmp_path, lambda tx, n: Res(tx, status if n == 1 else "CANCELED"), 2, 2, 1_000)
    assert [(one.status, one.attempts) for one in told] == [("CANCELED", 2)] * 2
    told, _ = crowd(tmp_path, lambda tx, n: Res(tx, status), 1, 1, 1_000)
    assert [(one.status, one.attempts) for one in told] == [(status, ASKS_MAX)]


def test_a_lost_answer_is_asked_for_on_another_connection(tmp_path: Path) -> None:
    told, _ = crowd(tmp_path, lambda tx, n: Res(tx, "DENIED") if n > 1 else None, 1, 1, 100)
    assert [(one.status, one.attempts) for one in told] == [("DENIED", 2)]
