"""msgpack that others wrote: nothing is built before everything it promises is known to be there.

A header of five bytes can promise four thousand million values, and one promise may stand within the other: a reader
that makes room for each is at the mercy of a frame that holds nothing else.
"""

from __future__ import annotations

from typing import Any

import msgpack


def check_whole(data: bytes) -> None:
    """Walk over one msgpack value without building it. Raises ValueError if the bytes end before it does, or go on."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    try:
        unpacker.skip()
    except msgpack.OutOfData:
        raise ValueError("it promises more than it holds") from None
    if unpacker.tell() != len(data):
        raise ValueError("bytes follow it")


def unpack_whole(data: bytes) -> Any:
    """One msgpack value, arrays as tuples; a map may only be empty. Raises ValueError and nothing else. Nesting is
    what msgpack allows: printing or comparing what came may exceed what Python allows."""
    check_whole(data)
    return msgpack.unpackb(data, use_list=False, max_map_len=0)
