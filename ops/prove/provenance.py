"""What a result belongs to: the code that was run, and the host that ran it. No names of hosts, no paths."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from nodes.sockets import libzmq_version

CHECKOUT: Final = Path(__file__).parents[2]
CODE: Final = ("es", "projections", "nodes", "ops", "pyproject.toml", "requirements.lock")
"""What a proof is about. Its results are committed too: that is no change of what they are about."""

CHANGED: Final = "+changes"
UNKNOWN: Final = "unknown"
GIT_WITHIN_S: Final = 20.0


def revision() -> str:
    """The last commit that changed the code, with `+changes` behind it if files differ from it; of a package
    that is installed without its history, its version. `unknown` where git is missing or will not say, as in
    another user's checkout."""
    if not (CHECKOUT / ".git").exists():
        return version("aulario")
    try:
        commit = _git("log", "-1", "--format=%h", "--abbrev=12", "--", *CODE)
        return commit + (CHANGED if _git("status", "--porcelain", "--", *CODE) else "")
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN


def is_whole(revision: str) -> bool:
    """Whether it says which code that was: changes that are not committed have no name."""
    return revision != UNKNOWN and not revision.endswith(CHANGED)


def host() -> dict[str, Any]:
    """What a result may depend on."""
    kernel = re.match(r"[\d.]+", platform.release())
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {kernel.group() if kernel else ''}".strip(),
        "python": platform.python_version(),
        "file_system": _file_system(Path(tempfile.gettempdir())),
        "lmdb": version("lmdb"),
        "pyzmq": version("pyzmq"),
        "libzmq": libzmq_version(),
    }


def _file_system(path: Path) -> str:
    """The type of the file system that a path lies on."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    around = [(len(Path(point).parts), kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(around)[1] if around else "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=GIT_WITHIN_S
    )
    return done.stdout.strip()
