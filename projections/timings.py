"""Timings of every request (A19): a read model of the log and of what processes measured, with a checkpoint.

The log says what was asked and how it ended; servers and faculties say how long each leg took (`Timing`, in the
order of their numbers), a program what it was told in the end (`Told`). Whatever comes first makes the row, the rest
fills it in. All times are boot times of one host in µs; a duration is None where nobody measured it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias

from es.codec import GENESIS_HASH, Batch, Entry
from es.replication import events as kernel
from projections.rooms import events
from projections.rooms.commands import ACCEPTED, CANCELED, DENIED
from projections.rooms.identity import request_id_of, transaction_id_of
from projections.rooms.machine import NAME
from projections.rooms.upcast import UPCASTER

LEGS: Final = ("sol_prop", "ack_res", "sol_res", "program")
"""SOL to PROP, ACK to RES, SOL to RES; `program`: from a program's request to the answer it was given."""

SERVER: Final = "server"
FACULTY: Final = "faculty"

REQUESTS_MAX: Final = 100_000
"""Requests kept; the oldest is forgotten first."""

KEY_BYTES: Final = 16
DEFINITE: Final = (ACCEPTED, DENIED, CANCELED)
_ENDINGS: Final[Mapping[str, str]] = {"Confirmed": ACCEPTED, "Rejected": CANCELED, "Expired": CANCELED}


Measured: TypeAlias = tuple[str, str, str, int, int, str, int, int]
"""A Timing without its number and code; the transaction's id as it was said."""

MeasuredResult: TypeAlias = tuple[str, str, str, int, int, str, int, int, str]
"""The same with the code, which a faculty knows."""


class Timing(NamedTuple):
    """One leg of one request as one process measured it, ended at boot time `ended_us`. `number` counts what that
    process measured; `status` is empty where the leg ended with no result, `code` where it has none or nobody said it,
    `program_id` is 0 where nobody knew it."""

    number: int
    leg: str
    pattern: str
    status: str
    faculty_id: int
    program_id: int
    transaction_id: str
    ended_us: int
    us: int
    code: str = ""


class Source(NamedTuple):
    """Who measured: SERVER or FACULTY, its name, and since when (µs, wall clock) it numbers as it does."""

    kind: str
    name: str
    since_us: int


class Told(NamedTuple):
    """What a program was told in the end, and when it had begun to ask. `code` may say why it was not satisfied."""

    faculty_id: int
    program: str
    transaction_id: str
    term: str | None
    classrooms: int
    labs: int
    pattern: str
    status: str
    code: str | None
    epoch: int | None
    attempts: int
    began_us: int
    us: int


class Recovery(NamedTuple):
    """A takeover as the log has it (R5): how long the old primary had been silent, from then to the first batch of
    the new epoch, and from that to the first event that a client caused. `ts_us` is that batch's log time."""

    epoch: int
    primary: str
    seq: int
    ts_us: int
    detect_ms: int
    promote_ms: int
    first_event_ms: float | None = None


@dataclass(slots=True)
class Request:
    """One request: who asked what, how it `ended` by the log and what the program was `told`, and what each leg took.
    `code` says why, if it was not satisfied; `seq` and `epoch` are those of the event that ended it. Without them and
    without a term nothing of it is in the log."""

    faculty_id: int
    transaction_id: str | None = None
    program_id: int | None = None
    program: str | None = None
    term: str | None = None
    classrooms: int | None = None
    labs: int | None = None
    pattern: str | None = None
    ended: str | None = None
    told: str | None = None
    code: str | None = None
    epoch: int | None = None
    seq: int | None = None
    attempts: int | None = None
    began_us: int | None = None
    program_us: int | None = None
    faculty_us: int | None = None
    faculty_sol_prop_us: int | None = None
    faculty_ack_res_us: int | None = None
    faculty_sol_res_us: int | None = None
    server: str | None = None
    server_began_us: int | None = None
    server_sol_prop_us: int | None = None
    server_ack_res_us: int | None = None
    server_sol_res_us: int | None = None

    @property
    def status(self) -> str | None:
        """What the program was told, or what the log says where nobody knows that."""
        return self.told or self.ended

    @property
    def is_satisfied(self) -> bool:
        """The program was granted what it asked for."""
        return self.status == ACCEPTED


COLUMNS: Final = tuple(one.name for one in fields(Request))


def key_of(request_id: str | bytes) -> bytes:
    """How a row is found: by a uuid's 16 bytes, by the first 16 of the SHA-256 of any other id."""
    return request_id if isinstance(request_id, bytes) else sha256(request_id.encode()).digest()[:KEY_BYTES]


@dataclass(slots=True)
class Checkpoint:
    """How far the model has read: the log up to the batch that ends at `seq` with `hash`, each source's last number."""

    seq: int = 0
    hash: bytes = GENESIS_HASH
    numbers: dict[Source, int] = field(default_factory=dict)


class RequestTimings:
    """The fold. Feed it every committed batch after `checkpoint.seq`, and timings in the order of their numbers; what
    it has read already it passes over."""

    def __init__(self, requests_max: int = REQUESTS_MAX) -> None:
        self._requests_max = requests_max
        self.checkpoint = Checkpoint()
        self.requests: dict[tuple[int, bytes], Request] = {}
        self.recoveries: list[Recovery] = []
        self.forgotten = 0
        self._terms: dict[int, str] = {}
        self._programs: dict[tuple[int, int], str] = {}

    # -- the log

    def feed(self, batch: Batch) -> None:
        """The next committed batch. Raises UnknownEvent."""
        checkpoint = self.checkpoint
        assert batch.first_seq == checkpoint.seq + 1, f"expected seq {checkpoint.seq + 1}, not {batch.first_seq}"
        for entry in batch.entries:
            if entry.application == kernel.APPLICATION:
                self._on_kernel_event(entry, batch)
            elif entry.application == NAME:
                self._on_event(entry, batch)
        checkpoint.seq, checkpoint.hash = batch.last_seq, batch.hash

    def _on_kernel_event(self, entry: Entry, batch: Batch) -> None:
        event = kernel.read(entry)
        if isinstance(event, kernel.EpochStarted) and event.cause == "failover":
            seq = batch.first_seq + entry.offset
            self.recoveries.append(
                Recovery(batch.epoch, event.primary, seq, batch.ts_us, event.silence_ms, event.promote_ms)
            )

    def _on_event(self, entry: Entry, batch: Batch) -> None:
        body = UPCASTER.current(entry.type, entry.version, entry.body)
        match events.TYPES[entry.type]._make(body):
            case events.TermOpened(term, number):
                self._terms[number] = term
            case events.ProgramRegistered(faculty_id, program_id, program):
                self._programs[faculty_id, program_id] = program
            case events.Reserved() as reserved:
                self._on_asked(reserved, entry, batch)
            case events.Denied() as denied:
                row = self._on_asked(denied, entry, batch)
                if row.told in (None, DENIED):
                    row.code = denied.code
                self._on_end(row, DENIED, entry, batch)
            case events.Confirmed(faculty_id) | events.Rejected(faculty_id) | events.Expired(faculty_id):
                row = self._row_of(faculty_id, entry.request_id)
                self._on_end(row, _ENDINGS[entry.type], entry, batch)
            case _:
                return
        self._note_first_event(batch)

    def _on_asked(self, record: events.Reserved | events.Denied, entry: Entry, batch: Batch) -> Request:
        row = self._row_of(record.faculty_id, entry.request_id)
        row.program_id = record.program_id
        row.program = self._programs[record.faculty_id, record.program_id]
        row.term = self._terms[record.term]
        row.classrooms, row.labs = record.asked_classrooms, record.asked_labs
        return row

    def _on_end(self, row: Request, status: str, entry: Entry, batch: Batch) -> None:
        row.seq, row.epoch = batch.first_seq + entry.offset, batch.epoch
        row.ended = status

    def _note_first_event(self, batch: Batch) -> None:
        if self.recoveries and self.recoveries[-1].first_event_ms is None:
            waited_ms = (batch.ts_us - self.recoveries[-1].ts_us) / 1_000
            self.recoveries[-1] = self.recoveries[-1]._replace(first_event_ms=waited_ms)

    # -- what was measured

    def take(self, source: Source, timing: Timing) -> None:
        """What a process measured. Of repeated askings the first one counts: its legs began when the program's did."""
        if timing.number <= self.checkpoint.numbers.get(source, 0):
            return
        self.checkpoint.numbers[source] = timing.number
        row = self._row_of(timing.faculty_id, request_id_of(timing.transaction_id))
        row.pattern = row.pattern or timing.pattern
        if source.kind == SERVER:
            _take_from_server(row, source.name, timing)
            return
        row.program_id = row.program_id or timing.program_id
        row.program = row.program or self._programs.get((timing.faculty_id, timing.program_id))
        column = "faculty_us" if timing.leg == "program" else f"faculty_{timing.leg}_us"
        if getattr(row, column) is None:
            setattr(row, column, timing.us)
        if timing.leg == "program":
            if row.began_us is None:
                row.began_us = timing.ended_us - timing.us
            if row.told not in DEFINITE:  # what was not definite may become so when the program asks again
                row.told, row.code = timing.status, timing.code or (row.code if timing.status == row.ended else None)

    def tell(self, told: Told) -> None:
        """What a program was told: it outranks what others know of it."""
        row = self._row_of(told.faculty_id, request_id_of(told.transaction_id))
        row.program = told.program
        row.term, row.pattern = told.term or row.term, told.pattern
        row.classrooms, row.labs = told.classrooms, told.labs
        row.told, row.code = told.status, told.code
        row.began_us, row.program_us, row.attempts = told.began_us, told.us, told.attempts

    def _row_of(self, faculty_id: int, request_id: str | bytes) -> Request:
        key = key_of(request_id)
        row = self.requests.get((faculty_id, key))
        if row is None:
            row = self.requests[faculty_id, key] = Request(faculty_id, transaction_id_of(request_id))
            if len(self.requests) > self._requests_max:
                del self.requests[next(iter(self.requests))]
                self.forgotten += 1
        return row

    # -- kept

    def to_plain(self) -> dict[str, Any]:
        """All of it as JSON can carry it; `from_plain` goes on from there."""
        checkpoint = self.checkpoint
        return {
            "checkpoint": {
                "seq": checkpoint.seq,
                "hash": checkpoint.hash.hex(),
                "numbers": [[*source, number] for source, number in checkpoint.numbers.items()],
            },
            "terms": [[number, term] for number, term in self._terms.items()],
            "programs": [[*ids, program] for ids, program in self._programs.items()],
            "recoveries": [recovery._asdict() for recovery in self.recoveries],
            "forgotten": self.forgotten,
            "requests": [{"key": key.hex(), **asdict(row)} for (_, key), row in self.requests.items()],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], requests_max: int = REQUESTS_MAX) -> RequestTimings:
        """What `to_plain` gave. Raises KeyError, TypeError or ValueError if it did not."""
        model = cls(requests_max)
        kept = plain["checkpoint"]
        numbers = {Source(kind, name, since_us): number for kind, name, since_us, number in kept["numbers"]}
        model.checkpoint = Checkpoint(kept["seq"], bytes.fromhex(kept["hash"]), numbers)
        model._terms = dict(plain["terms"])
        model._programs = {(faculty_id, program_id): name for faculty_id, program_id, name in plain["programs"]}
        model.recoveries = [Recovery(**recovery) for recovery in plain["recoveries"]]
        model.forgotten = plain["forgotten"]
        for row in plain["requests"]:
            columns = {name: value for name, value in row.items() if name != "key"}
            model.requests[row["faculty_id"], bytes.fromhex(row["key"])] = Request(**columns)
        return model


def _take_from_server(row: Request, server: str, timing: Timing) -> None:
    """SOL in to RES out is told only where one server saw both: after a takeover nobody measured it."""
    match timing.leg:
        case "sol_prop" if row.server_sol_prop_us is None:
            row.server_sol_prop_us = timing.us
            row.server, row.server_began_us = server, timing.ended_us - timing.us
        case "ack_res" if row.server_ack_res_us is None:
            row.server_ack_res_us = timing.us
            if row.server == server and row.server_began_us is not None:
                row.server_sol_res_us = timing.ended_us - row.server_began_us
        case "sol_res" if row.server_sol_res_us is None:
            row.server, row.server_began_us = server, timing.ended_us - timing.us
            row.server_sol_res_us = timing.us

