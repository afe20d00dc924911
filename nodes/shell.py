"""The one poll loop of every process: wait, drain, step, transmit; and what a process owes its host.

A process is single-threaded around its loop. Sources (ZeroMQ sockets and file descriptors) are
drained up to a bound per turn, so that none starves another, and the participant has the last word of
every turn: that is where it transmits what the turn gathered.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol

import zmq

from es.durability import DISK_REFUSES
from es.errors import EsError
from es.replication.instant import Instant
from nodes.logs import logger
from nodes.sockets import Socket

DRAIN_MESSAGES_MAX: Final = 512
"""Messages taken from one socket in one turn."""

POLL_MS_MAX: Final = 1_000
"""Longest wait of one turn, deadline or not."""

SWITCH_S: Final = 0.0005
"""How long a thread that has done its work waits for the interpreter while the loop computes: what was written to the
disk is to be known soon."""

YOUNG_OBJECTS_MAX: Final = 5_000
"""Objects that are new since the last search for garbage when the next one looks at them: about a millisecond."""

_NEVER: Final = 1 << 30
_PR_SET_PDEATHSIG: Final = 1


def read_clock() -> Instant:
    """Both clocks, now. The only reading of a clock that the cores ever see."""
    return Instant(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000, time.time_ns() // 1_000)


class Participant(Protocol):
    """What a loop runs."""

    def deadline(self) -> int | None:
        """Boot time in µs at which `on_turn` wants to be called at the latest; None: no wish."""
        ...

    def on_turn(self, now: Instant) -> None:
        """The end of a turn: everything ready was delivered. Act on time, transmit."""
        ...


class Loop:
    """Polls until `stop`. Register sources before or while it runs; not from other threads."""

    def __init__(self, clock: Callable[[], Instant] = read_clock) -> None:
        self.clock = clock
        self._poller = zmq.Poller()
        self._on_ready: dict[Socket | int, Callable[[Instant], None]] = {}
        self._stopping = False
        self.ended_well = False
        """Whether `run` has ended because it was to stop, and nothing went wrong on the way."""
        self._previous_handlers: dict[signal.Signals, Any] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.register(self._wake_read, self._drain_wakeups)

    def register(
        self, source: Socket | int, on_ready: Callable[[Instant], None], *, until_writable: bool = False
    ) -> None:
        """Call `on_ready(now)` in every turn in which `source` can be read, or with `until_writable`
        also when it can be written. Registering again replaces."""
        self._poller.register(source, zmq.POLLIN | zmq.POLLOUT if until_writable else zmq.POLLIN)
        self._on_ready[source] = on_ready

    def unregister(self, source: Socket | int) -> None:
        """Forget a source; do so before closing it."""
        self._poller.unregister(source)
        del self._on_ready[source]

    def run(self, participant: Participant) -> None:
        """Turn until `stop`. What a callback raises ends the process: raised, and logged unless its own sentence says
        why."""
        try:
            while not self._stopping:
                self.turn(participant)
            self.ended_well = True
        except Exception as error:
            is_expected = isinstance(error, EsError) or (isinstance(error, OSError) and error.errno in DISK_REFUSES)
            if not is_expected:
                logger().error("an unexpected error ends the process", error=repr(error), exc_info=True)
            raise

    def turn(self, participant: Participant) -> None:
        """Wait for a source or the participant's deadline, deliver, and end the turn."""
        ready = self._poller.poll(self._timeout_ms(participant.deadline()))
        for source, _ in ready:
            # A callback may have unregistered a source that was ready in the same turn.
            if on_ready := self._on_ready.get(source):
                on_ready(self.clock())  # anew: the process may have been frozen since the one before (R7)
        participant.on_turn(self.clock())

    def stop(self) -> None:
        """End `run` after its present turn. Safe from a signal handler and from any thread, until `close`."""
        self._stopping = True
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    @property
    def is_stopping(self) -> bool:
        """Whether `run` ends after its present turn."""
        return self._stopping

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT stop the loop, cleanly. Main thread only."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous_handlers[number] = signal.signal(number, self._on_signal)

    @property
    def stops_on_signals(self) -> bool:
        """Whether `stop_on_signals` was called."""
        return bool(self._previous_handlers)

    def close(self) -> None:
        """Give back what the loop itself holds; call it once, after `run`, where `stop_on_signals` was called."""
        if self.stops_on_signals:
            signal.set_wakeup_fd(-1)
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _drain_wakeups(self, now: Instant) -> None:
        os.read(self._wake_read, 4_096)

    def _timeout_ms(self, deadline_us: int | None) -> int:
        if deadline_us is None:
            return POLL_MS_MAX
        wait_us = deadline_us - self.clock().boot_us
        return min(max(-(-wait_us // 1_000), 0), POLL_MS_MAX)


def drain(socket: Socket, messages_max: int = DRAIN_MESSAGES_MAX) -> list[list[bytes]]:
    """The frames of every message that is there already, at most `messages_max`."""
    messages: list[list[bytes]] = []
    try:
        while len(messages) < messages_max:
            messages.append(socket.recv_multipart(zmq.NOBLOCK))
    except zmq.Again:
        pass
    return messages


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel end this process when its parent ends, however it ends. Raises OSError.

    Linux only. Exits at once if `parent_pid` is no longer the parent: it ended before we could ask.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent_pid:
        raise SystemExit("the process that started this one is gone")


def run_process(loop: Loop, participant: Participant, *closers: Callable[[], None]) -> None:
    """Run a whole process's loop, which stops on signals; give back what the process holds, in this order, however it
    ends."""
    assert loop.stops_on_signals, "a process that can be seen can be told to end"
    settle_memory()
    sys.setswitchinterval(SWITCH_S)
    try:
        loop.run(participant)
    finally:
        for close in closers:
            close()


def settle_memory() -> None:
    """Call once a process is set up: from now on garbage, of which the cores make none, is looked for among new objects
    alone. What survives that once is never looked at again: the more a server remembers, the longer a search through
    all of it would hold the loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, _NEVER, _NEVER)
    if _keep_survivors not in gc.callbacks:
        gc.callbacks.append(_keep_survivors)


def _keep_survivors(phase: str, _: dict[str, int]) -> None:
    if phase == "stop":
        gc.freeze()
