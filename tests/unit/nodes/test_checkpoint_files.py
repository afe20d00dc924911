"""Checkpoints on disk: records that are read back, and whatever follows their sound part left alone."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest

from nodes.checkpoints import files as checkpoint_files
from nodes.checkpoints.files import HEADS_BYTES_MAX, Records, append, create, cut, head_path, read, record, replace
from nodes.checkpoints.writer import APPENDED_MAX, CheckpointWriter
from tests.unit.nodes.signers import give_keys, signed


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    give_keys(tmp_path / "keys", "a", "b")
    return tmp_path / "keys"


def test_records_are_read_back_in_their_order(keys: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    assert read(path, HEADS_BYTES_MAX) is None
    create(path)
    assert read(path, HEADS_BYTES_MAX) == Records((), None)
    some = [signed(keys, "a", seq) for seq in (1, 5, 9)]
    append(path, record(some[0]), durable=False)
    append(path, record(some[1]) + record(some[2]), durable=True)
    assert read(path, HEADS_BYTES_MAX) == Records(tuple(some), None)


@pytest.mark.parametrize("tail", [b"\0", b"\0\0", b"\0\7short", bytes(500), b"\xff" * 300, b"\0\5abcde"])
def test_what_follows_the_sound_part_is_told_and_can_be_cut_off(keys: Path, tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "checkpoints"
    one, two = signed(keys, "a", 1), signed(keys, "a", 2)
    sound = record(one)
    append(path, sound + tail + record(two), durable=False)
    assert read(path, HEADS_BYTES_MAX) == Records((one,), len(sound))
    cut(path, len(sound))
    append(path, record(two), durable=False)
    assert read(path, HEADS_BYTES_MAX) == Records((one, two), None)


def test_no_more_is_read_than_the_bound(keys: Path, tmp_path: Path) -> None:
    path, one = tmp_path / "checkpoints", signed(keys, "a", 1)
    append(path, record(one) * 3, durable=False)
    found = read(path, 2 * len(record(one)) + 1)
    assert found is not None and (found.signed, found.torn) == ((one, one), 2 * len(record(one)))


def test_an_append_that_fails_half_way_leaves_nothing(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, one = tmp_path / "checkpoints", signed(keys, "a", 1)
    append(path, record(one), durable=False)

    def half(fd: int, content: bytes) -> None:
        os.write(fd, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_files, "_write", half)
    with pytest.raises(OSError, match="No space"):
        append(path, record(one), durable=False)
    assert read(path, HEADS_BYTES_MAX) == Records((one,), None)


def test_a_replaced_file_holds_the_new_records_alone(keys: Path, tmp_path: Path) -> None:
    path = head_path(tmp_path, "a")
    replace(path, [signed(keys, "a", 1)], durable=False)
    replace(path, [signed(keys, "a", 2)], durable=True)
    assert read(path, HEADS_BYTES_MAX) == Records((signed(keys, "a", 2),), None)
    assert [file.name for file in path.parent.iterdir()] == ["a"]


def test_the_writer_has_stored_everything_once_it_is_closed(keys: Path, tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path)
    some = [signed(keys, "a", seq) for seq in range(1, 20)]
    for one in some:
        writer.append(one)
        writer.keep("a", [one])
    writer.keep("b", [signed(keys, "b", 3)])
    writer.close()
    assert read(tmp_path / "checkpoints", HEADS_BYTES_MAX) == Records(tuple(some), None)
    assert read(head_path(tmp_path, "a"), HEADS_BYTES_MAX) == Records((some[-1],), None)
    assert read(head_path(tmp_path, "b"), HEADS_BYTES_MAX) == Records((signed(keys, "b", 3),), None)
    assert writer.failures == 0


def test_a_writer_whose_disk_refuses_counts_it_and_goes_on(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "heads").write_bytes(b"in the way")
    writer = CheckpointWriter(tmp_path)
    writer.keep("a", [signed(keys, "a", 1)])
    writer.close()
    assert writer.failures == 1


def test_a_writer_whose_disk_hangs_drops_what_is_too_much(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, going_on = Event(), Event()

    def hang(*_: object, **__: object) -> None:
        hanging.set()
        assert going_on.wait(20)

    monkeypatch.setattr(checkpoint_files, "replace", hang)
    writer, one = CheckpointWriter(tmp_path), signed(keys, "a", 1)
    writer.keep("a", [one])
    assert hanging.wait(20)
    for _ in range(APPENDED_MAX + 3):
        writer.append(one)
    assert writer.failures == 3
    going_on.set()
    writer.close()
    found = read(tmp_path / "checkpoints", HEADS_BYTES_MAX)
    assert found is not None and len(found.signed) > 0
