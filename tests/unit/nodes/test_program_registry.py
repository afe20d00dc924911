"""A21: a program keeps its number, also across restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.faculty import program_registry
from nodes.faculty.program_registry import FILE_NAME, ProgramRegistry, RegistryDamaged


def test_numbers_are_kept_and_never_given_twice(tmp_path: Path) -> None:
    programs = program_registry.load(tmp_path / "faculty-1")
    assert programs.register("Sistemas") == 1
    program_registry.save(tmp_path / "faculty-1", programs.to_json())
    again = program_registry.load(tmp_path / "faculty-1")
    assert again.id_of("Sistemas") == 1
    assert again.register("Economía") == 2
    program_registry.save(tmp_path / "faculty-1", again.to_json())
    assert program_registry.load(tmp_path / "faculty-1").id_of("Economía") == 2
    assert [path.name for path in (tmp_path / "faculty-1").iterdir()] == [FILE_NAME]


def test_configured_numbers_stand_unless_they_contradict_what_was_given() -> None:
    programs = ProgramRegistry({"Sistemas": 1}, next_id=5)
    programs.adopt({1: "Civil", 7: "Industrial", 9: "Sistemas"})
    assert programs.id_of("Sistemas") == 1
    assert programs.id_of("Industrial") == 7
    assert programs.id_of("Civil") == 10
    assert programs.register("Nueva") == 11


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"programs": {}}',
        '{"programs": {"a": 1, "b": 1}, "next_id": 2}',
        '{"programs": 1, "next_id": 2}',
    ],
)
def test_a_damaged_file_is_one_clear_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(RegistryDamaged, match=FILE_NAME):
        program_registry.load(tmp_path)


def test_a_disk_that_is_full_is_told_with_the_file_that_it_does_not_take(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as refused:
        program_registry.save(tmp_path, ProgramRegistry({"Sistemas": 1}).to_json())
    assert refused.value.filename == str(tmp_path / FILE_NAME)
