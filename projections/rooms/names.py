"""What a name may be: text that is what it looks like, and is spelled in one way only.

The rule is for what is new: what a log holds stands as it is.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category, is_normalized, name, normalize

from projections.rooms.limits import TEXT_CHARS_MAX

NAME_RULE: Final = f"must be 1 to {TEXT_CHARS_MAX} printable characters without a space at either end"
_SPELLING_RULE: Final = "must be composed (Unicode NFC): what looks the same is spelled the same"

_PRINTS_NOTHING: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff"
    "\u2800\U00013441\U00013442\U00016fe4\U0001d159]"
)
"""Characters that Python calls printable and that print nothing. The first line is Unicode's
Default_Ignorable_Code_Point (UAX #44, DerivedCoreProperties.txt) without those of the categories Cc, Cf and Cn: Hangul
fillers, Khmer inherent vowels, variation selectors, the grapheme joiner. The second are blank and not called ignorable:
Braille, Egyptian and Khitan fillers, the null notehead."""

_ABOVE_LATIN: Final = re.compile("[\u0300-\U0010ffff]")
"""Below, every text is composed, and prints all that Python calls printable."""


def is_name(value: str) -> bool:
    """True for text that is what it looks like (`name_fault` says what else is wrong with it)."""
    is_plain = 0 < len(value) <= TEXT_CHARS_MAX and value.isprintable() and value.strip(" ") == value
    return is_plain and (value.isascii() or not _ABOVE_LATIN.search(value) or _spelling_fault(value) is None)


def name_fault(value: str) -> str | None:
    """What is wrong with a name, for a sentence that begins with what it is the name of; None if nothing is.

    It is neither blank nor padded; nothing in it is unseen or changes how the rest is seen (Unicode's Cc, Cf, Cs, Co,
    Cn, Zl, Zp, every space but U+0020, and what prints nothing); it begins with no mark that has no letter; it is in
    Normalization Form C. Letters that only look alike, of two alphabets, are different letters.
    """
    if not 0 < len(value) <= TEXT_CHARS_MAX or value.strip(" ") != value:
        return NAME_RULE
    unseen = next((char for char in value if not char.isprintable()), None)
    return _spelling_fault(value) if unseen is None else _rule_with(f"{_called(unseen)} is not printable")


def _spelling_fault(value: str) -> str | None:
    """What is wrong with a text of characters that Python calls printable."""
    if unseen := _PRINTS_NOTHING.search(value):
        return _rule_with(f"{_called(unseen.group())} is not printable")
    if category(value[0]).startswith("M"):
        return _rule_with(f"{_called(value[0])} needs a letter before it")
    return None if is_normalized("NFC", value) else _SPELLING_RULE


def _rule_with(more: str) -> str:
    return f"{NAME_RULE} ({more})"


def _called(char: str) -> str:
    return f"U+{ord(char):04X} {name(char, '')}".rstrip()


def composed(text: str) -> str:
    """The one spelling that a new name may have (NFC), of what people type: their keyboards and files give others."""
    return text if text.isascii() else normalize("NFC", text)
