"""What is done to a cluster, and undone. A fault is a value; `applied` does it to whoever has the role just then."""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from ops.cluster import RunningCluster
from ops.prove.labs import POINTS, Lab, Link
from ops.prove.outcome import NotPermitted
from ops.prove.packets import Impairment
from ops.prove.wall_clock import WallClocks

STRACE_ENDS_WITHIN_S: Final = 5.0

IsOver: TypeAlias = Callable[[], bool]
"""Called again and again while a fault lasts; true once it has done what it was to do."""


class Role(StrEnum):
    """Whom a fault strikes. CLIENTS are on the witness's host and have its faculties with them. FACULTY is the first,
    BROKER the first that balances its load (lbb), WORKER one of the processes that decode for the primary."""

    PRIMARY = "primary"
    BACKUP = "backup"
    WITNESS = "witness"
    CLIENTS = "clients"
    FACULTY = "faculty"
    BROKER = "broker"
    WORKER = "worker"
    EVERYONE = "everyone"


@dataclass(slots=True, frozen=True)
class Scene:
    """A cluster in its lab, who leads it in which epoch, and what chance decides in this trial."""

    lab: Lab
    cluster: RunningCluster
    clocks: WallClocks | None
    primary: str
    backup: str
    epoch: int
    drawn: random.Random

    def points(self, role: Role) -> tuple[str, ...]:
        """The ends of links that a role stands for."""
        if role is Role.EVERYONE:
            return POINTS
        return ({Role.PRIMARY: self.primary, Role.BACKUP: self.backup, Role.WITNESS: "w"}.get(role, "c"),)

    def process(self, role: Role) -> str:
        """The name of the process that has the role."""
        faculties = self.lab.config.faculties
        match role:
            case Role.PRIMARY | Role.BACKUP:
                return f"server-{self.points(role)[0]}"
            case Role.FACULTY:
                return f"faculty-{faculties[0].id}"
            case Role.BROKER:
                return f"faculty-{next(faculty.id for faculty in faculties if faculty.pattern == 'lbb')}"
            case Role.WITNESS:
                return "witness"
            case Role.WORKER | Role.CLIENTS | Role.EVERYONE:
                raise ValueError(f"{role} is no process of the cluster's own")


class Fault(Protocol):
    """Something that can be done to a cluster."""

    def applied(self, scene: Scene) -> AbstractContextManager[IsOver]:
        """Do it; undo it on leaving. Raises NotPermitted if it cannot be done here."""
        ...


@dataclass(slots=True, frozen=True)
class Cut:
    """Links on which nothing passes, each (source, target). With `flap_ms` they are there and gone in turn."""

    links: tuple[tuple[Role, Role], ...]
    flap_ms: int = 0

    @contextmanager
    def applied(self, scene: Scene) -> Iterator[IsOver]:
        """See Fault."""
        links = self._resolved(scene)
        began_s = time.monotonic()
        is_cut = True
        scene.lab.cut(links)

        def turn() -> bool:
            nonlocal is_cut
            wanted = not self.flap_ms or int((time.monotonic() - began_s) * 1_000 / self.flap_ms) % 2 == 0
            if wanted != is_cut:
                is_cut = wanted
                scene.lab.cut(links if is_cut else ())
            return True

        try:
            yield turn
        finally:
            scene.lab.cut(())

    def _resolved(self, scene: Scene) -> set[Link]:
        return {
            (source, target)
            for sources, targets in self.links
            for source in scene.points(sources)
            for target in scene.points(targets)
            if source != target and {source, target} != {"w", "c"}  # one host
        }


def both(one: Role, other: Role) -> tuple[tuple[Role, Role], ...]:
    """The links between two, either way."""
    return (one, other), (other, one)


@dataclass(slots=True, frozen=True)
class Impair:
    """Packets of every link are lost, delayed, doubled."""

    impairment: Impairment

    @contextmanager
    def applied(self, scene: Scene) -> Iterator[IsOver]:
        """See Fault."""
        scene.lab.impair(self.impairment)
        try:
            yield lambda: True
        finally:
            scene.lab.impair(Impairment())


@dataclass(slots=True, frozen=True)
class Pause:
    """A process with its children frozen, for a time drawn so that short and long ones are equally likely."""

    role: Role
    least_ms: int
    most_ms: int

    @contextmanager
    def applied(self, scene: Scene) -> Iterator[IsOver]:
        """See Fault."""
        group = scene.cluster.supervisor.pids()[scene.process(self.role)]
        lasts_s = math.exp(scene.drawn.uniform(math.log(self.least_ms), math.log(self.most_ms))) / 1_000
        os.killpg(group, signal.SIGSTOP)
        until_s = time.monotonic() + lasts_s

        def turn() -> bool:
            over = time.monotonic() >= until_s
            if over:
                os.killpg(group, signal.SIGCONT)
            return over

        try:
            yield turn
        finally:
            os.killpg(group, signal.SIGCONT)


@dataclass(slots=True, frozen=True)
class ClockJump:
    """A process's wall clock moves at once."""

    role: Role
    ahead_s: int

    @contextmanager
    def applied(self, scene: Scene) -> Iterator[IsOver]:
        """See Fault."""
        assert scene.clocks is not None, "a cluster whose clocks jump is started with clocks of its own"
        process = scene.process(self.role)
        scene.clocks.set(process, self.ahead_s)
        try:
            yield lambda: True
        finally:
            scene.clocks.set(process, 0)


@dataclass(slots=True, frozen=True)
class Kill:
    """SIGKILL for a process: at once, or as it enters a system call for the n-th time, n drawn up to `calls_max`
    (counted for each thread by itself). It is started again when the fault is undone."""

    role: Role
    at: str = ""
    calls_max: int = 60

    @contextmanager
    def applied(self, scene: Scene) -> Iterator[IsOver]:
        """See Fault."""
        name = scene.process(self.role)
        pid = scene.cluster.supervisor.pids()[name]
        try:
            with self._killer(pid, scene.drawn):
                yield lambda: not runs(pid)
        finally:
            if not runs(pid):
                scene.cluster.supervisor.revive(name)

    @contextmanager
    def _killer(self, pid: int, drawn: random.Random) -> Iterator[None]:
        if not self.at:
            os.kill(pid, signal.SIGKILL)
            yield
            return
        if shutil.which("strace") is None:
            raise NotPermitted("kills at system calls are done with strace, which is not installed")
        injection = f"inject={self.at}:signal=KILL:when={drawn.randint(1, self.calls_max)}"
        strace = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={self.at}", "-e", injection, "-p", str(pid)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            strace.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                strace.wait(STRACE_ENDS_WITHIN_S)
            if strace.poll() is None:
                strace.kill()
                strace.wait()


def runs(pid: int) -> bool:
    """Whether a process runs: true unless it is gone, or dead and not yet waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
