"""A process that writes a log until it is stopped: the child of tests that kill or starve a writer.

    python -m tests.contract.log_writer PATH WRITES BATCHES_A_WRITE

Prints the last sequence number of each write once `write` has returned, `failed CODE` if one failed.
"""

import itertools
import sys
from pathlib import Path

from es.errors import LogWriteFailed
from es.log.base import Write
from es.log.lmdb_log import LmdbLog
from tests.contract.chains import chain


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    log = LmdbLog.open(Path(sys.argv[1]))
    writes, batches_a_write = int(sys.argv[2]), int(sys.argv[3])
    say("open")
    for _ in range(writes) if writes else itertools.count():
        try:
            head = log.write(Write(chain(batches_a_write, log.head(), body_bytes=200)))
        except LogWriteFailed as failure:
            say(f"failed {failure.code}")
            again = "refused" if refuses(log) else "taken"
            say(f"next {again}")
            return
        say(str(head.seq))


def refuses(log: LmdbLog) -> bool:
    try:
        log.write(Write(records=[("promised", b"1")]))
    except LogWriteFailed:
        return True
    return False


if __name__ == "__main__":
    main()
