"""The data directories of a new cluster: an empty log for each server, a first register for the witness; and what is
made anew of them once they are damaged or lost."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from es.errors import EsError, LogDamaged, LogMissing, WrongCluster
from es.log.base import Identity
from es.log.directory_lock import DirectoryLock
from es.log.lmdb_log import LmdbLog
from es.log.verify import verify_in_child
from es.replication.data_node import REGISTER
from es.replication.messages import Member, Register, unpack_register
from es.replication.messages import members as in_sync
from es.replication.witness import Known, known_by, may_have_changed, newest_known, seeded
from nodes.config.cluster import ClusterConfig, ServerConfig
from nodes.witness import register_file

REGISTER_FILE = "register"
FIRST_EPOCH = 1


class RegisterMissing(EsError):
    """The servers have a history and the witness has no register: nobody can say who may lead."""

    code = "REGISTER_MISSING"


class RegistersDiffer(EsError):
    """Two servers know different registers of one epoch: a witness that was put back has granted it twice."""

    code = "REGISTERS_DIFFER"


def register_path(witness_data: Path) -> Path:
    """Where the witness with that data directory keeps its register."""
    return witness_data / REGISTER_FILE


def initialise(config: ClusterConfig) -> None:
    """Make what is missing of a cluster's data directories; a second call changes nothing.

    A server's missing log is made with a new incarnation: a wiped disk is another member. The register
    (epoch 1, the preferred server primary, all in sync) is made only while every log is empty. A damaged
    log is left to the server, which says what is wrong with it.
    Raises WrongCluster, RegisterMissing, or what the log and the file system raise.
    """
    members = [_empty_log_of(config, server) for server in config.servers]
    path = register_path(config.witness.data)
    if _stored_register(config, path) is not None:
        return
    if None in members:
        raise RegisterMissing(
            f"{path} is missing, but the servers have a history: `aulario witness --rebuild` makes it from what they "
            "know, once they are stopped"
        )
    register_file.create(path, _first_register(config, [member for member in members if member]).pack())


def initialise_server(config: ClusterConfig, server: ServerConfig) -> None:
    """Make a server's missing log and nothing else: what is missing besides may be on other machines.
    Raises WrongCluster, or what the log and the file system raise."""
    _empty_log_of(config, server)


def rebuild(config: ClusterConfig, server: ServerConfig) -> Path | None:
    """Set a server's damaged log aside and make an empty one, which its peer will fill; give the place of
    the old one. None, and nothing is changed, if the log is sound.

    The new log is a new incarnation: until it is in sync it can not lead, so that what only the damaged
    one held is not silently given up. Raises LogInUse if the server runs, LogMissing if there is no log, OSError.
    """
    try:
        verify_in_child(server.data)
    except LogDamaged:
        lock = DirectoryLock(server.data)
        aside = server.data.with_name(f"{server.data.name}.damaged-{secrets.token_hex(4)}")
        try:
            server.data.rename(aside)
        finally:
            lock.release()
        _empty_log_of(config, server)
        return aside
    return None


class Rebuilt(NamedTuple):
    """Whether a register was made anew, and the servers whose directories are not here: what they know is not known."""

    is_anew: bool
    absent: tuple[str, ...]


def rebuild_witness(config: ClusterConfig) -> Rebuilt:
    """R10: make the register anew from what the servers know if it is missing, damaged or older than that; the one that
    was there is set aside. Nothing is changed if it is the newest that is known here.

    Every server that may have changed the newest one must be stopped, and its directory be here as it was left.
    Raises LogInUse, LogMissing, LogDamaged, WrongCluster, RegisterMissing, RegistersDiffer, OSError.
    """
    here = dict(one for server in config.servers for one in _known_by(config, server))
    absent = tuple(server.name for server in config.servers if server.name not in {member.node for member in here})
    config.witness.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DirectoryLock(config.witness.data)
    try:
        path = register_path(config.witness.data)
        try:
            stored = _stored_register(config, path)
        except LogDamaged:
            stored = None
        newest = newest_known(here.values())
        if stored is not None and (newest is None or stored.epoch > newest.epoch or stored == newest):
            return Rebuilt(False, absent)
        if newest is None:
            raise RegisterMissing("no server that is here knows a register: nobody can say who may lead")
        for member in may_have_changed(here.values()) - here.keys():
            raise RegisterMissing(
                f"who led last can be known only by server {member.node} as it was in epoch {newest.epoch}: bring that "
                f"data directory (incarnation {member.incarnation})"
            )
        registers = (stored, *(known.register for known in here.values()))
        register = _seeded([one for one in registers if one is not None])
        if path.exists():
            path.rename(path.with_name(f"{REGISTER_FILE}.aside-{secrets.token_hex(4)}"))
        register_file.create(path, register.pack())
        return Rebuilt(True, absent)
    finally:
        lock.release()


def _known_by(config: ClusterConfig, server: ServerConfig) -> Iterator[tuple[Member, Known]]:
    """The member whose directory is here, if there is one, and what it knows."""
    try:
        log = LmdbLog.open(server.data)
    except LogMissing:
        return
    try:
        identity, known = log.identity, known_by(log)
    finally:
        log.close()
    _check_owner(config, server, identity)
    yield known


def _stored_register(config: ClusterConfig, path: Path) -> Register | None:
    """The witness's own, None if there is none. Raises LogDamaged, WrongCluster."""
    record = register_file.load(path)
    if record is None:
        return None
    register = unpack_register(record)
    _check_cluster(path, register.cluster_id, config.cluster_id)
    return register


def _seeded(known: Collection[Register]) -> Register:
    try:
        return seeded(known)
    except ValueError as error:
        raise RegistersDiffer(f"{error}: keep every data directory as it is, and compare the logs") from None


def _empty_log_of(config: ClusterConfig, server: ServerConfig) -> Member | None:
    """The owner of a server's log, which is made if there is none; None if the log has a history."""
    try:
        log = LmdbLog.open(server.data, readonly=True)
    except LogMissing:
        log = LmdbLog.create(server.data, Identity(config.cluster_id, server.name, secrets.token_hex(8)))
    except LogDamaged:
        return None
    try:
        identity, has_history = log.identity, log.head().seq > 0 or log.record(REGISTER) is not None
    finally:
        log.close()
    _check_owner(config, server, identity)
    return None if has_history else Member(identity.node, identity.incarnation)


def _check_owner(config: ClusterConfig, server: ServerConfig, identity: Identity) -> None:
    _check_cluster(server.data, identity.cluster_id, config.cluster_id)
    if identity.node != server.name:
        raise WrongCluster(f"{server.data} belongs to server {identity.node!r}, not to {server.name!r}")


def _check_cluster(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise WrongCluster(f"{path} belongs to cluster {found!r}, not to {expected!r}")


def _first_register(config: ClusterConfig, members: Sequence[Member]) -> Register:
    primary = next(member for member in members if member.node == config.preferred)
    return Register(config.cluster_id, FIRST_EPOCH, primary, in_sync(*members), witness_generation=1)
