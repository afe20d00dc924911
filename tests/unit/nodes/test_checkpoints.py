"""A server's checkpoints around a log in memory: what it signs, says, keeps and believes of what others kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from es.codec import Batch
from es.errors import LogContradicted
from es.log.base import Identity, Write
from es.log.chain import head_of
from es.log.checkpoint import SignedCheckpoint, checkpoint_at, decode, encode, sign
from es.log.memory import MemoryLog
from es.replication.effects import WITNESS, Tell
from es.replication.instant import Instant
from es.replication.messages import Checkpointed, Heartbeat, Member
from nodes.checkpoints import files as checkpoint_files
from nodes.checkpoints.files import HEADS_BYTES_MAX, HISTORY_BYTES_MAX, head_path, history_path, read
from nodes.checkpoints.issuer import AHEAD_EVENTS_MAX, SAY_US, Checkpoints
from nodes.checkpoints.keeper import FLOOD, IMPLAUSIBLE, UNSIGNED
from nodes.checkpoints.witness import WitnessCheckpoints
from nodes.config.cluster import ClusterConfig, one_host
from nodes.security import principals
from nodes.security.cluster_keys import revoke_keys
from nodes.security.secret_keys import load_secret
from tests.contract.chains import chain
from tests.unit.nodes.signers import give_keys

CLUSTER = "campus"


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    config = one_host(tmp_path, cluster_id=CLUSTER, faculties=0)
    give_keys(config.keys, "a", "b")
    for data in (config.server("a").data, config.server("b").data, config.witness.data):
        data.mkdir()
    return config


class Node:
    """Server a or b with a log in memory."""

    def __init__(self, config: ClusterConfig, name: str, batches: Sequence[Batch] = ()) -> None:
        self.config, self.name = config, name
        self.log = MemoryLog(Identity(CLUSTER, name, f"{name}1"))
        self.log.write(Write(batches))
        self.now_us = 0
        self.start()

    def start(self) -> None:
        self.checkpoints = Checkpoints(self.config, self.config.server(self.name), self.log)

    def commit(self, batches: Sequence[Batch]) -> list[Tell]:
        """What it says once these are committed and all that is due for them is done."""
        self.log.write(Write(batches))
        self.checkpoints.on_committed(batches, self.now)
        return self.later(2 * SAY_US)

    def later(self, us: int) -> list[Tell]:
        self.now_us += us
        return self.checkpoints.on_turn(self.now, self.log.head().seq)

    def hear(self, signed: SignedCheckpoint) -> list[Tell]:
        return self.checkpoints.on_message(Checkpointed(CLUSTER, encode(signed)), self.now)

    @property
    def now(self) -> Instant:
        return Instant(self.now_us, 0)

    def signs(self, batch: Batch, **other: str | int) -> SignedCheckpoint:
        """What this server's key signs about a batch, whether or not its log has it."""
        seed = load_secret(self.config.keys, principals.server(self.name)).signing_seed
        assert seed is not None
        return sign(seed, checkpoint_at(self.log.identity, head_of(batch))._replace(**other))  # type: ignore[arg-type]


@pytest.fixture
def node(config: ClusterConfig) -> Callable[..., Node]:
    made: list[Node] = []

    def make(name: str, batches: Sequence[Batch] = ()) -> Node:
        made.append(Node(config, name, batches))
        return made[-1]

    return make


Make = Callable[..., Node]


def told(said: Sequence[Tell], to: str) -> list[SignedCheckpoint]:
    return [decode(tell.message.signed) for tell in said if tell.node == to and isinstance(tell.message, Checkpointed)]


def test_what_is_committed_is_signed_and_said_to_every_other_node(node: Make) -> None:
    batches = chain(2)
    a = node("a")
    said = a.commit(batches)
    assert told(said, "b") == told(said, WITNESS) == [a.signs(batches[-1])]
    assert a.checkpoints.signed_seq == batches[-1].last_seq


def test_it_is_said_again_for_a_message_may_be_lost(node: Make) -> None:
    a, (batch,) = node("a"), chain(1)
    a.commit([batch])
    assert a.later(1) == []
    assert a.checkpoints.deadline(batch.last_seq) == a.now_us - 1 + SAY_US
    assert told(a.later(SAY_US), "b") == [a.signs(batch)]


def test_it_is_stored_beside_the_log_and_taken_up_after_a_restart(node: Make, config: ClusterConfig) -> None:
    first, second = chain(2)
    a = node("a")
    a.commit([first])
    a.commit([second])
    a.checkpoints.close()
    heads, history = (
        read(head_path(config.server("a").data, "a"), HEADS_BYTES_MAX),
        read(history_path(config.server("a").data), HISTORY_BYTES_MAX),
    )
    assert heads is not None and heads.signed == (a.signs(second),)
    assert history is not None and history.signed == (a.signs(first),), "the epoch's first"
    a.start()
    assert a.checkpoints.signed_seq == second.last_seq
    a.checkpoints.on_committed([first, second], a.now)
    assert told(a.later(SAY_US), "b") == [a.signs(second)], "not signed again"


def test_a_clean_stop_signs_the_rest(node: Make) -> None:
    first, second = chain(2)
    a = node("a")
    a.commit([first])
    a.log.write(Write([second]))
    a.checkpoints.on_committed([second], a.now)
    assert told(a.checkpoints.last(a.now, second.last_seq), "b") == [a.signs(second)]
    assert a.checkpoints.last(a.now, second.last_seq) == []


def test_what_is_kept_of_another_is_given_back(node: Make, config: ClusterConfig) -> None:
    first, second = chain(2)
    a, b = node("a"), node("b")
    assert b.hear(a.signs(second)) == []
    assert told(b.hear(a.signs(first)), "a") == [a.signs(second)], "at once to who has forgotten it"
    assert told(b.later(SAY_US), "a") == [a.signs(second)], "and now and then"
    assert told(b.later(SAY_US), WITNESS) == []
    b.checkpoints.close()
    b.start()
    assert told(b.later(SAY_US), "a") == [a.signs(second)], "through a restart"


def test_the_witness_tells_a_server_on_a_new_connection_how_far_it_was(node: Make, config: ClusterConfig) -> None:
    (batch,) = chain(1)
    a, witness, now = node("a"), WitnessCheckpoints(config, lambda: 1), Instant(0, 0)
    signed = Checkpointed(CLUSTER, encode(a.signs(batch)))
    heartbeat = Heartbeat(CLUSTER, 1, Member("a", "a1"))
    assert witness.on_message(b"first", heartbeat, now) == []
    assert witness.on_message(b"first", signed, now) == []
    assert witness.on_message(b"first", heartbeat, now) == []
    assert witness.on_message(b"second", heartbeat, now) == [signed]
    assert witness.on_message(b"second", heartbeat, now) == []
    assert witness.on_message(b"second", heartbeat._replace(member=Member("stranger", "1")), now) == []
    assert witness.on_message(b"third", heartbeat._replace(cluster_id="another"), now) == []
    assert witness.on_message(b"second", heartbeat, now) == []
    witness.close()


def test_a_server_that_was_rolled_back_stops_with_the_sentence_and_signs_no_more(node: Make) -> None:
    first, second = chain(2)
    a = node("a", [first])
    with pytest.raises(LogContradicted) as stopped:
        a.hear(a.signs(second))
    assert f"the log ends at seq {first.last_seq}, but server a had signed seq {second.last_seq}" in str(stopped.value)
    assert "kept by another node" in str(stopped.value) and "aulario init" in str(stopped.value)
    a.checkpoints.on_committed([first], a.now)
    assert a.checkpoints.last(a.now, first.last_seq) == []


def test_another_history_stops_it_whatever_incarnation_signed(node: Make) -> None:
    forged = chain(2, body_bytes=8)
    a = node("a", chain(2))
    with pytest.raises(LogContradicted, match="its history is another one"):
        a.hear(a.signs(forged[-1], incarnation="a0"))


def test_a_directory_made_anew_is_not_held_to_what_the_old_one_had(node: Make) -> None:
    first, second = chain(2)
    a = node("a", [first])
    assert a.hear(a.signs(second, incarnation="a0")) == []


def test_nothing_but_its_own_signature_stops_it(node: Make) -> None:
    first, second = chain(2)
    a, b = node("a", [first]), node("b")
    of_b = b.signs(second)
    assert a.hear(of_b._replace(checkpoint=a.signs(second).checkpoint)) == []
    assert a.checkpoints.keeper.ignored[UNSIGNED] == 1
    for _ in range(100):
        a.hear(of_b._replace(checkpoint=a.signs(second).checkpoint))
    assert a.checkpoints.keeper.ignored[FLOOD] > 0


@pytest.mark.parametrize("where", ["heads", "history"])
def test_its_own_checkpoints_keep_a_cut_log_from_starting(node: Make, config: ClusterConfig, where: str) -> None:
    first, second = chain(2)
    a, data = node("a", [first]), config.server("a").data
    if where == "heads":
        checkpoint_files.replace(head_path(data, "a"), [a.signs(second)], durable=False)
    else:
        checkpoint_files.append(history_path(data), checkpoint_files.record(a.signs(second)), durable=False)
    with pytest.raises(LogContradicted, match="a checkpoint of its own"):
        a.start()


def test_a_torn_history_goes_on_from_its_sound_part(node: Make, config: ClusterConfig) -> None:
    first, second = chain(1), chain(1, after=head_of(chain(1)[-1]), epoch=2)
    path = history_path(config.server("a").data)
    a = node("a")
    a.commit(first)
    a.checkpoints.close()
    checkpoint_files.append(path, b"\0\x99torn", durable=False)
    a.start()
    a.commit(second)
    a.checkpoints.close()
    found = read(path, HISTORY_BYTES_MAX)
    assert found is not None and found.torn is None
    assert found.signed == (a.signs(first[-1]), a.signs(second[-1]))


def test_a_rotated_key_signs_anew_what_the_old_one_had_signed(node: Make, config: ClusterConfig) -> None:
    (batch,) = chain(1)
    a = node("a")
    a.commit([batch])
    before = a.signs(batch)
    give_keys(config.keys, "a", created="2026-02-01T12:00:00Z")
    a.later(SAY_US)
    said = told(a.later(SAY_US), "b")
    assert said == [a.signs(batch)] != [before]


def test_a_server_without_a_key_signs_nothing_and_keeps_all_the_same(tmp_path: Path) -> None:
    config = one_host(tmp_path, cluster_id=CLUSTER, faculties=0)
    give_keys(config.keys, "b")
    for name in "ab":
        config.server(name).data.mkdir()
    (batch,) = chain(1)
    a, b = Node(config, "a"), Node(config, "b")
    assert a.commit([batch]) == []
    a.hear(b.signs(batch))
    assert told(a.later(SAY_US), "b") == [b.signs(batch)]
    assert a.checkpoints.signed_seq == 0


def test_what_a_revoked_key_has_signed_keeps_no_server_from_running_or_starting(
    node: Make, config: ClusterConfig
) -> None:
    first, second = chain(2)
    a, data = node("a", [first]), config.server("a").data
    stolen = a.signs(second)
    checkpoint_files.append(history_path(data), checkpoint_files.record(stolen), durable=False)
    checkpoint_files.replace(head_path(data, "a"), [stolen], durable=False)
    revoke_keys(config.keys, principals.server("a"))
    a.start()
    assert a.hear(stolen) == []
    assert a.checkpoints.keeper.ignored[UNSIGNED] == 1


def test_a_server_keeps_nothing_that_is_far_beyond_its_own_log(node: Make) -> None:
    (batch,) = chain(1)
    a, b = node("a"), node("b", [batch])
    near, far = (batch.last_seq + AHEAD_EVENTS_MAX + beyond for beyond in (0, 1))
    b.hear(a.signs(batch, seq=far))
    assert b.checkpoints.keeper.kept("a") == ()
    b.hear(a.signs(batch, seq=near))
    assert b.checkpoints.keeper.kept("a") == (a.signs(batch, seq=near),)


def test_a_witness_keeps_nothing_of_an_epoch_that_it_has_not_begun(node: Make, config: ClusterConfig) -> None:
    (batch,) = chain(1)
    a, witness, now = node("a"), WitnessCheckpoints(config, lambda: batch.epoch), Instant(0, 0)
    witness.on_message(b"a", Checkpointed(CLUSTER, encode(a.signs(batch, epoch=batch.epoch + 1))), now)
    assert witness.keeper.ignored[IMPLAUSIBLE] == 1
    witness.on_message(b"a", Checkpointed(CLUSTER, encode(a.signs(batch))), now)
    assert witness.keeper.kept("a") == (a.signs(batch),)
    witness.close()
