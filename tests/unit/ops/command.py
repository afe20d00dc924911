"""Runs the real command in a process of its own, as a shell would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
BOUND_BY_MODES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
"""How a command is started that modes of files bind, also where root runs it."""


def aulario(
    *arguments: str | int | Path,
    environ: Mapping[str, str] | None = None,
    cwd: Path = REPOSITORY,
    started_with: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """The finished command: returncode, stdout, stderr."""
    return subprocess.run(
        [*started_with, sys.executable, "-m", "ops.cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def json_lines(text: str) -> list[Any]:
    """One value a line."""
    return [json.loads(line) for line in text.splitlines()]
