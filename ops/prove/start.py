"""How a command of this package ends: as every command of `aulario` does."""

from __future__ import annotations

from functools import partial
from typing import NoReturn

import click

from ops.exits import leave_with
from ops.streams import ready_streams


def start(command: click.Command) -> NoReturn:
    """Run the command with the process's own arguments and exit."""
    ready_streams()
    leave_with(partial(command.main, standalone_mode=False))
