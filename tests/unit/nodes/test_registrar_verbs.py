"""Releases and closings at a server's door: who may ask, what comes of it, what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from nodes import wire
from nodes.security import roles
from nodes.security.principals import Principal, faculty, principal
from nodes.wire.schema import Closed, CloseRequest, ReleaseRequest, Res, ServerRequest
from projections.rooms.commands import Answer, Proposal, Reserve
from tests.unit.nodes.simulated_door import ACK, CIE, LIB, SOL, Door, msgpack

OPERATOR, FACULTY, OTHER = principal("operator:ana"), faculty(3), faculty(4)
VERBS = (Reserve, Answer, ReleaseRequest, CloseRequest)
ASKED: dict[type, ServerRequest] = {
    Reserve: SOL, Answer: ACK._replace(faculty_id=3), ReleaseRequest: LIB, CloseRequest: CIE,
}  # fmt: skip
MAY = {"faculty:3": (Reserve, Answer, ReleaseRequest), "operator:ana": (ReleaseRequest, CloseRequest)}
EVERYBODY = (*MAY, "faculty:4", "server:a", "witness", "program:3/*", "program:3/1", "auditor:eva")
"""Those that are let in nowhere near here are refused here, too, should the door ever open to them."""

both_patterns = pytest.mark.parametrize("pattern", ["async", "lbb"])


@pytest.fixture
def door() -> Door:
    """Somebody has asked for rooms, and got them."""
    door = Door(faculties={3: "async"})
    door.say(msgpack(SOL), peer=FACULTY)
    door.say(msgpack(ACK), peer=FACULTY)
    door.core.flush()
    return door


def ask(door: Door, message: ServerRequest, peer: Principal | None, pattern: str = "async") -> Any:
    """The one answer. A REQ peer's passes two workers."""
    door.say(msgpack(message), peer=peer, pattern=pattern)
    for _ in range(2):
        door.work()
    [(_, payload)] = door.core.flush()
    decode = wire.decode_closing if isinstance(message, CloseRequest) else wire.decode_answers
    [answer] = decode(payload).messages
    return answer


def head(door: Door) -> int:
    return door.servers.replica("a").node.chain.head.seq


def newest(door: Door) -> Any:
    """The actor and what it did, of the last event."""
    batch = door.servers.replica("a").node.chain.batch_at(head(door))
    assert batch is not None
    entry = batch.entries[-1]
    return entry.actor, entry.type, entry.body


def counted(door: Door, verb: str, status: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(door.metrics)
    return registry.get_sample_value("aulario_registrar_total", {"verb": verb, "status": status})


@both_patterns
@pytest.mark.parametrize("peer", [FACULTY, OPERATOR], ids=str)
def test_a12_a_release_is_an_event_with_actor_and_reason_and_has_one_result(
    door: Door, peer: Principal, pattern: str
) -> None:
    before = head(door)
    first = ask(door, LIB, peer, pattern)
    assert (first.status, first.code, first.receipt.seq) == ("CANCELED", "RELEASED", before + 1)
    assert newest(door) == (str(peer), "Released", (3, "the roof leaks"))
    assert ask(door, LIB._replace(reason="again"), OPERATOR, pattern) == first
    assert head(door) == before + 1
    assert counted(door, "release", "CANCELED") == 2
    free = ask(door, SOL._replace(transaction_id="t2", classrooms=14, labs=4), FACULTY)
    assert isinstance(free, Proposal), "every room is there to be had again"


@both_patterns
def test_a10_a_closing_says_what_ended_and_has_one_result(door: Door, pattern: str) -> None:
    ask(door, SOL._replace(transaction_id="t2"), FACULTY)
    before = head(door)
    first = ask(door, CIE, OPERATOR, pattern)
    assert first[:5] == ("q1", "2026-1", 2, 1, 1)
    assert newest(door)[:2] == ("operator:ana", "TermClosed")
    again = ask(door, CIE._replace(transaction_id="q2"), principal("operator:eva"), pattern)
    assert again == first._replace(transaction_id="q2")
    assert (first.receipt.seq, head(door)) == (before + 1, before + 1)
    assert counted(door, "close", "ACCEPTED") == 2


def test_what_is_wrong_with_it_is_said(door: Door) -> None:
    before = head(door)
    assert ask(door, LIB._replace(reason=" "), OPERATOR).reason.startswith("reason ")
    assert ask(door, LIB._replace(transaction_id="t9"), OPERATOR).code == "UNKNOWN_TRANSACTION"
    assert ask(door, LIB._replace(faculty_id=4), OPERATOR).code == "UNKNOWN_TRANSACTION"
    unknown = ask(door, CIE._replace(term="2099-1"), OPERATOR)
    assert (unknown.transaction_id, unknown.status, unknown.code) == ("q1", "INVALID", "UNKNOWN_TERM")
    assert head(door) == before
    assert (counted(door, "release", "INVALID"), counted(door, "close", "INVALID")) == (3, 1)
    ask(door, LIB._replace(reason=""), FACULTY)
    assert newest(door)[1] == "Released", "a faculty need not say why it gives its own back"


def test_who_does_not_lead_does_neither() -> None:
    backup = Door("b")
    backup.say(msgpack(LIB, CIE), peer=OPERATOR)
    [(_, payload)] = backup.core.flush()
    assert [res.code for res in wire.decode_closing(payload).messages if isinstance(res, Res)] == ["NOT_ACTIVE"] * 2
    assert (counted(backup, "release", "UNAVAILABLE"), counted(backup, "close", "UNAVAILABLE")) == (1, 1)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", EVERYBODY)
def test_cp11_nobody_asks_for_what_is_not_his(door: Door, name: str, verb: type) -> None:
    before = head(door)
    answer = ask(door, ASKED[verb], principal(name))
    if verb in MAY.get(name, ()):
        assert isinstance(answer, Closed) or answer.code != "FORBIDDEN"
        assert not door.forbidden
    else:
        assert (answer.status, answer.code) == ("INVALID", "FORBIDDEN")
        assert len(door.forbidden) == 1
        assert head(door) == before


def test_cp11_no_key_opens_the_door_to_others() -> None:
    admitted = {name for name in EVERYBODY if roles.admits(roles.REQUESTS, principal(name), principal("server:b"))}
    assert admitted == {"faculty:3", "faculty:4", "operator:ana"}


def test_where_nobody_is_asked_who_he_is_a_release_is_its_facultys(door: Door) -> None:
    assert ask(door, LIB, None).code == "RELEASED"
    assert newest(door)[0] == "faculty:3"
    assert isinstance(ask(door, CIE, None), Closed)
    assert newest(door)[0] == "operator"
