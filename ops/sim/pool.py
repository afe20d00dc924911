"""Work spread over processes, its results in order, never more under way than the processes can keep up with."""

from __future__ import annotations

import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children
from typing import Any, TypeVar

from nodes.shell import die_with_parent

TASKS_PER_PROCESS = 3
"""One that runs, and two behind it while the oldest result is waited for."""

TOLD_TO_END = (signal.SIGINT, signal.SIGTERM)

Result = TypeVar("Result")


class Pool:
    """`jobs` processes, or this one if there is to be only one."""

    def __init__(self, executor: ProcessPoolExecutor | None, jobs: int) -> None:
        self._executor = executor
        self._under_way_max = TASKS_PER_PROCESS * jobs

    def in_order(self, call: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """`call(*task)` for one task after another. Tasks are taken only as there is room for them."""
        if self._executor is None:
            yield from (call(*task) for task in tasks)
            return
        under_way: deque[Future[Result]] = deque()
        for task in tasks:
            under_way.append(self._executor.submit(call, *task))
            if len(under_way) >= self._under_way_max:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


@contextmanager
def open_pool(jobs: int) -> Iterator[Pool]:
    """A pool for as long as the block lasts; what is still waiting when it ends is dropped."""
    if jobs == 1:
        yield Pool(None, 1)
        return
    others = active_children()
    with ProcessPoolExecutor(jobs, initializer=_prepare, initargs=(os.getpid(),)) as executor:
        try:
            _start(executor)
            yield Pool(executor, jobs)
        except BaseException:
            for worker in active_children():
                if worker not in others:
                    worker.terminate()  # nobody wants what it is busy with
            raise
        finally:
            executor.shutdown(cancel_futures=True)


def _start(executor: ProcessPoolExecutor) -> None:
    """Start all of its processes, and hear of Ctrl-C and SIGTERM only then: an executor that is interrupted while it
    starts them waits for ever, or leaves one behind."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TOLD_TO_END)
    try:
        executor.submit(os.getpid)  # the first task starts them, as they are forked
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare(parent: int) -> None:
    """A worker ends with its pool, however that ends, and not by Ctrl-C; it collects only what its schedules make."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_TO_END)
    die_with_parent(parent)
    gc.freeze()
