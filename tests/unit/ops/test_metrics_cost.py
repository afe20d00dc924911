"""What the comparison leaves out to tell what metrics and timings cost, and how it compares."""

from __future__ import annotations

from ops.metrics_cost import compared, pairs
from ops.metrics_switch import WHAT_IS_MEASURED, Slice, Switch


def test_every_measurement_that_is_left_out_exists_and_none_that_a_server_takes_is_forgotten() -> None:
    for part, methods in WHAT_IS_MEASURED.items():
        taken = {name for name in vars(part) if name.startswith(("on_", "observe_", "add"))}
        assert set(methods) == taken, part


def test_what_was_turned_off_is_on_again_as_it_was() -> None:
    def methods() -> list[object]:
        return [vars(part)[name] for part, names in WHAT_IS_MEASURED.items() for name in names]

    before, switch = methods(), Switch()
    switch.turn(is_on=False)
    off = methods()
    switch.turn(is_on=True)
    assert methods() == before
    assert not set(map(id, off)) & set(map(id, before))


def test_neighbours_under_load_are_compared() -> None:
    idle, busy, free = Slice(False, 10, 0, 1), Slice(True, 2_200_000, 2_000, 250), Slice(False, 2_000_000, 2_000, 245)
    found = list(pairs([idle, busy, free, busy, idle]))
    assert found == [(busy, free), (busy, free)]
    row = compared(found)
    assert (row["pairs"], row["cpu_us"], row["unmeasured_us"]) == (2, 2.2, 2.0)
    assert (row["cpu_cost"], row["rate_cost"]) == ("10.0%", "2.0%")
