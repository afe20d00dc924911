"""The search for garbage in a process that is set up: among what is new, and never again through what it remembers."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from weakref import ref
from nodes.shell import YOUNG_OBJECTS_MAX, settle_memory

class Knot:
    def __init__(self):
        self.itself = self

settle_memory()
before = gc.get_freeze_count()
knots = []
remembered = []
for number in range(4 * YOUNG_OBJECTS_MAX):
    knots.append(ref(Knot()))
    remembered.append([number])
print(gc.get_freeze_count() - before, sum(len(gc.get_objects(generation)) for generation in range(3)),
      sum(knot() is not None for knot in knots), YOUNG_OBJECTS_MAX)
"""


def test_what_a_process_remembers_is_looked_at_once_and_new_garbage_goes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    frozen, looked_at, knots_left, young_max = map(int, done.stdout.split())
    assert frozen > 3 * young_max
    assert looked_at <= young_max + 100
    assert knots_left <= young_max
