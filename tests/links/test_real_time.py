"""What ended before something else began stands before it; whatever does not is found."""

from __future__ import annotations

from es.testing.real_time import Span, stale


def test_requests_in_the_order_of_the_log_are_fine() -> None:
    assert stale([Span(0, 10, 1), Span(11, 20, 2), Span(21, 30, 3)]) == []


def test_requests_at_the_same_time_may_stand_in_any_order() -> None:
    assert stale([Span(0, 10, 3), Span(5, 20, 2), Span(10, 30, 1)]) == []


def test_an_answer_from_before_what_had_ended_is_stale() -> None:
    late = Span(30, 40, 2)
    assert stale([Span(5, 9, 1), Span(0, 10, 3), late]) == [late]


def test_one_long_request_does_not_hide_what_ended_meanwhile() -> None:
    late = Span(20, 25, 1)
    assert stale([Span(0, 100, 4), Span(1, 10, 3), late]) == [late]
