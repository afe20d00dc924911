"""Damage to a stored log is always found, and found by a process that may die of it."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import lmdb
import msgpack
import pytest

from es.codec import Batch, decode_batch, is_canonical
from es.errors import LogDamaged, LogError, LogMissing
from es.log.base import EMPTY, Write
from es.log.chain import head_of
from es.log.last_write import LAST_WRITE_FILE, last_write
from es.log.lmdb_log import DATA_FILE, LmdbLog
from es.log.verify import Damage, verify, verify_in_child
from tests.contract.chains import IDENTITY, chain

ROOT = Path(__file__).parents[2]
PAGE_BYTES = 4096
BATCHES = chain(40, events=4, body_bytes=300)
SMALL_BATCHES = chain(400, events=1)


def stored(path: Path, batches: list[Batch]) -> Path:
    with closing(LmdbLog.create(path, IDENTITY)) as log:
        log.write(Write(batches[:-1], records=[("promised", b"4")]))
        log.write(Write(batches[-1:], commit_seq=batches[-2].last_seq))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return stored(tmp_path / "log", BATCHES)


def change(path: Path, at: int, new: Callable[[bytes], bytes], size: int = 1) -> None:
    with (path / DATA_FILE).open("r+b") as file:
        file.seek(at)
        old = file.read(size)
        file.seek(at)
        file.write(new(old))


def flip(byte: bytes) -> bytes:
    return bytes([byte[0] ^ 0x10])


def flip_in(path: Path, content: bytes, distance: int) -> None:
    """Flip a bit so many bytes after each place where `content` is stored: LMDB keeps older copies of pages."""
    places = [match.start() for match in re.finditer(re.escape(content), (path / DATA_FILE).read_bytes())]
    assert places
    for place in places:
        change(path, place + distance, flip)


def edit(path: Path, change: Callable[[lmdb.Transaction, lmdb._Database], object], name: bytes = b"batches") -> None:
    """Change what is stored behind the log's back."""
    with lmdb.open(str(path), max_dbs=2) as environment:
        database = environment.open_db(name, create=False)
        with environment.begin(write=True) as txn:
            change(txn, database)


def forge(path: Path, name: bytes, value: bytes) -> None:
    """Store a value whose seal is right and whose meaning is wrong."""
    seal = sha256(name + b"\0" + value).digest()
    edit(path, lambda txn, meta: txn.put(name, seal + value, db=meta), b"meta")


def test_a_sound_log_is_reported_whole(path: Path) -> None:
    report = verify_in_child(path)
    assert report == verify(path)
    assert (report.batches, report.events, report.head) == (40, 160, head_of(BATCHES[-1]))
    assert (report.commit_seq, report.structure_checked, report.damage) == (156, True, None)


def test_an_empty_log_is_sound(tmp_path: Path) -> None:
    LmdbLog.create(tmp_path / "log", IDENTITY).close()
    assert verify_in_child(tmp_path / "log").head == EMPTY


def test_a_walk_may_begin_later_and_takes_the_link_before_it_along(path: Path) -> None:
    assert verify(path, 9).batches == 39  # from seq 5 on
    assert verify(path, 10).batches == 38
    assert verify(path, 161).batches == 1
    assert verify(path, 10_000).head == head_of(BATCHES[-1])


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    verify(stored(tmp_path / "log", SMALL_BATCHES), on_progress=told.append)
    assert told == [0, 256]


@pytest.mark.parametrize("index", [0, 20, 39])
def test_a_flipped_bit_in_a_batch_is_found_and_placed(path: Path, index: int) -> None:
    flip_in(path, BATCHES[index].data[:60], 400)
    sound_seq = BATCHES[index].first_seq - 1
    with pytest.raises(
        LogDamaged, match=rf"seq {sound_seq + 1}\b.*\(sound up to seq {sound_seq}\)|contradicts its hash"
    ):
        verify_in_child(path)


def test_a_damaged_batch_is_never_served(path: Path) -> None:
    flip_in(path, BATCHES[20].data[:60], 400)
    with closing(LmdbLog.open(path)) as log:
        assert log.batch_at(80) == BATCHES[19]
        with pytest.raises(LogDamaged, match="seq 81"):
            log.batch_at(82)
        served: list[Batch] = []
        with pytest.raises(LogDamaged, match="seq 81"):
            served.extend(batch for batch in log.batches())
    assert verify(path).damage == Damage(81, f"the log in {path} is damaged: the batch at seq 81 contradicts its hash")


def test_a_flipped_bit_in_a_record_is_found(path: Path) -> None:
    flip_in(path, b"record/promised", len("record/promised") + 32)
    with pytest.raises(LogDamaged, match="record/promised contradicts its hash"):
        verify_in_child(path)
    with pytest.raises(LogDamaged):
        LmdbLog.open(path)


def test_any_flipped_bit_is_found_or_hurts_nothing(tmp_path: Path) -> None:
    drawn = random.Random(17)
    path = stored(tmp_path / "log", chain(12, events=2, body_bytes=150))
    whole = (path / DATA_FILE).read_bytes()
    sound = verify(path)
    used = [at for at, byte in enumerate(whole) if byte]
    found = 0
    for at in drawn.sample(used, 36):
        (path / DATA_FILE).write_bytes(whole)
        change(path, at, flip)
        try:
            assert verify_in_child(path) == sound, f"the flip at byte {at} is silent"
        except LogDamaged:
            found += 1
    assert found >= 12


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_found(path: Path, kept: float) -> None:
    used = (path / DATA_FILE).read_bytes().rstrip(b"\0")  # beyond, it has only grown ahead
    os.truncate(path / DATA_FILE, int(len(used) * kept))
    with pytest.raises(LogDamaged):
        verify_in_child(path)


def test_a_zeroed_page_is_found(path: Path) -> None:
    whole = (path / DATA_FILE).read_bytes()
    found = 0
    for at in range(0, len(whole), PAGE_BYTES):
        (path / DATA_FILE).write_bytes(whole)
        change(path, at, lambda old: bytes(len(old)), PAGE_BYTES)
        try:
            assert verify_in_child(path).head in (head_of(BATCHES[-1]), head_of(BATCHES[-2]))
        except LogDamaged:
            found += 1
    assert found > len(BATCHES) // 2


@pytest.mark.parametrize(("harm", "what"), [("truncated", "died of SIGBUS"), ("zeroed", "MDB_CORRUPTED")])
def test_the_death_of_the_process_that_read_is_damage(tmp_path: Path, harm: str, what: str) -> None:
    path = stored(tmp_path / "log", SMALL_BATCHES)
    size = (path / DATA_FILE).stat().st_size
    holding = "import sys; from pathlib import Path; from es.log.directory_lock import DirectoryLock; "
    holding += "lock = DirectoryLock(Path(sys.argv[1])); print(flush=True); input()"
    # While somebody holds the directory its pages are not looked at, so that only the death shows it.
    command = [sys.executable, "-c", holding, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "\n"
        if harm == "truncated":
            os.truncate(path / DATA_FILE, 3 * PAGE_BYTES)
        else:
            change(path, 2 * PAGE_BYTES, lambda old: bytes(len(old)), size - 2 * PAGE_BYTES)
        with pytest.raises(LogDamaged, match=what):
            verify_in_child(path)
        holder.communicate("\n", timeout=60)


META_TXNID = 16 + 8 + 16 + 48 + 48 + 8  # page header, then MDB_meta up to mm_txnid


@pytest.mark.parametrize("readonly", [False, True])
def test_an_old_meta_page_that_comes_back_is_found(path: Path, readonly: bool) -> None:
    """LMDB serves the root before the last write, and every page of that is sound."""
    before = (path / DATA_FILE).read_bytes()[: 2 * PAGE_BYTES]
    with closing(LmdbLog.open(path)) as log:
        log.write(Write(chain(1, log.head())))
    change(path, 0, lambda _: before, 2 * PAGE_BYTES)
    with pytest.raises(LogDamaged, match="it has 2 writes, of which 3 were durable"):
        verify_in_child(path)
    with pytest.raises(LogDamaged):
        LmdbLog.open(path, readonly=readonly)


@pytest.mark.parametrize(("page", "txnid"), [(0, 6), (1, 1)], ids=["the older is newer", "the newer is older"])
def test_a_flipped_bit_that_makes_the_older_root_the_newer_one_is_found(path: Path, page: int, txnid: int) -> None:
    def renumber(old: bytes) -> bytes:
        assert old == bytes([4 + page]), "LMDB numbers the two roots so after four commits"
        return bytes([txnid])

    change(path, page * PAGE_BYTES + META_TXNID, renumber)
    with pytest.raises(LogDamaged, match="it has 1 writes, of which 2 were durable"):
        verify_in_child(path)


@pytest.mark.parametrize("noted", [b"", b"\0" * 40, b"torn"])
def test_a_last_write_that_was_not_noted_accuses_nobody(path: Path, noted: bytes) -> None:
    """After a power cut the file holds an older number or none."""
    (path / LAST_WRITE_FILE).write_bytes(noted)
    assert verify_in_child(path).head == head_of(BATCHES[-1])
    with closing(LmdbLog.open(path)) as log:
        log.write(Write(commit_seq=log.head().seq))
    assert last_write(path) == 3


def test_a_new_log_owes_nothing_to_the_one_before_it(path: Path) -> None:
    (path / DATA_FILE).unlink()
    LmdbLog.create(path, IDENTITY).close()
    assert verify_in_child(path).head == EMPTY


def test_a_log_from_before_writes_were_counted_is_sound(path: Path) -> None:
    edit(path, lambda txn, meta: txn.delete(b"writes", db=meta), b"meta")
    (path / LAST_WRITE_FILE).unlink()
    with closing(LmdbLog.open(path)) as log:
        log.write(Write(commit_seq=log.head().seq))
    assert verify_in_child(path).head == head_of(BATCHES[-1])


def test_a_missing_batch_is_found(path: Path) -> None:
    edit(path, lambda txn, batches: txn.delete((81).to_bytes(8, "big"), db=batches))
    damage = verify(path).damage
    assert damage is not None and damage.seq == 81 and "seq 85 follows seq 80" in damage.what


@pytest.mark.parametrize("index", [0, 20])
def test_a_hole_is_not_taken_for_the_end_of_the_chain(path: Path, index: int) -> None:
    first_seq = BATCHES[index].first_seq
    edit(path, lambda txn, batches: txn.delete(first_seq.to_bytes(8, "big"), db=batches))
    with closing(LmdbLog.open(path)) as log, pytest.raises(LogDamaged, match=f"no batch holds seq {first_seq}"):
        next(log.batches(first_seq))


@pytest.mark.parametrize("index", [0, 39])
def test_a_missing_end_is_found(path: Path, index: int) -> None:
    key = BATCHES[index].first_seq.to_bytes(8, "big")
    edit(path, lambda txn, batches: txn.delete(key, db=batches))
    assert verify(path).damage is not None


def test_a_log_that_lost_its_last_batch_is_not_opened(path: Path) -> None:
    edit(path, lambda txn, batches: txn.delete((157).to_bytes(8, "big"), db=batches))
    with pytest.raises(LogDamaged, match="its last batch is not the one it ended with, at seq 160"):
        LmdbLog.open(path)


def test_a_commit_point_past_the_head_is_found(path: Path) -> None:
    forge(path, b"commit_seq", b"161")
    with pytest.raises(LogDamaged, match="commit point 161 is past its head 160"):
        verify_in_child(path)


def test_a_chain_that_begins_with_somebody_elses_hash_is_found(tmp_path: Path) -> None:
    path = stored(tmp_path / "log", chain(2))
    first = chain(1, EMPTY._replace(hash=b"x" * 32))[0]
    second = chain(1, head_of(first))[0]

    def replace(txn: lmdb.Transaction, batches: lmdb._Database) -> None:
        for batch in (first, second):
            txn.put(batch.first_seq.to_bytes(8, "big"), batch.hash + batch.data, db=batches)

    edit(path, replace)
    forge(path, b"head", msgpack.packb(head_of(second)))
    with pytest.raises(LogDamaged, match="seq 1 names another predecessor"):
        verify_in_child(path)


def test_a_count_of_pages_that_the_chain_does_not_show_is_found(path: Path) -> None:
    entries_of_main = 16 + 24 + 48 + 32  # page header, MDB_meta.mm_dbs[1].md_entries
    for page in (0, 1):
        change(path, page * PAGE_BYTES + entries_of_main, flip)
    with closing(LmdbLog.open(path)) as log:
        assert list(log.batches()) == BATCHES
    with pytest.raises(LogDamaged, match="entries"):
        verify_in_child(path)


def test_a_truncation_under_the_walk_is_no_damage(tmp_path: Path) -> None:
    path = stored(tmp_path / "log", SMALL_BATCHES)
    truncating = "\n".join((
        "import sys; from pathlib import Path; from es.log.base import Write; from es.log.lmdb_log import LmdbLog",
        "log = LmdbLog.open(Path(sys.argv[1])); print('open', flush=True)",
        "input(); log.write(Write(truncate_after=log.commit_seq())); print('truncated', flush=True); input()",
    ))  # fmt: skip
    command = [sys.executable, "-c", truncating, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        stdin, stdout = writer.stdin, writer.stdout

        def truncate(seq: int) -> None:
            if seq == 0:
                stdin.write("\n")
                stdin.flush()
                assert stdout.readline() == "truncated\n"

        report = verify(path, on_progress=truncate)
        writer.communicate("\n", timeout=60)
    assert (report.damage, report.structure_checked, report.head.seq) == (None, False, 399)


def test_a_batch_stored_in_another_place_is_found(path: Path) -> None:
    moved = BATCHES[20]
    edit(path, lambda txn, batches: txn.put((77).to_bytes(8, "big"), moved.hash + moved.data, db=batches))
    with pytest.raises(LogDamaged, match="stored at seq 77"):
        verify_in_child(path)


def test_a_batch_that_is_not_canonical_is_found(tmp_path: Path) -> None:
    first = chain(1)[0]
    loose = msgpack.packb([1, 1, 1, bytes(32), 5, list(first.entries)], use_single_float=True).replace(
        b"\x05\x93", b"\xcd\x00\x05\x93", 1
    )
    batch = decode_batch(loose)
    assert not is_canonical(batch)
    with closing(LmdbLog.create(tmp_path / "log", IDENTITY)) as log:
        log.write(Write([batch]))
    with pytest.raises(LogDamaged, match="seq 1 is not encoded canonically"):
        verify_in_child(tmp_path / "log")


def test_a_format_of_another_time_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("es.log.lmdb_log.FORMAT", b"2")
    with pytest.raises(LogError, match="format b'1'; this program knows b'2'"):
        LmdbLog.open(path)
    with pytest.raises(LogError, match="format"):
        verify(path)


def test_there_is_nothing_to_verify_where_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogMissing, match="there is no log"):
        verify_in_child(tmp_path)
    with lmdb.open(str(tmp_path / "other")):
        pass
    with pytest.raises(LogMissing, match="not an event log"):
        verify_in_child(tmp_path / "other")


def test_a_verification_that_takes_too_long_is_no_damage(path: Path) -> None:
    with pytest.raises(LogError, match="within 1 ms") as refused:
        verify_in_child(path, time_limit_ms=1)
    assert not isinstance(refused.value, LogDamaged)
