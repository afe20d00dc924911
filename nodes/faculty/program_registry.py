"""The numbers a faculty gives its programs (A21): stable across restarts, kept in one small file.

The servers know a program by its number and call it as its first request did. So no number may ever be given to a
second name, not even by a faculty whose file is lost: it goes on where none was given before.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from es.descriptors import open_file
from es.durability import flush_directory, naming
from es.errors import EsError
from nodes.logs import logger
from projections.rooms.limits import ID_MAX, TEXT_CHARS_MAX

FILE_NAME = "programs.json"

PROGRAMS_MAX: Final = 1_000
"""Programs one faculty registers; one more is UNAVAILABLE, code LIMIT_REACHED, for good."""


class ProgramRegistry:
    """Names to ids, each given once and never again to another name."""

    __slots__ = ("_ids", "_next_id", "_taken")

    def __init__(self, ids: Mapping[str, int] | None = None, next_id: int = 1) -> None:
        self._ids = dict(ids or {})
        self._taken = set(self._ids.values())
        self._next_id = next_id

    def __len__(self) -> int:
        return len(self._ids)

    def id_of(self, name: str) -> int | None:
        """The program's number, or None if the name was not seen before."""
        return self._ids.get(name)

    def register(self, name: str) -> int:
        """Give a new name the next number that is free."""
        assert name not in self._ids, "a program keeps its number"
        while self._next_id in self._taken:
            self._next_id += 1
        self._ids[name] = program_id = self._next_id
        self._next_id += 1
        return program_id

    def adopt(self, configured: Mapping[int, str]) -> None:
        """Take in configured numbers. What was given before stands: a name keeps the number it has, and
        a number that is taken is not given twice (its configured name gets the next free one)."""
        given = set(self._ids.values())
        self._taken |= configured.keys()
        for program_id, name in configured.items():
            if name in self._ids:
                continue
            if program_id in given:
                self.register(name)
            else:
                self._ids[name] = program_id

    def to_json(self) -> str:
        """What the file holds."""
        return json.dumps({"next_id": self._next_id, "programs": self._ids}, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ProgramRegistry:
        """What `to_json` wrote. Raises ValueError, TypeError or KeyError if it did not."""
        fields = json.loads(text)
        ids, next_id = fields["programs"], fields["next_id"]
        if not _are_ids(ids) or type(next_id) is not int:
            raise ValueError("names with distinct numbers are expected")
        return cls(ids, next_id)


class RegistryDamaged(EsError):
    """The file of programs is not what `to_json` writes (exit status 4). One sentence that names it."""

    code = "REGISTRY_DAMAGED"


def create(directory: Path) -> None:
    """Make the file of a faculty that has never given a number, if there is none. Raises OSError."""
    if not (directory / FILE_NAME).exists():
        save(directory, ProgramRegistry().to_json())


def load(directory: Path) -> ProgramRegistry:
    """The registry in that directory. Without one it is not known which numbers were given: then they begin anew,
    elsewhere. Raises RegistryDamaged, OSError."""
    path = directory / FILE_NAME
    try:
        return ProgramRegistry.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        next_id = _elsewhere()
        logger().warning("no file of programs: new ones get numbers from here on", path=str(path), next_id=next_id)
        return ProgramRegistry(next_id=next_id)
    except (ValueError, TypeError, KeyError) as error:
        raise RegistryDamaged(
            f"{path} is not a file of programs ({error}): move it away; then programs that the configuration does not "
            "name get new numbers"
        ) from None


def save(directory: Path, content: str) -> None:
    """Replace the file, durably: after this returns the new content survives a power cut, before that
    the old one does. Raises OSError, which names the file."""
    path, new = directory / FILE_NAME, directory / f"{FILE_NAME}.new"
    with naming(path):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(new, "w", encoding="utf-8", opener=open_file) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        flush_directory(directory)


def _are_ids(ids: Any) -> bool:
    return (
        type(ids) is dict
        and all(type(number) is int and 0 <= number <= ID_MAX for number in ids.values())
        and all(0 < len(name) <= TEXT_CHARS_MAX for name in ids)
        and len(set(ids.values())) == len(ids)
    )


def _elsewhere() -> int:
    """Where a registry begins that cannot know what was given before: in one of two million blocks, each long enough
    for a whole registry, and never in the first, where a faculty's first registry begins."""
    return PROGRAMS_MAX * secrets.choice(range(1, ID_MAX // PROGRAMS_MAX)) + 1
