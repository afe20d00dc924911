"""`python -m ops.metrics_switch FILE …`: runs the process whose command line follows, and has it count and time what it
does in every other slice of time only.

Only for ops.metrics_cost, which compares the two. A cluster has no switch for this. Each slice becomes a line of FILE.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

from es.replication.effects import Answers
from es.replication.instant import Instant
from nodes.server.frontend_core import FrontendCore
from nodes.server.kernel_metrics import KernelMetrics
from nodes.server.metrics import ServerMetrics
from nodes.timing_file import GATHER_S, TimingWriter
from ops import cli

SLICE_S: Final = 0.25
SETTLE_S: Final = 1.5 * GATHER_S
"""After a change: what was under way, timings that wait to be written among it, is not counted for either."""

WHAT_IS_MEASURED: Final = {
    ServerMetrics: ("on_measured", "on_late", "on_expiry", "on_refusal", "on_registrar"),
    KernelMetrics: ("observe_fsync", "on_answers", "on_role", "on_turn"),
    TimingWriter: ("add",),
}


class Slice(NamedTuple):
    """What a server did in one slice of time: processor time of all its threads, answers that left, and how long it
    was, all times in ns."""

    is_measured: bool
    cpu_ns: int
    answers: int
    ns: int


class Switch:
    """Lets measurements be taken while it `is_on`, and counts answers by itself."""

    def __init__(self) -> None:
        self.is_on = True
        self.answers = 0

    def install(self) -> None:
        """Before anything is made that could hold on to a method."""
        for part, names in WHAT_IS_MEASURED.items():
            for name in names:
                setattr(part, name, self._switched(vars(part)[name]))
        FrontendCore.on_answers = self._counted(FrontendCore.on_answers)  # type: ignore[method-assign, assignment]

    def _switched(self, measure: Callable[..., None]) -> Callable[..., None]:
        @wraps(measure)
        def switched(*args: Any, **named: Any) -> None:
            if self.is_on:
                measure(*args, **named)

        return switched

    def _counted(self, on_answers: Callable[[Any, Answers, Instant], None]) -> Callable[[Any, Answers, Instant], None]:
        def counted(core: Any, effect: Answers, now: Instant) -> None:
            self.answers += len(effect.answers)
            on_answers(core, effect, now)

        return counted

    def slice(self, is_on: bool) -> Slice:
        """One slice of time."""
        self.is_on = is_on
        time.sleep(SETTLE_S)
        cpu_ns, answers, began_ns = time.process_time_ns(), self.answers, time.monotonic_ns()
        time.sleep(SLICE_S)
        return Slice(
            is_on, time.process_time_ns() - cpu_ns, self.answers - answers, time.monotonic_ns() - began_ns
        )  # fmt: skip


def _alternate(switch: Switch, path: Path) -> None:
    is_on = True
    with path.open("a", encoding="utf-8", buffering=1) as file:
        while True:
            file.write(json.dumps(switch.slice(is_on)) + "\n")
            is_on = not is_on


def main(file: str, *command: str) -> None:
    """`command` is an interpreter's, with `-m ops.cli` and the arguments of `aulario`."""
    switch = Switch()
    switch.install()
    Thread(target=_alternate, args=(switch, Path(file)), daemon=True).start()
    sys.argv = ["aulario", *command[command.index("ops.cli") + 1 :]]
    cli.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
