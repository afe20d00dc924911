"""What the comparison leaves out to tell what metrics and timings cost, and how it compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.server.frontend_core import FrontendCore
from nodes.timing_file import TimingWriter, read_timings
from ops.metrics_cost import compared, pairs
from ops.metrics_switch import WHAT_IS_MEASURED, Slice, Switch


def test_every_measurement_that_is_left_out_exists_and_none_that_a_server_takes_is_forgotten() -> None:
    for part, methods in WHAT_IS_MEASURED.items():
        taken = {name for name in vars(part) if name.startswith(("on_", "observe_", "add"))}
        assert set(methods) == taken, part


def test_what_holds_on_to_a_method_does_not_measure_either_while_it_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FrontendCore, "on_answers", FrontendCore.on_answers)  # restored afterwards, like the others
    for part, names in WHAT_IS_MEASURED.items():
        for name in names:
            monkeypatch.setattr(part, name, vars(part)[name])
    switch = Switch()
    switch.install()
    writer = TimingWriter(tmp_path)
    add = writer.add
    for is_on, us in ((True, 1), (False, 2), (True, 3)):
        switch.is_on = is_on
        add([("ack_res", "lbb", "ACCEPTED", 3, 17, "t1", 1_000, us)])
    writer.close()
    kept = read_timings(tmp_path)
    assert kept is not None and [one.us for one in kept.timings] == [1, 3]


def test_neighbours_under_load_are_compared() -> None:
    idle, busy, free = Slice(False, 10, 0, 1), Slice(True, 2_200_000, 2_000, 250), Slice(False, 2_000_000, 2_000, 245)
    found = list(pairs([idle, busy, free, busy, idle]))
    assert found == [(busy, free), (busy, free)]
    row = compared(found)
    assert (row["pairs"], row["cpu_us"], row["unmeasured_us"]) == (2, 2.2, 2.0)
    assert (row["cpu_cost"], row["rate_cost"]) == ("10.0%", "2.0%")
