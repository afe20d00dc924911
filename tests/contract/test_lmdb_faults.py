"""What a log on disk must survive: other processes, a full map, a full disk, SIGKILL, failing flushes."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from es.codec import Batch, decode_batch
from es.errors import LogDamaged, LogError, LogInUse, LogMissing, LogWriteFailed
from es.log.base import Write
from es.log.chain import head_of
from es.log.directory_lock import LOCK_FILE
from es.log.last_write import LAST_WRITE_FILE
from es.log.lmdb_log import DATA_FILE, LmdbLog
from es.log.verify import verify
from tests.contract.chains import IDENTITY, chain

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    LmdbLog.create(path, IDENTITY).close()
    return path


@pytest.fixture
def writer(path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts tests.contract.log_writer, which has the log open when this returns."""
    with ExitStack() as running:

        def start(
            where: Path = path, *, writes: int = 0, batches: int = 1, prefix: tuple[str, ...] = (),
            file_bytes_max: int | None = None,
        ) -> "subprocess.Popen[str]":  # fmt: skip
            def limit() -> None:
                if file_bytes_max is not None:
                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))

            command = [
                *prefix,
                sys.executable,
                "-m",
                "tests.contract.log_writer",
                str(where),
                str(writes),
                str(batches),
            ]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=limit)
            running.enter_context(process)
            running.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            return process

        yield start


def said(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.read().split("\n")[:-1]


def test_nobody_else_may_write_where_a_process_writes(
    path: Path, writer: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = writer()
    with pytest.raises(LogInUse, match=f"process {process.pid}$"):
        LmdbLog.open(path)
    with pytest.raises(LogInUse):
        LmdbLog.create(path, IDENTITY)
    process.kill()
    process.wait()
    LmdbLog.open(path).close()


def test_a_second_log_in_one_process_is_refused_too(path: Path) -> None:
    with closing(LmdbLog.open(path)), pytest.raises(LogInUse, match=f"process {os.getpid()}$"):
        LmdbLog.open(path)
    LmdbLog.open(path).close()


def test_others_read_while_a_process_writes(path: Path, writer: Callable[..., "subprocess.Popen[str]"]) -> None:
    process = writer()
    assert process.stdout is not None
    with closing(LmdbLog.open(path, readonly=True)) as log:
        for _ in range(50):
            durable_seq = int(process.stdout.readline())
            head = log.head()
            assert head.seq >= durable_seq
            batch = log.batch_at(durable_seq)
            assert batch is not None and batch.last_seq == durable_seq
        assert sum(len(batch.entries) for batch in log.batches()) >= head.seq
        with pytest.raises(AssertionError):
            log.write(Write(commit_seq=1))
    report = verify(path)
    assert (report.damage, report.structure_checked) == (None, False)


def test_a_reader_adopts_a_map_that_the_writer_has_grown(path: Path) -> None:
    reading = "\n".join((
        "import sys; from pathlib import Path; from es.log.lmdb_log import LmdbLog",
        "log = LmdbLog.open(Path(sys.argv[1]), readonly=True)",
        "print(log.head().seq, flush=True); input()",
        "print(log.head().seq, sum(len(batch.entries) for batch in log.batches()), flush=True)",
    ))  # fmt: skip
    shutil.rmtree(path)
    with closing(LmdbLog.create(path, IDENTITY)) as log:
        command = [sys.executable, "-c", reading, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "0\n"
            log.write(Write(chain(200, body_bytes=4_000)))
            answer, _ = reader.communicate("\n", timeout=60)
            assert answer == "600 600\n"


def test_a_full_map_grows_under_readers(tmp_path: Path) -> None:
    batches = chain(200, body_bytes=4_000)
    with closing(LmdbLog.create(tmp_path / "log", IDENTITY)) as log:
        iteration = log.batches()
        for at in range(0, 200, 20):
            log.write(Write(batches[at : at + 20]))
            assert next(iteration) == batches[at // 20]
        assert [*batches[:10], *iteration] == batches
    with closing(LmdbLog.open(tmp_path / "log")) as log:
        assert log.head() == head_of(batches[-1])
        log.write(Write(truncate_after=0))
        log.write(Write(batches))
        assert list(log.batches()) == batches


def test_the_map_does_not_move_under_a_read_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, grown = threading.Event(), threading.Event()

    def decode_slowly(data: bytes) -> Batch:
        reading.set()
        grown.wait(timeout=0.2)  # would come at once if the writer did not wait for this transaction
        return decode_batch(data)

    batches = chain(300, body_bytes=4_000)
    with closing(LmdbLog.create(tmp_path / "log", IDENTITY)) as log:
        log.write(Write(batches[:1]))
        monkeypatch.setattr("es.log.lmdb_log.decode_batch", decode_slowly)
        with ThreadPoolExecutor(max_workers=1) as threads:
            first = threads.submit(lambda: next(log.batches()))
            assert reading.wait(timeout=60)
            log.write(Write(batches[1:]))
            grown.set()
            assert first.result(timeout=60) == batches[0]


def test_a_killed_reader_does_not_pin_pages_for_ever(tmp_path: Path) -> None:
    pinning = "import sys, lmdb; txn = lmdb.open(sys.argv[1], readonly=True).begin(); print(flush=True); input()"
    batches = chain(10, body_bytes=4_000)
    with closing(LmdbLog.create(tmp_path / "log", IDENTITY)) as log:
        log.write(Write(batches))
        command = [sys.executable, "-c", pinning, str(tmp_path / "log")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"\n"
            reader.kill()
        for _ in range(60):
            log.write(Write(batches, truncate_after=0))
    assert (tmp_path / "log" / DATA_FILE).stat().st_size <= 2 << 20


def test_what_is_stored_past_the_head_is_not_written_over(path: Path) -> None:
    intruding = "\n".join((
        "import sys, lmdb",
        "environment = lmdb.open(sys.argv[1], max_dbs=2)",
        "with environment.begin(write=True, db=environment.open_db(b'batches')) as txn:",
        "    txn.put((99).to_bytes(8, 'big'), b'strange')",
    ))  # fmt: skip
    with closing(LmdbLog.open(path)) as log:
        subprocess.run([sys.executable, "-c", intruding, str(path)], check=True)
        with pytest.raises(LogDamaged, match="past its head, seq 0"):
            log.write(Write(chain(1)))


def test_the_map_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("es.log.lmdb_log.MAP_BYTES_MAX", 1 << 18)
    first = chain(2)
    with closing(LmdbLog.create(tmp_path / "log", IDENTITY)) as log:
        log.write(Write(first))
        with pytest.raises(LogWriteFailed, match="MAP_FULL"):
            log.write(Write(chain(200, log.head(), body_bytes=4_000)))
        with pytest.raises(LogWriteFailed):
            log.write(Write(records=[("promised", b"1")]))
        assert list(log.batches()) == first


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_refuses_the_write_and_keeps_the_rest(small_disk: Path) -> None:
    batches = chain(2_000, body_bytes=1_000)
    with closing(LmdbLog.create(small_disk / "log", IDENTITY)) as log:
        writes = (log.write(Write([batch])) for batch in batches)
        with pytest.raises(LogWriteFailed, match=os.strerror(errno.ENOSPC)):
            list(writes)
        durable = log.head()
        with pytest.raises(LogWriteFailed, match=os.strerror(errno.ENOSPC)):
            log.write(Write(records=[("promised", b"1")]))
    assert 0 < durable.seq < batches[-1].last_seq
    assert verify(small_disk / "log").damage is None
    with closing(LmdbLog.open(small_disk / "log")) as log:
        assert log.head() == durable
        assert list(log.batches()) == batches[: durable.seq // 3]


def test_a_file_that_may_not_grow_refuses_the_write_and_keeps_the_rest(
    path: Path, writer: Callable[..., "subprocess.Popen[str]"]
) -> None:
    *durable_seqs, failed, following = said(writer(file_bytes_max=200_000))
    assert (failed, following) == ("failed LOG_WRITE_FAILED", "next refused")
    assert verify(path).damage is None
    with closing(LmdbLog.open(path)) as log:
        assert log.head().seq == int(durable_seqs[-1])
        assert list(log.batches()) == chain(len(durable_seqs), body_bytes=200)


def test_a_failing_flush_refuses_this_write_and_all_later_ones(
    path: Path, writer: Callable[..., "subprocess.Popen[str]"]
) -> None:
    probe = ["strace", "-f", "-qq", "-e", "trace=none", "true"]
    if shutil.which("strace") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("injecting a failing flush needs strace")
    prefix = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=5+")
    assert said(writer(writes=9, prefix=prefix)) == ["3", "6", "9", "12", "failed LOG_WRITE_FAILED", "next refused"]
    assert verify(path).damage is None
    with closing(LmdbLog.open(path)) as log:
        assert log.head().seq == 12


@pytest.mark.parametrize("writes_before_the_kill", [1, 7, 40])
def test_a_killed_writer_loses_nothing_it_had_reported(
    path: Path, writer: Callable[..., "subprocess.Popen[str]"], writes_before_the_kill: int
) -> None:
    process = writer(batches=5)
    assert process.stdout is not None
    reported = [process.stdout.readline() for _ in range(writes_before_the_kill)]
    process.send_signal(signal.SIGKILL)
    reported += [line + "\n" for line in said(process)]
    durable_seq = int(reported[-1])
    report = verify(path)
    assert (report.damage, report.structure_checked) == (None, True)
    with closing(LmdbLog.open(path)) as log:
        assert log.head().seq in (durable_seq, durable_seq + 15)  # the write that was under way is whole or absent
        assert list(log.batches()) == chain(log.head().seq // 3, body_bytes=200)


def test_a_log_is_missing_where_none_was_made(tmp_path: Path) -> None:
    for readonly in (False, True):
        with pytest.raises(LogMissing):
            LmdbLog.open(tmp_path / "nowhere", readonly=readonly)
        with pytest.raises(LogMissing):
            LmdbLog.open(tmp_path, readonly=readonly)
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_not_made_twice(path: Path) -> None:
    with pytest.raises(LogError, match="already"):
        LmdbLog.create(path, IDENTITY)


def test_an_interrupted_creation_is_no_log_and_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_names: object) -> None:
        raise OSError(errno.EIO, "interrupted")

    path = tmp_path / "log"
    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", interrupted)
        with pytest.raises(LogError, match="interrupted"):
            LmdbLog.create(path, IDENTITY)
    with pytest.raises(LogMissing):
        LmdbLog.open(path)
    with closing(LmdbLog.create(path, IDENTITY)) as log:
        assert log.identity == IDENTITY
    assert sorted(file.name for file in path.iterdir()) == [DATA_FILE, LOCK_FILE, LAST_WRITE_FILE, "lock.mdb"]


def test_nobody_but_its_owner_may_look_into_a_log(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}


def test_a_file_of_another_kind_is_not_taken_for_a_log(path: Path) -> None:
    (path / DATA_FILE).write_bytes(b"not a database\n" * 1_000)
    for readonly in (False, True):
        with pytest.raises(LogDamaged):
            LmdbLog.open(path, readonly=readonly)
    (path / DATA_FILE).write_bytes(b"")
    with pytest.raises(LogDamaged, match="empty"):
        LmdbLog.open(path)
    assert (path / DATA_FILE).stat().st_size == 0  # nor is a new log made in its place


def test_a_directory_on_a_read_only_disk_can_be_read(small_disk: Path) -> None:
    batches = chain(10)
    with closing(LmdbLog.create(small_disk / "log", IDENTITY)) as log:
        log.write(Write(batches))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with closing(LmdbLog.open(small_disk / "log", readonly=True)) as log:
        assert list(log.batches()) == batches
    assert verify(small_disk / "log").structure_checked
    with pytest.raises(LogError, match="Read-only"):
        LmdbLog.open(small_disk / "log")
