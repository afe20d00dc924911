"""How a command of this package ends: as every command of `aulario` does."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from ops.exits import ending

INTERRUPTED = 130


def start(command: click.Command) -> NoReturn:
    """Run the command with the process's own arguments and exit. An error that was raised on purpose or that the
    system gave becomes one sentence on stderr; Ctrl-C and SIGTERM give the exit code 130."""
    try:
        left_with = command.main(standalone_mode=False)
        sys.exit(left_with if isinstance(left_with, int) else 0)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Exception as error:
        known = ending(error)
        if known is None:
            raise
        sentence, exit_code = known
        click.echo(f"Error: {sentence}", err=True)
        sys.exit(exit_code)
