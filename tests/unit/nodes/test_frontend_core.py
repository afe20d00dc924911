"""The pure core of a server's door: payloads in, commands to the kernel, payloads out."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from es.codec import Batch, Stamp
from nodes import wire
from nodes.server.admission import nobody
from nodes.server.frontend_core import FrontendCore
from nodes.server.metrics import PATTERNS, TERMS_SHOWN_MAX, ServerMetrics
from nodes.wire.encoding import Encoding
from nodes.wire.schema import SERVER_STATUSES, Res
from ops.sim.small_rooms import HOLD_MS
from projections.rooms.commands import Answer, Proposal, Reserve
from tests.unit.nodes.simulated_door import ACK, ENDPOINTS, SOL, Door, msgpack


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_sol_is_answered_by_its_proposal_and_an_ack_by_its_result(door: Door) -> None:
    door.say(msgpack(SOL))
    [(route, [proposal])] = door.hear()
    assert isinstance(proposal, Proposal)
    assert (route, len(proposal.classrooms), len(proposal.labs)) == (b"r", 2, 1)
    door.say(msgpack(ACK._replace(faculty_id=3)))
    [(_, [res])] = door.hear()
    assert (res.status, res.classrooms, res.receipt.copies) == ("ACCEPTED", proposal.classrooms, 2)


def test_an_ack_without_faculty_means_the_one_that_spoke_on_its_connection(door: Door) -> None:
    door.say(msgpack(SOL), route=b"three")
    door.say(msgpack(SOL._replace(faculty_id=4)), route=b"four")
    door.hear()
    door.say(msgpack(ACK), route=b"four")
    door.say(msgpack(ACK), route=b"three")
    assert [(route, res.status) for route, [res] in door.hear()] == [(b"four", "ACCEPTED"), (b"three", "ACCEPTED")]


def test_who_does_not_lead_names_who_does() -> None:
    door = Door("b")
    door.take(msgpack(SOL))
    [(_, [res])] = door.hear()
    assert (res.status, res.code, res.active) == ("UNAVAILABLE", "NOT_ACTIVE", ENDPOINTS["a"])


def test_who_speaks_in_arrays_is_answered_in_arrays_and_in_its_encoding(door: Door) -> None:
    door.say(msgpack(SOL, SOL._replace(transaction_id="t2")))
    [(_, answers)] = door.hear()
    assert [answer.transaction_id for answer in answers] == ["t1", "t2"]
    door.say(wire.encode(SOL, Encoding.JSON), wire.encode(SOL, Encoding.JSON))
    payloads = [payload for _, payload in door.core.flush()]
    assert len(payloads) == 2
    assert all(payload.startswith(b"{") for payload in payloads)


@pytest.mark.parametrize("workers_for_all", [False, True])
def test_a_req_peer_is_served_by_workers_and_gets_all_its_answers_in_one_payload(workers_for_all: bool) -> None:
    door = Door(workers_for_all=workers_for_all)
    pattern = "async" if workers_for_all else "lbb"
    door.say(msgpack(SOL, SOL._replace(transaction_id="t2")), pattern=pattern)
    assert (len(door.jobs), door.hear()) == (1, [])
    door.work()
    assert (len(door.jobs), door.hear()) == (1, [])
    door.work()
    [(_, answers)] = door.hear()
    assert [answer.transaction_id for answer in answers] == ["t1", "t2"]


def test_what_a_full_pool_of_workers_would_decode_waits(door: Door) -> None:
    door.full = True
    door.say(msgpack(SOL), pattern="lbb")
    door.say(msgpack(SOL._replace(transaction_id="t2")), route=b"other")
    assert [(route, answer.transaction_id) for route, [answer] in door.hear()] == [(b"other", "t2")]
    door.full = False
    door.servers.run(door.admit)
    assert len(door.jobs) == 1


def test_what_is_malformed_is_answered_if_it_can_be_and_counted(door: Door) -> None:
    door.say(b'{"tipo":"SOL","transaction_id":"t1"}', b"\xc1")
    [(_, [res])] = door.hear()
    assert (res.status, res.code) == ("INVALID", "BAD_FIELD")
    assert (door.core.ignored["bad field"], door.core.ignored["not_encoded"]) == (1, 1)


def test_every_result_is_counted_once_by_what_it_answers_and_who_asked() -> None:
    door = Door(faculties={3: "async"})
    registry = CollectorRegistry()
    registry.register(door.metrics)

    def results(status: str, faculty: str, pattern: str = "async") -> float | None:
        labels = {"status": status, "pattern": pattern, "faculty": faculty}
        return registry.get_sample_value("aulario_results_total", labels)

    def legs(leg: str) -> float | None:
        return registry.get_sample_value("aulario_request_seconds_count", {"leg": leg, "pattern": "async"})

    door.take(msgpack(SOL._replace(transaction_id="t0")))
    assert registry.get_sample_value("aulario_inflight") == 1
    door.servers.run(lambda: None)
    door.release()
    assert {results(status, "3") for status in SERVER_STATUSES} == {0}
    assert {results(status, "other", pattern) for status in SERVER_STATUSES for pattern in PATTERNS} == {0}
    door.say(msgpack(SOL))
    assert (legs("sol_prop"), legs("sol_res"), legs("ack_res")) == (2, 0, 0)
    assert registry.get_sample_value("aulario_inflight") == 0
    door.say(msgpack(ACK))
    door.say(msgpack(SOL))  # again: answered with what stands
    assert (legs("sol_prop"), legs("sol_res"), legs("ack_res")) == (2, 1, 1)
    assert results("ACCEPTED", "3") == 2
    assert registry.get_sample_value("aulario_duplicates_total") == 1
    door.say(msgpack(SOL._replace(transaction_id="t2", faculty_id=77, classrooms=900)))
    door.say(b'{"tipo":"SOL","transaction_id":"t3"}')
    assert (results("DENIED", "other"), results("INVALID", "other"), results("DENIED", "77")) == (1, 1, None)


def test_refusals_are_counted_by_code() -> None:
    backup = Door("b")
    backup.take(msgpack(SOL))
    assert backup.metrics.refusals == {"BUSY": 0, "LIMIT_REACHED": 0, "NOT_ACTIVE": 1}
    primary = Door()
    primary.say(msgpack(*(SOL._replace(transaction_id=f"t{i}", labs=0, classrooms=1) for i in range(6))))
    assert primary.metrics.refusals == {"BUSY": 1, "LIMIT_REACHED": 0, "NOT_ACTIVE": 0}, "a faculty holds five of nine"


def test_the_rooms_of_the_terms_with_most_taken_are_shown_by_state(door: Door) -> None:
    registry = CollectorRegistry()
    registry.register(door.metrics)

    def rooms(term: str, kind: str) -> dict[str, float | None]:
        states = ("free", "held", "confirmed", "mobile")
        return {
            state: registry.get_sample_value("aulario_rooms", {"term": term, "kind": kind, "state": state})
            for state in states
        }

    door.say(msgpack(SOL._replace(labs=5)))
    assert rooms("2026-1", "classroom") == {"free": 11, "held": 3, "confirmed": 0, "mobile": 1}
    assert rooms("2026-1", "lab") == {"free": 0, "held": 4, "confirmed": 0, "mobile": 0}
    door.say(msgpack(ACK))
    assert rooms("2026-1", "classroom") == {"free": 11, "held": 0, "confirmed": 3, "mobile": 1}
    for i in range(TERMS_SHOWN_MAX):
        ask = SOL._replace(transaction_id=f"n{i}", term=f"new-{i}", classrooms=1, labs=0)
        door.say(msgpack(ask))
        door.say(msgpack(ACK._replace(transaction_id=f"n{i}")))
    assert rooms("2026-1", "lab")["free"] == 0, "whoever opens terms for nothing hides none that is used"
    assert rooms("new-0", "classroom")["free"] is None, "the oldest of the emptiest is not shown"
    assert rooms("new-7", "classroom")["free"] == 13


def test_the_terms_of_the_configuration_are_always_shown_and_every_bound(door: Door) -> None:
    registry = CollectorRegistry()
    registry.register(ServerMetrics(door.servers.replica("a"), terms=["2026-1", "2026-2"]))
    asked = [SOL] + [SOL._replace(transaction_id=f"n{i}", term=f"n{i}", classrooms=4) for i in range(TERMS_SHOWN_MAX)]
    for ask in asked:
        door.say(msgpack(ask))
        door.say(msgpack(ACK._replace(transaction_id=ask.transaction_id, accept=ask is not SOL)))
    labels = {"term": "2026-1", "kind": "classroom", "state": "free"}
    assert registry.get_sample_value("aulario_rooms", labels) == 14, "though nothing of it is taken"
    shown = {sample.labels["term"] for family in registry.collect() for sample in family.samples
             if family.name == "aulario_rooms"}  # fmt: skip
    assert len(shown) == TERMS_SHOWN_MAX
    used = {bound: registry.get_sample_value("aulario_bound_used_ratio", {"bound": bound}) for bound in (
        "open_terms", "terms_ever", "transactions", "transactions_per_term", "holds", "faculties", "programs",
    )}  # fmt: skip
    assert used["open_terms"] == 9 / 3_072
    assert used["transactions_per_term"] == 1 / 1_000_000
    assert all(ratio is not None for ratio in used.values())


def test_what_committed_before_this_process_began_is_not_counted_again(door: Door) -> None:
    door.servers.run(door.take, msgpack(SOL._replace(labs=9)))
    history = [batch for one in door.servers.committed for batch in one.batches]
    again: FrontendCore[bytes] = FrontendCore(
        door.servers.replica("a"),
        door,
        door.metrics,
        lambda route, why: None,
        nobody,
        requests_of=ENDPOINTS.__getitem__,
        workers_for_all=False,
    )
    assert again.on_committed(history) == []
    assert door.metrics.alerts["LABS_EXHAUSTED"] == 0


def told_of_an_expiry(door: Door) -> tuple[Door, list[Batch]]:
    """A backup with nothing behind it, and what its primary has committed, the end of a hold included."""
    door.say(msgpack(SOL))
    door.servers.cluster.run_for(2 * HOLD_MS * 1_000)
    backup = Door("b")
    backup.core._history_seq = 0
    return backup, [batch for one in door.servers.committed for batch in one.batches]


def test_what_a_backup_was_not_there_for_is_no_news_to_it(door: Door) -> None:
    """It is filled anew, or was away: what happened meanwhile raises no alert once more."""
    backup, batches = told_of_an_expiry(door)
    backup.core._replica.started_wall_us = batches[-1].ts_us + 1
    backup.core.on_committed(batches)
    assert backup.metrics.holds_expired == 0


def test_the_receipt_of_a_repetition_is_had_without_decoding_what_is_around_it(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch may have a thousand events, and a peer may repeat itself as often as it likes."""
    door.say(msgpack(SOL))
    door.say(msgpack(ACK))
    [_, (_, [first])] = door.hear()
    assert isinstance(first, Res) and first.receipt is not None
    log = door.servers.replica("a").node.chain.log
    asked: list[int] = []
    stamp_at = log.stamp_at
    def look(seq: int) -> Stamp | None:
        asked.append(seq)
        return stamp_at(seq)

    monkeypatch.setattr(log, "stamp_at", look)
    door.say(msgpack(*[ACK] * 50))
    [(_, again)] = door.hear()
    assert [one.receipt for one in again if isinstance(one, Res)] == [first.receipt] * 50
    assert len(asked) == 1, "one look for all that stand in one batch"


def test_an_expiry_is_pushed_to_a_lasting_connection_only(door: Door) -> None:
    door.say(msgpack(SOL))
    door.say(msgpack(SOL._replace(transaction_id="t2")), pattern="lbb")
    door.work()
    door.work()
    door.hear()
    door.servers.cluster.run_for(2 * HOLD_MS * 1_000)
    door.release()
    [(route, [res])] = door.hear()
    assert isinstance(res, Res)
    assert (route, res.transaction_id, res.status, res.code) == (b"r", "t1", "CANCELED", "ACK_TIMEOUT")
    assert res.receipt is not None
    assert door.metrics.holds_expired == 2


@pytest.mark.parametrize("pattern", ["async", "lbb"])
def test_the_result_of_an_expiry_is_counted_once_whoever_hears_of_it(pattern: str) -> None:
    door = Door(faculties={3: pattern})
    for transaction_id in ("t1", "t2"):
        door.say(msgpack(SOL._replace(transaction_id=transaction_id)), pattern=pattern)
        door.work()
    door.servers.cluster.run_for(2 * HOLD_MS * 1_000)
    door.release()
    assert door.metrics._results["CANCELED", pattern, 3] == door.metrics.holds_expired == 2
    for route in (b"r", b"r", b"new"):  # where nobody has said yet which faculty speaks
        door.say(msgpack(ACK), pattern=pattern, route=route)
        door.work()
    assert sum(door.metrics._results.values()) == 2, "told again, to who was late"
    assert door.metrics.duplicates == 3


def test_a_server_that_follows_counts_no_results(door: Door) -> None:
    backup, batches = told_of_an_expiry(door)
    backup.core.on_committed(batches)
    assert backup.metrics.holds_expired == 1
    assert sum(backup.metrics._results.values()) == 0


def test_alerts_are_given_once_they_have_committed(door: Door) -> None:
    door.servers.run(door.take, msgpack(SOL._replace(labs=9)))
    alerts = [alert for one in door.servers.committed for alert in door.core.on_committed(one.batches)]
    assert [(alert.code, alert.term) for alert in alerts] == [("LABS_EXHAUSTED", "2026-1")]
    assert door.metrics.alerts["LABS_EXHAUSTED"] == 1


@pytest.mark.parametrize("pattern", ["async", "lbb"])
@pytest.mark.parametrize("message", [SOL, ACK._replace(faculty_id=3)], ids=["sol", "ack"])
def test_cp11_a_faculty_speaks_for_no_other(door: Door, pattern: str, message: Reserve | Answer) -> None:
    before = door.servers.replica("a").node.chain.head
    door.say(msgpack(message), pattern=pattern, faculty_id=4)
    door.work()
    door.work()
    [(_, [res])] = door.hear()
    assert (res.status, res.code) == ("INVALID", "FORBIDDEN")
    assert door.forbidden == [(b"r", "the key of faculty 4 does not speak for faculty 3")]
    assert door.servers.replica("a").node.chain.head == before


def test_cp11_an_answer_that_names_nobody_is_its_connections(door: Door) -> None:
    """Not that of another faculty with a hold of the same id."""
    door.say(msgpack(SOL), faculty_id=3)
    door.say(msgpack(ACK), route=b"other", faculty_id=4)
    door.say(msgpack(ACK), faculty_id=3)
    results = {(route, res.status, res.code) for route, [res] in door.hear() if not isinstance(res, Proposal)}
    assert results == {(b"other", "INVALID", "UNKNOWN_TRANSACTION"), (b"r", "ACCEPTED", None)}
    assert not door.forbidden
