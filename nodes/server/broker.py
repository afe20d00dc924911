"""The load-balancing broker of the request-reply pattern (A5): a ready queue of worker processes.

A worker that is free announces itself; the one that has been idle longest gets the next job. Small jobs go first, and
large ones leave a worker to them. A job that a worker took with it when it died goes to the next one; the processes are
started again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import zmq

from es.descriptors import with_reserve
from es.replication.instant import Instant
from nodes import sockets
from nodes.logs import logger
from nodes.server.jobs import DECODE, ENCODE, READY, pack, unpack
from nodes.shell import Loop, drain
from nodes.wire.payload import SMALL_BYTES

JOBS_MAX: Final = 10_000
"""Jobs that wait for a worker or are with one; beyond it requests wait elsewhere."""

WAITING_BYTES_MAX: Final = 64 << 10
"""What waits for a worker, of small jobs and of large ones: a few milliseconds of work, for a queue is everybody's and
knows no fairness."""

ATTEMPTS_MAX: Final = 3
"""A job that took this many workers down with it is dropped."""

JOB_LIMIT_US: Final = 2_000_000
"""A worker that has not finished a job by then is taken for stuck and killed."""

RESPAWN_US: Final = 200_000
"""Least time between two starts in one worker's place."""

IPC_PATH_MAX: Final = 100
"""A Unix socket's path may not be longer."""

BROKER_WHYS: Final = ("job dropped", "worker died", "worker stuck", "late result")

Done = Callable[..., None]


@dataclass(slots=True)
class Job:
    """`done(*result)` is called with what the worker answers, in this process's loop."""

    request: bytes
    done: Done
    attempts: int = 0

    @property
    def is_large(self) -> bool:
        """Whether others should not wait for it."""
        return len(self.request) > SMALL_BYTES


@dataclass(slots=True)
class Queue:
    """Jobs that wait, by their numbers, and the bytes of their requests."""

    jobs: deque[int] = field(default_factory=deque)
    bytes: int = 0


@dataclass(slots=True)
class Process:
    """One place in the pool."""

    started_us: int
    popen: subprocess.Popen[bytes] | None = None
    pidfd: int = -1


@dataclass(slots=True)
class Busy:
    """A worker at work."""

    job_id: int
    since_us: int
    pid: int


class Broker:
    """Owns the pool. Call `tick` at the latest at `deadline`."""

    def __init__(self, size: int, directory: Path, loop: Loop, context: sockets.Context) -> None:
        self._loop = loop
        self._own_directory: Path | None = None
        path = directory / "workers"
        if len(str(path)) > IPC_PATH_MAX:
            self._own_directory = Path(tempfile.mkdtemp(prefix="aulario-"))
            path = self._own_directory / "workers"
        path.unlink(missing_ok=True)
        self._endpoint = f"ipc://{path}"
        self._router = sockets.worker_router(context, self._endpoint)
        path.chmod(0o600)  # whatever the umask: who may write to it may take a worker's place
        loop.register(self._router, self._on_ready)
        self.ignored: Counter[str] = Counter(dict.fromkeys(BROKER_WHYS, 0))
        self._jobs: dict[int, Job] = {}
        self._small, self._large = Queue(), Queue()
        self._next_job = 0
        self._ready: OrderedDict[bytes, int] = OrderedDict()
        self._busy: dict[bytes, Busy] = {}
        self._pool = [Process(-RESPAWN_US) for _ in range(size)]
        self._next_check_us = 0

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run."""
        return [process.popen.pid for process in self._pool if process.popen is not None]

    def is_full(self, size_bytes: int) -> bool:
        """True if no further request of that size should be taken at this moment."""
        queue = self._large if size_bytes > SMALL_BYTES else self._small
        return len(self._jobs) >= JOBS_MAX or queue.bytes >= WAITING_BYTES_MAX

    def decode(self, payload: bytes, done: Done) -> None:
        """Have a request decoded and checked: `done(encoding, is_array, tagged messages)`."""
        self._take(lambda job_id: (DECODE, job_id, payload), done)

    def encode(self, encoding: str, answers: list[tuple[Any, ...]], done: Done) -> None:
        """Have answers encoded: `done(payload)`."""
        self._take(lambda job_id: (ENCODE, job_id, encoding, answers), done)

    def _take(self, request: Callable[[int], tuple[Any, ...]], done: Done) -> None:
        self._next_job += 1
        job = self._jobs[self._next_job] = Job(pack(request(self._next_job)), done)
        queue = self._queue_of(job)
        queue.jobs.append(self._next_job)
        queue.bytes += len(job.request)

    def _queue_of(self, job: Job) -> Queue:
        return self._large if job.is_large else self._small

    def _next_queue(self) -> Queue | None:
        """Whose turn it is: of several workers one is left to small jobs."""
        if self._small.jobs:
            return self._small
        large = sum(self._jobs[busy.job_id].is_large for busy in self._busy.values())
        return self._large if self._large.jobs and large < max(len(self._pool) - 1, 1) else None

    def dispatch(self, now_us: int) -> None:
        """Give waiting jobs to waiting workers, the longest idle first."""
        while self._ready and (queue := self._next_queue()) is not None:
            route, pid = self._ready.popitem(last=False)
            job_id = queue.jobs.popleft()
            job = self._jobs[job_id]
            try:
                self._router.send_multipart([route, job.request], zmq.NOBLOCK)
            except zmq.ZMQError as error:
                if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                    raise
                queue.jobs.appendleft(job_id)  # that worker is gone; its process will be missed, too
                continue
            queue.bytes -= len(job.request)
            self._busy[route] = Busy(job_id, now_us, pid)

    def deadline(self) -> int:
        """Boot time in µs of the next look at the pool."""
        return self._next_check_us

    def tick(self, now: Instant) -> None:
        """Start what is missing, end what is stuck, hand out what waits."""
        if now.boot_us >= self._next_check_us:
            self._next_check_us = now.boot_us + RESPAWN_US
            for process in self._pool:
                if process.popen is None and now.boot_us - process.started_us >= RESPAWN_US:
                    self._start(process, now)
            for busy in list(self._busy.values()):
                if now.boot_us - busy.since_us > JOB_LIMIT_US:
                    self._kill(busy)
        self.dispatch(now.boot_us)

    def close(self) -> None:
        """End the workers and give everything back."""
        running = [process for process in self._pool if process.popen is not None]
        for process in running:
            assert process.popen is not None
            self._loop.unregister(process.pidfd)
            os.close(process.pidfd)
            process.popen.terminate()
        for process in running:
            assert process.popen is not None
            try:
                process.popen.wait(2)
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
        self._loop.unregister(self._router)
        self._router.close()
        if self._own_directory is not None:
            shutil.rmtree(self._own_directory, ignore_errors=True)

    def _start(self, process: Process, now: Instant) -> None:
        process.started_us = now.boot_us
        command = [sys.executable, "-m", "nodes.server.worker", self._endpoint, str(os.getpid())]
        process.popen = popen = with_reserve(lambda: subprocess.Popen(command, stdin=subprocess.DEVNULL))
        process.pidfd = with_reserve(lambda: os.pidfd_open(popen.pid))
        self._loop.register(process.pidfd, partial(self._on_death, process))

    def _on_death(self, process: Process, now: Instant) -> None:
        """Its job goes to another worker; its place is filled again."""
        assert process.popen is not None
        pid, status = process.popen.pid, process.popen.wait()
        self._loop.unregister(process.pidfd)
        os.close(process.pidfd)
        process.popen, process.pidfd = None, -1
        self._next_check_us = min(self._next_check_us, max(now.boot_us, process.started_us + RESPAWN_US))
        self.ignored["worker died"] += 1
        logger().warning("a worker died and is replaced", pid=pid, status=status)
        self._ready = OrderedDict((route, one) for route, one in self._ready.items() if one != pid)
        for route, busy in list(self._busy.items()):
            if busy.pid == pid:
                del self._busy[route]
                self._again(busy.job_id)

    def _again(self, job_id: int) -> None:
        job = self._jobs[job_id]
        job.attempts += 1
        if job.attempts < ATTEMPTS_MAX:
            queue = self._queue_of(job)
            queue.jobs.appendleft(job_id)
            queue.bytes += len(job.request)
        else:
            del self._jobs[job_id]
            self.ignored["job dropped"] += 1

    def _kill(self, busy: Busy) -> None:
        for process in self._pool:
            if process.popen is not None and process.popen.pid == busy.pid:
                self.ignored["worker stuck"] += 1
                process.popen.kill()

    def _on_ready(self, now: Instant) -> None:
        for route, *frames in drain(self._router):
            kind, *rest = unpack(frames[0])
            if kind == READY:
                self._ready[route] = rest[0]
                continue
            busy = self._busy.pop(route, None)
            if busy is None:
                self.ignored["late result"] += 1
                continue
            self._ready[route] = busy.pid
            job = self._jobs.pop(rest[0])
            job.done(*rest[1:], now)
        self.dispatch(now.boot_us)
