"""`python -m ops.unmeasured …`: runs the process whose command line follows, and has it count and time nothing.

Only for the benchmark, which compares it with one that does. A cluster has no switch for this.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from nodes.server.kernel_metrics import KernelMetrics
from nodes.server.metrics import ServerMetrics
from nodes.timing_file import TimingWriter
from ops import cli

PREFIX: Final = (sys.executable, "-P", "-m", "ops.unmeasured")
"""What is put before the command line of a process (ops.supervisor.Surroundings)."""

WHAT_IS_MEASURED: Final = {
    ServerMetrics: ("on_measured", "on_late", "on_expiry", "on_refusal", "on_registrar"),
    KernelMetrics: ("observe_fsync", "on_answers", "on_role", "on_turn"),
    TimingWriter: ("add",),
}


def _nothing(*_: Any, **__: Any) -> None:
    """Instead of a measurement."""


def main(command: list[str]) -> None:
    """`command` is an interpreter's, with `-m ops.cli` and the arguments of `aulario`."""
    for part, methods in WHAT_IS_MEASURED.items():
        for method in methods:
            assert callable(getattr(part, method))
            setattr(part, method, _nothing)
    sys.argv = ["aulario", *command[command.index("ops.cli") + 1 :]]
    cli.main()


if __name__ == "__main__":
    main(sys.argv[1:])
