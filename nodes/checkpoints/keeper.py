"""Keeps the newest checkpoints of the servers: on each of the others and on the witness.

Who alters a log can hash it anew; who rolls a whole directory back takes its own checkpoints along. What others keep
stays. It is given back to its node now and then, which stops if its log contradicts it.

What is kept counts while a key that is allowed now has signed it. What a key has signed that was revoked since proves
nothing and stands in nobody's way; it lies there until something newer takes its place, for a key may come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from es.errors import RemoteProtocolError
from es.log.checkpoint import Checkpoint, SignedCheckpoint, decode, is_signed_by
from nodes.checkpoints.files import HEADS_BYTES_MAX, head_path, read
from nodes.logs import logger
from nodes.security.signing_keys import SigningKeys

INCARNATIONS_MAX: Final = 4
"""Checkpoints kept of one node, one of each incarnation; beyond it the one that reaches least far goes."""

CHECKS_MAX: Final = 50
"""Checkpoints looked at within CHECKS_US: who floods a node costs it no more than some milliseconds a second. A node
signs ten a second at most (nodes.checkpoints.schedule)."""

CHECKS_US: Final = 1_000_000

MALFORMED: Final = "checkpoint malformed"
ANOTHER_CLUSTER: Final = "checkpoint of another cluster"
STRANGER: Final = "checkpoint of a stranger"
UNSIGNED: Final = "checkpoint not signed by its node"
FLOOD: Final = "checkpoint flood"
TWO_HISTORIES: Final = "checkpoint of another history"
IMPLAUSIBLE: Final = "checkpoint beyond what can be"
WHYS: Final = (MALFORMED, ANOTHER_CLUSTER, STRANGER, UNSIGNED, FLOOD, TWO_HISTORIES, IMPLAUSIBLE)

Kept = dict[str, SignedCheckpoint]
"""Checkpoints of one node by incarnation."""


class CheckpointKeeper:
    """`names` are the servers whose checkpoints are kept, in `data` (nodes.checkpoints.files). `store` puts what is
    kept of one of them on disk, without waiting for it. `is_plausible` says whether its node can have come so far: one
    that cannot be would never be followed by a newer one. `ignored` counts what was refused, by reason."""

    def __init__(
        self,
        data: Path,
        cluster_id: str,
        names: Iterable[str],
        keys: SigningKeys,
        store: Callable[[str, Iterable[SignedCheckpoint]], None],
        is_plausible: Callable[[Checkpoint], bool],
    ) -> None:
        self._cluster_id = cluster_id
        self._keys = keys
        self._store = store
        self._is_plausible = is_plausible
        self.ignored: Counter[str] = Counter(dict.fromkeys(WHYS, 0))
        self._kept = {name: self._stored(head_path(data, name), name) for name in names}
        self._checked: dict[str, tuple[tuple[bytes, ...], Kept]] = {}
        self._checks = 0
        self._checks_from_us = 0

    def kept(self, node: str) -> tuple[SignedCheckpoint, ...]:
        """What is kept of a node and counts, a checkpoint of each incarnation."""
        return tuple(self._believed(node).values()) if node in self._kept else ()

    def read(self, encoded: bytes, now_us: int) -> SignedCheckpoint | None:
        """The checkpoint in a message; None, counted, if it is none of this cluster or there are too many. Whether it
        is signed is not known yet."""
        if now_us - self._checks_from_us >= CHECKS_US:
            self._checks, self._checks_from_us = 0, now_us
        self._checks += 1
        if self._checks > CHECKS_MAX:
            self.ignored[FLOOD] += 1
            return None
        try:
            signed = decode(encoded)
        except RemoteProtocolError:
            self.ignored[MALFORMED] += 1
            return None
        if signed.checkpoint.cluster_id != self._cluster_id:
            self.ignored[ANOTHER_CLUSTER] += 1
            return None
        return signed

    def take(self, signed: SignedCheckpoint) -> SignedCheckpoint | None:
        """Keep a checkpoint if it is its node's own and newer than what is kept of that incarnation. If what is kept
        is newer, that: its node may have forgotten it."""
        checkpoint = signed.checkpoint
        node = checkpoint.node
        if node not in self._kept:
            self.ignored[STRANGER] += 1
            return None
        believed = self._believed(node)
        before = believed.get(checkpoint.incarnation)
        if before == signed:
            return None
        if before is not None and checkpoint.seq < before.checkpoint.seq:
            return before
        if not is_signed_by(signed, self._keys.of(node)):
            self.ignored[UNSIGNED] += 1
            return None
        if not self._is_plausible(checkpoint):
            self.ignored[IMPLAUSIBLE] += 1
            return None
        if before is not None and checkpoint.seq == before.checkpoint.seq and checkpoint != before.checkpoint:
            logger().error("a server signed two histories", node=node, seq=checkpoint.seq)
            self.ignored[TWO_HISTORIES] += 1
            return None
        self._keep(signed, self._kept[node], believed)
        return None

    def _keep(self, signed: SignedCheckpoint, kept: Kept, believed: Kept) -> None:
        incarnation = signed.checkpoint.incarnation
        kept[incarnation] = believed[incarnation] = signed
        if len(kept) > INCARNATIONS_MAX:
            others = (one for one in kept if one != incarnation)
            least = min(others, key=lambda one: (one in believed, kept[one].checkpoint.seq))
            del kept[least]
            believed.pop(least, None)
        self._store(signed.checkpoint.node, kept.values())

    def _believed(self, node: str) -> Kept:
        """What is kept of a node and signed with a key that is allowed now."""
        keys = self._keys.of(node)
        checked = self._checked.get(node)
        if checked is None or checked[0] != keys:
            believed = {inc: one for inc, one in self._kept[node].items() if is_signed_by(one, keys)}
            if len(believed) < len(self._kept[node]):
                logger().warning("what is kept of a server is not all signed with a key of it", node=node)
            checked = self._checked[node] = keys, believed
        return checked[1]

    def _stored(self, path: Path, node: str) -> Kept:
        """What was kept before."""
        try:
            records = read(path, HEADS_BYTES_MAX)
        except OSError as error:
            logger().warning("checkpoints cannot be read", path=str(path), why=error.strerror)
            return {}
        if records is None:
            return {}
        found = {
            one.checkpoint.incarnation: one
            for one in records.signed[:INCARNATIONS_MAX]
            if one.checkpoint.node == node
        }
        if records.torn is not None or len(found) < len(records.signed):
            logger().warning("what is kept of a server is not all of it", node=node, path=str(path))
        return found
