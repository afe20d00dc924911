"""Transaction ids: stored short, given back exactly, never mixed up."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.rooms.identity import request_id_of, session_key, transaction_id_of


@given(st.uuids())
def test_a_canonical_uuid_takes_16_bytes(value: uuid.UUID) -> None:
    assert request_id_of(str(value)) == value.bytes
    assert transaction_id_of(value.bytes) == str(value)


UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
MISPLACED = [UUID[: dash - 1] + "-" + UUID[dash - 1] + UUID[dash + 1 :] for dash in (8, 13, 18, 23)]
ODD = st.lists(st.sampled_from([*"0aF- g{}\u0661"]), min_size=36, max_size=36).map("".join)


@given(st.text(max_size=40) | ODD)
def test_any_string_comes_back_exactly(value: str) -> None:
    assert transaction_id_of(request_id_of(value)) == value


@pytest.mark.parametrize(
    "spelling",
    [UUID.upper(), UUID.replace("-", ""), "{" + UUID[:-2] + "}", " " + UUID[1:], *MISPLACED],
)
def test_other_spellings_stay_strings(spelling: str) -> None:
    assert request_id_of(spelling) == spelling


@given(
    st.tuples(st.integers(0, (1 << 31) - 1), st.binary(min_size=16, max_size=16) | st.text(max_size=60)),
    st.tuples(st.integers(0, (1 << 31) - 1), st.binary(min_size=16, max_size=16) | st.text(max_size=60)),
)
def test_keys_are_equal_only_for_equal_transactions(one: tuple[int, str | bytes], two: tuple[int, str | bytes]) -> None:
    assert (session_key(*one) == session_key(*two)) == (one == two)


def test_a_string_of_a_uuids_length_is_no_uuid() -> None:
    raw = b"sixteen bytes ok"
    assert session_key(1, raw) != session_key(1, raw.decode())


def test_however_long_an_id_is_what_is_remembered_of_it_is_short() -> None:
    longest = ["\U0001f3eb" * 199 + last for last in "ab"]
    keys = {session_key(1, one) for one in longest}
    assert len(keys) == 2
    assert max(map(len, keys)) <= 45
