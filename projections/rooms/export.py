"""Committed events spelled out for people and other programs: what `aulario log export` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from es.codec import Batch, Entry
from es.replication import events as kernel
from projections.rooms import events
from projections.rooms.catalog import Catalog, Room
from projections.rooms.identity import transaction_id_of
from projections.rooms.machine import NAME
from projections.rooms.policy import POLICY_NAMES
from projections.rooms.upcast import UPCASTER

Body = dict[str, Any]


class Exporter:
    """Fed every committed batch from sequence number 1 in order, gives one JSON-ready dict per event:

        {seq, epoch, ts (µs), actor, type, hash (of the batch, hex), body}

    Room ids, terms, programs and policies appear by name, deadlines in µs; every body with a
    `transaction_id` has a `faculty_id`. A body of another application is a list.
    """

    def __init__(self) -> None:
        self._next_seq = 1
        self._catalogs: dict[str, Catalog] = {}
        self._terms: dict[int, tuple[str, Catalog]] = {}
        self._programs: dict[tuple[int, int], str] = {}

    def feed(self, batch: Batch) -> Iterator[Body]:
        """The events of the next batch. Raises UnknownEvent."""
        assert batch.first_seq == self._next_seq, f"expected seq {self._next_seq}, not {batch.first_seq}"
        self._next_seq = batch.last_seq + 1
        digest = batch.hash.hex()
        for entry in batch.entries:
            yield {
                "seq": batch.first_seq + entry.offset,
                "epoch": batch.epoch,
                "ts": batch.ts_us,
                "actor": entry.actor,
                "type": entry.type,
                "hash": digest,
                "body": self._body(entry, batch.ts_us),
            }

    def _body(self, entry: Entry, ts_us: int) -> Any:
        if entry.application == kernel.APPLICATION:
            return _plain(kernel.read(entry)._asdict())
        if entry.application != NAME:
            return _plain(entry.body)
        body = UPCASTER.current(entry.type, entry.version, entry.body)
        record = events.TYPES[entry.type]._make(body)
        return self._spell(record, entry.request_id, ts_us)

    def _spell(self, record: events.Record, request_id: str | bytes, ts_us: int) -> Body:
        match record:
            case events.CatalogAdopted():
                catalog = Catalog.of(map(Room._make, record.rooms))
                self._catalogs[record.catalog_id] = catalog
                return {"catalog_id": record.catalog_id, "rooms": _rooms(catalog)}
            case events.TermOpened():
                catalog = self._catalogs[record.catalog_id]
                self._terms[record.number] = record.term, catalog
                return {"term": record.term, "catalog_id": record.catalog_id, "rooms": _rooms(catalog)}
            case events.TermClosed():
                return {"term": self._terms[record.number][0]}
            case events.ProgramRegistered():
                self._programs[record.faculty_id, record.program_id] = record.program
                return record._asdict()
            case events.FacultyRegistered() | events.AlertRaised():
                return record._asdict()
            case events.Reserved():
                return self._asked(record, request_id) | self._held(record, ts_us)
            case events.Denied():
                return self._asked(record, request_id) | {"code": record.code}
            case _:
                return {"transaction_id": transaction_id_of(request_id)} | record._asdict()

    def _asked(self, record: events.Reserved | events.Denied, request_id: str | bytes) -> Body:
        return {
            "transaction_id": transaction_id_of(request_id),
            "faculty_id": record.faculty_id,
            "program_id": record.program_id,
            "program": self._programs[record.faculty_id, record.program_id],
            "term": self._terms[record.term][0],
            "asked": {"classrooms": record.asked_classrooms, "labs": record.asked_labs},
            "partial": record.partial,
            "policy": POLICY_NAMES[record.policy],
        }

    def _held(self, record: events.Reserved, ts_us: int) -> Body:
        catalog = self._terms[record.term][1]
        return {
            "classrooms": list(catalog.names(record.classrooms)),
            "labs": list(catalog.names(record.labs)),
            "mobile": list(catalog.names(record.mobile)),
            "deadline": ts_us + record.hold_ms * 1_000,
        }


def _rooms(catalog: Catalog) -> list[Body]:
    return [room._asdict() for room in catalog.rooms]


def _plain(value: Any) -> Any:
    """Plain data of a log as JSON can carry it: bytes become hex."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value
