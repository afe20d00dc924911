"""Ways in which a log's file goes bad on its disk, each drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

PAGE_BYTES = 4096
SECTOR_BYTES = 512
META_PAGES = 2

Harm = Callable[[random.Random, Sequence[bytes]], bytes]
"""Makes a damaged file of the versions that one file had after each of its writes, oldest first; the last is
what is on the disk."""


def flip_bits(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """One to four bits anywhere that is not all zeros."""
    file = bytearray(versions[-1])
    used = [at for at in range(0, len(file), 64) if any(file[at : at + 64])]
    for _ in range(drawn.randint(1, 4)):
        file[drawn.choice(used) + drawn.randrange(64)] ^= 1 << drawn.randrange(8)
    return bytes(file)


def flip_a_meta_bit(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """One bit of what LMDB reads of a meta page: its header (16 B) and its 136 bytes."""
    file = bytearray(versions[-1])
    file[drawn.randrange(META_PAGES) * PAGE_BYTES + drawn.randrange(152)] ^= 1 << drawn.randrange(8)
    return bytes(file)


def scribble(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """A run of random bytes."""
    file = bytearray(versions[-1])
    length = drawn.randint(1, 2 * SECTOR_BYTES)
    at = drawn.randrange(len(file) - length)
    file[at : at + length] = drawn.randbytes(length)
    return bytes(file)


def truncate(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """The file ends early: at a page's border or anywhere."""
    file = versions[-1]
    length = drawn.randrange(len(file))
    return file[: length - length % PAGE_BYTES if drawn.random() < 0.5 else length]


def zero_a_page(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """A page reads as zeros."""
    return _with_page(versions[-1], _page(drawn, versions[-1]), bytes(PAGE_BYTES))


def zero_a_sector(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """A sector reads as zeros."""
    file = versions[-1]
    at = drawn.randrange(len(file) // SECTOR_BYTES) * SECTOR_BYTES
    return file[:at] + bytes(SECTOR_BYTES) + file[at + SECTOR_BYTES :]


def swap_pages(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """Two pages lie in each other's place."""
    file = versions[-1]
    one, other = drawn.sample(range(len(file) // PAGE_BYTES), 2)
    return _with_page(_with_page(file, one, _read(file, other)), other, _read(file, one))


def put_an_old_page_back(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """A write to one page was lost: it is as it was some time ago."""
    page = META_PAGES + _page(drawn, versions[0][META_PAGES * PAGE_BYTES :])
    return _with_page(versions[-1], page, _read(drawn.choice(versions[:-1]), page))


def put_an_old_meta_page_back(drawn: random.Random, versions: Sequence[bytes]) -> bytes:
    """The same of a meta page: LMDB falls back to an older root, or keeps the newer one."""
    page = drawn.randrange(META_PAGES)
    return _with_page(versions[-1], page, _read(drawn.choice(versions[:-1]), page))


HARMS: Mapping[str, Harm] = {
    harm.__name__.replace("_", " "): harm
    for harm in (
        flip_bits, flip_a_meta_bit, scribble, truncate, zero_a_page, zero_a_sector, swap_pages, put_an_old_page_back,
        put_an_old_meta_page_back,
    )
}  # fmt: skip


def _page(drawn: random.Random, file: bytes) -> int:
    return drawn.randrange(len(file) // PAGE_BYTES)


def _read(file: bytes, page: int) -> bytes:
    return file[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]


def _with_page(file: bytes, page: int, content: bytes) -> bytes:
    return file[: page * PAGE_BYTES] + content + file[(page + 1) * PAGE_BYTES :]
