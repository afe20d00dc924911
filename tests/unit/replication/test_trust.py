"""What one data node can make another believe: what its own role gives it to say, and nothing beyond (R1, R2, R7, R15,
R16). Whoever sends here holds a server's key and says what no sound server does."""

from __future__ import annotations

import pytest

from es.codec import GENESIS_HASH, Batch, BatchBuilder
from es.replication.effects import WITNESS, Halt
from es.replication.leading import DISKS_HEARD_MAX, MEMBERS_HEARD_MAX
from es.replication.messages import (
    NUMBER_END,
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
    Outdated,
    Prevote,
    Registered,
    RolledBack,
)
from es.replication.transitions import Role
from es.testing.ledger import Credit, Credited, Total
from tests.unit.replication.driver import CLUSTER, TIMING, A, B, Driver, credited, register

FAR = NUMBER_END - 1
"""The highest epoch or sequence number there is."""

GRACE_MS = TIMING.grace_us / 1_000
BEACON_MS = TIMING.beacon_us / 1_000
B_ANEW = Member("b", "b2")
C = Member("c", "c1")
HASH = bytes(32)


@pytest.fixture
def pair() -> Driver:
    """Node `a`, primary, with `b` in sync."""
    driver = Driver()
    driver.become_primary()
    driver.join()
    return driver


@pytest.fixture
def backup() -> Driver:
    """Node `b`, following `a` in epoch 3."""
    driver = Driver(B)
    driver.follow()
    return driver


def beacon(driver: Driver, epoch: int, primary: Member, *in_sync: Member) -> Beacon:
    end = driver.replica.node.chain.head
    return Beacon(register(epoch, primary, *in_sync), end.seq, end.hash, 0, end.ts_us, driver.now_us)


def batch(driver: Driver, epoch: int = 3, ts_us: int = 0, first_seq: int | None = None) -> Batch:
    """What fits the end of a backup's chain but for what is given."""
    head = driver.replica.node.chain.head
    builder = BatchBuilder(epoch, head.seq + 1 if first_seq is None else first_seq, head.hash, ts_us or head.ts_us + 1)
    builder.add("ledger", ("Credited", 1, "client", f"credit {head.seq + 1}", (1,)))
    return builder.seal()


def whys(driver: Driver) -> dict[str, int]:
    return dict(driver.replica.node.ignored)


# -- R15: who moves a register


@pytest.mark.parametrize("claim", ["hint", "beacon"])
def test_r15_who_says_that_another_epoch_has_begun_only_makes_a_node_ask_the_witness(pair: Driver, claim: str) -> None:
    before = pair.replica.node.register
    pair.give(Outdated(CLUSTER, FAR) if claim == "hint" else beacon(pair, FAR, B, B), "b")
    assert len(pair.told(Heartbeat, WITNESS)) == 1
    assert (pair.replica.node.register, pair.replica.node.promised, pair.replica.active) == (before, 3, True)
    pair.fsync()
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.ack()
    assert credited(pair) == {"w": Credited("x", 5)}
    assert int.from_bytes(pair.log.record("promised") or b"", "big") == 3, "nor is anything of it stored"


def test_r15_what_the_witness_answers_then_counts(pair: Driver) -> None:
    pair.give(Outdated(CLUSTER, 4), "b")
    pair.give(Registered(register(4, B, B), 0))
    assert (pair.replica.role, pair.epoch) == (Role.FOLLOWING, 4)


def test_r15_hints_make_a_node_ask_once_a_heartbeat_at_most(pair: Driver) -> None:
    for epoch in range(4, 1_004):
        pair.give(Outdated(CLUSTER, epoch), "b")
        pair.give(beacon(pair, epoch, B, B), "b")
    assert len(pair.told(Heartbeat, WITNESS)) == 1
    pair.clear()
    pair.tick(BEACON_MS)
    pair.give(Outdated(CLUSTER, FAR), "b")
    assert len(pair.told(Heartbeat, WITNESS)) == 2


def test_r15_who_is_told_of_an_older_epoch_asks_nobody(pair: Driver) -> None:
    pair.give(Outdated(CLUSTER, 3), "b")
    pair.give(Outdated("another", FAR), "b")
    assert pair.told(Heartbeat) == []


def test_r15_while_the_witness_is_silent_a_primary_is_believed_on_its_own_word(backup: Driver) -> None:
    backup.give(beacon(backup, 4, A, A, B))
    assert (backup.epoch, whys(backup)["epoch not confirmed yet"]) == (3, 1)
    backup.tick(9 * GRACE_MS)
    backup.give(beacon(backup, 4, A, A, B))
    assert backup.epoch == 3, "who was frozen has not asked in vain"
    backup.live(GRACE_MS + BEACON_MS)
    backup.give(Outdated(CLUSTER, FAR), "a")
    assert backup.epoch == 3, "a hint is none's own word"
    backup.give(beacon(backup, 4, A, A, B))
    assert backup.epoch == 4
    assert [ack.epoch for ack in backup.told(BeaconAck, "a")] == [4]


def test_r15_nor_then_is_anybody_else_believed_while_the_primary_speaks(backup: Driver) -> None:
    for _ in range(20):
        backup.tick(BEACON_MS)
        backup.give(beacon(backup, 3, A, A, B))
        backup.give(beacon(backup, FAR, C, C), "c")
    assert backup.epoch == 3
    backup.live(GRACE_MS)
    backup.give(beacon(backup, 4, C, C), "c")
    assert backup.epoch == 4


@pytest.mark.parametrize("restarts", [False, True])
def test_r15_nor_is_who_leads_deposed_by_anybody_but_the_witness(pair: Driver, restarts: bool) -> None:
    primary = Driver(A, pair.log, now_us=pair.now_us) if restarts else pair
    primary.live(3 * GRACE_MS)
    primary.give(beacon(primary, FAR, B, B))
    assert primary.epoch == 3
    primary.give(Registered(register(4, B, B), 0))
    assert (primary.epoch, primary.replica.role) == (4, Role.FOLLOWING)


def test_r15_a_node_without_a_register_follows_whoever_leads(pair: Driver) -> None:
    fresh = Driver(B)
    fresh.give(beacon(fresh, 4, A, A))
    assert fresh.epoch == 0
    fresh.live(GRACE_MS + BEACON_MS)
    fresh.give(beacon(fresh, 4, A, A))
    assert fresh.epoch == 4


def test_r15_a_primary_that_comes_back_while_the_witness_is_dead_confirms_nothing(pair: Driver) -> None:
    """Its backup was promoted meanwhile, then the witness died."""
    pair.ask("w", Credit("x", 5))
    pair.tick(3 * GRACE_MS)
    pair.fsync()
    pair.give(Outdated(CLUSTER, 4), "b")
    pair.ask("read", Total())
    pair.tick(1)
    assert pair.answers() == []
    pair.give(beacon(pair, 4, B, B))
    pair.live(3 * GRACE_MS)
    assert pair.answers() == []
    assert {swap.epoch for swap in pair.told(CompareAndSwap)} <= {3}, "which the witness refuses, once it lives"


@pytest.mark.parametrize("epoch", [3, 4])
def test_r15_nobody_speaks_for_another_primary(backup: Driver, epoch: int) -> None:
    backup.live(2 * GRACE_MS)
    backup.give(beacon(backup, epoch, A, A, B), "c")
    assert (backup.epoch, backup.told(BeaconAck)) == (3, [])
    assert whys(backup)["not from the primary"] == 1


def test_r15_of_one_epoch_there_is_one_register(backup: Driver) -> None:
    """Who names himself primary of it, too, neither is answered nor counts as the primary that lives."""
    backup.tick(GRACE_MS)
    for liar in (beacon(backup, 3, C, C, B), beacon(backup, 3, A, A)):
        backup.give(liar)
        assert backup.told(BeaconAck) == []
    backup.tick(BEACON_MS)
    assert len(backup.told(Prevote)) == 2
    assert whys(backup)["another register"] == 2


# -- R16: what is asked of the witness


def test_r16_a_swap_says_when_the_witness_was_last_heard(pair: Driver) -> None:
    pair.hear_the_same(123)
    pair.live(TIMING.shrink_us / 1_000 + 1)
    swap = pair.asked_witness()
    assert swap is not None
    assert swap.said_us == 123


def test_r16_who_has_not_heard_the_witness_in_this_life_asks_for_nothing(backup: Driver) -> None:
    again = Driver(B, backup.log, now_us=backup.now_us + 1_000)
    again.tick(GRACE_MS)
    again.give(Granted(CLUSTER, 3, B))
    again.fsync()
    assert (again.told(Prevote), again.told(CompareAndSwap)) == ([], [])
    again.hear_the_same(1)
    assert len(again.told(Prevote)) == 1


# -- R17: a register that was put back


def test_r17_a_second_register_of_one_epoch_stops_a_node(backup: Driver) -> None:
    """The witness says it: it granted this epoch twice."""
    known = backup.replica.node.register
    backup.give(Registered(register(3, A, A), 0))
    assert backup.replica.role is Role.HALTED
    [halt] = [effect for effect in backup.effects if isinstance(effect, Halt)]
    assert halt.code == "REGISTER_CONTRADICTED"
    assert "another register of epoch 3" in halt.sentence
    assert backup.replica.node.register == known


def test_r17_the_same_register_or_an_older_one_that_was_under_way_stops_nobody(backup: Driver) -> None:
    backup.hear_the_same()
    backup.give(Registered(register(2, A, A), 0))
    assert backup.replica.role is Role.FOLLOWING


# -- R2: what the primary of an epoch says is his to say, and must be possible


@pytest.mark.parametrize(
    "said",
    [
        Batches(CLUSTER, 3, FAR, 0, GENESIS_HASH, FAR, ()),
        Mismatch(CLUSTER, 3, GENESIS_HASH, 0, HASH),
        RolledBack(CLUSTER, 3, B, FAR),
    ],
    ids=lambda said: type(said).__name__,
)
def test_r2_only_the_primary_mends_or_stops_its_backup(backup: Driver, said: Message) -> None:
    backup.give(said, "c")
    assert backup.replica.role is Role.FOLLOWING
    assert whys(backup) == {"not from the primary": 1}


def test_r2_only_the_primary_sends_batches(backup: Driver) -> None:
    fits = Frame(CLUSTER, 3, 0, batch(backup).data)
    backup.give(fits, "c")
    assert (backup.head_seq, whys(backup)) == (0, {"not from the primary": 1})
    backup.give(fits, "a")
    assert backup.head_seq == 1


@pytest.mark.parametrize("way", ["frame", "batches"])
@pytest.mark.parametrize(
    "wrong", [{"epoch": 4}, {"epoch": 1}, {"ts_us": NUMBER_END}, {"ts_us": 1}], ids=lambda wrong: str(wrong)
)
def test_r2_a_batch_that_cannot_follow_is_refused_and_stops_nobody(
    backup: Driver, way: str, wrong: dict[str, int]
) -> None:
    backup.give(Frame(CLUSTER, 3, 0, batch(backup, epoch=2, ts_us=1_000).data))
    backup.fsync()
    head = backup.replica.node.chain.head
    data = batch(backup, **wrong).data
    if way == "frame":
        backup.give(Frame(CLUSTER, 3, 0, data))
    else:
        backup.give(Batches(CLUSTER, 3, 0, head.seq, head.hash, head.seq + 1, (data,)))
    assert (backup.replica.node.chain.head, whys(backup)) == (head, {"malformed": 1})
    assert backup.replica.role is Role.FOLLOWING


def test_r2_a_batch_kept_from_beyond_a_gap_is_let_go_if_it_cannot_follow(backup: Driver) -> None:
    first = batch(backup, ts_us=1_000)
    builder = BatchBuilder(3, 2, first.hash, 1)
    builder.add("ledger", ("Credited", 1, "client", "x", (1,)))
    backup.give(Frame(CLUSTER, 3, 0, builder.seal().data))
    backup.give(Frame(CLUSTER, 3, 0, first.data))
    assert backup.head_seq == 1


def test_r2_numbers_beyond_every_other_move_neither_commit_point_nor_chain(backup: Driver) -> None:
    far = Beacon(register(3, A, A, B), FAR, HASH, FAR, 0, backup.now_us)
    backup.give(far)
    backup.give(Frame(CLUSTER, 3, FAR, batch(backup).data))
    backup.give(Mismatch(CLUSTER, 3, GENESIS_HASH, FAR, HASH))
    backup.fsync()
    assert backup.replica.node.commit_seq == backup.head_seq == 1
    assert not any(isinstance(effect, Halt) for effect in backup.effects)


# -- R1, R7: what a follower says


@pytest.mark.parametrize("epoch", [2, 4, FAR])
def test_r1_what_a_follower_says_of_another_epoch_counts_for_nothing(pair: Driver, epoch: int) -> None:
    head = pair.replica.node.chain.head
    for said in (
        Ack(CLUSTER, epoch, B, FAR, head.hash),
        BeaconAck(CLUSTER, epoch, B, pair.now_us, FAR, head.hash, FAR),
        Fetch(CLUSTER, epoch, B, FAR, head.hash),
    ):
        pair.give(said)
    assert (pair.epoch, pair.replica.active, pair.told(Batches)) == (3, True, [])
    assert sum(whys(pair).values()) == 3


def test_r1_nobody_acknowledges_beyond_the_head(pair: Driver) -> None:
    committed = pair.replica.node.commit_seq
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.give(Ack(CLUSTER, 3, B, FAR, pair.replica.node.chain.head.hash))
    assert (pair.replica.node.commit_seq, pair.answers()) == (committed, [])


def test_r7_no_lease_runs_from_a_beacon_that_was_not_sent_yet(pair: Driver) -> None:
    pair.hear_the_same()
    pair.ack_beacon(sent_us=FAR)
    pair.now_us += TIMING.lease_us
    pair.ask("read", Total())
    pair.tick(0)
    assert pair.answers() == []
    assert whys(pair)["acknowledged a beacon of the future"] == 1
    pair.live(2 * TIMING.shrink_us / 1_000)
    assert pair.asked_witness() is not None, "nor does it keep a silent backup counted in"


def test_r1_a_disk_that_was_replaced_holds_no_copy_whatever_it_said(pair: Driver) -> None:
    """Its acknowledgement came before the primary's own disk was ready, or is still on its way."""
    pair.ask("early", Credit("x", 5))
    pair.ack()
    pair.give(Fetch(CLUSTER, 3, B_ANEW, 0, GENESIS_HASH))
    pair.fsync()
    pair.ask("late", Credit("y", 1))
    pair.fsync()
    pair.ack()
    assert pair.answers() == []
    assert whys(pair) == {"disk replaced": 1}
    pair.tick(2 * BEACON_MS)
    swap = pair.asked_witness()
    assert swap is not None
    assert swap.in_sync == (A,), "nobody waits for it"
    pair.grant_swap()
    pair.fsync()
    assert credited(pair) == {"early": Credited("x", 5), "late": Credited("y", 6)}
    assert set(pair.copies()) == {1}


def test_r1_a_node_counted_in_beside_an_older_disk_is_one_copy_once_both_hold_it() -> None:
    """Of two disks that are heard of a node that is not in sync nobody knows which is the present one."""
    alone = Driver()
    alone.become_primary()
    alone.ack_beacon()
    assert alone.replica.leading is not None and alone.replica.leading.pending == B
    alone.ack_beacon(B_ANEW, seq=0)
    alone.ask("w", Credit("x", 5))
    alone.fsync()
    alone.ack()
    assert credited(alone) == {"w": Credited("x", 5)}
    assert alone.copies() == [1]


def test_r1_disks_without_end_are_not_remembered_and_the_last_one_is(pair: Driver) -> None:
    pair.ack(C, seq=0)
    made_up = [Member("b", f"b{number + 10}") for number in range(100)]
    for member in made_up:
        pair.ack(member, seq=0)
    leading = pair.replica.leading
    assert leading is not None
    assert leading.peers.keys() == {B, C, *made_up[-DISKS_HEARD_MAX:]}


def test_r1_nodes_without_end_are_not_remembered(pair: Driver) -> None:
    """Where nobody is asked who he is."""
    for number in range(2 * MEMBERS_HEARD_MAX):
        pair.ack(Member(f"n{number}", "1"), seq=0)
    assert pair.replica.leading is not None
    assert len(pair.replica.leading.peers) == MEMBERS_HEARD_MAX
    assert whys(pair)["too many members"] == MEMBERS_HEARD_MAX + 1
