"""A cluster's processes on this host: started, watched, restarted if wanted, stopped.

Each is a child of its own process group that dies with its parent. Whoever holds the supervisor calls
`turn` again and again: it takes in what happened to the children and returns at once, as does `restart`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import ops
from ops.exits import INTEGRITY, OK, UNREACHABLE, USAGE, Stopped

RESTART_AFTER_S = 1.0
RESTART_AFTER_MAX_S = 30.0
SETTLED_AFTER_S = 5.0
"""Who lived so long, and longer than it had to wait, was well."""

NOT_RESTARTED = (USAGE, INTEGRITY)
"""Exit statuses of what a person must mend: started again it would only say so again."""

STOP_WITHIN_S = 10.0
READY_POLL_S = 0.05
SENTENCE_BYTES_MAX = 65_536
ERROR_PREFIX = "Error: "


class Surroundings(NamedTuple):
    """What a process is started in: `prefix` is a command line that becomes another's (`ip netns exec …`, its process
    keeps its id), `environ` has variables that are its alone, `config_file` is the configuration that it reads instead
    of the cluster directory's."""

    prefix: Sequence[str] = ()
    environ: Mapping[str, str] = MappingProxyType({})
    config_file: Path | None = None


PLAIN = Surroundings()
Surround = Callable[[str], Surroundings]
"""What to start the process of that name in."""


def plainly(_process: str) -> Surroundings:
    """Every process as this one is."""
    return PLAIN


@dataclass(slots=True)
class _Child:
    name: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes]
    log_offset: int
    started_s: float
    pause_s: float = 0.0
    """How long it waited for its start; then how long it waits for the next one."""

    ended_s: float | None = None

    @property
    def is_left_down(self) -> bool:
        return self.process.returncode in NOT_RESTARTED


class Supervisor:
    """The children of one cluster. `on_change` is given name -> pid whenever a process started,
    `surroundings` says for each name what to start it in."""

    def __init__(
        self,
        log_directory: Path,
        on_change: Callable[[Mapping[str, int]], None],
        surroundings: Surround = plainly,
    ) -> None:
        log_directory.mkdir(parents=True, exist_ok=True)
        self._log_directory = log_directory
        self._on_change = on_change
        self._surroundings = surroundings
        self._children: dict[str, _Child] = {}
        self._told: Mapping[str, int] = {}

    def start(self, commands: Mapping[str, Sequence[str]]) -> None:
        """Start a process for each name, with the arguments of `aulario`. Raises Stopped if none can be."""
        for name, arguments in commands.items():
            self._children[name] = self._spawn(name, arguments)
        self._tell()

    def pids(self) -> dict[str, int]:
        """Process ids by name, of the dead ones the last."""
        return {name: child.process.pid for name, child in self._children.items()}

    def is_over(self, *, restarts: bool) -> bool:
        """Whether every process has ended and, if those that may are brought back, none will be."""
        ended = (child for child in self._children.values() if child.ended_s is not None)
        return sum(child.is_left_down or not restarts for child in ended) == len(self._children)

    def turn(self) -> list[str]:
        """Notice who ended; give their names."""
        ended = []
        for child in self._children.values():
            if child.ended_s is None and child.process.poll() is not None:
                child.ended_s = time.monotonic()
                child.pause_s = pause_after(child.pause_s, child.ended_s - child.started_s)
                ended.append(child.name)
        return ended

    def restart(self) -> list[str]:
        """Bring back each that `turn` found ended as long ago as its pause says, unless a person must see to it first,
        and let `on_change` know. A sentence for each thing that the system refuses now (a full disk): the next call
        tries again, and the others are not stopped for it."""
        now_s = time.monotonic()
        refused = []
        for child in list(self._children.values()):
            if child.ended_s is not None and not child.is_left_down and now_s - child.ended_s >= child.pause_s:
                try:
                    self._children[child.name] = self._spawn(child.name, child.arguments, child.pause_s)
                except OSError as error:
                    refused.append(f"{child.name} cannot be restarted: {error}")
        if self._told != self.pids():
            try:
                self._tell()
            except OSError as error:
                refused.append(f"the list of processes cannot be written: {error}")
        return refused

    def restarts_in_s(self, name: str) -> float | None:
        """How long after its end `restart` brings back a process that ended; None if it never does."""
        child = self._children[name]
        return None if child.is_left_down else child.pause_s

    def revive(self, name: str) -> None:
        """Start a process again that was killed; wait for its end first, within the time to stop."""
        child = self._children[name]
        child.process.wait(STOP_WITHIN_S)
        self._children[name] = self._spawn(name, child.arguments)
        self._tell()

    def renew(self, name: str) -> int:
        """End a process with SIGTERM, start it again, give the exit code it had. Raises Stopped if it does not end
        within the time to stop."""
        child = self._children[name]
        child.process.terminate()
        try:
            code = child.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise Stopped(f"{name} did not end within {STOP_WITHIN_S:g} s of SIGTERM", UNREACHABLE) from None
        self._children[name] = self._spawn(name, child.arguments)
        self._tell()
        return code

    def failure(self, name: str) -> Stopped:
        """Why a process that ended did so: its own sentence and exit code."""
        child = self._children[name]
        code = child.process.returncode
        sentence = self._last_sentence(child)
        if code < 0:
            return Stopped(f"{name} was ended by {signal.Signals(-code).name}", UNREACHABLE)
        known = code if OK < code <= INTEGRITY else UNREACHABLE
        return Stopped(f"{name}: {sentence or f'ended with exit code {code}'}", known)

    def await_ready(self, unreadiness: Callable[[], str | None], time_limit_s: float) -> None:
        """Return when `unreadiness` gives None. Raises Stopped if a process ends before, or in the end."""
        deadline_s = time.monotonic() + time_limit_s
        while True:
            why = unreadiness()
            ended = self.turn()
            if ended:
                raise self.failure(ended[0])
            if why is None:
                return
            if time.monotonic() > deadline_s:
                raise Stopped(f"the cluster was not ready within {time_limit_s:g} s: {why}", UNREACHABLE)
            time.sleep(READY_POLL_S)

    def stop(self) -> None:
        """End every process: SIGTERM, SIGCONT to the frozen ones, after ten seconds SIGKILL."""
        running = [child.process for child in self._children.values() if child.process.poll() is None]
        for number in (signal.SIGTERM, signal.SIGCONT):
            _signal_all(running, number)
        deadline_s = time.monotonic() + STOP_WITHIN_S
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline_s - time.monotonic()))
        _signal_all(running, signal.SIGKILL)
        for process in running:
            process.wait()

    def _tell(self) -> None:
        pids = self.pids()
        self._on_change(pids)
        self._told = pids

    def _spawn(self, name: str, arguments: Sequence[str], pause_s: float = 0.0) -> _Child:
        path = self._log_directory / f"{name}.log"
        with path.open("ab") as log:
            process = spawn([*arguments, "--parent", str(os.getpid())], log, self._surroundings(name))
            return _Child(name, arguments, process, log.tell(), time.monotonic(), pause_s)

    def _last_sentence(self, child: _Child) -> str | None:
        path = self._log_directory / f"{child.name}.log"
        try:
            with path.open("rb") as log:
                log.seek(max(child.log_offset, path.stat().st_size - SENTENCE_BYTES_MAX))
                lines = log.read(SENTENCE_BYTES_MAX).decode(errors="replace").splitlines()
        except OSError:
            return None  # taken away, or the disk does not give it
        said = [line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)]
        return said[-1] if said else None


def pause_after(pause_s: float, lived_s: float) -> float:
    """How long to wait before a process that lived so long is started again; it had to wait `pause_s` the last time,
    0 if it was not started again yet. Doubled each time up to the longest, the shortest again once it was well."""
    if lived_s > max(SETTLED_AFTER_S, pause_s):
        return RESTART_AFTER_S
    return min(max(RESTART_AFTER_S, 2 * pause_s), RESTART_AFTER_MAX_S)


def spawn(
    arguments: Sequence[str], log: BinaryIO, surroundings: Surroundings = PLAIN
) -> subprocess.Popen[bytes]:
    """Start `aulario` with `arguments` in a process group of its own; what it says goes to `log`.

    It runs this very code, wherever the current directory is, and reads its configuration from the
    file it is given alone: AULARIO_* has had its say.
    """
    root = str(Path(ops.__file__).resolve().parents[1])
    environ = {key: value for key, value in os.environ.items() if not key.startswith("AULARIO_")}
    environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environ |= surroundings.environ
    return subprocess.Popen(
        [*surroundings.prefix, sys.executable, "-P", "-m", "ops.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environ,
        process_group=0,
    )


def _signal_all(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
