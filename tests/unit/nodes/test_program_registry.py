"""A21: a program keeps its number, also across restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nodes.datadir import initialise
from nodes.faculty import program_registry, shell
from nodes.faculty.program_registry import FILE_NAME, PROGRAMS_MAX, ProgramRegistry, RegistryDamaged
from ops.cluster_dir import prepare
from ops.exits import INTEGRITY, ending
from projections.rooms.limits import ID_MAX


def test_numbers_are_kept_and_never_given_twice(tmp_path: Path) -> None:
    program_registry.create(tmp_path / "faculty-1")
    programs = program_registry.load(tmp_path / "faculty-1")
    assert programs.register("Sistemas") == 1
    program_registry.save(tmp_path / "faculty-1", programs.to_json())
    again = program_registry.load(tmp_path / "faculty-1")
    assert again.id_of("Sistemas") == 1
    assert again.register("Economía") == 2
    program_registry.save(tmp_path / "faculty-1", again.to_json())
    assert program_registry.load(tmp_path / "faculty-1").id_of("Economía") == 2
    program_registry.create(tmp_path / "faculty-1")
    assert program_registry.load(tmp_path / "faculty-1").id_of("Economía") == 2
    assert [path.name for path in (tmp_path / "faculty-1").iterdir()] == [FILE_NAME]


def test_who_lost_the_file_gives_no_number_again(tmp_path: Path) -> None:
    """The servers would go on calling it by the name that it was given to first."""
    lives = [program_registry.load(tmp_path) for _ in range(20)]
    for programs in lives:
        programs.adopt({1: "Civil"})
    assert all(programs.id_of("Civil") == 1 for programs in lives), "what the configuration names keeps its number"
    given = [{programs.register(f"P{number}") for number in range(PROGRAMS_MAX)} for programs in lives[:3]]
    assert not set.intersection(*given)
    firsts = {min(numbers) for numbers in given} | {programs.register("Zeta") for programs in lives[3:]}
    assert len(firsts) == len(lives)
    assert min(firsts) > PROGRAMS_MAX, "nor one of the first life"
    assert max(max(numbers) for numbers in given) <= ID_MAX


def test_the_file_is_made_with_a_new_configuration_and_never_again(tmp_path: Path) -> None:
    config = prepare(tmp_path, faculties=1, overrides={})
    file = config.faculty(1).data / FILE_NAME
    file.unlink()
    prepare(tmp_path, overrides={})
    initialise(config)
    assert not file.exists(), "numbers may have been given from the one that was there"


@pytest.mark.parametrize("next_id", [5_000, 1_000_005_000])
def test_numbers_that_are_configured_move_nobody_elses(next_id: int) -> None:
    """Those of an earlier life may be: what was given beside them then is not known."""
    programs = ProgramRegistry(next_id=next_id)
    programs.adopt({1_000_000_009: "Civil", next_id: "Industrial"})
    assert programs.register("Nueva") == next_id + 1
    again = ProgramRegistry.from_json(programs.to_json())
    assert again.register("Otra") == next_id + 2


def test_configured_numbers_stand_unless_they_contradict_what_was_given() -> None:
    programs = ProgramRegistry({"Sistemas": 1}, next_id=5)
    programs.adopt({1: "Civil", 7: "Industrial", 9: "Sistemas"})
    assert programs.id_of("Sistemas") == 1
    assert programs.id_of("Industrial") == 7
    assert programs.id_of("Civil") == 5
    assert [programs.register(f"Nueva {n}") for n in range(4)] == [6, 8, 10, 11], "what is configured is nobody else's"


def test_whose_configured_number_is_another_ones_is_told(tmp_path: Path) -> None:
    faculty = prepare(tmp_path, faculties=1, overrides={}).faculty(1)
    program_registry.save(faculty.data, ProgramRegistry({"Sistemas": 1}, next_id=5).to_json())
    with capture_logs() as lines:
        shell._programs_of(replace(faculty, programs={1: "Civil", 7: "Industrial"}))
    [line] = lines
    assert (line["log_level"], line["program"], line["configured"], line["program_id"]) == ("warning", "Civil", 1, 5)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"programs": {}}',
        '{"programs": {"a": 1, "b": 1}, "next_id": 2}',
        '{"programs": 1, "next_id": 2}',
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_file_is_one_clear_sentence(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RegistryDamaged, match=FILE_NAME) as damaged:
        program_registry.load(tmp_path)
    assert ending(damaged.value) == (str(damaged.value), INTEGRITY)


def test_a_disk_that_is_full_is_told_with_the_file_that_it_does_not_take(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as refused:
        program_registry.save(tmp_path, ProgramRegistry({"Sistemas": 1}).to_json())
    assert refused.value.filename == str(tmp_path / FILE_NAME)
