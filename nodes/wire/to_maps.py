"""Messages to maps (PROTOCOL.md, wire); from maps they come in nodes.wire.schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from nodes.wire.schema import Closed, CloseRequest, ProgramRequest, Receipt, ReleaseRequest, Res, ServerRequest
from projections.rooms.commands import ACCEPTED, Answer, Proposal, Reserve

AnyMessage: TypeAlias = ServerRequest | Proposal | Res | Closed | ProgramRequest


def _reserve_fields(reserve: Reserve) -> dict[str, Any]:
    """SOL."""
    fields = {
        "tipo": "SOL",
        "transaction_id": reserve.transaction_id,
        "faculty_id": reserve.faculty_id,
        "facultad": reserve.faculty,
        "program_id": reserve.program_id,
        "programa": reserve.program,
        "semester": reserve.term,
        "salones": reserve.classrooms,
        "laboratorios": reserve.labs,
    }
    if reserve.partial:
        fields["parcial"] = True
    return fields


def _answer_fields(answer: Answer) -> dict[str, Any]:
    """ACK."""
    fields: dict[str, Any] = {
        "tipo": "ACK",
        "transaction_id": answer.transaction_id,
        "confirm": "ACCEPT" if answer.accept else "REJECT",
    }
    if answer.faculty_id is not None:
        fields["faculty_id"] = answer.faculty_id
    return fields


def _release_fields(release: ReleaseRequest) -> dict[str, Any]:
    """LIB."""
    return {
        "tipo": "LIB",
        "transaction_id": release.transaction_id,
        "faculty_id": release.faculty_id,
        "reason": release.reason,
    }


def _close_fields(close: CloseRequest) -> dict[str, Any]:
    """CIE."""
    return {"tipo": "CIE", "transaction_id": close.transaction_id, "semester": close.term}


def _closed_fields(closed: Closed) -> dict[str, Any]:
    """CER."""
    return {
        "tipo": "CER",
        "transaction_id": closed.transaction_id,
        "semester": closed.term,
        "salones": closed.classrooms,
        "laboratorios": closed.labs,
        "reservas": closed.holds,
        "recibo": _receipt_fields(closed.receipt),
    }


def _proposal_fields(proposal: Proposal) -> dict[str, Any]:
    """PROP."""
    transaction_id, classrooms, labs, mobile, deadline_us = proposal
    return {
        "tipo": "PROP",
        "transaction_id": transaction_id,
        "data": {
            "salones_propuestos": len(classrooms),
            "laboratorios_propuestos": len(labs),
            "aulas_moviles": len(mobile),
        },
        "aulas": classrooms,
        "laboratorios": labs,
        "moviles": mobile,
        "vence": deadline_us,
    }


def _res_fields(res: Res) -> dict[str, Any]:
    """RES. Optional fields that are None are left out."""
    transaction_id, status, code, reason, classrooms, labs, mobile, receipt, active = res
    fields: dict[str, Any] = {"tipo": "RES", "transaction_id": transaction_id, "status": status}
    if code is not None:
        fields["code"] = code
    if reason is not None:
        fields["reason"] = reason
    if active is not None:
        fields["activo"] = active
    if status == ACCEPTED:
        fields["salones_propuestos"] = len(classrooms)
        fields["laboratorios_propuestos"] = len(labs)
        fields["aulas_moviles"] = len(mobile)
        fields["aulas"] = classrooms
        fields["laboratorios"] = labs
        fields["moviles"] = mobile
    if receipt is not None:
        fields["recibo"] = _receipt_fields(receipt)
    return fields


def _receipt_fields(receipt: Receipt) -> dict[str, Any]:
    epoch, seq, digest, copies = receipt
    return {"epoch": epoch, "seq": seq, "hash": digest, "copias": copies}


def _program_request_fields(request: ProgramRequest) -> dict[str, Any]:
    """A program's request."""
    fields: dict[str, Any] = {
        "programa": request.program,
        "salones": request.classrooms,
        "laboratorios": request.labs,
    }
    if request.term is not None:
        fields["semestre"] = request.term
    if request.transaction_id is not None:
        fields["transaction_id"] = request.transaction_id
    if request.partial:
        fields["parcial"] = True
    return fields


_FIELDS: Final[Mapping[type[Any], Callable[[Any], dict[str, Any]]]] = {
    Reserve: _reserve_fields,
    Answer: _answer_fields,
    Proposal: _proposal_fields,
    Res: _res_fields,
    ReleaseRequest: _release_fields,
    CloseRequest: _close_fields,
    Closed: _closed_fields,
    ProgramRequest: _program_request_fields,
}


def fields_of(message: AnyMessage) -> dict[str, Any]:
    """The map that a message is on the wire."""
    return _FIELDS[type(message)](message)
