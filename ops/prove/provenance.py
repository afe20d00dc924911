"""What a result belongs to: the code that was run, and the host that ran it. No names of hosts, no paths."""

from __future__ import annotations

import ast
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from nodes.sockets import libzmq_version

CHECKOUT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("es", "projections", "nodes", "ops")
SURROUNDINGS: Final = ("pyproject.toml", "requirements.lock")
CODE: Final = (*PACKAGES, *SURROUNDINGS)
"""What a proof is about. Its results are committed too: that is no change of what they are about."""

CHANGED: Final = "+changes"
UNKNOWN: Final = "unknown"
GIT_WITHIN_S: Final = 20.0


def revision(modules: Sequence[str] = ()) -> str:
    """The last commit that changed the code, or what some `modules` run of it (`imported_by`), with `+changes` behind
    it if files differ from it; of a package that is installed without its history, its version. `unknown` where git is
    missing or will not say, as in another user's checkout."""
    if not (CHECKOUT / ".git").exists():
        return version("aulario")
    code = (*imported_by(modules), *SURROUNDINGS) if modules else CODE
    try:
        commit = _git("log", "-1", "--format=%h", "--abbrev=12", "--", *code)
        return commit + (CHANGED if _git("status", "--porcelain", "--", *code) else "")
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN


def imported_by(modules: Sequence[str]) -> tuple[str, ...]:
    """The files, relative to the checkout, of modules and of everything of ours that they may import, wherever the
    statement stands; and what is no Python beside them, for they may read it."""
    assert all(map(_file_of, modules)), "each is there"
    found: dict[str, Path] = {}
    waiting = [*modules]
    while waiting:
        name = waiting.pop()
        path = None if name in found or name.split(".")[0] not in PACKAGES else _file_of(name)
        if path is not None:
            found[name] = path
            waiting += [name.rpartition(".")[0], *_names_in(path)]
    beside = {file for path in found.values() for file in path.parent.iterdir() if file.is_file()}
    files = {*found.values(), *(file for file in beside if file.suffix != ".py")}
    return tuple(sorted(str(file.relative_to(CHECKOUT)) for file in files))


def _file_of(name: str) -> Path | None:
    """Of a module; None if that is the name of something in one."""
    path = CHECKOUT.joinpath(*name.split("."))
    places = (path / "__init__.py", path.with_suffix(".py"))
    return next((place for place in places if place.is_file()), None)


def _names_in(path: Path) -> Iterator[str]:
    """Every module that a file may import, and names that may be modules."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (node.module, *(f"{node.module}.{one.name}" for one in node.names))


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
