"""Who keeps another's checkpoints believes its signature alone, and never gives a newer one away for an older one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from es.log.checkpoint import Checkpoint, SignedCheckpoint, encode
from nodes.checkpoints.files import head_path, replace
from nodes.checkpoints.keeper import (
    ANOTHER_CLUSTER,
    CHECKS_MAX,
    CHECKS_US,
    FLOOD,
    IMPLAUSIBLE,
    INCARNATIONS_MAX,
    MALFORMED,
    STRANGER,
    TWO_HISTORIES,
    UNSIGNED,
    CheckpointKeeper,
)
from nodes.security.cluster_keys import revoke_keys, rotate_keys
from nodes.security.keys import save_allowed
from nodes.security.principals import server
from nodes.security.secret_keys import load_secret
from nodes.security.signing_keys import SigningKeys
from tests.unit.nodes.signers import CLUSTER, give_keys, signed

REACHABLE_SEQ = 1 << 30


def is_plausible(checkpoint: Checkpoint) -> bool:
    return checkpoint.seq <= REACHABLE_SEQ


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    give_keys(tmp_path / "keys", "a", "b", "stranger")
    return tmp_path / "keys"


@pytest.fixture
def keeper(keys: Path, tmp_path: Path) -> CheckpointKeeper:
    def store(node: str, some: Iterable[SignedCheckpoint]) -> None:
        replace(head_path(tmp_path, node), some, durable=False)

    return CheckpointKeeper(tmp_path, CLUSTER, ["a", "b"], SigningKeys(keys), store, is_plausible)


def test_the_newest_is_kept_also_through_a_restart(keeper: CheckpointKeeper, keys: Path, tmp_path: Path) -> None:
    for seq in (3, 9):
        assert keeper.take(signed(keys, "a", seq)) is None
    assert keeper.kept("a") == (signed(keys, "a", 9),)
    again = CheckpointKeeper(tmp_path, CLUSTER, ["a", "b"], SigningKeys(keys), lambda node, some: None, is_plausible)
    assert (again.kept("a"), again.kept("b")) == ((signed(keys, "a", 9),), ())


def test_who_says_an_older_one_is_given_the_newer(keeper: CheckpointKeeper, keys: Path) -> None:
    keeper.take(signed(keys, "a", 9))
    assert keeper.take(signed(keys, "a", 3)) == signed(keys, "a", 9)
    assert keeper.take(signed(keys, "a", 9)) is None
    assert keeper.kept("a") == (signed(keys, "a", 9),)


def test_what_its_node_has_not_signed_is_not_kept(keeper: CheckpointKeeper, keys: Path) -> None:
    keeper.take(signed(keys, "a", 3))
    of_b = signed(keys, "b", 9)
    forged = of_b._replace(checkpoint=of_b.checkpoint._replace(node="a"))
    assert keeper.take(forged) is None
    assert keeper.take(signed(keys, "stranger", 9)) is None
    assert (keeper.ignored[UNSIGNED], keeper.ignored[STRANGER]) == (1, 1)
    assert keeper.kept("a") == (signed(keys, "a", 3),)
    assert (keeper.kept("b"), keeper.kept("stranger")) == ((), ())


def test_the_first_of_two_histories_stays(keeper: CheckpointKeeper, keys: Path) -> None:
    keeper.take(signed(keys, "a", 9))
    keeper.take(signed(keys, "a", 9, history=1))
    assert keeper.kept("a") == (signed(keys, "a", 9),)
    assert keeper.ignored[TWO_HISTORIES] == 1


def test_incarnations_are_kept_side_by_side_and_bounded(keeper: CheckpointKeeper, keys: Path) -> None:
    reach = (50, 10, 40, 20, 30)
    assert len(reach) == INCARNATIONS_MAX + 1
    for number, seq in enumerate(reach):
        keeper.take(signed(keys, "a", seq, incarnation=str(number)))
    assert [one.checkpoint.seq for one in keeper.kept("a")] == [50, 40, 20, 30]


def test_what_lies_there_unsigned_does_not_stand_in_the_way(keys: Path, tmp_path: Path) -> None:
    huge = signed(keys, "a", 3)
    huge = huge._replace(checkpoint=huge.checkpoint._replace(seq=1 << 40))
    replace(head_path(tmp_path, "a"), [huge, signed(keys, "b", 4)], durable=False)
    keeper = CheckpointKeeper(tmp_path, CLUSTER, ["a"], SigningKeys(keys), lambda node, some: None, is_plausible)
    assert keeper.kept("a") == ()
    keeper.take(signed(keys, "a", 5))
    assert keeper.kept("a") == (signed(keys, "a", 5),)


@pytest.fixture
def signing(keys: Path) -> SigningKeys:
    return SigningKeys(keys)


@pytest.fixture
def following(signing: SigningKeys, tmp_path: Path) -> CheckpointKeeper:
    """A keeper whose keys the test reads again."""
    return CheckpointKeeper(tmp_path, CLUSTER, ["a", "b"], signing, lambda node, some: None, is_plausible)


def test_what_a_revoked_key_has_signed_counts_no_more_and_stands_in_nobodys_way(
    following: CheckpointKeeper, signing: SigningKeys, keys: Path
) -> None:
    stolen = signed(keys, "a", REACHABLE_SEQ)
    following.take(stolen)
    assert following.take(signed(keys, "a", 7)) == stolen
    rotate_keys(keys, server("a"), keep_old=False)
    signing.refresh()
    assert following.kept("a") == ()
    assert following.take(signed(keys, "a", 7)) is None
    assert following.take(stolen) is None
    assert (following.kept("a"), following.ignored[UNSIGNED]) == ((signed(keys, "a", 7),), 1)


def test_what_is_kept_counts_again_when_its_key_is_let_in_again(
    following: CheckpointKeeper, signing: SigningKeys, keys: Path
) -> None:
    """A list that was empty for a moment gives no proof away."""
    one = signed(keys, "a", 9)
    following.take(one)
    public = load_secret(keys, server("a")).public
    revoke_keys(keys, server("a"))
    signing.refresh()
    assert following.kept("a") == ()
    save_allowed(keys, public)
    signing.refresh()
    assert following.kept("a") == (one,)


def test_room_is_made_by_what_counts_no_more(
    following: CheckpointKeeper, signing: SigningKeys, keys: Path
) -> None:
    following.take(signed(keys, "a", REACHABLE_SEQ, incarnation="stolen"))
    rotate_keys(keys, server("a"), keep_old=False)
    signing.refresh()
    own = tuple(signed(keys, "a", seq, incarnation=str(seq)) for seq in range(1, INCARNATIONS_MAX + 1))
    for one in own:
        following.take(one)
    assert following.kept("a") == own


def test_what_cannot_be_is_not_kept(keeper: CheckpointKeeper, keys: Path) -> None:
    keeper.take(signed(keys, "a", 3))
    keeper.take(signed(keys, "a", REACHABLE_SEQ + 1))
    assert (keeper.kept("a"), keeper.ignored[IMPLAUSIBLE]) == ((signed(keys, "a", 3),), 1)


def test_messages_are_read_as_checkpoints_of_this_cluster_or_counted(keeper: CheckpointKeeper, keys: Path) -> None:
    one = signed(keys, "a", 3)
    other = one._replace(checkpoint=one.checkpoint._replace(cluster_id="another"))
    assert keeper.read(encode(one), 0) == one
    assert keeper.read(encode(other), 0) is None
    assert keeper.read(b"junk", 0) is None
    assert (keeper.ignored[ANOTHER_CLUSTER], keeper.ignored[MALFORMED]) == (1, 1)


def test_a_flood_is_looked_at_within_bounds(keeper: CheckpointKeeper, keys: Path) -> None:
    encoded = encode(signed(keys, "a", 3))
    read = [keeper.read(encoded, CHECKS_US) is not None for _ in range(CHECKS_MAX + 5)]
    assert read.count(True) == CHECKS_MAX
    assert keeper.ignored[FLOOD] == 5
    assert keeper.read(encoded, 2 * CHECKS_US) is not None


def test_a_rotated_key_is_followed(keys: Path) -> None:
    signing = SigningKeys(keys, "a")
    before = signing.seed
    assert not signing.refresh()
    give_keys(keys, "a", created="2026-02-01T12:00:00Z")
    assert signing.refresh()
    assert signing.seed not in (None, before)
    assert len(signing.of("a")) == 2, "the old key is allowed until it is revoked"


def test_without_a_key_nothing_is_signed(tmp_path: Path) -> None:
    assert SigningKeys(tmp_path / "none", "a").seed is None
    assert SigningKeys(tmp_path / "none").of("a") == ()
