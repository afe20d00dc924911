"""Which code a schedule ran: seeds mean the same schedule only with the same code."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def revision() -> str:
    """The commit of this checkout, `+changes` behind it if files differ; the package's version if it is installed."""
    if (CHECKOUT / ".git").exists():
        try:
            commit = _git("rev-parse", "--short=12", "HEAD")
            return f"{commit}+changes" if _git("status", "--porcelain") else commit
        except (OSError, subprocess.SubprocessError):
            pass  # no git here, or not for us: the version is what can be said
    return version("aulario")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
