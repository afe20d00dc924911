"""A cluster brought up on this host: its directories made, its processes started and ready.

`aulario up` keeps one in the foreground; `aulario demo` runs one for its load.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from es.errors import LogInUse
from es.log.directory_lock import DirectoryLock
from nodes.clients.interrupts import SIGNALS
from nodes.config.cluster import CURVE, ClusterConfig
from nodes.config.file import render
from ops.cluster_dir import log_directory, run_directory, write_processes, write_whole
from ops.exits import REFUSED, Stopped
from ops.observe import fetch_status, not_ours, observe, process_names, unreadiness
from ops.supervisor import ERROR_PREFIX, SENTENCE_BYTES_MAX, Supervisor, Surround, Surroundings, plainly, spawn

READY_WITHIN_S = 60.0
INITIALISED_WITHIN_S = 30.0


class RunningCluster(NamedTuple):
    """Its configuration, its processes, and the ready line's object."""

    config: ClusterConfig
    supervisor: Supervisor
    ready: dict[str, Any]


@contextmanager
def running_cluster(
    directory: Path, config: ClusterConfig, surroundings: Surround = plainly
) -> Iterator[RunningCluster]:
    """A cluster that is ready; on leaving, every process is stopped, whatever happened. `surroundings`
    says by its name what each process is started in.

    Raises Stopped with the sentence and exit code of whatever could not start.
    """
    directory = directory.absolute()
    run = run_directory(directory)
    run.mkdir(parents=True, exist_ok=True)
    try:
        lock = DirectoryLock(run)
    except LogInUse:
        raise Stopped(f"a cluster is already running in {directory}", REFUSED) from None
    in_force = run / "cluster.toml"
    supervisor = Supervisor(log_directory(directory), lambda pids: write_processes(directory, pids), surroundings)
    try:
        write_whole(in_force, render(config, directory))
        _initialise(directory)
        _refuse_revoked(config, directory)
        commands = {name: _command(name, directory, surroundings(name)) for name in process_names(config)}
        ready = _start(supervisor, config, commands)
        yield RunningCluster(config, supervisor, ready)
    finally:
        with undisturbed():
            supervisor.stop()
            in_force.unlink(missing_ok=True)
            lock.release()


def interrupt_on_signals() -> None:
    """SIGTERM and SIGINT end the present command through KeyboardInterrupt, also where a shell started it in the
    background and therefore had SIGINT ignored; so does SIGHUP, its terminal's end, unless it is to outlive that."""
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """No second Ctrl-C during the block, which clears away what would be left behind and has an end of its own."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(supervisor: Supervisor, config: ClusterConfig, commands: dict[str, list[str]]) -> dict[str, Any]:
    """Start everything and give the ready line's object. The preferred server has a head start, or on a
    busy machine the other one would take its silence for death."""
    first = ("witness", f"server-{config.preferred}")
    supervisor.start({name: commands.pop(name) for name in first})
    http = process_names(config)

    def why_not_first() -> str | None:
        pids = supervisor.pids()
        silent = [name for name in first if (fetch_status(http[name]) or {}).get("pid") != pids[name]]
        return f"no answer from {' and '.join(silent)}" if silent else None

    supervisor.await_ready(why_not_first, READY_WITHIN_S)
    supervisor.start(commands)
    ready: dict[str, Any] = {}

    def why_not_ready() -> str | None:
        ready.update(observe(config))
        return not_ours(ready, supervisor.pids()) or unreadiness(ready)

    supervisor.await_ready(why_not_ready, READY_WITHIN_S)
    return ready


def _refuse_revoked(config: ClusterConfig, directory: Path) -> None:
    """A cluster is ready once all of it is."""
    from nodes.security.cluster_keys import shut_out

    out = shut_out(config) if config.security == CURVE else ()
    if out:
        raise Stopped(
            f"no key of {', '.join(map(str, out))} is let in: `aulario keys rotate {out[0]} --dir {directory}` gives "
            "it a new one; or take it out of aulario.toml",
            REFUSED,
        )


def _command(name: str, directory: Path, surroundings: Surroundings) -> list[str]:
    kind, _, own = name.partition("-")
    of_its_own = surroundings.config_file
    where = ["--dir", str(directory)] if of_its_own is None else ["--config", str(of_its_own)]
    return [kind, *([own] if own else []), *where]


def _initialise(directory: Path) -> None:
    """Make the data directories, in a process of its own: reading a damaged log may kill its reader.

    If it does, the server itself will say what is wrong."""
    with os.fdopen(os.memfd_create("init"), "w+b") as said:  # a full disk takes no sentence
        child = spawn(["init", "--dir", str(directory), "--data-only"], said)
        try:
            code = child.wait(INITIALISED_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise Stopped(f"the data directories in {directory} could not be made in time", REFUSED) from None
        said.seek(0)
        lines = said.read(SENTENCE_BYTES_MAX).decode(errors="replace").splitlines()
    if code > 0:
        raise Stopped(lines[-1].removeprefix(ERROR_PREFIX) if lines else f"init ended with exit code {code}", code)
