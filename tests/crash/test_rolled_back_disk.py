"""A disk that forgot its last write: found by the number of that write, or else by the primary it had told (R2)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from es.errors import LogDamaged
from es.log.base import Identity, Write
from es.log.chain import head_of
from es.log.last_write import LAST_WRITE_FILE
from es.log.lmdb_log import DATA_FILE, LmdbLog
from es.log.verify import verify_in_child
from es.replication.effects import Halt, Tell
from es.replication.messages import Fetch, Register, RolledBack
from es.replication.replica import Replica
from es.replication.timing import Timing
from es.testing.ledger import Credit, Ledger
from ops.prove.damage import META_PAGES, PAGE_BYTES
from tests.unit.replication.driver import CLUSTER, A, B, Driver


@pytest.fixture
def primary() -> Driver:
    """Node `a`, with `b` in sync; two batches follow."""
    driver = Driver()
    driver.become_primary()
    driver.join()
    for waiter in ("first", "second"):
        driver.ask(waiter, Credit(waiter, 5))
        driver.fsync()
    return driver


@pytest.fixture
def path(primary: Driver, tmp_path: Path) -> Path:
    """The log of `b`: it had stored all of the primary's batches, then its disk put an old meta page back."""
    path = tmp_path / "b"
    *before, last = primary.log.batches()
    with closing(LmdbLog.create(path, Identity(CLUSTER, B.node, B.incarnation))) as log:
        log.write(Write(before, records=[("register", _register(primary).pack())]))
        old = (path / DATA_FILE).read_bytes()[: META_PAGES * PAGE_BYTES]
        log.write(Write([last]))
    with (path / DATA_FILE).open("r+b") as file:
        file.write(old)
    return path


def _register(primary: Driver) -> Register:
    register = primary.replica.node.register
    assert register is not None
    return register


def test_the_number_of_its_last_write_shows_it_at_start(path: Path) -> None:
    with pytest.raises(LogDamaged, match="it has 1 writes, of which 2 were durable"):
        verify_in_child(path)


def test_without_that_number_the_primary_that_counted_on_it_stops_it(primary: Driver, path: Path) -> None:
    batches = list(primary.log.batches())
    primary.ack(seq=batches[-1].last_seq)
    (path / LAST_WRITE_FILE).unlink()
    assert verify_in_child(path).head == head_of(batches[-2]), "nothing in the file shows it"
    with closing(LmdbLog.open(path)) as log:
        backup = Replica(log, [Ledger()], Timing(), primary.now)
        [fetch] = [tell.message for tell in backup.tick(primary.now) if isinstance(tell, Tell) and tell.node == "a"]
        assert isinstance(fetch, Fetch) and fetch.after_seq == batches[-2].last_seq
        primary.give(fetch)
        [stop] = primary.told(RolledBack, B.node)
        halts = [effect for effect in backup.step(stop, A.node, primary.now) if isinstance(effect, Halt)]
        assert [halt.code for halt in halts] == ["ROLLED_BACK"]
