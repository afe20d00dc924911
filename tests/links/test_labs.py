"""Clusters that are put on this host at the same time get ports of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.demo import free_base_port
from ops.prove import labs
from ops.prove.labs import on_this_host


def test_a_base_that_another_cluster_has_just_been_given_is_not_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = free_base_port(), free_base_port()
    while second == first:
        second = free_base_port()
    looked_at = iter([first, first, second])  # both looked before either had started anything
    monkeypatch.setattr(labs, "free_base_port", lambda: next(looked_at))
    with on_this_host(tmp_path / "1", "slow", 1) as one, on_this_host(tmp_path / "2", "slow", 1) as other:
        assert one.servers[0].requests == f"tcp://127.0.0.1:{first}"
        assert other.servers[0].requests == f"tcp://127.0.0.1:{second}"
