"""How a result is shown to people."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nodes.wire.schema import Receipt, Res
from ops.request import _print_result
from tests.unit.ops.command import REPOSITORY

GRANTED = Res("t1", "ACCEPTED", None, None, ("C1", "C2"), ("L1",), (), Receipt(4, 19, "ab", 2))


@pytest.mark.parametrize(("copies", "shown"), [(1, "1 copy"), (2, "2 copies")])
def test_a_result_in_lines(capsys: pytest.CaptureFixture[str], copies: int, shown: str) -> None:
    _print_result(GRANTED._replace(receipt=Receipt(4, 19, "ab", copies)), 11_700)
    assert capsys.readouterr().out.splitlines() == [
        "ACCEPTED in 11.7 ms", "transaction  t1", "classrooms   2: C1 C2", "labs         1: L1",
        f"receipt      epoch 4, seq 19, {shown}, hash ab",
    ]  # fmt: skip


def test_a_reader_that_leaves_after_the_first_line_has_all_of_it() -> None:
    """A pipe that keeps writes apart: what one read gives is what one write took."""
    code = (
        "from ops.request import _print_result\n"
        "from ops.streams import ready_streams\n"
        "from tests.unit.ops.test_request import GRANTED\n"
        "ready_streams()\n"
        "_print_result(GRANTED, 11_700)\n"
    )
    reader, writer = os.pipe2(os.O_DIRECT)
    try:
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, stdout=writer, timeout=60, check=True)
        assert len(os.read(reader, 65_536).splitlines()) == 5
    finally:
        os.close(reader)
        os.close(writer)
