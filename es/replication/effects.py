"""What the core asks of its shell. The shell's duties, in the order in which effects are given:

Persist   write it durably, writes in order, one writer; then call `persisted(serial)`. If
          `write.truncate_after` is set, export what is removed to a quarantine file first. A write
          that fails ends the process.
Publish   send to every subscriber of the batch stream; may be lost.
Emit      send the beacon on its own stream; may be lost.
Tell      send to one data node's (or the witness's) back channel; may be lost.
Answers   hand each answer to its waiter: everything it says is committed.
Committed feed read models: these batches are committed, in order, none twice within a process.
RoleChanged  say so in the log and the metrics.
Halt      stop the process with this sentence; nothing more may be said by this node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from es.codec import Batch
from es.log.base import Write
from es.replication.messages import Beacon, Frame, Message
from es.replication.transitions import Role

WITNESS = "\x00witness"
"""The name under which effects address the witness; no node can be called so."""


@dataclass(slots=True, frozen=True)
class Persist:
    serial: int
    write: Write


@dataclass(slots=True, frozen=True)
class Publish:
    frame: Frame


@dataclass(slots=True, frozen=True)
class Emit:
    beacon: Beacon


@dataclass(slots=True, frozen=True)
class Tell:
    node: str
    message: Message


class Answer(NamedTuple):
    """`seq` is the event that the answer reports, None if it reports none."""

    waiter: Any
    answer: Any
    seq: int | None


@dataclass(slots=True, frozen=True)
class Answers:
    """`batch` holds every `seq` of a fresh commit; None when these are reads (look the batch up).
    `copies` is the number of nodes that held it durably at this moment, `sealed_us` the boot time at which
    a fresh batch was sealed."""

    batch: Batch | None
    copies: int
    answers: Sequence[Answer]
    sealed_us: int = 0


@dataclass(slots=True, frozen=True)
class Committed:
    batches: Sequence[Batch]


@dataclass(slots=True, frozen=True)
class RoleChanged:
    before: Role
    after: Role
    epoch: int
    reason: str


@dataclass(slots=True, frozen=True)
class Halt:
    code: str
    sentence: str


Effect: TypeAlias = Persist | Publish | Emit | Tell | Answers | Committed | RoleChanged | Halt


class Refusal(NamedTuple):
    """The kernel's own refusal of a request: nothing was done. `primary` is the node to ask, if known."""

    code: str
    primary: str | None = None


BUSY = Refusal("BUSY")
