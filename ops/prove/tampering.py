"""`python -m ops.prove.tampering`: logs that somebody tampered with, verified as `aulario log verify` does.

    found       it is said, with a sequence number, and an alteration lies between the two that are named
    missed      it is not: a failure, wherever a checkpoint that covers it is still kept by somebody else

Two things are beyond it and are measured beside the cases: what lies after the last checkpoint that is kept
(informed hands may alter it), and hands that hold every keeper as well, unless a checkpoint was saved elsewhere.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Final

from es.errors import LogDamaged, LogError, LogMissing
from nodes.checkpoints.files import HEADS_DIRECTORY
from ops.checkpoint_evidence import evidence
from ops.checkpoint_text import to_plain
from ops.log_verification import verified
from ops.prove.disks import scratch
from ops.prove.outcome import Failure, Outcome, command, replay
from ops.prove.start import start
from ops.prove.tampering_hands import CLUMSY, INFORMED, Case, Deed, alter_tail, roll_back
from ops.prove.tampering_world import NAMES, World, build

NAME: Final = "tampering"
CASES_A_WORLD: Final = 20
HANDS: Final = {"clumsy": CLUMSY, "informed": INFORMED}
KEEPERS: Final = ("server-b", "witness")
UNTOUCHED: Final = "an untouched log"
UNSIGNED_TAIL: Final = "after the last checkpoint"
EVERY_KEEPER: Final = "with every keeper in the same hands"
SAVED: Final = "the same, against a saved checkpoint"
BESIDE: Final = (UNTOUCHED, UNSIGNED_TAIL, EVERY_KEEPER, SAVED)
"""What is measured once for every few cases."""



class Tally:
    """What was found and missed, by hands and deed, and what came of the things beside the cases."""

    def __init__(self) -> None:
        self.by_deed: dict[str, Counter[str]] = {
            f"{hands}: {deed}": Counter() for hands, deeds in HANDS.items() for deed in deeds
        }
        self.beside: dict[str, Counter[str]] = {
            name: Counter() for name in BESIDE
        }


def tampering(count: int, seed: int) -> Outcome:
    """`count` tampered logs, each deed by each kind of hands in turn."""
    began_s = time.monotonic()
    tally, failures = Tally(), []
    kinds = [(hands, deed) for deed in CLUMSY for hands in HANDS]
    with scratch() as directory:
        for number in range(count):
            if number % CASES_A_WORLD == 0:
                shutil.rmtree(directory / "world", ignore_errors=True)
                world = build(directory / "world", seed + number // CASES_A_WORLD)
                failures += _beside(world, seed + number, number, tally)
            hands, deed = kinds[number % len(kinds)]
            drawn = random.Random(f"tampering {seed} {number}")
            wrong = _case(world, drawn, hands, deed)
            tally.by_deed[f"{hands}: {deed}"]["missed" if wrong else "found"] += 1
            if wrong:
                failures.append(Failure(f"case {number}: {hands}: {deed}: {wrong}", replay(NAME, number + 1, seed)))
    details = {"seed": seed, **{name: dict(sorted(met.items())) for name, met in tally.by_deed.items()}}
    details |= {name: dict(sorted(met.items())) for name, met in tally.beside.items()}
    return Outcome(NAME, count, tuple(failures), round(time.monotonic() - began_s, 1), details)


def _case(world: World, drawn: random.Random, hands: str, deed: str) -> str | None:
    """Tamper, after one keeper was silenced at random or none; what is wrong with what is said of it."""
    world.lay_out()
    silenced = drawn.choice((None, *KEEPERS))
    if silenced is not None:
        shutil.rmtree(world.directory / silenced / HEADS_DIRECTORY)
    signed_seq = max(world.kept[keeper, "a"] for keeper in KEEPERS if keeper != silenced)
    done = HANDS[hands][deed](Case(drawn, world, signed_seq))
    told = [said for name in (NAMES if deed == "swap" else ("a",)) for said in _told(world, name)]
    if not told:
        return f"not found: {done.what}, with {silenced or 'nobody'} silenced"
    return None if hands == "clumsy" else _misplaced(told, done)


def _misplaced(told: list[str], done: Deed) -> str | None:
    """Informed hands leave a whole chain: then it is said where they were."""
    if not any(re.search(r"seq \d", one) for one in told):
        return f"found, but not said where: {told[0]}"
    for one in told:
        place = re.search(r"altered between seq (\d+) and seq (\d+)", one)
        if place and not int(place[1]) <= done.from_seq <= int(place[2]):
            return f"{done.what} is said to lie elsewhere: {one}"
    return None


def _told(world: World, name: str, against: tuple[Path, ...] = ()) -> list[str]:
    """What the verification of a server's log finds; nothing if it is what was signed."""
    data = world.config.server(name).data
    try:
        return list(verified(data, world.config, evidence(data, world.config, against)).findings)
    except (LogDamaged, LogMissing, LogError) as refused:
        return [str(refused)]


def _beside(world: World, seed: int, number: int, tally: Tally) -> list[Failure]:
    """What is measured once for each world: no case, but what the cases rest on."""
    failures = []
    world.lay_out()
    accused = [said for name in NAMES for said in _told(world, name)]
    tally.beside[UNTOUCHED]["accused" if accused else "passed"] += 1
    if accused:
        failures.append(Failure(f"an untouched log is accused: {accused[0]}", replay(NAME, number + 1, seed)))
    saved = world.directory / "saved.json"
    records = evidence(world.config.server("a").data, world.config).genuine()
    newest = max((one for one in records if one.checkpoint.node == "a"), key=lambda one: one.checkpoint.seq)
    saved.write_text(json.dumps(to_plain(newest, None)), encoding="utf-8")

    case = Case(random.Random(f"beside {seed}"), world, newest.checkpoint.seq)
    if world.chains["a"][-1].last_seq > newest.checkpoint.seq:
        alter_tail(case)
        tally.beside[UNSIGNED_TAIL]["found" if _told(world, "a") else "not found"] += 1
        world.lay_out()
    roll_back(case)
    for keeper in KEEPERS:
        shutil.rmtree(world.directory / keeper / HEADS_DIRECTORY)
        shutil.copytree(world.stages[0] / keeper / HEADS_DIRECTORY, world.directory / keeper / HEADS_DIRECTORY)
    tally.beside[EVERY_KEEPER]["found" if _told(world, "a") else "not found"] += 1
    convicted = _told(world, "a", (saved,))
    tally.beside[SAVED]["found" if convicted else "not found"] += 1
    if not convicted:
        failures.append(Failure("a saved checkpoint convicts nobody", replay(NAME, number + 1, seed)))
    return failures


if __name__ == "__main__":
    start(command(NAME, tampering, count=1_000, what="Tamper with logs and verify them."))
