"""A transaction's identity: how its id is stored and how it is found again (A10)."""

from __future__ import annotations

from hashlib import blake2b

_STRING_KEY = 1 << 32
_DIGEST_KEY = 2 << 32
_TEXT_BYTES_MAX = 40
_DIGEST_BYTES = 20
"""Nobody finds two ids that have the same one (2⁸⁰ tries), and they would be one faculty's."""


def request_id_of(transaction_id: str) -> str | bytes:
    """How the log stores a transaction id: a uuid in its canonical lowercase spelling as its 16 bytes,
    anything else unchanged. `transaction_id_of` gives back exactly what came in."""
    if len(transaction_id) != 36:
        return transaction_id
    digits = transaction_id.replace("-", "")
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return transaction_id
    t = transaction_id
    canonical = len(raw) == 16 and raw.hex() == digits and t[8] == t[13] == t[18] == t[23] == "-"
    return raw if canonical else transaction_id


def transaction_id_of(request_id: str | bytes) -> str:
    """The transaction id as its client spelled it."""
    if isinstance(request_id, str):
        return request_id
    digits = request_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def session_key(faculty_id: int, request_id: str | bytes) -> bytes:
    """One key per (faculty, transaction id), different for different pairs; 21 bytes for a uuid, at most 45 for what is
    none: for a longer id, of which a faculty may have two million of 800 bytes each, a digest stands. `faculty_id` is
    at most `limits.ID_MAX`."""
    if isinstance(request_id, bytes):
        return faculty_id.to_bytes(5, "big") + request_id
    text = request_id.encode()
    if len(text) <= _TEXT_BYTES_MAX:
        return (_STRING_KEY | faculty_id).to_bytes(5, "big") + text
    return (_DIGEST_KEY | faculty_id).to_bytes(5, "big") + blake2b(text, digest_size=_DIGEST_BYTES).digest()
