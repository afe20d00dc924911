"""The witness: who may change the register, and every refusal by its name."""

from __future__ import annotations

import pytest

from es.replication.effects import Halt
from es.replication.messages import (
    Ack,
    CompareAndSwap,
    Granted,
    Heartbeat,
    Member,
    Message,
    Prevote,
    Register,
    Registered,
)
from es.replication.timing import Timing
from es.replication.witness import Reply, Save, Witness, WitnessEffect, seeded

TIMING = Timing()
NAMES = ("a", "b")
A, B, STRANGER = Member("a", "a1"), Member("b", "b1"), Member("c", "c1")
REGISTER = Register("c", 7, A, (A, B), 4, "a-life")
OLDER = Register("c", 6, B, (B,), 4, "b-life")
LATER_US = 10 * TIMING.grace_us


def witness(silent_us: int = TIMING.grace_us) -> Witness:
    """It started long ago and last heard the primary `silent_us` before LATER_US."""
    keeper = Witness(REGISTER, TIMING, 0, NAMES)
    keeper.step(Heartbeat("c", 7, A), LATER_US - silent_us)
    return keeper


def prevote(epoch: int = 7, member: Member = B) -> Prevote:
    return Prevote("c", epoch, member)


def swap(
    epoch: int = 7,
    member: Member = B,
    primary: Member = B,
    in_sync: tuple[Member, ...] = (B,),
    said_us: int = LATER_US,
) -> CompareAndSwap:
    return CompareAndSwap("c", epoch, member, primary, in_sync, "b-life", said_us)


def granted(effects: list[WitnessEffect]) -> list[Granted]:
    return [one.message for one in effects if isinstance(one, Reply) and isinstance(one.message, Granted)]


def test_a_backup_in_sync_gets_its_prevote_when_the_primary_is_silent_here_too() -> None:
    effects = witness().step(prevote(), LATER_US)
    assert granted(effects) == [Granted("c", 7, B)]
    assert effects[-1] == Reply("b", Registered(REGISTER, LATER_US))


@pytest.mark.parametrize(
    ("silent_us", "message", "why"),
    [
        (TIMING.grace_us, prevote(epoch=6), "prevote for another epoch"),
        (TIMING.grace_us, prevote(member=STRANGER), "prevote of a node not in sync"),
        (TIMING.grace_us, prevote(member=Member("b", "b2")), "prevote of a node not in sync"),
        (TIMING.grace_us, prevote(member=A), "prevote of the primary"),
        (TIMING.grace_us - 1, prevote(), "prevote while the primary lives"),
        (TIMING.grace_us, swap(epoch=6), "swap of another epoch"),
        (TIMING.grace_us, swap(member=STRANGER, primary=STRANGER, in_sync=(STRANGER,)), "swap of a node not in sync"),
        (TIMING.grace_us, swap(in_sync=(A,)), "swap without its primary in sync"),
        (TIMING.grace_us, swap(primary=A, in_sync=(A, B)), "swap for another primary"),
        (0, swap(member=A, primary=B, in_sync=(A, B)), "swap for another primary"),
        (0, swap(member=A, primary=Member("a", "a2"), in_sync=(A, Member("a", "a2"))), "swap for another primary"),
        (0, swap(member=A, primary=A, in_sync=(A, STRANGER)), "swap that counts in a stranger"),
        (0, swap(member=A, primary=A, in_sync=(A,), said_us=LATER_US - TIMING.grace_us), "swap that waited"),
        (0, swap(member=A, primary=A, in_sync=(A,), said_us=LATER_US + 1), "swap that waited"),
        (TIMING.grace_us - 1, swap(), "swap while the primary lives"),
        (TIMING.grace_us, Heartbeat("another", 7, A), "another cluster"),
        (TIMING.grace_us, Ack("c", 7, B, 1, bytes(32)), "not for a witness"),
    ],
)
def test_a_refusal_is_named_and_changes_nothing(silent_us: int, message: Message, why: str) -> None:
    keeper = witness(silent_us)
    effects = keeper.step(message, LATER_US)
    assert keeper.ignored == {why: 1}
    assert keeper.register == REGISTER
    assert granted(effects) == []
    assert not any(isinstance(effect, Save) for effect in effects)


@pytest.mark.parametrize(
    "message", [Heartbeat("c", 8, A), prevote(epoch=8), swap(epoch=8), Heartbeat("c", 8, STRANGER)]
)
def test_r17_who_knows_a_later_epoch_than_the_register_ends_the_witness(message: Message) -> None:
    """It was durable here before anybody could know it, so that this register was put back from an older copy."""
    keeper = witness()
    [halt] = keeper.step(message, LATER_US)
    assert isinstance(halt, Halt)
    assert (halt.code, keeper.register) == ("ROLLED_BACK", REGISTER)
    assert "knows epoch 8" in halt.sentence and "of epoch 7" in halt.sentence


def test_r17_another_clusters_epochs_say_nothing() -> None:
    keeper = witness()
    assert keeper.step(Heartbeat("another", 8, A), LATER_US) == []


def test_an_empty_witness_grants_nothing() -> None:
    keeper = Witness(None, TIMING, 0, NAMES)
    for message in (Heartbeat("c", 7, A), prevote(), swap()):
        assert keeper.step(message, LATER_US) == []
    assert keeper.ignored == {"empty witness": 3}


def test_a_witness_grants_no_prevote_for_grace_after_its_start() -> None:
    keeper = Witness(REGISTER, TIMING, LATER_US, NAMES)
    assert granted(keeper.step(prevote(), LATER_US + TIMING.grace_us - 1)) == []
    assert granted(keeper.step(prevote(), LATER_US + TIMING.grace_us)) == [Granted("c", 7, B)]


def test_a_witness_that_started_later_than_it_heard_grants_none_either() -> None:
    keeper = Witness(REGISTER, TIMING, LATER_US, NAMES)
    keeper.heard_us[A] = 0
    keeper.step(prevote(), LATER_US + 1)
    assert keeper.ignored == {"prevote while the primary lives": 1}


def test_nor_does_it_take_a_takeover_then() -> None:
    keeper = Witness(REGISTER, TIMING, LATER_US, NAMES)
    keeper.step(swap(), LATER_US)
    assert keeper.ignored == {"swap while the primary lives": 1}


def test_a_swap_that_has_not_waited_too_long_is_taken() -> None:
    keeper = witness()
    keeper.step(swap(said_us=LATER_US - TIMING.grace_us + 1), LATER_US)
    assert keeper.register == Register("c", 8, B, (B,), 4, "b-life")


def test_a_swap_is_saved_before_it_is_answered_and_names_its_author() -> None:
    keeper = witness()
    save, reply = keeper.step(swap(), LATER_US)
    changed = Register("c", 8, B, (B,), 4, "b-life")
    assert (save, reply) == (Save(changed), Reply("b", Registered(changed, LATER_US)))
    assert keeper.register == changed


def test_of_two_swaps_of_one_epoch_the_first_wins() -> None:
    keeper = witness()
    keeper.step(swap(), LATER_US)
    effects = keeper.step(swap(member=A, primary=A, in_sync=(A,)), LATER_US)
    assert effects == [Reply("a", Registered(Register("c", 8, B, (B,), 4, "b-life"), LATER_US))]
    assert keeper.changes == 1


def test_strangers_do_not_fill_its_memory() -> None:
    keeper = witness()
    for number in range(1_000):
        keeper.step(Heartbeat("c", 7, Member(f"n{number}", "1")), LATER_US)
    assert set(keeper.heard_us) == {A}


def test_every_message_of_a_primary_proves_that_it_lives() -> None:
    keeper = witness(silent_us=5 * TIMING.grace_us)
    keeper.step(swap(member=A, primary=B, in_sync=(B,)), LATER_US)
    assert granted(keeper.step(prevote(), LATER_US)) == []
    assert keeper.ignored == {"swap for another primary": 1, "prevote while the primary lives": 1}


@pytest.mark.parametrize("known", [(REGISTER, OLDER), (OLDER, REGISTER), (REGISTER, REGISTER)])
def test_r10_a_new_witness_goes_on_where_the_node_that_knows_most_is(known: tuple[Register, Register]) -> None:
    """In an epoch of its own, and with no swap of anybody's life in it: who leads claims anew (R6)."""
    assert seeded(known) == Register("c", 8, A, (A, B), 5, "")


def test_r10_two_registers_of_one_epoch_seed_none() -> None:
    with pytest.raises(ValueError, match="two registers of epoch 7"):
        seeded((REGISTER, REGISTER._replace(primary=B, in_sync=(B,)), OLDER))
