"""Exactly once: what must be remembered of finished transactions (A10).

A session is remembered until its scope is closed and never evicted before. A table may hold a million
of them, so a key and a value are opaque bytes and nothing else is kept for one.
"""

from __future__ import annotations

from es.codec import Plain


class SessionTable:
    """Scope -> keys, key -> value. A key belongs to one scope; a key is unique among all of them.

    The table records and cannot refuse: how much is too much is for the application's decision before.
    """

    __slots__ = ("_keys", "_values")

    def __init__(self) -> None:
        self._keys: dict[int, list[bytes]] = {}
        self._values: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        """Sessions remembered, in all scopes."""
        return len(self._values)

    def open_scope(self, scope: int) -> None:
        """Begin a scope; its number was never open before."""
        assert scope not in self._keys, f"scope {scope} is open already"
        self._keys[scope] = []

    def close_scope(self, scope: int) -> int:
        """Forget a scope and every session in it; give their number."""
        keys = self._keys.pop(scope)
        for key in keys:
            del self._values[key]
        return len(keys)

    def get(self, key: bytes) -> bytes | None:
        """What is remembered under `key`, or None."""
        return self._values.get(key)

    def add(self, scope: int, key: bytes, value: bytes) -> None:
        """Remember a finished transaction. A second one under the same key is a broken invariant (I5)."""
        assert key not in self._values, "a transaction has ended twice"
        self._keys[scope].append(key)
        self._values[key] = value

    def replace(self, key: bytes, value: bytes) -> None:
        """Change what is remembered under a known key; its scope stays."""
        assert key in self._values, "an unknown transaction cannot change"
        self._values[key] = value

    def to_plain(self) -> Plain:
        """((scope, ((key, value) …)) …), both levels sorted: equal for equal content."""
        return tuple(
            (scope, tuple((key, self._values[key]) for key in sorted(keys)))
            for scope, keys in sorted(self._keys.items())
        )
