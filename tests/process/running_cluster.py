"""A whole cluster in processes of its own, as a user starts it: `aulario up`, its ready line, its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from nodes.config.cluster import ClusterConfig
from nodes.shell import die_with_parent
from ops.cluster_dir import config_in_force
from ops.demo import free_base_port
from ops.observe import fetch_status, observe, unreadiness

REPOSITORY = Path(__file__).parents[2]
WITHIN_S = 40.0
POLL_S = 0.02
LOG_TAIL_LINES = 15

Fact = TypeVar("Fact")


def wait_for(fact: Callable[[], Fact | None], what: str, within_s: float = WITHIN_S) -> Fact:
    """The fact, once it is true; the test fails if it does not come true in time."""
    deadline_s = time.monotonic() + within_s
    while not (found := fact()):
        if time.monotonic() > deadline_s:
            pytest.fail(f"not within {within_s:g} s: {what}")
        time.sleep(POLL_S)
    return found


def environ(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command that knows this checkout and no other configuration."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AULARIO_")}
    return {**clean, "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY), **(settings or {})}


def aulario(*arguments: object, within_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """A finished command: returncode, stdout, stderr."""
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *map(str, arguments)],
        cwd=REPOSITORY,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def spawn(*arguments: object, settings: Mapping[str, str] | None = None, stderr: Path) -> subprocess.Popen[str]:
    """A command that goes on running; it ends when this process does, however that ends."""
    with stderr.open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "ops.cli", *map(str, arguments)],
            cwd=REPOSITORY,
            env=environ(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )


class RunningCluster:
    """One `aulario up`; `ready` is its ready line. Processes that a test killed it may start again itself."""

    def __init__(self, directory: Path, *options: object, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self._options = options
        self._settings = settings
        self._up: subprocess.Popen[str] | None = None
        self._own: list[subprocess.Popen[str]] = []
        self._frozen: set[int] = set()
        self.base_port = free_base_port()
        self.ready: dict[str, Any] = {}

    def start(self) -> None:
        """Run `aulario up` until its ready line is there. Fails the test if it ends instead."""
        self._up = spawn(
            "up", "--dir", self.directory, "--base-port", self.base_port, "-o", "json", *self._options,
            settings=self._settings, stderr=self.directory.with_suffix(".stderr"),
        )  # fmt: skip
        assert self._up.stdout is not None
        line = self._up.stdout.readline()
        if not line:
            code = self._up.wait()
            pytest.fail(f"aulario up ended with {code}: {self.said()}")
        self.ready = json.loads(line)

    def said(self) -> str:
        """What `up` wrote to stderr."""
        return self.directory.with_suffix(".stderr").read_text()

    def stop(self) -> int:
        """End everything; give `up`'s exit code."""
        self.thaw()
        while self._own:
            self.stop_process()
        assert self._up is not None and self._up.stdout is not None
        self._up.terminate()
        code = self._up.wait(WITHIN_S)
        self._up.stdout.close()
        return code

    # -- what it says of itself

    @property
    def config(self) -> ClusterConfig:
        """The configuration it runs with."""
        return config_in_force(self.directory)

    def status(self) -> dict[str, Any]:
        """The object of `aulario status`."""
        return observe(self.config)

    def active(self) -> dict[str, Any]:
        """The status of the one active server; waits for there to be one."""
        return wait_for(self._active, f"one active server: {self.status()['servers']}")

    def _active(self) -> dict[str, Any] | None:
        active = [server for server in self.status()["servers"] if server["active"]]
        return active[0] if len(active) == 1 else None

    def passive(self) -> dict[str, Any]:
        """The status of the server that is not active."""
        active = self.active()["name"]
        return next(server for server in self.status()["servers"] if server["name"] != active)

    def server(self, name: str) -> dict[str, Any]:
        """The status of one server."""
        return next(server for server in self.status()["servers"] if server["name"] == name)

    def faculty(self, pattern: str) -> dict[str, Any]:
        """The status of the first faculty that speaks so."""
        return next(faculty for faculty in self.status()["faculties"] if faculty["pattern"] == pattern)

    def wait_ready(self) -> None:
        """Every process answers, both servers are in sync, every faculty follows the active one."""
        wait_for(lambda: unreadiness(self.status()) is None, f"a ready cluster: {unreadiness(self.status())}")

    def wait_in_sync(self) -> None:
        """Both servers hold everything that commits."""
        wait_for(lambda: len(self.active()["in_sync"]) == len(self.ready["servers"]), "both servers in sync")

    # -- what happens to it

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """A signal to one of its processes; after SIGKILL it is dead when this returns."""
        os.kill(pid, number)
        if number == signal.SIGSTOP:
            self._frozen.add(pid)
        else:
            self._frozen.discard(pid)
        if number == signal.SIGKILL:
            wait_for(lambda: not _runs(pid), f"the end of process {pid}")

    def thaw(self) -> None:
        """Whatever is frozen goes on."""
        while self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._frozen.pop(), signal.SIGCONT)

    def start_process(self, kind: str, *arguments: object) -> subprocess.Popen[str]:
        """Start one process of the cluster again, or a further one, as a person would."""
        where = () if "--config" in arguments else ("--dir", self.directory)
        process = spawn(kind, *arguments, *where, stderr=self.directory.with_suffix(f".{kind}.stderr"))
        self._own.append(process)
        return process

    def stop_process(self) -> int:
        """End the process that was started last; give its exit code."""
        process = self._own.pop()
        process.terminate()
        code = process.wait(WITHIN_S)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def wait_alive(self, http: str) -> dict[str, Any]:
        """The status of the process with that HTTP endpoint, once it answers."""
        return wait_for(lambda: fetch_status(http), f"an answer from {http}")


def _runs(pid: int) -> bool:
    """True unless it is gone or a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def metrics(http: str) -> dict[str, float]:
    """The samples of a process's `/metrics`, by name with labels as they stand there."""
    parts = urlsplit(http)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def ignored(http: str) -> float:
    """Everything a process refused or dropped so far."""
    return sum(value for name, value in metrics(http).items() if name.startswith("rsm_ignored_total"))


@contextlib.contextmanager
def cluster(
    directory: Path, *options: object, settings: Mapping[str, str] | None = None
) -> Iterator[RunningCluster]:
    """A cluster that is ready; nothing of it is left afterwards."""
    running = RunningCluster(directory, *options, settings=settings)
    try:
        running.start()
        yield running
    finally:
        if running._up is not None:
            running.stop()
