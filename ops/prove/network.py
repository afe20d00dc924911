"""Hosts as network namespaces: made, wired, entered, removed.

Every host has two interfaces: `data`, whose links are what faults are done to, and `control`, on which
whoever runs the proof watches the hosts all the while. Names carry the id of the process that made them, so
that what a killed process left behind is known and removed by the next.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ops.cluster import undisturbed
from ops.prove.orphans import is_gone
from ops.prove.outcome import NotPermitted

HOSTS: Final = ("a", "b", "c")
SWITCH: Final = "switch"
PREFIX: Final = "aulario"
BY_NAME: Final = Path("/run/netns")
COMMAND_WITHIN_S: Final = 20.0

_CLONE_NEWNET: Final = 0x4000_0000
_OWN_NAMESPACE: Final = "/proc/thread-self/ns/net"


def namespace(host: str) -> str:
    """The namespace of one of this process's hosts, or of its switch."""
    return f"{PREFIX}-{os.getpid()}-{host}"


def run(command: Sequence[str], text: str = "") -> str:
    """What a command says when it is given `text`. Raises NotPermitted with its complaint if it fails."""
    if shutil.which(command[0]) is None:
        raise NotPermitted(f"{command[0]} is not installed")
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=False
    )
    if done.returncode != 0:
        complaint = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise NotPermitted(f"`{' '.join(command)}` is refused here: {complaint}")
    return done.stdout


def ip(*lines: str, host: str = "") -> None:
    """Lines of `ip`, all at once, inside a host or out here. Raises NotPermitted."""
    where = ["-n", namespace(host)] if host else []
    run(["ip", *where, "-batch", "-"], "".join(f"{line}\n" for line in lines))


@contextmanager
def inside(host: str) -> Iterator[None]:
    """This thread, and every thread and process that it starts meanwhile, on that host.

    Sockets stay where they were made; ZeroMQ makes its own in threads that begin with a context's first socket.
    """
    before = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(BY_NAME / namespace(host))
        try:
            yield
        finally:
            _set(before)
    finally:
        os.close(before)


def enter(path: Path) -> None:
    """This thread into the namespace of that file. Raises OSError."""
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set(there)
    finally:
        os.close(there)


def _set(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def hosts(wire: Callable[[], None]) -> Iterator[None]:
    """The three hosts and the switch; `wire` joins their data interfaces. All are gone afterwards.

    This thread is on the switch meanwhile, from where `control_address` reaches every host. Raises NotPermitted.
    """
    if os.geteuid() != 0:
        raise NotPermitted("network namespaces need root")
    _remove_orphans()
    names = [SWITCH, *HOSTS]
    try:
        ip(*(f"netns add {namespace(name)}" for name in names))
        _wire_control()
        wire()
        with inside(SWITCH):
            yield
    finally:
        with undisturbed():
            for name in names:
                _remove(namespace(name))


def data_address(host: str) -> str:
    """Where a host's data interface is."""
    return f"10.77.0.{HOSTS.index(host) + 1}"


def control_address(host: str) -> str:
    """Where a host is watched; no fault touches it."""
    return f"10.78.0.{HOSTS.index(host) + 1}"


def _wire_control() -> None:
    ip("link add control type bridge", "link set control up", "addr add 10.78.0.254/24 dev control", host=SWITCH)
    for host in HOSTS:
        join_bridge(host, "control")
        ip("link set lo up", f"addr add {control_address(host)}/24 dev control", host=host)


def join_bridge(host: str, bridge: str) -> None:
    """A cable from a host's interface, called like the bridge, to that bridge of the switch."""
    port = f"{bridge}-{host}"
    ip(f"link add {port} type veth peer name {bridge} netns {namespace(host)}", host=SWITCH)
    ip(f"link set {port} master {bridge} up", host=SWITCH)
    ip(f"link set {bridge} up", host=host)


def _remove_orphans() -> None:
    """What processes that no longer run have left."""
    for path in BY_NAME.glob(f"{PREFIX}-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdigit() and is_gone(pid):
            _remove(path.name)


def _remove(name: str) -> None:
    if (BY_NAME / name).exists():
        with suppress(NotPermitted):
            run(["ip", "netns", "del", name])
