"""`python -m ops.metrics_switch FILE …`: runs the process whose command line follows, and has it count and time what it
does in every other slice of time only.

Only for ops.metrics_cost, which compares the two. A cluster has no switch for this. Each slice becomes a line of FILE.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

from es.replication.effects import Answers
from es.replication.instant import Instant
from nodes.server.frontend_core import FrontendCore
from nodes.server.kernel_metrics import KernelMetrics
from nodes.server.metrics import ServerMetrics
from nodes.timing_file import TimingWriter
from ops import cli

SLICE_S: Final = 0.25
SETTLE_S: Final = 0.02
"""After a change: what was under way is not counted for either."""

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
    """Turns measuring off and on, and counts answers by itself meanwhile."""

    def __init__(self) -> None:
        self._methods = {(part, name): vars(part)[name] for part, names in WHAT_IS_MEASURED.items() for name in names}
        self.answers = 0

    def count_answers(self) -> None:
        """From now on, at the same small cost whatever is measured."""
        on_answers = FrontendCore.on_answers

        def counted(core: FrontendCore[Any], effect: Answers, now: Instant) -> None:
            self.answers += len(effect.answers)
            on_answers(core, effect, now)

        FrontendCore.on_answers = counted  # type: ignore[method-assign, assignment]

    def turn(self, is_on: bool) -> None:
        """Measure, or do not."""
        for (part, name), method in self._methods.items():
            setattr(part, name, method if is_on else _nothing)

    def slice(self, is_on: bool) -> Slice:
        """One slice of time."""
        self.turn(is_on)
        time.sleep(SETTLE_S)
        cpu_ns, answers, began_ns = time.process_time_ns(), self.answers, time.monotonic_ns()
        time.sleep(SLICE_S)
        return Slice(
            is_on, time.process_time_ns() - cpu_ns, self.answers - answers, time.monotonic_ns() - began_ns
        )  # fmt: skip


def _nothing(*_: Any, **__: Any) -> None:
    """Instead of a measurement."""


def _alternate(switch: Switch, path: Path) -> None:
    is_on = True
    with path.open("a", encoding="utf-8", buffering=1) as file:
        while True:
            file.write(json.dumps(switch.slice(is_on)) + "\n")
            is_on = not is_on


def main(file: str, *command: str) -> None:
    """`command` is an interpreter's, with `-m ops.cli` and the arguments of `aulario`."""
    switch = Switch()
    switch.count_answers()
    Thread(target=_alternate, args=(switch, Path(file)), daemon=True).start()
    sys.argv = ["aulario", *command[command.index("ops.cli") + 1 :]]
    cli.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
