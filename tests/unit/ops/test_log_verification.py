"""`aulario log verify` against signed checkpoints: what contradicts them, what is not there, and who is believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from es.codec import Batch
from es.log.base import Identity, Write
from es.log.chain import head_of
from es.log.checkpoint import Checkpoint, SignedCheckpoint, checkpoint_at, sign
from es.log.lmdb_log import LmdbLog
from nodes.checkpoints import files as checkpoint_files
from nodes.checkpoints.files import head_path, history_path, record
from nodes.security import principals
from nodes.security.cluster_keys import rotate_keys
from nodes.security.keys import new_keys, save_allowed
from nodes.security.secret_keys import load_secret, save_secret
from ops.checkpoint_text import to_plain
from ops.log_reader import opened
from tests.contract.chains import chain
from tests.unit.ops.command import aulario


def batches_of(data: Path) -> list[Batch]:
    with opened(data) as log:
        return list(log.batches())


def signed(directory: Path, batch: Batch, node: str = "a", incarnation: str | None = None) -> SignedCheckpoint:
    """What a server's key signs about its directory and that batch."""
    with opened(directory / f"server-{node}") as log:
        owner = log.identity
    seed = load_secret(directory / "keys", principals.server(node)).signing_seed
    assert seed is not None
    checkpoint = checkpoint_at(owner, head_of(batch))
    return sign(seed, checkpoint._replace(incarnation=incarnation or owner.incarnation))


def keep(place: Path, one: SignedCheckpoint) -> None:
    checkpoint_files.replace(head_path(place, one.checkpoint.node), [one], durable=False)


def own_history(directory: Path, *some: SignedCheckpoint) -> None:
    checkpoint_files.append(history_path(directory / "server-a"), b"".join(map(record, some)), durable=False)


def store(data: Path, batches: Sequence[Batch]) -> None:
    """A log with the same owner and other batches in the place of the one that is there."""
    with opened(data) as log:
        owner = log.identity
    for file in ("data.mdb", "last_write", "lock.mdb"):
        (data / file).unlink(missing_ok=True)
    log = LmdbLog.create(data, owner)
    if batches:
        log.write(Write(batches, commit_seq=batches[-1].last_seq))
    log.close()


def verify(directory: Path, *options: object) -> tuple[int, dict[str, Any]]:
    done = aulario("log", "verify", directory / "server-a", "-o", "json", *map(str, options))
    return done.returncode, json.loads(done.stdout)


def test_a_log_that_nobody_signed_is_not_shown_to_be_what_it_was(history: Path) -> None:
    code, told = verify(history)
    assert (code, told["findings"], told["signed_seq"], told["checkpoints"]) == (1, [], 0, 0)
    assert told["unsigned_events"] == told["head_seq"]
    assert "only its chain of hashes was checked" in told["unproven"][0]


def test_a_log_of_a_cluster_without_keys_is_whole_and_that_is_all(history: Path) -> None:
    config = history / "aulario.toml"
    config.write_text(config.read_text().replace('security = "curve"', 'security = "none"'))
    assert verify(history)[0] == 1, "it has keys: somebody may just have written that it signs nothing"
    shutil.rmtree(history / "keys")
    code, told = verify(history)
    assert (code, told["findings"], told["unproven"]) == (0, [], [])
    assert "only its chain of hashes was checked" in told["notes"][-1]


def test_an_emptied_log_is_not_ok_where_anything_speaks_of_more(history: Path) -> None:
    batches = batches_of(history / "server-a")
    keep(history / "server-b", signed(history, batches[0], "b"))
    store(history / "server-a", [])
    code, told = verify(history)
    assert (code, told["events"], told["findings"]) == (1, 0, [])
    (history / "server-b" / "heads" / "b").unlink()
    assert verify(history)[0] == 0, "nor is it more than empty: as before its first event"


@pytest.mark.parametrize("gone", ["the key", "every key", "the configuration"])
def test_a_forged_log_is_not_ok_where_what_would_convict_it_was_taken_away(history: Path, gone: str) -> None:
    batches = batches_of(history / "server-a")
    own_history(history, *(signed(history, batch) for batch in batches))
    keep(history / "server-b", signed(history, batches[0], "b"))
    store(history / "server-a", [*batches[:1], *chain(6, head_of(batches[0]))])
    assert verify(history)[0] == 4
    allowed = history / "keys" / "allowed"
    if gone == "the key":
        next(allowed.glob("server-a.*")).unlink()
    elif gone == "every key":
        shutil.rmtree(allowed)
    else:
        (history / "aulario.toml").unlink()
    code, told = verify(history)
    assert (code, told["findings"]) == (1, [])
    assert "are signed with no key that is known, the newest at seq" in told["unproven"][0]
    assert any(str(allowed) in note for note in told["notes"]) == (gone == "every key"), "why is told"


def test_a_saved_checkpoint_whose_key_was_taken_away_is_not_made_up_for_by_an_older_one(history: Path) -> None:
    batches = batches_of(history / "server-a")
    lines = save(history, signed(history, batches[0], "b"), signed(history, batches[-1]))
    store(history / "server-a", [*batches[:1], *chain(6, head_of(batches[0]))])
    assert against(history, lines)[0] == 4
    next((history / "keys" / "allowed").glob("server-a.*")).unlink()
    code, told, _ = against(history, lines)
    assert (code, told["findings"], told["signed_seq"]) == (1, [], batches[0].last_seq)
    assert f"the newest at seq {batches[-1].last_seq} ({lines})" in told["unproven"][0]
    own_history(history, signed(history, batches[-1]))
    assert against(history, lines)[0] == 1, "also where the same lies beside the log"


def test_a_file_of_checkpoints_that_cannot_be_read_accuses_nobody(history: Path) -> None:
    keep(history / "witness", signed(history, batches_of(history / "server-a")[-1]))
    history_path(history / "server-a").mkdir()
    code, told = verify(history)
    assert (code, told["findings"]) == (1, [])
    assert told["damaged"] == [f"{history_path(history / 'server-a')} cannot be read: Is a directory"]


def test_a_log_that_is_as_signed_says_how_far_and_by_whom(history: Path) -> None:
    first, *_, last = batches_of(history / "server-a")
    own_history(history, signed(history, first))
    keep(history / "witness", signed(history, last))
    keep(history / "server-b", signed(history, first, "b"))
    code, told = verify(history)
    assert (code, told["findings"], told["notes"]) == (0, [], [])
    assert (told["signed_seq"], told["unsigned_events"], told["checkpoints"]) == (last.last_seq, 0, 3)
    assert told["signed_by"] == ["a", "b"]
    shown = aulario("log", "verify", history / "server-a").stdout
    assert f"signed up to seq {last.last_seq}, 0 events after it; 3 checkpoints" in shown


def test_a_history_that_was_hashed_anew_is_found_between_two_checkpoints(history: Path) -> None:
    batches = batches_of(history / "server-a")
    own_history(history, signed(history, batches[0]))
    keep(history / "witness", signed(history, batches[2]))
    store(history / "server-a", [batches[0], *chain(4, after=head_of(batches[0]))])
    code, (finding,) = verify(history)[0], verify(history)[1]["findings"]
    assert code == 4
    between = f"altered between seq {batches[0].last_seq + 1} and seq {batches[2].last_seq}"
    assert "kept by the witness" in finding and finding.endswith(between)


@pytest.mark.parametrize("agreeing", [1, 2], ids=["at that seq", "beyond it"])
def test_two_histories_that_were_signed_are_no_range_of_altered_events(history: Path, agreeing: int) -> None:
    """The hash of a later batch covers the earlier ones: the log is one of the two histories, whole."""
    batches = batches_of(history / "server-a")
    one = signed(history, batches[1])
    other = signed_as(history, one.checkpoint._replace(hash=bytes(32)))
    own_history(history, signed(history, batches[0]), signed(history, batches[agreeing]))
    keep(history / "witness", other)
    code, told = verify(history)
    [finding] = told["findings"]
    assert (code, "kept by the witness" in finding, "altered" in finding) == (4, True, False)
    up_to = batches[agreeing].last_seq
    assert finding.endswith(
        f"up to seq {up_to} the log is what was signed, so two histories were signed that differ at "
        f"seq {batches[1].last_seq} or before"
    )


def test_a_configuration_of_another_cluster_says_nothing_about_the_log(history: Path) -> None:
    own_history(history, signed(history, batches_of(history / "server-a")[-1]))
    with opened(history / "server-a") as log:
        own = log.identity.cluster_id
    (history / "aulario.toml").write_text("")
    code, told = verify(history)
    assert (code, told["findings"]) == (1, [])
    assert told["unproven"] == [
        f"the configuration beside it proves nothing about the log: it is of cluster 'aulario', and the log of {own!r}"
    ]


def test_a_checkpoint_of_a_server_of_the_cluster_that_is_configured_convicts_the_log_of_another(history: Path) -> None:
    keep(history / "witness", signed(history, batches_of(history / "server-a")[-1]))
    for file in ("data.mdb", "last_write", "lock.mdb"):
        (history / "server-a" / file).unlink()
    log = LmdbLog.create(history / "server-a", Identity("another", "a", "7f3e"))
    log.write(Write(chain(9), commit_seq=1))
    log.close()
    code, told = verify(history)
    assert (code, "but the log is of cluster 'another'" in told["findings"][0]) == (4, True)


def test_a_checkpoint_of_the_other_server_convicts_as_well(history: Path) -> None:
    batches = batches_of(history / "server-a")
    keep(history / "server-b", signed(history, batches[1], "b"))
    store(history / "server-a", chain(6))
    code, told = verify(history)
    assert (code, len(told["findings"])) == (4, 1)
    assert "server b had signed" in told["findings"][0]


def test_a_cut_log_is_found_and_a_log_that_is_merely_behind_another_is_not(history: Path) -> None:
    batches = batches_of(history / "server-a")
    store(history / "server-a", batches[:2])
    keep(history / "server-b", signed(history, batches[-1], "b"))
    code, told = verify(history)
    assert (code, told["findings"], told["checkpoints"]) == (1, [], 1), "nothing speaks of what it holds so far"
    own_history(history)
    keep(history / "server-b", signed(history, batches[-1]))
    code, told = verify(history)
    assert (code, len(told["findings"])) == (4, 1)
    assert f"the log ends at seq {batches[1].last_seq}" in told["findings"][0]


def test_a_directory_made_anew_must_catch_up(history: Path) -> None:
    batches = batches_of(history / "server-a")
    keep(history / "witness", signed(history, batches[-1], incarnation="before"))
    assert verify(history)[0] == 0
    store(history / "server-a", batches[:2])
    code, told = verify(history)
    assert (code, "made anew and has not caught up" in told["findings"][0]) == (4, True)


def test_its_own_checkpoints_may_not_be_missing_while_another_keeps_one(history: Path) -> None:
    keep(history / "witness", signed(history, batches_of(history / "server-a")[0]))
    code, told = verify(history)
    assert code == 4
    assert "the server's own checkpoints are missing" in told["findings"][0]
    own_history(history)
    code, told = verify(history)
    assert (code, told["findings"], len(told["damaged"])) == (1, [], 1), "empty, as after a power cut"
    assert "the server's own file of checkpoints holds none, though it had signed up to seq" in told["damaged"][0]


def test_the_directory_of_the_other_server_is_told(history: Path) -> None:
    (history / "server-a").rename(history / "aside")
    (history / "server-b").rename(history / "server-a")
    code, told = verify(history)
    assert (code, told["findings"]) == (4, ["this is the directory of server a, but the log is of server b"])


def test_what_no_known_key_signed_accuses_nobody_and_is_told(history: Path) -> None:
    forged = chain(1)[0]
    one = signed(history, forged)
    keys = new_keys(principals.server("a"), "2026-01-31T12:00:00Z")
    assert keys.signing_seed is not None
    own_history(history)
    keep(history / "witness", sign(keys.signing_seed, one.checkpoint))
    code, told = verify(history)
    assert (code, told["findings"], told["checkpoints"]) == (1, [], 0)
    assert "1 checkpoint is signed with no key that is known" in told["unproven"][0]

    save_allowed(history / "elsewhere", keys.public)
    [public] = (history / "elsewhere" / "allowed").iterdir()
    assert verify(history, "--key", public)[0] == 4, "unless its key is named"


def test_a_record_that_is_torn_at_the_end_is_told_and_accuses_nobody(history: Path) -> None:
    own_history(history, signed(history, batches_of(history / "server-a")[0]))
    with history_path(history / "server-a").open("ab") as file:
        file.write(b"\0\x10torn")
    code, told = verify(history)
    assert (code, told["damaged"], told["checkpoints"]) == (0, [], 1)
    assert "is torn at byte" in told["notes"][0]


@pytest.mark.parametrize("content", [b"", b"foreign", b"\0" * 1_000], ids=["emptied", "short", "long"])
@pytest.mark.parametrize("place", ["server-a/checkpoints", "server-a/heads/a", "server-b/heads/a", "witness/heads/a"])
def test_damaged_evidence_is_no_evidence_and_is_told_as_such(history: Path, place: str, content: bytes) -> None:
    last = signed(history, batches_of(history / "server-a")[-1])
    own_history(history, last)
    for keeper in ("server-a", "server-b", "witness"):
        keep(history / keeper, last)
    assert verify(history)[0] == 0
    (history / place).write_bytes(content)
    done = aulario("log", "verify", history / "server-a")
    assert done.returncode == 1
    assert done.stdout.startswith("NOT SHOWN: ")
    assert done.stderr.startswith(f"Error: evidence of the log in {history}/server-a is damaged: ")
    assert done.stderr.count("\n") == 1
    assert verify(history)[1]["findings"] == []


def test_a_public_key_file_that_is_none_is_wrong_usage_as_a_saved_checkpoint_is(history: Path) -> None:
    wrong = history / "aulario.toml"
    for option in ("--key", "--against"):
        misused = aulario("log", "verify", history / "server-a", option, wrong)
        assert (misused.returncode, misused.stdout, str(wrong) in misused.stderr) == (2, "", True), option


def test_what_keepers_on_other_hosts_have_is_said_to_be_elsewhere(history: Path) -> None:
    shutil.rmtree(history / "server-b")
    assert "what server b keeps is not on this host" in verify(history)[1]["notes"]


def test_a_saved_checkpoint_is_what_verify_takes(history: Path) -> None:
    batches = batches_of(history / "server-a")
    none = aulario("log", "checkpoint", history / "server-a")
    assert (none.returncode, "has signed no checkpoint" in none.stderr) == (1, True)
    own_history(history, signed(history, batches[0]), signed(history, batches[-1]))
    printed = aulario("log", "checkpoint", history / "server-a")
    saved = history / "saved.json"
    saved.write_text(printed.stdout)
    assert json.loads(printed.stdout)["seq"] == batches[-1].last_seq
    code, told = verify(history, "--against", saved)
    assert (code, str(saved) in told["places"]) == (0, True)
    store(history / "server-a", batches[:1])
    history_path(history / "server-a").write_bytes(b"")
    assert verify(history)[0] == 1
    code, told = verify(history, "--against", saved)
    assert (code, str(saved) in told["findings"][0]) == (4, True)


@pytest.mark.parametrize(
    "text", ["", "\n", "no json", "[]", "{}", '{"cluster_id": "c"}', '{"cluster_id": 1, "hash": []}']
)
def test_a_file_that_is_no_saved_checkpoint_is_wrong_usage(history: Path, text: str) -> None:
    saved = history / "saved.json"
    saved.write_text(text)
    misused = aulario("log", "verify", history / "server-a", "--against", saved)
    assert (misused.returncode, misused.stdout, misused.stderr.count("\n")) == (2, "", 1)
    assert str(saved) in misused.stderr


def test_checkpoints_of_a_rotated_key_are_covered_by_a_newer_one(history: Path) -> None:
    batches = batches_of(history / "server-a")
    before = signed(history, batches[0])
    shutil.rmtree(history / "keys" / "allowed")
    keys = new_keys(principals.server("a"), "2026-01-31T12:00:00Z")
    save_secret(history / "keys", keys)
    save_allowed(history / "keys", keys.public)
    own_history(history, before, signed(history, batches[-1]))
    code, told = verify(history)
    assert (code, told["signed_seq"], told["checkpoints"]) == (0, batches[-1].last_seq, 1)


def save(directory: Path, *some: SignedCheckpoint, key: bytes | None = None) -> Path:
    """A file as `aulario log checkpoint` prints it."""
    saved = directory / "saved.json"
    saved.write_text("".join(json.dumps(to_plain(one, key)) + "\n" for one in some))
    return saved


def key_of(directory: Path, node: str = "a") -> bytes:
    public = load_secret(directory / "keys", principals.server(node)).public.signing
    assert public is not None
    return public


def against(directory: Path, saved: Path) -> tuple[int, dict[str, Any], str]:
    """Exit status, what is told, and the sentence on stderr."""
    done = aulario("log", "verify", directory / "server-a", "-o", "json", "--against", saved)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_saved_checkpoint_that_was_altered_is_forged(history: Path) -> None:
    one = signed(history, batches_of(history / "server-a")[-1])
    own_history(history, one)
    saved = save(history, one._replace(checkpoint=one.checkpoint._replace(hash=bytes(32))), key=key_of(history))
    code, told, said = against(history, saved)
    assert (code, told["findings"], len(told["forged"])) == (4, [], 1)
    assert told["unproven"] == told["notes"] == [], "it is not said besides to be signed with a key that is not known"
    assert f"in {saved} is forged: the key that it names has not signed it" in told["forged"][0]
    assert said == f"Error: {told['forged'][0]}\n"


def test_a_saved_checkpoint_of_a_key_that_is_not_known_proves_nothing_and_says_so(history: Path) -> None:
    one = signed(history, batches_of(history / "server-a")[-1])
    saved = save(history, one, key=key_of(history))
    rotate_keys(history / "keys", principals.server("a"), keep_old=False)
    code, told, said = against(history, saved)
    assert (code, told["findings"], told["signed_seq"]) == (1, [], 0)
    assert said == (
        f"Error: {saved} proves nothing about the log: it is signed with no known key of server a; if that was "
        "rotated, name the one of then with --key\n"
    )
    assert aulario("log", "verify", history / "server-a", "--against", saved).stdout.startswith("NOT SHOWN: ")


def test_a_saved_checkpoint_of_another_cluster_proves_nothing(history: Path) -> None:
    one = signed(history, batches_of(history / "server-a")[-1])
    keys = new_keys(principals.server("a"), "2026-01-31T12:00:00Z")
    assert keys.signing_seed is not None
    other = sign(keys.signing_seed, one.checkpoint._replace(cluster_id="another"))
    code, told, said = against(history, save(history, other, key=keys.public.signing))
    assert (code, told["findings"], "it is of cluster 'another'" in said) == (1, [], True)
    of_known_key = save(history, signed_as(history, one.checkpoint._replace(cluster_id="another")))
    assert against(history, of_known_key)[0] == 4, "a key that is known says that the log is of another cluster"


def signed_as(directory: Path, checkpoint: Checkpoint) -> SignedCheckpoint:
    seed = load_secret(directory / "keys", principals.server("a")).signing_seed
    assert seed is not None
    return sign(seed, checkpoint)


def test_a_saved_checkpoint_beyond_the_log_of_another_server_proves_nothing(history: Path) -> None:
    batches = batches_of(history / "server-a")
    saved = save(history, signed(history, batches[-1], "b"))
    store(history / "server-a", batches[:2])
    code, told, said = against(history, saved)
    assert (code, told["findings"]) == (1, [])
    assert said.endswith(f"it speaks of seq {batches[-1].last_seq}, and the log ends at seq {batches[1].last_seq}\n")


def test_of_several_saved_checkpoints_one_that_counts_is_enough(history: Path) -> None:
    batches = batches_of(history / "server-a")
    before = signed(history, batches[0])
    rotate_keys(history / "keys", principals.server("a"), keep_old=False)
    own_history(history, signed(history, batches[1]))
    code, told, _ = against(history, save(history, before, signed(history, batches[1])))
    assert (code, told["unproven"], told["signed_seq"]) == (0, [], batches[1].last_seq)
