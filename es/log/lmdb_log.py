"""The durable event log on LMDB. The only module that imports lmdb.

    <path>/data.mdb     batches   big-endian first_seq -> sealed batch bytes
                        meta      name -> sealed value: format, identity, head, commit_seq, writes, records
    <path>/lock.mdb     LMDB's own table of readers
    <path>/last_write   how many writes were durable (es.log.last_write)
    <path>/holder.lock  who writes here (es.log.directory_lock)

LMDB keeps no checksums: most flipped bits would be silent. So every stored value is sealed, that is
preceded by the SHA-256 of itself (of a batch: its hash in the chain), and no read skips the check.
LMDB commits by page writes, fdatasync, then one synchronous write of a meta page; py-lmdb lets go of
the GIL for all of that, so a commit in the writer thread does not hold the loop up (R9).

The map never reaches past the end of the file, and the file grows by durable zeros before the map does
(es.durability). So a commit only writes over what is durable: it does not depend on the file system's
journal, which may lie about its end, and does not wait for it either.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES, EPERM
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import lmdb
import lmdb.verify
import msgpack

from es.codec import HASH_BYTES, Batch, Stamp, decode_batch, stamp_of
from es.descriptors import open_file
from es.durability import DISK_REFUSES, flush_directory, preallocate
from es.errors import LogDamaged, LogError, LogMissing, LogWriteFailed, RemoteProtocolError
from es.log.base import EMPTY, EventLog, Head, Identity, Write
from es.log.chain import Durable, broken_link, head_of
from es.log.directory_lock import DirectoryLock
from es.log.last_write import LAST_WRITE_FILE, LastWrite, last_write

FORMAT = b"1"
DATA_FILE = "data.mdb"
_LOCK_FILE = "lock.mdb"
_LOCK_FILE_BYTES = 8_192
"""What LMDB makes of it for its usual 126 readers."""

FIRST_BYTES = 1 << 16
"""What a new log takes on the disk. Full, it doubles, or grows by as much as a write that is larger needs."""
GROWTH_BYTES = 1 << 20
"""It doubles by no more than this, so that growing is no stall."""
MAP_BYTES_MAX = 1 << 40
"""A log does not grow beyond this."""
CHUNK_BATCHES_MAX = 256
CHUNK_BYTES_MAX = 1 << 20
"""What an iteration copies in one read transaction; a transaction pins the pages it sees."""

_FORBIDDEN = frozenset({EACCES, EPERM})
_RECORD = b"record/"
_WRITES = b"writes"
_key = struct.Struct(">Q")
_Read = TypeVar("_Read", Batch, Stamp)


class LmdbLog(EventLog):
    """A log in a directory of its own, on a disk of its own (never NFS).

    One process writes; any number of others may read with `open(..., readonly=True)`. A process that
    forks after opening one keeps the directory locked for as long as the child lives: start children
    afresh instead.
    """

    @classmethod
    def create(cls, path: Path, identity: Identity) -> LmdbLog:
        """Make an empty log in `path` (made too if missing) and open it. It appears whole and durable
        or not at all. LogError if there is a log already, LogWriteFailed if it cannot be stored, LogInUse if somebody
        holds the directory."""
        path = Path(path)
        parents = [made.parent for made in (path, *path.parents) if not made.exists()]
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = DirectoryLock(path)
            try:
                _build(path, identity)
            finally:
                lock.release()
            for directory in (path, *parents):
                flush_directory(directory)
        except (OSError, lmdb.Error) as error:
            raise LogWriteFailed(f"no log can be created in {path}: {error}") from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False) -> LmdbLog:
        """Open the log in `path`, to write as its only holder or to read beside one.

        LogMissing if there is none, LogInUse if another holder writes, LogError if this program does
        not know its format, LogDamaged if its first values contradict their seals or it has lost writes;
        PermissionError, which names the file, if this user may not open it.
        """
        path = Path(path)
        data = path / DATA_FILE
        if not data.is_file():
            raise LogMissing(f"there is no log in {path}")
        file_bytes = data.stat().st_size
        if file_bytes == 0:  # LMDB would make a new one of it
            raise damage_in(path, f"{DATA_FILE} is empty")
        lock = None
        try:
            lock = None if readonly else DirectoryLock(path)
            return cls(path, _open_environment(path, readonly, file_bytes), lock)
        except BaseException as error:
            if lock is not None:
                lock.release()
            if isinstance(error, OSError) and not isinstance(error, PermissionError):
                raise _cannot_be_opened(path, error, error.errno, readonly) from error
            raise

    def __init__(self, path: Path, environment: lmdb.Environment, lock: DirectoryLock | None) -> None:
        """Use `create` or `open`. `lock` is None for a reader."""
        self._path = path
        self._environment = environment
        self._lock = lock
        self._closed = False
        self._failure: str | None = None
        # No read transaction may be live while the map moves. Readers are short; a commit does not take it.
        self._map_lock = threading.Lock()
        durable_writes = last_write(path)  # read first: a writer beside this reader goes on
        try:
            self._open_databases()
            self._durable = self._load()
            self._writes = self._stored_writes()
            if self._writes < durable_writes:
                raise self._damage(f"it has {self._writes} writes, of which {durable_writes} were durable")
            if lock is not None:
                self._fill_map()
            self._last_write = None if lock is None else LastWrite(path)
        except BaseException:
            environment.close()
            raise

    @property
    def identity(self) -> Identity:
        return self._identity

    def head(self) -> Head:
        return self._now().head

    def commit_seq(self) -> int:
        return self._now().commit_seq

    def record(self, name: str) -> bytes | None:
        return self._now().records.get(name)

    def write(self, write: Write) -> Head:
        assert self._lock is not None, "a log opened to be read is written to"
        if self._failure is not None:
            raise LogWriteFailed(self._failure)
        kept = self._head_at(write.truncate_after)
        durable = self._durable.after(write, kept)
        while True:
            try:
                self._commit(write, kept, durable)
            except lmdb.MapFullError as error:
                self._grow(error, write)
            except lmdb.Error as error:
                raise self._fail(error) from error
            else:
                self._durable = durable
                self._writes += 1
                if self._last_write is not None:
                    self._last_write.note(self._writes)
                return durable.head

    def batch_at(self, seq: int) -> Batch | None:
        item = self._item_at(seq)
        if item is None:
            return None
        batch = self._decode(*item)
        return batch if seq <= batch.last_seq else None

    def stamp_at(self, seq: int) -> Stamp | None:
        item = self._item_at(seq)
        if item is None:
            return None
        stamp = self._checked(stamp_of, *item)
        return stamp if seq <= stamp.last_seq else None

    def _item_at(self, seq: int) -> tuple[bytes, bytes] | None:
        if seq < 1:
            return None
        with self._reading() as txn, txn.cursor(self._batches) as cursor:
            return cursor.item() if _seek(cursor, seq) else None

    def batches(self, from_seq: int = 1) -> Iterator[Batch]:
        batch: Batch | None = None
        while chunk := self._chunk(max(from_seq, 1), batch):
            for item in chunk:
                following = self._decode(*item)
                if batch is not None and (broken := broken_link(head_of(batch), following)):
                    raise self._damage(broken)
                batch = following
                yield batch

    def bytes_used(self) -> int:
        with self._reading() as txn:
            stat = txn.stat(self._batches)
        return stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

    def close(self) -> None:
        with self._map_lock:
            if not self._closed:
                self._closed = True
                self._environment.close()
                if self._last_write is not None:
                    self._last_write.close()
                if self._lock is not None:
                    self._lock.release()

    def _open_databases(self) -> None:
        try:
            self._meta = self._environment.open_db(b"meta", create=False)
            self._batches = self._environment.open_db(b"batches", create=False)
        except lmdb.NotFoundError:
            raise LogMissing(f"{self._path / DATA_FILE} is not an event log") from None
        except lmdb.Error as error:
            raise self._damage(str(error)) from error
        with self._reading() as txn:
            stored = self._meta_value(txn, b"format")
            if stored != FORMAT:
                raise LogError(f"the log in {self._path} has format {stored!r}; this program knows {FORMAT!r}")
            names = (b"cluster_id", b"node", b"incarnation")
            self._identity = Identity(*(self._meta_value(txn, name).decode() for name in names))

    def _fill_map(self) -> None:
        """Begin as `_grow` goes on: all of the map is in the file, and durable even if a killed writer left it."""
        data, map_bytes = self._path / DATA_FILE, self._environment.info()["map_size"]
        if map_bytes > data.stat().st_size + GROWTH_BYTES:  # LMDB has made room for a last page that is not there
            raise self._damage("its file ends long before its last page")
        preallocate(data, map_bytes)

    def _now(self) -> Durable:
        """What is durable now: known by heart to the writer, looked up by readers beside it."""
        return self._load() if self._lock is None else self._durable

    def _load(self) -> Durable:
        with self._reading() as txn:
            head = Head(*msgpack.unpackb(self._meta_value(txn, b"head")))
            commit_seq = int(self._meta_value(txn, b"commit_seq"))
            with txn.cursor(self._batches) as cursor:
                last = cursor.item() if cursor.last() else None
            with txn.cursor(self._meta) as cursor:
                names = [name for name in cursor.iternext(values=False) if name.startswith(_RECORD)]
            records = {name[len(_RECORD) :].decode(): self._meta_value(txn, name) for name in names}
        if (EMPTY if last is None else head_of(self._decode(*last))) != head:
            raise self._damage(f"its last batch is not the one it ended with, at seq {head.seq}")
        if commit_seq > head.seq:
            raise self._damage(f"its commit point {commit_seq} is past its head {head.seq}")
        return Durable(head, commit_seq, records)

    def _stored_writes(self) -> int:
        with self._reading() as txn:
            if txn.get(_WRITES, db=self._meta) is None:
                return 0  # a log that nobody has written to since writes are counted
            return int(self._meta_value(txn, _WRITES))

    def _head_at(self, truncate_after: int | None) -> Head:
        """The head that a truncation to `truncate_after` leaves; AssertionError inside a batch."""
        if truncate_after is None or truncate_after >= self._durable.head.seq:
            return self._durable.head
        if truncate_after == 0:
            return EMPTY
        batch = self.batch_at(truncate_after)
        assert batch is not None and batch.last_seq == truncate_after, f"seq {truncate_after} is inside a batch"
        return head_of(batch)

    def _commit(self, write: Write, kept: Head, durable: Durable) -> None:
        with self._environment.begin(write=True) as txn:
            if kept.seq < self._durable.head.seq:
                with txn.cursor(self._batches) as cursor:
                    while cursor.last() and _first_seq(cursor.key()) > kept.seq:
                        cursor.delete()
            for batch in write.batches:
                # Out of order, put answers False and stores nothing: then the file is not what we know of it.
                if not txn.put(_key.pack(batch.first_seq), batch.hash + batch.data, append=True, db=self._batches):
                    raise self._damage(f"something is stored past its head, seq {kept.seq}")
            _put_meta(txn, self._meta, _progress(durable, self._writes + 1))
            _put_meta(txn, self._meta, [(_RECORD + name.encode(), value) for name, value in write.records])

    def _grow(self, full: lmdb.MapFullError, write: Write) -> None:
        size = self._environment.info()["map_size"]
        map_bytes = size + max(min(size, GROWTH_BYTES), _whole_pages(sum(len(batch.data) for batch in write.batches)))
        if map_bytes > MAP_BYTES_MAX:
            raise self._fail(full) from full
        self._environment.reader_check()  # a reader that was killed pins pages until it is cleared
        try:
            preallocate(self._path / DATA_FILE, map_bytes)
        except OSError as error:
            raise self._fail(error) from error
        with self._map_lock:
            self._environment.set_mapsize(map_bytes)

    def _fail(self, error: lmdb.Error | OSError) -> LogWriteFailed:
        self._failure = f"the log in {self._path} could not be written: {error}"
        return LogWriteFailed(self._failure)

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A short read transaction. What LMDB says of it is damage, unless a write failed before."""
        with self._map_lock:
            if self._closed:
                raise LogError(f"the log in {self._path} is closed")
            try:
                with self._begin() as txn:
                    yield txn
            except lmdb.Error as error:
                if self._failure is not None:
                    raise LogWriteFailed(self._failure) from error
                raise self._damage(str(error)) from error

    def _begin(self) -> lmdb.Transaction[bytes]:
        try:
            return self._environment.begin()
        except lmdb.MapResizedError:  # the writing process has grown the map: adopt its size
            self._environment.set_mapsize(0)
            return self._environment.begin()

    def _chunk(self, from_seq: int, after: Batch | None) -> Sequence[tuple[bytes, bytes]]:
        """Stored items from the batch that holds `from_seq`, or from the one after `after` if that is
        still stored (a truncation may have taken it: then nothing follows)."""
        chunk: list[tuple[bytes, bytes]] = []
        size = 0
        with self._reading() as txn, txn.cursor(self._batches) as cursor:
            if after is None:
                more = self._seek_holder(cursor, from_seq)
            else:
                more = cursor.set_key(_key.pack(after.first_seq))
                more = more and cursor.value()[:HASH_BYTES] == after.hash and cursor.next()
            while more and len(chunk) < CHUNK_BATCHES_MAX and size < CHUNK_BYTES_MAX:
                chunk.append(cursor.item())
                size += len(chunk[-1][1])
                more = cursor.next()
        return chunk

    def _seek_holder(self, cursor: lmdb.Cursor[bytes], seq: int) -> bool:
        """Go to the batch that holds `seq`; False if `seq` is past all of them. A chain has no holes."""
        if _seek(cursor, seq) and self._decode(*cursor.item()).last_seq >= seq:
            return True
        if cursor.last() and _first_seq(cursor.key()) > seq:
            raise self._damage(f"no batch holds seq {seq}")
        return False

    def _decode(self, key: bytes, value: bytes) -> Batch:
        return self._checked(decode_batch, key, value)

    def _checked(self, read: Callable[[bytes], _Read], key: bytes, value: bytes) -> _Read:
        """What `read` makes of a batch as it is stored. Raises LogDamaged."""
        try:
            found = read(value[HASH_BYTES:])
        except RemoteProtocolError as error:
            raise self._damage(f"at seq {_first_seq(key)}: {error}") from error
        if found.hash != value[:HASH_BYTES]:
            raise self._damage(f"the batch at seq {_first_seq(key)} contradicts its hash")
        if found.first_seq != _first_seq(key):
            raise self._damage(f"the batch of seq {found.first_seq} is stored at seq {_first_seq(key)}")
        return found

    def _meta_value(self, txn: lmdb.Transaction[bytes], name: bytes) -> bytes:
        sealed = txn.get(name, db=self._meta)
        if sealed is None:
            raise self._damage(f"its {name.decode()} is missing")
        value = sealed[HASH_BYTES:]
        if _seal(name, value) != sealed[:HASH_BYTES]:
            raise self._damage(f"its {name.decode()} contradicts its hash")
        return value

    def _damage(self, what: str) -> LogDamaged:
        return damage_in(self._path, what)


def damage_in(path: Path, what: str) -> LogDamaged:
    """The one sentence in which damage is reported, not yet raised."""
    return LogDamaged(f"the log in {path} is damaged: {what}")


def structural_damage(path: Path) -> Sequence[str]:
    """What py-lmdb's own checker finds wrong with the pages of the log in `path`; empty if nothing.
    Reads the file without LMDB's engine, so it cannot crash. Nobody may write meanwhile. LogMissing
    if there is no file."""
    try:
        problems: list[str] = lmdb.verify.verify(str(path))  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        raise LogMissing(f"there is no log in {path}") from None
    except lmdb.verify.VerifyError as error:
        return [str(error)]
    return problems


def _build(path: Path, identity: Identity) -> None:
    if (path / DATA_FILE).exists():
        raise LogError(f"there is a log in {path} already")
    building = path / "building"
    shutil.rmtree(building, ignore_errors=True)  # left by a creation that was interrupted
    building.mkdir(mode=0o700)
    with _open_environment(building, False, FIRST_BYTES) as environment:
        meta = environment.open_db(b"meta")
        environment.open_db(b"batches")
        values = (
            (b"format", FORMAT),
            (b"cluster_id", identity.cluster_id.encode()),
            (b"node", identity.node.encode()),
            (b"incarnation", identity.incarnation.encode()),
            *_progress(Durable(), 0),
        )
        with environment.begin(write=True) as txn:
            _put_meta(txn, meta, values)
    preallocate(building / DATA_FILE, FIRST_BYTES)
    (path / LAST_WRITE_FILE).unlink(missing_ok=True)  # it spoke of another log
    os.rename(building / DATA_FILE, path / DATA_FILE)
    shutil.rmtree(building)


def _open_environment(path: Path, readonly: bool, file_bytes: int) -> lmdb.Environment:
    map_bytes = max(FIRST_BYTES, _whole_pages(file_bytes))

    def environment(lock: bool) -> lmdb.Environment:
        return lmdb.open(
            str(path), map_size=map_bytes, max_dbs=2, mode=0o700, readonly=readonly, lock=lock,
            sync=True, metasync=True, writemap=False, lib_version=0,
        )  # fmt: skip

    if not readonly:
        _reserve_lock_file(path)
    try:
        opened = environment(lock=True)
    except (lmdb.InvalidError, lmdb.CorruptedError) as error:
        raise damage_in(path, str(error)) from error
    except lmdb.Error as error:
        if not (readonly and error.code == EACCES):
            raise _cannot_be_opened(path, error, error.code, readonly) from error
        try:
            opened = environment(lock=False)  # LMDB's table of readers may not be written: read as a guest
        except lmdb.Error as forbidden:
            raise _cannot_be_opened(path, forbidden, forbidden.code, readonly) from forbidden
    if not readonly:
        opened.reader_check()
    return opened


def _cannot_be_opened(path: Path, why: object, number: int | None, readonly: bool) -> LogError | PermissionError:
    if number in _FORBIDDEN:  # nothing follows for the log itself
        return PermissionError(number, os.strerror(number), str(path / DATA_FILE))
    refused = LogWriteFailed if not readonly and number in DISK_REFUSES else LogError
    return refused(f"the log in {path} cannot be opened: {why}")


def _reserve_lock_file(path: Path) -> None:
    """LMDB maps its table of readers, too: where the disk is full it would die of the first touch. OSError instead."""
    fd = open_file(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, _LOCK_FILE_BYTES)
    finally:
        os.close(fd)


def _whole_pages(size_bytes: int) -> int:
    return size_bytes - size_bytes % mmap.PAGESIZE


def _seek(cursor: lmdb.Cursor[bytes], seq: int) -> bool:
    """Go to the last batch that begins at or before `seq`; False if there is none."""
    if cursor.set_range(_key.pack(seq)):
        return _first_seq(cursor.key()) == seq or cursor.prev()
    return cursor.last()


def _first_seq(key: bytes) -> int:
    return int.from_bytes(key, "big")


def _progress(durable: Durable, writes: int) -> Sequence[tuple[bytes, bytes]]:
    head, commit_seq = msgpack.packb(durable.head), b"%d" % durable.commit_seq
    return (b"head", head), (b"commit_seq", commit_seq), (_WRITES, b"%d" % writes)


def _put_meta(txn: lmdb.Transaction[bytes], meta: lmdb._Database, values: Sequence[tuple[bytes, bytes]]) -> None:
    for name, value in values:
        txn.put(name, _seal(name, value) + value, db=meta)


def _seal(name: bytes, value: bytes) -> bytes:
    return sha256(name + b"\0" + value).digest()
