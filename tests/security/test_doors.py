"""CP11: whoever has no known key, or one of another role, gets no word in and hears none, at any door there is; and who
is let in speaks for himself alone."""

from __future__ import annotations

import signal
from functools import partial

import pytest

from es.replication.messages import (
    Ack,
    Batches,
    Beacon,
    BeaconAck,
    CompareAndSwap,
    Fetch,
    Frame,
    Granted,
    Heartbeat,
    Member,
    Message,
    Mismatch,
    Prevote,
    Register,
    Registered,
    RolledBack,
)
from tests.process.running_cluster import RunningCluster, wait_for
from tests.process.verdict import Journal
from tests.process.wire_client import JSON, MSGPACK, Clients, ack, cie, dump, lib, load, new_id, sol
from tests.process.wire_client import Message as WireMessage
from tests.security.doors import (
    BATCHES,
    BEACONS,
    DOORS,
    HEARTBEATS,
    PROGRAMS,
    REPAIR,
    REQUESTS,
    SUBSCRIBED,
    WITNESS,
    Place,
    handled,
    packed,
    places,
    told,
)
from tests.security.visitors import STRANGERS, Socket, Visitors

ANSWER_MS = 20_000
SILENCE_MS = 300

EVERYBODY = (
    "server:a", "server:b", "server:c", "witness", "faculty:1", "faculty:501", "program:1/1", "program:1/*",
    "program:2/*", "operator:ana", "auditor:local",
)  # fmt: skip
SERVERS = {"server:a", "server:b"}
STRANGE_SERVER = "server:c"
"""Its key is allowed, and the configuration does not name it."""

MAY_COME = {
    "requests": {"faculty:1", "faculty:501", "operator:ana"},
    "heartbeats": {*SERVERS, "faculty:1", "faculty:501", "operator:ana", "auditor:local"},
    "batches": SERVERS,
    "beacons": SERVERS,
    "repair": SERVERS,
    "witness": SERVERS,
    "programs": {"program:1/1", "program:1/*"},
}
"""Of a server's own doors only others: it is no peer of itself."""

SERVERS_ONLY = (BATCHES, BEACONS, REPAIR, WITNESS)
per_door = pytest.mark.parametrize("door", DOORS)


class Polite:
    """A faculty whose transaction goes on while somebody else is refused."""

    def __init__(self, running: RunningCluster, clients: Clients, journal: Journal, term: str) -> None:
        self._client = clients.dealer(running.active()["requests"])
        self._journal = journal
        self._request = sol(term, 2, 1)
        assert self._client.ask(self._request)["tipo"] == "PROP"

    def end(self) -> None:
        """Its rooms are confirmed, and it gets others."""
        assert self._ended(self._request)["status"] == "ACCEPTED"
        again = {**self._request, "transaction_id": new_id()}
        assert self._client.ask(again)["tipo"] == "PROP"
        assert self._ended(again)["status"] == "ACCEPTED"

    def _ended(self, request: WireMessage) -> WireMessage:
        return self._journal.saw(request["faculty_id"], self._client.ask(ack(request)))


@pytest.fixture
def polite(running: RunningCluster, clients: Clients, journal: Journal, term: str) -> Polite:
    """A transaction that began before the test."""
    return Polite(running, clients, journal, term)


@pytest.fixture
def at(running: RunningCluster) -> dict[str, Place]:
    """The doors."""
    return dict(places(running))


def hears_nothing(visitors: Visitors, place: Place, strangers: list[Socket]) -> bool:
    """None of them has got anything, where somebody who may come, comes later and has."""
    if place.door in SUBSCRIBED and place.door != "batches":  # a batch is published when somebody asks for something
        assert visitors.come_as(place.admitted, place).poll(ANSWER_MS)
    return not any(stranger.poll(0) for stranger in strangers)


@per_door
@pytest.mark.parametrize("kind", STRANGERS)
def test_cp11_a_stranger_is_refused_and_counted_and_nothing_is_exchanged(
    running: RunningCluster, visitors: Visitors, polite: Polite, at: dict[str, Place], door: str, kind: str
) -> None:
    place, reasons = at[door], STRANGERS[kind][1]
    refused, before = place.refused(), handled(running)
    stranger = visitors.stranger(kind, place)
    wait_for(lambda: place.refused() != refused, f"{kind} refused at {door}")
    assert handled(running) == before
    polite.end()
    assert hears_nothing(visitors, place, [stranger])
    counted = {reason: count - refused[reason] for reason, count in place.refused().items() if count != refused[reason]}
    assert list(counted.values()) == [1] and counted.keys() <= reasons, "once, and for that reason"


@per_door
def test_cp11_a_key_opens_no_door_of_another_role(
    running: RunningCluster, visitors: Visitors, polite: Polite, at: dict[str, Place], door: str
) -> None:
    place = at[door]
    strange = {STRANGE_SERVER} if door in SERVERS_ONLY or door == HEARTBEATS else set()
    wrong = [one for one in EVERYBODY if one not in MAY_COME[door] | strange or one == place.owner]
    expected, before = place.refused()["wrong_role"] + len(wrong), handled(running)
    came = [visitors.come_as(one, place) for one in wrong]
    wait_for(lambda: place.refused()["wrong_role"] >= expected, f"{len(wrong)} refused at {door}")
    assert handled(running) == before
    polite.end()
    assert hears_nothing(visitors, place, came)
    assert place.refused()["wrong_role"] == expected


@pytest.mark.parametrize("door", [HEARTBEATS, *SERVERS_ONLY])
def test_cp11_a_server_that_the_configuration_does_not_name_comes_nowhere(
    running: RunningCluster, visitors: Visitors, polite: Polite, at: dict[str, Place], door: str
) -> None:
    place, before = at[door], handled(running)
    expected = place.refused()["not_configured"] + 1
    came = visitors.come_as(STRANGE_SERVER, place)
    wait_for(lambda: place.refused()["not_configured"] >= expected, f"{STRANGE_SERVER} refused at {door}")
    assert handled(running) == before
    polite.end()
    assert hears_nothing(visitors, place, [came])
    assert place.refused()["not_configured"] == expected


@per_door
def test_cp11_whoever_may_come_is_heard_or_hears(
    running: RunningCluster, visitors: Visitors, polite: Polite, at: dict[str, Place], door: str
) -> None:
    """What the tests above would see if a door let somebody in."""
    place = at[door]
    before, refused = handled(running), place.refused()
    came = visitors.come_as(place.admitted, place)
    if door in SUBSCRIBED:
        wait_for(partial(_asks_and_hears, came, polite), f"something said at {door}")
    else:
        wait_for(lambda: handled(running) != before, f"what is no message is counted at {door}")
    if door in (REQUESTS, WITNESS, PROGRAMS):
        assert came.poll(ANSWER_MS)
    assert place.refused() == refused


def _asks_and_hears(subscriber: Socket, polite: Polite) -> bool:
    polite.end()
    return bool(subscriber.poll(100))


@per_door
def test_cp11_a_refusal_is_logged_with_address_and_key(
    visitors: Visitors, at: dict[str, Place], door: str
) -> None:
    """Of many in one second only the first are told one by one: come again until it is."""
    place = at[door]

    def is_told(principal: str) -> bool:
        before, count = place.refused()["wrong_role"], len(told(place))
        visitors.come_as(principal, place)
        wait_for(lambda: place.refused()["wrong_role"] > before, f"{principal} refused at {door}")
        return any(
            line["level"] == "warning" and line["reason"] == "wrong_role" and line["address"].startswith("127.0.0.1")
            and line["key"].startswith(f"{principal}#")
            for line in told(place)[count:]
        )  # fmt: skip

    wait_for(partial(is_told, "program:2/*"), "a line that says whose key it was")


# --- in another's name

HASH = bytes(32)


def not_a_servers(cluster_id: str, own: Member) -> list[Message]:
    """What no server says at these doors, not even in its own name."""
    register = Register(cluster_id, 9, own, (own,), 1)
    return [
        Frame(cluster_id, 9, 9, b""), Beacon(register, 9, HASH, 9, 9, 9), Batches(cluster_id, 9, 9, 0, HASH, 9, ()),
        Mismatch(cluster_id, 9, HASH, 9, HASH), RolledBack(cluster_id, 9, own, 9), Granted(cluster_id, 9, own),
        Registered(register, 9),
    ]  # fmt: skip


def forged(door: str, cluster_id: str, own: Member, another: Member) -> list[Message]:
    """In another's name, then of another role."""

    def of_a_follower(member: Member) -> list[Message]:
        acks = Ack(cluster_id, 9, member, 9, HASH), BeaconAck(cluster_id, 9, member, 9, 9, HASH, 9)
        return [*acks, Fetch(cluster_id, 9, member, 0, HASH)]

    def to_the_witness(member: Member) -> list[Message]:
        swap = CompareAndSwap(cluster_id, 9, member, member, (member,), "", 9)
        return [Heartbeat(cluster_id, 9, member), Prevote(cluster_id, 9, member), swap]

    his, others = (of_a_follower, to_the_witness) if door == REPAIR else (to_the_witness, of_a_follower)
    return [*his(another), *not_a_servers(cluster_id, own), *others(own)]


@pytest.mark.parametrize("door", [REPAIR, WITNESS])
@pytest.mark.parametrize("another", ["the active one", "c"])
def test_cp11_a_server_speaks_for_no_other_and_not_as_another_role(
    running: RunningCluster, visitors: Visitors, polite: Polite, at: dict[str, Place], door: str, another: str
) -> None:
    place, register = at[door], running.status()["witness"]
    own = Member(place.admitted.partition(":")[2], "i")
    name = running.active()["name"] if another == "the active one" else another
    messages = forged(door, running.config.cluster_id, own, Member(name, "i"))
    expected, before = place.refused()["identity"] + len(messages), handled(running)
    liar = visitors.come_as(place.admitted, place, *packed(*messages))
    wait_for(lambda: place.refused()["identity"] >= expected, f"{len(messages)} messages refused")
    assert place.refused()["identity"] == expected
    assert handled(running) == before
    assert running.status()["witness"] == register
    polite.end()
    assert not liar.poll(0)


def answered(liar: Socket) -> WireMessage:
    """The one message that comes back."""
    assert liar.poll(ANSWER_MS)
    (message,) = load(liar.recv_multipart()[-1])
    return message


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
def test_a18_a_faculty_asks_and_answers_for_no_other(
    running: RunningCluster, visitors: Visitors, clients: Clients, journal: Journal, at: dict[str, Place], term: str,
    encoding: str,
) -> None:  # fmt: skip
    place, theirs = at[REQUESTS], sol(term, 3, 1)
    owner = clients.dealer(place.endpoint)
    owner.ask(theirs)
    before, seq = place.refused()["identity"], running.active()["seq"]
    for message in (sol(term, 1, 0), theirs, ack(theirs), ack(theirs, "REJECT")):
        res = answered(visitors.come_as("faculty:502", place, dump(message, encoding)))
        assert (res["status"], res["code"]) == ("INVALID", "FORBIDDEN")
    unnamed = answered(visitors.come_as("faculty:502", place, dump(ack(theirs, named=False), encoding)))
    assert unnamed["code"] == "UNKNOWN_TRANSACTION", "it means the faculty whose key it is"
    assert place.refused()["identity"] == before + 4
    assert running.active()["seq"] == seq
    assert journal.saw(501, owner.ask(ack(theirs)))["status"] == "ACCEPTED"


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
def test_cp11_a_release_is_its_facultys_or_an_operators_and_a_closing_an_operators(
    running: RunningCluster, visitors: Visitors, clients: Clients, journal: Journal, at: dict[str, Place], term: str,
    encoding: str,
) -> None:  # fmt: skip
    place, theirs = at[REQUESTS], sol(term, 3, 1)
    owner = clients.dealer(place.endpoint)
    owner.ask(theirs)
    journal.saw(501, owner.ask(ack(theirs)))
    seq = running.active()["seq"]

    wrong = [one for one in ("program:1/1", "program:1/*", "auditor:local", *SERVERS, "witness") if one != place.owner]
    expected = place.refused()["wrong_role"] + len(wrong)
    strangers = [visitors.come_as(one, place, dump(lib(theirs), encoding), dump(cie(term), encoding)) for one in wrong]
    wait_for(lambda: place.refused()["wrong_role"] >= expected, f"{len(wrong)} refused")
    assert place.refused()["wrong_role"] == expected

    before = place.refused()["identity"]
    forbidden = [
        ("faculty:502", lib(theirs)), ("faculty:502", cie(term)), ("faculty:501", cie(term)),
        ("operator:ana", sol(term, 1, 0)), ("operator:ana", theirs), ("operator:ana", ack(theirs, "REJECT")),
    ]  # fmt: skip
    for principal, message in forbidden:
        res = answered(visitors.come_as(principal, place, dump(message, encoding)))
        assert (res["tipo"], res["status"], res["code"]) == ("RES", "INVALID", "FORBIDDEN")
    assert place.refused()["identity"] == before + len(forbidden)
    assert any(line["reason"] == "identity" and line["key"].startswith("faculty:502#") for line in told(place))
    assert running.active()["seq"] == seq
    assert not any(stranger.poll(0) for stranger in strangers)

    released = answered(visitors.come_as("operator:ana", place, dump(lib(theirs), encoding)))
    assert (released["status"], released["code"]) == ("CANCELED", "RELEASED")
    closed = answered(visitors.come_as("operator:ana", place, dump(cie(term), encoding)))
    assert (closed["tipo"], closed["semester"], closed["salones"]) == ("CER", term, 0)


def test_a18_a_program_asks_for_no_other(
    running: RunningCluster, visitors: Visitors, journal: Journal, at: dict[str, Place], term: str
) -> None:
    place, programs = at[PROGRAMS], running.config.faculty(1).programs
    before, seq = place.refused()["identity"], running.active()["seq"]
    asked = {"salones": 1, "laboratorios": 0, "semestre": term}
    for program in (programs[2], "Programa nuevo"):
        res = answered(visitors.come_as("program:1/1", place, dump({"programa": program, **asked}, JSON)))
        assert (res["status"], res["code"]) == ("INVALID", "FORBIDDEN")
    assert place.refused()["identity"] == before + 2
    assert running.active()["seq"] == seq
    own = answered(visitors.come_as("program:1/1", place, dump({"programa": programs[1], **asked}, JSON)))
    assert journal.saw(1, own)["status"] == "ACCEPTED"


def test_a_process_that_is_frozen_answers_nobody_and_the_others_go_on(
    running: RunningCluster, visitors: Visitors, polite: Polite, at: dict[str, Place]
) -> None:
    place, pid = at[WITNESS], running.status()["witness"]["pid"]
    running.kill(pid, signal.SIGSTOP)
    try:
        admitted, stranger = visitors.come_as(place.admitted, place), visitors.stranger("NULL", place)
        polite.end()
        assert not admitted.poll(SILENCE_MS)
    finally:
        running.thaw()
    assert admitted.poll(ANSWER_MS)
    assert not stranger.poll(0)
