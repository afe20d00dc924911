"""The session table against a deliberately dumb model: a list of everything ever said."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from es.replication.sessions import SessionTable

SCOPES = st.integers(0, 4)
KEYS = st.binary(max_size=1)
VALUES = st.binary(max_size=2)


class SessionsAgree(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.table = SessionTable()
        self.open: list[int] = []
        self.said: list[tuple[int, bytes, bytes]] = []

    def known(self, key: bytes) -> list[bytes]:
        return [value for _, other, value in self.said if other == key]

    @rule(scope=SCOPES)
    def open_scope(self, scope: int) -> None:
        if scope not in self.open:
            self.table.open_scope(scope)
            self.open.append(scope)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close_scope(self, data: st.DataObject) -> None:
        scope = data.draw(st.sampled_from(self.open))
        dropped = self.table.close_scope(scope)
        assert dropped == sum(1 for other, _, _ in self.said if other == scope)
        self.open.remove(scope)
        self.said = [line for line in self.said if line[0] != scope]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), key=KEYS, value=VALUES)
    def add(self, data: st.DataObject, key: bytes, value: bytes) -> None:
        scope = data.draw(st.sampled_from(self.open))
        if self.known(key):
            with pytest.raises(AssertionError, match="ended twice"):
                self.table.add(scope, key, value)
        else:
            self.table.add(scope, key, value)
            self.said.append((scope, key, value))

    @rule(key=KEYS, value=VALUES)
    def replace(self, key: bytes, value: bytes) -> None:
        if not self.known(key):
            with pytest.raises(AssertionError, match="unknown"):
                self.table.replace(key, value)
        else:
            self.table.replace(key, value)
            self.said = [(s, k, value if k == key else v) for s, k, v in self.said]

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.table.get(key) == next(iter(self.known(key)), None)

    @invariant()
    def same_content(self) -> None:
        assert len(self.table) == len(self.said)
        assert self.table.to_plain() == tuple(
            (scope, tuple(sorted((k, v) for s, k, v in self.said if s == scope))) for scope in sorted(self.open)
        )


TestSessionsAgree = SessionsAgree.TestCase
TestSessionsAgree.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_scope_opens_once() -> None:
    table = SessionTable()
    table.open_scope(1)
    with pytest.raises(AssertionError, match="open already"):
        table.open_scope(1)
