"""What the wire protocol promises to clients written by others, at the requests port, in both encodings."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.process.running_cluster import RunningCluster, wait_for
from tests.process.verdict import Journal, events_of
from tests.process.wire_client import ENCODINGS, JSON, MSGPACK, Clients, Dealer, Message, ack, new_id, sol

CLUSTER = ("--faculties", 0, "--security", "none")
"""As in a laboratory: a connection may speak for any faculty, and is believed."""

SETTINGS = {"AULARIO_TIMING_PROFILE": "slow", "AULARIO_TIMING_ACK_TIMEOUT_MS": "1000"}
"""A hold expires after a second."""

PATTERNS = ("async", "lbb")

per_encoding = pytest.mark.parametrize("encoding", ENCODINGS)
per_pattern = pytest.mark.parametrize("pattern", PATTERNS)


@per_encoding
def test_an_expired_hold_is_pushed_to_the_dealer_that_asked(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, encoding: str
) -> None:
    client = clients.dealer(running.active()["requests"], encoding)
    request = sol(term, 380, 0)
    assert client.ask(request)["tipo"] == "PROP"
    pushed = journal.saw(request["faculty_id"], client.answer(request["transaction_id"]))
    assert (pushed["status"], pushed["code"]) == ("CANCELED", "ACK_TIMEOUT")
    types = [event["type"] for event in events_of(Path(running.active()["data"]), request["transaction_id"])]
    assert types == ["Reserved", "Expired"]
    other = sol(term, 380, 0)
    assert client.ask(other)["tipo"] == "PROP", "the rooms are free again"
    journal.saw(other["faculty_id"], client.ask(ack(other, "REJECT")))


def _has_expired(data: Path, request: Message) -> bool:
    return any(event["type"] == "Expired" for event in events_of(data, request["transaction_id"]))


@per_pattern
@per_encoding
def test_an_answer_after_the_deadline_is_too_late(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str, encoding: str
) -> None:
    server = running.active()
    client = clients.peer(pattern, server["requests"], encoding)
    request = sol(term, 1, 1)
    assert client.ask(request)["tipo"] == "PROP"
    wait_for(lambda: _has_expired(Path(server["data"]), request), "the hold has expired")
    if isinstance(client, Dealer):
        journal.saw(request["faculty_id"], client.answer(request["transaction_id"]))  # pushed
    late = journal.saw(request["faculty_id"], client.ask(ack(request)))
    assert (late["status"], late["code"]) == ("CANCELED", "ACK_TIMEOUT")
    again = journal.saw(request["faculty_id"], clients.peer(pattern, server["requests"], encoding).ask(request))
    assert again["status"] == "CANCELED"


@per_pattern
@per_encoding
def test_repeated_messages_get_the_first_answers(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str, encoding: str
) -> None:
    endpoint = running.active()["requests"]
    client, other = (clients.peer(pattern, endpoint, encoding) for _ in range(2))
    request = sol(term, 7, 2)
    proposal = client.ask(request)
    assert other.ask(request) == proposal
    result = journal.saw(request["faculty_id"], client.ask(ack(request)))
    assert result["status"] == "ACCEPTED"
    for asked in (request, ack(request), ack(request, "REJECT")):
        assert journal.saw(request["faculty_id"], other.ask(asked)) == result
    types = [event["type"] for event in events_of(Path(running.active()["data"]), request["transaction_id"])]
    assert types == ["Reserved", "Confirmed"]


@pytest.mark.parametrize(
    "other",
    [{"salones": 8}, {"laboratorios": 3}, {"program_id": 2}, {"semester": "otro"}, {"parcial": True}],
    ids=lambda other: next(iter(other)),
)
@per_encoding
def test_the_same_id_with_another_body_is_a_conflict(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, encoding: str, other: dict[str, object]
) -> None:
    client = clients.dealer(running.active()["requests"], encoding)
    request = sol(term, 7, 2)
    client.ask(request)
    while_held = client.ask({**request, **other})
    result = journal.saw(request["faculty_id"], client.ask(ack(request)))
    afterwards = client.ask({**request, **other})
    assert (while_held["status"], while_held["code"]) == ("INVALID", "CONFLICT")
    assert (afterwards["status"], afterwards["code"]) == ("INVALID", "CONFLICT")
    assert client.ask({**request, "programa": "Otro nombre"}) == result, "a differing name is no error"


def test_an_answer_that_leaves_out_the_faculty_means_the_one_of_its_connection(
    running: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    endpoint = running.active()["requests"]
    mine = sol(term, 7, 2, faculty_id=601)
    theirs = {**mine, "faculty_id": 602}
    one, two = clients.dealer(endpoint), clients.req(endpoint)
    proposals = one.ask(mine), two.ask(theirs)
    results = (
        journal.saw(601, one.ask(ack(mine, named=False))),
        journal.saw(602, two.ask(ack(theirs, named=False))),
    )
    assert [res["status"] for res in results] == ["ACCEPTED", "ACCEPTED"]
    assert [res["aulas"] for res in results] == [proposal["aulas"] for proposal in proposals]


@per_pattern
def test_on_a_new_connection_it_means_the_only_hold_with_that_id_and_several_are_ambiguous(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, pattern: str
) -> None:
    endpoint = running.active()["requests"]
    only = sol(term, 7, 2)
    clients.peer(pattern, endpoint).ask(only)
    res = journal.saw(only["faculty_id"], clients.peer(pattern, endpoint).ask(ack(only, named=False)))
    assert res["status"] == "ACCEPTED"

    shared = new_id()
    both = [sol(term, 1, 0, transaction_id=shared, faculty_id=faculty_id) for faculty_id in (603, 604)]
    for request in both:
        assert clients.peer(pattern, endpoint).ask(request)["tipo"] == "PROP"
    ambiguous = clients.peer(pattern, endpoint).ask(ack(both[0], named=False))
    assert (ambiguous["status"], ambiguous["code"]) == ("INVALID", "AMBIGUOUS")
    for request in both:
        res = clients.peer(pattern, endpoint).ask(ack(request))
        assert journal.saw(request["faculty_id"], res)["status"] == "ACCEPTED"


@per_pattern
@per_encoding
def test_an_answer_to_nothing_is_an_unknown_transaction(
    running: RunningCluster, clients: Clients, term: str, pattern: str, encoding: str
) -> None:
    client = clients.peer(pattern, running.active()["requests"], encoding)
    for named in (True, False):
        res = client.ask(ack(sol(term, 1, 0), named=named))
        assert (res["status"], res["code"]) == ("INVALID", "UNKNOWN_TRANSACTION")


@per_encoding
def test_an_array_of_mixed_messages_is_answered_message_by_message(
    running: RunningCluster, clients: Clients, journal: Journal, term: str, encoding: str
) -> None:
    client = clients.dealer(running.active()["requests"], encoding)
    held = [sol(term, 1, 0) for _ in range(3)]
    client.send_array(held)
    for request in held:
        assert client.answer(request["transaction_id"])["tipo"] == "PROP"
    fresh, bad, stray = sol(term, 2, 1), sol(term, -1, 0), sol(term, 1, 0)
    client.send_array([ack(held[0]), fresh, bad, ack(held[1], "REJECT"), ack(stray), {"tipo": "SOL"}, ack(held[2])])
    statuses = [
        journal.saw(held[0]["faculty_id"], client.answer(request["transaction_id"]))["status"] for request in held
    ]
    assert statuses == ["ACCEPTED", "CANCELED", "ACCEPTED"]
    assert client.answer(fresh["transaction_id"])["tipo"] == "PROP"
    invalid = client.answer(bad["transaction_id"])
    assert (invalid["status"], invalid["code"]) == ("INVALID", "BAD_FIELD") and "salones" in invalid["reason"]
    assert client.answer(stray["transaction_id"])["code"] == "UNKNOWN_TRANSACTION"
    journal.saw(fresh["faculty_id"], client.ask(ack(fresh)))


@per_encoding
def test_a_request_reply_peer_gets_all_answers_to_an_array_in_one(
    running: RunningCluster, clients: Clients, term: str, encoding: str
) -> None:
    client = clients.req(running.active()["requests"], encoding)
    requests = [sol(term, 1, 0) for _ in range(5)]
    client.send(requests)
    answers = client.answers()
    assert {one["transaction_id"] for one in answers} == {one["transaction_id"] for one in requests}
    assert {one["tipo"] for one in answers} == {"PROP"}
    client.send([ack(one, "REJECT") for one in requests])
    assert [one["status"] for one in client.answers()] == ["CANCELED"] * 5


def test_a_peer_that_sends_no_arrays_gets_none(running: RunningCluster, clients: Clients, term: str) -> None:
    for encoding in ENCODINGS:
        client = clients.dealer(running.active()["requests"], encoding)
        requests = [sol(term, 1, 0) for _ in range(50)]
        client.send(*requests)
        for request in requests:
            assert client.answer(request["transaction_id"])["tipo"] == "PROP"
        assert client.payloads_of_many == 0


def test_one_connection_may_speak_both_encodings(
    running: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    client = clients.req(running.active()["requests"])
    request = sol(term, 1, 0)
    for encoding, message in itertools.zip_longest((JSON, MSGPACK, JSON), (request, request, ack(request))):
        client.encoding = encoding
        answer = client.ask(message)
    assert journal.saw(request["faculty_id"], answer)["status"] == "ACCEPTED"


@per_pattern
@per_encoding
def test_the_passive_server_refuses_and_names_the_active_one(
    running: RunningCluster, clients: Clients, term: str, pattern: str, encoding: str
) -> None:
    active, passive = running.active(), running.passive()
    res = clients.peer(pattern, passive["requests"], encoding).ask(sol(term, 1, 0))
    assert (res["status"], res["code"], res["activo"]) == ("UNAVAILABLE", "NOT_ACTIVE", active["requests"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("salones", -1), ("salones", 1001), ("salones", True), ("salones", 7.0), ("salones", "7"), ("salones", None),
        ("laboratorios", -1), ("laboratorios", 1001), ("faculty_id", -1), ("faculty_id", "1"), ("program_id", 2**40),
        ("programa", ""), ("programa", "x" * 201), ("facultad", 5), ("semester", "x" * 201), ("parcial", 1),
        ("tipo", "HOLA"), ("tipo", None),
    ],
)  # fmt: skip
@per_encoding
def test_a_field_outside_its_limits_is_named(
    running: RunningCluster, clients: Clients, term: str, encoding: str, field: str, value: object
) -> None:
    client = clients.dealer(running.active()["requests"], encoding)
    res = client.ask(sol(term, 1, 1, **{field: value}))
    assert (res["status"], res["code"]) == ("INVALID", "BAD_FIELD")
    assert field in res["reason"]


@per_encoding
def test_nothing_asked_and_a_repeated_key_are_invalid(
    running: RunningCluster, clients: Clients, term: str, encoding: str
) -> None:
    client = clients.dealer(running.active()["requests"], encoding)
    assert client.ask(sol(term, 0, 0))["code"] == "BAD_FIELD"
    transaction_id = new_id()
    payloads = {
        JSON: b'{"tipo":"ACK","transaction_id":"%s","confirm":"ACCEPT","confirm":"REJECT"}' % transaction_id.encode(),
        MSGPACK: b"\x84\xa4tipo\xa3ACK\xaetransaction_id\xd9\x24%s\xa7confirm\xa6ACCEPT\xa7confirm\xa6REJECT"
        % transaction_id.encode(),
    }
    client.send_payload(payloads[encoding])
    assert client.answer(transaction_id)["status"] == "INVALID"
