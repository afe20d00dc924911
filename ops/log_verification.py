"""Is a log whole, and is it what was signed? The chain of hashes shows damage and clumsy hands; signed checkpoints,
kept by others, show who altered it and hashed it anew, cut its tail or rolled its whole directory back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from es.log.base import EventLog, Identity
from es.log.checkpoint import Checkpoint, SignedCheckpoint, contradiction
from es.log.verify import Report, verify_in_child
from nodes.config.cluster import CURVE, ClusterConfig
from ops.checkpoint_evidence import Evidence
from ops.checkpoint_text import is_forged
from ops.log_reader import opened
from ops.output import count

_ONLY_CHAINED = (
    "no signed checkpoint speaks of this log: only its chain of hashes was checked, which anybody can compute"
)
Held = Mapping[SignedCheckpoint, Sequence[str]]


@dataclass(slots=True, frozen=True)
class Verification:
    """`report` is of a log whose chain is whole. `findings` are sentences that say what contradicts what was signed,
    and where; `damaged` which file of evidence holds none: a power cut leaves that as a hand does, and it accuses
    nobody; `notes` what could not be shown; `forged` which saved checkpoint nobody signed, `unproven` which saved file
    (or the configuration) proves nothing, and why, and that no signature speaks of the log, or of all that was signed.
    `signed_seq` is the newest event that a signature covers, 0 if none; `held` the number of checkpoints that counted,
    `by` who signed them, `places` where they lie."""

    report: Report
    findings: tuple[str, ...]
    damaged: tuple[str, ...]
    notes: tuple[str, ...]
    forged: tuple[str, ...]
    unproven: tuple[str, ...]
    signed_seq: int
    held: int
    by: tuple[str, ...]
    places: tuple[str, ...]


def verified(data: Path, config: ClusterConfig | None, found: Evidence) -> Verification:
    """Hold the log in `data` against what was found to speak of it (ops.checkpoint_evidence).

    Raises LogDamaged, in one sentence that says up to where it is sound, if the chain itself is broken."""
    report = verify_in_child(data)
    genuine = found.genuine()
    with opened(data) as log:
        missing, emptied = _history(log, found, genuine)
        agreed = tuple(_agreeing(log, genuine))
        findings = [*_owner(log.identity, data, config), *missing, *_contradictions(log, genuine, agreed)]
        forged = tuple(_forged(found))
        unproven = [*_elsewhere(log.identity, config), *_unproven(log, found, genuine)]
        if not findings and (report.events or found.held):
            unproven += _unspoken(found, genuine, agreed, config)
    return Verification(
        report,
        tuple(findings),
        (*found.damaged, *emptied),
        tuple(_notes(found, agreed, config)),
        forged,
        tuple(unproven),
        max(agreed, default=0),
        len(genuine),
        tuple(sorted({one.checkpoint.node for one in genuine})),
        tuple(dict.fromkeys(place for places in genuine.values() for place in places)),
    )


def _owner(identity: Identity, data: Path, config: ClusterConfig | None) -> Iterator[str]:
    """A directory of the cluster holds the log of its own server."""
    for server in config.servers if config is not None else ():
        if server.data.resolve() == data.resolve() and identity.node != server.name:
            yield f"this is the directory of server {server.name}, but the log is of server {identity.node}"


def _elsewhere(identity: Identity, config: ClusterConfig | None) -> Iterator[str]:
    """Nobody signs a configuration: of one that is another cluster's, or was emptied, nothing follows for the log."""
    if config is not None and identity.cluster_id != config.cluster_id:
        yield (
            f"the configuration beside it proves nothing about the log: it is of cluster {config.cluster_id!r}, and "
            f"the log of {identity.cluster_id!r}"
        )


def _forged(found: Evidence) -> Iterator[str]:
    """Each saved checkpoint that is forged."""
    for path, saved in found.against.items():
        for one in filter(is_forged, saved):
            yield (
                f"the checkpoint at seq {one.signed.checkpoint.seq} in {path} is forged: the key that it names has "
                "not signed it"
            )


def _unproven(log: EventLog, found: Evidence, genuine: Held) -> Iterator[str]:
    """Each saved file of which nothing speaks of this log, and why, as its newest checkpoint that is not forged
    shows it."""
    own, head_seq = log.identity, log.head().seq
    for path, all_saved in found.against.items():
        saved = [one for one in all_saved if not is_forged(one)]
        if not saved:
            continue
        newest = max((one.signed for one in saved), key=lambda one: (one in genuine, one.checkpoint.seq))
        checkpoint = newest.checkpoint
        if newest not in genuine and checkpoint.cluster_id != own.cluster_id:
            why = f"it is of cluster {checkpoint.cluster_id!r}, and the log of {own.cluster_id!r}"
        elif newest not in genuine:
            why = (
                f"it is signed with no known key of server {checkpoint.node}; if that was rotated, name the one of "
                "then with --key"
            )
        elif all(one.signed.checkpoint.seq > head_seq for one in saved if one.signed in genuine):
            why = f"it speaks of seq {checkpoint.seq}, and the log ends at seq {head_seq}"
        else:
            continue
        yield f"{path} proves nothing about the log: {why}"


def _history(log: EventLog, found: Evidence, genuine: Held) -> tuple[list[str], list[str]]:
    """A server's own checkpoints are never gone while others keep what it has signed about this very directory: the
    sentences of a finding (its file is made once and for good) and of damage (what is in it was not flushed)."""
    own = (log.identity.node, log.identity.incarnation)
    kept = [one for one in genuine if (one.checkpoint.node, one.checkpoint.incarnation) == own]
    if not kept or not found.is_history_read or (found.history is not None and found.history.signed):
        return [], []
    signed = f"though it had signed up to seq {kept[-1].checkpoint.seq} ({_places(genuine, kept[-1])})"
    if found.history is None:
        return [f"the server's own checkpoints are missing, {signed}"], []
    return [], [f"the server's own file of checkpoints holds none, {signed}"]


def _contradictions(log: EventLog, genuine: Held, agreed: Sequence[int]) -> Iterator[str]:
    """The first checkpoint that is contradicted, and the one that reaches farthest beyond the end of the log; `agreed`
    are the sequence numbers of those that agree."""
    own, head_seq = log.identity, log.head().seq
    differs, beyond = "", ""
    for one in genuine:
        what = _missing(log, one.checkpoint) or contradiction(log, one.checkpoint)
        if what is None:
            continue
        told = f"{what} ({_places(genuine, one)})"
        if one.checkpoint.seq > head_seq:
            beyond = told
        elif one.checkpoint.cluster_id != own.cluster_id:
            differs = differs or told
        else:
            differs = differs or f"{told}; {_since_when(agreed, one.checkpoint.seq)}"
    yield from filter(None, (differs, beyond))


def _since_when(agreed: Sequence[int], seq: int) -> str:
    """Where the log comes to differ from a checkpoint at `seq`, as those that agree show it: what one says holds for
    everything before it."""
    agreed_seq = max(agreed, default=0)
    if agreed_seq >= seq:
        return (
            f"up to seq {agreed_seq} the log is what was signed, so two histories were signed that differ at "
            f"seq {seq} or before"
        )
    return (
        f"up to seq {agreed_seq} it is what was signed, so it was altered between seq {agreed_seq + 1} and seq {seq}"
    )


def _missing(log: EventLog, checkpoint: Checkpoint) -> str | None:
    """A directory that was made anew must catch up with what its server had signed before."""
    own, head_seq = log.identity, log.head().seq
    if (checkpoint.cluster_id, checkpoint.node) != (own.cluster_id, own.node) or checkpoint.seq <= head_seq:
        return None
    if checkpoint.incarnation == own.incarnation:
        return None
    return (
        f"the log ends at seq {head_seq}, but server {own.node} had signed seq {checkpoint.seq} in another data "
        "directory: this one was made anew and has not caught up, or its tail is cut"
    )


def _agreeing(log: EventLog, genuine: Held) -> Iterator[int]:
    head_seq = log.head().seq
    for one in genuine:
        if one.checkpoint.seq <= head_seq and contradiction(log, one.checkpoint) is None:
            yield one.checkpoint.seq


def _unspoken(found: Evidence, genuine: Held, agreed: Sequence[int], config: ClusterConfig | None) -> Iterator[str]:
    """A log of which no signature speaks is not shown to be what it was, nor is one beyond what a known key signed
    while a later checkpoint is there whose key is gone: who alters a log can take a file of keys away, too. Files of
    which nothing counts are told by `_unproven`."""
    useless = {str(path) for path, saved in found.against.items() if all(one.signed not in genuine for one in saved)}
    later = {
        one: where
        for one, where in found.doubtful().items()
        if one.checkpoint.seq > max(agreed, default=0) and not useless.issuperset(where)
    }
    if later:
        newest = max(later, key=lambda one: one.checkpoint.seq)
        yield (
            f"{_signed_by_nobody(len(later), 'checkpoint')}, the newest at seq {newest.checkpoint.seq} "
            f"({', '.join(later[newest])}): what it speaks of is not shown until its server's public file is in the "
            "allow-list, or named with --key, or (after a rotation) the server has signed anew"
        )
    elif not agreed and not _signs_nothing(found, config):
        yield _ONLY_CHAINED


def _signs_nothing(found: Evidence, config: ClusterConfig | None) -> bool:
    """A cluster without keys has nothing to sign with."""
    return config is not None and config.security != CURVE and not found.keys


def _signed_by_nobody(number: int, noun: str) -> str:
    return f"{count(number, noun)} {'is' if number == 1 else 'are'} signed with no key that is known"


def _notes(found: Evidence, agreed: Sequence[int], config: ClusterConfig | None) -> Iterator[str]:
    yield from found.notes
    if older := sum(one.checkpoint.seq <= max(agreed, default=0) for one in found.doubtful()):
        yield f"{_signed_by_nobody(older, 'older checkpoint')}, as after a rotation"
    if not agreed and _signs_nothing(found, config):
        yield _ONLY_CHAINED


def _places(held: Held, one: SignedCheckpoint) -> str:
    return f"a checkpoint {', '.join(held[one])}"
