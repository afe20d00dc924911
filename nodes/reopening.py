"""Opening a process's sockets anew, with other keys: every port is given back and taken again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from nodes.logs import logger
from nodes.shell import Loop
from nodes.sockets import BindFailed

REOPEN_WITHIN_S: Final = 10.0
"""How long a port is waited for that somebody else took in between."""

TRY_AGAIN_S: Final = 0.1


def reopen(loop: Loop, close: Callable[[], None], open_: Callable[[], None]) -> None:
    """Close every socket and open it again. `close` must be able to follow a half of `open_`, and itself.

    While a port is taken the process stands still, as one that is frozen: it can serve nobody, and a server must not
    lead behind closed doors. Raises BindFailed when that has lasted for REOPEN_WITHIN_S, so that whoever supervises the
    process starts it anew; everything is closed then. So it is after a return if the loop is to stop.
    """
    close()
    give_up_s = time.monotonic() + REOPEN_WITHIN_S
    is_said = False
    while True:
        try:
            open_()
        except BindFailed as error:
            close()
            if loop.is_stopping:
                return
            if time.monotonic() >= give_up_s:
                raise BindFailed(
                    f"{error}; the port was given back to change keys, and was still taken {REOPEN_WITHIN_S:g} s later"
                ) from None
            if not is_said:
                logger().warning("waiting for a port", why=str(error), within_s=REOPEN_WITHIN_S)
                is_said = True
            time.sleep(TRY_AGAIN_S)
        else:
            logger().info("sockets opened anew")
            return
