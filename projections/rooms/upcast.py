"""Bring events of older versions to the one this program folds. A step is a pure function v -> v + 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from es.machine import UnknownEvent
from projections.rooms.events import VERSIONS

Step = Callable[[tuple[Any, ...]], tuple[Any, ...]]


class Upcaster:
    """A table of steps, one for every (type, version) below the current version of each type.

    An incomplete or superfluous table is a mistake of ours and found when it is built.
    """

    def __init__(self, versions: Mapping[str, int], steps: Mapping[tuple[str, int], Step]) -> None:
        wanted = {(name, version) for name, current in versions.items() for version in range(1, current)}
        assert set(steps) == wanted, f"steps missing or superfluous: {sorted(set(steps) ^ wanted)}"
        self._versions = dict(versions)
        self._steps = dict(steps)

    def current(self, name: str, version: int, body: tuple[Any, ...]) -> tuple[Any, ...]:
        """`body` at the current version of `name`. Raises UnknownEvent for a type or version that no
        table knows (the node must halt rather than skip it)."""
        known = self._versions.get(name)
        if known is None:
            raise UnknownEvent(f"the rooms application knows no event {name!r}")
        if not 1 <= version <= known:
            raise UnknownEvent(f"{name} version {version} is unknown; this program knows 1 to {known}")
        for older in range(version, known):
            body = self._steps[name, older](body)
        return body


UPCASTER: Final = Upcaster(VERSIONS, {})
"""No event has changed its shape yet."""
