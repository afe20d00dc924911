"""What a process is kept short of while it runs: the processor, memory, descriptors.

    processor     20 of every 100 ms, by turns of SIGSTOP and SIGCONT. A quota of a control group counts the time that
                  threads compute; this takes four fifths of all time from every thread at once, which is harsher
    memory        RLIMIT_DATA (heap, stacks and private mappings) at what it has, or a little above
    descriptors   RLIMIT_NOFILE so that none, or a few, can be opened

Limits are set from outside (prlimit) on a process that runs, and apply to what it asks for from then on.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Final

from ops.observe import fetch_status
from ops.prove.faults import IsOver, Role, Scene
from ops.prove.outcome import NotPermitted

QUOTA: Final = 0.2
PERIOD_S: Final = 0.1
"""Shorter than every time after which somebody is taken for dead."""

SPARE_BYTES_MAX: Final = 256 << 10
SPARE_DESCRIPTORS_MAX: Final = 3


class Resource(StrEnum):
    """What there is too little of."""

    PROCESSOR = "processor"
    MEMORY = "memory"
    DESCRIPTORS = "descriptors"


@dataclass(slots=True, frozen=True)
class Shortage:
    """A Fault: whoever has the role is kept short of a resource."""

    role: Role
    resource: Resource

    @contextmanager
    def applied(self, scene: Scene) -> Iterator[IsOver]:
        """See Fault."""
        pid = pid_of(scene, self.role)
        try:
            with contextlib.ExitStack() as stack:
                match self.resource:
                    case Resource.PROCESSOR:
                        send = partial(os.kill if self.role is Role.WORKER else os.killpg, pid)
                        stack.enter_context(_throttled(send))
                    case Resource.MEMORY:
                        limit = _data_bytes(pid) + scene.drawn.randint(0, SPARE_BYTES_MAX)
                        stack.enter_context(_limited(pid, resource.RLIMIT_DATA, limit))
                    case Resource.DESCRIPTORS:
                        limit = _lowest_free_descriptor(pid) + scene.drawn.randint(0, SPARE_DESCRIPTORS_MAX)
                        stack.enter_context(_limited(pid, resource.RLIMIT_NOFILE, limit))
                yield lambda: True
        except PermissionError as error:
            raise NotPermitted(f"limits of a process that runs cannot be set: {error}") from None


def pid_of(scene: Scene, role: Role) -> int:
    """The process that has the role just now. A worker's is known to its server alone."""
    if role is not Role.WORKER:
        return scene.cluster.supervisor.pids()[scene.process(role)]
    status = fetch_status(scene.lab.config.server(scene.primary).http)
    assert status is not None and status["workers"], "a cluster that is ready has a primary with workers"
    return int(status["workers"][0])


@contextmanager
def _throttled(send: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Let whoever gets these signals run for the share of QUOTA of each period."""
    done = Event()

    def turns() -> None:
        with contextlib.suppress(ProcessLookupError):
            while not done.wait(PERIOD_S * QUOTA):
                send(signal.SIGSTOP)
                done.wait(PERIOD_S * (1 - QUOTA))
                send(signal.SIGCONT)

    thread = Thread(target=turns, name="throttle", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        with contextlib.suppress(ProcessLookupError):
            send(signal.SIGCONT)


@contextmanager
def _limited(pid: int, which: int, limit: int) -> Iterator[None]:
    """That soft limit meanwhile. Raises PermissionError."""
    with contextlib.suppress(ProcessLookupError):
        soft, hard = resource.prlimit(pid, which)
        resource.prlimit(pid, which, (limit, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have ended for want of it
            resource.prlimit(pid, which, (soft, hard))


def _data_bytes(pid: int) -> int:
    """What counts against RLIMIT_DATA."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "VmData":
            return int(value.split()[0]) << 10
    raise AssertionError("every process has a size")


def _lowest_free_descriptor(pid: int) -> int:
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(len(taken) + 1) if number not in taken)
