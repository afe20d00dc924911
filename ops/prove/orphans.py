"""Whether the process whose id a leftover's name carries is gone."""

from __future__ import annotations

from pathlib import Path


def is_gone(pid: str) -> bool:
    """True if no such process runs: also if it has ended and nobody has waited for it."""
    try:
        return Path(f"/proc/{int(pid)}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
