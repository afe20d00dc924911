"""The rule for names: what looks the same is spelled the same, and what is there is seen."""

from __future__ import annotations

from unicodedata import category, is_normalized, normalize

import pytest

from projections.rooms.fields import bad_name_reason
from projections.rooms.limits import TEXT_CHARS_MAX
from projections.rooms.names import composed, is_name, name_fault

RULE = "must be 1 to 200 printable characters without a space at either end"
COMPOSED = "must be composed (Unicode NFC): what looks the same is spelled the same"
RANGES = range(0x3400), range(0xA000, 0xAC10), range(0xD790, 0x20010), range(0xE0000, 0xE1000)
EVERY = [char for codes in RANGES for char in map(chr, codes) if category(char) not in ("Cn", "Co", "Cs")]
"""Every character that has a meaning, but for ideographs and syllables that only differ in their number."""
IGNORABLE = [
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
]  # fmt: skip
"""Default_Ignorable_Code_Point, all of it, as Unicode 14 to 16 have it in DerivedCoreProperties.txt."""


@pytest.mark.parametrize("text", [
    "2025-2", "Ingeniería de Sistemas", "Oto\u00f1o", "数学", "한국어", "नमस्ते", "ไทย", "x" * 200, "a  b", "é\u0323",
    "\u2615", "\U0001f3eb", "\u2801",
])  # fmt: skip
def test_a_name_is_text_that_can_be_seen(text: str) -> None:
    text = composed(text)
    assert is_name(text) and name_fault(text) is None


@pytest.mark.parametrize(("text", "fault"), [
    ("", RULE), (" ", RULE), (" a", RULE), ("a ", RULE), ("x" * 201, RULE),
    ("a\nb", f"{RULE} (U+000A is not printable)"),
    ("a\u00a0b", f"{RULE} (U+00A0 NO-BREAK SPACE is not printable)"),
    ("a\u202eb", f"{RULE} (U+202E RIGHT-TO-LEFT OVERRIDE is not printable)"),
    ("\ud800", f"{RULE} (U+D800 is not printable)"),
    ("\u3164", f"{RULE} (U+3164 HANGUL FILLER is not printable)"),
    ("\u2800", f"{RULE} (U+2800 BRAILLE PATTERN BLANK is not printable)"),
    ("a\U000e0100", f"{RULE} (U+E0100 VARIATION SELECTOR-17 is not printable)"),
    ("\U0001d159", f"{RULE} (U+1D159 MUSICAL SYMBOL NULL NOTEHEAD is not printable)"),
    ("\u0301a", f"{RULE} (U+0301 COMBINING ACUTE ACCENT needs a letter before it)"),
    ("Biologi\u0301a", COMPOSED), ("Oton\u0303o", COMPOSED), ("\u212a", COMPOSED), ("가", COMPOSED),
    ("\u2615\ufe0f", f"{RULE} (U+FE0F VARIATION SELECTOR-16 is not printable)"),
    ("\U0001f9d1\u200d\U0001f3eb", f"{RULE} (U+200D ZERO WIDTH JOINER is not printable)"),
])  # fmt: skip
def test_what_is_wrong_with_a_name_is_one_clear_sentence(text: str, fault: str) -> None:
    text = normalize("NFD", text) if text == "가" else text
    assert not is_name(text)
    assert name_fault(text) == fault


def test_no_name_has_a_character_that_unicode_calls_ignorable() -> None:
    for first, last in IGNORABLE:
        for code in range(first, last + 1):
            for text in (chr(code), f"a{chr(code)}", f"a{chr(code)}b"):
                assert not is_name(text) and name_fault(text) is not None, f"U+{code:04X}"


def test_both_forms_of_the_rule_agree_on_every_character() -> None:
    """The quick one takes every text below U+0300 for composed and seen: each of these characters is."""
    for char in EVERY:
        for text in (char, f"a{char}", f"\u0416{char}"):
            assert is_name(text) == (name_fault(text) is None), ascii(text)
            assert not is_name(text) or (is_normalized("NFC", text) and text.isprintable()), ascii(text)


def test_a_sentence_about_any_character_is_no_longer_than_a_reason() -> None:
    for char in EVERY:
        for text in (char, f"a{char}"):
            assert is_name(text) or len(bad_name_reason("transaction_id", text)) <= TEXT_CHARS_MAX, ascii(text)


def test_what_is_typed_decomposed_is_what_is_typed_composed() -> None:
    for char in EVERY:
        if is_name(char):
            assert composed(normalize("NFD", char)) == char
    assert composed("\u2615\ufe0f") == "\u2615\ufe0f", "nothing is taken away: it is refused"
