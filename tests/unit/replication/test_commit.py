"""R1 as a table: how far is the log committed, and how many copies has it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from es.replication.commit import commit_point, copies
from es.replication.messages import Member

ME, B, C = Member("a", "a1"), Member("b", "b1"), Member("c", "c1")
B_WIPED = Member("b", "b2")


@pytest.mark.parametrize(
    ("durable_seq", "required", "acked", "point"),
    [
        (9, {ME}, {}, 9),
        (9, {ME}, {B: 3}, 9),
        (9, {ME, B}, {}, 0),
        (9, {ME, B}, {B: 7}, 7),
        (9, {ME, B}, {B: 12}, 9),
        (9, {ME, B}, {B_WIPED: 9}, 0),
        (9, {ME, B}, {ME: 1, B: 9}, 9),
        (9, {ME, B, C}, {B: 9}, 0),
        (9, {ME, B, C}, {B: 9, C: 8}, 8),
        (0, {ME, B}, {B: 5}, 0),
    ],
)
def test_the_commit_point(durable_seq: int, required: set[Member], acked: Mapping[Member, int], point: int) -> None:
    assert commit_point(ME, durable_seq, required, acked) == point


@pytest.mark.parametrize(
    ("acked", "count"),
    [
        ({}, 1),
        ({B: 4}, 1),
        ({B: 5}, 2),
        ({B: 9, C: 5}, 3),
        ({ME: 9}, 1),
        ({ME: 9, B: 5, C: 4}, 2),
        ({B: 5, B_WIPED: 9}, 2),
        ({B_WIPED: 9}, 1),
    ],
)
def test_the_number_of_copies(acked: Mapping[Member, int], count: int) -> None:
    assert copies(ME, 5, {ME, B, C}, acked) == count


@pytest.mark.parametrize(("acked", "count"), [({B: 5}, 1), ({B_WIPED: 5}, 1), ({B: 5, B_WIPED: 9}, 2)])
def test_a_node_whose_disk_was_replaced_holds_one_copy_at_most(acked: Mapping[Member, int], count: int) -> None:
    assert copies(ME, 5, {ME, B, B_WIPED}, acked) == count
