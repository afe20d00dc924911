"""The rules of the protocol one by one, on a single replica: what it does, and what it must not do yet."""

from __future__ import annotations

import pytest

from es.codec import Batch, BatchBuilder, encode_batch
from es.log.base import Identity
from es.log.memory import MemoryLog
from es.replication.data_node import PROPOSED, REGISTER
from es.replication.effects import WITNESS, Halt
from es.replication.events import EpochStarted, OutageExtended, read, record
from es.replication.following import FOLLOWED_BATCHES_MAX
from es.replication.messages import (
    Ack,
    Batches,
    Beacon,
    BeaconAck,
    Fetch,
    Frame,
    Granted,
    Heartbeat,
    Member,
    Mismatch,
    Outdated,
    Prevote,
    Registered,
    RolledBack,
    unpack_register,
)
from es.replication.transitions import Role
from es.testing.ledger import Credit, Credited, Ledger, Total
from tests.unit.replication.driver import CLUSTER, TIMING, A, B, Driver, credited, refused, register

GRACE_MS = TIMING.grace_us / 1_000
SHRINK_MS = TIMING.shrink_us / 1_000
LEASE_MS = TIMING.lease_us / 1_000
STALL_MS = TIMING.stall_us / 1_000
BEACON_MS = TIMING.beacon_us / 1_000


@pytest.fixture
def alone() -> Driver:
    """A primary whose in_sync is itself."""
    driver = Driver()
    driver.become_primary()
    return driver


@pytest.fixture
def pair(alone: Driver) -> Driver:
    """A primary with both in sync."""
    alone.join()
    assert alone.replica.node.register is not None
    assert alone.replica.node.register.in_sync == (A, B)
    return alone


@pytest.fixture
def backup() -> Driver:
    """Node `b`, following `a` in epoch 3, equal up to its empty head."""
    driver = Driver(B)
    driver.follow()
    return driver


def extensions(driver: Driver) -> list[OutageExtended]:
    """Every time that was owed, in the log's order."""
    events = [read(entry) for batch in driver.log.batches() for entry in batch.entries if entry.application == "es"]
    return [event for event in events if isinstance(event, OutageExtended)]


def batch_after(driver: Driver, amount: int, epoch: int = 3) -> Batch:
    """What the primary of a backup might send next."""
    head = driver.replica.node.chain.head
    builder = BatchBuilder(epoch, head.seq + 1, head.hash, head.ts_us + 1)
    builder.add("ledger", ("Credited", 1, "client", f"credit {head.seq + 1}", (amount,)))
    return builder.seal()


def frame(batch: Batch, epoch: int = 3, commit_seq: int = 0) -> Frame:
    return Frame(CLUSTER, epoch, commit_seq, batch.data)


def beacon(driver: Driver, epoch: int = 3, head: Batch | None = None, commit_seq: int = 0) -> Beacon:
    """A beacon of node `a`, whose chain ends with `head`, or where the backup's does."""
    end = driver.replica.node.chain.head
    seq, hash_ = (head.last_seq, head.hash) if head is not None else (end.seq, end.hash)
    return Beacon(register(epoch, A, A, B), seq, hash_, commit_seq, end.ts_us, driver.now_us)


# -- R1


def test_r1_a_write_is_answered_when_both_have_fsynced_it(pair: Driver) -> None:
    assert pair.ask("w", Credit("x", 5)) is None
    assert [batch.last_seq for batch in pair.published()] == [pair.head_seq]
    pair.ack()
    assert pair.answers() == []
    pair.fsync()
    assert credited(pair) == {"w": Credited("x", 5)}
    assert pair.copies() == [2]


def test_r1_the_own_fsync_is_not_enough(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    assert pair.answers() == []
    pair.ack()
    assert credited(pair) == {"w": Credited("x", 5)}


def test_r1_a_repetition_waits_for_what_it_repeats(pair: Driver) -> None:
    pair.ask("first", Credit("x", 5))
    pair.ask("again", Credit("x", 5))
    pair.ask("read", Total())
    pair.fsync()
    assert pair.answers() == []
    pair.ack()
    assert credited(pair) == {"first": Credited("x", 5), "again": Credited("x", 5), "read": 5}


def test_r1_what_was_acknowledged_in_another_epoch_does_not_count(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.ack(epoch=pair.epoch - 1)
    assert pair.answers() == []
    assert pair.replica.node.ignored["stale epoch"] == 1


def test_r1_a_refusal_leaves_at_once(pair: Driver) -> None:
    assert pair.ask("w", Credit("x", -1)) == "amount out of range"
    assert pair.published() == []


# -- R2


def test_r2_another_chain_is_not_acknowledged(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.ack(hash_=bytes(32))
    assert pair.answers() == []
    assert pair.replica.node.ignored["acknowledged another chain"] == 1


def test_r2_a_backup_acknowledges_only_what_is_durable(backup: Driver) -> None:
    batch = batch_after(backup, 5)
    backup.give(frame(batch))
    assert backup.told(Ack) == []
    backup.give(beacon(backup, head=batch))
    assert [ack.durable_seq for ack in backup.told(BeaconAck)] == [0]
    backup.fsync()
    assert [(ack.durable_seq, ack.hash, ack.epoch) for ack in backup.told(Ack, "a")] == [(1, batch.hash, 3)]


@pytest.mark.parametrize("promised_by", ["register", "promise"])
def test_r2_nothing_of_an_older_epoch_counts(backup: Driver, promised_by: str) -> None:
    if promised_by == "register":
        backup.give(Registered(register(5, A, A, B), 0))
        backup.fsync()
    else:
        backup.tick(GRACE_MS)
        backup.give(Granted(CLUSTER, 3, B))
    backup.clear()
    batch = batch_after(backup, 5)
    backup.give(frame(batch))
    backup.give(beacon(backup, head=batch))
    backup.give(Batches(CLUSTER, 3, 0, 0, bytes(32), 1, (batch.data,)))
    assert backup.head_seq == 0
    assert backup.told(BeaconAck) == []
    assert backup.replica.node.ignored["stale epoch"] == 3


def test_r2_an_outdated_primary_is_told(backup: Driver) -> None:
    backup.give(Registered(register(5, B, B), 0))
    backup.clear()
    backup.give(beacon(backup, epoch=3))
    assert backup.told(Outdated, "a") == [Outdated(CLUSTER, 5)]


def test_r2_a_disk_that_forgot_must_stop(pair: Driver) -> None:
    forgotten = pair.head_seq
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.ack()
    pair.give(Fetch(CLUSTER, pair.epoch, B, forgotten, pair.replica.node.chain.hash_at(forgotten) or b""))
    assert pair.told(Batches, "b") == [], "it is not mended: until then it could be made primary"
    [stop] = pair.told(RolledBack, "b")
    assert stop.seq == pair.head_seq
    backup = Driver(B)
    backup.follow(stop.epoch)
    backup.give(stop)
    assert backup.replica.role is Role.HALTED
    assert [effect.code for effect in backup.effects if isinstance(effect, Halt)] == ["ROLLED_BACK"]


def test_r2_what_was_counted_in_an_earlier_epoch_of_the_same_role_is_not_forgotten(pair: Driver) -> None:
    counted = pair.head_seq
    pair.live(SHRINK_MS + 1)
    pair.grant_swap()
    pair.fsync()
    pair.give(Fetch(CLUSTER, pair.epoch, B, counted - 1, pair.replica.node.chain.hash_at(counted - 1) or b""))
    assert [stop.seq for stop in pair.told(RolledBack, "b")] == [counted]


def test_r2_what_was_said_of_the_disk_before_stops_nobody(backup: Driver) -> None:
    backup.give(RolledBack(CLUSTER, 3, Member("b", "another"), 9))
    assert backup.replica.role is Role.FOLLOWING


def test_r2_a_question_that_was_overtaken_stops_nobody(backup: Driver) -> None:
    batch = batch_after(backup, 3)
    backup.give(frame(batch))
    backup.fsync()
    backup.give(RolledBack(CLUSTER, 3, B, batch.last_seq))
    assert backup.replica.role is Role.FOLLOWING
    assert backup.replica.node.ignored["rolled back no longer"] == 1


# -- R3


def test_r3_a_silent_backup_is_dropped_by_the_witness_alone(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.live(SHRINK_MS)
    assert pair.asked_witness() is None
    pair.tick(1)
    swap = pair.asked_witness()
    assert swap is not None
    assert (swap.primary, swap.in_sync) == (A, (A,))
    assert pair.answers() == []
    pair.grant_swap()
    pair.fsync()
    assert credited(pair) == {"w": Credited("x", 5)}
    assert pair.copies() == [1]


def test_r3_a_backup_that_hears_but_does_not_fsync_is_dropped_too(pair: Driver) -> None:
    acknowledged = pair.head_seq
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    for _ in range(9):
        pair.tick(BEACON_MS)
        pair.ack_beacon(seq=acknowledged)
    swap = pair.asked_witness()
    assert swap is not None
    assert swap.in_sync == (A,)


def test_r3_a_backup_whose_fsync_stalls_stops_acknowledging_beacons(backup: Driver) -> None:
    backup.give(frame(batch_after(backup, 5)))
    backup.now_us += TIMING.stall_us + 1
    backup.give(beacon(backup))
    assert backup.told(BeaconAck) == []
    assert backup.replica.node.ignored["beacon while stalled"] == 1


# -- R4


def test_r4_a_member_is_required_before_it_is_counted_in(alone: Driver) -> None:
    alone.ack_beacon()
    alone.ask("w", Credit("x", 5))
    alone.fsync()
    assert alone.answers() == []
    alone.tick(1)
    swap = alone.asked_witness()
    assert swap is not None
    assert swap.in_sync == (A, B)
    alone.ack()
    assert credited(alone) == {"w": Credited("x", 5)}


def test_r4_a_member_below_the_commit_point_is_not_counted_in(alone: Driver) -> None:
    behind = alone.head_seq
    alone.ask("w", Credit("x", 5))
    alone.fsync()
    alone.ack_beacon(seq=behind)
    alone.fsync()
    alone.tick(1)
    assert alone.asked_witness() is None
    alone.clear()
    alone.ask("not kept waiting", Credit("y", 1))
    alone.fsync()
    assert credited(alone) == {"not kept waiting": Credited("y", 6)}
    alone.ack_beacon()
    alone.fsync()
    alone.tick(1)
    assert alone.asked_witness() is not None


def test_r4_a_member_that_is_not_heard_is_not_counted_in(alone: Driver) -> None:
    alone.tick(SHRINK_MS + 1)
    alone.ack()
    alone.fsync()
    alone.tick(1)
    assert alone.asked_witness() is None


def test_r4_what_has_not_folded_is_not_counted_in(alone: Driver) -> None:
    chain = alone.replica.node.chain
    alone.give(BeaconAck(CLUSTER, 2, B, alone.now_us, chain.head.seq, chain.head.hash, applied_seq=0))
    alone.fsync()
    alone.tick(1)
    assert alone.asked_witness() is None


def test_r4_pending_ends_by_a_higher_epoch_only(alone: Driver) -> None:
    alone.ack_beacon()
    alone.ask("w", Credit("x", 5))
    alone.fsync()
    alone.live(SHRINK_MS + 3 * BEACON_MS)
    swap = alone.asked_witness()
    assert swap is not None
    assert swap.in_sync == (A,)
    assert alone.answers() == []
    alone.grant_swap()
    alone.fsync()
    assert credited(alone) == {"w": Credited("x", 5)}


# -- R5


def test_r5_promise_is_durable_before_the_claim(backup: Driver) -> None:
    backup.tick(GRACE_MS)
    assert [prevote.epoch for prevote in backup.told(Prevote, WITNESS)] == [3]
    backup.give(Granted(CLUSTER, 3, B))
    assert backup.asked_witness() is None
    backup.give(beacon(backup))
    assert backup.told(BeaconAck) == []
    backup.fsync()
    assert backup.log.record("promised") == (4).to_bytes(8, "big")
    swap = backup.asked_witness()
    assert swap is not None
    assert (swap.epoch, swap.primary, swap.in_sync) == (3, B, (B,))


def test_r5_an_earlier_write_is_not_the_promise_and_is_not_acknowledged_after_it(backup: Driver) -> None:
    backup.give(frame(batch_after(backup, 5)))
    backup.tick(GRACE_MS)
    backup.give(Granted(CLUSTER, 3, B))
    backup.fsync(writes_max=1)
    assert backup.log.head().seq == 1
    assert backup.asked_witness() is None
    backup.fsync()
    assert backup.asked_witness() is not None
    assert backup.told(Ack) == []


def test_r5_a_promise_outlives_a_restart(backup: Driver) -> None:
    backup.tick(GRACE_MS)
    backup.give(Granted(CLUSTER, 3, B))
    backup.fsync()
    again = Driver(B, backup.log, now_us=backup.now_us + 1_000)
    again.give(frame(batch_after(again, 5)))
    assert again.head_seq == 0
    assert again.replica.node.ignored["stale epoch"] == 1


def test_r5_nobody_is_asked_while_the_primary_speaks(backup: Driver) -> None:
    for _ in range(20):
        backup.tick(BEACON_MS)
        backup.give(beacon(backup))
    backup.tick(GRACE_MS - 1)
    assert backup.told(Prevote) == []


def test_r5_a_grant_after_the_primary_spoke_is_ignored(backup: Driver) -> None:
    backup.tick(GRACE_MS)
    backup.give(beacon(backup))
    backup.give(Granted(CLUSTER, 3, B))
    assert backup.replica.role is Role.FOLLOWING
    assert backup.replica.node.ignored["grant after the primary spoke"] == 1


def test_r5_who_is_not_in_sync_does_not_ask() -> None:
    outside = Driver(B)
    outside.give(Registered(register(3, A, A), 0))
    outside.fsync()
    outside.tick(3 * GRACE_MS)
    assert outside.told(Prevote) == []


def test_r5_grace_begins_with_the_own_start() -> None:
    first = Driver(B)
    first.follow()
    again = Driver(B, first.log, now_us=first.now_us + 10 * TIMING.grace_us)
    again.hear_the_same()
    again.tick(GRACE_MS - 1)
    assert again.told(Prevote) == []
    again.tick(1)
    assert len(again.told(Prevote)) == 1


def test_r5_nothing_is_served_before_the_epochs_first_batch_has_committed(backup: Driver) -> None:
    committed, tail = batch_after(backup, 5), None
    backup.give(frame(committed))
    backup.fsync()
    tail = batch_after(backup, 7)
    backup.give(frame(tail, commit_seq=1))
    backup.fsync()
    backup.tick(GRACE_MS)
    backup.give(Granted(CLUSTER, 3, B))
    backup.fsync()
    backup.clear()
    backup.tick(2 * BEACON_MS)
    backup.grant_swap()
    backup.ask("read", Total())
    assert backup.replica.role is Role.OPENING
    assert backup.answers() == []
    backup.fsync()
    assert backup.replica.active
    assert credited(backup) == {"read": 12}
    [opening] = [batch for batch in backup.published() if batch.epoch == 4]
    started = read(opening.entries[0])
    assert isinstance(started, EpochStarted)
    assert (started.primary, started.in_sync, started.cause) == ("b", ("b",), "failover")
    assert started.silence_ms == GRACE_MS
    assert isinstance(read(opening.entries[1]), OutageExtended)
    assert opening.prev_hash == tail.hash


# -- R10


def test_r10_nothing_commits_by_a_register_that_the_own_disk_does_not_have(pair: Driver) -> None:
    """Its backup dies. A write that was under way when the register came is no witness to it: if this node died next,
    and the witness were lost, the backup would be counted in again."""
    pair.ask("w1", Credit("x", 5))
    pair.fsync()
    pair.live(SHRINK_MS + BEACON_MS)
    pair.ask("w2", Credit("x", 1))
    pair.grant_swap()
    pair.fsync(1)
    assert (pair.head_seq > pair.replica.node.chain.durable.seq, pair.answers()) == (True, [])
    pair.fsync()
    assert {answer.waiter for answer in pair.answers()} == {"w1", "w2"}
    stored = pair.log.record(REGISTER)
    assert stored is not None and unpack_register(stored) == pair.replica.node.register


def test_r10_nobody_is_counted_in_before_the_own_disk_knows_of_it(alone: Driver) -> None:
    """If this node died before it heard that it was done, and the witness were lost, nothing else would tell that the
    backup may have taken over since."""
    alone.ack_beacon()
    alone.tick(1)
    assert alone.replica.leading is not None and alone.replica.leading.pending == B
    assert alone.asked_witness() is None
    alone.fsync()
    alone.tick(1)
    swap = alone.asked_witness()
    assert swap is not None and swap.in_sync == (A, B)
    stored = alone.log.record(PROPOSED)
    assert stored is not None
    assert unpack_register(stored) == register(swap.epoch + 1, A, A, B, author=swap.author)


# -- R6


def test_r6_a_restarted_primary_claims_a_new_epoch(pair: Driver) -> None:
    again = Driver(A, pair.log, now_us=pair.now_us + 1_000)
    assert again.epoch == 3
    assert refused(again.ask("w", Credit("x", 5))) == "NOT_ACTIVE"
    again.tick()
    assert again.asked_witness() is None, "it has not heard the witness yet in this life (R16)"
    again.hear_the_same()
    swap = again.asked_witness()
    assert swap is not None
    assert (swap.epoch, swap.in_sync) == (3, (A,))
    again.grant_swap()
    again.fsync()
    assert (again.epoch, again.replica.active) == (4, True)


def test_r6_a_swap_of_an_earlier_life_is_not_this_ones(pair: Driver) -> None:
    earlier = pair.replica.node.life
    again = Driver(A, pair.log, now_us=pair.now_us + 1_000)
    again.hear_the_same()
    assert again.asked_witness() is not None
    again.give(Registered(register(4, A, A, author=earlier), 0))
    assert again.replica.role is Role.FOLLOWING
    again.fsync()
    again.clear()
    again.tick(BEACON_MS)
    swap = again.asked_witness()
    assert swap is not None
    assert swap.epoch == 4


def test_r6_a_wiped_disk_is_another_member() -> None:
    wiped = Driver(Member("a", "a2"), MemoryLog(Identity(CLUSTER, "a", "a2")))
    wiped.give(Registered(register(3, A, A, B), 0))
    wiped.fsync()
    wiped.tick(3 * GRACE_MS)
    assert wiped.asked_witness() is None
    assert wiped.told(Prevote) == []


def test_r6b_those_who_wait_survive_the_own_epochs(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.live(SHRINK_MS + 1)
    pair.ask("late", Credit("y", 1))
    pair.grant_swap()
    pair.fsync()
    assert credited(pair) == {"w": Credited("x", 5), "late": Credited("y", 6)}


def test_r6b_those_who_wait_are_dropped_when_another_has_led(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.give(Registered(register(4, B, A, B), 0))
    pair.fsync()
    assert pair.replica.role is Role.FOLLOWING
    pair.give(Registered(register(5, A, A), 0))
    pair.fsync()
    pair.tick()
    pair.grant_swap()
    pair.fsync()
    assert pair.replica.active
    assert pair.answers() == []
    assert refused(Driver(B).ask("w", Total())) == "NOT_ACTIVE"


# -- R7


def test_r7_a_read_needs_a_running_lease(pair: Driver) -> None:
    pair.tick(LEASE_MS - 1)
    pair.ask("in time", Total())
    assert credited(pair) == {"in time": 0}
    pair.tick(1)
    pair.ask("too late", Total())
    assert credited(pair) == {"in time": 0}
    pair.ack_beacon()
    assert credited(pair) == {"in time": 0, "too late": 0}


def test_r7_the_lease_runs_from_when_the_beacon_was_sent(pair: Driver) -> None:
    sent_us = pair.now_us
    pair.tick(LEASE_MS)
    pair.ack_beacon(sent_us=sent_us)
    pair.ask("read", Total())
    assert pair.answers() == []


def test_r7_alone_no_lease_is_needed(alone: Driver) -> None:
    alone.live(10 * LEASE_MS)
    alone.ask("read", Total())
    assert credited(alone) == {"read": 0}


# -- R8


def test_r8_a_divergent_suffix_is_cut_and_replaced_in_one_write(backup: Driver) -> None:
    common = batch_after(backup, 1)
    backup.give(frame(common))
    lost = batch_after(backup, 2)
    backup.give(frame(lost))
    backup.fsync()
    builder = BatchBuilder(5, 2, common.hash, lost.ts_us + 1)
    builder.add("es", record(EpochStarted("a", ("a", "b"), "start", 0, 0)))
    theirs = builder.seal()
    backup.give(Registered(register(5, A, A, B), 0))
    backup.fsync()
    [fetch] = backup.told(Fetch, "a")[-1:]
    assert (fetch.after_seq, fetch.hash) == (2, lost.hash)
    backup.clear()
    backup.give(Mismatch(CLUSTER, 5, lost.hash, 2, theirs.hash))
    [fetch] = backup.told(Fetch, "a")
    assert (fetch.after_seq, fetch.hash) == (1, common.hash)
    backup.give(Batches(CLUSTER, 5, 2, 1, common.hash, 2, (theirs.data,)))
    assert [(one.write.truncate_after, len(one.write.batches)) for one in backup.writes] == [(1, 1)]
    backup.fsync()
    assert [batch.hash for batch in backup.log.batches()] == [common.hash, theirs.hash]
    assert [(ack.durable_seq, ack.hash) for ack in backup.told(Ack)] == [(2, theirs.hash)]


def test_r8_who_has_no_room_asks_for_no_more_until_his_disk_has_caught_up(backup: Driver) -> None:
    for _ in range(FOLLOWED_BATCHES_MAX):
        backup.give(frame(batch_after(backup, 1)))
    ahead = batch_after(backup, 1)
    backup.clear()
    backup.give(beacon(backup, head=ahead, commit_seq=FOLLOWED_BATCHES_MAX))
    for _ in range(20):
        backup.tick(BEACON_MS)
    assert backup.told(Fetch) == []
    backup.fsync()
    backup.tick(BEACON_MS)
    assert [fetch.after_seq for fetch in backup.told(Fetch)] == [FOLLOWED_BATCHES_MAX]


def test_r8_who_has_no_room_compares_all_the_same(backup: Driver) -> None:
    """In a new epoch nothing commits before chains are compared, and nothing makes room before it commits."""
    for _ in range(FOLLOWED_BATCHES_MAX):
        backup.give(frame(batch_after(backup, 1)))
    backup.fsync()
    backup.follow(5)
    backup.live(6 * BEACON_MS)
    assert {fetch.after_seq for fetch in backup.told(Fetch)} == {FOLLOWED_BATCHES_MAX}


def test_r8_an_answer_to_an_earlier_question_is_ignored(backup: Driver) -> None:
    backup.give(frame(batch_after(backup, 1)))
    backup.fsync()
    backup.clear()
    backup.give(Mismatch(CLUSTER, 3, b"\1" * 32, 0, bytes(32)))
    assert backup.told(Fetch) == []
    assert sum(backup.replica.node.ignored.values()) == 1


def test_r8_a_primary_that_differs_below_the_commit_point_stops_the_backup(backup: Driver) -> None:
    mine = batch_after(backup, 1)
    backup.give(frame(mine))
    backup.give(beacon(backup, head=mine, commit_seq=1))
    backup.fsync()
    assert backup.replica.node.commit_seq == 1
    builder = BatchBuilder(4, 1, bytes(32), mine.ts_us)
    builder.add("es", record(EpochStarted("a", ("a",), "start", 0, 0)))
    backup.give(Registered(register(4, A, A, B), 0))
    backup.give(Batches(CLUSTER, 4, 1, 0, bytes(32), 1, (builder.seal().data,)))
    assert [effect.code for effect in backup.effects if isinstance(effect, Halt)] == ["HISTORY_DIVERGED"]
    assert backup.replica.role is Role.HALTED


# -- R9


def test_r9_a_primary_whose_disk_hangs_falls_silent_and_speaks_again(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.now_us += TIMING.stall_us + 1
    pair.clear()
    for _ in range(5):
        pair.tick(BEACON_MS)
    assert pair.beacons() == []
    assert pair.told(Heartbeat) == []
    assert not pair.replica.speaks(pair.now)
    pair.fsync()
    pair.tick(BEACON_MS)
    assert len(pair.beacons()) == 1
    assert len(pair.told(Heartbeat, WITNESS)) == 1


class AlwaysDue(Ledger):
    """A ledger with a deadline that has passed."""

    def fresh(self) -> AlwaysDue:
        return AlwaysDue()

    def next_deadline(self) -> int | None:
        return 1


@pytest.mark.parametrize("machine", [Ledger(), AlwaysDue()], ids=["nothing due", "something due"])
def test_r9_a_hanging_disk_does_not_make_the_loop_spin(machine: Ledger) -> None:
    driver = Driver(machines=[machine])
    driver.become_primary()
    driver.ask("w", Credit("x", 5))
    driver.now_us += TIMING.stall_us + 1
    driver.tick(BEACON_MS)
    assert driver.replica.deadline(driver.now) == driver.now_us + TIMING.beacon_us


def test_r9_who_is_halted_says_nothing(backup: Driver) -> None:
    backup.give(RolledBack(CLUSTER, 3, B, 9))
    backup.clear()
    backup.tick(10 * GRACE_MS)
    backup.give(beacon(backup))
    assert backup.effects == []
    assert not backup.replica.speaks(backup.now)
    assert refused(backup.ask("w", Total())) == "NOT_ACTIVE"


def test_r9_a_primary_whose_disk_hangs_does_not_drop_its_backup(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.ack()
    for _ in range(40):
        pair.tick(BEACON_MS)
    pair.fsync()
    assert credited(pair) == {"w": Credited("x", 5)}
    pair.live(SHRINK_MS)
    assert pair.asked_witness() is None
    pair.live(1)
    assert pair.asked_witness() is not None


def test_r3_a_primary_that_was_frozen_does_not_drop_its_backup(pair: Driver) -> None:
    pair.tick(SHRINK_MS + BEACON_MS)
    assert pair.asked_witness() is None
    pair.live(SHRINK_MS)
    assert pair.asked_witness() is None
    pair.live(1)
    assert pair.asked_witness() is not None


def test_r13_who_was_frozen_owes_that_time(alone: Driver) -> None:
    alone.ask("w", Credit("x", 5))
    alone.fsync()
    alone.tick(TIMING.stall_us / 1_000 + 1)
    alone.ask("v", Credit("y", 5))
    alone.fsync()
    assert extensions(alone)[-1].by_us == TIMING.stall_us + 1_000
    owed = len(extensions(alone))
    alone.tick(TIMING.stall_us / 1_000)
    alone.ask("u", Credit("z", 5))
    alone.fsync()
    assert len(extensions(alone)) == owed, "a disk may take so long"


def test_r8_frames_from_beyond_a_gap_are_let_go_once_it_is_filled(backup: Driver) -> None:
    first = batch_after(backup, 3)
    second = encode_batch(3, first.last_seq + 1, first.hash, first.ts_us + 1, first.entries)
    backup.give(frame(second))
    backup.give(Batches(CLUSTER, 3, 0, 0, bytes(32), second.last_seq, (first.data, second.data)))
    assert backup.head_seq == second.last_seq
    following = backup.replica.following
    assert following is not None and following._stash == {}


def test_who_stops_in_good_order_writes_down_how_far_the_log_is_committed(pair: Driver) -> None:
    pair.ask("w", Credit("x", 5))
    pair.fsync()
    pair.ack()
    assert pair.log.commit_seq() < pair.head_seq == pair.replica.node.commit_seq
    pair.take(pair.replica.stop(pair.now))
    pair.fsync()
    assert pair.log.commit_seq() == pair.head_seq
    assert pair.replica.stop(pair.now) == [], "it is written"


def test_who_is_halted_writes_nothing_more(backup: Driver) -> None:
    mine = batch_after(backup, 1)
    backup.give(frame(mine))
    backup.fsync()
    backup.give(beacon(backup, head=mine, commit_seq=1))
    assert backup.log.commit_seq() < backup.replica.node.commit_seq
    backup.give(RolledBack(CLUSTER, 3, B, 9))
    assert backup.replica.role is Role.HALTED
    assert backup.replica.stop(backup.now) == []
