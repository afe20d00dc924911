"""Signed checkpoints: what a node says, once and for good, about where its committed log stood.

    data      = [format, cluster_id, node, incarnation, epoch, seq, hash, ts_us]     canonical msgpack
    signature = Ed25519 of "es checkpoint" NUL data
    encoded   = [data, signature]

The hash is that of the batch that ends at `seq`, and covers everything before it. The chain alone convicts only
who does not recompute it: anybody can hash. A checkpoint that others keep convicts whoever lacks the node's key.
Because what is committed stays so in every log of a cluster (I4), a checkpoint of one node holds for the logs of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgpack
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from es.codec import HASH_BYTES
from es.errors import RemoteProtocolError
from es.limits import CHECKPOINT_BYTES_MAX, EPOCH_MAX, NAME_CHARS_MAX, SEQ_MAX
from es.log.base import EventLog, Head, Identity
from es.unpacking import unpack_whole

FORMAT = 1
SIGNATURE_BYTES = 64
SIGNING_KEY_BYTES = 32
"""Of a secret seed and of a public key alike."""

_DOMAIN = b"es checkpoint\0"
"""What is signed here can be taken for nothing else that the same key may sign."""


class Checkpoint(NamedTuple):
    """Everything up to `seq` is committed and durable on this node; the batch that ends there has this epoch, hash
    and time (µs of log time)."""

    cluster_id: str
    node: str
    incarnation: str
    epoch: int
    seq: int
    hash: bytes
    ts_us: int


class SignedCheckpoint(NamedTuple):
    """A checkpoint with the Ed25519 signature that stands under it, true or not (`is_signed_by`)."""

    checkpoint: Checkpoint
    signature: bytes


def checkpoint_at(identity: Identity, head: Head) -> Checkpoint:
    """The checkpoint of a node whose log is committed and durable up to `head`, the end of a batch."""
    return Checkpoint(
        identity.cluster_id, identity.node, identity.incarnation, head.epoch, head.seq, head.hash, head.ts_us
    )


def sign(seed: bytes, checkpoint: Checkpoint) -> SignedCheckpoint:
    """Sign with an Ed25519 seed of SIGNING_KEY_BYTES."""
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_DOMAIN + _data(checkpoint))
    return SignedCheckpoint(checkpoint, signature)


def public_key(seed: bytes) -> bytes:
    """The public key of an Ed25519 seed, SIGNING_KEY_BYTES."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def is_signed_by(signed: SignedCheckpoint, public_keys: Iterable[bytes]) -> bool:
    """True if one of these Ed25519 public keys made the signature. Whose keys they are is the caller's to know."""
    data = _DOMAIN + _data(signed.checkpoint)
    for key in public_keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signed.signature, data)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def encode(signed: SignedCheckpoint) -> bytes:
    """For the wire and for files; at most CHECKPOINT_BYTES_MAX."""
    packed: bytes = msgpack.packb((_data(signed.checkpoint), signed.signature))
    return packed


def decode(encoded: bytes) -> SignedCheckpoint:
    """The signed checkpoint of these bytes, which are its only encoding; its signature is not checked.
    Raises RemoteProtocolError and nothing else."""
    if len(encoded) > CHECKPOINT_BYTES_MAX:
        raise RemoteProtocolError(f"a checkpoint of {len(encoded)} bytes exceeds the bound")
    try:
        data, signature = _unpacked(encoded)
        form, *fields = _unpacked(data)
        signed = SignedCheckpoint(Checkpoint(*fields), signature)
        if form != FORMAT or not _is_well_formed(signed) or encode(signed) != encoded:
            raise ValueError("a field is out of range or in another encoding")
    except (ValueError, TypeError, OverflowError) as error:
        raise RemoteProtocolError(f"not a signed checkpoint: {error}") from None
    return signed


def contradiction(log: EventLog, checkpoint: Checkpoint) -> str | None:
    """What `log` cannot explain of a checkpoint that was truly signed, in one sentence; None if they agree, or if the
    log does not reach it and need not: only the very directory that signed must hold what it signed.

    Raises LogDamaged where the log cannot be read."""
    own, signer = log.identity, f"server {checkpoint.node}"
    if checkpoint.cluster_id != own.cluster_id:
        return f"{signer} of cluster {checkpoint.cluster_id!r} signed it, but the log is of cluster {own.cluster_id!r}"
    head = log.head()
    if checkpoint.seq > head.seq:
        if (checkpoint.node, checkpoint.incarnation) != (own.node, own.incarnation):
            return None
        return (
            f"the log ends at seq {head.seq}, but {signer} had signed seq {checkpoint.seq}: "
            "its tail is cut or the node was rolled back"
        )
    batch = log.batch_at(checkpoint.seq)
    if batch is None:
        return f"the log holds nothing at seq {checkpoint.seq}, which {signer} had signed"
    if batch.last_seq != checkpoint.seq:
        return (
            f"{signer} had signed seq {checkpoint.seq} as the end of a batch, but the log's batch there goes "
            f"from {batch.first_seq} to {batch.last_seq}: its history is another one"
        )
    if batch.hash != checkpoint.hash:
        return (
            f"the log's hash at seq {checkpoint.seq} is {batch.hash.hex()[:16]}, but {signer} had signed "
            f"{checkpoint.hash.hex()[:16]}: its history is another one"
        )
    return None


def _data(checkpoint: Checkpoint) -> bytes:
    packed: bytes = msgpack.packb((FORMAT, *checkpoint))
    return packed


def _unpacked(data: Any) -> Any:
    if type(data) is not bytes:
        raise ValueError("bytes are expected")
    return unpack_whole(data)


def _is_well_formed(signed: SignedCheckpoint) -> bool:
    checkpoint = signed.checkpoint
    names = (checkpoint.cluster_id, checkpoint.node, checkpoint.incarnation)
    numbers = (checkpoint.epoch, checkpoint.seq, checkpoint.ts_us)
    return (
        all(type(name) is str and 0 < len(name) <= NAME_CHARS_MAX for name in names)
        and all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)
        and 0 < checkpoint.seq <= SEQ_MAX and checkpoint.epoch <= EPOCH_MAX
        and type(checkpoint.hash) is bytes and len(checkpoint.hash) == HASH_BYTES
        and type(signed.signature) is bytes and len(signed.signature) == SIGNATURE_BYTES
    )  # fmt: skip
