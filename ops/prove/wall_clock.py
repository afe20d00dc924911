"""Wall clocks of single processes that jump when told to; every other clock goes on as it does.

The system's own wall clock belongs to everybody on the machine and is not touched: a library that is loaded
into the process answers for it (wall_clock.c).
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

from ops.prove.outcome import NotPermitted
from ops.supervisor import Surround, Surroundings

SOURCE: Final = Path(__file__).with_name("wall_clock.c")


class WallClocks:
    """One for each process of a cluster, kept in a directory. NotPermitted if there is no C compiler."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("gcc")
        if compiler is None:
            raise NotPermitted("the clock that jumps is compiled with gcc, which is not installed")
        self._directory = directory
        self._library = directory / "wall_clock.so"
        options = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
        subprocess.run([compiler, *options, "-o", self._library, SOURCE, "-ldl"], check=True)

    def around(self, surroundings: Surround) -> Surround:
        """The same surroundings, with a clock of its own for each process."""

        def with_clock(process: str) -> Surroundings:
            plain = surroundings(process)
            self.set(process, 0)
            loaded = {"LD_PRELOAD": str(self._library), "WALL_CLOCK_OFFSET": str(self._path(process))}
            return plain._replace(environ={**plain.environ, **loaded})

        return with_clock

    def set(self, process: str, ahead_s: int) -> None:
        """From now on the process's wall clock is so far ahead of the system's, or behind it."""
        with self._path(process).open("r+b" if self._path(process).exists() else "wb") as file:
            file.write(struct.pack("=q", ahead_s * 1_000_000_000))

    def _path(self, process: str) -> Path:
        return self._directory / f"{process}.clock"
