"""System calls that fail, stall or kill, by strace's injection."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ops.prove.outcome import NotPermitted

DISK_CALLS = "fdatasync,fsync,pwrite64,writev"
ATTACHED_WITHIN_S = 20.0
POLL_S = 0.01


class Injection(NamedTuple):
    """What happens to the `when`-th of such calls of a thread (`3+`: to it and all after it), in strace's words."""

    call: str
    fault: str
    when: str

    def options(self) -> list[str]:
        """strace's arguments for a process with all its threads."""
        expression = f"inject={self.call}:{self.fault}:when={self.when}"
        return ["-f", "-e", f"trace={DISK_CALLS}", "-e", expression]

    def __str__(self) -> str:
        return f"{self.call} {self.when}: {self.fault}"


def has_struck(said: str, file: str) -> bool:
    """Whether, as strace says it (`-f -y`), a call on a file of that name failed because it was made to. What another
    thread's call comes between stands in two lines."""
    begun: dict[str, str] = {}
    for line in said.splitlines():
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call
            continue
        if "resumed>" in call:
            call = begun.pop(thread, "") + call
        if "(INJECTED)" in call and f"/{file}>" in call:
            return True
    return False


def check_permitted() -> None:
    """NotPermitted if calls cannot be injected into on this host."""
    if shutil.which("strace") is None:
        raise NotPermitted("failing calls are injected with strace, which is not installed")
    probe = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=none", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPermitted(f"strace may not look at a process here: {done.stderr.strip()}")


@contextmanager
def attached(pid: int, injection: Injection, said: Path) -> Iterator[None]:
    """Inject into a running process until the end of the context; strace's own words go to the file `said`.
    NotPermitted if it cannot be attached."""
    with said.open("wb") as stderr:
        command = ["strace", "-o", "/dev/null", *injection.options(), "-p", str(pid)]
        strace = subprocess.Popen(command, stderr=stderr)
    deadline_s = time.monotonic() + ATTACHED_WITHIN_S
    try:
        while b"attached" not in said.read_bytes():
            if strace.poll() is not None or time.monotonic() > deadline_s:
                raise NotPermitted(f"strace may not attach to process {pid} here: {said.read_text().strip()}")
            time.sleep(POLL_S)
        yield
    finally:
        strace.terminate()
        strace.wait()
