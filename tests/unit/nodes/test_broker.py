"""Whose turn it is in the pool of workers, which are sockets here and no processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from es.replication.instant import Instant
from nodes import sockets
from nodes.server.broker import WAITING_BYTES_MAX, Broker
from nodes.server.jobs import DECODED, READY, pack, unpack
from nodes.shell import Loop
from nodes.sockets import Socket
from nodes.wire.payload import SMALL_BYTES

WITHIN_MS = 10_000
SMALL, LARGE = b"s" * 100, b"L" * (SMALL_BYTES + 1)


class Pool:
    """A broker of so many workers, of which none is started; it is its loop's participant."""

    def __init__(self, directory: Path, size: int) -> None:
        self.context = sockets.context()
        self.loop = Loop()
        self.broker = Broker(size, directory, self.loop, self.context)
        self.workers = [sockets.worker_dealer(self.context, f"ipc://{directory / 'workers'}") for _ in range(size)]
        self.done: list[str] = []
        self.fetched: list[bytes] = []
        for number, worker in enumerate(self.workers):
            assert worker.poll(WITHIN_MS, zmq.POLLOUT)
            worker.send(pack((READY, number)))
        while len(self.broker._ready) < size:
            self.loop.turn(self)

    def deadline(self) -> int:
        return self.loop.clock().boot_us

    def on_turn(self, now: Instant) -> None:
        """Nothing but what the broker does."""

    def give(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.broker.decode(payload, lambda name, *_: self.done.append(name))
        self.broker.dispatch(0)

    def finish(self, worker: Socket, job_id: int, name: str) -> None:
        worker.send(pack((DECODED, job_id, name, False, ())))
        before = len(self.done)
        self.fetched.clear()
        while len(self.done) == before:
            self.loop.turn(self)

    def jobs(self) -> list[bytes]:
        """What has been given to workers and was not fetched yet."""
        under_way = len(self.broker._busy)
        while len(self.fetched) < under_way:
            for worker in self.workers:
                if worker.poll(1):
                    self.fetched.append(unpack(worker.recv())[2])
        return self.fetched

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.broker.close()
        self.loop.close()
        self.context.term()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    pool = Pool(tmp_path, 2)
    yield pool
    pool.close()


def test_large_jobs_leave_a_worker_to_small_ones(pool: Pool) -> None:
    pool.give(LARGE, LARGE)
    assert pool.jobs() == [LARGE]


def test_small_jobs_go_first(pool: Pool) -> None:
    pool.give(SMALL, LARGE, SMALL)
    assert pool.jobs() == [SMALL, SMALL]
    assert list(pool.broker._large.jobs) == [2]


def test_a_large_job_that_waits_keeps_no_small_one_out(pool: Pool) -> None:
    pool.give(*[LARGE] * (2 + WAITING_BYTES_MAX // len(LARGE)))
    assert pool.broker.is_full(len(LARGE))
    assert not pool.broker.is_full(len(SMALL))


def test_one_worker_does_everything(tmp_path: Path) -> None:
    pool = Pool(tmp_path, 1)
    try:
        pool.give(SMALL, LARGE, SMALL)
        for job_id, job in ((1, SMALL), (3, SMALL), (2, LARGE)):
            assert pool.jobs() == [job]
            pool.finish(pool.workers[0], job_id, str(job_id))
        assert pool.done == ["1", "3", "2"]
    finally:
        pool.close()
