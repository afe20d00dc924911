"""What speaks of a log: checkpoints beside it, those that other servers and the witness keep, those a person saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from es.log.checkpoint import SignedCheckpoint, is_signed_by
from nodes.checkpoints.files import (
    HEADS_BYTES_MAX,
    HEADS_DIRECTORY,
    HISTORY_BYTES_MAX,
    RECORD_BYTES_MAX,
    Records,
    history_path,
    read,
)
from nodes.config.cluster import CURVE, ClusterConfig
from nodes.security.allow_list import AllowList
from nodes.security.keys import PublicKeys
from ops.checkpoint_text import Saved, is_forged, read_saved

BESIDE = "beside it"
NODES_MAX = 64
"""Files of one `heads` directory that are read; a cluster has far fewer servers."""


@dataclass(slots=True)
class Evidence:
    """`held` says of each checkpoint where it lies; `history` is what the log's own file of them holds, None if it is
    not there, or if `is_history_read` is not so. `damaged` are sentences about files that hold something else than
    checkpoints or cannot be read, `notes` about what is not here; `keys` raw Ed25519 public keys by server; `against`
    is what a person saved, by file."""

    held: dict[SignedCheckpoint, list[str]] = field(default_factory=dict)
    history: Records | None = None
    is_history_read: bool = True
    damaged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    keys: dict[str, list[bytes]] = field(default_factory=dict)
    against: dict[Path, list[Saved]] = field(default_factory=dict)

    def is_genuine(self, signed: SignedCheckpoint) -> bool:
        """Whether its node has signed it with a key that we know to be the node's."""
        return self.key_of(signed) is not None

    def key_of(self, signed: SignedCheckpoint) -> bytes | None:
        """The key, of those that we know to be its node's, that signed it; None if none did."""
        keys = self.keys.get(signed.checkpoint.node, ())
        return next((key for key in keys if is_signed_by(signed, [key])), None)

    def genuine(self) -> Mapping[SignedCheckpoint, Sequence[str]]:
        """What counts, and where it lies, in the order of sequence numbers."""
        in_order = sorted(self.held.items(), key=lambda item: item[0].checkpoint.seq)
        return {signed: where for signed, where in in_order if self.is_genuine(signed)}

    def doubtful(self) -> Mapping[SignedCheckpoint, Sequence[str]]:
        """What is signed with no key that is known, and where it lies; less what is forged."""
        forged = {one.signed for saved in self.against.values() for one in filter(is_forged, saved)}
        return {one: where for one, where in self.held.items() if one not in forged and not self.is_genuine(one)}

    def add(self, signed: Iterable[SignedCheckpoint], where: str) -> None:
        """These lie there."""
        for one in signed:
            places = self.held.setdefault(one, [])
            if where not in places:
                places.append(where)


def evidence(
    data: Path, config: ClusterConfig | None, against: Sequence[Path] = (), keys: Sequence[PublicKeys] = ()
) -> Evidence:
    """Everything on this host that speaks of the log in `data`. Read it before the log, which may go on.

    With the configuration of a cluster of which `data` is a server's directory, also what the others keep; its
    allow-list gives the public keys besides those given. Raises Stopped for a file of `against` that is none.
    """
    found = Evidence()
    _take_keys(found, config, keys)
    _take_history(found, data)
    _take_heads(found, data, BESIDE)
    if config is not None and any(_is_same(server.data, data) for server in config.servers):
        others = {f"server {server.name}": server.data for server in config.servers if not _is_same(server.data, data)}
        for name, directory in {**others, "the witness": config.witness.data}.items():
            if directory.is_dir():
                _take_heads(found, directory, f"kept by {name}")
            else:
                found.notes.append(f"what {name} keeps is not on this host")
    for path in against:
        found.against[path] = read_saved(path)
        found.add([saved.signed for saved in found.against[path]], str(path))
    return found


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _take_keys(found: Evidence, config: ClusterConfig | None, keys: Sequence[PublicKeys]) -> None:
    """Why a key of the allow-list is not known is told, except where a cluster has none."""
    allowed: tuple[PublicKeys, ...] = ()
    if config is not None:
        allow_list = AllowList(config.keys)
        allowed = allow_list.all()
        found.notes.extend(allow_list.problems if config.security == CURVE else ())
    for public in (*keys, *allowed):
        if public.signing is not None:
            found.keys.setdefault(public.principal.name, []).append(public.signing)


def _take_history(found: Evidence, data: Path) -> None:
    """What follows its last sound record may be one that a power cut tore, or that is being written."""
    path = history_path(data)
    try:
        records = found.history = read(path, HISTORY_BYTES_MAX)
    except OSError as error:
        found.is_history_read = False
        found.damaged.append(_unreadable(path, error))
        return
    if records is None:
        return
    found.add(records.signed, BESIDE)
    if records.torn is None:
        return
    if path.stat().st_size - records.torn < RECORD_BYTES_MAX:
        found.notes.append(f"{path} is torn at byte {records.torn}")
    else:
        found.damaged.append(_no_checkpoints(path, records.torn))


def _take_heads(found: Evidence, directory: Path, where: str) -> None:
    """Each file is replaced as a whole, and never by an empty one."""
    try:
        paths = sorted(path for path in (directory / HEADS_DIRECTORY).iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return
    except OSError as error:
        found.damaged.append(_unreadable(directory / HEADS_DIRECTORY, error))
        return
    for path in paths[:NODES_MAX]:
        try:
            records = read(path, HEADS_BYTES_MAX)
        except OSError as error:
            found.damaged.append(_unreadable(path, error))
            continue
        if records is None:
            continue
        found.add(records.signed, where)
        if records.torn is not None or not records.signed:
            found.damaged.append(_no_checkpoints(path, records.torn))


def _no_checkpoints(path: Path, torn: int | None) -> str:
    return f"{path} is empty" if torn is None else f"{path} holds no checkpoints from byte {torn} on"


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path} cannot be read: {error.strerror}"
