"""What the benchmark leaves out to tell what metrics and timings cost."""

from __future__ import annotations

from ops.unmeasured import WHAT_IS_MEASURED


def test_every_measurement_that_is_left_out_exists_and_none_that_a_server_takes_is_forgotten() -> None:
    for part, methods in WHAT_IS_MEASURED.items():
        taken = {name for name in vars(part) if name.startswith(("on_", "observe_", "add"))}
        assert set(methods) == taken, part
