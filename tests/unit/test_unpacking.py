"""What others wrote is believed only as far as it is there."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.unpacking import check_whole, unpack_whole

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=5).map(tuple),
    max_leaves=20,
)
FRAME_BYTES = 64 << 10


@given(PLAIN)
def test_a_whole_value_is_read(value: object) -> None:
    packed = msgpack.packb(value)
    check_whole(packed)
    assert unpack_whole(packed) == value


@given(PLAIN, st.data())
def test_half_a_value_or_more_than_one_is_not(value: object, data: st.DataObject) -> None:
    packed = msgpack.packb(value)
    kept = data.draw(st.integers(0, len(packed) - 1))
    for spoilt in (packed[:kept], packed + packed):
        with pytest.raises(ValueError, match=r"promises more|bytes follow"):
            unpack_whole(spoilt)


@pytest.mark.parametrize("header", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"], ids=bytes.hex)
@pytest.mark.parametrize("times", [1, 10, 1_000])
def test_a_promise_costs_nothing(header: bytes, times: int) -> None:
    """A frame of nothing but headers, each of which promises as much as the frame has bytes."""
    nest = (header + (FRAME_BYTES // 3).to_bytes(4, "big")) * times
    frame = nest + b"\xc0" * (FRAME_BYTES - len(nest))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"promises more|bytes follow"):
            unpack_whole(frame)
        assert tracemalloc.get_traced_memory()[1] < 4 * FRAME_BYTES
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        unpack_whole(data)
    except ValueError:
        return
    check_whole(data)
