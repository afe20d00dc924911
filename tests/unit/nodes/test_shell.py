"""The poll loop and what a process owes its host."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from es.errors import LogWriteFailed
from es.replication.instant import Instant
from nodes import sockets
from nodes.security import principals
from nodes.security.curve import OPEN
from nodes.shell import Loop, drain, read_clock

ROOT = Path(__file__).parents[3]


class Turns:
    """A participant that does what it is told at the end of each turn."""

    def __init__(self, on_turn: Callable[[Instant], None], deadline_us: int | None = None) -> None:
        self._on_turn = on_turn
        self._deadline_us = deadline_us

    def deadline(self) -> int | None:
        return self._deadline_us

    def on_turn(self, now: Instant) -> None:
        self._on_turn(now)


def test_the_clocks_move_forward_in_microseconds() -> None:
    first, second = read_clock(), read_clock()
    assert first.boot_us <= second.boot_us
    assert 1_600_000_000_000_000 < first.wall_us < 4_000_000_000_000_000


def test_a_ready_source_is_delivered_before_the_turn_ends() -> None:
    loop, seen = Loop(), []
    read, write = os.pipe()
    loop.register(read, lambda now: seen.append(os.read(read, 10)))
    os.write(write, b"hello")
    loop.turn(Turns(lambda now: seen.append(b"turn")))
    assert seen == [b"hello", b"turn"]
    loop.unregister(read)
    os.write(write, b"unheard")
    loop.turn(Turns(lambda now: seen.append(b"turn"), deadline_us=0))
    assert seen == [b"hello", b"turn", b"turn"]
    os.close(read)
    os.close(write)
    loop.close()


def test_a_deadline_ends_the_wait_and_is_reached() -> None:
    loop = Loop()
    turns: list[Instant] = []
    due_us = read_clock().boot_us + 3_000
    while not turns or turns[-1].boot_us < due_us:
        loop.turn(Turns(turns.append, due_us))
    loop.close()


def test_drain_takes_no_more_than_its_bound() -> None:
    context = sockets.context()
    router = sockets.request_router(context, "tcp://127.0.0.1:*", OPEN)
    dealer = sockets.request_dealer(context, sockets.bound_endpoint(router), principals.server("a"), OPEN)
    assert dealer.poll(5_000, 2), "it connects"
    for number in range(10):
        dealer.send_multipart([b"", b"%d" % number])
    received: list[bytes] = []
    while len(received) < 10:
        assert router.poll(5_000)
        drained = drain(router, 4)
        assert 0 < len(drained) <= 4
        received += [frames[-1] for frames in drained]
    assert received == [b"%d" % number for number in range(10)]
    assert drain(router) == []
    router.close()
    dealer.close()
    context.term()


def test_stop_from_another_thread_ends_the_wait() -> None:
    loop = Loop()
    stopper = threading.Thread(target=loop.stop)
    stopper.start()
    loop.run(Turns(lambda now: None))
    stopper.join()  # it may still be waking the loop that has ended
    loop.close()


@pytest.mark.parametrize(
    ("error", "is_unexpected"),
    [
        (RuntimeError("broken invariant"), True),
        (LogWriteFailed("the log could not be written"), False),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "programs.json"), False),
        (OSError(errno.EBADF, os.strerror(errno.EBADF)), True),
    ],
    ids=["a fault of ours", "on purpose", "a disk that is full", "another one of the system"],
)
def test_what_a_callback_raises_ends_the_run(error: Exception, is_unexpected: bool) -> None:
    """What says by itself why it ends the process is not logged as unexpected besides."""

    def fail(now: Instant) -> None:
        raise error

    loop = Loop()
    with capture_logs() as lines, pytest.raises(type(error)) as raised:
        loop.run(Turns(fail, deadline_us=0))
    loop.close()
    assert raised.value is error
    assert ("an unexpected error ends the process" in [line["event"] for line in lines]) is is_unexpected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_loop_cleanly_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    loop = Loop()
    loop.stop_on_signals()
    loop.run(Turns(lambda now: os.kill(os.getpid(), number), deadline_us=0))
    loop.close()
    assert signal.getsignal(number) is before


PARENT = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c",
     "import sys; from nodes.shell import die_with_parent; die_with_parent(int(sys.argv[1]));"
     "print('ready', flush=True); sys.stdin.read()", str(os.getpid())],
    stdin=int(sys.argv[1]), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_child_dies_with_its_parent_however_that_ends() -> None:
    held_read, held_write = os.pipe()  # the child waits on this pipe for ever, unless the kernel ends it
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(held_read)], cwd=ROOT, stdout=subprocess.PIPE, pass_fds=[held_read]
    )
    os.close(held_read)
    with parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        assert parent.wait(10) == -signal.SIGKILL
    assert child_pid > 0
    with pytest.raises(BrokenPipeError):  # the only reader is gone, or goes while we fill the pipe
        _fill(held_write)
    os.close(held_write)


def _fill(descriptor: int) -> None:
    while True:
        os.write(descriptor, b"x" * 65_536)


def test_every_source_of_a_turn_gets_a_reading_of_its_own() -> None:
    readings = iter(range(100))
    loop, seen = Loop(clock=lambda: Instant(next(readings), 0)), []
    pipes = [os.pipe() for _ in range(3)]
    for read, write in pipes:
        loop.register(read, lambda now: seen.append(now.boot_us))
        os.write(write, b"x")
    loop.turn(Turns(lambda now: seen.append(now.boot_us)))
    assert len(seen) == 4
    assert sorted(set(seen)) == seen, "nobody may act on what the clock said before the last one was served"
    for read, write in pipes:
        os.close(read)
        os.close(write)
    loop.close()
