"""The fields of a request: what each may be, and what sentences call it."""

from __future__ import annotations

from typing import Final

from projections.rooms.limits import TEXT_CHARS_MAX

NAME_RULE: Final = f"must be 1 to {TEXT_CHARS_MAX} printable characters without a space at either end"


def is_name(value: str) -> bool:
    """True for text that is what it looks like: neither blank nor padded, and nothing in it that is not seen or that
    changes how the rest is (Unicode's Cc, Cf, Cs, Co, Cn, Zl, Zp, and every space but U+0020)."""
    return 0 < len(value) <= TEXT_CHARS_MAX and value.isprintable() and value[0] != " " and value[-1] != " "
