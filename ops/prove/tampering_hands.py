"""What a tamperer does to the log of server a: six deeds, each by clumsy hands and by informed ones.

Clumsy hands change bytes in files, or put old files back. Informed ones know the format: they compute every hash of
the chain anew, build the store anew with its own engine and the number of its last write, and take away what would
convict them beside the log. Neither has the server's signing key.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from es.codec import Batch, Entry, encode_batch
from es.log.base import EMPTY, Identity, Write
from es.log.chain import head_of
from es.log.last_write import LAST_WRITE_FILE
from es.log.lmdb_log import DATA_FILE, LmdbLog
from nodes.checkpoints.files import (
    HEADS_DIRECTORY,
    HISTORY_BYTES_MAX,
    append,
    head_path,
    history_path,
    read,
    record,
)
from nodes.checkpoints.files import replace as replace_file
from ops.prove.tampering_world import BODY_BYTES, World, identity

LEFT, TAKEN_AWAY, CUT_BACK = "left", "taken away", "cut back"
MARK: Final = b"\xfe"
BESIDE: Final = (LEFT, TAKEN_AWAY, CUT_BACK)
"""What becomes of the checkpoints beside the log: those that contradict it are what is cut."""


class Deed(NamedTuple):
    """What was done: the log differs from what it was from `from_seq` on, the first event that is other or gone."""

    from_seq: int
    what: str


class Case(NamedTuple):
    """One log to tamper with, somewhere up to `signed_seq`, the last event that somebody else's checkpoint covers."""

    drawn: random.Random
    world: World
    signed_seq: int


Hands = Callable[[Case], Deed]
"""Tamper with the directories as they were laid out."""


# --- clumsy


def alter_bytes(case: Case) -> Deed:
    """A byte of an event is another one."""
    batch = case.drawn.choice(_signed(case))
    data = bytearray(batch.data)
    data[-1 - case.drawn.randrange(BODY_BYTES)] ^= 1 << case.drawn.randrange(8)
    _replace_bytes(case.world, batch.data, bytes(data))
    return Deed(batch.first_seq, f"a byte of the batch at seq {batch.first_seq}")


def delete_bytes(case: Case) -> Deed:
    """A batch is wiped."""
    batch = case.drawn.choice(_signed(case))
    _replace_bytes(case.world, batch.data, bytes(len(batch.data)))
    return Deed(batch.first_seq, f"the batch at seq {batch.first_seq} is zeros")


def reorder_bytes(case: Case) -> Deed:
    """Two batches of one length lie in each other's place, seals included."""
    signed = _signed(case)
    pairs = [(x, y) for i, x in enumerate(signed) for y in signed[i + 1 :] if len(x.data) == len(y.data)]
    one, other = case.drawn.choice(pairs)
    first, second = one.hash + one.data, other.hash + other.data
    path = _data(case.world, "a") / DATA_FILE
    content = path.read_bytes().replace(first, MARK * len(first)).replace(second, first)
    path.write_bytes(content.replace(MARK * len(first), second, 1))
    return Deed(one.first_seq, f"the batches at seq {one.first_seq} and seq {other.first_seq} change places")


def truncate_file(case: Case) -> Deed:
    """The file ends within its pages; behind them it has but zeros, to grow into."""
    path = _data(case.world, "a") / DATA_FILE
    content = path.read_bytes()
    used = len(content.rstrip(b"\0"))
    length = case.drawn.randrange(used // 8, used * 3 // 4)
    path.write_bytes(content[:length])
    return Deed(1, f"{DATA_FILE} ends at byte {length} of {used}")


def put_old_file_back(case: Case) -> Deed:
    """The log's file is as it was some time ago."""
    stage = case.drawn.randrange(len(case.world.stages) - 1)
    shutil.copy(case.world.stages[stage] / "server-a" / DATA_FILE, _data(case.world, "a") / DATA_FILE)
    return Deed(case.world.heads["a"][stage] + 1, f"{DATA_FILE} as it was at seq {case.world.heads['a'][stage]}")


def swap_directories(case: Case) -> Deed:
    """Each server has the other one's directory."""
    aside = case.world.directory / "aside"
    _data(case.world, "a").rename(aside)
    _data(case.world, "b").rename(_data(case.world, "a"))
    aside.rename(_data(case.world, "b"))
    return Deed(1, "the directories of both servers")


# --- informed


def alter_event(case: Case) -> Deed:
    """An event says something else; everything after it is hashed anew."""
    return _altered(case, case.drawn.randint(1, case.signed_seq))


def alter_tail(case: Case) -> Deed:
    """The same of an event that no checkpoint covers yet: nothing can show it. None of the six."""
    return _altered(case, case.drawn.randint(case.signed_seq + 1, case.world.chains["a"][-1].last_seq))


def delete_event(case: Case) -> Deed:
    """An event is gone; everything after it moves up, or a later one takes its place in the count."""
    seq = case.drawn.randint(1, case.signed_seq)
    events = _events(case.world.chains["a"])
    del events[seq - 1]
    if case.drawn.random() < 0.5:  # as long as before
        events.append(events[-1]._replace(body=case.drawn.randbytes(BODY_BYTES)))
    return _rebuilt(case, events, Deed(seq, f"event {seq} is gone"))


def reorder_events(case: Case) -> Deed:
    """Two events change places."""
    one = case.drawn.randint(1, case.signed_seq)
    events = _events(case.world.chains["a"])
    other = case.drawn.choice([seq for seq in range(1, len(events) + 1) if seq != one])
    events[one - 1], events[other - 1] = events[other - 1], events[one - 1]
    deed = Deed(min(one, other), f"events {min(one, other)} and {max(one, other)} change places")
    return _rebuilt(case, events, deed)


def cut_tail(case: Case) -> Deed:
    """The log ends early, as a whole one."""
    ends = [batch.last_seq for batch in case.world.chains["a"] if batch.last_seq < case.signed_seq]
    end = case.drawn.choice(ends)
    kept = [batch for batch in case.world.chains["a"] if batch.last_seq <= end]
    return _stored(case, kept, Deed(end + 1, f"the tail after seq {end}"))


def roll_back(case: Case) -> Deed:
    """The whole directory is as it was some time ago, its checkpoints with it."""
    stages = [stage for stage, seq in enumerate(case.world.heads["a"]) if seq < case.signed_seq]
    stage = case.drawn.choice(stages)
    shutil.rmtree(_data(case.world, "a"))
    shutil.copytree(case.world.stages[stage] / "server-a", _data(case.world, "a"))
    seq = case.world.heads["a"][stage]
    return Deed(seq + 1, f"the directory as it was at seq {seq}")


def swap_logs(case: Case) -> Deed:
    """Each server has the other one's log, under its own name. One that is as long would be the very log."""
    end = case.world.chains["b"][-1].last_seq
    _build(_data(case.world, "b"), identity("b"), case.world.chains["a"])
    return _stored(case, case.world.chains["b"], Deed(end + 1, "the logs of both servers"))


CLUMSY: Final[Mapping[str, Hands]] = {
    "alter": alter_bytes, "delete": delete_bytes, "reorder": reorder_bytes, "truncate": truncate_file,
    "roll back": put_old_file_back, "swap": swap_directories,
}  # fmt: skip
INFORMED: Final[Mapping[str, Hands]] = {
    "alter": alter_event, "delete": delete_event, "reorder": reorder_events, "truncate": cut_tail,
    "roll back": roll_back, "swap": swap_logs,
}  # fmt: skip


def _data(world: World, name: str) -> Path:
    return world.config.server(name).data


def _signed(case: Case) -> list[Batch]:
    return [batch for batch in case.world.chains["a"] if batch.last_seq <= case.signed_seq]


def _replace_bytes(world: World, before: bytes, after: bytes) -> None:
    path = _data(world, "a") / DATA_FILE
    path.write_bytes(path.read_bytes().replace(before, after))


def _events(chain: Sequence[Batch]) -> list[Entry]:
    return [entry for batch in chain for entry in batch.entries]


def _altered(case: Case, seq: int) -> Deed:
    events = _events(case.world.chains["a"])
    events[seq - 1] = events[seq - 1]._replace(body=case.drawn.randbytes(BODY_BYTES))
    return _rebuilt(case, events, Deed(seq, f"event {seq} is another one"))


def _rebuilt(case: Case, events: Sequence[Entry], deed: Deed) -> Deed:
    """The events as a chain of batches with the sizes, times and epochs that the batches had."""
    chain: list[Batch] = []
    head = EMPTY
    for before in case.world.chains["a"]:
        of_batch = events[head.seq : head.seq + len(before.entries)]
        entries = [entry._replace(offset=offset) for offset, entry in enumerate(of_batch)]
        if entries:
            chain.append(encode_batch(before.epoch, head.seq + 1, head.hash, before.ts_us, entries))
            head = head_of(chain[-1])
    return _stored(case, chain, deed)


def _stored(case: Case, chain: Sequence[Batch], deed: Deed) -> Deed:
    """Server a has that log now, and beside it only checkpoints that the tamperer lets stand."""
    data, beside = _data(case.world, "a"), case.drawn.choice(BESIDE)
    _build(data, identity("a"), chain)
    history = read(history_path(data), HISTORY_BYTES_MAX)
    assert history is not None, "a server has a history of checkpoints"
    if beside != LEFT:
        history_path(data).unlink()
        shutil.rmtree(data / HEADS_DIRECTORY)
    if beside == CUT_BACK:
        stand = [one for one in history.signed if one.checkpoint.seq < deed.from_seq]
        append(history_path(data), b"".join(map(record, stand)), durable=False)
        replace_file(head_path(data, "a"), stand[-1:], durable=False)
    return deed._replace(what=f"{deed.what}; checkpoints beside it {beside}")


def _build(data: Path, owner: Identity, chain: Sequence[Batch]) -> None:
    """A store without a flaw in the place of another."""
    anew = data.with_name("anew")
    with closing(LmdbLog.create(anew, owner)) as log:
        log.write(Write(chain, commit_seq=chain[-1].last_seq))
    for file in (DATA_FILE, LAST_WRITE_FILE):
        (anew / file).replace(data / file)
    shutil.rmtree(anew)
