"""What the trace of each scenario must show, whatever a rewrite makes of the rest (PROTOCOL.md, faults)."""

from __future__ import annotations

B_LEADS = r"^b opening -> leading in epoch 4"
A_LEADS_ON = r"^w register 4: primary a, in sync a$"
SILENCE = r"^> run \d+\n(?=> )"
"""Time passed, and nothing was said and nothing happened."""

PROMISES: dict[str, tuple[str, ...]] = {
    "primary_dies": (
        r"^> crash a", B_LEADS, r"^> credit y 1 at b", r"^client y: b says the total is 6 \(1 copy\)",
        r"^w register 5: primary b, in sync a, b", r"^client total: b says the total is 6 \(2 copies\)",
    ),
    "promised_before": (
        r"^b promising -> claiming", r"^b crashed", r"^b following -> claiming .* granted again what was promised",
        B_LEADS,
    ),
    "backup_dies": (
        r"^client w: .* \(2 copies\)", r"^b crashed", r"^> credit x", SILENCE, A_LEADS_ON,
        r"^client x: .* \(1 copy\)",
        r"^client total: .* \(1 copy\)", r"^w register 5: primary a, in sync a, b", r"^client y: .* \(2 copies\)",
    ),
    "witness_dies": (
        r"^w crashed", r"^client x: .* \(2 copies\)", r"^> crash a", r"^> run 2000\n> ",
        r"^client y: b says NOT_ACTIVE",
        r"^b waits: the witness has not agreed", r"^w restarted",
        r"^w refuses b .*: prevote while the primary lives",
        B_LEADS, r"^client y: b says the total is 6",
    ),
    "primary_and_backup_cut_apart": (
        A_LEADS_ON, r"^client x: .* \(1 copy\)", r"^client total: b says NOT_ACTIVE, ask a",
        r"^b waits: only what is in sync may lead",
        r"^w register 5: primary a, in sync a, b", r"^client total: a says the total is 5 \(2 copies\)",
    ),
    "backup_refused_by_prevote": (
        r"^w refuses b in epoch 3: prevote while the primary lives", r"^client total: b says NOT_ACTIVE, ask a",
        A_LEADS_ON, r"^client x: .* \(1 copy\)",
    ),
    "primary_and_witness_cut_apart": (
        r"^cut a -> w, w -> a", r"^> run 2000\n> ", r"^client total: .* \(2 copies\)",
        r"^client x: .* \(2 copies\)",
    ),
    "backup_and_witness_cut_apart": (
        r"^cut b -> w, w -> b", r"^> run 2000\n> ", r"^client total: .* \(2 copies\)",
        r"^client x: .* \(2 copies\)",
    ),
    "primary_cut_off": (
        r"^> credit lost 5 at a\n> run 800\nb following", B_LEADS, r"^client x: b says the total is 2",
        r"^w refuses a .*: swap of another epoch", r"^a leading -> following",
        r"^client lost: b says the total is 7",
    ),
    "primary_cut_off_reads": (
        r"^> total at a\n> run 20\nclient total: a says", r"^> total at a\n> run 100\n> ", B_LEADS,
        r"^client y: b says",
        r"^> total at a\n> run 20\n\Z",
    ),
    "backup_cut_off": (
        A_LEADS_ON, r"^client x: .* \(1 copy\)", r"^client total: b says NOT_ACTIVE, ask a",
        r"^w register 5: primary a, in sync a, b", r"^client y: .* \(2 copies\)",
    ),
    "one_way_loss_towards_backup": (
        r"^w refuses b in epoch 3: prevote while the primary lives", A_LEADS_ON, r"^client x: .* \(1 copy\)",
        r"^client total: b says NOT_ACTIVE, ask a", r"^w register 5: primary a, in sync a, b",
    ),
    "one_way_loss_towards_primary": (
        SILENCE, A_LEADS_ON, r"^client x: .* \(1 copy\)", r"^client total: b says NOT_ACTIVE, ask a",
        r"^w register 5: primary a, in sync a, b",
    ),
    "primary_frozen": (
        r"^a paused", B_LEADS, r"^client y: b says the total is 2", r"^> release Frame",
        r"^client total: b says the total is 2", r"^a leading -> following(?![\s\S]*^client stale: a says the total)",
        r"^client x: b says the total is 7", r"^client total: a says NOT_ACTIVE, ask b",
    ),
    "primary_disk_hangs": (
        r"^a's disk hangs", SILENCE, B_LEADS, r"^client x: b says the total is 6",
        r"^client total: b says the total is 6",
    ),
    "wall_clock_jumps": (
        r"^wall clock moved by 3600000 ms", r"^client t1: a says ACCEPTED", r"^wall clock moved by -7200000 ms",
        r"^> run 4900\n> log a Expired\na logged no Expired", r"^a logged Expired 't2' ",
        r"^a logged ClockAnomaly \(36",
        r"^a logged ClockAnomaly \(-72", r"^b logged ClockAnomaly \(36", r"^b logged ClockAnomaly \(-72",
    ),
    "both_die": (
        r"^a crashed", r"^b crashed", r"^client total: b says NOT_ACTIVE", B_LEADS,
        r"^client total: b says the total is 5 \(1 copy\)", r"^client total: b says the total is 5 \(2 copies\)",
    ),
    "both_die_primary_first": (
        r"^a crashed", r"^b crashed", r"^a opening -> leading in epoch 4",
        r"^client total: a says the total is 5 \(1 copy\)",
        r"^w register 5: primary a, in sync a, b", r"^client y: a says the total is 6 \(2 copies\)",
    ),
    "primary_and_witness_die": (
        r"^a crashed", r"^w crashed", r"^> run 2000\n> ", r"^client total: b says NOT_ACTIVE",
        r"^b waits: the witness has",
        r"^w restarted", B_LEADS, r"^client total: b says the total is 5",
    ),
    "backup_and_witness_die": (
        r"^b crashed", r"^w crashed", r"^> credit x 5 at a\n> run 2000\n> ", r"^w restarted", A_LEADS_ON,
        r"^client x: .* the total is 6 \(1 copy\)",
    ),
    "backup_and_witness_die_backup_returns": (
        r"^b crashed", r"^w crashed", r"^> credit x 5 at a\n> run 2000\n> ", r"^b restarted",
        r"^client x: .* the total is 5 \(2 copies\)",
    ),
    "faculty_dies": (
        r"^client t1: a says PROPOSED C1 C2 C3 L1", r"^a logged no Expired", r"^client u1: a says DENIED",
        r"^a logged Expired 't1' ", r"^b logged Expired 't1' ", r"^client u2: a says PROPOSED C1 C2 C3 L1",
        r"^client t1: a says CANCELED ACK_TIMEOUT",
    ),
    "faculty_dies_and_returns": (
        r"^client t1: a says PROPOSED C1 C2 L1", r"^a crashed", B_LEADS, r"^client t1: b says PROPOSED C1 C2 L1",
        r"^client t1: b says ACCEPTED C1 C2 L1", r"^client t1: b says ACCEPTED C1 C2 L1", r"^b logged no Expired",
        r"^b logged Confirmed 't1' .* at seq \d+\n\Z",
    ),
    "backup_dies_then_primary": (
        r"^client x: .* \(1 copy\)", r"^a crashed", r"^b restarted\n> run 3000\n> ",
        r"^client total: b says NOT_ACTIVE",
        r"^b waits: only what is in sync may lead, and that is a", r"^a restarted",
        r"^a opening -> leading in epoch 5",
        r"^client total: a says the total is 5",
    ),
    "primary_wiped_returns_first": (
        r"^a wiped", r"^a restarted\n> run 2000\n> ", r"^client total: a says NOT_ACTIVE",
        r"^a waits: .* may not lead",
        B_LEADS, r"^w register 5: primary b, in sync a, b", r"^client total: b says the total is 5 \(2 copies\)",
    ),
    "primary_disk_fails": (
        r"^a's disk fails a write: its process ends\n> ", B_LEADS, r"^client y: b says the total is 6",
        r"^w register 5: primary b, in sync a, b", r"^client total: b says the total is 6 \(2 copies\)",
    ),
    "primary_disk_full": (
        r"^a's disk fails a write: its process ends\n> ", B_LEADS, r"^client z: b says", r"^a restarted",
        r"^a's disk fails a write: its process ends", r"^client total: b says", r"^a restarted",
        r"^w register 5: primary b, in sync a, b", r"^client y: b says the total is 6 \(2 copies\)",
    ),
    "backup_disk_full": (
        r"^client w: .* \(2 copies\)", r"^b's disk fails a write: its process ends\n> ", A_LEADS_ON,
        r"^client x: .* \(1 copy\)", r"^w register 5: primary a, in sync a, b", r"^client y: .* \(2 copies\)",
    ),
    "primary_log_damaged": (
        r"^a's disk has a flipped bit", r"^a refuses its disk: ", r"^a is down: ", B_LEADS,
        r"^client total: b says the total is 5", r"^a wiped", r"^w register 5: primary b, in sync a, b",
        r"^b crashed",
        r"^client total: a says the total is 5",
    ),
    "backup_log_damaged": (
        r"^b refuses its disk: ", A_LEADS_ON, r"^client y: .* \(1 copy\)", r"^b wiped",
        r"^w register 5: primary a, in sync a, b", r"^a crashed", r"^client total: b says the total is 6",
    ),
}  # fmt: skip
"""By scenario: what its trace must show, in this order, for the fault to have been met as PROTOCOL.md says."""
