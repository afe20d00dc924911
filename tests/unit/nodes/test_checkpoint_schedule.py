"""When a server signs: at once where it matters, soon otherwise, never too often, and only what is durable."""

from __future__ import annotations

from es.log.base import EMPTY, Head
from nodes.checkpoints.schedule import DELAY_US, INTERVAL_US, SPACING_EVENTS, CheckpointSchedule, Due

DURABLE = 1 << 40


def head(seq: int, epoch: int = 1) -> Head:
    return Head(seq, epoch, seq.to_bytes(32, "big"), seq)


def signed_up_to(seq: int) -> CheckpointSchedule:
    """A schedule on which an earlier life has signed up to there."""
    return CheckpointSchedule(head(seq), head(seq))


def test_the_first_commit_of_an_epoch_is_signed_at_once_and_lasts() -> None:
    schedule = CheckpointSchedule()
    assert schedule.due_us(DURABLE) is None
    schedule.committed(head(1), 7)
    assert schedule.due_us(DURABLE) == 7
    assert schedule.due(DURABLE, 7) == Due(head(1), lasting=True)
    assert schedule.due(DURABLE, 8) is None
    schedule.committed(head(2, epoch=2), 9 * INTERVAL_US)
    assert schedule.due(DURABLE, 9 * INTERVAL_US) == Due(head(2, epoch=2), lasting=True)


def test_a_batch_that_passes_a_multiple_is_signed_at_once_and_lasts() -> None:
    schedule = signed_up_to(SPACING_EVENTS - 1)
    schedule.committed(head(SPACING_EVENTS + 3), 5)
    assert schedule.due(DURABLE, 5) == Due(head(SPACING_EVENTS + 3), lasting=True)


def test_anything_else_is_signed_after_a_delay_that_later_commits_do_not_renew() -> None:
    schedule = signed_up_to(10)
    schedule.committed(head(11), 5)
    schedule.committed(head(12), 5 + DELAY_US // 2)
    assert schedule.due(DURABLE, 4 + DELAY_US) is None
    assert schedule.due(DURABLE, 5 + DELAY_US) == Due(head(12), lasting=False)


def test_under_load_the_newest_is_signed_once_an_interval() -> None:
    schedule, signed = CheckpointSchedule(), []
    for number in range(1, 101):
        now_us = number * INTERVAL_US // 10
        schedule.committed(head(number * SPACING_EVENTS), now_us)
        if due := schedule.due(DURABLE, now_us):
            signed.append((now_us, due.head.seq // SPACING_EVENTS))
    assert len(signed) == 10
    assert all(number * INTERVAL_US // 10 == now_us for now_us, number in signed), "never an older one than the newest"


def test_what_is_not_durable_here_is_neither_signed_nor_waited_for() -> None:
    schedule = CheckpointSchedule()
    schedule.committed(head(5), 0)
    assert (schedule.due_us(4), schedule.due(4, DELAY_US), schedule.due(4, DELAY_US, last=True)) == (None, None, None)
    assert schedule.due(5, DELAY_US) == Due(head(5), lasting=True)


def test_what_is_fed_again_after_a_restart_is_not_signed_again() -> None:
    schedule = signed_up_to(10)
    for seq in (1, 5, 10):
        schedule.committed(head(seq), seq)
    assert schedule.due_us(DURABLE) is None


def test_a_clean_stop_waits_for_nothing() -> None:
    schedule = signed_up_to(10)
    schedule.committed(head(11), 0)
    assert schedule.due(DURABLE, 0, last=True) == Due(head(11), lasting=False)
    assert schedule.due(DURABLE, 0, last=True) is None
    assert CheckpointSchedule(EMPTY, EMPTY).due(DURABLE, 0, last=True) is None


def test_with_another_key_everything_is_signed_anew_what_waits_included() -> None:
    schedule = signed_up_to(10)
    schedule.committed(head(11), 0)
    schedule.begin_again(3)
    assert schedule.due(DURABLE, 3) == Due(head(11), lasting=True)
    untouched = CheckpointSchedule()
    untouched.begin_again(3)
    assert untouched.due_us(DURABLE) is None
