"""A small fixed part of each instrument that `ops.prove` runs at length; each has convicted its controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ops.prove.crash_states import crash_states
from ops.prove.damage import HARMS
from ops.prove.damaged_files import damaged_files
from ops.prove.failing_calls import failing_calls
from ops.prove.failing_disks import failing_disks
from ops.prove.failing_servers import failing_servers
from ops.prove.hostile_frames import hostile_frames
from ops.prove.outcome import Outcome
from ops.prove.power_cuts import power_cuts
from ops.prove.tampering import HANDS, SAVED, UNTOUCHED, tampering

Proven = Callable[[Callable[[int, int], Outcome], int], Outcome]


def test_power_cuts_lose_nothing_that_was_acknowledged(proven: Proven) -> None:
    outcome = proven(power_cuts, 8)
    for control in ("no-metasync", "no-sync"):
        assert outcome.details[f"control: {control}"].startswith("lost at cut")
    assert outcome.details["while writing"] >= 1


def test_no_crash_state_is_lost_or_altered(proven: Proven) -> None:
    outcome = proven(crash_states, 1_500)
    assert outcome.details["control: metasync off"]["lost"] > 0
    assert sum(outcome.details["control: lying flush"].values()) > 0
    assert outcome.details["crash points"] >= 60


def test_a_damaged_file_is_never_served(proven: Proven) -> None:
    outcome = proven(damaged_files, 3 * len(HARMS))
    found = sum((Counter(outcome.details[harm]) for harm in HARMS), Counter[str]())
    assert found["detected"] >= len(HARMS)


def test_whoever_tampers_with_a_log_is_found_out(proven: Proven) -> None:
    outcome = proven(tampering, 24)
    assert all(outcome.details[f"{hands}: {deed}"] == {"found": 2} for hands, deeds in HANDS.items() for deed in deeds)
    assert outcome.details[UNTOUCHED] == {"passed": 2}
    assert outcome.details[SAVED] == {"found": 2}


def test_a_failing_call_stops_the_writer_and_loses_nothing(proven: Proven) -> None:
    outcome = proven(failing_calls, 10)
    assert any("LOG_WRITE_FAILED" in ending for ending in outcome.details)
    assert outcome.details["control: deaf"].startswith("convicted: ")


def test_a_full_or_read_only_disk_stops_the_writer_and_loses_nothing(proven: Proven) -> None:
    outcome = proven(failing_disks, 4)
    assert (outcome.details["full"], outcome.details["read only"]) == (2, 2)


def test_no_frame_ends_a_process_or_grows_it(proven: Proven) -> None:
    outcome = proven(hostile_frames, 3_000)
    controls = [said for what, said in outcome.details.items() if what.startswith("control: ")]
    assert len(controls) == 4 and all(said.startswith("convicted by frame") for said in controls)
    assert outcome.details["arcs"] >= 300
    assert len(outcome.details["sent"]) == 11 and outcome.details["polite_results"] > 0


def test_a_server_whose_disk_fails_says_so_and_the_other_goes_on(proven: Proven) -> None:
    outcome = proven(failing_servers, 2)
    assert outcome.details["accepted"] > 0
