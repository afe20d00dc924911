"""Whoever follows a log sees every batch once and in order, also where another log takes its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from es.codec import Batch
from es.errors import LogMissing, WrongCluster
from es.log.base import Identity, Write
from es.log.chain import head_of
from es.log.lmdb_log import LmdbLog
from nodes.shell import die_with_parent
from ops.exits import INTEGRITY, Stopped
from ops.log_following import GONE_MAX_S, FollowedLog
from tests.contract.chains import IDENTITY, chain

BATCHES = chain(6)
WIPED = replace(IDENTITY, incarnation="9b01")


def make(directory: Path, batches: Sequence[Batch], identity: Identity = IDENTITY) -> None:
    LmdbLog.create(directory, identity).close()
    add(directory, batches)


def add(directory: Path, batches: Sequence[Batch], commit_seq: int | None = None) -> None:
    with closing(LmdbLog.open(directory)) as log:
        log.write(Write(batches, commit_seq=batches[-1].last_seq if commit_seq is None and batches else commit_seq))


@pytest.fixture(scope="module")
def servers() -> Iterator[Executor]:
    """A process that writes logs: LMDB opens what lies at a path but once in each."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=die_with_parent, initargs=(os.getpid(),)) as process:
        yield process


class Follower:
    """Follows the log in a directory that holds the first three batches, which it has seen."""

    def __init__(self, directory: Path, servers: Executor) -> None:
        self._servers = servers
        self.directory = directory
        self.make(BATCHES[:3], IDENTITY)
        self.told: list[str] = []
        self.now_s = 0.0
        self.log = FollowedLog(directory, self.told.append, lambda: self.now_s)
        assert self.news() == BATCHES[:3]

    def make(self, batches: Sequence[Batch], identity: Identity = WIPED) -> None:
        self._servers.submit(make, self.directory, batches, identity).result()

    def add(self, batches: Sequence[Batch], commit_seq: int | None = None) -> None:
        self._servers.submit(add, self.directory, batches, commit_seq).result()

    def news(self) -> list[Batch]:
        return list(self.log.news())

    def soon(self) -> list[Batch]:
        """What comes as it looks twice: once to see that a log is another one, once to read it."""
        return self.news() + self.news()

    def replace(self, batches: list[Batch], identity: Identity = WIPED) -> None:
        """As who moves the directory of a server away has it filled again."""
        self.take_away()
        self.make(batches, identity)

    def take_away(self) -> None:
        self.directory.rename(self.directory.with_name(f"old-{len(list(self.directory.parent.iterdir()))}"))


@pytest.fixture
def follower(tmp_path: Path, servers: Executor) -> Iterator[Follower]:
    follower = Follower(tmp_path / "server-b", servers)
    with closing(follower.log):
        yield follower


def test_what_is_committed_from_now_on_comes_once(follower: Follower) -> None:
    follower.add(BATCHES[3:5], commit_seq=BATCHES[3].last_seq)
    assert (follower.news(), follower.news()) == (BATCHES[3:4], [])
    follower.add(BATCHES[5:])
    assert (follower.news(), follower.told) == (BATCHES[4:], [])


def test_a_log_that_is_filled_anew_goes_on_where_the_other_one_ended(follower: Follower) -> None:
    follower.replace([])
    assert follower.soon() == []
    for batch in BATCHES[:3]:
        follower.add([batch])
        assert follower.news() == []
    follower.add(BATCHES[3:])
    assert (follower.news(), follower.news()) == (BATCHES[3:], [])
    [told] = follower.told
    assert told == (
        f"the log in {follower.directory} was replaced: going on in the new one after seq 9 once it is committed so "
        "far (now up to seq 0)"
    )


def test_a_log_that_has_more_already_goes_on_at_once(follower: Follower) -> None:
    follower.replace(BATCHES)
    assert follower.soon() == BATCHES[3:]
    assert follower.told == [f"the log in {follower.directory} was replaced: going on in the new one after seq 9"]


def test_a_data_file_that_is_exchanged_within_its_directory_is_noticed(follower: Follower) -> None:
    other = follower.directory.with_name("other")
    make(other, BATCHES, WIPED)
    (other / "data.mdb").rename(follower.directory / "data.mdb")
    shutil.copy(other / "last_write", follower.directory / "last_write")
    assert follower.soon() == BATCHES[3:]


def test_what_a_log_still_had_as_it_was_taken_away_comes_too(follower: Follower) -> None:
    follower.add(BATCHES[3:4])
    follower.replace([])
    assert follower.news() == BATCHES[3:4]
    follower.add(BATCHES)
    assert follower.soon() == BATCHES[4:]


def test_a_log_is_replaced_again_and_again(follower: Follower) -> None:
    for length in (0, 2, 4, 3):
        follower.replace(BATCHES[:length])
        assert follower.soon() == (BATCHES[3:4] if length == 4 else [])
    follower.add(BATCHES[3:])
    assert (follower.news(), len(follower.told)) == (BATCHES[4:], 4)


@pytest.mark.parametrize(
    "other", [replace(WIPED, cluster_id="another"), replace(WIPED, node="b")], ids=["cluster", "server"]
)
def test_the_log_of_another_cluster_or_server_is_not_gone_on_with(follower: Follower, other: Identity) -> None:
    follower.replace(BATCHES, other)
    with pytest.raises(WrongCluster, match=f"was replaced by that of server '{other.node}' of cluster"):
        follower.soon()


@pytest.mark.parametrize("first_other", [0, 2])
def test_another_history_is_not_gone_on_with(follower: Follower, first_other: int) -> None:
    same = BATCHES[:first_other]
    others = chain(4, head_of(same[-1]), epoch=2) if same else chain(4, epoch=2)
    follower.replace([*same, *others])
    with pytest.raises(Stopped, match="has another history than the one that was followed up to seq 9") as stopped:
        follower.soon()
    assert stopped.value.exit_code == INTEGRITY


def test_a_history_that_was_exchanged_within_the_file_is_not_gone_on_with(follower: Follower) -> None:
    other = follower.directory.with_name("other")
    make(other, chain(6, epoch=2), IDENTITY)
    with (follower.directory / "data.mdb").open("r+b") as data:
        data.write((other / "data.mdb").read_bytes())
    with pytest.raises(Stopped, match="another history"):
        follower.news()


def test_a_log_that_is_gone_may_come_back_within_a_while(follower: Follower) -> None:
    follower.take_away()
    follower.news()
    follower.now_s = GONE_MAX_S - 1
    assert follower.news() == []
    follower.make(BATCHES[:4])
    assert follower.soon() == BATCHES[3:4]
    follower.take_away()
    follower.now_s = 2 * GONE_MAX_S
    assert follower.news() == []
    gone, replaced, gone_again = follower.told
    assert gone == gone_again == (
        f"the log in {follower.directory} is gone: waiting {GONE_MAX_S:g} s for another one in its place"
    )
    assert "was replaced" in replaced


def test_the_same_log_may_be_put_back(follower: Follower) -> None:
    away = follower.directory.with_name("away")
    for began_s in (0.0, GONE_MAX_S):
        follower.now_s = began_s
        follower.directory.rename(away)
        assert follower.news() == []
        away.rename(follower.directory)
        assert follower.news() == []
    follower.add(BATCHES[3:])
    assert follower.news() == BATCHES[3:]


def test_a_log_that_is_gone_for_good_ends_it(follower: Follower) -> None:
    shutil.rmtree(follower.directory)
    assert follower.soon() == []
    follower.now_s = GONE_MAX_S
    with pytest.raises(LogMissing, match=f"is gone, and no other one came within {GONE_MAX_S:g} s"):
        follower.news()
