"""CPU and memory of a cluster's processes over time, read from /proc by a thread of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final

from nodes.shell import read_clock
from ops.report.facts import Usage

EVERY_S: Final = 0.1
SAMPLES_MAX: Final = 600
"""Samples kept of a process; beyond it every second one goes and the interval doubles."""

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_STATE, _UTIME, _STIME, _RSS = 0, 11, 12, 21
"""Places in /proc/PID/stat after the command's name (proc(5))."""


@dataclass(slots=True)
class _Series:
    pid: int = 0
    ticks: int = 0
    seen_us: int = 0
    at_us: list[int] = field(default_factory=list)
    cpu_percent: list[float] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)

    def thin(self) -> None:
        for samples in (self.at_us, self.cpu_percent, self.resident_bytes):
            del samples[::2]


class UsageSampler:
    """Samples the processes that `pids` names, and the children of each together as "NAME workers", from its making
    until `stop`. A process that died is missing until another one has its name."""

    def __init__(self, pids: Callable[[], Mapping[str, int]], every_s: float = EVERY_S) -> None:
        self._pids = pids
        self._every_s = every_s
        self._series: dict[str, _Series] = {}
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="usage-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> list[Usage]:
        """End, and give what was sampled, by name."""
        self._stopping.set()
        self._thread.join()
        return [
            Usage(name, series.at_us, series.cpu_percent, series.resident_bytes)
            for name, series in sorted(self._series.items())
        ]

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self._sample()
            if any(len(series.at_us) > SAMPLES_MAX for series in self._series.values()):
                for series in self._series.values():
                    series.thin()
                self._every_s *= 2

    def _sample(self) -> None:
        at_us = read_clock().boot_us
        for name, pid in dict(self._pids()).items():
            used = _used(pid)
            if used is None:
                continue
            self._note(name, pid, at_us, *used)
            children = [one for child in _children(pid) if (one := _used(child)) is not None]
            if children:
                ticks, resident = (sum(part) for part in zip(*children, strict=True))
                self._note(f"{name} workers", pid, at_us, ticks, resident)

    def _note(self, name: str, pid: int, at_us: int, ticks: int, resident_bytes: int) -> None:
        series = self._series.setdefault(name, _Series())
        if series.pid == pid:
            seconds = (at_us - series.seen_us) / 1e6
            share = max(ticks - series.ticks, 0) / _TICKS_A_SECOND / seconds
            series.at_us.append(at_us)
            series.cpu_percent.append(round(100 * share, 1))
            series.resident_bytes.append(resident_bytes)
        series.pid, series.ticks, series.seen_us = pid, ticks, at_us


def processor_s(pid: int) -> float:
    """Processor time that a process has used so far, in seconds, in steps of a tick; 0 if it is gone."""
    used = _used(pid)
    return 0.0 if used is None else used[0] / _TICKS_A_SECOND


def _used(pid: int) -> tuple[int, int] | None:
    """Ticks of CPU so far and resident bytes of a process, None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    if fields[_STATE] == "Z":
        return None
    return int(fields[_UTIME]) + int(fields[_STIME]), int(fields[_RSS]) * _PAGE_BYTES


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
