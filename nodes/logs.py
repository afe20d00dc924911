"""What a process says while it runs: structured lines on stderr, results never.

JSON, one object a line, with the fields ts, level, event and what is bound (node, role, epoch, seq,
tx); on a terminal the same for people. `--log-file` takes them to a file instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import structlog

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _LogFile(FileIO):
    """A line that the disk does not take is lost: it is no reason to stop a process that serves."""

    def write(self, data: Any, /) -> int:
        """How much was taken, or is lost."""
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def configure(*, level: str = "info", log_file: Path | None = None, **bound: object) -> TextIO:
    """Set up logging for this process, once, at its start; give where it goes. `bound` stands in every
    line (node="a").

    Raises OSError if the file cannot be opened for appending.
    """
    stream: TextIO = sys.stderr
    if log_file is not None:
        stream = TextIOWrapper(BufferedWriter(_LogFile(log_file, "a")), "utf-8", line_buffering=True)
    for_people = log_file is None and stream.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ, timestamp_key="ts")
        if for_people
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    if not for_people:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)
    return stream


def logger() -> Any:
    """A logger with the methods debug, info, warning and error: `logger().info("ready", epoch=3)`."""
    return structlog.get_logger()
