"""R10: a witness whose register is lost gets one from what those servers know that may have led last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from es.errors import LogInUse, WrongCluster
from es.log.base import Write
from es.log.directory_lock import DirectoryLock
from es.log.lmdb_log import LmdbLog
from es.replication.data_node import PROPOSED, REGISTER
from es.replication.messages import Member, Register, unpack_register
from nodes.config.cluster import ClusterConfig, one_host
from nodes.datadir import RegisterMissing, RegistersDiffer, initialise, rebuild_witness, register_path
from nodes.witness import register_file


@dataclass(frozen=True)
class Stopped:
    """A cluster that has run: b died, a went on alone and learnt of it, b could not."""

    config: ClusterConfig
    a: Member
    b: Member

    @property
    def grown(self) -> Register:
        """What b knows."""
        return Register("c", 6, self.a, (self.a, self.b), 1, "a-life")

    @property
    def shrunk(self) -> Register:
        """What a and the witness know."""
        return Register("c", 7, self.a, (self.a,), 1, "a-life")

    @property
    def path(self) -> Path:
        return register_path(self.config.witness.data)

    def learn(self, server: str, register: Register) -> None:
        self._record(server, REGISTER, register)

    def propose(self, server: str, register: Register) -> None:
        self._record(server, PROPOSED, register)

    def _record(self, server: str, name: str, register: Register) -> None:
        log = LmdbLog.open(self.config.server(server).data)
        log.write(Write(records=((name, register.pack()),)))
        log.close()

    def lose(self, server: str) -> Path:
        data = self.config.server(server).data
        return data.rename(data.with_name(f"lost-{server}"))

    def stored(self) -> Register | None:
        record = register_file.load(self.path)
        return None if record is None else unpack_register(record)


@pytest.fixture
def stopped(tmp_path: Path) -> Stopped:
    config = one_host(tmp_path, cluster_id="c", faculties=0, base_port=20_000)
    initialise(config)
    found = Stopped(config, *(member_of(config, name) for name in "ab"))
    found.learn("a", found.shrunk)
    found.learn("b", found.grown)
    register_file.save(found.path, found.shrunk.pack())
    return found


def member_of(config: ClusterConfig, server: str) -> Member:
    log = LmdbLog.open(config.server(server).data, readonly=True)
    log.close()
    return Member(log.identity.node, log.identity.incarnation)


def test_the_newest_register_stays(stopped: Stopped) -> None:
    assert rebuild_witness(stopped.config) == (False, ())
    newer = stopped.shrunk._replace(epoch=9)
    register_file.save(stopped.path, newer.pack())
    assert rebuild_witness(stopped.config) == (False, ())
    assert stopped.stored() == newer, "its last change may not have reached anybody"


@pytest.mark.parametrize("left", ["nothing", "no directory", "an old copy", "a damaged one"])
def test_another_one_is_made_anew_and_what_was_there_is_kept(stopped: Stopped, left: str) -> None:
    path = stopped.path
    if left == "an old copy":
        register_file.save(path, stopped.grown.pack())
    elif left == "a damaged one":
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    else:
        path.unlink()
        if left == "no directory":
            path.parent.rmdir()
    was = [path.read_bytes()] if path.exists() else []
    assert rebuild_witness(stopped.config) == (True, ())
    assert stopped.stored() == Register("c", 8, stopped.a, (stopped.a,), 2, "")
    assert [one.read_bytes() for one in path.parent.glob("register.aside-*")] == was
    assert not rebuild_witness(stopped.config).is_anew, "once"


@pytest.mark.parametrize("running", ["server-a", "server-b", "witness"])
def test_nothing_is_made_while_one_of_them_runs(stopped: Stopped, running: str) -> None:
    stopped.path.unlink()
    lock = DirectoryLock(stopped.path.parent.with_name(running))
    with pytest.raises(LogInUse, match=running):
        rebuild_witness(stopped.config)
    lock.release()
    assert stopped.stored() is None


def test_who_is_not_in_sync_need_not_be_there(stopped: Stopped) -> None:
    """It could not have changed the register since."""
    stopped.path.unlink()
    stopped.lose("b")
    assert rebuild_witness(stopped.config) == (True, ("b",))
    assert stopped.stored() == Register("c", 8, stopped.a, (stopped.a,), 2, "")
    assert rebuild_witness(stopped.config) == (False, ("b",)), "and what b knows nobody can say"


def test_who_may_have_been_counted_in_since_must_be_there(stopped: Stopped) -> None:
    """The witness may have done what it was asked, and that one may have taken over and served alone, before the one
    who asked heard of it: R10's own argument needs both."""
    stopped.path.unlink()
    stopped.propose("a", stopped.shrunk._replace(epoch=8, in_sync=(stopped.a, stopped.b)))
    there, away = stopped.config.server("b").data, stopped.lose("b")
    with pytest.raises(RegisterMissing, match=rf"only by server b .* epoch 7.*incarnation {stopped.b.incarnation}"):
        rebuild_witness(stopped.config)
    away.rename(there)
    stopped.learn("b", Register("c", 9, stopped.b, (stopped.b,), 1, "b-life"))
    assert rebuild_witness(stopped.config) == (True, ())
    assert stopped.stored() == Register("c", 10, stopped.b, (stopped.b,), 2, "")


def test_who_was_asked_for_before_the_register_that_stands_need_not_be_there(stopped: Stopped) -> None:
    stopped.path.unlink()
    stopped.propose("a", stopped.grown)
    stopped.lose("b")
    assert rebuild_witness(stopped.config) == (True, ("b",))


def test_who_never_heard_of_a_register_has_not_changed_it(tmp_path: Path) -> None:
    config = one_host(tmp_path, cluster_id="c", faculties=0, base_port=20_000)
    initialise(config)
    found = Stopped(config, *(member_of(config, name) for name in "ab"))
    found.learn("a", found.grown)
    found.path.unlink()
    assert rebuild_witness(config) == (True, ())
    assert found.stored() == Register("c", 7, found.a, (found.a, found.b), 2, "")


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_who_may_have_led_last_must_be_there(stopped: Stopped, is_made_anew: bool) -> None:
    stopped.path.unlink()
    stopped.lose("a")
    if is_made_anew:
        with pytest.raises(RegisterMissing):
            initialise(stopped.config)
        stopped.learn("a", stopped.grown)  # as it would from a beacon while no witness answers (R15)
    with pytest.raises(RegisterMissing, match=rf"only by server a .* epoch 6.*incarnation {stopped.a.incarnation}"):
        rebuild_witness(stopped.config)
    assert stopped.stored() is None


def test_nobody_who_is_there_knows_one(stopped: Stopped) -> None:
    stopped.path.unlink()
    for name in "ab":
        stopped.lose(name)
    with pytest.raises(RegisterMissing):
        rebuild_witness(stopped.config)


@pytest.mark.parametrize("at", ["witness", "server"])
def test_two_histories_seed_nothing(stopped: Stopped, at: str) -> None:
    other = Register("c", 7, stopped.b, (stopped.b,), 1, "b-life")
    if at == "server":
        stopped.learn("b", other)
        stopped.path.unlink()
    else:
        register_file.save(stopped.path, other.pack())
    with pytest.raises(RegistersDiffer, match="epoch 7"):
        rebuild_witness(stopped.config)
    assert stopped.stored() == (other if at == "witness" else None)


def test_another_clusters_register_is_left_alone(stopped: Stopped) -> None:
    register_file.save(stopped.path, stopped.grown._replace(cluster_id="another").pack())
    with pytest.raises(WrongCluster):
        rebuild_witness(stopped.config)
