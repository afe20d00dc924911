"""Whether a fault struck, read from what strace says."""

from __future__ import annotations

import pytest

from ops.prove.injection import has_struck

STRUCK = {
    "in one line": "7 fdatasync(5</x/log/data.mdb>) = -1 EIO (Input/output error) (INJECTED)\n",
    "in two": (
        "7  fdatasync(5</x/log/data.mdb> <unfinished ...>\n"
        "8  pwrite64(6</x/log/other>, \"\", 1, 0) = 1\n"
        "7  <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)\n"
    ),
}
MISSED = {
    "another file": "7 pwrite64(5</x/log/last-write>, \"\", 1, 0) = -1 EIO (Input/output error) (INJECTED)\n",
    "another call": "7 fdatasync(5</x/log/data.mdb>) = 0\n",
    "another thread's": (
        "7  fdatasync(5</x/log/data.mdb> <unfinished ...>\n"
        "8  pwrite64(6</x/log/other>, \"\", 1, 0) = -1 EIO (Input/output error) (INJECTED)\n"
        "7  <... fdatasync resumed>) = 0\n"
    ),
    "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("how", STRUCK)
def test_a_call_on_the_file_that_was_made_to_fail_has_struck(how: str) -> None:
    assert has_struck(STRUCK[how], "data.mdb")


@pytest.mark.parametrize("how", MISSED)
def test_anything_else_has_not(how: str) -> None:
    assert not has_struck(MISSED[how], "data.mdb")
