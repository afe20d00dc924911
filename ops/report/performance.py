"""The loads of the report: Table 3 (CP7), a primary killed with requests in flight (CP8), ever more at once (CP9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from nodes.clients.program_crowd import Wish
from nodes.config.cluster import PATTERNS
from nodes.shell import read_clock
from nodes.wire.schema import ProgramRequest
from ops.report.facts import Load, Round, Step, Strike
from ops.report.stage import Stage
from projections.timings import Told

FACULTIES: Final = 5
"""Of either pattern; each with its five programs."""

MINIMUM, MAXIMUM = (7, 2), (10, 4)
MIRRORED: Final = ((2, 7), (4, 10))
"""Table 3's "o cómo máximo": classrooms and labs the other way round."""

STRUCK_REQUESTS: Final = 600
STRUCK_IN_FLIGHT: Final = 20
STEPS: Final = (10, 50, 200, 500)
STEP_REQUESTS_MIN: Final = 400


def loads(*, mirrored: bool) -> list[Load]:
    """The columns of Table 3, in the seed's order: each pattern with the minimum, then the maximum."""
    rooms = (MINIMUM, MAXIMUM, *(MIRRORED if mirrored else ()))
    return [Load(pattern, *asked) for pattern in PATTERNS for asked in rooms]


def warm_up(stage: Stage) -> None:
    """Every program asks once, so that whatever happens only once is not measured."""
    stage.ask(stage.many(len(stage.config.faculties) * 5, 1, 0, "warm-up"), STRUCK_IN_FLIGHT)


def rounds(stage: Stage, columns: Iterable[Load], repeat: int) -> Iterator[Round]:
    """Every load `repeat` times in turn, each in a fresh term: five faculties, five programs each, all at once."""
    for number in range(1, repeat + 1):
        for load in columns:
            term = f"{load.pattern}-{load.classrooms}-{load.labs}-{number}"
            wishes = [
                Wish(faculty, ProgramRequest(name, load.classrooms, load.labs, term))
                for faculty in stage.faculties(load.pattern)[:FACULTIES]
                for name in list(faculty.programs.values())[:FACULTIES]
            ]
            began_us = read_clock().boot_us
            stage.ask(wishes, len(wishes))
            yield Round(load, term, began_us, read_clock().boot_us)


def strike(stage: Stage) -> Strike:
    """Kill the primary after half of the results, let the rest come, and bring it back."""
    wishes = stage.many(STRUCK_REQUESTS, *MINIMUM, "struck")
    primary = stage.primary()
    told_so_far = 0
    killed_us = 0

    def on_told(_told: Told) -> None:
        nonlocal told_so_far, killed_us
        told_so_far += 1
        if told_so_far == STRUCK_REQUESTS // 2:
            stage.kill(primary)
            killed_us = read_clock().boot_us

    told = stage.ask(wishes, STRUCK_IN_FLIGHT, on_told)
    stage.heal(primary["name"])
    later = [one.began_us + one.us for one in told if (one.epoch or 0) > primary["epoch"]]
    terms = list(dict.fromkeys(wish.request.term or "" for wish in wishes))
    return Strike(primary["name"], primary["epoch"], killed_us, min(later, default=None), terms)


def stress(stage: Stage) -> Iterator[Step]:
    """Ever more programs at once."""
    for in_flight in STEPS:
        prefix = f"stress-{in_flight}"
        wishes = stage.many(max(STEP_REQUESTS_MIN, 2 * in_flight), *MINIMUM, prefix)
        began_us = read_clock().boot_us
        stage.ask(wishes, in_flight)
        yield Step(in_flight, prefix, began_us, read_clock().boot_us)
